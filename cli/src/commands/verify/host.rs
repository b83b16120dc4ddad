//! Owns `store verify --root`: a host.

use std::path::Path;
use std::process::ExitCode;

use ::schema::visible::visible;
use builder::fetch::medium::Medium;
use serde::{Serialize, Serializer};
use store::artifact::reader::Reader;
use store::host::Host;
use store::host::policy::Admitted;
use store::host::repair::{self, Mended};
use store::host::verify::HostReport;
use store::supply::Supplies;
use store::verify::Run;

use super::supplies::{self, Named, references};
use super::watch::{self, Watch};
use crate::args::verify::Verify;
use crate::context::Context;
use crate::failure::{Failure, counted};
use crate::meant::host;
use crate::render::text;

/// Verifies the host at `root`, or the one this program lies in.
///
/// # Errors
/// When it cannot be looked at; differences are no error but an exit code.
pub fn run(context: &Context<'_>, root: Option<&Path>, args: &Verify) -> Result<ExitCode, Failure> {
    let root = host::root(context, root)?;
    let opened = Host::open(&root).map_err(|error| host::failed(error.into()))?;
    let from = super::artifact::sound(context, args)?;
    let named = Named::of(context, args, from.as_ref())?;
    let caches = named.references();
    let references = references(from.as_ref(), &caches);
    let admitted = admitted(context, &root, args, from.as_ref())?;
    let journal = watch::journal(
        context,
        args,
        &format!("host {} {}", root.display(), args.what.join(" ")),
    )?;
    let watch = Watch::new(context)?;
    // What a killed repair left is swept with that, also where nothing differs any more.
    let lock = args
        .repair
        .then(|| opened.lock())
        .transpose()
        .map_err(host::failed)?;
    let run = Run {
        references: &references,
        journal: journal.as_ref(),
        ..Run::new(&watch)
    };
    let system = host::system(&opened);
    let verify = |run: &Run<'_>| {
        let verified = match args.what.as_slice() {
            [] => store::host::verify::host(&opened, system.as_ref(), run),
            names => store::host::verify::packages(&opened, names, run),
        };
        verified.map_err(host::failed)
    };
    let report = verify(&run)?;
    watch.finish();
    watch::close(context, journal, report.extent);
    let mut document = Document {
        report,
        repaired: Vec::new(),
        remaining: None,
    };
    if let Some(lock) = lock
        && !document.report.differences.is_empty()
        && document.report.extent.is_whole()
    {
        let (report, system) = (&document.report, system.as_ref());
        let refused = supplies::refused(context.output);
        let supplies = Supplies {
            all: named.all().collect(),
            refused: &refused,
        };
        document.repaired =
            repair::repair(&opened, &lock, system, report, &supplies, admitted.as_ref(), &())?;
        document.remaining = Some(verify(&Run::new(&()))?);
    }
    context.output.result(&document, || summary(&document))?;
    let last = document.remaining.as_ref().unwrap_or(&document.report);
    Ok(super::exit(last.is_sound(), last.extent))
}

/// The artifact that the program and the manifest may be taken from, if any is to be: one that the host's policy admits.
fn admitted<'a>(
    context: &Context<'_>,
    root: &Path,
    args: &Verify,
    from: Option<&'a Reader<Medium>>,
) -> Result<Option<Admitted<'a, Medium>>, Failure> {
    let Some(reader) = from.filter(|_| args.repair) else {
        return Ok(None);
    };
    let policy = host::policy(context, None, root)?;
    let admitted = Admitted::by(policy.as_ref(), reader, root);
    Ok(Some(admitted.map_err(host::refused)?))
}

#[derive(Serialize)]
struct Document {
    #[serde(flatten)]
    report: HostReport,
    /// What was done about what differs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    repaired: Vec<Mended>,
    /// What a second verification found after that; nothing when nothing was to be repaired.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "differences")]
    remaining: Option<HostReport>,
}

fn differences<S: Serializer>(report: &Option<HostReport>, serializer: S) -> Result<S::Ok, S::Error> {
    report
        .as_ref()
        .map(|report| &report.differences)
        .serialize(serializer)
}

fn summary(document: &Document) -> String {
    let mut out = found(&document.report);
    let Some(remaining) = &document.remaining else {
        return out;
    };
    for mended in &document.repaired {
        out.push_str(&format!("\nrepaired {}: {}", mended.path, mended.how));
    }
    for difference in &remaining.differences {
        out.push_str(&format!("\nnot mended: {difference}"));
    }
    out.push_str(match remaining.is_sound() {
        true => "\nall mended",
        false => "\nnot all is mended; --from names an artifact and --cache a cache to take packages from, `store activate` makes generations",
    });
    out
}

fn found(report: &HostReport) -> String {
    let mut out: String = report
        .differences
        .iter()
        .map(|difference| format!("{difference}\n"))
        .collect();
    for local in &report.overrides {
        out.push_str(&format!("override {} of {}\n", local.id, local.of));
        out.extend(
            local
                .changed
                .iter()
                .map(|path| format!("  changed {}\n", visible(path))),
        );
    }
    if let Some(pending) = &report.pending {
        out.push_str(&format!(
            "an activation of generation {} is not finished\n",
            pending.to
        ));
    }
    let changed: usize = report.overrides.iter().map(|local| local.changed.len()).sum();
    let active = report
        .generation
        .map_or_else(|| "nothing is active".to_owned(), |n| format!("generation {n}"));
    let looked_at = format!(
        "{active}, {}, {}, {}",
        counted(report.packages, "package"),
        counted(report.files, "file"),
        text::size(report.bytes)
    );
    let found = report.differences.len() + changed;
    out.push_str(&super::verdict(&looked_at, found, report.extent, report.left));
    out
}
