//! Owns a system that runs under systemd: units are stopped, started and watched around the swap.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use schema::manifest::Health;

use super::image::{self, Image};
use super::{Obstacle, System, SystemError, Unhealthy, links};
use crate::host::address;
use crate::host::layout::{Change, Fate};
use crate::process::{self, ProcessError, Verdict};
use crate::verify::Difference;

/// How long systemd may take for what it is told; its own limits for each unit are shorter.
const LIMIT: Duration = Duration::from_secs(600);
/// How often a host that is not healthy yet is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long a host must be healthy to count as such: a service that dies at once was active, too.
const STEADY: Duration = Duration::from_secs(1);

/// The system of this machine, which runs.
#[derive(Debug, Clone)]
pub struct Live {
    files: Image,
}

impl Live {
    /// This machine, if systemd runs it.
    pub fn here() -> Option<Self> {
        // As sd_booted(3) has it.
        Path::new("/run/systemd/system").is_dir().then(|| Self {
            files: Image::new(Path::new("/")),
        })
    }
}

impl System for Live {
    fn check(&self, change: &Change) -> Result<Vec<Obstacle>, SystemError> {
        let mut found = self.files.check(change)?;
        found.extend(self.files.lacks_tools(change)?);
        for path in &change.to.secrets {
            if let Err(error) = fs::File::open(path) {
                found.push(Obstacle::SecretAbsent {
                    path: path.clone(),
                    reason: error.to_string(),
                });
            }
        }
        let keys = change.to.sysctl.keys();
        let absent = keys.filter(|key| fs::symlink_metadata(image::kernel_file(key)).is_err());
        found.extend(absent.map(|key| Obstacle::KernelSetting { key: key.clone() }));
        if let Some(script) = &change.to.ip_detect
            && let Err(error) = address::detect(script, &change.root)
        {
            let reason = error.to_string();
            found.push(Obstacle::Address { reason });
        }
        found.extend(rejected(change)?);
        Ok(found)
    }

    fn prepare(&self, change: &Change) -> Result<(), SystemError> {
        self.files.prepare(change)
    }

    fn stop(&self, change: &Change) -> Result<(), SystemError> {
        let units = links::running(change, &[Fate::Removed, Fate::Changed]);
        if units.is_empty() {
            return Ok(());
        }
        match systemctl("stop", &units) {
            // One that systemd does not know any more cannot be stopped, and need not be.
            Err(_) if !units.iter().any(|unit| is_active(unit)) => Ok(()),
            stopped => stopped,
        }
    }

    fn start(&self, change: &Change) -> Result<(), SystemError> {
        self.files.start(change)?;
        systemctl("daemon-reload", &[])?;
        image::set_kernel(&change.to)?;
        let units = links::running(change, &[Fate::Added, Fate::Changed]);
        let here: Vec<String> = units
            .into_iter()
            .filter(|unit| change.to.units.contains_key(unit))
            .collect();
        if here.is_empty() {
            return Ok(());
        }
        // What failed too often a moment ago would not be started again otherwise; what never failed is no error.
        let _ = systemctl("reset-failed", &here);
        systemctl("start", &here)
    }

    fn restore(&self, change: &Change) -> Result<(), SystemError> {
        self.files.restore(change)?;
        systemctl("daemon-reload", &[])
    }

    fn verify(&self, change: &Change) -> Result<Vec<Difference>, SystemError> {
        self.files.verify(change)
    }

    fn healthy(&self, health: &Health, change: &Change) -> Result<(), Unhealthy> {
        let deadline = Duration::from_secs(health.deadline_seconds);
        let begun = Instant::now();
        let mut healthy_since = None;
        loop {
            let left = deadline.saturating_sub(begun.elapsed());
            match unwell(health, change, left) {
                None => {
                    let since = *healthy_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= STEADY {
                        return Ok(());
                    }
                }
                Some(_) if begun.elapsed() < deadline => healthy_since = None,
                Some(reason) => {
                    let waited = begun.elapsed();
                    return Err(Unhealthy { reason, waited });
                }
            }
            thread::sleep(LOOK_EVERY);
        }
    }
}

/// What is wrong with the host now; `left` is how long it may take to find out.
fn unwell(health: &Health, change: &Change, left: Duration) -> Option<String> {
    let brought = |unit: &&String| change.to.units.contains_key(*unit);
    let inactive = health.units.iter().filter(brought).find(|unit| !is_active(unit));
    if let Some(unit) = inactive {
        return Some(format!("{unit} is not active; see `journalctl -u {unit}`"));
    }
    let program = change.root.join(health.command.as_ref()?);
    let mut command = process::command(&program);
    command
        .env_clear()
        .env("PATH", address::path(&change.root))
        .current_dir("/");
    let limit = left.max(STEADY);
    let ran = process::run(command, limit, &mut || Verdict::GoOn);
    ran.err().map(|error| error.to_string())
}

fn is_active(unit: &str) -> bool {
    let mut command = process::command("systemctl");
    command.args(["is-active", "--quiet", "--", unit]);
    run(command).is_ok()
}

fn systemctl(verb: &str, units: &[String]) -> Result<(), SystemError> {
    let mut command = process::command("systemctl");
    command.args(["--no-ask-password", "--quiet", verb]);
    if !units.is_empty() {
        command.arg("--").args(units);
    }
    run(command).map(drop).map_err(|error| SystemError::Failed {
        action: [verb, &units.join(" ")].join(" ").trim().to_owned(),
        reason: error.to_string(),
    })
}

fn run(command: Command) -> Result<String, ProcessError> {
    process::run(command, LIMIT, &mut || Verdict::GoOn).map(|said| said.stderr)
}

/// The units that are new or changed and that systemd would not load.
fn rejected(change: &Change) -> Result<Vec<Obstacle>, SystemError> {
    let names = links::running(change, &[Fate::Added, Fate::Changed]);
    let files: BTreeMap<&str, &PathBuf> = names
        .iter()
        .filter_map(|name| Some((name.as_str(), &change.to.units.get(name)?.file)))
        .collect();
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let mut command = process::command("systemd-analyze");
    command
        .args(["verify", "--man=no", "--generators=no", "--recursive-errors=no"])
        .args(files.values());
    let said = match run(command) {
        Ok(_) | Err(ProcessError::NotInstalled(_)) => return Ok(Vec::new()),
        Err(ProcessError::Failed { stderr, .. }) => stderr,
        Err(error) => {
            let action = "check units".to_owned();
            let reason = error.to_string();
            return Err(SystemError::Failed { action, reason });
        }
    };
    let complaint = |(name, file): (&str, &PathBuf)| {
        let reason = complaints(&said, name, file);
        (!reason.is_empty()).then(|| Obstacle::Unit {
            unit: name.to_owned(),
            package: change.to.units.get(name).and_then(|unit| unit.package.clone()),
            reason: reason.join("; "),
        })
    };
    Ok(files.into_iter().filter_map(complaint).collect())
}

/// What `said` says against one unit. That a program is not there yet is no reason: it comes with the swap.
fn complaints<'a>(said: &'a str, name: &str, file: &Path) -> Vec<&'a str> {
    let file = file.display().to_string();
    let about = |line: &&str| {
        let rest = line
            .strip_prefix(name)
            .or_else(|| line.strip_prefix(file.as_str()));
        rest.is_some_and(|rest| rest.starts_with(':')) && !line.contains("is not executable")
    };
    said.lines().filter(about).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_said_against_a_unit_counts() {
        let said = "/p/a.service:5: Missing '='.\na.service: Command /opt/x is not executable: No such file\n\
                    a.service: Service has no ExecStart=. Refusing.\nba.service: odd\nother: a.service: odd\n";
        let found = complaints(said, "a.service", Path::new("/p/a.service"));
        assert_eq!(
            found,
            [
                "/p/a.service:5: Missing '='.",
                "a.service: Service has no ExecStart=. Refusing."
            ]
        );
    }
}
