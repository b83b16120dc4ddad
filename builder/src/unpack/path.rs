//! Owns which paths and link targets of an archive are taken, and how they are spelled from then on.

use super::error::Refusal;

/// The longest path, in bytes, that the system takes in one piece (`PATH_MAX` less the final NUL).
const LONGEST_PATH: usize = 4095;
/// The longest name of one file, in bytes (`NAME_MAX`).
const LONGEST_NAME: usize = 255;

/// An entry's path without `.` and superfluous `/`; empty for the archive's root.
pub(super) fn normal(path: &[u8]) -> Result<String, Refusal> {
    let path = text(path)?;
    if path.starts_with('/') {
        return Err(Refusal::Absolute);
    }
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => return Err(Refusal::Climbs),
            name if name.len() > LONGEST_NAME => return Err(Refusal::OddName),
            name => parts.push(name),
        }
    }
    Ok(parts.join("/"))
}

/// The target of a symbolic link; where it leads is found out when all entries are known.
pub(super) fn target(target: &[u8]) -> Result<String, Refusal> {
    match text(target)? {
        "" => Err(Refusal::OddName),
        target => Ok(target.to_owned()),
    }
}

fn text(bytes: &[u8]) -> Result<&str, Refusal> {
    if bytes.len() > LONGEST_PATH || bytes.contains(&0) {
        return Err(Refusal::OddName);
    }
    std::str::from_utf8(bytes).map_err(|_| Refusal::NotUtf8)
}

/// All folders above a normal path, outermost first.
pub(super) fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_spelled_one_way_or_refused() {
        for (path, expected) in [
            (&b"a/b"[..], Ok("a/b")),
            (b"./a//b/./", Ok("a/b")),
            (b"./", Ok("")),
            ("é/…".as_bytes(), Ok("é/…")),
            (b"a\\..\\b", Ok("a\\..\\b")),
            (b"../a", Err(Refusal::Climbs)),
            (b"a/../b", Err(Refusal::Climbs)),
            (b"a/..", Err(Refusal::Climbs)),
            (b"/a", Err(Refusal::Absolute)),
            (b"//a", Err(Refusal::Absolute)),
            (b"a\xff", Err(Refusal::NotUtf8)),
            (b"a\0b", Err(Refusal::OddName)),
            (&[b'a'; 256], Err(Refusal::OddName)),
            (&b"ab/".repeat(1366), Err(Refusal::OddName)),
        ] {
            assert_eq!(normal(path), expected.map(str::to_owned), "{path:?}");
        }
    }

    #[test]
    fn folders_above_come_outermost_first() {
        assert_eq!(ancestors("a/b/c").collect::<Vec<_>>(), ["a", "a/b"]);
        assert_eq!(ancestors("a").count(), 0);
    }
}
