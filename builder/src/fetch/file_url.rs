//! Owns which file of this machine a `file:` address names.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// The path that `url` names; nothing when it names another machine or makes no sense.
pub(crate) fn path_of(url: &str) -> Option<PathBuf> {
    let rest = url.strip_prefix("file://")?;
    let path = rest.strip_prefix("localhost").unwrap_or(rest);
    // What a browser would not send to a server is no part of a file's name either.
    let path = path.split(['?', '#']).next()?;
    if !path.starts_with('/') {
        return None;
    }
    let bytes = decode(path.as_bytes())?;
    (!bytes.contains(&0)).then(|| OsString::from_vec(bytes).into())
}

/// Replaces `%41` by `A` and so on.
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            let (digits, after) = after.split_at_checked(2)?;
            let digits = std::str::from_utf8(digits).ok()?;
            if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return None;
            }
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = after;
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_machine_become_paths() {
        for (url, path) in [
            ("file:///a/b.tar", Some("/a/b.tar")),
            ("file://localhost/a", Some("/a")),
            ("file:///a%20b/%C3%A9#x", Some("/a b/é")),
            ("file://other/a", None),
            ("file://localhosts/a", None),
            ("file:/a", None),
            ("file:///a%2", None),
            ("file:///a%+1", None),
            ("file:///a%00", None),
            ("http:///a", None),
        ] {
            assert_eq!(path_of(url), path.map(PathBuf::from), "{url}");
        }
    }
}
