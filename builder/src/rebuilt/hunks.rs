//! Owns which lines of a text stand in place of others, between two versions of it.

use std::collections::HashSet;
use std::time::Duration;

use serde::Serialize;
use similar::{DiffOp, TextDiff};

/// So long is looked for lines that stayed; what of two texts is not told apart by then counts as changed.
const LONGEST: Duration = Duration::from_secs(1);

/// Lines that stand in place of others. Counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hunk {
    /// Where the removed lines began; where nothing was removed, the line before which there is something new.
    pub old_line: usize,
    /// Where the added lines begin.
    pub new_line: usize,
    /// Without the newlines at their ends.
    pub removed: Vec<String>,
    /// Without the newlines at their ends.
    pub added: Vec<String>,
    /// Which of these has a last line that no newline ends, if one has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unended: Option<Unended>,
}

/// See [`Hunk::unended`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unended {
    /// What was removed.
    Removed,
    /// What was added.
    Added,
    /// Both.
    Both,
}

impl Unended {
    fn of(removed: &[&str], added: &[&str]) -> Option<Self> {
        let is_one = |lines: &[&str]| lines.last().is_some_and(|line| !line.ends_with('\n'));
        match (is_one(removed), is_one(added)) {
            (true, true) => Some(Self::Both),
            (true, false) => Some(Self::Removed),
            (false, true) => Some(Self::Added),
            (false, false) => None,
        }
    }

    /// Whether the last line that was removed has no newline.
    pub fn is_of_removed(self) -> bool {
        matches!(self, Self::Removed | Self::Both)
    }

    /// Whether the last line that was added has no newline.
    pub fn is_of_added(self) -> bool {
        matches!(self, Self::Added | Self::Both)
    }
}

/// What lies between the lines that stayed. A line ends at `\n`, and at nothing else.
pub(super) fn hunks(old: &str, new: &str) -> Vec<Hunk> {
    let [old, new] = [old, new].map(|text| text.split_inclusive('\n').collect::<Vec<_>>());
    let text = |lines: &[&str]| {
        lines
            .iter()
            .map(|line| line.strip_suffix('\n').unwrap_or(line).to_owned())
            .collect()
    };
    let ends = [(old.len(), new.len())];
    let (mut removed_from, mut added_from) = (0, 0);
    let mut hunks = Vec::new();
    for (in_old, in_new) in stayed(&old, &new).into_iter().chain(ends) {
        let (removed, added) = (removed_from..in_old, added_from..in_new);
        (removed_from, added_from) = (in_old + 1, in_new + 1);
        if !removed.is_empty() || !added.is_empty() {
            hunks.push(Hunk {
                old_line: removed.start + 1,
                new_line: added.start + 1,
                unended: Unended::of(&old[removed.clone()], &new[added.clone()]),
                removed: text(&old[removed]),
                added: text(&new[added]),
            });
        }
    }
    hunks
}

/// Where the lines that stayed are in `old` and in `new`, counted from 0.
fn stayed(old: &[&str], new: &[&str]) -> Vec<(usize, usize)> {
    // A line that only one side has did not stay. Comparing takes as long as the square of the lines that changed, and
    // in most texts that have little in common those are nearly all of them.
    let ((in_old, old), (in_new, new)) = (known(old, new), known(new, old));
    let diff = TextDiff::configure().timeout(LONGEST).diff_slices(&old, &new);
    let same = diff.ops().iter().filter(|op| matches!(op, DiffOp::Equal { .. }));
    same.flat_map(|op| op.old_range().zip(op.new_range()))
        .map(|(old, new)| (in_old[old], in_new[new]))
        .collect()
}

/// Those of `lines` that `others` has as well, and where they are.
fn known<'a>(lines: &[&'a str], others: &[&str]) -> (Vec<usize>, Vec<&'a str>) {
    let others: HashSet<&str> = others.iter().copied().collect();
    let lines = lines.iter().copied().enumerate();
    lines.filter(|(_, line)| others.contains(line)).unzip()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_newline_that_only_one_side_ends_with_is_told() {
        let unended = |old: &str, new: &str| hunks(old, new).pop().and_then(|hunk| hunk.unended);
        assert_eq!(unended("a\nb\n", "a\nb"), Some(Unended::Added));
        assert_eq!(unended("a\nb", "a\nb\n"), Some(Unended::Removed));
        assert_eq!(unended("a\nb", "a\nc"), Some(Unended::Both));
        assert_eq!(unended("a\nb", "c\nb"), None);
        assert_eq!(hunks("a\r\n", "a\n")[0].removed, ["a\r"]);
    }

    #[test]
    fn a_line_does_not_end_at_a_lone_carriage_return() {
        let hunk = |line, removed: &str, added: &str| Hunk {
            old_line: line,
            new_line: line,
            removed: vec![removed.to_owned()],
            added: vec![added.to_owned()],
            unended: None,
        };
        let found = hunks("x\rb\nsame\nc\n", "y\rb\nsame\nd\n");
        assert_eq!(found, [hunk(1, "x\rb", "y\rb"), hunk(3, "c", "d")]);
    }

    /// Would take hours, were each line compared with each.
    #[test]
    fn many_lines_that_all_changed_are_told_with_those_that_stayed() {
        let text = |side: &str| {
            let lines = |part: &str| {
                (0..100_000)
                    .map(|n| format!("{side} {part} {n}\n"))
                    .collect::<String>()
            };
            format!("{}same\n{}", lines("first"), lines("second"))
        };
        let found = hunks(&text("old"), &text("new"));
        let told = found
            .iter()
            .map(|it| (it.old_line, it.new_line, it.removed.len(), it.added.len()));
        let half = 100_000;
        assert_eq!(
            told.collect::<Vec<_>>(),
            [(1, 1, half, half), (half + 2, half + 2, half, half)]
        );
    }

    /// The same lines in another order: each is known, so only the time that is spent has an end.
    #[test]
    fn lines_in_another_order_are_told_before_long() {
        let lines: Vec<String> = (0..100_000).map(|n| n.to_string()).collect();
        let turned: Vec<String> = lines.iter().rev().cloned().collect();
        assert_turns(&lines, &turned);
    }

    fn assert_turns(old: &[String], new: &[String]) {
        let text = |lines: &[String]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        let mut made = old.to_vec();
        // From the end, so that what was not changed yet stands where it stood.
        for hunk in hunks(&text(old), &text(new)).into_iter().rev() {
            let start = hunk.old_line - 1;
            assert_eq!(old[start..start + hunk.removed.len()], hunk.removed);
            assert_eq!(new[hunk.new_line - 1..][..hunk.added.len()], hunk.added);
            made.splice(start..start + hunk.removed.len(), hunk.added);
        }
        assert_eq!(made, new);
    }

    fn lines() -> impl Strategy<Value = Vec<String>> {
        proptest::collection::vec("[ab]{0,2}", 0..12)
    }

    proptest! {
        #[test]
        fn the_hunks_turn_the_old_text_into_the_new(old in lines(), new in lines()) {
            assert_turns(&old, &new);
        }
    }
}
