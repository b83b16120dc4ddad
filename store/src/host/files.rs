//! Owns the files that a generation holds beside its links: the environment, kernel settings, users, the unit that heals.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::members::Wishes;
use super::{GENERATION, MANIFEST};
use crate::activation::roles::UNITS;

/// For `EnvironmentFile=` of units.
pub(super) const ENVIRONMENT: &str = "environment";
/// For shells to read.
pub(super) const EXPORT: &str = "environment.export";
/// Kernel settings, as `sysctl -p` reads them.
const SYSCTL: &str = "sysctl.conf";
/// Users and groups, as `systemd-sysusers` reads them.
const SYSUSERS: &str = "sysusers.conf";
/// The unit that finishes at boot what a power cut interrupted.
pub(super) const HEAL_UNIT: &str = "store-heal.service";
pub(super) const HEAL_TARGET: &str = "multi-user.target";

/// Every file of a generation with its bytes, by path relative to the generation's folder.
pub(super) fn files(
    wishes: &Wishes,
    prefix: &str,
    manifest: &[u8],
    generation: Vec<u8>,
) -> BTreeMap<PathBuf, Vec<u8>> {
    BTreeMap::from([
        (MANIFEST.into(), manifest.to_vec()),
        (GENERATION.into(), generation),
        (ENVIRONMENT.into(), environment(wishes, prefix).into_bytes()),
        (EXPORT.into(), export(wishes, prefix).into_bytes()),
        (SYSCTL.into(), sysctl(wishes).into_bytes()),
        (SYSUSERS.into(), sysusers(wishes).into_bytes()),
        (heal_path(), heal_unit(prefix).into_bytes()),
    ])
}

fn environment(wishes: &Wishes, prefix: &str) -> String {
    let mut out = format!("PATH={prefix}/bin:/usr/sbin:/usr/bin:/sbin:/bin\n");
    for (name, value) in &wishes.environment {
        out.push_str(&format!("{name}={}\n", for_systemd(value)));
    }
    out
}

/// systemd takes some characters for quotes, escapes or continued lines unless they are quoted.
fn for_systemd(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-+=:,./@%".contains(&byte);
    if value.bytes().all(plain) {
        return value.to_owned();
    }
    let mut out = String::from("\"");
    for character in value.chars() {
        if matches!(character, '"' | '\\' | '$' | '`') {
            out.push('\\');
        }
        out.push(character);
    }
    out.push('"');
    out
}

fn export(wishes: &Wishes, prefix: &str) -> String {
    let mut out = format!("export PATH=\"{prefix}/bin:$PATH\"\n");
    for (name, value) in &wishes.environment {
        out.push_str(&format!("export {name}='{}'\n", value.replace('\'', r"'\''")));
    }
    out
}

fn sysctl(wishes: &Wishes) -> String {
    let line = |(key, value): (&String, &String)| format!("{key} = {value}\n");
    wishes.sysctl.iter().map(line).collect()
}

fn sysusers(wishes: &Wishes) -> String {
    let mut out: String = wishes
        .groups
        .iter()
        .map(|group| format!("g {group} -\n"))
        .collect();
    for (user, group) in &wishes.users {
        match group {
            Some(group) => out.push_str(&format!("u {user} -:{group}\n")),
            None => out.push_str(&format!("u {user} -\n")),
        }
    }
    out
}

/// Where the unit that heals lies, relative to the generation's folder.
pub(super) fn heal_path() -> PathBuf {
    Path::new(UNITS).join(format!("{HEAL_TARGET}.wants/{HEAL_UNIT}"))
}

/// The unit has no default dependencies: by those, `multi-user.target` would wait for it, while it waits for units that
/// may be ordered behind that target.
pub(super) fn heal_unit(prefix: &str) -> String {
    format!(
        "[Unit]\n\
         Description=Finish or undo the activation during which this host stopped\n\
         ConditionPathExists={prefix}/pending\n\
         DefaultDependencies=no\n\
         After=basic.target\n\
         Conflicts=shutdown.target\n\
         Before=shutdown.target\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         ExecStart={prefix}/store heal --root {prefix}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wishes() -> Wishes {
        let pairs = [("A", "plain/1.0:x"), ("B", "it's \"$5\" \\ #"), ("C", "")];
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Wishes {
            environment: pairs.into(),
            ..Wishes::default()
        }
    }

    #[test]
    fn variables_are_quoted_for_their_readers() {
        assert_eq!(
            environment(&wishes(), "/opt/store"),
            concat!(
                "PATH=/opt/store/bin:/usr/sbin:/usr/bin:/sbin:/bin\n",
                "A=plain/1.0:x\n",
                "B=\"it's \\\"\\$5\\\" \\\\ #\"\n",
                "C=\n",
            )
        );
    }

    #[test]
    fn a_shell_sees_no_quote_of_a_value_as_its_own() {
        assert_eq!(
            export(&wishes(), "/opt/store"),
            concat!(
                "export PATH=\"/opt/store/bin:$PATH\"\n",
                "export A='plain/1.0:x'\n",
                "export B='it'\\''s \"$5\" \\ #'\n",
                "export C=''\n",
            )
        );
    }

    #[test]
    fn users_get_the_group_they_ask_for() {
        let wishes = Wishes {
            users: BTreeMap::from([("a".to_owned(), None), ("b".to_owned(), Some("web".to_owned()))]),
            groups: ["web".to_owned()].into(),
            ..Wishes::default()
        };
        assert_eq!(sysusers(&wishes), "g web -\nu a -\nu b -:web\n");
    }
}
