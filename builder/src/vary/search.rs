//! Owns the search for the axes that bring a difference out.

use super::{Axis, Variation};

/// Finds the axes of `axes` on which the output depends: each that shows alone, and of those that only show together
/// one smallest set. `differs` builds with such axes varied and says whether something came out different.
///
/// Halves are tried and halved again, so that `n` axes of which `k` matter cost about `2 k log n` builds.
///
/// # Errors
/// Those of `differs`.
pub fn culprits<E>(
    axes: Variation,
    differs: &mut impl FnMut(Variation) -> Result<bool, E>,
) -> Result<Vec<Variation>, E> {
    match differs(axes)? {
        true => within(axes, differs),
        false => Ok(Vec::new()),
    }
}

/// The same for axes that are known to make a difference.
fn within<E>(
    axes: Variation,
    differs: &mut impl FnMut(Variation) -> Result<bool, E>,
) -> Result<Vec<Variation>, E> {
    let list: Vec<Axis> = axes.axes().collect();
    if list.len() < 2 {
        return Ok(vec![axes]);
    }
    let (first, second) = list.split_at(list.len() / 2);
    let mut found = Vec::new();
    for half in [first, second] {
        found.extend(culprits(half.iter().copied().collect(), differs)?);
    }
    match found.is_empty() {
        true => Ok(vec![smallest(axes, differs)?]),
        false => Ok(found),
    }
}

/// Leaves out every axis without which there is a difference still.
fn smallest<E>(
    axes: Variation,
    differs: &mut impl FnMut(Variation) -> Result<bool, E>,
) -> Result<Variation, E> {
    let mut left = axes;
    for axis in axes.axes() {
        let fewer = left.without(axis);
        if !fewer.is_empty() && differs(fewer)? {
            left = fewer;
        }
    }
    Ok(left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::convert::Infallible;

    fn search(axes: Variation, differs: impl Fn(Variation) -> bool) -> (Vec<Variation>, usize) {
        let mut builds = 0;
        let found = culprits(axes, &mut |varied| {
            builds += 1;
            Ok::<_, Infallible>(differs(varied))
        });
        (found.unwrap(), builds)
    }

    fn axes() -> impl Strategy<Value = Variation> {
        proptest::sample::subsequence(Axis::ALL.to_vec(), 0..Axis::ALL.len())
            .prop_map(|axes| axes.into_iter().collect())
    }

    proptest! {
        #[test]
        fn each_axis_that_matters_alone_is_found_and_no_other(guilty in axes()) {
            let (found, _) = search(Variation::all(), |varied| varied.axes().any(|axis| guilty.has(axis)));
            let found: Vec<Axis> = found.into_iter().flat_map(Variation::axes).collect();
            prop_assert_eq!(found, guilty.axes().collect::<Vec<_>>());
        }

        #[test]
        fn axes_that_matter_only_together_are_found_together(guilty in axes()) {
            let (found, _) = search(Variation::all(), |varied| guilty.axes().all(|axis| varied.has(axis)));
            // An empty set makes every build differ, so that each axis seems to do it.
            if !guilty.is_empty() {
                prop_assert_eq!(found, vec![guilty]);
            }
        }
    }

    #[test]
    fn one_axis_costs_few_builds() {
        for guilty in Axis::ALL {
            let (found, builds) = search(Variation::all(), |varied| varied.has(guilty));
            assert_eq!(found, [Variation::NONE.with(guilty)]);
            assert!(builds <= 11, "{builds}");
        }
    }
}
