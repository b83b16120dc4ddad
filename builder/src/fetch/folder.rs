//! Owns sources that are folders of the tree of recipes: copied as they are, checked to be what the recipe was hashed with.

use std::path::Path;

use schema::source::SourceDigest;

use super::error::FetchProblem;
use super::job::Job;
use crate::unpack::{self, Limits, Rules, TopFolder};

/// What becomes of git's own files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Git {
    /// They are left out, at any depth.
    LeftOut,
    /// They are files like all others.
    AsItIs,
}

/// How folders lie in the store; builds get their tree's own time.
pub(super) const RULES: Rules = Rules {
    mtime: 0,
    top: TopFolder::Keep,
    limits: Limits {
        bytes: u64::MAX,
        entries: u64::MAX,
    },
};

/// Copies the folder `path`, relative to the root of the tree of recipes, to `target`.
pub(super) fn fetch(
    job: &Job<'_>,
    path: &str,
    git: Git,
    expected: SourceDigest,
    target: &Path,
) -> Result<(), FetchProblem> {
    let from = job.source.tree.join(path);
    let name = from.display().to_string();
    job.started(&name);
    let area = job.area()?;
    let staged = area.path().join("folder");
    let is_kept = |path: &str| git == Git::AsItIs || !path.split('/').any(|part| part == ".git");
    unpack::folder(&from, &staged, RULES, &is_kept)?;
    super::publish_folder(&staged, &name, expected, target)
}
