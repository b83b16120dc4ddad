//! Owns sources that are commits of git repositories: fetched by the commit alone where possible, and exported as files.
//!
//! A repository is not trusted. git is used only to fetch objects and to write one commit out as a tar, which is then
//! unpacked like any other archive; nothing is ever checked out, so that no hook, filter, attribute or submodule of the
//! repository has a say. Submodules become empty folders, as they do in a checkout without `--recurse-submodules`.

use std::fs;
use std::path::Path;
use std::process::Command;

use schema::source::SourceDigest;
use store::io_error::IoContext;

use super::error::FetchProblem;
use super::folder::RULES;
use super::job::Job;
use super::options::Network;
use crate::unpack::{self, Limits, Rules};
use store::process::command;

/// Which transports git may use; above all not `ext`, which runs a program that the address names.
const PROTOCOLS: [&str; 5] = ["https", "http", "ssh", "git", "file"];
/// What the machine's or the user's configuration may say, but not for us.
const SETTINGS: [&str; 10] = [
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    "fetch.recurseSubmodules=false",
    "submodule.recurse=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "transfer.bundleURI=false",
    "tar.umask=0022",
    "advice.detachedHead=false",
];
/// Variables by which git would look at another repository than the one it is told.
const REDIRECTIONS: [&str; 7] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
    "GIT_CEILING_DIRECTORIES",
];
/// Switches off every attribute that would make an exported file differ from what was committed.
const ATTRIBUTES: &str = "* -export-ignore -export-subst -text -eol -ident -filter -working-tree-encoding\n";

/// Exports the commit `commit` of the repository at `url` to the folder `target`.
pub(super) fn fetch(
    job: &Job<'_>,
    url: &str,
    commit: &str,
    expected: SourceDigest,
    target: &Path,
) -> Result<(), FetchProblem> {
    if !commit.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(FetchProblem::Missing(format!("`{commit}` is not a full commit")));
    }
    let from = format!("{url} at {commit}");
    if url.starts_with("file:") {
        job.started(&from);
    } else {
        job.ask_network(&from)?;
    }
    let area = job.area()?;
    let git = Git {
        job,
        repository: &area.path().join("repository"),
    };
    git.init(commit)?;
    git.bring(url, commit)?;
    let tar = area.path().join("tar");
    git.export(commit, &tar)?;
    let staged = area.path().join("folder");
    let rules = Rules {
        limits: Limits::default(),
        ..RULES
    };
    unpack::archive(&tar, &staged, rules)?;
    super::publish_folder(&staged, &from, expected, target)
}

struct Git<'a> {
    job: &'a Job<'a>,
    repository: &'a Path,
}

impl Git<'_> {
    /// A bare repository with nothing in it, not even the hooks of a template.
    fn init(&self, commit: &str) -> Result<(), FetchProblem> {
        let format = if commit.len() == 64 { "sha256" } else { "sha1" };
        fs::create_dir(self.repository).at("make folder", self.repository)?;
        let object_format = format!("--object-format={format}");
        self.run(&["init", "--quiet", "--bare", "--template=", &object_format])?;
        let info = self.repository.join("info");
        fs::create_dir_all(&info).at("make folder", &info)?;
        let attributes = info.join("attributes");
        Ok(fs::write(&attributes, ATTRIBUTES).at("write", &attributes)?)
    }

    /// Fetches the commit alone; where a server refuses that, everything it has. Tried again while it may help.
    fn bring(&self, url: &str, commit: &str) -> Result<(), FetchProblem> {
        let mut tried = 0;
        loop {
            tried += 1;
            let why = match self.bring_once(url, commit) {
                Err(FetchProblem::Client(why)) => why,
                done => return done,
            };
            match self.job.options.retry.pause_after(tried) {
                Some(pause) if !url.starts_with("file:") => self.job.retry(&why.to_string(), pause),
                _ => return Err(FetchProblem::Client(why)),
            }
        }
    }

    fn bring_once(&self, url: &str, commit: &str) -> Result<(), FetchProblem> {
        let quiet = [
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-recurse-submodules",
            "--no-auto-maintenance",
        ];
        let mut alone = quiet.to_vec();
        alone.extend(["--depth=1", "--", url, commit]);
        let Err(FetchProblem::Client(_)) = self.run(&alone) else {
            return self.has(url, commit);
        };
        let mut all = quiet.to_vec();
        all.extend(["--", url, "+refs/*:refs/fetched/*"]);
        self.run(&all)?;
        self.has(url, commit)
    }

    fn has(&self, url: &str, commit: &str) -> Result<(), FetchProblem> {
        match self.run(&["cat-file", "-e", &format!("{commit}^{{commit}}")]) {
            Err(FetchProblem::Client(_)) => {
                let message = format!("the repository {url} has no commit {commit}, or no longer shows it");
                Err(FetchProblem::Missing(message))
            }
            found => found,
        }
    }

    fn export(&self, commit: &str, to: &Path) -> Result<(), FetchProblem> {
        let mut output = std::ffi::OsString::from("--output=");
        output.push(to);
        let mut archive = self.command();
        archive.args(["archive", "--format=tar"]).arg(output).arg(commit);
        self.job.run(archive, self.repository).map(drop)
    }

    fn run(&self, arguments: &[&str]) -> Result<(), FetchProblem> {
        let mut command = self.command();
        command.args(arguments);
        self.job.run(command, self.repository).map(drop)
    }

    fn command(&self) -> Command {
        let mut git = command(&self.job.options.clients.git);
        git.current_dir(self.repository);
        for name in REDIRECTIONS {
            git.env_remove(name);
        }
        git.env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_LFS_SKIP_SMUDGE", "1");
        for setting in SETTINGS {
            git.args(["-c", setting]);
        }
        git.args(["-c", "protocol.allow=never"]);
        let allowed = PROTOCOLS
            .into_iter()
            .filter(|protocol| *protocol == "file" || self.job.options.network == Network::Allowed);
        for protocol in allowed {
            git.arg("-c").arg(format!("protocol.{protocol}.allow=always"));
        }
        git
    }
}
