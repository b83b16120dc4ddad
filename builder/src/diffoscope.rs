//! Owns pages that `diffoscope` makes of two packages that should be the same, where it is installed.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schema::id::PackageId;
use serde::Serialize;
use store::process::{self, ProcessError, Verdict};

use crate::cancel::CancelToken;

/// How long one page may take.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// What `diffoscope` answers when it found differences, which is what it is started for.
const FOUND: i32 = 1;

/// The modes of a package's own folder, in a store and while it is built.
const STORED_MODE: u32 = 0o555;
const BUILT_MODE: u32 = 0o755;

/// Makes pages.
#[derive(Debug, Clone)]
pub struct Pages {
    program: PathBuf,
    folder: PathBuf,
}

/// What came of a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Page {
    /// It is there.
    Made(PathBuf),
    /// It could not be made, for this reason.
    Failed(String),
}

impl Pages {
    /// Pages in `folder`, by the `diffoscope` that is found in `path_variable`, i.e. in `$PATH`. Without one, none.
    pub fn find(path_variable: Option<&OsStr>, folder: &Path) -> Option<Self> {
        let folders = path_variable.map(std::env::split_paths)?;
        let mut programs = folders.map(|folder| folder.join("diffoscope"));
        let program = programs.find(|path| path.is_absolute() && path.is_file())?;
        Some(Self {
            program,
            folder: folder.to_owned(),
        })
    }

    /// Makes `<id>.html` of the package `id` as it is stored and as it was built, aside, where its own folder can still be
    /// written; that is no difference.
    pub fn make(&self, id: &PackageId, stored: &Path, built: &Path, cancel: &CancelToken) -> Page {
        let page = self.folder.join(format!("{id}.html"));
        let aside = self.folder.join(format!("{id}.html.part"));
        let mut command = process::command(&self.program);
        command.arg("--html").arg(&aside).arg(stored).arg(built);
        let mut look = || match cancel.is_cancelled() {
            true => Verdict::Cancel,
            false => Verdict::GoOn,
        };
        let set_mode = |mode| fs::set_permissions(built, Permissions::from_mode(mode));
        let ran = fs::create_dir_all(&self.folder)
            .and_then(|()| set_mode(STORED_MODE))
            .map_err(|error| error.to_string())
            .and_then(|()| match process::run(command, PATIENCE, &mut look) {
                Ok(_) => Ok(()),
                Err(ProcessError::Failed { status, .. }) if status.code() == Some(FOUND) => Ok(()),
                Err(error) => Err(error.to_string()),
            });
        let ran = ran.and(set_mode(BUILT_MODE).map_err(|error| error.to_string()));
        match ran.and_then(|()| fs::rename(&aside, &page).map_err(|error| error.to_string())) {
            Ok(()) => Page::Made(page),
            Err(why) => {
                // It may never have been begun.
                let _ = fs::remove_file(&aside);
                Page::Failed(why)
            }
        }
    }
}
