//! Trees of recipes as anybody may write them: the input is any number of files with NULs between them, each a path, a
//! line feed, and the text. A path that ends with `*` is that of a program, one that ends with `@` that of a symbolic link.
#![no_main]

use std::collections::BTreeMap;

use builder::pin::{Pin, Pinning};
use libfuzzer_sys::fuzz_target;
use schema::digest::Digest;
use schema::finding::{Finding, Severity};
use schema::graph::{Graph, Selection};
use schema::listing::{Entry, EntryKind};
use schema::recipe_parse::{BUILDINFO, RecipeDraft, RecipeText};
use schema::resolved::{self, ResolvedRecipe};
use schema::tree_assemble::assemble;
use schema::tree_of_recipes::{Dialect, DocumentText, Tree, TreeText};

fuzz_target!(|input: &str| {
    let files: BTreeMap<&str, &str> = input
        .split('\0')
        .filter_map(|file| file.split_once('\n'))
        .collect();
    for (path, text) in &files {
        is_pinned(path, text);
    }
    match read(&files) {
        Ok(tree) => {
            assert!(
                tree.warnings
                    .iter()
                    .all(|finding| finding.severity != Severity::Error)
            );
            told(&tree.warnings, &files);
            resolves(&tree);
        }
        Err(findings) => {
            assert!(!findings.is_empty(), "refused without a reason");
            told(&findings, &files);
        }
    }
});

/// A recipe lacks no digest once those that it lacks are written into it.
fn is_pinned(path: &str, text: &str) {
    let name = path
        .strip_suffix(BUILDINFO)
        .and_then(|name| name.strip_suffix('/'));
    let Some(Ok(name)) = name.map(str::parse) else {
        return;
    };
    let pinning = Pinning::of(path.into(), text.to_owned());
    let Ok(unpinned) = pinning.unpinned(&name) else {
        return;
    };
    let pins: Vec<_> = unpinned
        .into_iter()
        .map(|(source, stands)| Pin {
            source,
            digest: stands.digest.expect("zeros"),
            from: String::new(),
        })
        .collect();
    let pinned = pinning.pinned(&pins).expect("these sources are there");
    let again = Pinning::of(path.into(), pinned)
        .unpinned(&name)
        .expect("it is still a recipe");
    assert!(again.is_empty(), "{again:?}");
}

/// As a tree is read from its folder.
fn read(files: &BTreeMap<&str, &str>) -> Result<Tree, Vec<Finding>> {
    let mut text = TreeText::default();
    let mut recipes: BTreeMap<&str, RecipeText> = BTreeMap::new();
    for (path, content) in files {
        match path.split_once('/') {
            None => text.treeinfos.push(document(path, content)),
            Some((folder, name)) => {
                let recipe = recipes.entry(folder).or_default();
                folder.clone_into(&mut recipe.folder);
                match name.ends_with(BUILDINFO) && !name.contains('/') {
                    true => recipe.documents.push(document(path, content)),
                    false => recipe.entries.push(entry(name, content)),
                }
            }
        }
    }
    text.recipes = recipes.into_values().collect();
    let dialect = Dialect::of(&text);
    let recipes = std::mem::take(&mut text.recipes).into_iter();
    let drafts: Vec<_> = recipes
        .filter(|recipe| !recipe.documents.is_empty())
        .map(|recipe| RecipeDraft::read(recipe, dialect))
        .collect();
    for folder in drafts.iter().flat_map(RecipeDraft::outside_folders) {
        let below = files.iter().filter_map(|(path, content)| {
            let name = path.strip_prefix(folder)?.strip_prefix('/')?;
            Some(entry(name, content))
        });
        text.outside.insert(folder.to_owned(), below.collect());
    }
    assemble(dialect, drafts, &text)
}

fn document(file: &str, text: &str) -> DocumentText {
    DocumentText {
        file: file.to_owned(),
        text: text.to_owned(),
    }
}

fn entry(path: &str, content: &str) -> Entry {
    let plain = path.trim_end_matches(['*', '@']);
    let kind = match path.ends_with('@') {
        true => EntryKind::Symlink {
            target: content.to_owned(),
        },
        false => EntryKind::File {
            executable: path.ends_with('*'),
            size: content.len() as u64,
            blake3: Digest::of(content.as_bytes()),
        },
    };
    Entry {
        path: plain.to_owned(),
        kind,
    }
}

/// Each finding says where it is, so that people can be shown it.
fn told(findings: &[Finding], files: &BTreeMap<&str, &str>) {
    for finding in findings {
        let (start, end) = finding.span;
        let text = files.get(finding.file.as_str()).copied().unwrap_or_default();
        assert!(text.get(start..end).is_some(), "{finding:?} is not in the text");
        assert!(finding.line >= 1 && finding.column >= 1, "{finding:?}");
    }
}

fn resolves(tree: &Tree) {
    for variant in tree.infos.keys() {
        let graph = Graph::resolve(tree, variant.as_ref()).expect("the tree was taken");
        for (index, package) in graph.iter() {
            assert!(package.dependencies().all(|dependency| dependency < index));
        }
        let all = graph.select(&Selection::All).expect("all of it is there");
        let closure = graph.closure(&all);
        assert!(closure.is_sorted() && closure.len() <= graph.build_closure(&all).len());
        let resolved = resolved::resolve_all(&graph, 1).expect("a recipe that was parsed has an ID");
        for package in resolved {
            assert_eq!(Digest::of(&package.bytes), *package.id.digest());
            let read: ResolvedRecipe = serde_json::from_slice(&package.bytes).expect("it was written");
            assert_eq!(read, package.recipe);
        }
    }
}
