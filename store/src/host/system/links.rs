//! Owns the links by which systemd finds a generation's units: they lead through `current`, so that its swap changes
//! every unit at once, and only names that come or go need a link made or removed.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

use crate::durable;
use crate::folder;
use crate::host::layout::{Change, Fate, Unit};
use crate::host::system::Obstacle;
use crate::io_error::{IoContext, IoError};
use crate::verify::{Difference, DifferenceKind, FileKind};

/// Where the administrator's units are, relative to the top of the system.
pub(in crate::host) const FOLDER: &str = "etc/systemd/system";

/// Where the system's own units are, relative to its top.
const VENDOR_FOLDERS: [&str; 3] = [
    "usr/lib/systemd/system",
    "lib/systemd/system",
    "run/systemd/system",
];

/// One link: where it stands and where it leads.
pub(super) struct Link {
    pub(super) path: PathBuf,
    pub(super) target: PathBuf,
}

/// Whether `name` is a template, which is neither started nor wanted as it is.
pub(super) fn is_template(name: &str) -> bool {
    name.contains("@.")
}

/// The links that the unit `name` needs on the system at `top`.
fn links_of(top: &Path, prefix: &Path, name: &str, unit: &Unit) -> Vec<Link> {
    let folder = top.join(FOLDER);
    let mut links = vec![Link {
        path: folder.join(name),
        target: prefix.join("current").join(unit.inside(name)),
    }];
    if !is_template(name) {
        links.extend(unit.targets.iter().map(|target| Link {
            path: folder.join(format!("{target}.wants")).join(name),
            target: Path::new("..").join(name),
        }));
    }
    links
}

/// The links of all units of the generation that is to be.
fn wanted(top: &Path, change: &Change) -> Vec<Link> {
    let units = change.to.units.iter();
    units
        .flat_map(|(name, unit)| links_of(top, &change.prefix, name, unit))
        .collect()
}

/// The folders in which the links of `change` are, relative to the top of the system.
pub(super) fn folders(change: &Change) -> BTreeSet<PathBuf> {
    let links = wanted(Path::new(""), change).into_iter();
    let mut folders: BTreeSet<PathBuf> = links
        .filter_map(|link| Some(link.path.parent()?.to_owned()))
        .collect();
    // Where links of other generations are looked for.
    folders.insert(PathBuf::from(FOLDER));
    folders
}

/// What stands where links belong and is not the store's own.
pub(super) fn in_the_way(top: &Path, change: &Change) -> Result<Vec<Obstacle>, IoError> {
    let mut found = Vec::new();
    for link in wanted(top, change) {
        match fs::read_link(&link.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Ok(target) if is_ours(&target, &change.prefix, &link) => {}
            Ok(_) => found.push(Obstacle::InTheWay { path: link.path }),
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                found.push(Obstacle::InTheWay { path: link.path });
            }
            Err(error) => return Err(error).at("look at", &link.path),
        }
    }
    let hidden = change.to.units.keys().filter_map(|name| {
        let path = hidden_by(top, name)?;
        let unit = name.clone();
        Some(Obstacle::UnitHidden { unit, path })
    });
    found.extend(hidden);
    Ok(found)
}

/// The unit of the system itself that one called `name` would hide, and which may run under that name. Once ours is
/// linked, what the system gets later is hidden, as everything in that folder hides it: no reason not to go back.
pub(in crate::host) fn hidden_by(top: &Path, name: &str) -> Option<PathBuf> {
    if fs::symlink_metadata(top.join(FOLDER).join(name)).is_ok() {
        return None;
    }
    let folders = VENDOR_FOLDERS.iter().map(|folder| top.join(folder).join(name));
    folders
        .into_iter()
        .find(|path| fs::symlink_metadata(path).is_ok())
}

/// A link into the prefix is an older generation's; one beside it leads to such a link.
fn is_ours(target: &Path, prefix: &Path, link: &Link) -> bool {
    target.starts_with(prefix) || *target == link.target
}

/// Whether something stands at `path` that is no link into the prefix.
pub(in crate::host) fn is_foreign(path: &Path, prefix: &Path) -> Result<bool, IoError> {
    match fs::read_link(path) {
        Ok(target) => Ok(!target.starts_with(prefix)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(true),
        Err(error) => Err(error).at("look at", path),
    }
}

/// Makes the links that are missing or lead elsewhere.
pub(super) fn lay(top: &Path, change: &Change) -> Result<(), IoError> {
    for link in wanted(top, change) {
        if !fs::read_link(&link.path).is_ok_and(|target| target == link.target) {
            if let Some(folder) = link.path.parent() {
                durable::create_folders(folder)?;
            }
            durable::link(&link.path, &link.target)?;
        }
    }
    Ok(())
}

/// Removes the links to units that the generation which is to be does not bring, whichever brought them: the one from
/// before may be gone.
pub(super) fn clear(top: &Path, change: &Change) -> Result<(), IoError> {
    leftovers(top, change)?
        .iter()
        .try_for_each(|path| durable::remove(path))
}

/// The links that [`clear`] removes, what wants a unit before the unit.
fn leftovers(top: &Path, change: &Change) -> Result<Vec<PathBuf>, IoError> {
    let needed: BTreeSet<PathBuf> = wanted(top, change).into_iter().map(|link| link.path).collect();
    let folder = top.join(FOLDER);
    let through_current = change.prefix.join("current");
    let mut gone = Vec::new();
    for path in entries(&folder)? {
        if fs::read_link(&path).is_ok_and(|target| target.starts_with(&through_current)) {
            gone.push(path);
        }
    }
    let names: Vec<&OsStr> = gone.iter().filter_map(|path| path.file_name()).collect();
    let mut wants = Vec::new();
    for path in entries(&folder)? {
        if path.extension().is_some_and(|end| end == "wants") && path.is_dir() {
            let of_ours = |path: &PathBuf| {
                let name = path.file_name().unwrap_or_default();
                let target = fs::read_link(path);
                names.contains(&name) && target.is_ok_and(|target| target == Path::new("..").join(name))
            };
            wants.extend(entries(&path)?.into_iter().filter(of_ours));
        }
    }
    wants.extend(gone);
    wants.retain(|path| !needed.contains(path));
    Ok(wants)
}

/// The links of the generation that is active which are missing or lead elsewhere, and those left of others.
pub(super) fn differences(top: &Path, change: &Change) -> Result<Vec<Difference>, IoError> {
    let mut found = Vec::new();
    for link in wanted(top, change) {
        found.extend(difference(top, &link)?);
    }
    let left = leftovers(top, change)?.into_iter();
    found.extend(left.map(|path| {
        let found = FileKind::Symlink;
        about(top, &path, DifferenceKind::Extra { found })
    }));
    Ok(found)
}

/// What is wrong with one link.
pub(super) fn difference(top: &Path, link: &Link) -> Result<Option<Difference>, IoError> {
    let kind = match fs::read_link(&link.path) {
        Ok(found) if found == link.target => return Ok(None),
        Ok(found) => DifferenceKind::Target {
            expected: link.target.to_string_lossy().into_owned(),
            found: found.to_str().map(str::to_owned),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => DifferenceKind::Missing,
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            let metadata = fs::symlink_metadata(&link.path).at("look at", &link.path)?;
            DifferenceKind::Type {
                expected: FileKind::Symlink,
                found: FileKind::from(&metadata),
            }
        }
        Err(error) => return Err(error).at("read link", &link.path),
    };
    Ok(Some(about(top, &link.path, kind)))
}

/// A difference at `path` of the system whose `/` is `top`.
pub(super) fn about(top: &Path, path: &Path, kind: DifferenceKind) -> Difference {
    let inside = path.strip_prefix(top).unwrap_or(path);
    Difference::new(None, format!("/{}", inside.display()), kind)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, IoError> {
    let entries = folder::entries_if_there(folder)?;
    Ok(entries.iter().map(DirEntry::path).collect())
}

/// The units of those fates that can be started and stopped.
pub(super) fn running(change: &Change, fates: &[Fate]) -> Vec<String> {
    let brought = |name: &str| {
        let before = change.from.as_ref().and_then(|from| from.units.get(name));
        let unit = change.to.units.get(name).or(before);
        unit.is_some_and(|unit| unit.package.is_some())
    };
    let units = change.units().into_iter();
    units
        .filter(|(name, fate)| fates.contains(fate) && brought(name) && !is_template(name))
        .map(|(name, _)| name.to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::layout::Layout;
    use std::collections::BTreeSet;
    use std::os::unix::fs::symlink;

    fn layout(units: &[(&str, &str)]) -> Layout {
        let unit = |target: &str| Unit {
            targets: BTreeSet::from([target.to_owned()]),
            file: PathBuf::from("/x"),
            blake3: None,
            package: None,
        };
        let units = units
            .iter()
            .map(|(name, target)| ((*name).to_owned(), unit(target)));
        Layout {
            units: units.collect(),
            ..Layout::default()
        }
    }

    fn found(top: &Path) -> Vec<String> {
        let folder = top.join(FOLDER);
        let mut found = Vec::new();
        for path in entries(&folder).unwrap() {
            let inner = if path.is_dir() {
                entries(&path).unwrap()
            } else {
                vec![path]
            };
            found.extend(
                inner
                    .iter()
                    .map(|path| path.strip_prefix(&folder).unwrap().display().to_string()),
            );
        }
        found.sort();
        found
    }

    #[test]
    fn links_follow_the_generation_and_nothing_else_is_touched() {
        let top = tempfile::tempdir().unwrap();
        let folder = top.path().join(FOLDER);
        fs::create_dir_all(folder.join("multi-user.target.wants")).unwrap();
        symlink("/usr/lib/systemd/system/ssh.service", folder.join("sshd.service")).unwrap();
        symlink(
            "../sshd.service",
            folder.join("multi-user.target.wants/sshd.service"),
        )
        .unwrap();
        let change = |units| Change {
            root: PathBuf::from("/opt/store"),
            prefix: PathBuf::from("/opt/store"),
            from: None,
            to: layout(units),
        };
        let first = change(&[("a.service", "multi-user.target"), ("b@.service", "x.target")]);
        lay(top.path(), &first).unwrap();
        let others = ["multi-user.target.wants/sshd.service", "sshd.service"];
        let mut expected = vec!["a.service", "b@.service", "multi-user.target.wants/a.service"];
        expected.extend(others);
        assert_eq!(found(top.path()), expected);
        assert_eq!(in_the_way(top.path(), &first).unwrap(), []);

        // Another generation, of whose predecessor nothing is known.
        let second = change(&[("a.service", "other.target")]);
        lay(top.path(), &second).unwrap();
        clear(top.path(), &second).unwrap();
        let mut expected = vec!["a.service"];
        expected.extend(others.iter().take(1));
        expected.extend(["other.target.wants/a.service", "sshd.service"]);
        assert_eq!(found(top.path()), expected);

        let taken = change(&[("sshd.service", "multi-user.target")]);
        assert_eq!(
            in_the_way(top.path(), &taken).unwrap(),
            [Obstacle::InTheWay {
                path: folder.join("sshd.service")
            }]
        );
        let vendor = top.path().join("usr/lib/systemd/system");
        fs::create_dir_all(&vendor).unwrap();
        for name in ["a.service", "new.service"] {
            fs::write(vendor.join(name), "").unwrap();
        }
        let hiding = change(&[("a.service", "other.target"), ("new.service", "other.target")]);
        assert_eq!(
            in_the_way(top.path(), &hiding).unwrap(),
            [Obstacle::UnitHidden {
                unit: "new.service".to_owned(),
                path: vendor.join("new.service")
            }]
        );
    }

    #[test]
    fn links_that_are_missing_lead_elsewhere_or_are_left_over_are_differences() {
        let top = tempfile::tempdir().unwrap();
        let folder = top.path().join(FOLDER);
        let change = Change {
            root: PathBuf::from("/opt/store"),
            prefix: PathBuf::from("/opt/store"),
            from: None,
            to: layout(&[
                ("a.service", "multi-user.target"),
                ("b.service", "multi-user.target"),
            ]),
        };
        lay(top.path(), &change).unwrap();
        assert_eq!(differences(top.path(), &change).unwrap(), []);
        fs::remove_file(folder.join("multi-user.target.wants/a.service")).unwrap();
        fs::remove_file(folder.join("b.service")).unwrap();
        symlink("/dev/null", folder.join("b.service")).unwrap();
        symlink("/opt/store/current/systemd/x", folder.join("old.service")).unwrap();
        let found = differences(top.path(), &change).unwrap();
        let mut lines: Vec<String> = found.iter().map(ToString::to_string).collect();
        lines.sort();
        assert_eq!(
            lines,
            [
                "/etc/systemd/system/b.service: a link to `/dev/null` instead of \
                 `/opt/store/current/systemd/multi-user.target.wants/b.service`",
                "/etc/systemd/system/multi-user.target.wants/a.service: missing",
                "/etc/systemd/system/old.service: a symbolic link that does not belong there",
            ]
        );
    }
}
