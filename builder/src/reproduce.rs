//! Owns how a package that was built again differs from the one in the store.

use std::collections::BTreeMap;

use schema::listing::{EntryKind, Listing};

/// How many differing paths a message names.
const NAMED: usize = 20;

/// A package came out different from what the store holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("building it again gives other bytes: {}", self.listed())]
pub struct NotReproduced {
    /// Each path that differs, sorted, with how.
    pub paths: Vec<(String, PathDifference)>,
}

/// How one path differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathDifference {
    /// Only the store has it.
    OnlyStored,
    /// Only the new build has it.
    OnlyBuilt,
    /// Another type, mode, target or content.
    Differs,
}

impl NotReproduced {
    /// Compares the listing of what is stored with that of what was built.
    pub fn between(stored: &Listing, built: &Listing) -> Self {
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
            match built.remove(&path) {
                Some(other) if other == kind => {}
                Some(_) => {
                    paths.insert(path, PathDifference::Differs);
                }
                None => {
                    paths.insert(path, PathDifference::OnlyStored);
                }
            }
        }
        paths.extend(built.into_keys().map(|path| (path, PathDifference::OnlyBuilt)));
        Self {
            paths: paths.into_iter().collect(),
        }
    }

    fn listed(&self) -> String {
        let word = |how| match how {
            PathDifference::OnlyStored => "missing",
            PathDifference::OnlyBuilt => "new",
            PathDifference::Differs => "differs",
        };
        let named = self
            .paths
            .iter()
            .take(NAMED)
            .map(|(path, how)| format!("`{path}` {}", word(*how)));
        let mut text = named.collect::<Vec<_>>().join(", ");
        if self.paths.len() > NAMED {
            text.push_str(&format!(" and {} more", self.paths.len() - NAMED));
        }
        text
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
}
