//! Owns what the caller decides about fetching: network or not, whom to ask through what, how long and how often.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::retry::{RealSleeper, RetryPolicy, Sleeper};

/// Whether the network may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Network {
    /// It may.
    #[default]
    Allowed,
    /// It is never touched; what is not in the store and not on this machine is an error.
    Forbidden,
}

/// How sources are fetched.
#[derive(Debug, Clone)]
pub struct FetchOptions {
    /// Whether the network may be used.
    pub network: Network,
    /// The proxies for `http` and `https` addresses. Registry clients and git look for their own.
    pub proxies: Proxies,
    /// A PEM file of the authorities to trust (`SSL_CERT_FILE`); without it those that this machine trusts.
    pub certificates: Option<PathBuf>,
    /// How long to wait.
    pub timeouts: Timeouts,
    /// How often to try.
    pub retry: RetryPolicy,
    /// Waits between tries.
    pub sleeper: Arc<dyn Sleeper>,
    /// The most bytes that a fetched file may have.
    pub most_bytes: u64,
    /// Programs that bring what servers alone do not give.
    pub clients: Clients,
    /// The folder whose `config.toml` says which registries and mirrors `cargo` uses (`$CARGO_HOME`).
    pub cargo_home: Option<PathBuf>,
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self {
            network: Network::default(),
            proxies: Proxies::default(),
            certificates: None,
            timeouts: Timeouts::default(),
            retry: RetryPolicy::default(),
            sleeper: Arc::new(RealSleeper),
            most_bytes: 16 << 30,
            clients: Clients::default(),
            cargo_home: None,
        }
    }
}

/// Proxies, as the environment names them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For `http` addresses (`http_proxy`).
    pub http: Option<String>,
    /// For `https` addresses (`https_proxy`).
    pub https: Option<String>,
    /// Hosts that are asked directly, with commas between them (`no_proxy`).
    pub except: Option<String>,
}

/// How long to wait for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection.
    pub connect: Duration,
    /// For the next bytes of a download.
    pub stall: Duration,
    /// For a registry's client, or git, to do one thing from start to end.
    pub client: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(20),
            stall: Duration::from_secs(30),
            client: Duration::from_secs(30 * 60),
        }
    }
}

/// The programs that bring what servers alone do not give, looked up in `PATH` when they are plain names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clients {
    /// git.
    pub git: PathBuf,
    /// Rust's package manager.
    pub cargo: PathBuf,
    /// A Python with `pip` as a module.
    pub python: PathBuf,
    /// Node's package manager.
    pub npm: PathBuf,
    /// Debian's package manager; `apt-cache` and `apt-config` are looked for beside it.
    pub apt_get: PathBuf,
}

impl Default for Clients {
    fn default() -> Self {
        Self {
            git: "git".into(),
            cargo: "cargo".into(),
            python: "python3".into(),
            npm: "npm".into(),
            apt_get: "apt-get".into(),
        }
    }
}
