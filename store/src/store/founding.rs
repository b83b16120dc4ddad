//! Owns how a store comes to be, and what must be there wherever one is opened: its format, its index, its own folders.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use super::{FOLDERS, FORMAT, FORMAT_FILE, INDEX_FILE, LOST_AND_FOUND, Layout, OpenError, TMP};
use crate::durable::{self, FOLDER_MODE};
use crate::folder;
use crate::index::Index;
use crate::io_error::{IoContext, IoError};
use crate::publish;
use crate::regular;
use crate::work::{KEPT, LOCKS, NEEDS};

/// Sees to it that nobody takes a folder of another name, in which a store could be made, for a store that holds nothing.
pub(crate) fn exists(root: &Path) -> Result<(), OpenError> {
    let is_absent = |error: &io::Error| {
        matches!(
            error.kind(),
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
        )
    };
    match fs::metadata(root.join(FORMAT_FILE)) {
        Err(error) if is_absent(&error) => Err(OpenError::Absent(root.to_owned())),
        _ => Ok(()),
    }
}

/// Sees to it that a store of our format is at `root`; gives its `format` file, open.
pub(crate) fn prepare(root: &Path) -> Result<(Layout, File), OpenError> {
    let folder = DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(root);
    folder.at("make folder", root)?;
    let root = fs::canonicalize(root).at("resolve", root)?;
    let layout = Layout { root };
    let path = layout.folder(FORMAT_FILE);
    let file = match regular::open(&path) {
        Err(error) if error.is_not_found() => {
            create(&layout)?;
            regular::open(&path)?
        }
        opened => opened?,
    };
    let file = known(&layout, file)?;
    make_folders(&layout)?;
    Ok((layout, file))
}

/// Checks that a store whose `format` file is `file` has a format that this program knows.
pub(super) fn known(layout: &Layout, mut file: File) -> Result<File, OpenError> {
    let path = layout.folder(FORMAT_FILE);
    let mut text = String::new();
    file.read_to_string(&mut text).at("read", &path)?;
    match text.trim_end().parse() {
        Ok(FORMAT) => Ok(file),
        Ok(found) if found > FORMAT => Err(OpenError::Newer {
            root: layout.root.clone(),
            found,
        }),
        _ => Err(OpenError::OddFormat { path, text }),
    }
}

/// Makes an empty store. The format file comes last, so what is half-made has none and is made again.
fn create(layout: &Layout) -> Result<(), OpenError> {
    let root = &layout.root;
    let lock = File::open(root).at("open", root)?;
    lock.lock().at("lock", root)?;
    let path = layout.folder(FORMAT_FILE);
    if path.exists() {
        return Ok(());
    }
    let aside = layout.folder(TMP).join(FORMAT_FILE);
    for entry in folder::entries(root)? {
        let name = entry.file_name();
        let ours = |name: &str| FOLDERS.contains(&name) || name.starts_with(INDEX_FILE);
        if !name.to_str().is_some_and(ours) {
            return Err(OpenError::NotAStore(root.clone()));
        }
    }
    make_folders(layout)?;
    // Durable when this returns: its last connection moved all into the file and waited for the disk.
    Index::create(&layout.index())?;
    fs::write(&aside, format!("{FORMAT}\n")).at("write", &aside)?;
    publish::set_mode(&aside, publish::FILE_MODE)?;
    durable::sync(&aside)?;
    fs::rename(&aside, &path).at("rename", &aside)?;
    Ok(durable::sync(root)?)
}

/// Whether a store has something of that name at its top.
pub(crate) fn belongs_at_top(name: &std::ffi::OsStr) -> bool {
    // What SQLite keeps beside the index begins with its name.
    let ours = |name: &str| FOLDERS.contains(&name) || name.starts_with(INDEX_FILE);
    name.to_str()
        .is_some_and(|name| ours(name) || [FORMAT_FILE, LOST_AND_FOUND].contains(&name))
}

/// Makes those that are not there: all of a new store, and in an older one what came with later versions. What is unfinished
/// is removed by whoever comes next, so those folders must be the store's own.
fn make_folders(layout: &Layout) -> Result<(), IoError> {
    let top = FOLDERS.map(|folder| layout.folder(folder));
    let temporary = [LOCKS, KEPT, NEEDS].map(|folder| layout.tmp().join(folder));
    let all = top.into_iter().chain(temporary.clone());
    let mut missing = all.filter(|path| !path.is_dir());
    missing.try_for_each(|path| make_folder(&path))?;
    is_own_folder(&layout.tmp())?;
    temporary.iter().try_for_each(|path| is_own_folder(path))
}

/// Fails unless there is a folder at `path` itself: what a link leads to is not the store's to clear.
fn is_own_folder(path: &Path) -> Result<(), IoError> {
    match fs::symlink_metadata(path).at("look at", path)?.is_dir() {
        true => Ok(()),
        false => Err(io::Error::other("it is not a folder of the store's own")).at("use", path),
    }
}

/// Fails unless all folders of the store at `root` are its own, before anything in them is removed for nobody needing it.
pub(crate) fn are_own_folders(root: &Path) -> Result<(), IoError> {
    FOLDERS
        .iter()
        .try_for_each(|folder| is_own_folder(&root.join(folder)))
}

fn make_folder(path: &Path) -> Result<(), IoError> {
    match DirBuilder::new().mode(FOLDER_MODE).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made.at("make folder", path),
    }
}
