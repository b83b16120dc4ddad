//! Owns reading one recipe's documents: the base, its variants laid over it, and every mistake in them at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::draft::{Draft, Place};
use crate::fields::{Fields, Report};
use crate::finding::Finding;
use crate::listing::{Entry, EntryKind};
use crate::name::{PackageName, RoleName, VariantName};
use crate::path::inside;
use crate::recipe::{FileContent, Recipe, RecipeFile};
use crate::recipe_fields::RecipeReader;
use crate::source_parse::FolderSource;
use crate::tree_of_recipes::{Dialect, DocumentText};

/// What ends the name of every document of a recipe.
pub const BUILDINFO: &str = "buildinfo.json";

/// One recipe's folder as it was read.
#[derive(Debug, Clone, Default)]
pub struct RecipeText {
    /// The folder's name.
    pub folder: String,
    /// `buildinfo.json` and `<variant>.buildinfo.json`, those that are there.
    pub documents: Vec<DocumentText>,
    /// Everything else in the folder, paths relative to it, in any order.
    pub entries: Vec<Entry>,
    /// Documents that could not be read.
    pub problems: Vec<Finding>,
    /// What else is in the folder and can be no part of a recipe, e.g. links that leave it.
    pub oddities: Vec<Finding>,
}

/// One recipe, all its variants read; its mistakes are known, its surroundings are not.
pub struct RecipeDraft {
    pub(crate) folder: String,
    pub(crate) name: Option<PackageName>,
    pub(crate) variants: BTreeMap<Option<VariantName>, VariantDraft>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) findings: Vec<Finding>,
    /// Whether one of its documents is no JSON, so that its variants are not known.
    pub(crate) unreadable: bool,
}

pub(crate) struct VariantDraft {
    pub(crate) recipe: Recipe,
    /// The recipe's roles and where they stand.
    pub(crate) roles: Vec<(RoleName, Place)>,
    pub(crate) folders: Vec<FolderSource>,
}

impl RecipeDraft {
    /// Reads the documents of one recipe. Never fails: mistakes are kept as findings.
    pub fn read(recipe: RecipeText, dialect: Dialect) -> Self {
        let documents: Vec<_> = recipe.documents.into_iter().map(Arc::new).collect();
        let mut report = Report::new(None, dialect);
        let name = folder_name(&recipe.folder, &documents, &mut report);
        report.package = name.clone();
        for problem in recipe.problems {
            let package = name.clone();
            report.findings.push(Finding { package, ..problem });
        }
        for oddity in recipe.oddities {
            let package = name.clone();
            let severity = report.not_hermetic_severity();
            report.findings.push(Finding {
                package,
                severity,
                ..oddity
            });
        }
        let files = files_of(recipe.entries.iter());
        let mut drafts = BTreeMap::new();
        let mut unreadable = false;
        for document in &documents {
            let Some(variant) = variant_of(document, BUILDINFO, &mut report) else {
                continue;
            };
            match Draft::parse(document) {
                Ok(draft) => {
                    drafts.insert(variant, draft);
                }
                Err(mut finding) => {
                    unreadable = true;
                    finding.package.clone_from(&name);
                    report.findings.push(*finding);
                }
            }
        }
        let mut variants = BTreeMap::new();
        for (variant, draft) in &drafts {
            let base = if dialect == Dialect::Native {
                drafts.get(&None)
            } else {
                None
            };
            let mut fields = Fields::of_draft(draft, "a recipe", &mut report);
            if let (Some(base), Some(_)) = (base, variant) {
                fields = Fields::of_draft(base, "a recipe", &mut report).lay_over(fields);
            }
            let Some(name) = &name else {
                continue;
            };
            let reader = RecipeReader { name, fields };
            variants.insert(
                variant.clone(),
                reader.read(variant.clone(), files.clone(), &mut report),
            );
        }
        Self {
            folder: recipe.folder,
            name,
            variants,
            entries: recipe.entries,
            findings: report.findings,
            unreadable,
        }
    }

    /// Folders of the tree, relative to its root, that sources name and that lie outside this recipe's own.
    pub fn outside_folders(&self) -> impl Iterator<Item = &str> {
        let folders = self.variants.values().flat_map(|variant| &variant.folders);
        folders
            .map(|source| source.path.as_str())
            .filter(|path| inside(&self.folder, path).is_none())
    }
}

fn folder_name(folder: &str, documents: &[Arc<DocumentText>], report: &mut Report) -> Option<PackageName> {
    match folder.parse() {
        Ok(name) => Some(name),
        Err(why) => {
            let file = documents.first().map_or(folder, |document| &document.file);
            let help = "rename the recipe's folder: it gives the package its name";
            report
                .findings
                .push(Finding::of_file(file, None, format!("{why}."), help));
            None
        }
    }
}

/// Which variant a document describes, by its file's name: `x` for `x.buildinfo.json`.
pub(crate) fn variant_of(
    document: &Arc<DocumentText>,
    ending: &str,
    report: &mut Report,
) -> Option<Option<VariantName>> {
    let file = document.file.rsplit('/').next().unwrap_or_default();
    let stem = file.strip_suffix(ending)?;
    let Some(variant) = stem.strip_suffix('.') else {
        return stem.is_empty().then_some(None);
    };
    match variant.parse() {
        Ok(variant) => Some(Some(variant)),
        Err(why) => {
            let help = format!("rename the file: `<variant>.{ending}`");
            let package = report.package.clone();
            report
                .findings
                .push(Finding::of_file(&document.file, package, format!("{why}."), help));
            None
        }
    }
}

/// The files among `entries`, sorted by path bytes.
fn files_of<'a>(entries: impl Iterator<Item = &'a Entry>) -> Vec<RecipeFile> {
    let file = |entry: &Entry| {
        let path = entry.path.clone();
        FileContent::of_entry(&entry.kind).map(|content| RecipeFile { path, content })
    };
    let mut files: Vec<_> = entries.filter_map(file).collect();
    files.sort_by(|one, other| one.path.as_bytes().cmp(other.path.as_bytes()));
    files
}

/// The entries below `folder` with paths relative to it; `None` when there is no such folder.
pub(crate) fn entries_below(entries: &[Entry], folder: &str) -> Option<Vec<Entry>> {
    let below: Vec<_> = entries
        .iter()
        .filter_map(|entry| {
            let path = inside(folder, &entry.path)?.to_owned();
            let kind = entry.kind.clone();
            Some(Entry { path, kind })
        })
        .collect();
    let is_folder = |entry: &Entry| entry.path == folder && entry.kind == EntryKind::Dir;
    (!below.is_empty() || entries.iter().any(is_folder)).then_some(below)
}
