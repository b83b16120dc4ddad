//! Owns `install.sh`: the script that a person approves and a host runs, with the digests of all that it fetches in it.

use schema::delivery::DeliveredFile;
use schema::manifest::ActiveManifest;
use store::artifact::{INSTALLER_PATH, MANIFEST_PATH};

/// The script's name.
pub(super) const INSTALL_SCRIPT: &str = "install.sh";

/// The script, with `@NAME@` where facts belong.
const TEMPLATE: &str = include_str!("install.sh");

/// The script for a delivery of these files; `url` is where they will be served, if that is known.
pub(super) fn write(
    manifest: &ActiveManifest,
    files: &[DeliveredFile],
    artifact: &str,
    url: Option<&str>,
) -> String {
    let sha256 = |name: &str| {
        let found = files.iter().find(|file| file.name == name);
        found.map(|file| file.sha256.clone()).unwrap_or_default()
    };
    let facts = [
        (
            "TITLE",
            format!("{} {} for {}", manifest.name, manifest.version, manifest.platform),
        ),
        (
            "MACHINE",
            manifest.platform.split('-').next().unwrap_or_default().to_owned(),
        ),
        ("PREFIX", quoted(&manifest.prefix)),
        ("URL", quoted(url.unwrap_or_default().trim_end_matches('/'))),
        ("ARTIFACT", quoted(artifact)),
        ("STORE_SHA256", sha256(INSTALLER_PATH)),
        ("MANIFEST_SHA256", sha256(MANIFEST_PATH)),
    ];
    let mut script = TEMPLATE.to_owned();
    for (name, value) in facts {
        script = script.replace(&format!("@{name}@"), &value);
    }
    script
}

/// One word of the shell, whatever is in it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
