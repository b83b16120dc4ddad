//! Configurations as their users meet them: inputs checked, templates rendered, a folder laid out for hosts.
#![allow(
    clippy::unwrap_used,
    reason = "what cannot be read fails the test, as it should"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "plain tools must understand what we write"
)]

mod secrets;
pub mod subject;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::process::Command;

use serde_json::json;
use subject::{INPUTS, SCHEMA, configure, contents, mistakes, read_json, tree};

#[test]
fn a_configuration_is_a_package_that_any_tar_unpacks() {
    let (tree, artifact) = tree();
    let said = configure(&tree, "inputs.yaml", &artifact, "out").json();
    let out = tree.path("out");
    let index = read_json(&out.join("index.json"));
    assert_eq!(said["index"], index);
    let sums = Command::new("sha256sum")
        .args(["-c", "SHA256SUMS"])
        .current_dir(&out)
        .output()
        .unwrap();
    assert!(sums.status.success(), "{sums:?}");
    assert_eq!(fs::read_to_string(out.join("B3SUMS")).unwrap().lines().count(), 5);

    let artifact = out.join(index["artifact"].as_str().unwrap());
    tree.store(&["artifact", "verify", artifact.to_str().unwrap()])
        .ok();
    tree.store(&["verify", "../out"]).ok();
    fs::write(out.join("note"), "").unwrap();
    let ran = tree.store(&["verify", "../out"]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(
        ran.stdout.contains("note: a file that does not belong there"),
        "{ran:?}"
    );
    fs::remove_file(out.join("note")).unwrap();
    let host = tree.path("host");
    fs::create_dir(&host).unwrap();
    let tar = Command::new("tar")
        .arg("--zstd")
        .arg("-xf")
        .arg(&artifact)
        .arg("-C")
        .arg(&host)
        .output()
        .unwrap();
    assert!(tar.status.success(), "{tar:?}");
    assert_eq!(
        fs::read(host.join("manifest.json")).unwrap(),
        fs::read(out.join("manifest.json")).unwrap()
    );
    assert_eq!(
        fs::read(host.join("store")).unwrap(),
        fs::read(out.join("store")).unwrap()
    );
    let id = said["configuration"]["id"].as_str().unwrap();
    assert!(id.starts_with("test-config--"), "{id}");
    let package = host.join("packages").join(id);
    let text = |path: &str| fs::read_to_string(package.join(path)).unwrap();
    assert_eq!(
        text("etc/app.conf"),
        "name web\nport 80\npeer a:7000\npeer b:1\nkey /etc/keys/web.pem\n"
    );
    assert_eq!(
        text("etc_master/role.json"),
        format!("{{\"in\": \"/opt/store\", \"app\": \"{}\"}}\n", tree.id("app"))
    );
    assert_eq!(text("bin/check"), "#!/bin/sh\n# /opt/store/bin/ip-detect\n");
    assert_eq!(text("bin/ip-detect"), "#!/bin/sh\necho 127.0.0.1\n");
    for (path, mode) in [
        ("bin/check", 0o555),
        ("bin/ip-detect", 0o555),
        ("etc/app.conf", 0o444),
    ] {
        let metadata = fs::metadata(package.join(path)).unwrap();
        assert_eq!(
            (metadata.mode() & 0o7777, metadata.mtime()),
            (mode, 1_700_000_000),
            "{path}"
        );
    }
    let recipe = read_json(&package.join("buildinfo.full.json"));
    assert_eq!(
        recipe["environment"],
        json!({"APP_NAME": "web", "APP_URL": "a=b c"})
    );
    let manifest = read_json(&out.join("manifest.json"));
    assert_eq!(
        manifest["health"],
        json!({"units": ["app.service", "b.service"], "command": "bin/check", "deadline_seconds": 9})
    );
    assert_eq!(manifest["ip_detect"], "bin/ip-detect");
    assert_eq!(manifest["secrets"], json!(["/etc/keys/web.pem"]));
    assert_eq!(
        fs::read(&artifact).unwrap().len() as u64,
        index["files"]
            .as_array()
            .unwrap()
            .iter()
            .find(|file| file["name"] == index["artifact"])
            .unwrap()["size"]
            .as_u64()
            .unwrap()
    );
}

#[test]
fn an_index_that_lists_what_lies_elsewhere_is_no_index() {
    let (tree, artifact) = tree();
    configure(&tree, "inputs.yaml", &artifact, "out").ok();
    let path = tree.path("out/index.json");
    let sound = fs::read(&path).unwrap();
    tree.file("secret", "secret\n");
    let replaced = |from: &str, to: &str| String::from_utf8_lossy(&sound).replace(from, to);
    let outside = replaced("\"name\":\"install.sh\"", "\"name\":\"../secret\"");
    let newer = replaced("\"format\":1", "\"format\":99");
    let indented = serde_json::to_string_pretty(&read_json(&path)).unwrap();
    for (index, why) in [
        (outside, "no name of a file"),
        (newer, "newer"),
        (indented, "canonical"),
    ] {
        fs::write(&path, index).unwrap();
        let ran = tree.store(&["verify", "../out"]);
        assert_eq!(ran.code, Some(3), "{ran:?}");
        assert_eq!(ran.stdout.lines().count(), 2, "nothing else is read: {ran:?}");
        assert!(
            ran.stdout.contains("index.json: ") && ran.stdout.contains(why),
            "{ran:?}"
        );
        let again = configure(&tree, "inputs.yaml", &artifact, "out");
        assert_eq!(again.code, Some(1), "{again:?}");
    }
    fs::write(&path, &sound).unwrap();
    tree.store(&["verify", "../out"]).ok();
}

#[test]
fn the_same_inputs_give_the_same_bytes_however_they_are_written() {
    let (tree, artifact) = tree();
    configure(&tree, "inputs.yaml", &artifact, "out").ok();
    let first = contents(&tree.path("out"));
    let written = |path: &str| fs::metadata(tree.path(path)).unwrap().ino();
    let before = written("out/store");
    let again = configure(&tree, "inputs.yaml", &artifact, "out").json();
    assert_eq!(
        (again["changed"].clone(), written("out/store")),
        (json!(false), before)
    );

    tree.file(
        "elsewhere/in.json",
        r#"{"ip_detect": "../scripts/ip.sh", "peers": [{"host": "a", "port": 7000}, {"port": 1, "host": "b"}],
        "mode": "careful", "name": "web", "server": {"port": 80, "key": "/etc/keys/web.pem"}}"#,
    );
    let moved = tree.path("moved.tar.zst");
    fs::rename(&artifact, &moved).unwrap();
    configure(&tree, "elsewhere/in.json", &moved, "deep-er").ok();
    assert!(contents(&tree.path("deep-er")) == first);

    // What was configured can be configured again, and nothing of the first is left.
    tree.file("other.yaml", "name: other\n");
    configure(&tree, "other.yaml", &moved, "straight").ok();
    let configured = tree.path("out/test-1-x86_64-linux.tar.zst");
    let said = configure(&tree, "other.yaml", &configured, "out").json();
    assert_eq!(said["changed"], true);
    assert!(said["replaced"]["id"].is_string(), "{said}");
    assert!(contents(&tree.path("out")) == contents(&tree.path("straight")));
    configure(&tree, "inputs.yaml", &configured, "out").ok();
    assert!(contents(&tree.path("out")) == first);
}

#[test]
fn all_mistakes_in_the_inputs_are_told_at_once_each_with_its_place() {
    let (tree, artifact) = tree();
    let found = mistakes(
        &tree,
        &artifact,
        "nam: web\nmode: fst\nserver:\n  prot: 80\n  port: '80'\npeers:\n  - host: a\n  - port: 70.5\nport: 1\n",
    );
    let said: Vec<_> = found
        .iter()
        .map(|(line, column, message, help)| (*line, *column, message.as_str(), help.as_str()))
        .collect();
    assert_eq!(
        said,
        [
            (1, 1, "`name` is missing.", "What it is called; e.g. `web`"),
            (1, 1, "there is no input `nam`.", "did you mean `name`?"),
            (
                2,
                7,
                "`mode`: one of `fast`, `careful` is expected.",
                "did you mean `fast`?"
            ),
            (
                4,
                3,
                "there is no input `prot` in `server`.",
                "did you mean `port`?"
            ),
            (5, 9, "`server.port`: a whole number is expected, not a text.", ""),
            (8, 5, "`host` is missing in `peers[1]`.", ""),
            (
                8,
                11,
                "`peers[1].port`: a whole number is expected, not the number `70.5`.",
                ""
            ),
            (9, 1, "there is no input `port`.", "did you mean `server.port`?"),
        ]
    );
    // A rule over several inputs.
    let found = mistakes(&tree, &artifact, "name: web\nserver: {port: 1}\nmode: fast\n");
    assert_eq!(
        found,
        [(
            2,
            1,
            "`key` is missing in `server`.".to_owned(),
            "fast needs a key".to_owned()
        )]
    );
    // What cannot be read at all.
    for (inputs, line, word) in [
        ("name: web\nname: more\n", 2, "twice"),
        ("name: web\nserver: [\n", 3, "not YAML"),
        ("- name\n", 1, "must be a mapping"),
        ("name: no\n", 1, "more than one thing"),
        ("name: web\nip_detect: gone.sh\n", 2, "names no script"),
        ("name: web\nip_detect: inputs.yaml\n", 2, "`#!`"),
    ] {
        let found = mistakes(&tree, &artifact, inputs);
        assert!(
            found.len() == 1 && found[0].0 == line && found[0].2.contains(word),
            "{inputs:?}: {found:?}"
        );
    }
}

#[test]
fn mistakes_of_whoever_wrote_the_templates_are_told_in_them() {
    let (tree, artifact) = tree();
    let broken = [
        (
            "etc/a",
            "{{ nme }}",
            "`nme` is not defined",
            "did you mean `name`?",
        ),
        (
            "etc/b",
            "\n{{ server.prt }}",
            "`server.prt` is not defined",
            "did you mean `port`?",
        ),
        ("etc/c", "{% if %}", "cannot be rendered", ""),
        ("etc/d", "{{ store.packages.nothing.id }}", "not defined", ""),
    ];
    for (path, text, ..) in broken {
        tree.file(&format!("recipes/config/templates/{path}"), text);
    }
    let found = mistakes(&tree, &artifact, INPUTS);
    assert_eq!(found.len(), broken.len(), "{found:?}");
    for (found, (path, _, message, help)) in found.iter().zip(broken) {
        assert!(
            found.2.contains(message) && found.3.contains(help),
            "{path}: {found:?}"
        );
        fs::remove_file(tree.path(&format!("recipes/config/templates/{path}"))).unwrap();
    }
    assert_eq!(found[1].0, 2);

    for (path, text, message) in [
        ("ect/x", "", "hosts have no place for `ect/x`"),
        ("etc_Master/x", "", "hosts have no place"),
        (
            "environment",
            "APP_NAME={{ name }}\nPATH=/bin\nnothing\nAPP_NAME=x\n",
            "the store itself sets it",
        ),
        ("health.json", "{\"unit\": []}", "unknown field `unit`"),
        ("bin/ip-detect", "#!/bin/sh", "is the place of the script"),
    ] {
        let file = tree.path(&format!("recipes/config/templates/{path}"));
        let before = fs::read(&file).ok();
        tree.file(&format!("recipes/config/templates/{path}"), text);
        let found = mistakes(&tree, &artifact, INPUTS);
        assert!(
            found.iter().any(|found| found.2.contains(message)),
            "{path}: {found:?}"
        );
        match before {
            Some(before) => fs::write(file, before).unwrap(),
            None => fs::remove_file(file).unwrap(),
        }
    }
    symlink("/etc/passwd", tree.path("recipes/config/templates/etc/link")).unwrap();
    assert!(
        mistakes(&tree, &artifact, INPUTS)[0]
            .2
            .contains("neither a file nor a folder")
    );
    fs::remove_file(tree.path("recipes/config/templates/etc/link")).unwrap();

    tree.file(
        "recipes/config/schema.json",
        &SCHEMA.replace("\"integer\"", "\"intger\""),
    );
    assert!(
        mistakes(&tree, &artifact, INPUTS)[0]
            .2
            .contains("not a JSON Schema")
    );
    tree.file(
        "recipes/config/schema.json",
        &SCHEMA.replace("\"default\": 80", "\"default\": \"80\""),
    );
    let found = mistakes(&tree, &artifact, INPUTS);
    assert!(
        found[0].2.contains("the default breaks the schema") && found[0].0 == 10,
        "{found:?}"
    );
}

#[test]
fn what_activation_would_refuse_on_every_host_is_refused_here() {
    let (tree, artifact) = tree();
    for (path, clashes) in [
        ("etc/taken/conf", true),
        ("etc/taken", true),
        ("etc/taken/conf/below", true),
        ("etc_agent/taken/conf", true),
        // `app` is on hosts of another role.
        ("etc_master/taken/conf", false),
        ("etc/taken/other", false),
    ] {
        let template = format!("recipes/config/templates/{path}");
        tree.file(&template, "x");
        let ran = configure(&tree, "inputs.yaml", &artifact, "out");
        assert_eq!(ran.code, Some(if clashes { 1 } else { 0 }), "{path}: {ran:?}");
        if clashes {
            assert!(
                ran.stdout.contains(&format!("`{path}` is brought by app--")),
                "{ran:?}"
            );
        }
        fs::remove_file(tree.path(&template)).unwrap();
        let folder = tree.path(&template).parent().unwrap().to_owned();
        let _ = fs::remove_dir(folder);
    }
}

#[test]
fn a_health_command_that_no_host_could_run_is_refused_here() {
    let (tree, artifact) = tree();
    let template = "recipes/config/templates/bin/ask";
    tree.file(template, "#!/bin/sh\n");
    tree.file(
        "recipes/config/templates/health.json",
        r#"{"command": "bin/ask", "deadline_seconds": 5}"#,
    );
    let ran = configure(&tree, "inputs.yaml", &artifact, "out");
    assert!(
        ran.code == Some(1) && ran.stdout.contains("`bin/ask` is the command of `health.json`"),
        "{ran:?}"
    );
    fs::set_permissions(tree.path(template), PermissionsExt::from_mode(0o755)).unwrap();
    configure(&tree, "inputs.yaml", &artifact, "out").ok();
}

#[test]
fn a_folder_of_others_is_left_alone_and_a_half_done_one_is_done_again() {
    let (tree, artifact) = tree();
    tree.file("mine/notes", "important");
    let ran = configure(&tree, "inputs.yaml", &artifact, "mine");
    assert!(
        ran.code == Some(1) && ran.stdout.contains("was not made by `store configure`"),
        "{ran:?}"
    );
    assert_eq!(contents(&tree.path("mine")).len(), 1);

    configure(&tree, "inputs.yaml", &artifact, "out").ok();
    let whole = contents(&tree.path("out"));
    // What a killed run leaves: half a folder aside. And what a slip of the hand leaves: a file that was changed.
    tree.file(".out.partial/test-1-x86_64-linux.tar.zst", "half");
    fs::write(tree.path("out/manifest.json"), "{}").unwrap();
    configure(&tree, "inputs.yaml", &artifact, "out").ok();
    assert!(contents(&tree.path("out")) == whole);
    assert!(!tree.path(".out.partial").exists());

    let mut bytes = fs::read(&artifact).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&artifact, bytes).unwrap();
    assert_eq!(configure(&tree, "inputs.yaml", &artifact, "out").code, Some(1));
    assert!(contents(&tree.path("out")) == whole);
    assert!(!tree.path(".out.partial").exists());
}

/// The samples of our own recipes, as they are and with everything switched on.
#[test]
fn the_sample_configuration_of_our_recipes_renders() {
    let recipes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../recipes");
    let (tree, _) = tree();
    let artifact = tree.artifact_of("cluster", "1", &["app"], b"#!/bin/sh\n");
    let sample = fs::read_to_string(recipes.join("config/config.sample.yaml")).unwrap();
    let script = recipes.join("config/ip-detect/default-route.sh");
    let sample = sample.replace("ip-detect/default-route.sh", script.to_str().unwrap());
    let uncommented = |line: &str| {
        let setting = line.strip_prefix("# ").unwrap_or(line);
        let name = setting.trim_start().split(':').next().unwrap();
        let is_setting = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        if is_setting { setting } else { line }.to_owned()
    };
    let full: Vec<String> = sample.lines().map(uncommented).collect();
    let full = full.join("\n").replace("listen: local", "listen: host");
    for (name, text) in [("sample.yaml", sample), ("full.yaml", full)] {
        tree.file(name, &text);
        let inputs = tree.path(name);
        let args = [
            "--recipes",
            recipes.to_str().unwrap(),
            "configure",
            inputs.to_str().unwrap(),
            "--artifact",
        ];
        let out = tree.path(&format!("{name}.out"));
        let ran = tree.store(
            &[
                &args[..],
                &[artifact.to_str().unwrap(), "-o", out.to_str().unwrap()],
            ]
            .concat(),
        );
        ran.ok();
        let manifest = read_json(&out.join("manifest.json"));
        let secrets = manifest["secrets"].as_array().map_or(0, Vec::len);
        assert_eq!(secrets, if name == "full.yaml" { 3 } else { 0 }, "{text}");
        assert_eq!(
            manifest["health"]["units"],
            json!(["nginx.service", "redis.service"])
        );
    }
}
