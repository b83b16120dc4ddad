//! Owns a host: the folder that a prefix is on one machine, its generations, and which of them is active.

pub mod layout;
pub mod system;
