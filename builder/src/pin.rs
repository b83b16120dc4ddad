//! Owns pinning: finding out which digests a recipe's sources have, and writing them into its `buildinfo.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstInputValue, CstObject, CstRootNode};
use schema::finding::Finding;
use schema::listing::{Entry, EntryKind};
use schema::name::{PackageName, SourceName};
use schema::recipe_parse::{BUILDINFO, RecipeText};
use schema::source::{Source, SourceDigest};
use schema::tree_of_recipes::{DocumentText, TreeText, validate};
use store::Store;
use store::durable;
use store::io_error::{IoContext, IoError};

use crate::fetch::{
    AddressProblem, FetchError, FetchObserver, FetchProblem, Fetcher, PlannedSource, WrongDigest,
};

/// The tree in which a recipe is read while its sources are looked at: nothing of it can change what they are.
const TREE: &str =
    r#"{"name":"pin","version":"1","prefix":"/opt/pin","platform":"x86_64-linux","toolchain":[]}"#;

/// Fields that name other packages, or files beside the recipe, which are of no matter here.
const NEIGHBOURS: [&str; 4] = ["requires", "build_requires", "toolchain", "bootstrap"];

/// A digest that a source has and its recipe does not state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// Which source.
    pub source: SourceName,
    /// Its digest.
    pub digest: SourceDigest,
    /// Where the source came from.
    pub from: String,
}

/// Why a recipe's sources cannot be pinned.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// It cannot be read or written.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The tree has no such recipe.
    #[error("there is no recipe `{name}` in {}; `store recipe new {name}` starts one", root.display())]
    Unknown {
        /// The name.
        name: PackageName,
        /// The tree.
        root: PathBuf,
    },
    /// It is no JSON object, or changed while this ran.
    #[error("{} is not a JSON object with sources", .0.display())]
    NotARecipe(PathBuf),
    /// It has mistakes beside missing digests.
    #[error("the recipe has mistakes that come before its digests")]
    Findings(Vec<Finding>),
    /// A source cannot be had.
    #[error(transparent)]
    Fetch(#[from] FetchError),
}

/// The recipe that is pinned, as it stands on disk.
#[derive(Debug)]
pub struct Pinning {
    path: PathBuf,
    text: String,
}

impl Pinning {
    /// Reads the recipe of `name` in the tree at `root`.
    ///
    /// # Errors
    /// When there is none.
    pub fn open(root: &Path, name: &PackageName) -> Result<Self, PinError> {
        let path = root.join(name.as_str()).join(BUILDINFO);
        match fs::read_to_string(&path).at("read", &path) {
            Err(error) if error.is_not_found() => Err(PinError::Unknown {
                name: name.clone(),
                root: root.to_owned(),
            }),
            read => Ok(Self::of(path, read?)),
        }
    }

    /// The recipe in the file `path`, whose text was read already.
    pub fn of(path: PathBuf, text: String) -> Self {
        Self { path, text }
    }

    /// The recipe's file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Fetches every source that has no digest, and says which it has. Nothing is kept of what is fetched.
    ///
    /// # Errors
    /// When the recipe has other mistakes, or a source cannot be had.
    pub fn find(
        &self,
        name: &PackageName,
        store: &Store,
        fetcher: &Fetcher,
        observer: &dyn FetchObserver,
    ) -> Result<Vec<Pin>, PinError> {
        let root = self
            .path
            .parent()
            .and_then(Path::parent)
            .unwrap_or(Path::new("."));
        // While a process is at work, no collection takes sources.
        store.protect(&[])?;
        let mut pins = Vec::new();
        for (source_name, source) in &self.unpinned(name)? {
            let planned = PlannedSource {
                package: name,
                name: source_name,
                source,
                tree: root,
            };
            match fetcher.fetch(store, &planned, observer) {
                // Its digest really is all zeros: nobody will ever see this.
                Ok(_) => {}
                Err(error) => pins.push(pin(source_name, error)?),
            }
        }
        Ok(pins)
    }

    /// The sources that state no digest, with zeros in its place.
    ///
    /// # Errors
    /// When the recipe has other mistakes.
    pub fn unpinned(&self, name: &PackageName) -> Result<BTreeMap<SourceName, Source>, PinError> {
        let not = || PinError::NotARecipe(self.path.clone());
        let root = self.parse()?;
        let document = root.object_value().ok_or_else(not)?;
        // As it is written, so that a field that is there twice is found to be.
        for field in NEIGHBOURS.iter().filter_map(|field| document.get(field)) {
            field.remove();
        }
        let missing = stand_in(&document, name);
        let text = TreeText {
            treeinfos: vec![document_text("treeinfo.json", TREE.to_owned())],
            recipes: vec![RecipeText {
                folder: name.to_string(),
                documents: vec![document_text(&format!("{name}/{BUILDINFO}"), root.to_string())],
                entries: vec![build_file()],
                ..RecipeText::default()
            }],
            ..TreeText::default()
        };
        let tree = validate(&text).map_err(PinError::Findings)?;
        let variants = tree.recipes.get(name);
        let recipe = variants
            .and_then(|variants| variants.get(&None))
            .ok_or_else(not)?;
        let mut sources = recipe.sources.clone();
        sources.retain(|source, _| missing.contains(source.as_str()));
        Ok(sources)
    }

    /// The recipe's text with `pins` written into it; its own formatting stays.
    ///
    /// # Errors
    /// When it has no such sources.
    pub fn pinned(&self, pins: &[Pin]) -> Result<String, PinError> {
        let not = || PinError::NotARecipe(self.path.clone());
        let root = self.parse()?;
        let document = root.object_value().ok_or_else(not)?;
        for pin in pins {
            let source = source_object(&document, &pin.source).ok_or_else(not)?;
            let value = CstInputValue::String(pin.digest.to_hex());
            source.append(pin.digest.algorithm(), value);
        }
        Ok(root.to_string())
    }

    /// Writes `pins` into the recipe, as [`Pinning::pinned`] has them.
    ///
    /// # Errors
    /// When it cannot be written; then it is as it was.
    pub fn write(&self, pins: &[Pin]) -> Result<(), PinError> {
        let text = self.pinned(pins)?;
        let mode = fs::metadata(&self.path).at("look at", &self.path)?.mode();
        Ok(durable::write(&self.path, text.as_bytes(), mode & 0o777)?)
    }

    fn parse(&self) -> Result<CstRootNode, PinError> {
        let parsed = CstRootNode::parse(&self.text, &ParseOptions::default());
        parsed.map_err(|_| PinError::NotARecipe(self.path.clone()))
    }
}

fn source_object(document: &CstObject, name: &SourceName) -> Option<CstObject> {
    document
        .object_value("sources")
        .and_then(|sources| sources.object_value(name.as_str()))
        .or_else(|| document.object_value("single_source"))
}

fn document_text(file: &str, text: String) -> DocumentText {
    DocumentText {
        file: file.to_owned(),
        text,
    }
}

/// A recipe without a script might be taken for a seed, whose sources have rules of their own.
fn build_file() -> Entry {
    Entry {
        path: "build".to_owned(),
        kind: EntryKind::File {
            executable: false,
            size: 0,
            blake3: schema::digest::Digest::of(b""),
        },
    }
}

/// Puts zeros where a source states no digest; says which those are.
fn stand_in(document: &CstObject, name: &PackageName) -> BTreeSet<String> {
    let single = document.object_value("single_source");
    let mut sources: Vec<_> = single
        .map(|source| (name.to_string(), source))
        .into_iter()
        .collect();
    let named = document.object_value("sources");
    for property in named.iter().flat_map(CstObject::properties) {
        let name = property.name().and_then(|name| name.decoded_value().ok());
        sources.extend(name.zip(property.object_value()));
    }
    let mut missing = BTreeSet::new();
    for (name, source) in sources {
        if let Some(algorithm) = lacking(&source) {
            source.append(algorithm, CstInputValue::String("0".repeat(64)));
            missing.insert(name);
        }
    }
    missing
}

/// By which algorithm the digest is that a source does not state.
fn lacking(source: &CstObject) -> Option<&'static str> {
    let kind = source.get("kind").and_then(|kind| kind.value());
    let kind = kind.and_then(|kind| kind.as_string_lit()?.decoded_value().ok());
    let kind = kind.unwrap_or_default();
    let is_stated = ["sha256", "blake3"]
        .iter()
        .any(|digest| source.get(digest).is_some());
    // The digest of a folder is that of its listing, which is always BLAKE3.
    let algorithm = if kind == "git" { "blake3" } else { "sha256" };
    (!is_stated && !kind.ends_with("local")).then_some(algorithm)
}

fn pin(source: &SourceName, error: FetchError) -> Result<Pin, PinError> {
    let found = match &*error.reason {
        FetchProblem::WrongDigest(wrong) => Some(wrong),
        FetchProblem::Addresses(failures) => failures.iter().find_map(|failure| wrong(&failure.why)),
        _ => None,
    };
    match found {
        Some(wrong) => Ok(Pin {
            source: source.clone(),
            digest: wrong.got,
            from: wrong.from.clone(),
        }),
        None => Err(error.into()),
    }
}

fn wrong(problem: &AddressProblem) -> Option<&WrongDigest> {
    match problem {
        AddressProblem::WrongDigest(wrong) => Some(wrong),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::{FetchOptions, Silent};

    #[test]
    fn a_missing_digest_is_found_and_written_and_nothing_else_changes() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file.txt");
        fs::write(&file, "content").unwrap();
        let recipe = dir.path().join("tree/hello");
        fs::create_dir_all(&recipe).unwrap();
        let text = format!(
            "{{\n  \"version\": \"1\",   \"requires\": [\"nobody\"],\n  \"single_source\": {{\n    \"kind\": \"url\",\n    \"url\": \"file://{}\"\n  }}\n}}\n",
            file.display()
        );
        fs::write(recipe.join(BUILDINFO), &text).unwrap();
        let name = "hello".parse().unwrap();
        let pinning = Pinning::open(&dir.path().join("tree"), &name).unwrap();
        let store = Store::open_or_create(&dir.path().join("store")).unwrap();
        let fetcher = Fetcher::new(FetchOptions::default()).unwrap();
        let pins = pinning.find(&name, &store, &fetcher, &Silent).unwrap();
        assert_eq!(pins.len(), 1);
        pinning.write(&pins).unwrap();
        let written = fs::read_to_string(recipe.join(BUILDINFO)).unwrap();
        let digest = "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73";
        assert!(
            written.contains(&format!("\"sha256\": \"{digest}\"")),
            "{written}"
        );
        assert!(written.starts_with("{\n  \"version\": \"1\",   \"requires\": [\"nobody\"],\n"));
        let pinning = Pinning::open(&dir.path().join("tree"), &name).unwrap();
        assert!(pinning.find(&name, &store, &fetcher, &Silent).unwrap().is_empty());
    }

    fn pinning(text: &str) -> (Pinning, PackageName) {
        let of = Pinning::of("t/p/buildinfo.json".into(), text.to_owned());
        (of, "p".parse().unwrap())
    }

    #[test]
    fn a_recipe_that_is_built_without_a_script_is_pinned_like_any_other() {
        let source = r#""single_source": {"kind": "url", "url": "https://h/x"}"#;
        let text = format!(r#"{{{source}, "bootstrap": [["/pkg/build/extra/make"]]}}"#);
        let (pinning, name) = pinning(&text);
        let names: Vec<_> = pinning.unpinned(&name).unwrap().into_keys().collect();
        assert_eq!(names.iter().map(SourceName::as_str).collect::<Vec<_>>(), ["p"]);
    }

    #[test]
    fn a_source_that_stands_there_twice_is_a_mistake_and_not_pinned() {
        let source = r#""single_source": {"kind": "url", "url": "https://h/x"}"#;
        let (pinning, name) = pinning(&format!("{{{source}, {source}}}"));
        let refused = pinning.unpinned(&name);
        assert!(matches!(refused, Err(PinError::Findings(_))), "{refused:?}");
    }
}
