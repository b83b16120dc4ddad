//! Owns what the program knows of the world around it: environment, clock, terminal and current folder, read once.
#![allow(
    clippy::disallowed_methods,
    reason = "the one place that reads environment and clock"
)]

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use store::places::PACKAGES;

use builder::fetch::Proxies;

use crate::failure::Failure;

/// The world as it was when the program started.
#[derive(Debug)]
pub struct World {
    cwd: PathBuf,
    store: Option<PathBuf>,
    /// The proxies that the environment names.
    pub proxies: Proxies,
    /// The certificates to trust instead of those built in, where the environment names some.
    pub certificates: Option<PathBuf>,
    /// Where what may be lost is kept, when anything says so.
    pub cache: Option<PathBuf>,
    /// Where cargo keeps its configuration.
    pub cargo_home: Option<PathBuf>,
    /// Whether progress may be drawn on standard error.
    pub draws: bool,
    /// Where programs are looked for.
    pub path: Option<std::ffi::OsString>,
    /// How many CPUs this process may use.
    pub cpus: std::num::NonZeroUsize,
}

impl World {
    /// Looks around.
    ///
    /// # Errors
    /// When the current folder is gone.
    pub fn look() -> Result<Self, Failure> {
        let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let text = |name: &str| var(name).and_then(|value| value.into_string().ok());
        let either = |name: &str, other: &str| text(name).or_else(|| text(other));
        let any_proxy = || either("all_proxy", "ALL_PROXY");
        let cwd = std::env::current_dir().map_err(|error| {
            Failure::new(format!("cannot tell the current folder: {error}"))
                .help("change to a folder that exists")
        })?;
        let data_home = var("XDG_DATA_HOME")
            .map(PathBuf::from)
            .or_else(|| Some(PathBuf::from(var("HOME")?).join(".local/share")));
        Ok(Self {
            cwd,
            store: var("STORE_DIR")
                .map(PathBuf::from)
                .or_else(|| Some(data_home?.join("store"))),
            proxies: Proxies {
                http: either("http_proxy", "HTTP_PROXY").or_else(any_proxy),
                https: either("https_proxy", "HTTPS_PROXY").or_else(any_proxy),
                except: either("no_proxy", "NO_PROXY"),
            },
            certificates: var("SSL_CERT_FILE").map(PathBuf::from),
            cache: var("XDG_CACHE_HOME")
                .map(PathBuf::from)
                .or_else(|| Some(PathBuf::from(var("HOME")?).join(".cache")))
                .map(|cache| cache.join("store")),
            cargo_home: var("CARGO_HOME")
                .map(PathBuf::from)
                .or_else(|| Some(PathBuf::from(var("HOME")?).join(".cargo"))),
            draws: std::io::stderr().is_terminal() && text("TERM").is_none_or(|term| term != "dumb"),
            path: var("PATH"),
            cpus: std::thread::available_parallelism().unwrap_or(std::num::NonZeroUsize::MIN),
        })
    }

    /// The folder the program was started in.
    pub fn cwd(&self) -> &Path {
        &self.cwd
    }

    /// The store that is meant: the one asked for, else the environment's.
    ///
    /// # Errors
    /// When neither names one.
    pub fn store_dir(&self, asked: Option<&Path>) -> Result<PathBuf, Failure> {
        let dir = asked
            .map(Path::to_owned)
            .or_else(|| self.store.clone())
            .ok_or_else(|| {
                Failure::new("no store is named").help("give --store DIR, or set STORE_DIR or HOME")
            })?;
        Ok(self.cwd.join(dir))
    }

    /// Time since 1970.
    pub fn now(&self) -> Duration {
        self.clock()()
    }

    /// What tells the time since 1970, for those who need it again and again.
    pub fn clock(&self) -> fn() -> Duration {
        || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    /// Seconds since 1970.
    pub fn now_unix(&self) -> i64 {
        i64::try_from(self.now().as_secs()).unwrap_or(i64::MAX)
    }

    /// The bytes of this very program, which artifacts carry for their hosts.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn own_binary(&self) -> Result<Vec<u8>, Failure> {
        std::fs::read("/proc/self/exe")
            .map_err(|error| Failure::new(format!("cannot read the program that runs this: {error}")))
    }

    /// The host that this very program lies in, when it lies in one.
    pub fn own_host(&self) -> Option<PathBuf> {
        let folder = std::env::current_exe().ok()?.parent()?.to_owned();
        folder.join(PACKAGES).is_dir().then_some(folder)
    }

    /// What this machine is called; empty where nothing says so.
    pub fn host_name(&self) -> String {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname");
        name.unwrap_or_default().trim().to_owned()
    }

    /// Asks the person at the terminal; without one, the answer is no.
    pub fn agrees(&self, question: &str) -> bool {
        let stdin = std::io::stdin();
        if !self.draws || !stdin.is_terminal() {
            return false;
        }
        // What cannot be asked cannot be agreed to.
        let asked = write!(std::io::stderr(), "{question} [y/N] ");
        let mut answer = String::new();
        asked.is_ok() && stdin.read_line(&mut answer).is_ok() && answer.trim().eq_ignore_ascii_case("y")
    }
}
