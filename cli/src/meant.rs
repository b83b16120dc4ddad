//! Owns what people mean by what they type: a tree of recipes, a host, a channel, caches, a file.

pub mod file_name;
pub mod following;
pub mod host;
pub mod substitute;
pub mod workshop;
