//! Owns the speed of hosts: installing, activating and upgrading.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::measure::{Bench, FOLDER, line, measure, median, remove, shell, write};

/// Packages and files in each, of the host that is activated.
const MANY: (usize, usize) = (50, 200);

impl Bench {
    /// A thousand million bytes: installed from the artifact of [`Bench::large`], verified and on the disk.
    pub fn installation(&self) {
        let artifact = self.root.join("large.tar.zst");
        let root = self.root.join("installed");
        let install = || {
            remove(&root);
            measure(self.store("large", &["install", text(&artifact), "--root", text(&root)]))
        };
        let unpacked = self.root.join("unpacked");
        let tar = |script: &str| {
            remove(&unpacked);
            fs::create_dir(&unpacked).unwrap();
            measure(shell(&unpacked, script))
        };
        let installed = median(install);
        let plain = median(|| tar("tar --zstd -xf ../large.tar.zst"));
        let synced = median(|| tar("tar --zstd -xf ../large.tar.zst && sync -f ."));
        remove(&unpacked);
        line(
            "install 1 GB in 15,000 files, beside tar -x (target: 1)",
            installed,
            Some(plain),
        );
        line("the same, beside tar -x and sync", installed, Some(synced));
    }

    /// Fifty packages with two hundred files each.
    pub fn activation(&self) {
        let tree = self.tree("many");
        for package in 0..MANY.0 {
            for file in 0..MANY.1 {
                write(&tree.join(format!("p{package}/d/share/p{package}/{file}")), "x");
            }
            write(&tree.join(format!("p{package}/buildinfo.json")), FOLDER);
        }
        let root = self.root.join("many/host");
        let artifact = self.packed("many", "1");
        let install = ["install", text(&artifact), "--no-activate", "--root", text(&root)];
        measure(self.store("many", &install));
        let activated = median(|| {
            for gone in ["current", "generations"] {
                remove(&root.join(gone));
            }
            measure(self.store("many", &["activate", "-q", "--root", text(&root)]))
        });
        line("activate 50 packages with 200 files each", activated, None);
    }

    /// Of the thirty packages of [`Bench::installation`] one changes.
    pub fn upgrade(&self) {
        write(&self.root.join("large/recipes/p7/d/changed"), "x");
        let artifact = self.packed("large", "changed");
        let inspected = self.json("large", &["artifact", "inspect", text(&artifact)]);
        let packages = inspected["packages"].as_array().unwrap();
        let changed = packages.iter().find(|package| package["name"] == "p7").unwrap();
        let length = changed["length"].as_u64().unwrap();
        let root = self.root.join("installed");
        let installed = self.json("large", &["install", text(&artifact), "--root", text(&root)]);
        let fetched = installed["fetched_bytes"].as_u64().unwrap();
        let percent = (fetched as f64 / length as f64 - 1.0) * 100.0;
        println!(
            "upgrade with 1 of 30 packages changed: {fetched} of {} bytes, its own {length} and {percent:.2} % (target: 1)",
            installed["total_bytes"]
        );
    }

    /// Builds and packs all of the tree `name`.
    fn packed(&self, name: &str, version: &str) -> PathBuf {
        let artifact = self.root.join(name).join(format!("{version}.tar.zst"));
        measure(self.store(name, &["build", "all", "-q"]));
        measure(self.store(name, &["artifact", "create", "-q", "-o", text(&artifact)]));
        artifact
    }

    fn json(&self, name: &str, args: &[&str]) -> Value {
        let output = self.store(name, &[args, &["--json"]].concat()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
