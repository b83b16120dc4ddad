//! Owns reading the digest of a source: strong ones are read, weak and missing ones are findings.

use data_encoding::HEXLOWER;

use crate::digest::Digest;
use crate::draft::Node;
use crate::fields::{Fields, Report, parsed, text};
use crate::name::SourceName;
use crate::source::SourceDigest;
use crate::tree_of_recipes::Dialect;

/// Fields that hold a digest one can trust.
pub(crate) const DIGESTS: [&str; 2] = ["sha256", "blake3"];

/// Digests that can be forged, and how their makers spell them.
const WEAK_DIGESTS: [(&str, &str); 2] = [("sha1", "SHA-1"), ("md5", "MD5")];

/// What a source's digest is taken of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Digested {
    /// The bytes of one file.
    File,
    /// The listing of a folder, which knows BLAKE3 only.
    Folder,
}

/// The digest that `source`, called `name`, states; a missing or weak one becomes a finding.
pub(crate) fn read_digest(
    name: &SourceName,
    source: &Fields<'_>,
    of: Digested,
    report: &mut Report,
) -> Option<SourceDigest> {
    source.exclusive("sha256", "blake3", "keep one of the two", report);
    let strong = DIGESTS
        .iter()
        .find_map(|field| Some((*field, source.get(field)?)));
    if strong.is_some() {
        refuse_weak(source, report);
    }
    if let Some((field, node)) = strong {
        if (field, of) == ("sha256", Digested::Folder) {
            refuse_sha256(node, report);
            return None;
        }
        return strong_digest(node, field, report);
    }
    let add = match of {
        Digested::File => "add `sha256` or `blake3`",
        Digested::Folder => "add `blake3`",
    };
    let pin = format!("{add}; `store recipe pin` fills it in after showing it");
    let weak = WEAK_DIGESTS
        .iter()
        .find_map(|(field, maker)| Some((maker, source.entry(field)?.0)));
    match weak {
        Some((maker, key)) => report.not_hermetic(
            &key.place(),
            format!("source `{name}` is pinned by {maker} only, which can be forged."),
            format!("{pin}; then remove `{}`", key.text),
        ),
        None => report.not_hermetic(
            source.place(),
            format!("source `{name}` has no digest, so what is fetched could change."),
            pin,
        ),
    }
    None
}

/// A folder has no bytes of its own that other tools could hash.
pub(crate) fn refuse_sha256(node: Node<'_>, report: &mut Report) {
    let message = "the digest of a folder is the BLAKE3 of its listing, not a SHA-256.";
    report.error(
        &node.place(),
        message,
        "write `blake3` instead; `store recipe pin` shows it",
    );
}

/// A weak digest beside a strong one proves nothing more; DC/OS's folders keep theirs.
pub(crate) fn refuse_weak(source: &Fields<'_>, report: &mut Report) {
    for (field, maker) in WEAK_DIGESTS {
        if let (Dialect::Native, Some((key, _))) = (report.dialect, source.entry(field)) {
            let message = format!("`{field}` proves nothing: {maker} can be forged.");
            report.error(&key.place(), message, "remove it");
        }
    }
}

/// Whether a field holds a digest that can be forged.
pub(crate) fn is_weak(field: &str) -> bool {
    WEAK_DIGESTS.iter().any(|(weak, _)| *weak == field)
}

/// Reads the digest in the field `sha256` or `blake3`.
pub(crate) fn strong_digest(node: Node<'_>, field: &str, report: &mut Report) -> Option<SourceDigest> {
    let spelled = text(node, field, report)?;
    let help = "write 64 lowercase hexadecimal digits";
    if field == "blake3" {
        return parsed::<Digest>(node, spelled, help, report).map(SourceDigest::Blake3);
    }
    let bytes = HEXLOWER.decode(spelled.as_bytes()).ok();
    let bytes = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    if bytes.is_none() {
        report.error(&node.place(), format!("`{spelled}` is not a SHA-256."), help);
    }
    bytes.map(SourceDigest::Sha256)
}
