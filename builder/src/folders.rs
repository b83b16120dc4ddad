//! Owns the folders of one build: sources unpacked, the recipe copied and checked, an empty output.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use schema::digest::Digest;
use schema::name::SourceName;
use schema::recipe::{FileContent, RecipeFile};
use store::folder;
use store::io_error::{IoContext, IoError};
use store::work::WorkArea;

/// Where the parts of one build lie, below a work area of the store.
#[derive(Debug)]
pub struct Folders {
    /// `/pkg/src` in the sandbox.
    pub sources: PathBuf,
    /// `/pkg/build` in the sandbox; its `extra` is `/pkg/extra`.
    pub recipe: PathBuf,
    /// `$PKG_PATH` in the sandbox.
    pub output: PathBuf,
    /// `/tmp` in the sandbox.
    pub tmp: PathBuf,
    /// The build's log.
    pub log: PathBuf,
}

/// Why a recipe's files cannot be laid out.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// A file of the recipe changed after the recipe was hashed.
    #[error("{} changed while this ran; run it again", .0.display())]
    Changed(PathBuf),
    /// A file cannot be read or written.
    #[error(transparent)]
    Io(#[from] IoError),
}

impl Folders {
    /// The folders of a build in `area`; nothing is made yet.
    pub fn at(area: &Path) -> Self {
        Self {
            sources: area.join("src"),
            recipe: area.join("recipe"),
            output: area.join("output"),
            tmp: area.join("tmp"),
            log: area.join("log"),
        }
    }

    /// Makes all folders in `area`, empty.
    ///
    /// # Errors
    /// When one cannot be made.
    pub fn make(area: &WorkArea) -> Result<Self, IoError> {
        let folders = Self::at(area.path());
        for folder in [&folders.sources, &folders.recipe, &folders.output, &folders.tmp] {
            fs::create_dir(folder).at("make folder", folder)?;
        }
        Ok(folders)
    }

    /// Where the source `name` is unpacked to.
    pub fn source(&self, name: &SourceName) -> PathBuf {
        self.sources.join(name.as_str())
    }

    /// Copies a recipe's files from its folder `from`, each checked against the digest it was hashed with.
    ///
    /// # Errors
    /// When a file changed since, or cannot be copied.
    pub fn copy_recipe(&self, from: &Path, files: &[RecipeFile], mtime: u64) -> Result<(), LayoutError> {
        // Always there, so that the sandbox looks the same whether a recipe has extra files or not.
        let extra = self.recipe.join("extra");
        fs::create_dir(&extra).at("make folder", &extra)?;
        for file in files {
            let to = self.recipe.join(&file.path);
            if let Some(parent) = to.parent() {
                fs::create_dir_all(parent).at("make folder", parent)?;
            }
            copy_checked(&from.join(&file.path), &to, &file.content)?;
        }
        set_times(&self.recipe, mtime)?;
        Ok(())
    }
}

fn copy_checked(from: &Path, to: &Path, content: &FileContent) -> Result<(), LayoutError> {
    match content {
        FileContent::Symlink { target } => {
            std::os::unix::fs::symlink(target, to).at("make link", to)?;
        }
        FileContent::File { executable, blake3 } => {
            let bytes = fs::read(from).at("read", from)?;
            if Digest::of(&bytes) != *blake3 {
                return Err(LayoutError::Changed(from.to_owned()));
            }
            fs::write(to, bytes).at("write", to)?;
            let mode = if *executable { 0o555 } else { 0o444 };
            fs::set_permissions(to, fs::Permissions::from_mode(mode)).at("change mode of", to)?;
        }
    }
    Ok(())
}

/// Gives everything in `folder` the same time, so that no build sees when it began.
fn set_times(folder: &Path, mtime: u64) -> Result<(), IoError> {
    let time = filetime::FileTime::from_unix_time(i64::try_from(mtime).unwrap_or(i64::MAX), 0);
    for entry in folder::entries(folder)? {
        let path = entry.path();
        if entry.file_type().at("look at", &path)?.is_dir() {
            set_times(&path, mtime)?;
        } else {
            filetime::set_symlink_file_times(&path, time, time).at("set time of", &path)?;
        }
    }
    filetime::set_file_mtime(folder, time).at("set time of", folder)
}
