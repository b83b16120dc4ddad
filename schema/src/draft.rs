//! Owns the draft: a document's text as JSON whose every value remembers where it stands.

/// Where a value stands: a document of a tree and a range of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Which of the tree's documents.
    pub document: DocumentId,
    /// First byte.
    pub start: u32,
    /// The byte after the last.
    pub end: u32,
}

/// Which of a tree's documents; an index into its list of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct DocumentId(pub u32);
