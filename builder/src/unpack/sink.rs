//! Owns the folder that an archive is unpacked into: what may be put where, within which limits, with which mode and time.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use store::io_error::{IoContext, IoError};
use store::removal;

use super::error::{ArchiveProblem, Failure, Refusal};
use super::{Limits, links, path};

/// Mode of folders and of files that may be run.
const EXECUTABLE_MODE: u32 = 0o755;
/// Mode of every other file.
const FILE_MODE: u32 = 0o644;
/// Bytes copied at a time.
const CHUNK: usize = 128 * 1024;
/// What every entry costs beside its content, in bytes, so that names and headers are bounded as well.
const ENTRY_COST: u64 = 512;

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Made {
    Folder,
    File(Runs),
    Link { target: String },
}

/// Whether a file may be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Runs {
    Yes,
    No,
}

impl Runs {
    /// As the mode's execute bits say; all other bits are dropped.
    pub(super) fn of_mode(mode: u32) -> Self {
        if mode & 0o111 == 0 { Self::No } else { Self::Yes }
    }

    fn mode(self) -> u32 {
        match self {
            Self::Yes => EXECUTABLE_MODE,
            Self::No => FILE_MODE,
        }
    }
}

/// Whether a single top folder is taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopFolder {
    /// When there is just one thing at the top and it is a folder, what it holds comes in its place.
    Strip,
    /// Everything stays where the archive has it.
    Keep,
}

/// A folder that is being filled beside its final place; removed unless it is finished.
///
/// Symbolic links are made last, so that until then no path on the disk goes through one.
pub(super) struct Sink {
    root: PathBuf,
    limits: Limits,
    made: BTreeMap<String, Made>,
    bytes: u64,
    buffer: Vec<u8>,
}

impl Drop for Sink {
    fn drop(&mut self) {
        // What resists is in a work area and swept with it.
        let _ = removal::remove(&self.root);
    }
}

impl Sink {
    /// Starts to fill what will be `dest`, a folder that is not there or empty.
    pub(super) fn new(dest: &Path, limits: Limits) -> Result<Self, IoError> {
        let name = dest.file_name().unwrap_or_default().to_string_lossy();
        let root = dest.with_file_name(format!(".{name}.unpacking"));
        removal::remove(&root)?;
        fs::create_dir(&root).at("make folder", &root)?;
        Ok(Self {
            root,
            limits,
            made: BTreeMap::new(),
            bytes: 0,
            buffer: vec![0; CHUNK],
        })
    }

    /// Counts `bytes` against the limit.
    pub(super) fn spend(&mut self, bytes: u64) -> Result<(), ArchiveProblem> {
        let limit = self.limits.bytes;
        match self.bytes.checked_add(bytes) {
            Some(sum) if sum <= limit => {
                self.bytes = sum;
                Ok(())
            }
            _ => Err(ArchiveProblem::TooLarge { limit }),
        }
    }

    /// Puts a folder at `path`; one that is there stays.
    pub(super) fn folder(&mut self, name: &[u8]) -> Result<(), Failure> {
        let path = path::normal(name).map_err(|why| why.entry(name))?;
        if path.is_empty() {
            return Ok(());
        }
        self.folders_above(name, &path)?;
        match self.made.get(&path) {
            None => self.make_folder(&path),
            Some(Made::Folder) => Ok(()),
            Some(_) => Err(Refusal::Twice.entry(name)),
        }
    }

    /// Puts a file at `path`: exactly `size` bytes of `content`.
    pub(super) fn file(
        &mut self,
        name: &[u8],
        runs: Runs,
        size: u64,
        content: &mut dyn Read,
    ) -> Result<(), Failure> {
        let path = self.place(name)?;
        self.spend(size)?;
        match self.made.get(&path) {
            None => {}
            Some(Made::File(there)) if *there == runs => return self.compare(name, &path, size, content),
            Some(_) => return Err(Refusal::Twice.entry(name)),
        }
        self.count(&path)?;
        let at = self.root.join(&path);
        let mut file = File::create_new(&at).at("make file", &at)?;
        let copied = self.copy(content, size, &mut |bytes| file.write_all(bytes).at("write", &at))?;
        if copied < size {
            let found = copied;
            let claimed = size;
            return Err(Refusal::Short { claimed, found }.entry(name));
        }
        file.set_permissions(Permissions::from_mode(runs.mode()))
            .at("set mode of", &at)?;
        self.made.insert(path, Made::File(runs));
        Ok(())
    }

    /// Puts a symbolic link at `path`.
    pub(super) fn link(&mut self, name: &[u8], target: &[u8]) -> Result<(), Failure> {
        let path = self.place(name)?;
        let target = path::target(target).map_err(|why| why.entry(name))?;
        let link = Made::Link { target };
        match self.made.get(&path) {
            None => {}
            Some(there) if *there == link => return Ok(()),
            Some(_) => return Err(Refusal::Twice.entry(name)),
        }
        self.count(&path)?;
        self.made.insert(path, link);
        Ok(())
    }

    /// Puts at `path` the same as stands at `original`, an earlier file's path; a copy, so that a build that changes
    /// one of them does not change the other.
    pub(super) fn hard_link(&mut self, name: &[u8], original: &[u8]) -> Result<(), Failure> {
        let refused = || Refusal::HardLinkOut(String::from_utf8_lossy(original).into_owned()).entry(name);
        let from = path::normal(original).map_err(|_| refused())?;
        match self.made.get(&from) {
            Some(Made::File(runs)) => {
                let runs = *runs;
                let at = self.root.join(&from);
                let mut content = File::open(&at).at("open", &at)?;
                let size = content.metadata().at("look at", &at)?.len();
                self.file(name, runs, size, &mut content)
            }
            Some(Made::Link { target }) => {
                let target = target.clone();
                self.link(name, target.as_bytes())
            }
            Some(Made::Folder) | None => Err(refused()),
        }
    }

    /// Makes the links, gives everything its mode and the time `mtime` (seconds since 1970), and moves it to `dest`.
    pub(super) fn finish(mut self, dest: &Path, top: TopFolder, mtime: u64) -> Result<(), Failure> {
        let top = match top {
            TopFolder::Strip => self.strip()?,
            TopFolder::Keep => self.root.clone(),
        };
        for (path, made) in &self.made {
            let Made::Link { target } = made else { continue };
            if !links::stays_inside(&self.made, path, target) {
                return Err(Refusal::LinkOut(target.clone()).entry(path.as_bytes()));
            }
            let at = top.join(path);
            std::os::unix::fs::symlink(target, &at).at("make link", &at)?;
        }
        // Backwards, since making something in a folder changes the folder's time.
        for (path, made) in self.made.iter().rev() {
            settle(&top.join(path), made, mtime)?;
        }
        settle(&top, &Made::Folder, mtime)?;
        fs::rename(&top, dest).at("rename", &top)?;
        Ok(())
    }

    /// Makes paths relative to the single top folder, if there is one; says where it is.
    fn strip(&mut self) -> Result<PathBuf, IoError> {
        let mut tops = self.made.iter().filter(|(path, _)| !path.contains('/'));
        let top = match (tops.next(), tops.next()) {
            (Some((top, Made::Folder)), None) => top.clone(),
            _ => return Ok(self.root.clone()),
        };
        let made = std::mem::take(&mut self.made).into_iter();
        let below = |(path, made): (String, Made)| {
            let path = path.strip_prefix(&top)?.strip_prefix('/')?.to_owned();
            Some((path, made))
        };
        self.made = made.filter_map(below).collect();
        Ok(self.root.join(top))
    }

    /// The normal path of something that is no folder, with all folders above it there.
    fn place(&mut self, name: &[u8]) -> Result<String, Failure> {
        let path = path::normal(name).map_err(|why| why.entry(name))?;
        if path.is_empty() {
            return Err(Refusal::OddName.entry(name));
        }
        self.folders_above(name, &path)?;
        Ok(path)
    }

    fn folders_above(&mut self, name: &[u8], path: &str) -> Result<(), Failure> {
        for above in path::ancestors(path) {
            match self.made.get(above) {
                None => self.make_folder(above)?,
                Some(Made::Folder) => {}
                Some(Made::File(_)) => return Err(Refusal::BelowFile(above.to_owned()).entry(name)),
                Some(Made::Link { .. }) => return Err(Refusal::BehindLink(above.to_owned()).entry(name)),
            }
        }
        Ok(())
    }

    fn make_folder(&mut self, path: &str) -> Result<(), Failure> {
        self.count(path)?;
        let at = self.root.join(path);
        fs::create_dir(&at).at("make folder", &at)?;
        self.made.insert(path.to_owned(), Made::Folder);
        Ok(())
    }

    /// Counts one more entry against the limits.
    fn count(&mut self, path: &str) -> Result<(), ArchiveProblem> {
        let limit = self.limits.entries;
        if self.made.len() as u64 >= limit {
            return Err(ArchiveProblem::TooMany { limit });
        }
        self.spend(ENTRY_COST + path.len() as u64)
    }

    /// Hands the first `size` bytes of `content` to `take`; says how many there were.
    fn copy(
        &mut self,
        content: &mut dyn Read,
        size: u64,
        take: &mut dyn FnMut(&[u8]) -> Result<(), IoError>,
    ) -> Result<u64, Failure> {
        let mut left = size;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
            match content.read(&mut self.buffer[..most]) {
                Ok(0) => break,
                Ok(count) => {
                    take(&self.buffer[..count])?;
                    left -= count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Failure::unreadable(error)),
            }
        }
        Ok(size - left)
    }

    /// An entry that is there already may come again when it is the same.
    fn compare(&mut self, name: &[u8], path: &str, size: u64, content: &mut dyn Read) -> Result<(), Failure> {
        let at = self.root.join(path);
        let mut there = File::open(&at).at("open", &at)?;
        let mut same = there.metadata().at("look at", &at)?.len() == size;
        let mut expected = vec![0; CHUNK];
        let copied = self.copy(content, size, &mut |bytes| {
            if same {
                let expected = &mut expected[..bytes.len()];
                there.read_exact(expected).at("read", &at)?;
                same = expected == bytes;
            }
            Ok(())
        })?;
        if same && copied == size {
            Ok(())
        } else {
            Err(Refusal::Twice.entry(name))
        }
    }
}

/// Gives what stands at `at` its time, and a folder its mode as well.
fn settle(at: &Path, made: &Made, mtime: u64) -> Result<(), IoError> {
    if *made == Made::Folder {
        fs::set_permissions(at, Permissions::from_mode(EXECUTABLE_MODE)).at("set mode of", at)?;
    }
    let time = TimeSpec::new(i64::try_from(mtime).unwrap_or(i64::MAX), 0);
    utimensat(AT_FDCWD, at, &time, &time, UtimensatFlags::NoFollowSymlink).at("set time of", at)
}
