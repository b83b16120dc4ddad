//! Owns the list of files that differ between two builds for no good reason, or lie on a host, and what is done about each.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

use store::io_error::IoContext;

use super::walk::Found;
use super::{NormaliseRules, OutputError, Problem, ProblemKind, Treated, ar, for_each};

/// One kind of noise.
#[derive(Debug)]
pub struct Noise {
    /// In which files it is looked for.
    pub files: Files,
    /// What is done to them.
    pub treatment: Treatment,
    /// Why, for people.
    pub reason: &'static str,
}

/// Which regular files of an output an item of the list is about.
#[derive(Debug, Clone, Copy)]
pub enum Files {
    /// The name ends so.
    Ending(&'static [&'static str]),
    /// The name is so, in whatever folder.
    Named(&'static str),
    /// The path in the output is so.
    At(&'static str),
}

/// What is done to a file of an output.
#[derive(Debug, Clone, Copy)]
pub enum Treatment {
    /// It is removed.
    Remove,
    /// It is removed when its first kilobyte holds this text.
    RemoveIfHolds(&'static str),
    /// Headers of a static library get fixed values; a thin one is refused.
    CleanArchive,
    /// The time in a gzip header is zeroed.
    ZeroGzipTime,
    /// The source's time in a compiled Python file becomes the time that the source gets.
    StampPyc,
}

/// Everything that is treated as noise. Whatever else differs is a fault of the recipe and is not hidden here.
pub const NOISE: &[Noise] = &[
    Noise {
        files: Files::Ending(&[".la"]),
        treatment: Treatment::RemoveIfHolds("libtool library file"),
        reason: "libtool's notes name the build's folders and make every later link name them too",
    },
    Noise {
        files: Files::Ending(&[".a"]),
        treatment: Treatment::CleanArchive,
        reason: "members of a static library carry the time, owner and mode of object files",
    },
    Noise {
        files: Files::Ending(&[".gz", ".tgz"]),
        treatment: Treatment::ZeroGzipTime,
        reason: "gzip writes the time of compression into its header",
    },
    Noise {
        files: Files::Ending(&[".pyc"]),
        treatment: Treatment::StampPyc,
        reason: "compiled Python names its source's time and is stale when the source has another",
    },
    Noise {
        files: Files::Named(".packlist"),
        treatment: Treatment::Remove,
        reason: "perl's list of installed files is for uninstalling, which no package here does",
    },
    Noise {
        files: Files::Named("perllocal.pod"),
        treatment: Treatment::Remove,
        reason: "perl's log of installations names the time of each",
    },
    Noise {
        files: Files::At("share/info/dir"),
        treatment: Treatment::Remove,
        reason: "the index of all info pages is one host's, so any two packages that bring it collide",
    },
];

impl Files {
    fn include(self, path: &str) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        match self {
            Self::Ending(endings) => endings.iter().any(|ending| name.ends_with(ending)),
            Self::Named(wanted) => name == wanted,
            Self::At(wanted) => path == wanted,
        }
    }
}

/// What is left of an output after [`clean`], and what was done.
pub(super) struct Cleaned {
    pub found: Vec<Found>,
    pub treated: Vec<Treated>,
}

enum Outcome {
    Untouched,
    Rewritten,
    Removed,
    Thin,
}

/// Applies the list to `found`.
pub(super) fn clean(
    dir: &Path,
    mut found: Vec<Found>,
    rules: &NormaliseRules<'_>,
    problems: &mut Vec<Problem>,
) -> Result<Cleaned, OutputError> {
    let about = |entry: &Found| {
        NOISE
            .iter()
            .find(|noise| entry.is_file() && noise.files.include(&entry.path))
    };
    let candidates: Vec<_> = found
        .iter()
        .enumerate()
        .filter_map(|(at, entry)| Some((at, about(entry)?)))
        .collect();
    let outcomes = for_each(&candidates, |(at, noise)| {
        let path = dir.join(&found[*at].path);
        treat(&path, noise.treatment, rules).at("clean", &path)
    })?;
    let mut treated = Vec::new();
    let mut removed = Vec::new();
    for ((at, noise), outcome) in candidates.into_iter().zip(outcomes) {
        let path = found[at].path.clone();
        match outcome {
            Outcome::Untouched => continue,
            Outcome::Rewritten => {}
            Outcome::Removed => removed.push(at),
            Outcome::Thin => {
                let kind = ProblemKind::ThinArchive;
                problems.push(Problem { path, kind });
                continue;
            }
        }
        treated.push(Treated { path, noise });
    }
    let mut index = 0;
    found.retain(|_| {
        let keep = removed.binary_search(&index).is_err();
        index += 1;
        keep
    });
    Ok(Cleaned { found, treated })
}

fn treat(path: &Path, treatment: Treatment, rules: &NormaliseRules<'_>) -> io::Result<Outcome> {
    if matches!(treatment, Treatment::Remove) {
        return remove(path);
    }
    let file = open(path)?;
    match treatment {
        Treatment::Remove => remove(path),
        Treatment::RemoveIfHolds(text) => {
            let mut start = Vec::new();
            file.take(1024).read_to_end(&mut start)?;
            if memchr::memmem::find(&start, text.as_bytes()).is_some() {
                remove(path)
            } else {
                Ok(Outcome::Untouched)
            }
        }
        Treatment::CleanArchive => Ok(match ar::clean(&file)? {
            ar::Archive::Other | ar::Archive::Clean => Outcome::Untouched,
            ar::Archive::Rewritten => Outcome::Rewritten,
            ar::Archive::Thin => Outcome::Thin,
        }),
        Treatment::ZeroGzipTime => zero_gzip_time(&file),
        Treatment::StampPyc => stamp_pyc(&file, rules.source_date_epoch),
    }
}

fn remove(path: &Path) -> io::Result<Outcome> {
    fs::remove_file(path).map(|()| Outcome::Removed)
}

/// Opens a file that the build may have left without any right for its owner.
fn open(path: &Path) -> io::Result<File> {
    let open = || OpenOptions::new().read(true).write(true).open(path);
    match open() {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let executable = fs::symlink_metadata(path)?.permissions().mode() & 0o111;
            fs::set_permissions(path, Permissions::from_mode(0o600 | executable))?;
            open()
        }
        opened => opened,
    }
}

/// Reads the first bytes of a file; `None` when it is shorter.
fn head<const N: usize>(file: &File) -> io::Result<Option<[u8; N]>> {
    let mut bytes = [0; N];
    match file.read_exact_at(&mut bytes, 0) {
        Ok(()) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

fn replace(file: &File, at: u64, old: &[u8], new: &[u8]) -> io::Result<Outcome> {
    if old == new {
        return Ok(Outcome::Untouched);
    }
    file.write_all_at(new, at).map(|()| Outcome::Rewritten)
}

/// RFC 1952: the magic 1f 8b, the method 8 (deflate), flags, then four bytes of time.
fn zero_gzip_time(file: &File) -> io::Result<Outcome> {
    const HAS_HEADER_CHECKSUM: u8 = 2;
    match head::<8>(file)? {
        // A header with a checksum of its own would be broken by the change.
        Some([0x1f, 0x8b, 8, flags, time @ ..]) if flags & HAS_HEADER_CHECKSUM == 0 => {
            replace(file, 4, &time, &[0; 4])
        }
        _ => Ok(Outcome::Untouched),
    }
}

/// PEP 552: a magic that ends in `\r\n`, flags (0: checked by time), the source's time and its size, 32 bits each.
fn stamp_pyc(file: &File, source_date_epoch: u64) -> io::Result<Outcome> {
    // Python itself keeps only the low 32 bits.
    let stamp = (source_date_epoch & u64::from(u32::MAX)) as u32;
    match head::<12>(file)? {
        Some([_, _, b'\r', b'\n', 0, 0, 0, 0, time @ ..]) => replace(file, 8, &time, &stamp.to_le_bytes()),
        _ => Ok(Outcome::Untouched),
    }
}
