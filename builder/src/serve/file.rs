//! Owns which file a path of an address names, so that nothing outside of the folder, and nothing hidden, is ever opened.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};

use super::conditions::Version;

/// What stands for a folder, the first that is there.
const INDEXES: [&str; 2] = ["index.html", "index.json"];

/// An open file and what to say of it.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) file: File,
    pub(super) version: Version,
    pub(super) kind: &'static str,
}

/// Opens what `path`, the path of an address, names below `folder`; nothing when nobody is to see it.
///
/// # Errors
/// What the system answers other than that it is not there.
pub(super) fn open(folder: &OwnedFd, path: &str) -> Result<Option<Found>, Errno> {
    let Some(path) = decode(path) else { return Ok(None) };
    let relative = path.trim_start_matches('/');
    if !is_public(relative) {
        return Ok(None);
    }
    if !relative.is_empty() && !relative.ends_with('/') {
        return open_file(folder, relative);
    }
    for index in INDEXES {
        if let Some(found) = open_file(folder, &format!("{relative}{index}"))? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn open_file(folder: &OwnedFd, relative: &str) -> Result<Option<Found>, Errno> {
    // The kernel sees to it that no link and no `..` leads out; a pipe is not waited for.
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let file = match openat2(folder.as_fd(), relative, how) {
        Ok(file) => File::from(file),
        Err(
            Errno::ENOENT
            | Errno::ENOTDIR
            | Errno::EXDEV
            | Errno::ELOOP
            | Errno::ENAMETOOLONG
            | Errno::ENXIO
            | Errno::EACCES
            | Errno::EINVAL,
        ) => return Ok(None),
        Err(error) => return Err(error),
    };
    let metadata = file
        .metadata()
        .map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))?;
    if !metadata.is_file() {
        return Ok(None);
    }
    let seconds = u64::try_from(metadata.mtime()).unwrap_or_default();
    let nanoseconds = u32::try_from(metadata.mtime_nsec()).unwrap_or_default();
    Ok(Some(Found {
        version: Version::new(metadata.len(), Duration::new(seconds, nanoseconds)),
        kind: kind(relative),
        file,
    }))
}

/// Whether nothing on the way is hidden or unfinished.
fn is_public(relative: &str) -> bool {
    let is_hidden = |name: &str| name.starts_with('.');
    let last = relative.rsplit('/').next().unwrap_or_default();
    let is_unfinished = [".part", ".partial", ".tmp", "~"]
        .iter()
        .any(|end| last.ends_with(end));
    !relative.split('/').any(is_hidden) && !is_unfinished && !relative.contains('\0')
}

/// What the file is, by its name.
fn kind(name: &str) -> &'static str {
    match Path::new(name).extension().and_then(|end| end.to_str()) {
        Some("json") => "application/json",
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("txt" | "sh" | "md" | "minisig" | "pub" | "b3" | "sha256" | "yaml") => {
            "text/plain; charset=utf-8"
        }
        Some("zst") => "application/zstd",
        _ => "application/octet-stream",
    }
}

/// The path behind `%41` and the like; nothing when it makes no sense.
fn decode(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = match first {
            b'%' => {
                let (digits, after) = after.split_at_checked(2)?;
                let digits = std::str::from_utf8(digits).ok()?;
                if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                    return None;
                }
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
                after
            }
            byte => {
                bytes.push(*byte);
                after
            }
        };
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Read;
    use std::os::unix::fs::symlink;

    fn read(folder: &Path, path: &str) -> Option<String> {
        let folder = File::open(folder).unwrap().into();
        let mut found = open(&folder, path).unwrap()?;
        let mut text = String::new();
        found.file.read_to_string(&mut text).unwrap();
        Some(text)
    }

    #[test]
    fn only_what_is_in_the_folder_and_not_hidden_is_seen() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("served");
        fs::create_dir_all(folder.join("deep/.git")).unwrap();
        for (path, text) in [
            ("secret", "secret"),
            ("served/a b", "spaced"),
            ("served/deep/x.json", "deep"),
            ("served/deep/index.html", "index"),
            ("served/.hidden", "hidden"),
            ("served/deep/.git/config", "hidden"),
            ("served/x.part", "unfinished"),
        ] {
            fs::write(outer.path().join(path), text).unwrap();
        }
        symlink("deep/x.json", folder.join("inside")).unwrap();
        symlink("../secret", folder.join("outside")).unwrap();
        symlink(outer.path().join("secret"), folder.join("absolute")).unwrap();
        nix::unistd::mkfifo(&folder.join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();

        for (path, text) in [
            ("/a%20b", "spaced"),
            ("/deep/x.json", "deep"),
            ("//deep//x.json", "deep"),
            ("/deep/%78.json", "deep"),
            ("/inside", "deep"),
            ("/deep/", "index"),
        ] {
            assert_eq!(read(&folder, path).as_deref(), Some(text), "{path}");
        }
        for path in [
            "/",
            "/deep",
            "/nothing",
            "/../secret",
            "/deep/../../secret",
            "/%2e%2e/secret",
            "/deep/..%2f..%2fsecret",
            "/outside",
            "/absolute",
            "/pipe",
            "/.hidden",
            "/%2ehidden",
            "/deep/.git/config",
            "/x.part",
            "/deep/./x.json",
            "/a%00b",
            "/%zz",
            "/%",
            "/%ff",
            "/inside/x",
        ] {
            assert_eq!(read(&folder, path), None, "{path}");
        }
        assert_eq!(read(&folder, &format!("/{}", "x".repeat(5000))), None);
    }
}
