//! Owns what the caller decides about fetching: network or not, whom to ask through what, how long and how often.

use std::ffi::OsString;
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

impl FetchOptions {
    /// What the environment says: proxies, trusted authorities, and where `cargo` has its configuration. `variable`
    /// gives the value of the variable of that name; an empty one counts as not set.
    pub fn from_environment(variable: &dyn Fn(&str) -> Option<OsString>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let first = |names: &[&str]| names.iter().find_map(|name| set(name)?.into_string().ok());
        let home = || Some(PathBuf::from(set("HOME")?).join(".cargo"));
        Self {
            proxies: Proxies {
                http: first(&["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]),
                https: first(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
                except: first(&["no_proxy", "NO_PROXY"]),
            },
            certificates: set("SSL_CERT_FILE").map(PathBuf::from),
            cargo_home: set("CARGO_HOME").map(PathBuf::from).or_else(home),
            ..Self::default()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_names_proxies_as_other_programs_read_it() {
        let environment = [
            ("HTTPS_PROXY", "http://secure:1"),
            ("https_proxy", ""),
            ("ALL_PROXY", "socks5://all:2"),
            ("no_proxy", "localhost"),
            ("HOME", "/home/me"),
        ];
        let variable = |name: &str| {
            let mut all = environment.iter();
            all.find(|(known, _)| *known == name)
                .map(|(_, value)| value.into())
        };
        let options = FetchOptions::from_environment(&variable);
        let expected = Proxies {
            http: Some("socks5://all:2".to_owned()),
            https: Some("http://secure:1".to_owned()),
            except: Some("localhost".to_owned()),
        };
        assert_eq!(options.proxies, expected);
        assert_eq!(options.cargo_home, Some("/home/me/.cargo".into()));
        assert!(crate::fetch::Fetcher::new(options).is_ok());
    }
}
