//! Owns bringing npm packages: `npm pack` writes the registry's own archive, and runs no script of it.

use std::path::Path;

use schema::source::{RegistryFile, SourceDigest};

use super::super::error::FetchProblem;
use super::super::job::Job;
use super::super::publish_file;
use store::process::command;

/// Puts the package's archive at `target`.
pub(in super::super) fn fetch(
    job: &Job<'_>,
    wanted: &RegistryFile,
    expected: SourceDigest,
    target: &Path,
) -> Result<(), FetchProblem> {
    let from = format!("npm package {} {}", wanted.name, wanted.version);
    job.ask_network(&from)?;
    let area = job.area()?;
    let folder = super::subfolder(area.path(), "packed")?;
    let mut npm = command(&job.options.clients.npm);
    npm.args([
        "pack",
        "--loglevel=error",
        "--ignore-scripts",
        "--no-update-notifier",
        "--pack-destination",
    ])
    .arg(&folder)
    .arg("--cache")
    .arg(area.path().join("cache"))
    .arg("--")
    .arg(format!("{}@{}", wanted.name, wanted.version))
    .current_dir(area.path());
    job.run(npm, area.path())?;
    // Its name on the registry is not what npm gives it here, so it is taken for being alone.
    let file = super::file_in(&folder, None, "npm")?;
    publish_file(&file, &from, expected, target)
}
