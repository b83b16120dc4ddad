//! The promise that no secret is repeated in messages or gets into a configuration.

use std::fs;

use super::subject::{configure, tree};

#[test]
fn a_secret_is_named_by_its_file_and_never_repeated() {
    let (tree, artifact) = tree();
    for (secret, column) in [
        ("hunter2", 8),
        ("etc/keys/hunter2", 8),
        ("/opt/store/hunter2", 8),
        ("/etc/../hunter2", 8),
        ("314159", 8),
    ] {
        tree.file("inputs.yaml", &format!("name: web\nserver:\n  key: {secret}\n"));
        let inputs = tree.path("inputs.yaml");
        let args = [
            "configure",
            inputs.to_str().unwrap(),
            "--artifact",
            artifact.to_str().unwrap(),
            "-o",
            "out",
        ];
        let ran = tree.store(&args);
        ran.fails(1, &["never", &format!(":3:{column}")]);
        assert!(!format!("{ran:?}").contains(secret), "{}", ran.stderr);
        assert!(!format!("{:?}", configure(&tree, "inputs.yaml", &artifact, "out")).contains(secret));
    }
    assert!(!tree.path("recipes/out").exists() && !tree.path("out").exists());
}

/// Where secrets may be expected, and what else there is.
const SECRETS: &str = r##"{
  "type": "object",
  "properties": {
    "key": {"type": "string", "format": "secret-file"},
    "opt": {"anyOf": [{"format": "secret-file"}, {"const": ""}], "type": ["string", "null"]},
    "all": {"allOf": [{"format": "secret-file"}]},
    "keys": {"type": "array", "items": {"type": "string", "format": "secret-file"}},
    "named": {"type": "object", "additionalProperties": {"$ref": "#/$defs/key"}},
    "deep": {"type": "object", "properties": {"key": {"$ref": "#/$defs/key"}}},
    "port": {"type": "integer"}
  },
  "$defs": {"key": {"type": "string", "format": "secret-file"}}
}"##;

#[test]
fn a_secret_is_not_repeated_however_it_is_written() {
    let (tree, artifact) = tree();
    tree.file("recipes/config/schema.json", SECRETS);
    let told = |name: &str, inputs: &str, json: &[&str]| {
        tree.file(name, inputs);
        let inputs = tree.path(name);
        let [inputs, artifact] = [&inputs, &artifact].map(|path| path.to_str().unwrap());
        let args = ["configure", inputs, "--artifact", artifact, "-o", "out"];
        tree.store(&[&args[..], json].concat())
    };
    for inputs in [
        "key: [a, hunter2]",
        "key: {a: hunter2}",
        "key:\n- a\n- hunter2 #hunter2\nport: '1'",
        "key:\n  a:\n    b: hunter2",
        "key: |\n  a\n  hunter2",
        "key: 'a\n  hunter2'",
        "key: a\n  hunter2\nport: '1'",
        "opt: hunter2",
        "opt: 720720",
        "all: hunter2",
        "keys: [/etc/a, hunter2]",
        "keys: hunter2",
        "keys: {a: hunter2}",
        "named: {a: hunter2}",
        "named: [hunter2]",
        "named: 720720",
        "deep: {key: hunter2}",
        "deep: hunter2",
        // The name of no input, but nearly.
        "kye: hunter2",
        "deep: {keys: hunter2}",
        // What cannot be read as it stands.
        "key: 0720720",
        "keys: [99999999999999999990720720]",
        "key: hunter2\nkey: hunter2",
        "key: hunter2\nport: no",
        "key: &hunter2",
        "key: *hunter2",
        "key: !hunter2",
        "port: 1\nkey: 'hunter2",
        "key: hunter2: a",
        "hunter2",
        "- hunter2",
        "720720",
        "0720720",
    ] {
        for json in [&[][..], &["--json"]] {
            let ran = told("inputs.yaml", &format!("{inputs}\n"), json);
            assert_eq!(ran.code, Some(1), "{ran:?}");
            let told = format!("{}{}", ran.stdout, ran.stderr);
            let repeats = told.contains("hunter2") || told.contains("720720");
            assert!(!repeats, "{inputs}:\n{told}");
        }
    }
    let json = r#"{"port": 1, "key": ["hunter2"], "deep": {"key": "hunter2"}}"#;
    let masked = r#"{"port": 1, "key": ***********, "deep": {"key": *********}}"#;
    told("inputs.json", json, &[]).fails(1, &[masked]);
    // What is no secret is shown, also beside one.
    let yaml = "keys:\n- b\n- /etc/a\nopt: /etc/key\nport: '1'\n";
    let shown = ["opt: /etc/key", "- *\n", "- /etc/a", "port: '1'"];
    told("inputs.yaml", yaml, &[]).fails(1, &shown);
}

#[test]
fn a_secret_key_is_no_template_and_comes_of_none() {
    let (tree, artifact) = tree();
    let key = tree.path("key");
    tree.store(&["keygen", key.to_str().unwrap()]).ok();
    let text = fs::read_to_string(key).unwrap();
    let inputs = tree.path("inputs.yaml");
    let [inputs, artifact] = [&inputs, &artifact].map(|path| path.to_str().unwrap());
    for (template, why) in [
        (text.clone(), "`config/templates/etc/key` is a secret key"),
        (
            format!("{{% if true %}}\n{text}{{% endif %}}\n"),
            "rendered of `config/templates/etc/key` is a secret key",
        ),
    ] {
        tree.file("recipes/config/templates/etc/key", &template);
        let ran = tree.store(&["configure", inputs, "--artifact", artifact, "-o", "out"]);
        ran.fails(1, &[why]);
        let key = text.lines().nth(1).unwrap();
        assert!(!ran.stderr.contains(key), "{}", ran.stderr);
    }
}
