//! Owns why a package is built again: how its inputs differ from those of its last build, found through the packages it
//! depends on down to the lines of a file.

mod hunks;

use std::cmp::Reverse;
use std::collections::{HashSet, VecDeque};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use schema::changed_input::{self, Change, ChangedInput};
use schema::digest::Digest;
use schema::id::PackageId;
use schema::name::PackageName;
use schema::recipe::FileContent;
use serde::Serialize;
use store::Store;
use store::index::{Built, IndexError};
use store::io_error::{IoContext, IoError};
use store::recipes;

use crate::workshop::{ResolvedPackage, Workshop};

use hunks::hunks;
pub use hunks::{Hunk, Unended};

/// Why it cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum RebuiltError {
    /// The system refused something.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The index refused something.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A resolved recipe has no JSON form.
    #[error("a resolved recipe cannot be compared: {0}")]
    Compare(#[from] serde_json::Error),
    /// Of the build to compare with nothing is kept.
    #[error("what {0} was built from is not in this store")]
    Forgotten(PackageId),
}

/// One package of which an input of its own changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// From the package that is asked about to this one, each depending on the next.
    pub through: Vec<PackageName>,
    /// Which one was built with.
    pub old: PackageId,
    /// Which one stands in its place.
    pub new: PackageId,
    /// The inputs; `None` when what the old one was built from is not kept.
    pub inputs: Option<Vec<Input>>,
}

/// An input that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Input {
    /// Which, and how.
    #[serde(flatten)]
    pub changed: ChangedInput,
    /// For a file whose texts are both at hand: what changed in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lines: Option<Vec<Hunk>>,
}

/// What a package follows on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Before {
    /// The package.
    pub id: PackageId,
    /// When its build began, in seconds since 1970; nothing of what came from a cache or an artifact.
    pub started_unix: Option<i64>,
}

/// Explains why packages of `workshop` are not what they were in `store`.
#[derive(Debug, Clone, Copy)]
pub struct Explainer<'a> {
    /// What was built.
    pub store: &'a Store,
    /// What is to be built.
    pub workshop: &'a Workshop,
}

/// Two forms of one package that are to be compared, and how it was come to.
struct Pair {
    through: Vec<PackageName>,
    old: PackageId,
    new: PackageId,
}

impl Explainer<'_> {
    /// What `package` follows on: the last one of that name and variant with other inputs that was built here or came
    /// from elsewhere. One that came after its own counts as well: a recipe that was changed back follows the change.
    ///
    /// # Errors
    /// When the index or a resolved recipe cannot be read.
    pub fn before(&self, package: &ResolvedPackage) -> Result<Option<Before>, RebuiltError> {
        let is_other = |id: &PackageId| id.name() == package.id.name() && id != &package.id;
        let built = self.store.index().last_builds()?.into_iter();
        let built: Vec<Built> = built.filter(|built| is_other(&built.id)).collect();
        let there = self.store.index().packages()?.into_iter().map(|record| record.id);
        let came = there.filter(|id| is_other(id) && built.iter().all(|built| built.id != *id));
        // Nobody writes down when it came. Its folder was not touched since.
        let came = came.filter_map(|id| {
            let folder = fs::symlink_metadata(self.store.package_path(&id)).ok()?;
            Some((folder.ctime(), id))
        });
        let came = came.collect();
        for before in newest_first(built, came) {
            let recipe = recipes::resolved(self.store, &before.id)?;
            if recipe.is_some_and(|recipe| recipe.variant == package.resolved.variant) {
                return Ok(Some(before));
            }
        }
        Ok(None)
    }

    /// Every package, `package` first, of which an input of its own is not as it was when `old` was built. What changed
    /// for all packages alike is told once.
    ///
    /// # Errors
    /// See [`RebuiltError`].
    pub fn causes(&self, package: &ResolvedPackage, old: &PackageId) -> Result<Vec<Cause>, RebuiltError> {
        if recipes::resolved(self.store, old)?.is_none() {
            return Err(RebuiltError::Forgotten(old.clone()));
        }
        let mut queue = VecDeque::from([Pair {
            through: vec![package.id.name().clone()],
            old: old.clone(),
            new: package.id.clone(),
        }]);
        let mut seen = HashSet::new();
        let mut told: Vec<ChangedInput> = Vec::new();
        let mut causes = Vec::new();
        while let Some(pair) = queue.pop_front() {
            if !seen.insert((pair.old.clone(), pair.new.clone())) {
                continue;
            }
            let Some(changed) = self.changed(&pair)? else {
                causes.push(pair.cause(None));
                continue;
            };
            let (further, own) = parted(changed);
            let own = own.into_iter().filter(|input| !told.contains(input));
            let inputs = own
                .map(|input| self.input(&pair, input))
                .collect::<Result<Vec<_>, _>>()?;
            let of_all = inputs.iter().filter(|input| input.changed.is_of_whole_tree());
            told.extend(of_all.map(|input| input.changed.clone()));
            queue.extend(further.into_iter().map(|(old, new)| pair.to(old, new)));
            if !inputs.is_empty() {
                causes.push(pair.cause(Some(inputs)));
            }
        }
        Ok(causes)
    }

    fn changed(&self, pair: &Pair) -> Result<Option<Vec<ChangedInput>>, RebuiltError> {
        let Some(old) = recipes::resolved(self.store, &pair.old)? else {
            return Ok(None);
        };
        let Some(new) = self.workshop.by_id(&pair.new) else {
            return Ok(None);
        };
        Ok(Some(changed_input::between(&old, &new.resolved)?))
    }

    fn input(&self, pair: &Pair, changed: ChangedInput) -> Result<Input, RebuiltError> {
        let lines = match &changed {
            ChangedInput::File { path, change } => self.lines(pair, path, change)?,
            _ => None,
        };
        Ok(Input { changed, lines })
    }

    /// `None` when a text is not at hand, or is none.
    fn lines(
        &self,
        pair: &Pair,
        path: &str,
        change: &Change<FileContent>,
    ) -> Result<Option<Vec<Hunk>>, RebuiltError> {
        let (Some(old), Some(new)) = (digest(change.old.as_ref()), digest(change.new.as_ref())) else {
            return Ok(None);
        };
        let old = recipes::read(self.store, old)?;
        let new = self.text_now(pair.new.name(), path, new)?;
        let texts = old
            .zip(new)
            .and_then(|(old, new)| Some((String::from_utf8(old).ok()?, String::from_utf8(new).ok()?)));
        Ok(texts.map(|(old, new)| hunks(&old, &new)))
    }

    /// The bytes of a recipe's file as they were hashed, unless it was changed since this program began.
    fn text_now(&self, name: &PackageName, path: &str, digest: &Digest) -> Result<Option<Vec<u8>>, IoError> {
        let path: PathBuf = self.workshop.root().join(name.as_str()).join(path);
        let bytes = fs::read(&path).at("read", &path)?;
        Ok(Some(bytes).filter(|bytes| Digest::of(bytes) == *digest))
    }
}

impl Pair {
    fn cause(&self, inputs: Option<Vec<Input>>) -> Cause {
        Cause {
            through: self.through.clone(),
            old: self.old.clone(),
            new: self.new.clone(),
            inputs,
        }
    }

    fn to(&self, old: PackageId, new: PackageId) -> Self {
        let mut through = self.through.clone();
        through.push(new.name().clone());
        Self { through, old, new }
    }
}

/// Dependencies that changed, into which one can look further, and all other inputs.
fn parted(changed: Vec<ChangedInput>) -> (Vec<(PackageId, PackageId)>, Vec<ChangedInput>) {
    let mut further = Vec::new();
    let mut own = Vec::new();
    for input in changed {
        match input {
            ChangedInput::Dependency {
                change:
                    Change {
                        old: Some(old),
                        new: Some(new),
                    },
                ..
            } => further.push((old, new)),
            other => own.push(other),
        }
    }
    (further, own)
}

fn digest(content: Option<&FileContent>) -> Option<&Digest> {
    match content? {
        FileContent::File { blake3, .. } => Some(blake3),
        FileContent::Symlink { .. } => None,
    }
}

/// The newest first. Builds keep the order of their numbers, as a clock may have been wrong; what came from elsewhere has
/// nothing but its time, and stands before the first of them that is older.
fn newest_first(built: Vec<Built>, mut came: Vec<(i64, PackageId)>) -> Vec<Before> {
    came.sort_by_key(|(time, _)| Reverse(*time));
    let mut came = came.into_iter().peekable();
    let mut all = Vec::new();
    let elsewhere = |(_, id)| Before {
        id,
        started_unix: None,
    };
    for Built { id, started_unix } in built {
        while let Some(newer) = came.next_if(|(time, _)| *time > started_unix) {
            all.push(elsewhere(newer));
        }
        let started_unix = Some(started_unix);
        all.push(Before { id, started_unix });
    }
    all.extend(came.map(elsewhere));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_build_is_newer_whatever_its_clock_said() {
        let id = |text: &str| PackageId::new("a".parse().unwrap(), Digest::of(text.as_bytes()));
        let built = |text, started_unix| Built {
            id: id(text),
            started_unix,
        };
        let built = vec![built("third", 500), built("ahead", 900), built("first", 100)];
        let came = vec![(50, id("old")), (200, id("between")), (600, id("new"))];
        let order: Vec<PackageId> = newest_first(built, came).into_iter().map(|it| it.id).collect();
        let expected = ["new", "third", "ahead", "between", "first", "old"];
        assert_eq!(order, expected.map(id));
    }
}
