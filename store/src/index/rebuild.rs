//! Owns the making of a new index from the folders.
