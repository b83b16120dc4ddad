//! Owns what Debian's own texts say: where a machine's packages come from, and which files a source package has.

use schema::source::SourceDigest;

/// Which packages of an archive are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Packages {
    /// Built ones.
    Binary,
    /// Sources.
    Source,
}

impl Packages {
    /// The word that stands for them in lists of archives.
    fn word(self) -> &'static str {
        match self {
            Self::Binary => "deb",
            Self::Source => "deb-src",
        }
    }
}

/// A `sources.list` with an entry for `packages` wherever the machine's has any entry:
/// `deb [option=value …] URI SUITE COMPONENT …`.
pub fn one_line(list: &str, packages: Packages) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in list.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let rest = line.strip_prefix("deb-src").or_else(|| line.strip_prefix("deb"));
        let Some(rest) = rest.filter(|rest| rest.starts_with(char::is_whitespace)) else {
            continue;
        };
        let line = format!("{} {}", packages.word(), rest.trim());
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines.into_iter().map(|line| line + "\n").collect()
}

/// The same for the other form: paragraphs of `Field: value`, where lines that start with a space go on the last field.
pub fn paragraphs(sources: &str, packages: Packages) -> String {
    let types = format!("Types: {}", packages.word());
    let mut text = String::new();
    for paragraph in split_paragraphs(sources) {
        if field(&paragraph, "Enabled").is_some_and(|value| value.eq_ignore_ascii_case("no")) {
            continue;
        }
        let mut is_types = false;
        for line in paragraph {
            let goes_on = line.starts_with(char::is_whitespace);
            if !goes_on {
                is_types = is_field(line, "Types");
            }
            match (is_types, goes_on) {
                (true, false) => text.push_str(&types),
                (true, true) => continue,
                (false, _) => text.push_str(line),
            }
            text.push('\n');
        }
        text.push('\n');
    }
    text
}

/// One revision of a source package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revision {
    /// Its whole version, `[EPOCH:]UPSTREAM[-REVISION]`.
    pub version: String,
    /// Its files, each with its SHA-256 in hexadecimal digits.
    pub files: Vec<(String, String)>,
}

impl Revision {
    /// The SHA-256 that Debian states of a file.
    pub fn sha256_of(&self, file: &str) -> Option<&str> {
        let mut files = self.files.iter();
        files
            .find(|(name, _)| name == file)
            .map(|(_, digest)| digest.as_str())
    }

    /// Whether it is of that version: the whole of it, or upstream's part.
    fn is_of(&self, version: &str) -> bool {
        let without_epoch = self
            .version
            .split_once(':')
            .map_or(self.version.as_str(), |(_, rest)| rest);
        let upstream = without_epoch
            .rsplit_once('-')
            .map_or(without_epoch, |(upstream, _)| upstream);
        [self.version.as_str(), without_epoch, upstream].contains(&version)
    }
}

/// The revisions of the source package `name` that `apt-cache showsrc` printed.
pub fn revisions(printed: &str, name: &str) -> Vec<Revision> {
    let mut revisions: Vec<Revision> = Vec::new();
    for paragraph in split_paragraphs(printed) {
        let version = field(&paragraph, "Version").filter(|_| field(&paragraph, "Package") == Some(name));
        let Some(version) = version else { continue };
        let revision = Revision {
            version: version.to_owned(),
            files: files(&paragraph),
        };
        if !revisions.contains(&revision) {
            revisions.push(revision);
        }
    }
    revisions
}

/// Those that have `file` and are of `version`; first those that have it with the digest `expected`.
/// Several revisions share one upstream file, and of some that are listed the file is gone.
pub fn candidates<'a>(
    revisions: &'a [Revision],
    version: &str,
    file: &str,
    expected: &SourceDigest,
) -> Vec<&'a Revision> {
    let mut found: Vec<&Revision> = revisions
        .iter()
        .filter(|revision| revision.is_of(version) && revision.sha256_of(file).is_some())
        .collect();
    let is_right = |revision: &&Revision| match expected {
        SourceDigest::Sha256(_) => revision.sha256_of(file) == Some(expected.to_hex().as_str()),
        SourceDigest::Blake3(_) => true,
    };
    found.sort_by_key(|revision| !is_right(revision));
    found
}

/// `Checksums-Sha256:` is followed by lines of ` DIGEST SIZE NAME`.
fn files(paragraph: &[&str]) -> Vec<(String, String)> {
    let start = paragraph
        .iter()
        .position(|line| is_field(line, "Checksums-Sha256"));
    let lines = paragraph[start.map_or(paragraph.len(), |start| start + 1)..].iter();
    lines
        .take_while(|line| line.starts_with(char::is_whitespace))
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (digest, _size, name) = (words.next()?, words.next()?, words.next()?);
            Some((name.to_owned(), digest.to_owned()))
        })
        .collect()
}

fn split_paragraphs(text: &str) -> Vec<Vec<&str>> {
    let mut paragraphs = vec![Vec::new()];
    for line in text.lines() {
        if line.trim().is_empty() {
            paragraphs.push(Vec::new());
        } else if !line.starts_with('#')
            && let Some(last) = paragraphs.last_mut()
        {
            last.push(line);
        }
    }
    paragraphs.retain(|paragraph| !paragraph.is_empty());
    paragraphs
}

fn is_field(line: &str, name: &str) -> bool {
    line.split_once(':')
        .is_some_and(|(field, _)| field.eq_ignore_ascii_case(name))
}

fn field<'a>(paragraph: &[&'a str], name: &str) -> Option<&'a str> {
    let line = paragraph.iter().find(|line| is_field(line, name))?;
    line.split_once(':').map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_one_line_an_archive_become_lists_of_sources() {
        let list = "# comment\n\
                    deb http://mirror.example/debian stable main # here\n\
                    deb-src http://mirror.example/debian stable main\n\
                    deb\t[arch=amd64 signed-by=/k.gpg] http://other.example/apt x y z\n\
                    debug http://mirror.example x y\n";
        assert_eq!(
            one_line(list, Packages::Source),
            "deb-src http://mirror.example/debian stable main\n\
             deb-src [arch=amd64 signed-by=/k.gpg] http://other.example/apt x y z\n"
        );
        assert!(
            one_line(list, Packages::Binary)
                .starts_with("deb http://mirror.example/debian stable main\ndeb [arch")
        );
    }

    #[test]
    fn lists_of_paragraphs_become_lists_of_sources() {
        let list = "Types: deb\n# why\nURIs: http://mirror.example/debian\nSuites: a b\nComponents: main\n\
                    Signed-By:\n -----BEGIN\n .\n Types: odd\n -----END\n\n\
                    Enabled: no\nTypes: deb\nURIs: http://off.example\n\n\
                    types:\n deb\n deb-src\nURIs: http://two.example\n";
        assert_eq!(
            paragraphs(list, Packages::Source),
            "Types: deb-src\nURIs: http://mirror.example/debian\nSuites: a b\nComponents: main\n\
             Signed-By:\n -----BEGIN\n .\n Types: odd\n -----END\n\n\
             Types: deb-src\nURIs: http://two.example\n\n"
        );
    }

    const PRINTED: &str = "\
Package: perl
Version: 5.36.0-7+deb12u4
Files:
 00 1 perl_5.36.0.orig.tar.xz
Checksums-Sha256:
 aa 12 perl_5.36.0-7+deb12u4.dsc
 bb 13 perl_5.36.0.orig.tar.xz
Directory: pool/updates

Package: perl
Version: 1:5.36.0-7
Checksums-Sha256:
 1111111111111111111111111111111111111111111111111111111111111111 13 perl_5.36.0.orig.tar.xz

Package: perl-other
Version: 5.36.0-1
Checksums-Sha256:
 cc 13 perl_5.36.0.orig.tar.xz

Package: perl
Version: 5.38.0-1
Checksums-Sha256:
 dd 13 perl_5.38.0.orig.tar.xz
";

    #[test]
    fn revisions_with_the_right_file_come_first() {
        let revisions = revisions(PRINTED, "perl");
        assert_eq!(revisions.len(), 3);
        let versions = |version, file, expected| -> Vec<&str> {
            let found = candidates(&revisions, version, file, &expected);
            found
                .into_iter()
                .map(|revision| revision.version.as_str())
                .collect()
        };
        let orig = "perl_5.36.0.orig.tar.xz";
        let right = SourceDigest::Sha256([0x11; 32]);
        assert_eq!(
            versions("5.36.0", orig, right),
            ["1:5.36.0-7", "5.36.0-7+deb12u4"]
        );
        assert_eq!(versions("5.36.0-7", orig, right), ["1:5.36.0-7"]);
        assert_eq!(versions("1:5.36.0-7", orig, right), ["1:5.36.0-7"]);
        assert_eq!(
            versions("5.36.0", "perl_5.36.0-7+deb12u4.dsc", right),
            ["5.36.0-7+deb12u4"]
        );
        assert!(versions("5.36", orig, right).is_empty());
        assert_eq!(revisions[0].sha256_of(orig), Some("bb"));
    }
}
