//! Owns a system that does not run: an image, whose files are made ready for its first boot and nothing is started.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use schema::manifest::Health;
use schema::platform::Platform;

use super::accounts::{self, Accounts};
use super::links::Link;
use super::{Obstacle, System, SystemError, Unhealthy, links};
use crate::durable::{self, PARTIAL};
use crate::host::layout::{Change, Layout, Owner};
use crate::io_error::{IoContext, IoError};
use crate::removal;
use crate::verify::{Difference, DifferenceKind, FileKind};

/// Where packages keep what changes, relative to the top of the system.
const STATE: &str = "var/lib";
/// Where groups are, beside [`super::USERS`].
const GROUPS: &str = "etc/group";
/// Where kernel settings are set from at boot.
const SYSCTL: &str = "etc/sysctl.d";
/// As many links as the kernel follows on one way.
const MOST_LINKS: u32 = 40;
/// How reading a link fails where none is.
const NO_LINK: [io::ErrorKind; 3] = [
    io::ErrorKind::InvalidInput,
    io::ErrorKind::NotFound,
    io::ErrorKind::NotADirectory,
];
/// Mode of state folders: nobody else's business.
const STATE_MODE: u32 = 0o750;

/// The files of a system, below `top`.
#[derive(Debug, Clone)]
pub struct Image {
    top: PathBuf,
}

impl Image {
    /// The system whose `/` is `top`.
    pub fn new(top: &Path) -> Self {
        Self { top: top.to_owned() }
    }

    /// Makes the state folders that are missing, each whole from the moment it has its name.
    fn lay_state(&self, wanted: &Layout) -> Result<(), SystemError> {
        if wanted.state.is_empty() {
            return Ok(());
        }
        let accounts = Accounts::read(&self.top)?;
        let above = self.top.join(STATE).join(&wanted.distribution);
        durable::create_folders(&above)?;
        for (package, owner) in &wanted.state {
            let path = above.join(package.as_str());
            if fs::symlink_metadata(&path).is_err() {
                let (user, group) = numbers(&accounts, owner)?;
                make_state(&path, user, group)?;
            }
        }
        Ok(())
    }

    /// The links of an image through which something would be laid outside of it: where they lead, only the system
    /// in it can tell.
    fn ways_out(&self, change: &Change) -> Result<Vec<Obstacle>, IoError> {
        // The root of the machine has no outside.
        if self.top == Path::new("/") {
            return Ok(Vec::new());
        }
        let mut paths = links::folders(change);
        paths.extend([super::USERS, GROUPS].map(PathBuf::from));
        let sets = |layout: &Layout| !layout.sysctl.is_empty();
        if sets(&change.to) || change.from.as_ref().is_some_and(sets) {
            paths.insert(PathBuf::from(SYSCTL));
        }
        if !change.to.state.is_empty() {
            paths.insert(Path::new(STATE).join(&change.to.distribution));
        }
        let mut found = BTreeSet::new();
        for path in paths {
            found.extend(way_out(&self.top, &path)?);
        }
        Ok(found
            .into_iter()
            .map(|path| Obstacle::LeadsOut { path })
            .collect())
    }

    /// What stands where state folders and the link to kernel settings belong.
    fn taken(&self, change: &Change) -> Result<Vec<Obstacle>, IoError> {
        let above = self.top.join(STATE).join(&change.to.distribution);
        let folders = change.to.state.keys().map(|package| above.join(package.as_str()));
        // A link to a folder is how an administrator moves state to another disk.
        let taken = folders.filter(|path| fs::symlink_metadata(path).is_ok() && !path.is_dir());
        let mut found: Vec<Obstacle> = taken.map(|path| Obstacle::StateTaken { path }).collect();
        if !change.to.sysctl.is_empty() {
            let path = sysctl_link(&self.top, &change.to.distribution);
            if links::is_foreign(&path, &change.prefix)? {
                found.push(Obstacle::InTheWay { path });
            }
        }
        Ok(found)
    }

    /// Users that are missing on a machine that has no program to make them.
    pub(super) fn lacks_tools(&self, change: &Change) -> Result<Option<Obstacle>, IoError> {
        let names = Accounts::read(&self.top)?.missing(&change.to);
        let lacks = !names.is_empty() && !accounts::can_be_made();
        Ok(lacks.then_some(Obstacle::NoAccountTool { names }))
    }

    /// The link by which kernel settings are set at boot, where there are any.
    fn lay_sysctl(&self, change: &Change) -> Result<(), IoError> {
        let path = |layout: &Layout| sysctl_link(&self.top, &layout.distribution);
        if !change.to.sysctl.is_empty() {
            durable::create_folders(&self.top.join(SYSCTL))?;
            return durable::link(&path(&change.to), &change.prefix.join("current/sysctl.conf"));
        }
        match &change.from {
            Some(from) if !from.sysctl.is_empty() => durable::remove(&path(from)),
            _ => Ok(()),
        }
    }
}

/// The link by which `path`, relative to `top`, leads out of it, if one does: an absolute one, or one with too many `..`.
fn way_out(top: &Path, path: &Path) -> Result<Option<PathBuf>, IoError> {
    let parts = |path: &Path| -> Vec<OsString> {
        let parts = path.iter().rev().filter(|part| *part != ".");
        parts.map(OsString::from).collect()
    };
    let (mut at, mut link) = (top.to_owned(), top.to_owned());
    let mut left = parts(path);
    let mut followed = 0;
    while let Some(part) = left.pop() {
        if part == ".." {
            if at == top {
                return Ok(Some(link));
            }
            at.pop();
            continue;
        }
        let next = at.join(part);
        match fs::read_link(&next) {
            Ok(target) if target.is_absolute() || followed == MOST_LINKS => return Ok(Some(next)),
            Ok(target) => {
                followed += 1;
                left.extend(parts(&target));
                link = next;
            }
            // No link, or nothing yet.
            Err(error) if NO_LINK.contains(&error.kind()) => at = next,
            Err(error) => return Err(error).at("look at", &next),
        }
    }
    Ok(None)
}

/// The link through which systemd sets kernel settings at boot.
pub(in crate::host) fn sysctl_link(top: &Path, distribution: &str) -> PathBuf {
    top.join(SYSCTL).join(format!("60-{distribution}.conf"))
}

fn numbers(accounts: &Accounts, owner: &Owner) -> Result<(u32, u32), SystemError> {
    let (user, group) = (owner.user.as_deref(), owner.group.as_deref());
    let found = accounts.user(user).zip(accounts.group(group, user));
    found.ok_or_else(|| SystemError::Failed {
        action: format!("find the user {}", user.unwrap_or("root")),
        reason: "it is not in the system's files although it was just made".to_owned(),
    })
}

fn make_state(path: &Path, user: u32, group: u32) -> Result<(), IoError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let aside = path.with_file_name(format!("{PARTIAL}{name}"));
    removal::remove(&aside)?;
    fs::create_dir(&aside)
        .and_then(|()| chown(&aside, Some(user), Some(group)))
        .and_then(|()| fs::set_permissions(&aside, Permissions::from_mode(STATE_MODE)))
        .at("make folder", &aside)?;
    // One that is there is never looked at again, so its owner must be on the disk when its name is.
    durable::sync(&aside)?;
    fs::rename(&aside, path).at("make folder", path)?;
    durable::sync(durable::parent(path))
}

impl System for Image {
    fn machine(&self) -> Option<Platform> {
        None
    }

    fn check(&self, change: &Change) -> Result<Vec<Obstacle>, SystemError> {
        let out = self.ways_out(change)?;
        if !out.is_empty() {
            // Nothing is looked at behind them.
            return Ok(out);
        }
        let mut found = links::in_the_way(&self.top, change)?;
        found.extend(self.taken(change)?);
        found.extend(Accounts::read(&self.top)?.contradict(&change.to));
        Ok(found)
    }

    fn prepare(&self, change: &Change) -> Result<(), SystemError> {
        Accounts::read(&self.top)?.complete(&self.top, &change.to)?;
        self.lay_state(&change.to)?;
        Ok(links::lay(&self.top, change)?)
    }

    fn stop(&self, _: &Change) -> Result<(), SystemError> {
        Ok(())
    }

    fn start(&self, change: &Change) -> Result<(), SystemError> {
        // On the way back, what the way forth had removed is missing.
        links::lay(&self.top, change)?;
        links::clear(&self.top, change)?;
        Ok(self.lay_sysctl(change)?)
    }

    fn restore(&self, change: &Change) -> Result<(), SystemError> {
        self.prepare(change)?;
        self.start(change)
    }

    fn verify(&self, change: &Change) -> Result<Vec<Difference>, SystemError> {
        let mut found = links::differences(&self.top, change)?;
        if !change.to.sysctl.is_empty() {
            let path = sysctl_link(&self.top, &change.to.distribution);
            let target = change.prefix.join("current/sysctl.conf");
            found.extend(links::difference(&self.top, &Link { path, target })?);
        }
        let above = self.top.join(STATE).join(&change.to.distribution);
        for package in change.to.state.keys() {
            let path = above.join(package.as_str());
            // Through links: one to a folder is how an administrator moves state to another disk.
            let kind = match fs::metadata(&path) {
                Ok(metadata) if metadata.is_dir() => continue,
                Ok(metadata) => DifferenceKind::Type {
                    expected: FileKind::Dir,
                    found: FileKind::from(&metadata),
                },
                Err(error) if error.kind() == io::ErrorKind::NotFound => DifferenceKind::Missing,
                Err(error) => return Err(error).at("look at", &path).map_err(SystemError::from),
            };
            found.push(links::about(&self.top, &path, kind));
        }
        let accounts = Accounts::read(&self.top)?;
        let users = self.top.join(super::USERS);
        let missing = accounts.missing(&change.to).into_iter();
        found.extend(missing.map(|name| links::about(&self.top, &users, DifferenceKind::Account { name })));
        let contradictions = accounts.contradict(&change.to).into_iter();
        found.extend(contradictions.map(|obstacle| {
            let reason = obstacle.to_string();
            links::about(&self.top, &users, DifferenceKind::Document { reason })
        }));
        Ok(found)
    }

    fn healthy(&self, _: &Health, _: &Change) -> Result<(), Unhealthy> {
        Ok(())
    }
}

/// The kernel's file for a setting, e.g. `/proc/sys/vm/swappiness` for `vm.swappiness`.
pub(super) fn kernel_file(key: &str) -> PathBuf {
    // Where a part holds a dot itself, the key is written with slashes between parts, as sysctl.d(5) has it.
    let path = match key.find(['.', '/']).map(|at| &key[at..=at]) {
        Some("/") => key.to_owned(),
        _ => key.replace('/', "\0").replace('.', "/").replace('\0', "."),
    };
    Path::new("/proc/sys").join(path)
}

/// Sets what a generation asks of the kernel; settings that are so already are not touched.
pub(super) fn set_kernel(wanted: &Layout) -> Result<(), IoError> {
    for (key, value) in &wanted.sysctl {
        let path = kernel_file(key);
        let is_set = |now: io::Result<String>| {
            now.is_ok_and(|now| now.split_whitespace().eq(value.split_whitespace()))
        };
        if !is_set(fs::read_to_string(&path)) {
            fs::write(&path, value).at("set", &path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first activation of packages with state, and with a kernel setting.
    fn with_state<const N: usize>(packages: [&str; N]) -> Change {
        Change {
            root: PathBuf::from("/opt/store"),
            prefix: PathBuf::from("/opt/store"),
            from: None,
            to: Layout {
                distribution: "demo".to_owned(),
                state: packages
                    .map(|name| (name.parse().unwrap(), Owner::default()))
                    .into(),
                sysctl: [("vm.swappiness".to_owned(), "2".to_owned())].into(),
                ..Layout::default()
            },
        }
    }

    #[test]
    fn what_an_administrator_put_there_is_not_replaced() {
        let top = tempfile::tempdir().unwrap();
        let settings = sysctl_link(top.path(), "demo");
        let state = top.path().join(STATE).join("demo");
        for folder in [settings.parent().unwrap(), &state] {
            fs::create_dir_all(folder).unwrap();
        }
        fs::write(&settings, "vm.swappiness = 1\n").unwrap();
        fs::write(state.join("web"), "").unwrap();
        std::os::unix::fs::symlink("/", state.join("moved")).unwrap();
        let change = with_state(["web", "moved"]);
        let image = Image::new(top.path());
        let found = image.check(&change).unwrap();
        let expected = [
            Obstacle::StateTaken {
                path: state.join("web"),
            },
            Obstacle::InTheWay {
                path: settings.clone(),
            },
        ];
        assert_eq!(found, expected);
        fs::remove_file(&settings).unwrap();
        image.lay_sysctl(&change).unwrap();
        assert_eq!(image.check(&change).unwrap(), expected[..1]);
    }

    #[test]
    fn a_link_that_leads_out_of_the_image_is_an_obstacle() {
        let image = tempfile::tempdir().unwrap();
        let top = image.path();
        for folder in ["etc/systemd", "usr/etc/units", "usr/etc/sysctl.d"] {
            fs::create_dir_all(top.join(folder)).unwrap();
        }
        let change = with_state(["db"]);
        let found = |links: [(&str, &str); 3]| -> Vec<PathBuf> {
            for (path, target) in links {
                removal::remove(&top.join(path)).unwrap();
                std::os::unix::fs::symlink(target, top.join(path)).unwrap();
            }
            let found = Image::new(top).check(&change).unwrap().into_iter();
            let paths = found.map(|obstacle| match obstacle {
                Obstacle::LeadsOut { path } => path.strip_prefix(top).unwrap().to_owned(),
                other => panic!("{other}"),
            });
            paths.collect()
        };
        let inside = [
            ("var", "./usr/../usr/var"),
            ("etc/systemd/system", "../../usr/etc/units"),
            ("etc/sysctl.d", "../usr/etc/sysctl.d"),
        ];
        assert_eq!(found(inside), [] as [PathBuf; 0]);
        let outside = [
            ("var", "/tmp"),
            ("etc/systemd/system", "../../../tmp"),
            ("usr/etc/sysctl.d", "/tmp"),
        ];
        let paths = ["etc/systemd/system", "usr/etc/sysctl.d", "var"].map(PathBuf::from);
        assert_eq!(found(outside), paths);
    }

    #[test]
    fn what_a_system_lost_of_what_it_was_given_is_a_difference() {
        let top = tempfile::tempdir().unwrap();
        fs::create_dir(top.path().join("etc")).unwrap();
        fs::write(
            top.path().join("etc/passwd"),
            "root:x:0:0::/:/bin/sh\nodd:x:9:99::/:\n",
        )
        .unwrap();
        let change = Change {
            root: PathBuf::from("/opt/store"),
            prefix: PathBuf::from("/opt/store"),
            from: None,
            to: Layout {
                distribution: "demo".to_owned(),
                users: [("odd".to_owned(), None), ("web".to_owned(), None)].into(),
                state: [("db".parse().unwrap(), Owner::default())].into(),
                sysctl: [("vm.swappiness".to_owned(), "2".to_owned())].into(),
                ..Layout::default()
            },
        };
        let image = Image::new(top.path());
        let paths = || -> Vec<String> {
            let found = image.verify(&change).unwrap();
            found.into_iter().map(|difference| difference.path).collect()
        };
        assert_eq!(
            paths(),
            [
                "/etc/sysctl.d/60-demo.conf",
                "/var/lib/demo/db",
                "/etc/passwd",
                "/etc/passwd"
            ]
        );
        image.lay_sysctl(&change).unwrap();
        // As an activation does, which only root can in full.
        fs::create_dir_all(top.path().join("var/lib/demo/db")).unwrap();
        assert_eq!(paths(), ["/etc/passwd", "/etc/passwd"]);
    }

    #[test]
    fn settings_are_found_by_either_spelling() {
        for (key, file) in [
            ("vm.swappiness", "/proc/sys/vm/swappiness"),
            (
                "net/ipv4/conf/eth0.7/forwarding",
                "/proc/sys/net/ipv4/conf/eth0.7/forwarding",
            ),
            (
                "net.ipv4.conf.eth0/7.forwarding",
                "/proc/sys/net/ipv4/conf/eth0.7/forwarding",
            ),
        ] {
            assert_eq!(kernel_file(key), Path::new(file));
        }
    }
}
