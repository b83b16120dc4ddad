//! Owns reading a tree of recipes from a folder: every document's text and every other file's digest, side by side.

mod walk;

use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use rayon::prelude::*;
use schema::finding::Finding;
use schema::listing::Entry;
use schema::recipe_parse::{BUILDINFO, RecipeDraft, RecipeText};
use schema::tree_assemble::assemble;
use schema::tree_of_recipes::{Dialect, Tree, TreeText};

use walk::{Folder, Found, Kind, OpenFolder, Walk, unreadable};

/// Why a folder is no tree of recipes.
#[derive(Debug, thiserror::Error)]
pub enum ReadTreeError {
    /// The folder itself cannot be read.
    #[error("the tree of recipes `{path}` cannot be read")]
    Root {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There are mistakes in it; all of them, sorted by file and line.
    #[error("the tree of recipes has mistakes")]
    Findings(Vec<Finding>),
}

/// Reads the tree of recipes at `path` and validates it. No link below it is followed.
///
/// # Errors
/// When `path` is no readable folder, or when anything in it is wrong.
pub fn read(path: &Path) -> Result<Tree, ReadTreeError> {
    let cannot = |source| ReadTreeError::Root {
        path: path.to_owned(),
        source,
    };
    let mut root = OpenFolder::open(path).map_err(cannot)?;
    let mut text = TreeText::default();
    let mut folders = Vec::new();
    let contents = root.contents().map_err(cannot)?;
    let root = root.folder();
    for found in contents {
        sort_out(root, found, &mut folders, &mut text);
    }
    text.recipes = folders
        .par_iter()
        .filter_map(|folder| read_recipe(root, folder))
        .collect();
    let dialect = Dialect::of(&text);
    let recipes = std::mem::take(&mut text.recipes);
    let drafts: Vec<_> = recipes
        .into_par_iter()
        .map(|recipe| RecipeDraft::read(recipe, dialect))
        .collect();
    read_outside(root, &drafts, &mut text);
    assemble(dialect, drafts, &text).map_err(ReadTreeError::Findings)
}

/// What stands at the tree's root is a document about the tree, a folder that may hold a recipe, or not ours.
fn sort_out(root: Folder<'_>, found: Found, folders: &mut Vec<String>, text: &mut TreeText) {
    let Found { name, kind } = found;
    let Some(name) = name.checked("", &mut text.problems) else {
        return;
    };
    let is_treeinfo =
        name.ends_with("treeinfo.json") || name.starts_with("treeinfo.") && name.ends_with(".json");
    match kind {
        _ if is_treeinfo => match root.document(&name, &name) {
            Ok(document) => text.treeinfos.push(document),
            Err(finding) => text.problems.push(*finding),
        },
        // Hidden folders (`.git`, editors') hold no recipes.
        _ if name.starts_with('.') => {}
        Kind::Folder => folders.push(name),
        Kind::Link if root.leads_to_folder(&name) => text.problems.push(Finding::of_file(
            name.as_str(),
            None,
            format!("`{name}` is a symbolic link to a folder; links are not followed."),
            "put a folder here instead of the link, or remove it",
        )),
        Kind::Link | Kind::File | Kind::Other => {}
    }
}

/// `None` when the folder holds no recipe.
fn read_recipe(root: Folder<'_>, name: &str) -> Option<RecipeText> {
    let mut recipe = RecipeText {
        folder: name.to_owned(),
        ..RecipeText::default()
    };
    let opened = root
        .open(name)
        .and_then(|mut folder| Ok((folder.contents()?, folder)));
    let (contents, folder) = match opened {
        Ok(opened) => opened,
        Err(why) => {
            recipe.problems.push(unreadable(name, &why));
            return Some(recipe);
        }
    };
    let is_document = |found: &Found| found.name.as_bytes().ends_with(BUILDINFO.as_bytes());
    let (documents, others): (Vec<_>, Vec<_>) = contents.into_iter().partition(is_document);
    if documents.is_empty() {
        return None;
    }
    for Found { name: file, .. } in documents {
        let Some(file) = file.checked(&format!("{name}/"), &mut recipe.problems) else {
            continue;
        };
        match folder.folder().document(&file, &format!("{name}/{file}")) {
            Ok(document) => recipe.documents.push(document),
            Err(finding) => recipe.problems.push(*finding),
        }
    }
    let mut walk = Walk::new(name, &mut recipe.entries, &mut recipe.oddities);
    walk.collect(folder.folder(), others, "");
    Some(recipe)
}

/// Reads the folders that sources name outside their own recipe's.
fn read_outside(root: Folder<'_>, drafts: &[RecipeDraft], text: &mut TreeText) {
    let mut paths: Vec<&str> = drafts.iter().flat_map(RecipeDraft::outside_folders).collect();
    paths.sort_unstable();
    paths.dedup();
    for path in paths {
        match read_folder(root, path, &mut text.problems) {
            Ok(entries) => {
                text.outside.insert(path.to_owned(), entries);
            }
            // The source that names a missing folder is a finding of its own, and links are as good as missing.
            Err(why) if is_missing(&why) => {}
            Err(why) => text.problems.push(unreadable(path, &why)),
        }
    }
}

fn is_missing(why: &io::Error) -> bool {
    let errno = why.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP))
}

fn read_folder(root: Folder<'_>, path: &str, problems: &mut Vec<Finding>) -> io::Result<Vec<Entry>> {
    let mut parts = path.split('/');
    // Opened one by one, so that no link on the way is followed.
    let mut folder = root.open(parts.next().unwrap_or_default())?;
    for part in parts {
        folder = folder.folder().open(part)?;
    }
    let contents = folder.contents()?;
    let mut entries = Vec::new();
    Walk::new(path, &mut entries, problems).collect(folder.folder(), contents, "");
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::Mode;
    use schema::graph::Graph;
    use schema::id::PackageId;
    use schema::resolved::resolve_all;
    use std::fs;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{PermissionsExt, symlink};

    const TREEINFO: &str = r#"{"name": "c", "version": "1", "prefix": "/opt/store", "platform": "x86_64-linux", "toolchain": []}"#;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("treeinfo.json"), TREEINFO).unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn findings(root: &Path) -> Vec<String> {
        match read(root) {
            Err(ReadTreeError::Findings(findings)) => findings
                .into_iter()
                .map(|finding| format!("{}: {}", finding.file, finding.message))
                .collect(),
            other => panic!("{other:?}"),
        }
    }

    fn id(root: &Path) -> PackageId {
        let graph = Graph::resolve(&read(root).unwrap(), None).unwrap();
        resolve_all(&graph, 1).unwrap().remove(0).id
    }

    /// Changes something and tells whether the ID moved.
    fn moves(root: &Path, change: impl FnOnce(&Path)) -> bool {
        let before = id(root);
        change(root);
        before != id(root)
    }

    #[test]
    fn every_file_beside_a_recipe_moves_its_id_with_its_mode() {
        let tree = tree(&[
            ("a/buildinfo.json", "{}"),
            ("a/build", "true\n"),
            ("a/extra/x/patch", ""),
        ]);
        let root = tree.path();
        assert!(moves(root, |root| fs::write(root.join("a/extra/x/patch"), "y").unwrap()));
        assert!(moves(root, |root| fs::write(root.join("a/check"), "true\n").unwrap()));
        let executable = fs::Permissions::from_mode(0o755);
        assert!(moves(root, |root| fs::set_permissions(
            root.join("a/check"),
            executable
        )
        .unwrap()));
        let large = vec![7; 3 << 20];
        assert!(moves(root, |root| fs::write(root.join("a/extra/large"), &large)
            .unwrap()));
        assert!(moves(root, |root| symlink("large", root.join("a/extra/link")).unwrap()));
        let others = fs::Permissions::from_mode(0o775);
        assert!(!moves(root, |root| fs::set_permissions(
            root.join("a/check"),
            others
        )
        .unwrap()));
        assert!(!moves(root, |root| fs::write(root.join("README.md"), "about").unwrap()));
        assert!(!moves(root, |root| fs::create_dir_all(root.join(".git/objects"))
            .unwrap()));
    }

    #[test]
    fn local_folders_are_digested_wherever_they_lie_in_the_tree() {
        let recipe = r#"{"sources": {"shared": {"kind": "local", "path": "../shared/lib"},
            "own": {"kind": "git_local", "rel_path": "own"}}}"#;
        let tree = tree(&[
            ("a/buildinfo.json", recipe),
            ("a/build", ""),
            ("a/own/main.c", ""),
            ("shared/lib/lib.c", ""),
        ]);
        let root = tree.path();
        assert!(moves(root, |root| fs::write(
            root.join("shared/lib/lib.c"),
            "int x;"
        )
        .unwrap()));
        assert!(moves(root, |root| fs::write(root.join("a/own/main.c"), "int x;")
            .unwrap()));
        assert!(!moves(root, |root| fs::write(root.join("shared/other"), "").unwrap()));
        fs::rename(root.join("shared"), root.join("elsewhere")).unwrap();
        assert_eq!(
            findings(root),
            ["a/buildinfo.json: there is no folder `shared/lib`."]
        );
        symlink("elsewhere", root.join("shared")).unwrap();
        assert_eq!(
            findings(root),
            [
                "a/buildinfo.json: there is no folder `shared/lib`.",
                "shared: `shared` is a symbolic link to a folder; links are not followed.",
            ]
        );
    }

    #[test]
    fn what_is_no_file_and_what_leads_outside_is_refused() {
        let tree = tree(&[
            ("a/buildinfo.json", "{}"),
            ("a/build", ""),
            ("a/extra/x/deep", ""),
        ]);
        let extra = tree.path().join("a/extra");
        nix::unistd::mkfifo(&extra.join("pipe"), Mode::S_IRWXU).unwrap();
        symlink("/etc/passwd", extra.join("absolute")).unwrap();
        symlink("../../../secret", extra.join("outside")).unwrap();
        symlink("../x/../x/deep", extra.join("x/inside")).unwrap();
        fs::write(extra.join(std::ffi::OsStr::from_bytes(b"\xff")), "").unwrap();
        fs::remove_file(tree.path().join("a/build")).unwrap();
        nix::unistd::mkfifo(&tree.path().join("a/build"), Mode::S_IRWXU).unwrap();
        nix::unistd::mkfifo(&tree.path().join("a/x.buildinfo.json"), Mode::S_IRWXU).unwrap();
        let mut found = findings(tree.path());
        found.sort();
        assert_eq!(
            found,
            [
                "a/build: `a/build` is neither a file, a folder nor a symbolic link.",
                "a/buildinfo.json: there is no `a/build`.",
                "a/extra/absolute: `a/extra/absolute` is a symbolic link that leaves `a`.",
                "a/extra/outside: `a/extra/outside` is a symbolic link that leaves `a`.",
                "a/extra/pipe: `a/extra/pipe` is neither a file, a folder nor a symbolic link.",
                "a/extra/\u{fffd}: the name of `a/extra/\u{fffd}` is not UTF-8.",
                "a/x.buildinfo.json: `a/x.buildinfo.json` is not a regular file.",
            ]
        );
    }

    #[test]
    fn a_secret_key_among_a_recipes_files_is_refused_and_a_public_one_is_not() {
        let tree = tree(&[("a/buildinfo.json", "{}"), ("a/build", "")]);
        let keys = tempfile::tempdir().unwrap();
        let made = store::keys::generate(&keys.path().join("farm")).unwrap();
        fs::copy(&made.public, tree.path().join("a/farm.pub")).unwrap();
        assert!(read(tree.path()).is_ok());
        fs::create_dir(tree.path().join("a/extra")).unwrap();
        fs::copy(&made.secret, tree.path().join("a/extra/farm")).unwrap();
        assert_eq!(
            findings(tree.path()),
            ["a/extra/farm: `a/extra/farm` is a secret key, which would be handed on with the recipe."]
        );
    }

    #[test]
    fn what_can_be_configured_is_no_recipe_and_moves_no_id() {
        let tree = tree(&[("a/buildinfo.json", "{}"), ("a/build", "true\n")]);
        assert!(!moves(tree.path(), |root| {
            let templates = root.join("config/templates/etc");
            fs::create_dir_all(&templates).unwrap();
            fs::write(root.join("config/schema.json"), "{}").unwrap();
            fs::write(root.join("config/config.sample.yaml"), "").unwrap();
            fs::write(templates.join("buildinfo.json"), "{{ no recipe }}").unwrap();
            symlink("/etc", templates.join("link")).unwrap();
        }));
        assert_eq!(read(tree.path()).unwrap().recipes.len(), 1);
    }

    #[test]
    fn a_document_that_is_no_text_and_a_root_that_is_no_folder_are_told() {
        let tree = tree(&[("a/build", "")]);
        fs::write(tree.path().join("a/buildinfo.json"), b"{\"version\": \"\xff\"}").unwrap();
        assert_eq!(
            findings(tree.path()),
            ["a/buildinfo.json: `a/buildinfo.json` is not UTF-8."]
        );
        let missing = read(&tree.path().join("gone"));
        assert!(matches!(missing, Err(ReadTreeError::Root { .. })), "{missing:?}");
    }
}
