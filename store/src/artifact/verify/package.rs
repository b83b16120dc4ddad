//! Owns verifying one package of an artifact: its listing, its archive, and what the manifest states of it.

use schema::listing::{Entry, EntryKind};
use schema::manifest::{ActiveManifest, SelectedPackage};
use schema::resolved::ResolvedRecipe;

use super::{Findings, Observer};
use crate::archive::plan::Plan;
use crate::artifact::compare;
use crate::artifact::difference::{Part, Problem};
use crate::artifact::package::{self, Stopped, Visitor};
use crate::artifact::reader::{ReadError, Reader};
use crate::facts::{MAX_SIZE, RESOLVED_RECIPE};
use crate::seekable::ranges::ByteRanges;
use crate::seekable::stream::{StreamError, Unpacker};
use crate::verify::DifferenceKind;

pub(super) fn verify<R: ByteRanges>(
    reader: &Reader<R>,
    package: &SelectedPackage,
    unpacker: &mut Unpacker,
    observer: &dyn Observer,
    found: &mut Findings,
) -> Result<(), ReadError> {
    match read_plan(reader, package, unpacker, found)? {
        Some(plan) => verify_archive(reader, package, &plan, unpacker, observer, found),
        None => {
            // Without a listing, it can still be said whether the frames are sound.
            let part = Part::Package(package.id.clone());
            let mut stream = reader.stream(part.clone(), package.archive, unpacker)?;
            let drained = stream.drain();
            let read = drained.and_then(|_| stream.finish(package.archive.blake3));
            found.note(part, None, read.map_err(Problem::from))
        }
    }
}

fn read_plan<R: ByteRanges>(
    reader: &Reader<R>,
    package: &SelectedPackage,
    unpacker: &mut Unpacker,
    found: &mut Findings,
) -> Result<Option<Plan>, ReadError> {
    let plan = match reader.plan(package, unpacker) {
        Ok((_, plan)) => plan,
        Err(error) => {
            found.add(error)?;
            return Ok(None);
        }
    };
    let path = Some(RESOLVED_RECIPE.to_owned());
    let checked = check_id(package, plan.entries());
    found.note(Part::Package(package.id.clone()), path, checked)?;
    Ok(Some(plan))
}

/// The digest in a store ID is that of the package's resolved recipe.
fn check_id(package: &SelectedPackage, entries: &[Entry]) -> Result<(), Problem> {
    let listed = entries.iter().find(|entry| entry.path == RESOLVED_RECIPE);
    let expected = *package.id.digest();
    match listed.map(|entry| &entry.kind) {
        Some(EntryKind::File { size, .. }) if *size > MAX_SIZE => Err(Problem::TooLarge(*size)),
        Some(EntryKind::File { blake3, .. }) if *blake3 == expected => Ok(()),
        Some(EntryKind::File { blake3, .. }) => {
            let found = *blake3;
            Err(Problem::Entry(DifferenceKind::Id { expected, found }))
        }
        _ => Err(Problem::Entry(DifferenceKind::Missing)),
    }
}

fn verify_archive<R: ByteRanges>(
    reader: &Reader<R>,
    package: &SelectedPackage,
    plan: &Plan,
    unpacker: &mut Unpacker,
    observer: &dyn Observer,
    found: &mut Findings,
) -> Result<(), ReadError> {
    let part = Part::Package(package.id.clone());
    let mut contents = Contents::new(observer);
    let mut stream = reader.stream(part.clone(), package.archive, unpacker)?;
    let read = package::read(&mut stream, plan, &mut contents).and_then(|()| {
        let finished = stream.finish(package.archive.blake3);
        finished.map_err(|error| Stopped::of(None, error))
    });
    let problem = match read {
        Ok(()) => None,
        Err(stopped) if is_about_entries(&stopped.problem) => {
            let mut stream = reader.stream(part.clone(), package.archive, unpacker)?;
            for (path, problem) in compare::compare(&mut stream, plan) {
                found.note(part.clone(), path, Err(problem))?;
            }
            return Ok(());
        }
        // That the compressed bytes are others says no more than that what they hold is.
        Err(stopped) if is_about_frames(&stopped.problem) && !contents.differing.is_empty() => None,
        Err(stopped) => Some(stopped),
    };
    if let Some(recipe) = contents.recipe() {
        let path = Some(RESOLVED_RECIPE.to_owned());
        found.note(
            part.clone(),
            path,
            check_recipe(package, reader.manifest(), recipe),
        )?;
    }
    for (path, kind) in contents.differing {
        found.note(part.clone(), Some(path), Err(Problem::Entry(kind)))?;
    }
    match problem {
        Some(stopped) => found.note(part, stopped.path, Err(*stopped.problem)),
        None => Ok(()),
    }
}

/// Whether comparing entry by entry says more.
fn is_about_entries(problem: &Problem) -> bool {
    matches!(
        problem,
        Problem::Header | Problem::Stream(StreamError::Surplus(_) | StreamError::Ended)
    )
}

fn is_about_frames(problem: &Problem) -> bool {
    matches!(problem, Problem::Stream(StreamError::Digest { .. }))
}

/// What the manifest says of a package must follow from its resolved recipe.
fn check_recipe(package: &SelectedPackage, manifest: &ActiveManifest, recipe: &[u8]) -> Result<(), Problem> {
    let recipe = ResolvedRecipe::parse(recipe)?;
    let (platform, prefix) = (recipe.platform.as_str(), recipe.prefix.as_str());
    for (differs, what) in [
        (recipe.name != *package.id.name(), "name"),
        (recipe.version != package.version, "version"),
        (recipe.requires != package.requires, "set of requirements"),
        (recipe.roles != package.roles, "set of roles"),
        (platform != manifest.platform, "platform"),
        (prefix != manifest.prefix, "prefix"),
        (
            recipe.source_date_epoch != manifest.source_date_epoch,
            "source_date_epoch",
        ),
    ] {
        if differs {
            return Err(Problem::Stated(what));
        }
    }
    Ok(())
}

/// Collects which files differ, and keeps the resolved recipe.
struct Contents<'a> {
    observer: &'a dyn Observer,
    differing: Vec<(String, DifferenceKind)>,
    recipe: Vec<u8>,
    state: RecipeState,
}

#[derive(PartialEq, Eq)]
enum RecipeState {
    /// Not yet met, or not as listed.
    Absent,
    Reading,
    Read,
}

impl<'a> Contents<'a> {
    fn new(observer: &'a dyn Observer) -> Self {
        Self {
            observer,
            differing: Vec::new(),
            recipe: Vec::new(),
            state: RecipeState::Absent,
        }
    }

    fn recipe(&self) -> Option<&[u8]> {
        (self.state == RecipeState::Read).then_some(&self.recipe)
    }
}

impl Visitor for Contents<'_> {
    type Error = Stopped;

    fn begin(&mut self, entry: &Entry) -> Result<(), Stopped> {
        let is_recipe = entry.path == RESOLVED_RECIPE;
        if is_recipe && matches!(entry.kind, EntryKind::File { size, .. } if size <= MAX_SIZE) {
            self.state = RecipeState::Reading;
        }
        Ok(())
    }

    fn content(&mut self, bytes: &[u8]) -> Result<(), Stopped> {
        self.observer.read(bytes.len() as u64);
        if self.state == RecipeState::Reading {
            self.recipe.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn end(&mut self, entry: &Entry, difference: Option<DifferenceKind>) -> Result<(), Stopped> {
        if self.state == RecipeState::Reading {
            self.state = match difference {
                None => RecipeState::Read,
                Some(_) => RecipeState::Absent,
            };
        }
        self.differing
            .extend(difference.map(|kind| (entry.path.clone(), kind)));
        Ok(())
    }
}
