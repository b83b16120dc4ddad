//! Owns the small artifacts that tests install: a few packages of a few files, made without any build.

use std::path::{Path, PathBuf};

use schema::id::PackageId;
use serde_json::{Value, json};
use store::Store;
use store::archive::press::Threads;
use store::artifact::pack::{self, PackOptions, Selection};

use super::TestTree;

/// What small artifacts carry in place of the binary for hosts, so that a host is laid out in no time.
pub const INSTALLER: &[u8] = b"#!/bin/sh\necho an installer\n";

impl TestTree {
    /// Writes a package that is made of `files` as they are, and built by no script.
    pub fn seed(&self, name: &str, mut build_info: Value, files: &[(&str, &str)]) -> &Self {
        build_info["toolchain"] = json!([]);
        build_info["single_source"] = json!({ "kind": "local", "path": "files" });
        self.file(&format!("recipes/{name}/buildinfo.json"), &build_info.to_string());
        let folder = self.path(&format!("recipes/{name}/files"));
        if folder.exists() {
            std::fs::remove_dir_all(folder).unwrap();
        }
        for (path, content) in files {
            self.file(&format!("recipes/{name}/files/{path}"), content);
        }
        self
    }

    /// Builds `names` and packs them, and what they require, as `version` with a tiny installer.
    pub fn small_artifact(&self, version: &str, names: &[&str]) -> PathBuf {
        self.artifact_of("test", version, names, INSTALLER)
    }

    /// Builds `names` and packs them, and what they require, as a distribution of that name.
    pub fn artifact_of(
        &self,
        distribution: &str,
        version: &str,
        names: &[&str],
        installer: &[u8],
    ) -> PathBuf {
        let mut args = vec!["build", "-q"];
        args.extend(names);
        self.store(&args).ok();
        let ids: Vec<PackageId> = names.iter().map(|name| self.id(name).parse().unwrap()).collect();
        let store = Store::open(&self.store_dir()).unwrap();
        let selection = Selection {
            name: distribution.to_owned(),
            version: version.to_owned(),
            prefix: "/opt/store".to_owned(),
            platform: "x86_64-linux".to_owned(),
            source_date_epoch: 1_700_000_000,
            packages: pack::members(&store, &ids).unwrap(),
            configuration: None,
        };
        let file = self.path(&format!("{distribution}-{version}.tar.zst"));
        let options = PackOptions {
            installer: Some(installer),
            threads: Threads::available(),
        };
        pack::pack(&store, &selection, options, Path::new(&file), &()).unwrap();
        file
    }

    /// The artifacts of two versions: one package stays, one changes, one goes and one comes.
    pub fn two_versions(&self) -> [PathBuf; 2] {
        self.seed(
            "base",
            json!({ "version": "1" }),
            &[("bin/base", "base"), ("etc/base.conf", "a = 1\n")],
        );
        self.seed(
            "app",
            json!({ "version": "1" }),
            &[("bin/app", "app 1"), ("share/app/text", "one\n")],
        );
        self.seed("gone", json!({ "version": "1" }), &[("bin/gone", "gone")]);
        let first = self.small_artifact("1", &["base", "app", "gone"]);
        self.seed(
            "app",
            json!({ "version": "2" }),
            &[("bin/app", "app 2"), ("share/app/text", "two\n")],
        );
        self.seed("come", json!({ "version": "1" }), &[("lib/come/data", "come")]);
        [first, self.small_artifact("2", &["base", "app", "come"])]
    }
}
