//! Owns searching one text, or one file piece by piece, for everything that is looked for.

use std::cell::RefCell;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;

use memchr::memmem::Finder;
use schema::digest::BASE32_LEN;
use schema::id::PackageId;
use schema::platform::Prefix;

use super::digests::Digests;
use super::{Forbidden, ReferenceRules, SANDBOX_FOLDERS};

/// How much of a file is looked at at once, in bytes; what a thread needs is this and the longest thing looked for.
const PIECE: usize = 256 * 1024;

/// The folder below a prefix that has a link to each active package, by its name.
const ACTIVE: &str = "active";

/// How much text before and after a reference is shown, in bytes.
const SHOWN: usize = 60;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Everything that is looked for.
pub(super) struct Search {
    digests: Digests,
    /// By the numbers that `digests` gives.
    packages: Vec<What>,
    texts: Vec<Text>,
    /// Length of the longest thing looked for.
    longest: usize,
}

/// What a hit means.
pub(super) enum What {
    Required(PackageId),
    Forbidden(Forbidden),
}

/// A text that means something wherever it stands.
struct Text {
    finder: Finder<'static>,
    what: What,
    end: End,
}

/// What has to follow a text.
enum End {
    /// Anything.
    Open,
    /// Nothing that would make the name at its end another one.
    Name,
}

impl Text {
    fn new(text: &[u8], what: What, end: End) -> Self {
        let finder = Finder::new(text).into_owned();
        Self { finder, what, end }
    }

    fn len(&self) -> usize {
        self.finder.needle().len()
    }

    fn ends(&self, next: Option<&u8>) -> bool {
        let goes_on = |byte: &u8| byte.is_ascii_alphanumeric() || b"_@.+-".contains(byte);
        match self.end {
            End::Open => true,
            End::Name => !next.is_some_and(goes_on),
        }
    }
}

/// A part of a file, or all of a text.
struct Piece<'a> {
    bytes: &'a [u8],
    /// From the start of the file, in bytes.
    offset: u64,
    /// So many of the bytes stood at the end of the piece before.
    carried: usize,
    /// Whether nothing follows.
    is_last: bool,
}

/// One place where something was found.
pub(super) struct Hit<'a> {
    pub what: &'a What,
    /// From the start of the text or file, in bytes.
    pub offset: u64,
    /// The bytes at hand, and which of them are the hit.
    bytes: &'a [u8],
    range: std::ops::Range<usize>,
}

impl Hit<'_> {
    /// The printable bytes around the hit.
    pub fn excerpt(&self) -> String {
        let printable = |byte: &u8| byte.is_ascii_graphic();
        let before = self.bytes[..self.range.start]
            .iter()
            .rev()
            .take(SHOWN)
            .take_while(|b| printable(b))
            .count();
        let after = self.bytes[self.range.end..]
            .iter()
            .take(SHOWN)
            .take_while(|b| printable(b))
            .count();
        String::from_utf8_lossy(&self.bytes[self.range.start - before..self.range.end + after]).into_owned()
    }
}

impl Search {
    pub fn new(rules: &ReferenceRules<'_>) -> Self {
        let build_only = rules.build_only.iter();
        let packages: Vec<What> = build_only
            .map(|id| What::Forbidden(Forbidden::BuildOnly(id.clone())))
            .chain(rules.requires.iter().map(|id| What::Required(id.clone())))
            .collect();
        let sandbox = SANDBOX_FOLDERS
            .iter()
            .map(|folder| (folder.as_bytes(), Forbidden::SandboxFolder(folder)));
        let host = rules
            .host_folders
            .iter()
            .filter(|folder| !folder.as_os_str().is_empty());
        let host = host.map(|folder| {
            (
                folder.as_os_str().as_bytes(),
                Forbidden::HostFolder(folder.clone()),
            )
        });
        let texts = sandbox
            .chain(host)
            .map(|(text, what)| Text::new(text, What::Forbidden(what), End::Open))
            .collect();
        let ids = rules.build_only.iter().chain(rules.requires);
        Self::of(ids.collect(), packages, texts)
    }

    /// For the package `to` alone: by its digest, and by the link that leads to it below `prefix` while it is active.
    pub fn for_package(to: &PackageId, prefix: &Prefix) -> Self {
        let what = || What::Forbidden(Forbidden::BuildOnly(to.clone()));
        // A link inside the prefix may be relative.
        let texts = [prefix.as_str(), ".."].map(|start| {
            let text = format!("{start}/{ACTIVE}/{}", to.name());
            Text::new(text.as_bytes(), what(), End::Name)
        });
        Self::of(vec![to], vec![what()], texts.into())
    }

    /// `packages` say what each of `ids` means.
    fn of(ids: Vec<&PackageId>, packages: Vec<What>, texts: Vec<Text>) -> Self {
        let lengths = ids.iter().map(|id| id_length(id));
        let longest = lengths.chain(texts.iter().map(Text::len)).max();
        Self {
            longest: longest.unwrap_or(0),
            digests: Digests::new(ids.into_iter()),
            packages,
            texts,
        }
    }

    /// Searches the whole of `text`.
    pub fn text(&self, text: &[u8], found: impl FnMut(Hit<'_>)) {
        let piece = Piece {
            bytes: text,
            offset: 0,
            carried: 0,
            is_last: true,
        };
        self.piece(piece, found);
    }

    /// Searches a file of `size` bytes, of which only a piece is in memory at a time.
    pub fn stream(&self, mut file: impl Read, size: u64, mut found: impl FnMut(Hit<'_>)) -> io::Result<()> {
        BUFFER.with_borrow_mut(|buffer| {
            let needed = usize::try_from(size).map_or(PIECE, |size| size.min(PIECE));
            buffer.resize(buffer.len().max(self.longest + needed), 0);
            let mut offset = 0;
            let mut carried = 0;
            loop {
                let end = fill(&mut file, buffer, carried)?;
                let is_last = end < buffer.len();
                let piece = Piece {
                    bytes: &buffer[..end],
                    offset,
                    carried,
                    is_last,
                };
                self.piece(piece, &mut found);
                if is_last {
                    return Ok(());
                }
                // A thing that the piece ends in or with is found in the next one.
                let keep = self.longest.min(end);
                buffer.copy_within(end - keep..end, 0);
                offset += (end - keep) as u64;
                carried = keep;
            }
        })
    }

    /// Gives each thing once: what touches the end of a piece, where it is not known what follows, with the next one.
    fn piece(&self, piece: Piece<'_>, mut found: impl FnMut(Hit<'_>)) {
        let bytes = piece.bytes;
        let mut hit = |what, range: std::ops::Range<usize>| {
            let was_given = range.end < piece.carried;
            if !was_given && (range.end < bytes.len() || piece.is_last) {
                let offset = piece.offset + range.start as u64;
                found(Hit {
                    what,
                    offset,
                    bytes,
                    range,
                });
            }
        };
        self.digests.find(bytes, |at, number| {
            let what = &self.packages[number];
            hit(what, id_start(what, bytes, at)..at + BASE32_LEN);
        });
        for text in &self.texts {
            for at in text.finder.find_iter(bytes) {
                let end = at + text.len();
                if text.ends(bytes.get(end)) {
                    hit(&text.what, at..end);
                }
            }
        }
    }
}

/// Where the ID starts whose digest stands at `at`: at its name, when that is there.
fn id_start(what: &What, bytes: &[u8], at: usize) -> usize {
    let (What::Required(id) | What::Forbidden(Forbidden::BuildOnly(id))) = what else {
        return at;
    };
    let name = id.name().as_str().as_bytes();
    let before = bytes[..at]
        .strip_suffix(b"--")
        .and_then(|rest| rest.strip_suffix(name));
    before.map_or(at, <[u8]>::len)
}

fn id_length(id: &PackageId) -> usize {
    id.name().as_str().len() + "--".len() + BASE32_LEN
}

/// Reads until `buffer` is full or the file ends; gives the end of what is in it.
fn fill(file: &mut impl Read, buffer: &mut [u8], mut end: usize) -> io::Result<usize> {
    while end < buffer.len() {
        match file.read(&mut buffer[end..]) {
            Ok(0) => break,
            Ok(read) => end += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(end)
}
