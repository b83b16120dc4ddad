//! Makes content: turns recipes into a plan, fetches sources, runs each step in a sandbox, and registers what comes out.

pub mod cache;
pub mod cancel;
pub mod configure;
mod estimate;
pub mod executor;
pub mod farm;
pub mod fetch;
pub mod folders;
pub mod interrupt;
mod job_log;
pub mod job_server;
pub mod local;
pub mod normalise;
pub mod observer;
pub mod pin;
pub mod plan;
pub mod references;
pub mod reproduce;
pub mod sandbox;
pub mod schedule;
pub mod serve;
pub mod starter;
pub mod tree_reader;
pub mod unpack;
pub mod workbench;
pub mod workshop;
