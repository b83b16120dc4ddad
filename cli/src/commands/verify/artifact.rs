//! Owns `store verify FILE|URL` and `store artifact verify`: an artifact, wherever it lies.

use std::path::Path;
use std::process::ExitCode;

use ::schema::digest::Digest;
use builder::fetch::Network;
use builder::fetch::medium::{Medium, MediumError, is_address};
use serde::Serialize;
use store::archive::press::Threads;
use store::artifact::place;
use store::artifact::reader::{ReadError, Reader};
use store::artifact::verify::{self, Journaled, Report};
use store::trust::Signer;
use store::verify::journal::stamp_of_file;

use super::signature::{self, Demand};
use super::watch::{self, Watch};
use crate::args::verify::Verify;
use crate::context::Context;
use crate::failure::{Failure, counted};

#[derive(Serialize)]
struct Document {
    #[serde(flatten)]
    report: Report,
    /// Who signed the artifact, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<Signer>,
}

/// Verifies the artifact at `place`, a path or an address, and that it has what is asked for of signatures and attestations.
///
/// # Errors
/// When it cannot be read; differences are no error but an exit code.
pub fn run(
    context: &Context<'_>,
    place: &str,
    args: &Verify,
    demand: Option<&Demand>,
) -> Result<ExitCode, Failure> {
    // Before hours have gone into what it is compared with.
    let sound = sound(context, args)?;
    let watch = Watch::new(context)?;
    let options = context.fetch_options(Network::Allowed);
    let cwd = context.world.cwd();
    let opened = match Medium::artifact(place, cwd, &options) {
        Err(MediumError::Artifact { source, .. }) => Err(source),
        opened => Ok(opened?),
    };
    let about = format!("artifact {}", absolute(cwd, place));
    let journal = watch::journal(context, args, &about)?;
    let journaled = journal.as_ref().zip(stamp(cwd, place, &opened));
    let journaled = journaled.map(|(journal, stamp)| Journaled { journal, stamp });
    let (report, opened) = match opened {
        Ok(reader) => {
            let report = verify::verify_opened(Ok(&reader), Threads::available(), &watch, journaled);
            (report, Some(reader))
        }
        Err(error) => {
            let report = verify::verify_opened::<Medium>(Err(error), Threads::available(), &watch, None);
            (report, None)
        }
    };
    watch.finish();
    let mut report = report?;
    locate(context, place, sound.as_ref(), opened.as_ref(), &mut report)?;
    watch::close(context, journal, report.extent());
    let reader = opened.as_ref();
    let checked = signature::check(context, place, &options, demand, reader, &mut report.differences);
    let signature = match checked {
        // What was found is told all the same.
        Err(failure) if !report.differences.is_empty() => {
            let text = format!(
                "warning: whose signature it has cannot be told: {}",
                failure.message
            );
            context.output.complain(&text);
            None
        }
        checked => checked?,
    };
    let document = Document { report, signature };
    context.output.result(&document, || summary(&document))?;
    let report = &document.report;
    Ok(super::exit(report.differences.is_empty(), report.extent()))
}

/// Says where the artifact begins to differ from the one that --from names.
fn locate(
    context: &Context<'_>,
    place: &str,
    sound: Option<&Reader<Medium>>,
    opened: Option<&Reader<Medium>>,
    report: &mut Report,
) -> Result<(), Failure> {
    if let Some(sound) = sound {
        match opened {
            Some(reader) if reader.manifest_digest() != sound.manifest_digest() => {
                let text = "warning: --from names another artifact, so it cannot say where this one begins to differ";
                context.output.complain(text);
            }
            Some(reader) => {
                place::compare(&mut report.differences, reader.file(), sound.file());
                place::spare(reader, sound, &mut report.differences);
            }
            None => {
                let options = context.fetch_options(Network::Allowed);
                let medium = Medium::open(place, context.world.cwd(), &options)?;
                place::compare(&mut report.differences, &medium, sound.file());
            }
        }
    }
    Ok(())
}

/// The artifact that --from names.
///
/// # Errors
/// When it cannot be read or is none.
pub fn sound(context: &Context<'_>, args: &Verify) -> Result<Option<Reader<Medium>>, Failure> {
    let options = context.fetch_options(Network::Allowed);
    let cwd = context.world.cwd();
    let place = args.from.as_ref();
    Ok(place
        .map(|place| Medium::artifact(place, cwd, &options))
        .transpose()?)
}

fn absolute(cwd: &Path, place: &str) -> String {
    match is_address(place) {
        true => place.to_owned(),
        false => cwd.join(place).display().to_string(),
    }
}

/// What the artifact is like without reading all of it; nothing when it cannot be opened.
fn stamp(cwd: &Path, place: &str, opened: &Result<Reader<Medium>, ReadError>) -> Option<Digest> {
    let reader = opened.as_ref().ok()?;
    let of_file = match is_address(place) {
        // A server tells no more of a file than its length.
        true => None,
        false => Some(stamp_of_file(&cwd.join(place))?),
    };
    let text = format!("{:?} {} {}", of_file, reader.length(), reader.manifest_digest());
    Some(Digest::of(text.as_bytes()))
}

fn summary(document: &Document) -> String {
    let report = &document.report;
    let mut out: String = document.signature.iter().map(signature::line).collect();
    out.extend(
        report
            .differences
            .iter()
            .map(|difference| format!("{difference}\n")),
    );
    let packages = counted(report.packages, "package");
    out.push_str(&super::verdict(
        &packages,
        report.differences.len(),
        report.extent(),
        report.left,
    ));
    out
}
