//! Owns the words that each axis leaves in outputs that depend on it.

use super::{Axis, Variation};
use crate::sandbox::View;

/// The axis along which both words are known to differ, given two words that stand at the same place.
pub fn axis_of(words: [&str; 2]) -> Option<Axis> {
    let usual = View::default();
    Axis::ALL.into_iter().find(|axis| {
        let varied = Variation::NONE.with(*axis).view();
        let both = [&usual, &varied].map(|view| of(*axis, view));
        // Which side is which does not matter, nor whether one of them is the store's.
        let [(one, other), (varied, usual)] = [(&both[0], &both[1]), (&both[1], &both[0])];
        fits(words, one, other) || fits(words, varied, usual)
    })
}

fn fits(words: [&str; 2], one: &[String], other: &[String]) -> bool {
    let has = |word: &str, list: &[String]| list.iter().any(|trace| is_in(word, trace));
    has(words[0], one) && has(words[1], other)
}

/// A path may go on behind the trace, and a word may be a part of a name with dots.
fn is_in(word: &str, trace: &str) -> bool {
    match trace.starts_with('/') {
        true => word.contains(trace),
        false => word.split(['.', ':', '@']).collect::<Vec<_>>().contains(&trace) || word == trace,
    }
}

/// What a build that sees `view` would write down of `axis`.
fn of(axis: Axis, view: &View) -> Vec<String> {
    let path = |path: &std::path::Path| path.display().to_string();
    match axis {
        Axis::TimeZone => vec![view.time_zone.clone()],
        Axis::Locale => vec![view.locale.all.clone()],
        Axis::User => vec![
            view.user.id.to_string(),
            view.user.name.clone(),
            view.user.group.clone(),
        ],
        Axis::Home => vec![view.home.clone()],
        Axis::Host => vec![view.host.name.clone(), view.host.domain.clone()],
        Axis::Umask => vec![format!("{:04o}", view.umask), format!("{:03o}", view.umask)],
        Axis::BuildPath => vec![
            path(&view.places.sources),
            path(&view.places.recipe),
            path(&view.places.temporary),
        ],
        Axis::Kernel => vec![view.kernel.release.clone(), view.kernel.version.clone()],
        _ => Vec::new(),
    }
}
