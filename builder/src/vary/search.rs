//! Owns the search for the axes that bring a difference out.

use std::collections::{BTreeMap, BTreeSet};

use super::{Axis, Variation};

/// So many sets of axes that only act together are looked for at most: each costs about as many builds as there are axes,
/// and what chance brings out now and then would ask for ever more.
const MOST_SETS: usize = 8;

/// Sets of axes, each with the effects it brings out.
pub type Found<T> = BTreeMap<Variation, BTreeSet<T>>;

/// Finds the axes of `axes` that bring effects out, e.g. files that differ: every axis that does so alone, and for what
/// no axis brings out alone one smallest set of axes. `effects` builds with such axes varied and gives all that came out
/// different; of the same axes it may be asked again.
///
/// Halves are tried and halved again, so that `n` axes of which `k` matter cost about `2 k log n` builds.
///
/// # Errors
/// Those of `effects`.
pub fn culprits<T: Ord + Clone, E>(
    axes: Variation,
    effects: impl FnMut(Variation) -> Result<BTreeSet<T>, E>,
) -> Result<Found<T>, E> {
    let mut search = Search {
        effects,
        sets_left: MOST_SETS,
    };
    search.culprits(axes)
}

struct Search<F> {
    effects: F,
    sets_left: usize,
}

impl<F> Search<F> {
    fn culprits<T: Ord + Clone, E>(&mut self, axes: Variation) -> Result<Found<T>, E>
    where
        F: FnMut(Variation) -> Result<BTreeSet<T>, E>,
    {
        let all = (self.effects)(axes)?;
        let list: Vec<Axis> = axes.axes().collect();
        if all.is_empty() || list.len() < 2 {
            return Ok([(axes, all)]
                .into_iter()
                .filter(|(_, all)| !all.is_empty())
                .collect());
        }
        let (first, second) = list.split_at(list.len() / 2);
        let mut found = Found::new();
        for half in [first, second] {
            found.extend(self.culprits(half.iter().copied().collect())?);
        }
        let explained = found.values().flatten().cloned().collect();
        let mut left = &all - &explained;
        while self.sets_left > 0
            && let Some(effect) = left.first().cloned()
        {
            self.sets_left -= 1;
            let (together, mut theirs) = self.smallest(axes, &effect, left.clone())?;
            left = &left - &theirs;
            found.entry(together).or_default().append(&mut theirs);
        }
        Ok(found)
    }

    /// Leaves out every axis without which there is `effect` still, and those of `others` that it parts from on the way.
    fn smallest<T: Ord + Clone, E>(
        &mut self,
        axes: Variation,
        effect: &T,
        mut others: BTreeSet<T>,
    ) -> Result<(Variation, BTreeSet<T>), E>
    where
        F: FnMut(Variation) -> Result<BTreeSet<T>, E>,
    {
        let mut left = axes;
        for axis in axes.axes() {
            let fewer = left.without(axis);
            if fewer.is_empty() {
                continue;
            }
            let effects = (self.effects)(fewer)?;
            if effects.contains(effect) {
                left = fewer;
                others = &others & &effects;
            } else {
                others = &others - &effects;
            }
        }
        Ok((left, others))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;
    use std::convert::Infallible;
    use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

    /// Each set of axes with what it brings out, and after how many builds that is known.
    fn search<'a>(effects: impl Fn(Variation) -> Vec<&'a str>) -> (Vec<(Variation, Vec<&'a str>)>, usize) {
        let mut builds = HashSet::new();
        let found = culprits(Variation::all(), |varied| {
            builds.insert(varied);
            Ok::<_, Infallible>(effects(varied).into_iter().collect())
        });
        let found = found.unwrap().into_iter();
        let found = found.map(|(axes, effects)| (axes, effects.into_iter().collect()));
        (found.collect(), builds.len())
    }

    fn when(happens: bool, effect: &str) -> Option<&str> {
        happens.then_some(effect)
    }

    fn axes() -> impl Strategy<Value = Variation> {
        proptest::sample::subsequence(Axis::ALL.to_vec(), 0..Axis::ALL.len())
            .prop_map(|axes| axes.into_iter().collect())
    }

    fn is_whole(guilty: Variation, varied: Variation) -> bool {
        guilty.axes().all(|axis| varied.has(axis))
    }

    proptest! {
        #[test]
        fn each_axis_that_matters_alone_is_found_and_no_other(guilty in axes()) {
            let does = |varied: Variation| varied.axes().any(|axis| guilty.has(axis));
            let (found, _) = search(|varied| when(does(varied), "a").into_iter().collect());
            let found: Vec<Axis> = found.into_iter().flat_map(|(axes, _)| axes.axes()).collect();
            prop_assert_eq!(found, guilty.axes().collect::<Vec<_>>());
        }

        #[test]
        fn axes_that_matter_only_together_are_found_together(guilty in axes()) {
            let (found, _) = search(|varied| when(is_whole(guilty, varied), "a").into_iter().collect());
            // An empty set makes every build differ, so that each axis seems to do it.
            if !guilty.is_empty() {
                prop_assert_eq!(found, [(guilty, vec!["a"])]);
            }
        }

        #[test]
        fn what_each_of_several_effects_needs_is_found(one in axes(), other in axes()) {
            let (found, _) = search(|varied| {
                let both = [when(is_whole(one, varied), "a"), when(is_whole(other, varied), "b")];
                both.into_iter().flatten().collect()
            });
            if !one.is_empty() && !other.is_empty() && one != other {
                let mut expected = vec![(one, vec!["a"]), (other, vec!["b"])];
                expected.sort();
                prop_assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn one_axis_costs_few_builds() {
        for guilty in Axis::ALL {
            let (found, builds) = search(|varied| when(varied.has(guilty), "a").into_iter().collect());
            assert_eq!(found, [(Variation::NONE.with(guilty), vec!["a"])]);
            assert!(builds <= 11, "{builds}");
        }
    }

    #[test]
    fn chance_does_not_make_the_search_endless() {
        let names: Vec<String> = (0..200).map(|number| format!("{number}")).collect();
        let state = BuildHasherDefault::<DefaultHasher>::default();
        let (_, builds) = search(|varied| {
            // No axis alone is to blame, nor any half of them.
            let happens =
                |name: &&String| varied.axes().count() > 9 && state.hash_one((name, varied)) % 2 == 0;
            names.iter().filter(happens).map(String::as_str).collect()
        });
        assert!(builds <= 33 + 17 * MOST_SETS, "{builds}");
    }
}
