//! Makes content: turns recipes into a plan, fetches sources, runs each step in a sandbox, and registers what comes out.

pub mod cancel;
pub mod fetch;
pub mod normalise;
pub mod process;
pub mod references;
pub mod sandbox;
pub mod tree_reader;
pub mod unpack;
