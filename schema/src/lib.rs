//! The documents of `store`: their types, parsers, validation, canonical form and JSON Schemas, without any I/O.

pub mod canonical;
pub mod digest;
pub mod id;
pub mod listing;
pub mod manifest;
pub mod name;
