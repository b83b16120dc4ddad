//! Owns which folders of a package are activated on which roles, and where their content belongs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use schema::name::RoleName;

use super::FOLDERS;
use super::content::Content;
use crate::io_error::IoError;

/// Holds one folder of units for each target that wants some.
pub const UNITS: &str = "systemd";

/// How the name of a folder of units ends: `multi-user.target.wants`.
const WANTS: &str = ".target.wants";

/// A folder at the top of a package that is activated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Top {
    /// Where its content belongs, relative to the prefix.
    pub place: PathBuf,
    /// Where it lies, relative to the package's folder.
    pub inside: PathBuf,
    /// The role it is for; none for all.
    pub role: Option<RoleName>,
    /// Whether it holds systemd units.
    pub units: bool,
}

impl Top {
    pub(super) fn plain(name: &str) -> Self {
        Self {
            place: name.into(),
            inside: name.into(),
            role: None,
            units: false,
        }
    }

    /// What the folder `name` of a package is to activation; nothing when it is not activated.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let role = |rest: &str| match rest.strip_prefix('_') {
            Some(role) => role.parse().ok().map(Some),
            None => rest.is_empty().then_some(None),
        };
        if let Some((target, rest)) = name.split_once(WANTS) {
            let sound = !target.is_empty() && !target.starts_with('.');
            let role = role(rest).filter(|_| sound)?;
            return Some(Self {
                place: Path::new(UNITS).join(format!("{target}{WANTS}")),
                inside: name.into(),
                role,
                units: true,
            });
        }
        let plain = FOLDERS.into_iter().find(|folder| name.starts_with(folder))?;
        let role = role(&name[plain.len()..])?;
        Some(Self {
            inside: name.into(),
            role,
            ..Self::plain(plain)
        })
    }

    /// Whether it is activated on a host of these roles.
    pub fn is_for(&self, roles: &BTreeSet<RoleName>) -> bool {
        self.role.as_ref().is_none_or(|role| roles.contains(role))
    }
}

/// The folders of a package that are activated, whatever roles they are for, sorted by name.
///
/// # Errors
/// When it cannot be read.
pub fn tops(content: &Content) -> Result<Vec<Top>, IoError> {
    let names = content.below(Path::new(""))?.into_iter();
    let mut tops: Vec<Top> = names.filter_map(|(name, _)| Top::named(name.to_str()?)).collect();
    tops.sort_by(|a, b| a.inside.cmp(&b.inside));
    Ok(tops)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_folders_say_place_and_role() {
        let read = |name: &str| {
            let top = Top::named(name)?;
            let role = top.role.map(|role| role.to_string());
            Some((top.place.to_str().unwrap().to_owned(), role))
        };
        let there = |place: &str, role: Option<&str>| Some((place.to_owned(), role.map(str::to_owned)));
        assert_eq!(read("bin"), there("bin", None));
        assert_eq!(read("etc_slave_public"), there("etc", Some("slave_public")));
        assert_eq!(
            read("dcos.target.wants"),
            there("systemd/dcos.target.wants", None)
        );
        assert_eq!(
            read("dcos.target.wants_master"),
            there("systemd/dcos.target.wants", Some("master"))
        );
        for name in [
            "binaries",
            "bin_",
            "lib64",
            "libexec",
            "usr",
            ".target.wants",
            "a.target.wants.d",
            "etc_-x",
        ] {
            assert_eq!(read(name), None, "{name}");
        }
    }
}
