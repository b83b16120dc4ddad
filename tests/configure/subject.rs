//! Owns what is configured in tests: a tree of recipes with inputs and templates, and one small artifact.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{self, TestTree};

pub const SCHEMA: &str = r#"{
  "type": "object",
  "required": ["name"],
  "properties": {
    "name": {"description": "What it is called", "type": "string", "pattern": "^[a-z]+$", "examples": ["web"]},
    "mode": {"enum": ["fast", "careful"], "default": "careful"},
    "server": {
      "type": "object", "default": {},
      "properties": {
        "port": {"type": "integer", "minimum": 1, "maximum": 65535, "default": 80},
        "key": {"description": "The key's file", "type": "string", "format": "secret-file"}
      }
    },
    "peers": {"type": "array", "items": {"type": "object", "required": ["host"], "properties": {
      "host": {"type": "string"}, "port": {"type": "integer", "default": 7000}}}, "default": []}
  },
  "if": {"properties": {"mode": {"const": "fast"}}},
  "then": {"properties": {"server": {"required": ["key"], "description": "fast needs a key"}}}
}"#;

pub const TEMPLATES: [(&str, &str); 6] = [
    (
        "etc/app.conf",
        "name {{ name }}\nport {{ server.port }}\n{% for peer in peers %}\npeer {{ peer.host }}:{{ peer.port }}\n{% endfor %}\n{% if server.key is defined %}\nkey {{ server.key }}\n{% endif %}\n",
    ),
    (
        "etc_master/role.json",
        "{\"in\": {{ store.prefix | tojson }}, \"app\": {{ store.packages.app.id | tojson }}}\n",
    ),
    ("bin/check", "#!/bin/sh\n# {{ ip_detect | default('none') }}\n"),
    (
        "multi-user.target.wants/app.service",
        "[Service]\nExecStart={{ store.prefix }}/bin/app\n",
    ),
    (
        "environment",
        "# Read by services.\n\nAPP_NAME={{ name }}\nAPP_URL=a=b c\n",
    ),
    (
        "health.json",
        "{\"units\": [\"b.service\", \"app.service\"], \"command\": \"bin/check\", \"deadline_seconds\": 9}",
    ),
];

pub const INPUTS: &str = "name: web\nserver:\n  key: /etc/keys/web.pem\npeers: [{host: a}, {host: b, port: 1}]\nip_detect: scripts/ip.sh\n";

/// A tree with one package `app`, packed, and something to configure.
pub fn tree() -> (TestTree, PathBuf) {
    let tree = TestTree::new();
    tree.seed(
        "app",
        json!({ "version": "1", "roles": ["agent"] }),
        &[("bin/app", "app"), ("etc/taken/conf", "")],
    );
    let artifact = tree.small_artifact("1", &["app"]);
    tree.file("recipes/config/schema.json", SCHEMA);
    for (path, text) in TEMPLATES {
        tree.file(&format!("recipes/config/templates/{path}"), text);
    }
    let check = tree.path("recipes/config/templates/bin/check");
    fs::set_permissions(check, Permissions::from_mode(0o755)).unwrap();
    tree.file("inputs.yaml", INPUTS);
    tree.file("scripts/ip.sh", "#!/bin/sh\necho 127.0.0.1\n");
    (tree, artifact)
}

pub fn configure(tree: &TestTree, inputs: &str, artifact: &Path, output: &str) -> support::Ran {
    let [inputs, output] = [inputs, output].map(|path| tree.path(path).to_str().unwrap().to_owned());
    let artifact = artifact.to_str().unwrap();
    tree.store(&[
        "configure",
        &inputs,
        "--artifact",
        artifact,
        "-o",
        &output,
        "--json",
    ])
}

/// Every file of a folder, by name.
pub fn contents(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let content = |path: PathBuf| {
        (
            path.file_name().unwrap().to_str().unwrap().to_owned(),
            fs::read(&path).unwrap(),
        )
    };
    entries.map(content).collect()
}

pub fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// The mistakes that are told of these inputs: line, column, what and what to do.
pub fn mistakes(tree: &TestTree, artifact: &Path, inputs: &str) -> Vec<(u64, u64, String, String)> {
    tree.file("inputs.yaml", inputs);
    let ran = configure(tree, "inputs.yaml", artifact, "out");
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(!tree.path("out").exists());
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    let findings = document["error"]["findings"].as_array();
    let text = |finding: &Value, field: &str| finding[field].as_str().unwrap().to_owned();
    let place = |finding: &Value, field: &str| finding[field].as_u64().unwrap();
    findings
        .unwrap_or_else(|| panic!("{document}"))
        .iter()
        .map(|f| {
            (
                place(f, "line"),
                place(f, "column"),
                text(f, "message"),
                text(f, "help"),
            )
        })
        .collect()
}
