//! `store why-rebuilt`: says which input made a package another one than that of its last build.

use std::fmt::{Display, Write};

use ::schema::changed_input::{Change, ChangedInput, Need};
use ::schema::id::PackageId;
use ::schema::name::PackageName;
use ::schema::recipe::FileContent;
use ::schema::resolved::ResolvedSource;
use ::schema::timestamp::Timestamp;
use ::schema::visible::visible;
use builder::rebuilt::{Cause, Explainer, Hunk, Input, RebuiltError, Unended};
use builder::workshop::{ResolvedPackage, Workshop};
use serde::Serialize;
use store::Store;

use crate::args::WhyRebuilt;
use crate::context::Context;
use crate::failure::{Failure, counted};
use crate::meant::workshop;

/// Of so many changed lines of one place the text is printed; the document has them all.
const MOST_LINES: usize = 8;

#[derive(Serialize)]
struct Document {
    id: PackageId,
    /// Whether it is in the store.
    built: bool,
    /// What it is compared with; nothing when nothing came before.
    before: Option<PackageId>,
    /// When its build began, in seconds since 1970, if it was built here.
    before_started: Option<i64>,
    /// The package's own inputs first, then those of what it depends on, nearest first.
    causes: Vec<Cause>,
}

/// Runs the verb.
///
/// # Errors
/// When the name is unknown, or nothing is known of what it is to be compared with.
pub fn run(context: &Context<'_>, args: &WhyRebuilt) -> Result<(), Failure> {
    let workshop = workshop::open(context, &args.variant)?;
    let package = workshop::package(&workshop, &args.name)?;
    // Where there is no store nothing was built before, unless somebody says what was.
    let store = match args.since {
        Some(_) => Some(context.store()?),
        None => context.store_if_any()?,
    };
    let document = match &store {
        Some(store) => explained(store, &workshop, package, args.since.as_ref())?,
        None => Document {
            id: package.id.clone(),
            built: false,
            before: None,
            before_started: None,
            causes: Vec::new(),
        },
    };
    context.output.result(&document, || said(&document))?;
    Ok(())
}

fn explained(
    store: &Store,
    workshop: &Workshop,
    package: &ResolvedPackage,
    since: Option<&PackageId>,
) -> Result<Document, Failure> {
    let explainer = Explainer { store, workshop };
    let (before, before_started) = match since {
        Some(id) if id.name() != package.id.name() => {
            return Err(Failure::misuse(format!(
                "{id} is not a build of `{}`",
                package.id.name()
            )));
        }
        Some(id) => (Some(id.clone()), None),
        None => match explainer.before(package).map_err(refused)? {
            Some(before) => (Some(before.id), before.started_unix),
            None => (None, None),
        },
    };
    let causes = match &before {
        Some(before) => explainer.causes(package, before).map_err(refused)?,
        None => Vec::new(),
    };
    Ok(Document {
        built: !store.present(std::slice::from_ref(&package.id))?.is_empty(),
        id: package.id.clone(),
        before,
        before_started,
        causes,
    })
}

fn refused(error: RebuiltError) -> Failure {
    let forgotten = matches!(error, RebuiltError::Forgotten(_));
    let failure = Failure::from(error);
    match forgotten {
        true => failure.help("compare with a package of `store list`: `store why-rebuilt NAME --since ID`"),
        false => failure,
    }
}

fn said(document: &Document) -> String {
    let id = &document.id;
    let state = if document.built { "" } else { ", not built yet," };
    let Some(before) = &document.before else {
        return format!("{id}{state} follows no other package of that name in this store");
    };
    let started = document.before_started.and_then(|time| u64::try_from(time).ok());
    let when = started.map_or_else(String::new, |time| {
        format!(", built {}", Timestamp::from_unix(time))
    });
    let mut out = format!("{id}{state} follows {before}{when}");
    if document.causes.is_empty() {
        out.push_str("\nnothing that it is built from has changed");
    }
    for cause in &document.causes {
        let through: Vec<&str> = cause.through.iter().map(PackageName::as_str).collect();
        let place = through.join(" -> ");
        match &cause.inputs {
            None => write_to(
                &mut out,
                &place,
                format_args!("what {} was built from is not kept", cause.old),
            ),
            Some(inputs) => inputs.iter().for_each(|input| say(&mut out, &place, input)),
        }
    }
    out
}

fn write_to(out: &mut String, place: &str, what: impl Display) {
    // Writing to a string cannot fail.
    let _ = write!(out, "\n{place}: {what}");
}

fn say(out: &mut String, place: &str, input: &Input) {
    match &input.changed {
        ChangedInput::Field { name, change } => {
            write_to(
                out,
                place,
                format_args!("`{name}`: {}", became(change, ToString::to_string)),
            );
        }
        ChangedInput::Source { name, change } => {
            write_to(
                out,
                place,
                format_args!("source `{name}`: {}", became(change, source)),
            );
        }
        ChangedInput::Dependency { name, need, change } => {
            let verb = match need {
                Need::Requires => "requires",
                Need::BuildRequires => "build_requires",
            };
            let what = if change.new.is_some() { "is new" } else { "is gone" };
            write_to(out, place, format_args!("`{verb}`: `{name}` {what}"));
        }
        ChangedInput::File { path, change } => match &input.lines {
            Some(hunks) if !hunks.is_empty() => {
                hunks.iter().for_each(|hunk| say_lines(out, place, path, hunk));
                say_mode(out, place, path, change);
            }
            _ => write_to(out, place, format_args!("`{path}`: {}", became(change, file))),
        },
    }
}

fn say_lines(out: &mut String, place: &str, path: &str, hunk: &Hunk) {
    let line = if hunk.added.is_empty() {
        hunk.old_line
    } else {
        hunk.new_line
    };
    write_to(out, place, format_args!("`{path}`, line {line}:"));
    let of_removed = hunk.unended.is_some_and(Unended::is_of_removed);
    let of_added = hunk.unended.is_some_and(Unended::is_of_added);
    for (sign, lines, unended) in [('-', &hunk.removed, of_removed), ('+', &hunk.added, of_added)] {
        for (at, line) in lines.iter().take(MOST_LINES).enumerate() {
            let end = if unended && at + 1 == lines.len() {
                " (no newline at the end)"
            } else {
                ""
            };
            let _ = write!(out, "\n  {sign} {}{end}", visible(line));
        }
        if let Some(more) = lines.len().checked_sub(MOST_LINES).filter(|more| *more > 0) {
            let _ = write!(out, "\n  … {}", counted(more, "more line"));
        }
    }
}

/// A file may change in its text and in whether it can be run.
fn say_mode(out: &mut String, place: &str, path: &str, change: &Change<FileContent>) {
    let can_run =
        |content: &Option<FileContent>| matches!(content, Some(FileContent::File { executable: true, .. }));
    match (can_run(&change.old), can_run(&change.new)) {
        (false, true) => write_to(out, place, format_args!("`{path}` is executable now")),
        (true, false) => write_to(out, place, format_args!("`{path}` is not executable any more")),
        _ => {}
    }
}

fn became<T>(change: &Change<T>, text: impl Fn(&T) -> String) -> String {
    match (&change.old, &change.new) {
        (Some(old), Some(new)) => format!("{} is now {}", text(old), text(new)),
        (None, Some(new)) => format!("new: {}", text(new)),
        (Some(old), None) => format!("gone: {}", text(old)),
        (None, None) => String::new(),
    }
}

fn source(source: &ResolvedSource) -> String {
    source
        .digest
        .map_or_else(|| "one without a digest".to_owned(), |digest| digest.key())
}

fn file(content: &FileContent) -> String {
    match content {
        FileContent::File {
            executable: true,
            blake3,
        } => format!("executable with digest {blake3}"),
        FileContent::File {
            executable: false,
            blake3,
        } => format!("file with digest {blake3}"),
        FileContent::Symlink { target } => format!("link to `{}`", visible(target)),
    }
}
