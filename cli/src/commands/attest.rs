//! `store attest`: says what this store built, signed, in the store or in an artifact.

use std::path::Path;
use std::process::ExitCode;

use ::schema::attestation::{Attestations, Envelope};
use ::schema::digest::Digest;
use ::schema::id::PackageId;
use builder::attest::{Attester, BuilderUri, Witness, Word};
use builder::configure;
use serde::Serialize;
use store::artifact::reader::{ReadError, Reader};
use store::attestations;
use store::keys::SigningKey;
use store::rendered::Rendered;
use store::seekable::stream::Unpacker;
use store::verify::PackageRef;

use crate::args::Variant;
use crate::args::signing::Attest;
use crate::context::Context;
use crate::failure::{self, Failure, counted};
use crate::meant::workshop;

#[derive(Default, Serialize)]
struct Document {
    /// What is attested now.
    attested: Vec<PackageRef>,
    /// What this store did not build, so that it has nothing to say of it.
    not_built: Vec<PackageRef>,
    /// What came out otherwise here.
    otherwise: Vec<Otherwise>,
    /// What is said of the program that an artifact carries.
    #[serde(skip_serializing_if = "Option::is_none")]
    program: Option<Program>,
    /// The configuration, when nobody said to have looked at it.
    #[serde(skip)]
    not_looked_at: Option<PackageId>,
}

/// What is said of the program.
#[derive(Serialize)]
#[serde(tag = "word", rename_all = "snake_case")]
enum Program {
    /// It is the one that runs here.
    Attested { blake3: Digest },
    /// Another one runs here.
    Otherwise { blake3: Digest, here: Digest },
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

    /// The same of the program whose digest is `blake3`.
    fn note_program(&mut self, blake3: Digest, word: Word) -> Option<Envelope> {
        let (said, envelope) = match word {
            Word::Given(envelope) => (Program::Attested { blake3 }, Some(*envelope)),
            Word::Otherwise(here) => (Program::Otherwise { blake3, here }, None),
            Word::NotBuilt => return None,
        };
        self.program = Some(said);
        envelope
    }

    fn is_contradicted(&self) -> bool {
        !self.otherwise.is_empty() || matches!(self.program, Some(Program::Otherwise { .. }))
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
        [file] if cwd.join(file).is_file() => {
            workshop::no_variant(&args.variant, "an artifact")?;
            let own = context.world.own_binary()?;
            in_artifact(&witness, &cwd.join(file), &own, Looked::at(args))?
        }
        names => {
            no_files(cwd, names)?;
            if args.configuration {
                let failure = Failure::misuse("--configuration is about an artifact, and none is named");
                return Err(
                    failure.help("name one artifact that lies here, e.g. one that `store configure` made")
                );
            }
            in_store(context, &witness, names, &args.variant)?
        }
    };
    context.output.result(&document, || summary(&document))?;
    Ok(ExitCode::from(match document.is_contradicted() {
        true => failure::DIFFERS,
        false => failure::DONE,
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
    variant: &Variant,
) -> Result<Document, Failure> {
    let workshop = workshop::open(context, variant)?;
    let mut document = Document::default();
    let selected = workshop::select(&workshop, names)?;
    let selected: Vec<PackageId> = selected.iter().map(|package| package.id.clone()).collect();
    // Whoever installs one of them gets what it requires, too, and holds that against their policy.
    for id in workshop.closure(&selected) {
        let word = witness.package(&id)?;
        if let Some(envelope) = document.note(&id, word) {
            attestations::keep(witness.store, &id, envelope)?;
        }
    }
    Ok(document)
}

/// Whether somebody says to have looked at the configuration.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Looked {
    AtConfiguration,
    Nowhere,
}

impl Looked {
    fn at(args: &Attest) -> Self {
        match args.configuration {
            true => Self::AtConfiguration,
            false => Self::Nowhere,
        }
    }
}

fn in_artifact(witness: &Witness<'_>, file: &Path, own: &[u8], looked: Looked) -> Result<Document, Failure> {
    let reader = Reader::open_file(file)?;
    let mut unpacker = Unpacker::new().map_err(ReadError::Unpack)?;
    let manifest = reader.manifest();
    let rendered = Rendered::in_artifact(&reader, &mut unpacker)?;
    if rendered.is_none() && looked == Looked::AtConfiguration {
        return Err(Failure::misuse(format!("{} has no configuration", file.display()))
            .help("only what `store configure` rendered is attested by looking at it; leave --configuration out"));
    }
    let mut document = Document::default();
    let mut envelopes = Vec::new();
    if let Some(installer) = &manifest.installer {
        let word = witness.attester.program(installer, own)?;
        envelopes.extend(document.note_program(installer.blake3, word));
    }
    for package in &manifest.packages {
        let rendered = rendered.as_ref().filter(|it| it.package().id == package.id);
        let word = match (rendered, looked) {
            (Some(rendered), Looked::AtConfiguration) => witness.configuration(manifest, rendered)?,
            _ => witness.selected(package)?,
        };
        if rendered.is_some() && word == Word::NotBuilt {
            document.not_looked_at = Some(package.id.clone());
        }
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
    let mut lines = String::new();
    if let Some(Program::Otherwise { blake3, here }) = &document.program {
        lines.push_str(&format!(
            "the program `store` {blake3}: another one runs here, {here}\n"
        ));
    }
    for Otherwise { package, tree } in &document.otherwise {
        lines.push_str(&format!("{}: something else came out here, {tree}\n", package.id));
    }
    for package in &document.not_built {
        let why = match document.not_looked_at.as_ref() {
            Some(id) if *id == package.id => {
                "rendered, so nobody can build it; look at it, and attest it with --configuration"
            }
            _ => "not built by this store",
        };
        lines.push_str(&format!("{}: {why}\n", package.id));
    }
    let program = match document.program {
        Some(Program::Attested { .. }) => "the program and ",
        _ => "",
    };
    format!(
        "{lines}{program}{} attested",
        counted(document.attested.len(), "package")
    )
}
