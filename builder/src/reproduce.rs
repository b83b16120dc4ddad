//! Owns how a package that was built again differs from the one in the store.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use schema::digest::Digest;
use schema::listing::{EntryKind, Listing};
use serde::Serialize;

use crate::diffoscope::Page;
use crate::explain::Explained;
use crate::vary::Variation;

/// How many differing paths a message names.
const NAMED: usize = 20;

/// A package came out different from what the store holds, or not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{}", self.told())]
pub struct NotReproduced {
    /// Each path that differs, sorted, with how.
    pub paths: Vec<DifferingPath>,
    /// What the store says and holds of it, where these two differ already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub altered: Option<Altered>,
    /// Why what the store holds is no package any more, so that nothing can be compared with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_package: Option<String>,
    /// Why the build failed, if only under what was varied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// The first of the files whose content differs, explained.
    pub explained: Vec<Explained>,
    /// What was varied.
    pub varied: Variation,
    /// What brings it out, as far as that was looked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub culprits: Option<Vec<Culprit>>,
    /// The page about it, where one was wanted and `diffoscope` is installed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<Page>,
}

/// The digests of three listings, of which at least one is another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Altered {
    /// What the index says of the package.
    pub recorded: Digest,
    /// What its folder holds.
    pub stored: Digest,
    /// What building it again gives.
    pub built: Digest,
}

impl Altered {
    /// Whether all three are the same.
    pub fn are_one(self) -> bool {
        self.recorded == self.stored && self.stored == self.built
    }

    /// Itself, if the index and the folder disagree.
    pub fn of_the_store(self) -> Option<Self> {
        (self.recorded != self.stored).then_some(self)
    }

    /// Whether the build gives neither what the index says nor what the folder holds.
    pub fn is_built_otherwise(self) -> bool {
        self.built != self.recorded && self.built != self.stored
    }

    fn told(self) -> String {
        let Self {
            recorded,
            stored,
            built,
        } = self;
        let gives = match () {
            () if built == recorded => "what the index says",
            () if built == stored => "what the folder holds",
            () => "neither",
        };
        format!(
            "it was altered in the store: the index says that its listing is {recorded}, its folder has {stored}, and \
             building it again gives {gives}"
        )
    }
}

/// A path that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DifferingPath {
    /// Relative to the package.
    pub path: String,
    /// How it differs.
    #[serde(flatten)]
    pub how: PathDifference,
}

/// How one path differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum PathDifference {
    /// Only the store has it.
    OnlyStored,
    /// Only the new build has it.
    OnlyBuilt,
    /// A file of other content.
    Content,
    /// A file that may be executed on one side only.
    Executable {
        /// Whether it may be in the store.
        stored: bool,
        /// Whether it may be in the new build.
        built: bool,
    },
    /// A link to elsewhere.
    Target {
        /// Where to in the store.
        stored: String,
        /// Where to in the new build.
        built: String,
    },
    /// Another type.
    Kind,
}

/// Something that brings a difference out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Culprit {
    /// Varied together. None of them when it comes by itself, although clock and random numbers are held.
    pub axes: Variation,
    /// The paths that then differ.
    pub paths: Vec<String>,
    /// Why the build then fails, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

impl NotReproduced {
    /// Compares the listing of what is stored with that of what was built.
    pub fn between(stored: &Listing, built: &Listing) -> Self {
        Self {
            paths: differing(stored, built),
            ..Self::default()
        }
    }

    /// Lets what is known to bring a file's difference out overrule the guess at its cause.
    pub(crate) fn know_causes(&mut self) {
        let culprits = self.culprits.as_deref().unwrap_or_default();
        for explained in &mut self.explained {
            let mut of_it = culprits.iter().filter(|it| it.paths.contains(&explained.path));
            if let (Some(only), None) = (of_it.next(), of_it.next())
                && let [axis] = only.axes.axes().collect::<Vec<_>>()[..]
            {
                explained.cause = explained.cause.known_by(axis);
            }
        }
    }

    /// The paths that differ from what is stored and that nothing brought out again, though it was looked for.
    pub fn not_brought_out(&self) -> Vec<&str> {
        let Some(culprits) = &self.culprits else {
            return Vec::new();
        };
        let brought_out: HashSet<&String> = culprits.iter().flat_map(|it| &it.paths).collect();
        let others = self.paths.iter().filter(|it| !brought_out.contains(&it.path));
        others.map(|it| it.path.as_str()).collect()
    }

    fn told(&self) -> String {
        if let Some(why) = &self.no_package {
            return format!("it was altered in the store: {why}");
        }
        match (&self.failure, self.altered) {
            (Some(failure), _) => format!("it cannot be built with {} varied: {failure}", self.varied),
            (None, None) => format!("building it again gives other bytes: {}", named(&self.paths)),
            (None, Some(altered)) if self.paths.is_empty() => altered.told(),
            (None, Some(altered)) => format!("{}: {}", altered.told(), named(&self.paths)),
        }
    }
}

/// What became of a path, for people, to follow it.
impl fmt::Display for PathDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnlyStored => f.write_str("missing"),
            Self::OnlyBuilt => f.write_str("new"),
            Self::Executable { built: true, .. } => f.write_str("is executable, which it was not"),
            Self::Executable { built: false, .. } => f.write_str("is not executable, which it was"),
            // A build writes there what it likes, also what would steer a terminal.
            Self::Target { stored, built } => {
                let [stored, built] = [stored, built].map(|target| target.escape_debug());
                write!(f, "leads to `{built}` instead of `{stored}`")
            }
            Self::Content | Self::Kind => f.write_str("differs"),
        }
    }
}

/// The first of `paths` with how each differs, for people.
pub(crate) fn named(paths: &[DifferingPath]) -> String {
    let first = paths
        .iter()
        .take(NAMED)
        .map(|DifferingPath { path, how }| format!("`{path}` {how}"));
    let mut text = first.collect::<Vec<_>>().join(", ");
    if paths.len() > NAMED {
        text.push_str(&format!(" and {} more", paths.len() - NAMED));
    }
    text
}

/// Every path in which two listings differ, sorted.
pub fn differing(stored: &Listing, built: &Listing) -> Vec<DifferingPath> {
    let entries = |listing: &Listing| -> BTreeMap<String, EntryKind> {
        listing
            .entries
            .iter()
            .map(|entry| (entry.path.clone(), entry.kind.clone()))
            .collect()
    };
    let (stored, mut built) = (entries(stored), entries(built));
    let mut paths = BTreeMap::new();
    for (path, kind) in stored {
        let how = match built.remove(&path) {
            Some(other) if other == kind => continue,
            Some(other) => how(&kind, &other),
            None => PathDifference::OnlyStored,
        };
        paths.insert(path, how);
    }
    paths.extend(built.into_keys().map(|path| (path, PathDifference::OnlyBuilt)));
    let listed = paths.into_iter().map(|(path, how)| DifferingPath { path, how });
    listed.collect()
}

fn how(stored: &EntryKind, built: &EntryKind) -> PathDifference {
    match (stored, built) {
        (EntryKind::File { blake3: one, .. }, EntryKind::File { blake3: other, .. }) if one != other => {
            PathDifference::Content
        }
        (
            EntryKind::File {
                executable: stored, ..
            },
            EntryKind::File {
                executable: built, ..
            },
        ) => PathDifference::Executable {
            stored: *stored,
            built: *built,
        },
        (EntryKind::Symlink { target: stored }, EntryKind::Symlink { target: built }) => {
            PathDifference::Target {
                stored: stored.clone(),
                built: built.clone(),
            }
        }
        _ => PathDifference::Kind,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::digest::Digest;
    use schema::listing::Entry;

    fn listing(files: &[(&str, &str)]) -> Listing {
        let entry = |(path, content): &(&str, &str)| Entry {
            path: (*path).to_owned(),
            kind: EntryKind::File {
                executable: false,
                size: content.len() as u64,
                blake3: Digest::of(content.as_bytes()),
            },
        };
        Listing::new(files.iter().map(entry).collect())
    }

    #[test]
    fn each_path_that_differs_is_named_with_how() {
        let stored = listing(&[("a", "1"), ("b", "1"), ("c", "1")]);
        let built = listing(&[("a", "1"), ("b", "2"), ("d", "1")]);
        let found = NotReproduced::between(&stored, &built);
        assert_eq!(
            found.to_string(),
            "building it again gives other bytes: `b` differs, `c` missing, `d` new"
        );
        assert!(NotReproduced::between(&stored, &stored).paths.is_empty());
    }

    #[test]
    fn paths_that_nothing_brought_out_are_told_once_it_was_looked_for() {
        let mut found = NotReproduced::between(&listing(&[("a", "1"), ("b", "1")]), &listing(&[]));
        assert!(found.not_brought_out().is_empty());
        found.culprits = Some(vec![Culprit {
            axes: Variation::all(),
            paths: vec!["a".to_owned()],
            failure: None,
        }]);
        assert_eq!(found.not_brought_out(), ["b"]);
    }
}
