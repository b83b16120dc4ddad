//! Owns the system users and groups that packages ask for: what of them is there, what contradicts them, making them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::host::layout::Layout;
use crate::host::system::{Obstacle, SystemError};
use crate::io_error::{IoContext, IoError};
use crate::process::{self, ProcessError, Verdict};

const LIMIT: Duration = Duration::from_secs(60);
const SYSUSERS: &str = "systemd-sysusers";
const USERADD: &str = "useradd";
const GROUPADD: &str = "groupadd";

/// The accounts of a system, as its files have them.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    /// User and primary group by name.
    users: BTreeMap<String, (u32, u32)>,
    groups: BTreeMap<String, u32>,
}

impl Accounts {
    /// Reads those of the system at `top`. Without its files there are none.
    pub(super) fn read(top: &Path) -> Result<Self, IoError> {
        let mut accounts = Self::default();
        for fields in lines(&top.join(super::USERS))? {
            if let [name, _, user, group, ..] = fields.as_slice()
                && let (Ok(user), Ok(group)) = (user.parse(), group.parse())
            {
                accounts.users.insert(name.clone(), (user, group));
            }
        }
        for fields in lines(&top.join("etc/group"))? {
            if let [name, _, group, ..] = fields.as_slice()
                && let Ok(group) = group.parse()
            {
                accounts.groups.insert(name.clone(), group);
            }
        }
        Ok(accounts)
    }

    /// The number of a user; root's when none is named.
    pub(super) fn user(&self, name: Option<&str>) -> Option<u32> {
        name.map_or(Some(0), |name| self.users.get(name).map(|(user, _)| *user))
    }

    /// The number of a group, or, when none is named, that of the user's own.
    pub(super) fn group(&self, name: Option<&str>, user: Option<&str>) -> Option<u32> {
        match (name, user) {
            (Some(name), _) => self.groups.get(name).copied(),
            (None, Some(user)) => self.users.get(user).map(|(_, group)| *group),
            (None, None) => Some(0),
        }
    }

    /// Users that are there with another group than packages ask for.
    pub(super) fn contradict(&self, wanted: &Layout) -> Vec<Obstacle> {
        let mut found = Vec::new();
        for (user, group) in &wanted.users {
            let expected = group.as_ref().unwrap_or(user);
            let Some((_, has)) = self.users.get(user) else {
                continue;
            };
            if self.groups.get(expected) != Some(has) {
                let name = self.groups.iter().find(|(_, number)| *number == has);
                found.push(Obstacle::UserGroup {
                    user: user.clone(),
                    expected: expected.clone(),
                    found: name.map_or_else(|| has.to_string(), |(name, _)| name.clone()),
                });
            }
        }
        found
    }

    /// The users and groups that `wanted` asks for and that are not there.
    pub(super) fn missing(&self, wanted: &Layout) -> Vec<String> {
        let users = wanted.users.keys().filter(|user| !self.users.contains_key(*user));
        let groups = wanted
            .groups
            .iter()
            .filter(|group| !self.groups.contains_key(*group));
        let names: BTreeSet<&String> = users.chain(groups).collect();
        names.into_iter().cloned().collect()
    }

    /// Makes those that `wanted` asks for and that are missing, on the system at `top`.
    pub(super) fn complete(&self, top: &Path, wanted: &Layout) -> Result<(), SystemError> {
        if self.missing(wanted).is_empty() {
            return Ok(());
        }
        let mut sysusers = process::command(SYSUSERS);
        sysusers
            .arg("--root")
            .arg(top)
            .arg("--inline")
            .args(lines_of(wanted));
        let Err(error) = run(sysusers) else {
            return Ok(());
        };
        // Older ones lack an option, or do not know groups by name; they may have made some before they found out.
        let now = Self::read(top)?;
        match now.complete_by_hand(top, wanted) {
            Err(_) if !can_be_made_by_hand() && !matches!(error, ProcessError::NotInstalled(_)) => {
                Err(failed("make system users", &error))
            }
            made => made,
        }
    }

    /// The same with the tools that every distribution had before systemd's.
    fn complete_by_hand(&self, top: &Path, wanted: &Layout) -> Result<(), SystemError> {
        for group in wanted
            .groups
            .iter()
            .filter(|group| !self.groups.contains_key(*group))
        {
            let mut groupadd = process::command(GROUPADD);
            groupadd.args(["--system", "--force"]);
            below(&mut groupadd, top).arg(group);
            run(groupadd).map_err(|error| failed(&format!("make the system group {group}"), &error))?;
        }
        for (user, group) in wanted
            .users
            .iter()
            .filter(|(user, _)| !self.users.contains_key(*user))
        {
            let mut useradd = process::command(USERADD);
            useradd.args(["--system", "--no-create-home", "--home-dir", "/"]);
            below(&mut useradd, top).args(["--shell", "/usr/sbin/nologin"]);
            match group {
                Some(group) => useradd.args(["--no-user-group", "--gid", group]),
                None => useradd.arg("--user-group"),
            };
            useradd.arg(user);
            run(useradd).map_err(|error| failed(&format!("make the system user {user}"), &error))?;
        }
        Ok(())
    }
}

/// Has a tool work on the system at `top`; on this machine's own, older ones need not know the option.
fn below<'a>(command: &'a mut Command, top: &Path) -> &'a mut Command {
    match top == Path::new("/") {
        true => command,
        false => command.arg("--prefix").arg(top),
    }
}

/// Whether this machine has a program that makes users.
pub(super) fn can_be_made() -> bool {
    is_here(SYSUSERS) || can_be_made_by_hand()
}

fn can_be_made_by_hand() -> bool {
    is_here(USERADD) && is_here(GROUPADD)
}

fn is_here(program: &str) -> bool {
    let mut command = process::command(program);
    command.arg("--help");
    !matches!(run(command), Err(ProcessError::NotInstalled(_)))
}

/// What systemd-sysusers is told, a line an account.
fn lines_of(wanted: &Layout) -> Vec<String> {
    let groups = wanted.groups.iter().map(|group| format!("g {group} -"));
    let users = wanted.users.iter().map(|(user, group)| match group {
        Some(group) => format!("u {user} -:{group}"),
        None => format!("u {user} -"),
    });
    groups.chain(users).collect()
}

fn run(command: Command) -> Result<(), ProcessError> {
    process::run(command, LIMIT, &mut || Verdict::GoOn).map(drop)
}

fn failed(action: &str, error: &ProcessError) -> SystemError {
    SystemError::Failed {
        action: action.to_owned(),
        reason: error.to_string(),
    }
}

fn lines(path: &Path) -> Result<Vec<Vec<String>>, IoError> {
    let text = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.at("read", path)?,
    };
    let text = String::from_utf8_lossy(&text);
    let fields = |line: &str| line.split(':').map(str::to_owned).collect();
    Ok(text.lines().map(fields).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_held_against_what_is_asked_for() {
        let top = tempfile::tempdir().unwrap();
        fs::create_dir(top.path().join("etc")).unwrap();
        let passwd = "root:x:0:0::/:/bin/sh\nweb:x:7:70::/:\nown:x:8:8::/:\nodd:x:9:99::/:\n";
        fs::write(top.path().join("etc/passwd"), passwd).unwrap();
        fs::write(top.path().join("etc/group"), "root:x:0:\nserve:x:70:\nown:x:8:\n").unwrap();
        let accounts = Accounts::read(top.path()).unwrap();
        let asked = [
            ("web", Some("serve")),
            ("own", None),
            ("odd", None),
            ("new", None),
        ];
        let users = asked.map(|(user, group)| (user.to_owned(), group.map(str::to_owned)));
        let wanted = Layout {
            users: users.into(),
            ..Layout::default()
        };
        let [
            Obstacle::UserGroup {
                user,
                expected,
                found,
            },
        ] = &accounts.contradict(&wanted)[..]
        else {
            panic!("{:?}", accounts.contradict(&wanted));
        };
        assert_eq!(
            (user.as_str(), expected.as_str(), found.as_str()),
            ("odd", "odd", "99")
        );
        assert_eq!(accounts.missing(&wanted), ["new"]);
        assert_eq!(accounts.group(None, Some("web")), Some(70));
        assert_eq!((accounts.user(None), accounts.user(Some("new"))), (Some(0), None));
    }
}
