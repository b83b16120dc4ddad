//! Owns lists of Debian's packages of one's own: made once a run from the archives that the machine uses, without touching its own.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use store::io_error::{IoContext, IoError};
use store::regular;
use store::work::WorkArea;

use super::super::error::FetchProblem;
use super::super::job::Job;
use super::debian_sources::{Packages, one_line, paragraphs};
use store::process::command;

/// The lists of this run, each fetched when it is first needed.
#[derive(Debug, Default)]
pub(in super::super) struct AptLists {
    fetched: Mutex<HashMap<(PathBuf, Packages), Arc<Lists>>>,
}

/// Lists of packages, in a folder of their own.
#[derive(Debug)]
pub(super) struct Lists {
    area: WorkArea,
    /// What `apt-get update` had to complain about; it goes on without an archive that fails.
    pub(super) complaint: String,
}

impl AptLists {
    /// The lists of these packages. Whoever comes while they are being fetched waits for them.
    pub(super) fn get(&self, job: &Job<'_>, packages: Packages) -> Result<Arc<Lists>, FetchProblem> {
        // Held while fetching: all who wait want the same. After a panic the map is as it was.
        let mut fetched = self.fetched.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (job.store.root().to_owned(), packages);
        if let Some(lists) = fetched.get(&key) {
            return Ok(Arc::clone(lists));
        }
        let lists = Arc::new(Lists::fetch(job, packages)?);
        fetched.insert(key, Arc::clone(&lists));
        Ok(lists)
    }
}

impl Lists {
    fn fetch(job: &Job<'_>, packages: Packages) -> Result<Self, FetchProblem> {
        let area = job.store.work_area("fetch-apt")?;
        for folder in ["lists/partial", "archives/partial", "sources"] {
            let path = area.path().join(folder);
            fs::create_dir_all(&path).at("make folder", &path)?;
        }
        super::write(&area.path().join("status"), "")?;
        write_sources(job, &area, packages)?;
        super::write(&area.path().join("apt.conf"), CONFIGURATION)?;
        let mut lists = Self {
            area,
            complaint: String::new(),
        };
        let mut update = lists.apt(job, "apt-get");
        update.args(["-q", "update"]);
        match job.run(update, lists.area.path()) {
            Ok(said) => lists.complaint = said.stderr,
            // Some archives may have been read; if what is wanted is in none of those, this is told.
            Err(FetchProblem::Client(store::process::ProcessError::Failed { stderr, .. })) => {
                lists.complaint = stderr;
            }
            Err(other) => return Err(other),
        }
        Ok(lists)
    }

    /// `apt-get`, or what stands beside it, with these lists instead of the machine's.
    pub(super) fn apt(&self, job: &Job<'_>, program: &str) -> Command {
        let area = self.area.path();
        let mut apt = apt(job, program);
        // Read after all the machine's own files, unlike what `APT_CONFIG` names.
        apt.arg("-c").arg(area.join("apt.conf"));
        for (name, path) in FOLDERS {
            let mut setting = OsString::from(format!("{name}="));
            setting.push(area.join(path));
            apt.arg("-o").arg(setting);
        }
        apt
    }
}

/// Where below its area apt finds and puts what else is the machine's. Proxies and keys stay the machine's.
const FOLDERS: [(&str, &str); 7] = [
    ("Dir::State", ""),
    ("Dir::State::lists", "lists/"),
    ("Dir::State::status", "status"),
    ("Dir::Cache", ""),
    ("Dir::Cache::archives", "archives/"),
    ("Dir::Etc::sourceparts", "sources/"),
    ("Dir::Log", ""),
];

/// Other settings. The caches are kept in memory, since several read at once; whoever is root would otherwise become
/// a user who may not write here; and what the machine has run around an update is none of ours.
const CONFIGURATION: &str = "\
Dir::Etc::sourcelist \"/dev/null\";
Dir::Cache::pkgcache \"\";
Dir::Cache::srcpkgcache \"\";
Acquire::Languages \"none\";
Acquire::Retries \"3\";
APT::Sandbox::User \"root\";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
";

fn apt(job: &Job<'_>, program: &str) -> Command {
    let mut apt = command(job.options.clients.apt_get.with_file_name(program));
    // Messages are shown to people, but fields are read by us.
    apt.env("LC_ALL", "C.UTF-8")
        .env("DEBIAN_FRONTEND", "noninteractive");
    apt
}

/// Copies the machine's lists of archives, each entry turned into one for `packages`.
fn write_sources(job: &Job<'_>, area: &WorkArea, packages: Packages) -> Result<(), FetchProblem> {
    let (list, parts) = machines_lists(job, area)?;
    let to = area.path().join("sources");
    let mut paths = vec![list];
    if parts.is_dir() {
        paths.extend(super::files_in(&parts)?);
    }
    for (number, path) in paths.iter().enumerate() {
        let rewrite = match path.extension().and_then(|extension| extension.to_str()) {
            Some("list") => one_line,
            Some("sources") => paragraphs,
            _ => continue,
        };
        let Some(text) = read_if_there(path)? else {
            continue;
        };
        let extension = path.extension().unwrap_or_default().to_string_lossy();
        super::write(
            &to.join(format!("{number}.{extension}")),
            &rewrite(&text, packages),
        )?;
    }
    Ok(())
}

/// Where the machine keeps its lists of archives: one file, and a folder of more.
fn machines_lists(job: &Job<'_>, area: &WorkArea) -> Result<(PathBuf, PathBuf), FetchProblem> {
    let mut config = apt(job, "apt-config");
    config.args([
        "shell",
        "LIST",
        "Dir::Etc::sourcelist/f",
        "PARTS",
        "Dir::Etc::sourceparts/d",
    ]);
    let said = job.run(config, area.path())?;
    let printed = String::from_utf8_lossy(&said.stdout).into_owned();
    let value = |name: &str| -> Option<PathBuf> {
        let line = printed
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
        Some(line.trim_matches('\'').into())
    };
    match (value("LIST"), value("PARTS")) {
        (Some(list), Some(parts)) => Ok((list, parts)),
        _ => Err(FetchProblem::Missing(
            "`apt-config` does not say where this machine's lists of archives are".to_owned(),
        )),
    }
}

fn read_if_there(path: &Path) -> Result<Option<String>, IoError> {
    let bytes = regular::read_if_there(path)?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}
