//! Drives the built binary as its users do. One program, since it compiles and links once and keeps all CPUs busy.

mod support;

mod artifact;
mod asked;
mod attest;
mod bad_artifacts;
mod bad_builds;
mod bad_hosts;
mod boot;
mod build;
mod cache;
mod channel;
mod configure;
mod crash;
mod diff;
mod explain;
mod failed;
mod flips;
mod guide;
mod host;
mod install;
mod install_script;
mod kill;
mod mend;
mod minimal_hosts;
mod outputs;
mod recipe;
mod reproduce;
mod robust;
mod sbom;
mod second;
mod sign;
mod sources;
mod together;
mod vary;
mod verify;
