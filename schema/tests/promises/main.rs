//! What the documents of `store` promise to those who write them, held against whole trees of recipes.

// A test that cannot go on says so by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod graphs;
mod ids;
mod mistakes;
mod robust;
mod schemas;
mod trees;
