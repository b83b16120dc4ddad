//! Owns the walk over one folder of a tree of recipes, from open folder to open folder, so that nothing can be swapped
//! for a link on the way.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::dir::{Dir, Type};
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{Mode, SFlag, fstatat};
use schema::digest::Digest;
use schema::finding::Finding;
use schema::listing::{Entry, EntryKind};
use schema::tree_of_recipes::DocumentText;
use store::handed_on::is_secret_key;

/// The longest document that is read, in bytes.
const LONGEST_DOCUMENT: u64 = 4 << 20;
/// Files up to this many bytes are hashed in one piece.
const SMALL: u64 = 1 << 20;
/// How deep folders may nest.
const DEEPEST: usize = 64;

const FOLDER: OFlag = OFlag::O_RDONLY.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);
/// Neither a link nor a pipe that took a file's place can hold this up.
const FILE: OFlag = OFlag::O_RDONLY
    .union(OFlag::O_NOFOLLOW)
    .union(OFlag::O_NONBLOCK)
    .union(OFlag::O_CLOEXEC);

/// An open folder whose content can be listed, by one thread.
pub(super) struct OpenFolder(Dir);

/// An open folder whose files can be opened, by any thread.
#[derive(Clone, Copy)]
pub(super) struct Folder<'a>(BorrowedFd<'a>);

/// What a folder holds under one name.
pub(super) struct Found {
    pub(super) name: Name,
    pub(super) kind: Kind,
}

/// A file's name as the file system has it.
pub(super) struct Name(CString);

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    Link,
    Other,
}

/// What a file turns out to be when it is hashed.
enum Hashed {
    File(EntryKind),
    /// It would be kept in stores, where anybody may read it.
    SecretKey,
    /// It is none any more.
    Other,
}

impl Name {
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.to_bytes()
    }

    /// The name as text; one that is no UTF-8 becomes a finding.
    pub(super) fn checked(self, above: &str, problems: &mut Vec<Finding>) -> Option<String> {
        self.0
            .into_string()
            .map_err(|error| not_utf8(&error.into_cstring(), above))
            .map_or_else(
                |finding| {
                    problems.push(finding);
                    None
                },
                Some,
            )
    }
}

impl OpenFolder {
    /// Opens a folder by its path, links followed: people may keep a tree wherever they like.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(Dir::open(path, FOLDER, Mode::empty())?))
    }

    pub(super) fn folder(&self) -> Folder<'_> {
        Folder(self.0.as_fd())
    }

    /// All it holds, sorted by name: the order it is kept in is the file system's whim.
    pub(super) fn contents(&mut self) -> io::Result<Vec<Found>> {
        let mut contents = Vec::new();
        let mut unknown = Vec::new();
        for entry in self.0.iter() {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let kind = match entry.file_type() {
                Some(Type::File) => Kind::File,
                Some(Type::Directory) => Kind::Folder,
                Some(Type::Symlink) => Kind::Link,
                Some(_) => Kind::Other,
                None => {
                    unknown.push(contents.len());
                    Kind::Other
                }
            };
            let name = Name(name.to_owned());
            contents.push(Found { name, kind });
        }
        for at in unknown {
            contents[at].kind = self.folder().kind_of(&contents[at].name.0)?;
        }
        contents.sort_unstable_by(|one, other| one.name.0.cmp(&other.name.0));
        Ok(contents)
    }
}

impl Folder<'_> {
    /// Opens a folder in this one, but no link to one.
    pub(super) fn open(self, name: &str) -> io::Result<OpenFolder> {
        Ok(OpenFolder(Dir::openat(
            self.0,
            name,
            FOLDER | OFlag::O_NOFOLLOW,
            Mode::empty(),
        )?))
    }

    /// For file systems whose folders do not say what they hold.
    fn kind_of(self, name: &CStr) -> io::Result<Kind> {
        let status = fstatat(self.0, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        Ok(
            match SFlag::from_bits_truncate(status.st_mode & SFlag::S_IFMT.bits()) {
                SFlag::S_IFREG => Kind::File,
                SFlag::S_IFDIR => Kind::Folder,
                SFlag::S_IFLNK => Kind::Link,
                _ => Kind::Other,
            },
        )
    }

    /// Whether a link in this folder leads to a folder.
    pub(super) fn leads_to_folder(self, name: &str) -> bool {
        let status = fstatat(self.0, name, AtFlags::empty());
        status.is_ok_and(|status| status.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFDIR.bits())
    }

    fn file(self, name: &str) -> io::Result<File> {
        Ok(File::from(openat(self.0, name, FILE, Mode::empty())?))
    }

    /// Reads a document; `label` is what findings call it.
    pub(super) fn document(self, name: &str, label: &str) -> Result<DocumentText, Box<Finding>> {
        let cannot = |why: io::Error| Box::new(unreadable(label, &why));
        let refuse =
            |message: String, help: &str| Err(Box::new(Finding::of_file(label, None, message, help)));
        let mut file = self.file(name).map_err(cannot)?;
        let metadata = file.metadata().map_err(cannot)?;
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
        if is_secret_key(&bytes) {
            // As a document with a mistake it would be shown.
            return Err(Box::new(secret(label)));
        }
        match String::from_utf8(bytes) {
            Ok(text) => Ok(DocumentText {
                file: label.to_owned(),
                text,
            }),
            Err(_) => refuse(format!("`{label}` is not UTF-8."), "save it as UTF-8"),
        }
    }

    /// The digest of a file.
    fn hash(self, name: &str) -> io::Result<Hashed> {
        let mut file = self.file(name)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Ok(Hashed::Other);
        }
        let (blake3, size) = if metadata.len() <= SMALL {
            let bytes = read_all(&mut file, metadata.len())?;
            if is_secret_key(&bytes) {
                return Ok(Hashed::SecretKey);
            }
            (Digest::of(&bytes), bytes.len() as u64)
        } else {
            let mut hasher = blake3::Hasher::new();
            hasher.update_reader(&file)?;
            (Digest::from(hasher.finalize()), hasher.count())
        };
        Ok(Hashed::File(EntryKind::File {
            executable: metadata.mode() & 0o100 != 0,
            size,
            blake3,
        }))
    }
}

/// Collects what is below one folder, paths relative to it.
pub(super) struct Walk<'a> {
    /// The folder, relative to the tree's root.
    label: &'a str,
    entries: &'a mut Vec<Entry>,
    problems: &'a mut Vec<Finding>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(label: &'a str, entries: &'a mut Vec<Entry>, problems: &'a mut Vec<Finding>) -> Self {
        Self {
            label,
            entries,
            problems,
        }
    }

    /// Collects `contents`, which `folder` holds; `above` is that folder's path with a `/` behind it, or nothing.
    pub(super) fn collect(&mut self, folder: Folder<'_>, contents: Vec<Found>, above: &str) {
        for Found { name, kind } in contents {
            let Some(name) = name.checked(&format!("{}/{above}", self.label), self.problems) else {
                continue;
            };
            let path = format!("{above}{name}");
            let found = match kind {
                Kind::Folder => self.descend(folder, &name, &path),
                Kind::Link => self.link(folder, &name, &path),
                Kind::File => match folder.hash(&name) {
                    Ok(Hashed::File(kind)) => Ok(kind),
                    Ok(Hashed::SecretKey) => Err(Box::new(secret(&self.named(&path)))),
                    Ok(Hashed::Other) => Err(Box::new(self.not_a_file(&path))),
                    Err(why) => Err(Box::new(unreadable(&self.named(&path), &why))),
                },
                Kind::Other => Err(Box::new(self.not_a_file(&path))),
            };
            match found {
                Ok(kind) => self.entries.push(Entry { path, kind }),
                Err(finding) => self.problems.push(*finding),
            }
        }
    }

    fn descend(&mut self, folder: Folder<'_>, name: &str, path: &str) -> Result<EntryKind, Box<Finding>> {
        if path.matches('/').count() >= DEEPEST {
            let message = format!("`{}` lies too deep.", self.named(path));
            let help = "nest fewer than 64 folders";
            return Err(Box::new(Finding::of_file(self.named(path), None, message, help)));
        }
        let opened = folder
            .open(name)
            .and_then(|mut below| Ok((below.contents()?, below)));
        match opened {
            Ok((contents, below)) => {
                self.collect(below.folder(), contents, &format!("{path}/"));
                Ok(EntryKind::Dir)
            }
            Err(why) => Err(Box::new(unreadable(&self.named(path), &why))),
        }
    }

    /// A link is kept as it is when it stays inside the folder.
    fn link(&self, folder: Folder<'_>, name: &str, path: &str) -> Result<EntryKind, Box<Finding>> {
        let target = readlinkat(folder.0, name);
        let target = target.map_err(|why| unreadable(&self.named(path), &why.into()))?;
        match target.into_string() {
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

/// The content of a regular file. A read that brings less than was asked for has come to its end.
fn read_all(file: &mut File, expected: u64) -> io::Result<Vec<u8>> {
    let expected = usize::try_from(expected).unwrap_or(0);
    let mut bytes = vec![0; expected + 1];
    let mut length = 0;
    loop {
        match file.read(&mut bytes[length..]) {
            Ok(count) if length + count < bytes.len() => {
                bytes.truncate(length + count);
                return Ok(bytes);
            }
            Ok(count) => {
                length += count;
                bytes.resize(length * 2, 0);
            }
            Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
            Err(why) => return Err(why),
        }
    }
}

/// A secret key becomes a finding that says where it is, and nothing of it.
fn secret(label: &str) -> Finding {
    let message = format!("`{label}` is a secret key, which would be handed on with the recipe.");
    let help = "keep it outside of the tree; if anybody else has had the tree, make a new one";
    Finding::of_file(label, None, message, help)
}

/// What could not be read becomes a finding about it.
pub(super) fn unreadable(label: &str, why: &io::Error) -> Finding {
    let message = format!("`{label}` cannot be read: {why}.");
    Finding::of_file(label, None, message, "make it readable, or remove it")
}

fn not_utf8(name: &CStr, above: &str) -> Finding {
    let label = format!("{above}{}", name.to_string_lossy());
    let message = format!("the name of `{label}` is not UTF-8.");
    Finding::of_file(label, None, message, "rename it")
}
