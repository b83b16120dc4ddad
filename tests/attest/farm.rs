//! Owns two builders of one tree of recipes, and the policies of those who trust them.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{self, TestTree, text};

/// Two builders of one tree of recipes, each with a store and a key of their own.
pub struct Farm {
    pub tree: TestTree,
    pub keys: [String; 2],
}

pub const BUILDERS: [&str; 2] = ["ada", "bob"];

impl Farm {
    /// Whatever `odd` says comes out differently at each of them.
    pub fn new(odd: &str) -> Self {
        let tree = TestTree::new();
        tree.recipe("lib", &json!({ "version": "1" }), "echo lib > $PKG_PATH/out");
        tree.recipe("top", &json!({ "version": "2", "requires": ["lib"] }), odd);
        let keys = BUILDERS.map(|name| {
            let key = tree.path(name);
            let made = tree.store(&["keygen", text(&key), "--json"]).json();
            made["key"].as_str().unwrap().to_owned()
        });
        let farm = Self { tree, keys };
        for builder in BUILDERS {
            farm.at(builder, &["build", "all"]);
        }
        farm
    }

    pub fn store(&self, builder: &str) -> PathBuf {
        self.tree.path(&format!("store-{builder}"))
    }

    /// Runs a verb in the store of that builder.
    pub fn at(&self, builder: &str, arguments: &[&str]) -> support::Ran {
        let store = self.store(builder);
        let ran = self.tree.store(&[arguments, &["--store", text(&store)]].concat());
        ran.ok();
        ran
    }

    pub fn attest(&self, builder: &str, what: &str) {
        self.attests(builder, &[what]).ok();
    }

    pub fn attests(&self, builder: &str, what: &[&str]) -> support::Ran {
        let (key, store) = (self.tree.path(builder), self.store(builder));
        let arguments = ["attest", "--key", text(&key), "--store", text(&store)];
        self.tree.store(&[arguments.as_slice(), what].concat())
    }

    pub fn artifact(&self) -> PathBuf {
        let artifact = self.tree.path("a.tar.zst");
        self.at("ada", &["artifact", "create", "-o", text(&artifact)]);
        artifact
    }

    /// A policy with one key changed.
    pub fn policy(&self, threshold: u32, change: &Value) -> PathBuf {
        let key = |at: usize| json!({ "name": BUILDERS[at], "key": self.keys[at] });
        let mut keys = [key(0), key(1)];
        keys[1]
            .as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        let path = self.tree.path("policy.json");
        let policy = json!({ "format": 1, "threshold": threshold, "keys": keys });
        fs::write(&path, policy.to_string()).unwrap();
        path
    }

    /// A policy that asks for both keys, and for one of them when it is about the configuration.
    pub fn lenient_policy(&self) -> PathBuf {
        let path = self.policy(2, &json!({}));
        let mut policy: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        policy["configuration_threshold"] = json!(1);
        fs::write(&path, policy.to_string()).unwrap();
        path
    }

    pub fn install(&self, artifact: &Path, root: &Path, policy: &Path) -> support::Ran {
        let arguments = [
            "install",
            text(artifact),
            "--root",
            text(root),
            "--policy",
            text(policy),
        ];
        self.tree.store(&arguments)
    }
}
