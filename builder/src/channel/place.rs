//! Owns where a host stands in the order in which hosts take a release: by the machine ID of the system around its prefix.

use std::fs;
use std::path::{Component, Path, PathBuf};

use schema::channel::{Place, Turn};
use schema::timestamp::Timestamp;

use super::follow::Offer;

/// Where a system keeps its machine ID.
const MACHINE_ID: &str = "etc/machine-id";

/// What systemd has in its place in images that have not been booted yet, the same on all of them.
const UNINITIALIZED: &str = "uninitialized";

impl Offer {
    /// Whether the host whose prefix stands at `root` takes the release at `now`.
    pub fn turn(&self, root: &Path, now: Timestamp) -> Turn {
        let top = top(root, Path::new(&self.manifest.prefix));
        let place = match machine_id(&top) {
            Some(id) => Place::of(&id, &self.release.manifest),
            None => Place::LAST,
        };
        self.release.turn(place, now)
    }
}

/// The machine ID of the system at `top`; nothing when it has none of its own.
fn machine_id(top: &Path) -> Option<String> {
    let text = fs::read_to_string(top.join(MACHINE_ID)).ok()?;
    let id = text.trim();
    (!["", UNINITIALIZED].contains(&id)).then(|| id.to_owned())
}

/// The top of the system around `root`, where the prefix stands: that of an image, or of this machine.
fn top(root: &Path, prefix: &Path) -> PathBuf {
    let inside: PathBuf = prefix
        .components()
        .filter(|part| !matches!(part, Component::RootDir))
        .collect();
    let around = root.ancestors().nth(inside.components().count());
    match around.filter(|_| root.ends_with(&inside)) {
        Some(top) => top.to_owned(),
        None => PathBuf::from("/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_id_of_its_own_gives_a_host_a_place() {
        let image = tempfile::tempdir().unwrap();
        let top = top(&image.path().join("opt/store"), Path::new("/opt/store"));
        assert_eq!(top, image.path());
        assert_eq!(machine_id(&top), None);
        fs::create_dir(top.join("etc")).unwrap();
        let id = "0123456789abcdef0123456789abcdef";
        let own = format!("{id}\n");
        for (text, expected) in [
            ("", None),
            ("\n", None),
            ("uninitialized\n", None),
            (&own, Some(id)),
        ] {
            fs::write(top.join(MACHINE_ID), text).unwrap();
            assert_eq!(machine_id(&top).as_deref(), expected, "{text:?}");
        }
    }
}
