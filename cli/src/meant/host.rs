//! Owns what the verbs on hosts share: which host is meant, the system around it, and how its errors reach people.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use ::schema::name::RoleName;
use ::schema::timestamp::Timestamp;
use store::host::policy::{HostPolicy, Refusal};
use store::host::root::RootError;
use store::host::system::{self, Detached, System};
use store::host::{Host, HostError};

use crate::args::hosts::At;
use crate::context::Context;
use crate::failure::{Failure, counted};

/// Opens the host that is meant.
///
/// # Errors
/// When it is none.
pub fn open(context: &Context<'_>, at: &At) -> Result<Host, Failure> {
    let root = root(context, at.root.as_deref())?;
    Host::open(&root).map_err(|error| failed(error.into()))
}

fn help(error: &HostError) -> Option<&'static str> {
    match error {
        HostError::Root(RootError::Absent(_) | RootError::NoHost(_)) => {
            Some("give the folder that the prefix is with --root; `store install` makes a new one")
        }
        HostError::NoManifest(_) => Some("install an artifact, or give --manifest FILE"),
        HostError::NothingActive(_) => Some("run `store activate --role ROLE`"),
        HostError::NoGeneration { .. } => Some("see `store generations`; `store activate` makes a new one"),
        _ => None,
    }
}

/// The folder that is meant: the one asked for, else the one this program lies in.
///
/// # Errors
/// When none is named and this program lies in no host.
pub fn root(context: &Context<'_>, asked: Option<&Path>) -> Result<PathBuf, Failure> {
    match asked {
        Some(root) => Ok(context.world.cwd().join(root)),
        None => context.world.own_host().ok_or_else(|| {
            Failure::misuse("no host is named").help("give --root DIR, the folder that the prefix is")
        }),
    }
}

/// The system around `host`.
pub fn system(host: &Host) -> Box<dyn System> {
    match host.prefix() {
        Some(prefix) => system::around(host.root(), &prefix),
        // Whatever is tried on a host without a prefix fails for that reason.
        None => Box::new(Detached),
    }
}

/// Reads roles.
///
/// # Errors
/// When one cannot be a role's name.
pub fn roles(texts: &[String]) -> Result<BTreeSet<RoleName>, Failure> {
    let parse = |text: &String| text.parse().map_err(|error| Failure::misuse(format!("{error}")));
    // An empty one is how a script says that there are none.
    texts.iter().filter(|text| !text.is_empty()).map(parse).collect()
}

/// How an error of a host reaches people and scripts.
pub fn failed(error: HostError) -> Failure {
    match error {
        HostError::Findings(findings) => {
            let lines: String = findings.iter().map(|finding| format!("\n  {finding}")).collect();
            let message = format!(
                "{} in the way, nothing was changed:{lines}",
                counted(findings.len(), "thing")
            );
            Failure::new(message).in_the_way(findings)
        }
        error => {
            let help = help(&error);
            let failure = Failure::from(error);
            match help {
                Some(help) => failure.help(help),
                None => failure,
            }
        }
    }
}

/// The policy of the host at `root`: the one asked for, else its own.
///
/// # Errors
/// When there may be one that cannot be read.
pub fn policy(
    context: &Context<'_>,
    asked: Option<&Path>,
    root: &Path,
) -> Result<Option<HostPolicy>, Failure> {
    let asked = asked.map(|path| context.world.cwd().join(path));
    let now = Timestamp::from_unix(context.world.now().as_secs());
    HostPolicy::find(asked.as_deref(), root, now).map_err(refused)
}

/// A sentence about a policy that is not met.
pub fn refused(refusal: Refusal) -> Failure {
    let help = match &refusal {
        Refusal::Unmet { .. } => "let more builders build it and run `store attest` on the artifact",
        Refusal::Damaged { .. } => "`store install ARTIFACT` replaces them by those of the artifact",
        _ => "mend it, or ask whoever administers this host",
    };
    Failure::from(refusal).help(help)
}
