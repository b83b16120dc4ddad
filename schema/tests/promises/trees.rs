//! Owns trees of recipes made in memory for tests: paths and texts in, a `TreeText` out.

use std::collections::BTreeMap;

use schema::digest::Digest;
use schema::finding::Finding;
use schema::listing::{Entry, EntryKind};
use schema::recipe_parse::RecipeText;
use schema::tree_of_recipes::{DocumentText, Tree, TreeText, validate};

pub const SHA: &str = "6bd8c0d6c6ed0cd30b3652886bb8711dc4bb01d637a68105a3d5158039b418e6";

pub const TREEINFO: &str =
    r#"{"name": "cluster", "version": "1", "prefix": "/opt/store", "platform": "x86_64-linux"}"#;

/// What a reader would make of these files.
pub fn text_of(files: &[(&str, &str)]) -> TreeText {
    let mut tree = TreeText::default();
    let mut recipes: BTreeMap<&str, RecipeText> = BTreeMap::new();
    for (path, text) in files {
        let document = DocumentText {
            file: (*path).to_owned(),
            text: (*text).to_owned(),
        };
        let Some((folder, rest)) = path.split_once('/') else {
            tree.treeinfos.push(document);
            continue;
        };
        let recipe = recipes.entry(folder).or_default();
        recipe.folder = folder.to_owned();
        if rest.ends_with("buildinfo.json") {
            recipe.documents.push(document);
        } else {
            recipe.entries.extend(entries(rest, text, &recipe.entries));
        }
    }
    let (recipes, others): (Vec<_>, Vec<_>) = recipes
        .into_values()
        .partition(|recipe| !recipe.documents.is_empty());
    tree.recipes = recipes;
    for folder in others {
        for sub in folder.entries.iter().filter(|entry| entry.kind == EntryKind::Dir) {
            let inside = |entry: &Entry| {
                let path = entry.path.strip_prefix(&format!("{}/", sub.path))?.to_owned();
                let kind = entry.kind.clone();
                Some(Entry { path, kind })
            };
            let path = format!("{}/{}", folder.folder, sub.path);
            tree.outside
                .insert(path, folder.entries.iter().filter_map(inside).collect());
        }
    }
    tree
}

/// A file and those of its folders that are not known yet.
fn entries(path: &str, text: &str, known: &[Entry]) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (end, _) in path.match_indices('/') {
        let folder = path[..end].to_owned();
        if !known.iter().any(|entry| entry.path == folder) {
            let kind = EntryKind::Dir;
            entries.push(Entry { path: folder, kind });
        }
    }
    let kind = EntryKind::File {
        executable: false,
        size: text.len() as u64,
        blake3: Digest::of(text.as_bytes()),
    };
    let path = path.to_owned();
    entries.push(Entry { path, kind });
    entries
}

pub fn validated(files: &[(&str, &str)]) -> Result<Tree, Vec<Finding>> {
    validate(&text_of(files))
}

/// Findings as people read them.
pub fn shown(findings: &[Finding]) -> Vec<String> {
    let show = |finding: &Finding| {
        let Finding {
            file,
            line,
            column,
            message,
            help,
            ..
        } = finding;
        format!("{file}:{line}:{column} {message} ({help})")
    };
    findings.iter().map(show).collect()
}
