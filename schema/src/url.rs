//! Owns which addresses a source may be fetched from.

/// Why an address is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UrlError {
    /// There is no `scheme://` in front.
    #[error("it has no scheme")]
    NoScheme,
    /// The scheme is another than those allowed.
    #[error("`{0}` is not a scheme that can be fetched")]
    Scheme(String),
    /// No host follows the scheme.
    #[error("it names no host")]
    NoHost,
    /// A `file:` address whose path is not absolute.
    #[error("the path of a `file:` address must be absolute")]
    RelativeFile,
    /// White space, control characters or a leading `-`.
    #[error("it holds white space or control characters, or starts with `-`")]
    Characters,
}

/// Checks the address of a file or an archive.
pub(crate) fn check_url(url: &str) -> Result<(), UrlError> {
    check(url, &["http", "https", "file"])
}

/// Checks the address of a git repository; `user@host:path` is allowed too.
pub(crate) fn check_git_url(url: &str) -> Result<(), UrlError> {
    let scp = !url.contains("://")
        && url
            .split_once(':')
            .is_some_and(|(host, path)| host.contains('@') && !path.is_empty());
    if scp {
        characters(url)
    } else {
        check(url, &["https", "http", "ssh", "git", "file"])
    }
}

fn check(url: &str, schemes: &[&str]) -> Result<(), UrlError> {
    characters(url)?;
    let (scheme, rest) = match url.split_once(':') {
        Some((scheme, rest)) if !scheme.contains('/') => (scheme, rest),
        _ => return Err(UrlError::NoScheme),
    };
    if !schemes.contains(&scheme) {
        return Err(UrlError::Scheme(scheme.to_owned()));
    }
    let rest = rest.strip_prefix("//").ok_or(UrlError::NoHost)?;
    match (scheme, rest.as_bytes()) {
        ("file", [b'/', ..]) => Ok(()),
        ("file", _) => Err(UrlError::RelativeFile),
        (_, [] | [b'/' | b':' | b'?', ..]) => Err(UrlError::NoHost),
        _ => Ok(()),
    }
}

fn characters(url: &str) -> Result<(), UrlError> {
    let odd = url.chars().any(|c| c.is_whitespace() || c.is_control());
    if odd || url.starts_with('-') {
        Err(UrlError::Characters)
    } else {
        Ok(())
    }
}

/// The last component of an address's path, as it is spelled there.
pub(crate) fn file_name_of(url: &str) -> Option<&str> {
    let path = url.split(['?', '#']).next()?;
    let (_, path) = path.split_once("://")?;
    let (_, name) = path.rsplit_once('/')?;
    (!matches!(name, "" | "." | "..") && name.len() <= 255 && !name.starts_with('-')).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_fetched_is_an_address() {
        for url in ["https://example.org/a.tar.gz", "http://h:80/x", "file:///tmp/x"] {
            assert_eq!(check_url(url), Ok(()), "{url}");
        }
        for url in [
            "",
            "example.org/a",
            "ftp://h/a",
            "https:///a",
            "https:h",
            "file://x/y",
            "file:x",
            "https://h/a b",
            "-x",
            "javascript:1",
        ] {
            assert!(check_url(url).is_err(), "{url}");
        }
        for url in ["git@example.org:a/b.git", "ssh://git@h/a", "https://h/a.git"] {
            assert_eq!(check_git_url(url), Ok(()), "{url}");
        }
        for url in ["--upload-pack=x", "ext::sh", "a:b", "git@h:"] {
            assert!(check_git_url(url).is_err(), "{url}");
        }
    }

    #[test]
    fn the_name_of_a_file_is_the_end_of_its_address() {
        assert_eq!(file_name_of("https://h/a/b-1.tar.gz?x=/y#z"), Some("b-1.tar.gz"));
        for url in ["https://h", "https://h/", "https://h/..", "https://h/a/?b"] {
            assert_eq!(file_name_of(url), None, "{url}");
        }
    }
}
