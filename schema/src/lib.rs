//! The documents of `store`: their types, parsers, validation, canonical form and JSON Schemas, without any I/O.

// Places are read by the validation that lands next.
#![allow(dead_code)]

pub mod canonical;
pub mod digest;
mod draft;
pub mod finding;
pub mod graph;
pub mod id;
pub mod listing;
pub mod manifest;
pub mod name;
pub mod platform;
pub mod recipe;
pub mod resolved;
pub mod source;
pub mod tree_of_recipes;
