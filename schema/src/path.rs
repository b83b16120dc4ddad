//! Owns paths that documents name: how one of a recipe is kept inside its tree, and what is the name of a file at all.

/// Why a path is not one of the tree's folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PathEscapes {
    /// It climbs above the tree's root.
    #[error("it leaves the tree of recipes")]
    Root,
    /// It starts at the machine's root.
    #[error("it is absolute")]
    Absolute,
    /// It is empty, or has a NUL or a `\` in it.
    #[error("it is empty or holds a character no path may hold")]
    Characters,
}

/// `path`, which a recipe in `folder` states, relative to the tree's root and without `.` and `..`.
///
/// Only the text is looked at; links are the reader's matter.
pub(crate) fn below_root(folder: &str, path: &str) -> Result<String, PathEscapes> {
    if path.is_empty() || path.contains(['\0', '\\']) {
        return Err(PathEscapes::Characters);
    }
    if path.starts_with('/') {
        return Err(PathEscapes::Absolute);
    }
    let mut parts = vec![folder];
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop().ok_or(PathEscapes::Root)?;
            }
            name => parts.push(name),
        }
    }
    Ok(parts.join("/"))
}

/// `path` without its leading `/`, when it is absolute and spelled in the one shortest way.
pub(crate) fn normal_absolute(path: &str) -> Option<&str> {
    let rest = path.strip_prefix('/')?;
    let is_normal = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\0', '\n', '\\']);
    rest.split('/').all(is_normal).then_some(rest)
}

/// What lies below `folder` when `path` does, e.g. `b/c` for `a/b/c` below `a`.
pub(crate) fn inside<'a>(folder: &str, path: &'a str) -> Option<&'a str> {
    path.strip_prefix(folder)?.strip_prefix('/')
}

/// Whether `name` is that of a file in a folder, neither a path nor a hidden file's, with nothing in it that would break a
/// line or that addresses leave out.
pub(crate) fn is_file_name(name: &str) -> bool {
    let is_odd = |character: char| character == '/' || character.is_control();
    !name.is_empty() && !name.starts_with('.') && !name.contains(is_odd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_are_no_paths() {
        for name in ["a", "a.tar.zst", "a b", "é", "a..b"] {
            assert!(is_file_name(name), "{name}");
        }
        for name in [
            "", ".", "..", ".a", "/", "/a", "a/b", "../a", "a\0", "a\nb", "a\t", "\u{85}",
        ] {
            assert!(!is_file_name(name), "{name:?}");
        }
    }

    #[test]
    fn paths_stay_below_the_root() {
        for (path, expected) in [
            ("src", Ok("a/src")),
            ("./src//x/", Ok("a/src/x")),
            ("../shared/lib", Ok("shared/lib")),
            ("src/../../b", Ok("b")),
            ("..", Ok("")),
            ("../..", Err(PathEscapes::Root)),
            ("../../a/src", Err(PathEscapes::Root)),
            ("/etc", Err(PathEscapes::Absolute)),
            ("", Err(PathEscapes::Characters)),
            ("a\0", Err(PathEscapes::Characters)),
        ] {
            assert_eq!(below_root("a", path), expected.map(str::to_owned), "{path:?}");
        }
    }
}
