//! The documents of `store`: their types, parsers, validation, canonical form and JSON Schemas, without any I/O.

pub mod canonical;
mod dcos;
pub mod digest;
mod draft;
mod fields;
pub mod finding;
pub mod graph;
mod graph_resolve;
pub mod id;
pub mod listing;
pub mod manifest;
pub mod name;
mod nearest;
mod order;
mod path;
pub mod platform;
pub mod recipe;
pub mod recipe_parse;
pub mod resolved;
pub mod source;
mod source_parse;
pub mod tree_assemble;
pub mod tree_of_recipes;
mod treeinfo_parse;
mod url;
