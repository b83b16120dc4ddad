//! Owns bringing crates: `cargo` fetches one as the only dependency of a project made for that.

use std::fs;
use std::io;
use std::path::Path;

use schema::source::{RegistryFile, SourceDigest};
use store::folder;
use store::io_error::{IoContext, IoError};

use super::super::error::FetchProblem;
use super::super::job::Job;
use super::super::publish_file;
use store::process::command;

/// Keeps `cargo` from bringing what the crate needs on other platforms; any one platform does.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";
/// What of the user's `cargo` says which registries and mirrors there are, and how to be let in.
const CONFIGURATION: [&str; 4] = ["config.toml", "config", "credentials.toml", "credentials"];

/// Puts the crate's file at `target`.
pub(in super::super) fn fetch(
    job: &Job<'_>,
    wanted: &RegistryFile,
    expected: SourceDigest,
    target: &Path,
) -> Result<(), FetchProblem> {
    let from = format!("crate {} {}", wanted.name, wanted.version);
    job.ask_network(&from)?;
    let area = job.area()?;
    let home = super::subfolder(area.path(), "home")?;
    let project = super::subfolder(area.path(), "project")?;
    copy_configuration(job.options.cargo_home.as_deref(), &home)?;
    super::write(&project.join("Cargo.toml"), &manifest(wanted))?;
    super::write(&project.join("lib.rs"), "")?;
    let mut cargo = command(&job.options.clients.cargo);
    cargo
        .args(["fetch", "--quiet", "--target", PLATFORM])
        .current_dir(&project)
        .env("CARGO_HOME", &home)
        .env_remove("CARGO_TARGET_DIR");
    job.run(cargo, area.path())?;
    let name = format!("{}-{}.crate", wanted.name, wanted.version);
    let file = find(&home.join("registry/cache"), &name)?;
    match file {
        Some(file) => publish_file(&file, &from, expected, target),
        None => Err(FetchProblem::Missing(format!("`cargo` left no file {name}"))),
    }
}

/// A project that depends on nothing but the crate, and belongs to no workspace that it may happen to lie in.
fn manifest(wanted: &RegistryFile) -> String {
    // Two versions that differ only in what follows `+` are the same to cargo, and no registry has both.
    let version = wanted.version.split('+').next().unwrap_or_default();
    format!(
        "[package]\nname = \"fetched\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\n\
         [lib]\npath = \"lib.rs\"\n\n[workspace]\n\n\
         [dependencies]\nwanted = {{ package = {:?}, version = \"={}\", default-features = false }}\n",
        wanted.name, version
    )
}

fn copy_configuration(from: Option<&Path>, to: &Path) -> Result<(), IoError> {
    let Some(from) = from else { return Ok(()) };
    for name in CONFIGURATION {
        let path = from.join(name);
        match fs::copy(&path, to.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            copied => drop(copied.at("copy", &path)?),
        }
    }
    Ok(())
}

/// The file `name` in one of the folders in `caches`, one for each registry.
fn find(caches: &Path, name: &str) -> Result<Option<std::path::PathBuf>, IoError> {
    let folders = folder::entries_if_there(caches)?.into_iter();
    let mut paths = folders.map(|folder| folder.path().join(name));
    Ok(paths.find(|path| path.is_file()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_project_asks_for_exactly_one_version() {
        let wanted = RegistryFile {
            name: "openssl-src".to_owned(),
            version: "300.5.4+3.5.4".to_owned(),
            file: None,
        };
        let text = manifest(&wanted);
        assert!(
            text.contains(r#"wanted = { package = "openssl-src", version = "=300.5.4", "#),
            "{text}"
        );
    }

    #[test]
    fn the_users_registries_are_used() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(from.path().join("config.toml"), "[net]\nretry = 7\n").unwrap();
        copy_configuration(Some(from.path()), to.path()).unwrap();
        assert_eq!(
            super::super::files_in(to.path()).unwrap(),
            [to.path().join("config.toml")]
        );
    }
}
