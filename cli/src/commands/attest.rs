//! `store attest`: says what this store built, signed, in the store or in an artifact.

use std::path::Path;
use std::process::ExitCode;

use ::schema::attestation::{Attestations, Envelope};
use ::schema::digest::Digest;
use ::schema::id::PackageId;
use builder::attest::{Attester, BuilderUri, Witness, Word};
use builder::configure;
use serde::Serialize;
use store::artifact::one_file;
use store::artifact::reader::{ReadError, Reader};
use store::attestations;
use store::facts::RESOLVED_RECIPE;
use store::keys::SigningKey;
use store::seekable::stream::Unpacker;
use store::verify::PackageRef;

use crate::args::signing::Attest;
use crate::commands::{Context, workshop};
use crate::failure::{self, Failure, counted};

#[derive(Default, Serialize)]
struct Document {
    /// What is attested now.
    attested: Vec<PackageRef>,
    /// What this store did not build, so that it has nothing to say of it.
    not_built: Vec<PackageRef>,
    /// What came out otherwise here.
    otherwise: Vec<Otherwise>,
}

#[derive(Serialize)]
struct Otherwise {
    #[serde(flatten)]
    package: PackageRef,
    /// What came out here.
    tree: Digest,
}

impl Document {
    /// Notes what is said of a package, and hands on what is to be kept.
    fn note(&mut self, id: &PackageId, word: Word) -> Option<Envelope> {
        let package = PackageRef::from(id);
        match word {
            Word::Given(envelope) => {
                self.attested.push(package);
                return Some(*envelope);
            }
            Word::NotBuilt => self.not_built.push(package),
            Word::Otherwise(tree) => self.otherwise.push(Otherwise { package, tree }),
        }
        None
    }
}

/// Runs the verb.
///
/// # Errors
/// When the key is none, or something cannot be read or written.
pub fn run(context: &Context<'_>, args: &Attest) -> Result<ExitCode, Failure> {
    let cwd = context.world.cwd();
    let key = SigningKey::read(&cwd.join(&args.key))?;
    let store = context.store()?;
    let own = BuilderUri::of_key(&key);
    let builder = args.builder.as_ref().unwrap_or(&own);
    let witness = Witness {
        store: &store,
        attester: Attester { key: &key, builder },
    };
    let document = match args.what.as_slice() {
        [file] if cwd.join(file).is_file() => in_artifact(&witness, &cwd.join(file))?,
        names => {
            no_files(cwd, names)?;
            in_store(context, &witness, names, args.variant.as_deref())?
        }
    };
    context.output.result(&document, || summary(&document));
    Ok(ExitCode::from(match document.otherwise.is_empty() {
        true => failure::DONE,
        false => failure::DIFFERS,
    }))
}

/// Refuses files among the names of packages, there or not.
fn no_files(cwd: &Path, names: &[String]) -> Result<(), Failure> {
    let is_file = |name: &&String| name.contains('/') || name.ends_with(".tar.zst");
    let Some(file) = names.iter().find(is_file) else {
        return Ok(());
    };
    Err(match cwd.join(file).is_file() {
        true => Failure::misuse(format!("{file} is named along with others"))
            .help("attest one artifact at a time, and packages by themselves"),
        false => Failure::misuse(format!("there is no file {file}"))
            .help("name an artifact that is there, or packages by their names"),
    })
}

fn in_store(
    context: &Context<'_>,
    witness: &Witness<'_>,
    names: &[String],
    variant: Option<&str>,
) -> Result<Document, Failure> {
    let workshop = workshop::open(context, variant)?;
    let mut document = Document::default();
    for package in workshop::select(&workshop, names)? {
        let word = witness.package(&package.id)?;
        if let Some(envelope) = document.note(&package.id, word) {
            attestations::keep(witness.store, &package.id, envelope)?;
        }
    }
    Ok(document)
}

fn in_artifact(witness: &Witness<'_>, file: &Path) -> Result<Document, Failure> {
    let reader = Reader::open_file(file)?;
    let mut unpacker = Unpacker::new().map_err(ReadError::Unpack)?;
    let manifest = reader.manifest();
    let configuration = manifest.configuration_package().map(|package| &package.id);
    let mut document = Document::default();
    let mut envelopes = Vec::new();
    for package in &manifest.packages {
        let word = match configuration == Some(&package.id) {
            true => {
                let recipe = one_file::read(&reader, package, RESOLVED_RECIPE, &mut unpacker)?;
                witness.configuration(manifest, package, &recipe.unwrap_or_default())?
            }
            false => witness.selected(package)?,
        };
        envelopes.extend(document.note(&package.id, word));
    }
    drop(reader);
    let mut new = Attestations::default();
    new.add(envelopes)?;
    // An artifact that nothing is said of stays as it is, to the byte.
    if !new.envelopes.is_empty() {
        configure::attest(file, new)?;
    }
    Ok(document)
}

fn summary(document: &Document) -> String {
    let differs = document.otherwise.iter().map(|otherwise| {
        format!(
            "{}: something else came out here, {}\n",
            otherwise.package.id, otherwise.tree
        )
    });
    let not_built = document.not_built.iter();
    let not_built = not_built.map(|package| format!("{}: not built by this store\n", package.id));
    let lines: String = differs.chain(not_built).collect();
    format!("{lines}{} attested", counted(document.attested.len(), "package"))
}
