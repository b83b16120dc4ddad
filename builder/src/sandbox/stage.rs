//! Owns the stage: the tmpfs on which a sandbox's root is laid out before `bwrap` starts, as a list of system calls.
//!
//! The list is made in our process and carried out in the warden, between `clone` and `exec`, where nothing may
//! allocate. Every package costs one mount here and none in `bwrap`, which reads all mounts again for each of its own.

use std::ffi::{CStr, CString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::raw::{self, Errno};

/// Where a stage may stand. None of these is needed by `bwrap`, and `/sys` never holds a store.
const PLACES: [&str; 4] = ["/sys", "/mnt", "/srv", "/tmp"];

/// The folder of the stage that becomes `/`.
const ROOT: &str = "root";

/// The folder of the stage that holds what is laid over files of `/proc`.
const MASKS: &str = "masks";

/// A sandbox's root, described.
#[derive(Debug)]
pub struct Stage {
    place: PathBuf,
    mount_point: CString,
    options: CString,
    makes: Vec<Make>,
    binds: Vec<Bind>,
    /// Made after everything else is read-only.
    late_binds: Vec<Bind>,
}

/// Something made on the tmpfs itself.
#[derive(Debug)]
enum Make {
    Folder { path: CString, mode: u32 },
    File { path: CString, content: Vec<u8> },
    Link { path: CString, target: CString },
}

/// Something of the machine, or of the stage itself, shown in the sandbox.
#[derive(Debug)]
struct Bind {
    from: CString,
    to: CString,
    access: Access,
}

/// What may be done with what is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reading only.
    ReadOnly,
    /// Reading and writing.
    Writable,
    /// It is a device.
    Device,
}

/// Which system call of a stage failed.
#[derive(Debug, Clone, Copy)]
pub enum StageStep {
    /// The tmpfs.
    Mount,
    /// The n-th thing made.
    Make(usize),
    /// The n-th thing shown.
    Bind(usize),
    /// Making all of it read-only.
    ReadOnly,
    /// The n-th thing shown after that.
    LateBind(usize),
    /// A `/proc` in which `bwrap` finds its own processes.
    Proc,
}

impl Stage {
    /// An empty stage at a place that hides none of `needed`. The tmpfs holds at most `size` bytes.
    ///
    /// # Errors
    /// When there is no such place.
    pub fn new(needed: &[&Path], size: u64, owner: Option<u32>) -> io::Result<Self> {
        let free = |place: &&&str| {
            let place = Path::new(place);
            place.is_dir() && !needed.iter().any(|path| path.starts_with(place))
        };
        let place = PLACES.iter().find(free).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::NotFound,
                format!("none of {} is a free folder", PLACES.join(", ")),
            )
        })?;
        // What has no owner by option belongs to who mounts it.
        let owner = owner.map_or_else(String::new, |id| format!(",uid={id},gid={id}"));
        // Each file costs the kernel about a KiB that no size counts.
        let files = (size >> 12).max(1 << 12);
        let mut stage = Self {
            place: PathBuf::from(place),
            mount_point: text(Path::new(place))?,
            options: text(Path::new(&format!(
                "mode=0755,size={size},nr_inodes={files}{owner}"
            )))?,
            makes: Vec::new(),
            binds: Vec::new(),
            late_binds: Vec::new(),
        };
        stage.make_folder(stage.place.join(ROOT), 0o755)?;
        stage.make_folder(stage.place.join(MASKS), 0o755)?;
        Ok(stage)
    }

    /// The folder that becomes `/`.
    pub fn root(&self) -> PathBuf {
        self.place.join(ROOT)
    }

    /// Where `path`, absolute and inside, lies on the stage.
    fn on_root(&self, path: &Path) -> PathBuf {
        self.root().join(path.strip_prefix("/").unwrap_or(path))
    }

    fn make_folder(&mut self, path: PathBuf, mode: u32) -> io::Result<()> {
        let path = text(&path)?;
        self.makes.push(Make::Folder { path, mode });
        Ok(())
    }

    /// A folder, whose parent was made before.
    pub fn folder(&mut self, path: &Path, mode: u32) -> io::Result<()> {
        self.make_folder(self.on_root(path), mode)
    }

    /// A read-only file, whose folder was made before.
    pub fn file(&mut self, path: &Path, content: Vec<u8>) -> io::Result<()> {
        let path = text(&self.on_root(path))?;
        self.makes.push(Make::File { path, content });
        Ok(())
    }

    /// A symbolic link, whose folder was made before.
    pub fn link(&mut self, path: &Path, target: &Path) -> io::Result<()> {
        let (path, target) = (text(&self.on_root(path))?, text(target)?);
        self.makes.push(Make::Link { path, target });
        Ok(())
    }

    /// A file outside the root, for `bwrap` to lay over another. Its path on the stage is returned.
    pub fn mask_file(&mut self, name: &Path, content: Vec<u8>) -> io::Result<PathBuf> {
        let place = self.place.join(MASKS).join(name);
        self.makes.push(Make::File {
            path: text(&place)?,
            content,
        });
        Ok(place)
    }

    /// A folder outside the root, to hold [`Stage::mask_file`]s. Its path on the stage is returned.
    pub fn mask_folder(&mut self, name: &Path) -> io::Result<PathBuf> {
        let place = self.place.join(MASKS).join(name);
        self.make_folder(place.clone(), 0o755)?;
        Ok(place)
    }

    /// Shows `from`, of this machine, at `to`, where a file or folder was made before.
    pub fn bind(&mut self, from: &Path, to: &Path, access: Access) -> io::Result<()> {
        let bind = Bind {
            from: text(from)?,
            to: text(&self.on_root(to))?,
            access,
        };
        match access {
            Access::ReadOnly => self.binds.push(bind),
            Access::Writable | Access::Device => self.late_binds.push(bind),
        }
        Ok(())
    }

    /// Lets the folder at `path` inside, made before, be written to although all others cannot.
    pub fn open_up(&mut self, path: &Path) -> io::Result<()> {
        let place = self.on_root(path);
        self.bind(&place, path, Access::Writable)
    }

    /// What a failed step was to do, for people.
    pub fn describe(&self, step: StageStep) -> String {
        let made = |make: &Make| match make {
            Make::Folder { path, .. } => format!("make the folder {}", path.to_string_lossy()),
            Make::File { path, .. } => format!("write {}", path.to_string_lossy()),
            Make::Link { path, .. } => format!("link {}", path.to_string_lossy()),
        };
        let bound = |bind: &Bind| {
            format!(
                "show {} at {}",
                bind.from.to_string_lossy(),
                bind.to.to_string_lossy()
            )
        };
        let found = match step {
            StageStep::Mount => Some(format!("mount a tmpfs on {}", self.place.display())),
            StageStep::Make(index) => self.makes.get(index).map(made),
            StageStep::Bind(index) => self.binds.get(index).map(bound),
            StageStep::ReadOnly => Some("make it read-only".to_owned()),
            StageStep::LateBind(index) => self.late_binds.get(index).map(bound),
            StageStep::Proc => Some("mount /proc".to_owned()),
        };
        found.unwrap_or_else(|| "lay out its root".to_owned())
    }

    /// Carries the list out, in mount namespaces of the calling process's own. Allocates nothing.
    /// `owner` gets what is made, if it is another than the caller.
    pub fn raise(&self, owner: Option<u32>) -> Result<(), (StageStep, Errno)> {
        raw::make_mounts_private()
            .and_then(|()| raw::mount_tmpfs(&self.mount_point, &self.options))
            .map_err(|errno| (StageStep::Mount, errno))?;
        if let Some(id) = owner {
            raw::set_file_system_id(id);
        }
        let made = each(&self.makes, StageStep::Make, Make::carry_out);
        if owner.is_some() {
            raw::set_file_system_id(0);
        }
        made?;
        each(&self.binds, StageStep::Bind, |bind| {
            raw::bind_mount(&bind.from, &bind.to)
        })?;
        raw::restrict_mounts_below(&self.mount_point).map_err(|errno| (StageStep::ReadOnly, errno))?;
        each(&self.late_binds, StageStep::LateBind, |bind| {
            raw::bind_mount(&bind.from, &bind.to)?;
            match bind.access {
                Access::ReadOnly => Ok(()),
                Access::Writable => raw::open_mount(&bind.to),
                Access::Device => raw::device_mount(&bind.to),
            }
        })?;
        raw::mount_proc().map_err(|errno| (StageStep::Proc, errno))
    }
}

fn each<T>(
    things: &[T],
    step: impl Fn(usize) -> StageStep,
    act: impl Fn(&T) -> Result<(), Errno>,
) -> Result<(), (StageStep, Errno)> {
    for (index, thing) in things.iter().enumerate() {
        act(thing).map_err(|errno| (step(index), errno))?;
    }
    Ok(())
}

impl Make {
    fn carry_out(&self) -> Result<(), Errno> {
        match self {
            Self::Folder { path, mode } => raw::make_folder(path, *mode),
            Self::File { path, content } => raw::make_file(path, content),
            Self::Link { path, target } => raw::make_link(path, target),
        }
    }
}

/// A path for the kernel.
pub fn text(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::from)
}

/// The same for arguments and variables.
pub fn texts<'a>(all: impl IntoIterator<Item = &'a str>) -> io::Result<Vec<CString>> {
    let made = all
        .into_iter()
        .map(|text| CString::new(text).map_err(io::Error::from));
    made.collect()
}

/// What `execve` takes; the texts must outlive it.
pub fn pointers(texts: &[CString]) -> Vec<*const libc::c_char> {
    let ends = std::iter::once(std::ptr::null());
    texts.iter().map(|text| CStr::as_ptr(text)).chain(ends).collect()
}
