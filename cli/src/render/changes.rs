//! Owns how the changes of an activation are spelled for people: one line each, `+` for what comes, `-` for what goes.

use ::schema::digest::Digest;
use store::host::changes::{Changes, PackageChange};
use store::host::layout::Fate;

/// One line a change; empty when nothing changes.
pub fn text(changes: &Changes) -> String {
    let mut lines: Vec<String> = changes.packages.iter().filter_map(package).collect();
    lines.extend(changes.roles_added.iter().map(|role| format!("+ role {role}")));
    lines.extend(changes.roles_removed.iter().map(|role| format!("- role {role}")));
    if let Some(change) = &changes.configuration {
        let shown =
            |digest: Option<Digest>| digest.map_or_else(|| "none".to_owned(), |digest| digest.to_hex());
        lines.push(format!(
            "~ configuration {} -> {}",
            shown(change.from),
            shown(change.to)
        ));
    }
    lines.extend(
        changes
            .overrides_dropped
            .iter()
            .map(|id| format!("- override {id}")),
    );
    for unit in &changes.units {
        let sign = match unit.fate {
            Fate::Added => '+',
            Fate::Removed => '-',
            Fate::Changed | Fate::Kept => '~',
        };
        lines.push(format!("{sign} unit {}", unit.unit));
    }
    lines.extend(changes.users.iter().map(|user| format!("+ user {user}")));
    lines.extend(
        changes
            .state
            .iter()
            .map(|name| format!("+ state folder of {name}")),
    );
    let settings = changes.sysctl.iter();
    lines.extend(settings.map(|(key, value)| format!("~ kernel setting {key} = {value}")));
    lines.into_iter().map(|line| format!("{line}\n")).collect()
}

fn package(change: &PackageChange) -> Option<String> {
    match (&change.from, &change.to) {
        (Some(from), Some(to)) => Some(format!("~ {from} -> {to}")),
        (None, Some(to)) => Some(format!("+ {to}")),
        (Some(from), None) => Some(format!("- {from}")),
        (None, None) => None,
    }
}
