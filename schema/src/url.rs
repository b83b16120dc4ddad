//! Owns which addresses a source may be fetched from, and which a person may be sent to.

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

/// Whether `url` is the address of a web page as every reader of addresses takes it: a host of the public Internet in lower
/// case, and no character that has to be written otherwise.
pub(crate) fn is_web_page(url: &str) -> bool {
    let Some(rest) = ["https://", "http://"]
        .iter()
        .find_map(|scheme| url.strip_prefix(scheme))
    else {
        return false;
    };
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let (host, port) = authority.split_once(':').unwrap_or((authority, "80"));
    is_domain(host) && is_port(port) && is_path(path)
}

fn is_domain(host: &str) -> bool {
    let is_label = |label: &str| {
        let is_known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !label.is_empty() && !label.starts_with('-') && !label.ends_with('-') && label.bytes().all(is_known)
    };
    let is_top = |top: &str| top.len() > 1 && top.bytes().all(|byte| byte.is_ascii_lowercase());
    host.rsplit_once('.')
        .is_some_and(|(below, top)| is_top(top) && below.split('.').all(is_label))
}

fn is_port(port: &str) -> bool {
    port.parse::<u16>().is_ok() && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// A path, a query and a fragment as RFC 3986 spells them.
fn is_path(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?".contains(&byte);
    let (path, fragment) = text.split_once('#').unwrap_or((text, ""));
    [path, fragment].into_iter().all(|part| {
        let mut pieces = part.split('%');
        let before = pieces.next().unwrap_or_default();
        let is_escaped = |piece: &str| {
            let bytes = piece.as_bytes();
            matches!(bytes, [one, other, rest @ ..] if one.is_ascii_hexdigit() && other.is_ascii_hexdigit()
                && rest.iter().copied().all(is_plain))
        };
        before.bytes().all(is_plain) && pieces.all(is_escaped)
    })
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
    fn only_what_everybody_can_visit_is_a_web_page() {
        for url in [
            "https://example.org",
            "http://www.example.org:8080/a/~b?c=d&e#f/g?h",
            "https://a-b.example.museum/%C3%A9",
            "https://example.org?q",
        ] {
            assert!(is_web_page(url), "{url}");
        }
        for url in [
            "",
            "our wiki",
            "example.org",
            "www.example.org/a",
            "ftp://example.org",
            "mailto:a@example.org",
            "https://",
            "https:///a",
            "https://localhost/",
            "https://Example.org/",
            "https://user@example.org/",
            "https://.org",
            "https://-a.org",
            "https://10.0.0.1/",
            "https://example.org:/",
            "https://example.org:+8/",
            "https://example.org:99999/",
            "https://example.org/a b",
            "https://example.org/é",
            "https://example.org/{a}",
            "https://example.org/%4",
            "https://example.org/%zz",
            "https://example.org/#a#b",
            "https://example.org/\n",
        ] {
            assert!(!is_web_page(url), "{url}");
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
