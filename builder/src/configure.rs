//! Owns turning a person's few inputs into a configuration package, an artifact that holds it, and a folder to serve.

mod attested;
mod clash;
pub(crate) mod delivery;
mod document;
mod explain;
mod inputs;
mod install_script;
mod json;
mod package;
mod place;
mod secrets;
mod special;
mod templates;
mod yaml;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use schema::attestation::AttestationError;
use schema::canonical::CanonicalError;
use schema::delivery::{DeliveryIndex, DeliveryIndexError};
use schema::finding::Finding;
use schema::id::PackageId;
use schema::manifest::ActiveManifest;
use schema::platform::Prefix;
use schema::tree_of_recipes::DocumentText;
use store::artifact::append::AppendError;
use store::artifact::attest::AttestError;
use store::artifact::reader::{ReadError, Reader};
use store::artifact::unpacking::UnpackError;
use store::io_error::{IoContext, IoError};

use crate::attest::Attester;

use document::{Document, Unread};
use inputs::InputSchema;
use templates::Template;

pub use attested::attest;
pub use clash::Clash;
pub use delivery::INDEX;
pub use inputs::{IP_DETECT, Inputs, SECRET_FILE};
pub use special::{environment, health};
pub use templates::{ENVIRONMENT, HEALTH};

/// Where a tree of recipes says what can be configured.
pub const SCHEMA: &str = "config/schema.json";

/// Where a tree of recipes keeps what is rendered.
pub const TEMPLATES: &str = "config/templates";

/// The longest configuration, schema or script, in bytes.
const LONGEST: u64 = 1 << 20;

/// What is to be configured with what.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The tree of recipes.
    pub recipes: &'a Path,
    /// The file with the inputs.
    pub inputs: &'a Path,
    /// What findings call that file.
    pub inputs_name: &'a str,
    /// The artifact; it is only read.
    pub artifact: &'a Path,
    /// The folder to make.
    pub output: &'a Path,
    /// Where that folder will be served, for whoever runs `install.sh` from a pipe.
    pub url: Option<&'a str>,
    /// Who vouches for the configuration, if anybody does.
    pub attester: Option<Attester<'a>>,
}

/// What was made.
#[derive(Debug, Clone)]
pub struct Configured {
    /// The configuration package.
    pub id: PackageId,
    /// The one in its place before.
    pub replaced: Option<PackageId>,
    /// What is in the folder.
    pub index: DeliveryIndex,
    /// Whether the folder changed.
    pub changed: bool,
}

/// Mistakes in documents, and the texts to show them in where those are not the files'.
#[derive(Debug, Default)]
pub struct Mistakes {
    /// All of them, sorted.
    pub findings: Vec<Finding>,
    /// By the name that findings call it by: a rendered text, or a file without what may be a secret.
    pub texts: BTreeMap<String, String>,
}

/// Why nothing was configured. The folder is then as it was.
#[derive(Debug, thiserror::Error)]
pub enum ConfigureError {
    /// Mistakes in the inputs, the schema or the templates.
    #[error("there {} in the configuration", if .0.findings.len() == 1 { "is 1 mistake".to_owned() } else { format!("are {} mistakes", .0.findings.len()) })]
    Mistakes(Box<Mistakes>),
    /// The tree of recipes has nothing to configure.
    #[error("{} is not there, so this tree of recipes has nothing to configure", .0.display())]
    NoSchema(PathBuf),
    /// Files that a package brings already.
    #[error("the configuration brings what a package brings already:{}", .0.iter().map(|clash| format!("\n  {clash}")).collect::<String>())]
    Clashes(Vec<Clash>),
    /// The artifact has no `store` for hosts in it.
    #[error("the artifact carries no `store` for its hosts; `store artifact create` writes one that does")]
    NoInstaller,
    /// The folder to make is something else already.
    #[error("{} is there and was not made by `store configure`; name another folder, or remove it", .0.display())]
    Foreign(PathBuf),
    /// What lies there as the index of a delivery is none, or one that this program does not know.
    #[error("{}: {source}", path.display())]
    Index {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: DeliveryIndexError,
    },
    /// Two at once would make one folder.
    #[error("another process is making {}", .0.display())]
    Busy(PathBuf),
    /// The artifact cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The program for hosts cannot be taken out of it.
    #[error(transparent)]
    Program(#[from] UnpackError),
    /// The new artifact cannot be written.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// What is attested cannot be put into it.
    #[error(transparent)]
    Attest(#[from] AttestError),
    /// What is attested is too much for an artifact.
    #[error(transparent)]
    Attestation(#[from] AttestationError),
    /// The system refused something.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The configuration package's name is too long, or the manifest holds what no recipe could.
    #[error("the artifact cannot be configured: {0}")]
    Unfit(String),
    /// A text without JSON form.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
}

impl ConfigureError {
    fn findings(findings: Vec<Finding>) -> Self {
        Self::mistakes(findings, BTreeMap::new())
    }

    fn mistakes(mut findings: Vec<Finding>, texts: BTreeMap<String, String>) -> Self {
        findings.sort();
        findings.dedup();
        Self::Mistakes(Box::new(Mistakes { findings, texts }))
    }

    /// Whether what is there was written by a newer `store`, and so is not for this one to judge.
    fn is_newer(&self) -> bool {
        let Self::Index { source, .. } = self else {
            return false;
        };
        matches!(source, DeliveryIndexError::Format(_))
    }

    fn unreadable(path: &Path, source: io::Error) -> Self {
        Self::Io(IoError {
            action: "read",
            path: path.to_owned(),
            source,
        })
    }
}

/// Checks the inputs, renders the configuration package, and makes the folder that hosts install from.
///
/// # Errors
/// See [`ConfigureError`]; of mistakes all that can be found at once.
pub fn configure(request: &Request<'_>) -> Result<Configured, ConfigureError> {
    let reader = Reader::open_file(request.artifact)?;
    let facts = package::Facts::of(reader.manifest())?;
    let (inputs, templates) = read_all(request, &facts)?;
    let rendered = package::render(request, &facts, reader.manifest(), inputs, &templates)?;
    let clashes = clash::find(&reader, &rendered.files)?;
    if !clashes.is_empty() {
        return Err(ConfigureError::Clashes(clashes));
    }
    delivery::make(request, &reader, &rendered)
}

/// The checked inputs and the templates; mistakes in both are told at once.
fn read_all(
    request: &Request<'_>,
    facts: &package::Facts,
) -> Result<(Inputs, Vec<Template>), ConfigureError> {
    let schema_path = request.recipes.join(SCHEMA);
    if !schema_path.exists() {
        return Err(ConfigureError::NoSchema(schema_path));
    }
    let schema = read_document(&schema_path, SCHEMA)?;
    let inputs = read_document(request.inputs, request.inputs_name)?;
    let templates = templates::read(request.recipes)?;
    let misplaced = templates::check_places(&templates);
    match check_inputs(schema, inputs, &facts.prefix) {
        Ok(inputs) if misplaced.is_empty() => Ok((inputs, templates)),
        Ok(_) => Err(ConfigureError::findings(misplaced)),
        Err(Mistakes { mut findings, texts }) => {
            findings.extend(misplaced);
            Err(ConfigureError::mistakes(findings, texts))
        }
    }
}

/// Checks the inputs of a configuration against its schema, and fills in the defaults; `prefix` is where no secret may
/// lie.
///
/// # Errors
/// All mistakes in the schema, else all in the inputs.
pub fn check_inputs(schema: DocumentText, inputs: DocumentText, prefix: &Prefix) -> Result<Inputs, Mistakes> {
    let told = |findings| Mistakes {
        findings,
        ..Mistakes::default()
    };
    let schema = InputSchema::parse(schema, prefix).map_err(told)?;
    let shown = |document: &Document, findings| {
        let text = document.text();
        let masked = masked(text, &schema.masked(document));
        Mistakes {
            findings,
            texts: BTreeMap::from([(text.file.clone(), masked)]),
        }
    };
    let document = Document::parse(inputs).map_err(|Unread { findings, document }| match document {
        Some(document) => shown(&document, findings),
        // Whatever stands there may be a secret.
        None => told(findings.into_iter().map(Finding::without_text).collect()),
    })?;
    schema
        .check(&document)
        .map_err(|findings| shown(&document, findings))
}

/// The text with `*` for every byte that is not to be shown; lines and columns stay.
fn masked(text: &DocumentText, ranges: &[std::ops::Range<usize>]) -> String {
    let mut hidden = vec![false; text.text.len()];
    for at in ranges.iter().cloned().flatten() {
        hidden[at] = true;
    }
    let hide = |(at, c): (usize, char)| match c {
        '\n' | '\r' => c.to_string(),
        _ if hidden[at] => "*".repeat(c.len_utf8()),
        _ => c.to_string(),
    };
    text.text.char_indices().map(hide).collect()
}

fn read_document(path: &Path, name: &str) -> Result<DocumentText, ConfigureError> {
    let bytes = read_small(path, name)?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(DocumentText {
            file: name.to_owned(),
            text,
        }),
        Err(_) => Err(not_taken(name, "is not UTF-8", "save it as UTF-8")),
    }
}

/// The bytes of a regular file that is no longer than [`LONGEST`].
fn read_small(path: &Path, name: &str) -> Result<Vec<u8>, ConfigureError> {
    let metadata = fs::metadata(path).at("read", path)?;
    if !metadata.is_file() {
        return Err(not_taken(name, "is not a file", "name a file"));
    }
    if metadata.len() > LONGEST {
        return Err(not_taken(name, "is longer than 1 MiB", "name the right file"));
    }
    Ok(fs::read(path).at("read", path)?)
}

fn not_taken(name: &str, why: &str, help: &str) -> ConfigureError {
    ConfigureError::findings(vec![Finding::of_file(
        name,
        None,
        format!("`{name}` {why}."),
        help,
    )])
}

/// The name of an artifact of `manifest`.
pub fn artifact_name(manifest: &ActiveManifest) -> String {
    format!(
        "{}-{}-{}.tar.zst",
        manifest.name, manifest.version, manifest.platform
    )
}
