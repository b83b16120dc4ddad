//! Owns bringing Python packages: `pip` fetches wheels, and says where source distributions are.
//!
//! `pip download` of a source distribution runs its `setup.py` or build backend to learn its name, on this machine and
//! outside any sandbox. So pip is only asked where such a file is, and the file is fetched like any other.

use std::path::Path;
use std::process::Command;

use schema::source::{RegistryFile, SourceDigest};
use store::publish;

use super::super::download;
use super::super::error::FetchProblem;
use super::super::job::Job;
use super::super::part::Part;
use super::super::publish_file;
use store::process::{ProcessError, command};

/// Puts the file of the package at `target`: the one that `file` names, else the wheel for this machine.
pub(in super::super) fn fetch(
    job: &Job<'_>,
    wanted: &RegistryFile,
    expected: SourceDigest,
    target: &Path,
) -> Result<(), FetchProblem> {
    let from = format!("Python package {} {}", wanted.name, wanted.version);
    job.ask_network(&from)?;
    match wanted.file.as_deref() {
        Some(file) if !file.ends_with(".whl") => source(job, wanted, file, expected, target),
        wheel => {
            let area = job.area()?;
            let folder = super::subfolder(area.path(), "wheels")?;
            let mut pip = pip(job, area.path(), &folder);
            if let Some(wheel) = wheel {
                pip.args(platform_of(wheel));
            }
            pip.arg(requirement(wanted));
            job.run(pip, area.path()).map_err(explain(wanted))?;
            let file = super::file_in(&folder, wheel, "pip")?;
            publish_file(&file, &from, expected, target)
        }
    }
}

/// Asks pip where the source distribution `file` is, and fetches it from there.
fn source(
    job: &Job<'_>,
    wanted: &RegistryFile,
    file: &str,
    expected: SourceDigest,
    target: &Path,
) -> Result<(), FetchProblem> {
    let area = job.area()?;
    let folder = super::subfolder(area.path(), "wheels")?;
    let mut pip = pip(job, area.path(), &folder);
    // The log lists every file of the package, those that it may not take included.
    let log = area.path().join("log");
    pip.args(["-vv", "--log"]).arg(&log).arg(requirement(wanted));
    let ran = job.run(pip, area.path());
    let listed = std::fs::read(&log).unwrap_or_default();
    let Some(url) = address_of(&String::from_utf8_lossy(&listed), file) else {
        // There need not be a wheel, so that pip failed is only a reason when the file is not listed.
        ran?;
        let message = format!("pip knows no file {file} of {} {}", wanted.name, wanted.version);
        return Err(FetchProblem::Missing(message));
    };
    let path = job.store.partial_source_path(&expected.key());
    let part = Part::open(path.clone(), expected)?;
    download::from_addresses(job, &[url], expected, part)?;
    Ok(publish::file(&path, target).map(drop)?)
}

fn pip(job: &Job<'_>, area: &Path, to: &Path) -> Command {
    let mut pip = command(&job.options.clients.python);
    pip.args([
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-input",
        "--no-cache-dir",
        "--no-deps",
    ])
    .args(["--disable-pip-version-check", "--only-binary", ":all:", "--dest"])
    .arg(to)
    .current_dir(area)
    // Where pip writes first, so that progress can be seen and nothing is left elsewhere.
    .env("TMPDIR", area);
    pip
}

fn requirement(wanted: &RegistryFile) -> String {
    format!("{}=={}", wanted.name, wanted.version)
}

fn explain(wanted: &RegistryFile) -> impl FnOnce(FetchProblem) -> FetchProblem {
    let hint = format!(
        "\nIf {} {} has no wheel for this machine, name one of its files in the recipe, say `\"file\": \"{0}-{1}.tar.gz\"`.",
        wanted.name, wanted.version
    );
    move |problem| match problem {
        FetchProblem::Client(ProcessError::Failed {
            program,
            status,
            stderr,
        }) => {
            let stderr = stderr + &hint;
            FetchProblem::Client(ProcessError::Failed {
                program,
                status,
                stderr,
            })
        }
        other => other,
    }
}

/// What makes pip take exactly this wheel, be it for this machine or another:
/// `NAME-VERSION[-BUILD]-PYTHON-ABI-PLATFORM.whl`, where the last three may list several with dots between them.
pub fn platform_of(wheel: &str) -> Vec<String> {
    let tags: Vec<&str> = wheel.trim_end_matches(".whl").rsplitn(4, '-').collect();
    let [platforms, abis, pythons, _] = tags[..] else {
        return Vec::new();
    };
    let mut arguments = Vec::new();
    for platform in platforms.split('.') {
        arguments.extend(["--platform".to_owned(), platform.to_owned()]);
    }
    for abi in abis.split('.') {
        arguments.extend(["--abi".to_owned(), abi.to_owned()]);
    }
    // `py2.py3`: any of them does, and the last is the newest.
    let python = pythons.rsplit('.').next().unwrap_or_default();
    let digits = python.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    let implementation = &python[..python.len() - digits.len()];
    if !digits.is_empty() {
        arguments.extend(["--implementation".to_owned(), implementation.to_owned()]);
    }
    // `3` would be 3.0, which the package itself may say is too old.
    if digits.len() > 1 {
        arguments.extend(["--python-version".to_owned(), digits.to_owned()]);
    }
    arguments
}

/// The address of `file` in pip's log, where each is a word like `https://host/path/FILE#sha256=…`.
pub fn address_of(log: &str, file: &str) -> Option<String> {
    log.split_whitespace().find_map(|word| {
        let address = word.split('#').next()?;
        let is_address = ["https://", "http://", "file:///"]
            .iter()
            .any(|scheme| address.starts_with(scheme));
        let (_, name) = address.rsplit_once('/')?;
        (is_address && name == file).then(|| address.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wheels_name_says_for_which_machine_it_is() {
        let arguments = platform_of(
            "ziglang-0.14.1-py3-none-manylinux_2_12_x86_64.manylinux2010_x86_64.musllinux_1_1_x86_64.whl",
        );
        assert_eq!(
            arguments.join(" "),
            "--platform manylinux_2_12_x86_64 --platform manylinux2010_x86_64 --platform musllinux_1_1_x86_64 \
             --abi none --implementation py"
        );
        let arguments = platform_of("x-1.0-1-cp311-cp311-linux_x86_64.whl");
        assert_eq!(
            arguments.join(" "),
            "--platform linux_x86_64 --abi cp311 --implementation cp --python-version 311"
        );
        assert_eq!(platform_of("odd.whl"), Vec::<String>::new());
    }

    #[test]
    fn a_files_address_is_read_from_pips_log() {
        let log = "2025-01-01T00:00:00,000   Skipping link: No sources permitted for x: \
                   https://mirror.example/packages/ab/x-1.0.tar.gz#sha256=00 (from https://mirror.example/simple/x/)\n\
                   Found link https://mirror.example/y-x-1.0.tar.gz\n";
        let expected = "https://mirror.example/packages/ab/x-1.0.tar.gz";
        assert_eq!(address_of(log, "x-1.0.tar.gz").as_deref(), Some(expected));
        assert_eq!(address_of(log, "1.0.tar.gz"), None);
    }
}
