//! Owns reading a tree of recipes from a folder: every document's text and every other file's digest, side by side.

use std::fs::{self, DirEntry, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use schema::digest::Digest;
use schema::finding::Finding;
use schema::listing::{Entry, EntryKind};
use schema::recipe_parse::{BUILDINFO, RecipeDraft, RecipeText};
use schema::tree_assemble::assemble;
use schema::tree_of_recipes::{Dialect, DocumentText, Tree, TreeText};

/// The longest document that is read, in bytes.
const LONGEST_DOCUMENT: u64 = 4 << 20;
/// Files up to this many bytes are hashed in one piece.
const SMALL: u64 = 1 << 20;

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

/// Reads the tree of recipes at `root` and validates it. No link is followed.
///
/// # Errors
/// When `root` is no readable folder, or when anything in it is wrong.
pub fn read(root: &Path) -> Result<Tree, ReadTreeError> {
    let cannot = |source| ReadTreeError::Root {
        path: root.to_owned(),
        source,
    };
    let mut text = TreeText::default();
    let mut folders = Vec::new();
    for entry in fs::read_dir(root).map_err(cannot)? {
        sort_out(&entry.map_err(cannot)?, &mut folders, &mut text);
    }
    // The order of a folder's entries is the file system's whim.
    folders.sort_unstable();
    text.treeinfos.sort_by(|one, other| one.file.cmp(&other.file));
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
fn sort_out(entry: &DirEntry, folders: &mut Vec<String>, text: &mut TreeText) {
    let Ok(name) = entry.file_name().into_string() else {
        let name = entry.file_name().to_string_lossy().into_owned();
        text.problems.push(not_utf8(&name));
        return;
    };
    let is_treeinfo =
        name.ends_with("treeinfo.json") || name.starts_with("treeinfo.") && name.ends_with(".json");
    let kind = entry.file_type();
    if is_treeinfo {
        match read_document(&entry.path(), &name) {
            Ok(document) => text.treeinfos.push(document),
            Err(finding) => text.problems.push(*finding),
        }
    } else if name.starts_with('.') {
        // Hidden folders (`.git`, editors') hold no recipes.
    } else if kind.as_ref().is_ok_and(fs::FileType::is_dir) {
        folders.push(name);
    } else if kind.is_ok_and(|kind| kind.is_symlink()) && entry.path().is_dir() {
        text.problems.push(Finding::of_file(
            name.as_str(),
            None,
            format!("`{name}` is a symbolic link to a folder; links are not followed."),
            "put a folder here instead of the link, or remove it",
        ));
    }
}

/// `None` when the folder holds no recipe.
fn read_recipe(root: &Path, folder: &str) -> Option<RecipeText> {
    let path = root.join(folder);
    let mut recipe = RecipeText {
        folder: folder.to_owned(),
        ..RecipeText::default()
    };
    let entries = match list(&path) {
        Ok(entries) => entries,
        Err(why) => {
            recipe.problems.push(unreadable(folder, &why));
            return Some(recipe);
        }
    };
    let is_document = |entry: &DirEntry| {
        entry
            .file_name()
            .as_encoded_bytes()
            .ends_with(BUILDINFO.as_bytes())
    };
    let (documents, others): (Vec<_>, Vec<_>) = entries.into_iter().partition(is_document);
    if documents.is_empty() {
        return None;
    }
    for entry in documents {
        let name = entry.file_name();
        match read_document(&entry.path(), &format!("{folder}/{}", name.to_string_lossy())) {
            Ok(document) => recipe.documents.push(document),
            Err(finding) => recipe.problems.push(*finding),
        }
    }
    recipe.documents.sort_by(|one, other| one.file.cmp(&other.file));
    let mut walk = Walk {
        label: folder,
        entries: &mut recipe.entries,
        problems: &mut recipe.problems,
    };
    walk.all(&path, others);
    Some(recipe)
}

/// Reads the folders that sources name outside their own recipe's.
fn read_outside(root: &Path, drafts: &[RecipeDraft], text: &mut TreeText) {
    let mut paths: Vec<&str> = drafts.iter().flat_map(RecipeDraft::outside_folders).collect();
    paths.sort_unstable();
    paths.dedup();
    for path in paths {
        if let Some(entries) = read_folder(root, path, &mut text.problems) {
            text.outside.insert(path.to_owned(), entries);
        }
    }
}

/// `None` when there is no such folder, or when one of the folders above it is a link.
fn read_folder(root: &Path, path: &str, problems: &mut Vec<Finding>) -> Option<Vec<Entry>> {
    let mut folder = root.to_owned();
    for part in path.split('/') {
        folder.push(part);
        if !fs::symlink_metadata(&folder).is_ok_and(|metadata| metadata.is_dir()) {
            return None;
        }
    }
    let mut entries = Vec::new();
    match list(&folder) {
        Ok(top) => {
            let mut walk = Walk {
                label: path,
                entries: &mut entries,
                problems,
            };
            walk.all(&folder, top);
        }
        Err(why) => problems.push(unreadable(path, &why)),
    }
    Some(entries)
}

/// Collects what is below one folder.
struct Walk<'a> {
    /// The folder, relative to the tree's root.
    label: &'a str,
    entries: &'a mut Vec<Entry>,
    problems: &'a mut Vec<Finding>,
}

impl Walk<'_> {
    fn all(&mut self, folder: &Path, top: Vec<DirEntry>) {
        let mut open: Vec<(String, DirEntry)> = top.into_iter().map(|entry| (String::new(), entry)).collect();
        while let Some((above, entry)) = open.pop() {
            let Ok(name) = entry.file_name().into_string() else {
                let name = entry.file_name().to_string_lossy().into_owned();
                self.problems
                    .push(not_utf8(&format!("{}/{above}{name}", self.label)));
                continue;
            };
            let path = format!("{above}{name}");
            match self.kind_of(folder, &path, &entry) {
                Ok(kind) => {
                    if kind == EntryKind::Dir {
                        match list(&entry.path()) {
                            Ok(below) => {
                                open.extend(below.into_iter().map(|entry| (format!("{path}/"), entry)));
                            }
                            Err(why) => self.problems.push(unreadable(&self.named(&path), &why)),
                        }
                    }
                    self.entries.push(Entry { path, kind });
                }
                Err(finding) => self.problems.push(*finding),
            }
        }
    }

    fn kind_of(&self, folder: &Path, path: &str, entry: &DirEntry) -> Result<EntryKind, Box<Finding>> {
        let cannot = |why: io::Error| Box::new(unreadable(&self.named(path), &why));
        let kind = entry.file_type().map_err(cannot)?;
        if kind.is_dir() {
            return Ok(EntryKind::Dir);
        }
        if kind.is_symlink() {
            return self.link(path, &entry.path());
        }
        if !kind.is_file() {
            return Err(Box::new(self.not_a_file(path)));
        }
        match hash(&folder.join(path)).map_err(cannot)? {
            Some(kind) => Ok(kind),
            None => Err(Box::new(self.not_a_file(path))),
        }
    }

    /// A link is kept as it is when it stays inside the folder.
    fn link(&self, path: &str, at: &Path) -> Result<EntryKind, Box<Finding>> {
        let target = fs::read_link(at).map_err(|why| unreadable(&self.named(path), &why))?;
        match target.into_os_string().into_string() {
            Ok(target) if stays_inside(path, &target) => Ok(EntryKind::Symlink { target }),
            _ => Err(Box::new(Finding::of_file(
                self.named(path),
                None,
                format!(
                    "`{}` is a symbolic link that leaves `{}`.",
                    self.named(path),
                    self.label
                ),
                "put the file itself here",
            ))),
        }
    }

    fn not_a_file(&self, path: &str) -> Finding {
        let message = format!(
            "`{}` is neither a file, a folder nor a symbolic link.",
            self.named(path)
        );
        Finding::of_file(self.named(path), None, message, "remove it")
    }

    fn named(&self, path: &str) -> String {
        format!("{}/{path}", self.label)
    }
}

/// Whether a link at `path` with this target points below the folder `path` is relative to, by its text alone.
fn stays_inside(path: &str, target: &str) -> bool {
    if target.is_empty() || target.starts_with('/') {
        return false;
    }
    let mut depth = path.matches('/').count();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." if depth == 0 => return false,
            ".." => depth -= 1,
            _ => depth += 1,
        }
    }
    true
}

fn list(folder: &Path) -> io::Result<Vec<DirEntry>> {
    fs::read_dir(folder)?.collect()
}

/// Opens what must be a regular file; neither a link nor a pipe that took its place can hold this up.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
}

fn read_document(path: &Path, label: &str) -> Result<DocumentText, Box<Finding>> {
    let cannot = |why: io::Error| Box::new(unreadable(label, &why));
    let mut file = open(path).map_err(cannot)?;
    let metadata = file.metadata().map_err(cannot)?;
    let refuse = |message: String, help: &str| Err(Box::new(Finding::of_file(label, None, message, help)));
    if !metadata.is_file() {
        return refuse(format!("`{label}` is not a regular file."), "write a file");
    }
    if metadata.len() > LONGEST_DOCUMENT {
        return refuse(
            format!("`{label}` is longer than 4 MiB."),
            "no document needs that; shorten it",
        );
    }
    let bytes = read_all(&mut file, metadata.len()).map_err(cannot)?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(DocumentText {
            file: label.to_owned(),
            text,
        }),
        Err(_) => refuse(format!("`{label}` is not UTF-8."), "save it as UTF-8"),
    }
}

/// `None` when it is no regular file any more.
fn hash(path: &Path) -> io::Result<Option<EntryKind>> {
    let mut file = open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Ok(None);
    }
    let (blake3, size) = if metadata.len() <= SMALL {
        let bytes = read_all(&mut file, metadata.len())?;
        (Digest::of(&bytes), bytes.len() as u64)
    } else {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(&file)?;
        (Digest::from(hasher.finalize()), hasher.count())
    };
    Ok(Some(EntryKind::File {
        executable: metadata.mode() & 0o100 != 0,
        size,
        blake3,
    }))
}

fn read_all(file: &mut File, expected: u64) -> io::Result<Vec<u8>> {
    // One byte more than expected lets the read that finds the end need no larger buffer.
    let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or(0) + 1);
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn unreadable(label: &str, why: &io::Error) -> Finding {
    let message = format!("`{label}` cannot be read: {why}.");
    Finding::of_file(label, None, message, "make it readable, or remove it")
}

fn not_utf8(label: &str) -> Finding {
    let message = format!("the name of `{label}` is not UTF-8.");
    Finding::of_file(label, None, message, "rename it")
}
