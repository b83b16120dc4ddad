//! The generated `install.sh` as hosts run it: under three shells, with three downloaders, against a server that fails.
#![allow(
    clippy::unwrap_used,
    reason = "what cannot be read fails the test, as it should"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "the script is run by programs that hosts have"
)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::TestTree;
use crate::support::web::{Fault, Web};
use serde_json::json;

/// Stands in for `store`: writes down how it is called, and fails when it is asked to.
const STORE: &str = r#"#!/bin/sh
echo "$@" >>"$LOG"
[ "$1" != "${FAIL:-}" ] || { echo "store: $1 fails" >&2; exit 3; }
"#;

const SHELLS: [&[&str]; 3] = [&["dash"], &["bash"], &["busybox", "ash"]];

/// A delivery, and a host for it.
struct Site {
    tree: TestTree,
}

impl Site {
    fn new(url: Option<&str>) -> Self {
        let tree = TestTree::new();
        tree.seed("app", json!({ "version": "1" }), &[("bin/app", "app")]);
        // Long enough to break off in the middle of.
        let store = format!("{STORE}# {}\n", "x".repeat(100_000));
        let artifact = tree.artifact_of("test", "1", &["app"], store.as_bytes());
        tree.file(
            "recipes/config/schema.json",
            r#"{"type": "object", "properties": {}}"#,
        );
        tree.file("inputs.yaml", "");
        let site = Self { tree };
        let [inputs, artifact, out] = [site.path("inputs.yaml"), artifact, site.path("out")];
        let mut args = vec![
            "configure",
            inputs.to_str().unwrap(),
            "--artifact",
            artifact.to_str().unwrap(),
        ];
        args.extend(["-o", out.to_str().unwrap()]);
        args.extend(url.iter().flat_map(|url| ["--url", url]));
        site.tree.store(&args).ok();
        site
    }

    fn path(&self, path: &str) -> PathBuf {
        self.tree.path(path)
    }

    fn script(&self) -> PathBuf {
        self.path("out/install.sh")
    }

    /// `install.sh ARGS…` under `shell`, into `root`.
    fn command(&self, shell: &[&str], script: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(found(shell[0]));
        command
            .args(&shell[1..])
            .arg(script)
            .args(args)
            .current_dir(self.path("."));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        command
            .env("STORE_ROOT", self.path("host/root"))
            .env("LOG", self.path("log"));
        command
    }

    /// What `store` was called with since this was last asked.
    fn calls(&self) -> Vec<String> {
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        let _ = fs::remove_file(self.path("log"));
        log.lines().map(str::to_owned).collect()
    }

    /// What `store` should be called with: these verbs, for these roles.
    fn expected(&self, verbs: &[&str], from: &str, roles: &str) -> Vec<String> {
        let root = self.path("host/root").display().to_string();
        let manifest = format!("--manifest {root}.download/manifest.json");
        let call = |verb: &&str| match *verb {
            "install" => {
                format!(
                    "install {from}/test-1-x86_64-linux.tar.zst --no-activate --root {root} {manifest}{roles}"
                )
            }
            "preflight" => format!("preflight --root {root} {manifest}{roles}"),
            verb => format!("{verb} --root {root}{roles}"),
        };
        verbs.iter().map(call).collect()
    }

    fn out(&self) -> String {
        self.path("out").canonicalize().unwrap().display().to_string()
    }
}

/// Where this machine has a program.
fn found(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let mut places = std::env::split_paths(&path).map(|place| place.join(program));
    let place = places.find(|path| path.exists());
    place.unwrap_or_else(|| panic!("{program} is not installed: run ./dev setup"))
}

const ALL: [&str; 3] = ["preflight", "install", "activate"];

#[track_caller]
fn ok(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn it_is_short_and_shellcheck_has_nothing_to_say() {
    let site = Site::new(None);
    let script = fs::read_to_string(site.script()).unwrap();
    assert!(script.lines().count() < 150, "{}", script.lines().count());
    assert!(script.lines().all(|line| line.len() <= 120));
    // A place for a fact that was not filled in.
    assert!(!script.contains("=@"), "{script}");
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../recipes/config/ip-detect");
    let mut samples: Vec<PathBuf> = fs::read_dir(samples)
        .unwrap()
        .map(|sample| sample.unwrap().path())
        .collect();
    samples.push(site.script());
    let checked = Command::new("shellcheck")
        .arg("-s")
        .arg("sh")
        .args(&samples)
        .output();
    let checked = checked.expect("shellcheck is installed: run ./dev setup");
    assert!(
        checked.status.success(),
        "{}",
        String::from_utf8_lossy(&checked.stdout)
    );
}

#[test]
fn from_the_folder_it_lies_in_it_checks_installs_and_activates_under_every_shell() {
    let site = Site::new(None);
    for shell in SHELLS {
        for _ in 0..2 {
            let said = ok(&site
                .command(shell, &site.script(), &["master", "a-b.c"])
                .output()
                .unwrap());
            assert!(
                said.contains("fetched store") && said.contains("done: test-1"),
                "{said}"
            );
            let roles = " --role master --role a-b.c";
            assert_eq!(site.calls(), site.expected(&ALL, &site.out(), roles), "{shell:?}");
            assert_eq!(
                fs::read_dir(site.path("host")).unwrap().count(),
                0,
                "nothing is left behind"
            );
        }
        let check = site
            .command(shell, &site.script(), &["--check"])
            .output()
            .unwrap();
        ok(&check);
        assert_eq!(site.calls(), site.expected(&["preflight"], "", ""));
        fs::remove_dir_all(site.path("host")).unwrap();
    }
}

#[test]
fn what_fails_stops_it_and_running_it_again_goes_on() {
    let site = Site::new(None);
    for shell in SHELLS {
        for (failing, called) in [("preflight", 1), ("install", 2), ("activate", 3)] {
            let run = site
                .command(shell, &site.script(), &["--", "r"])
                .env("FAIL", failing)
                .output()
                .unwrap();
            assert_eq!(run.status.code(), Some(3), "{run:?}");
            assert!(
                String::from_utf8_lossy(&run.stderr).contains("run this again"),
                "{run:?}"
            );
            assert_eq!(site.calls().len(), called);
        }
        let said = ok(&site.command(shell, &site.script(), &["r"]).output().unwrap());
        assert!(said.contains("store is here already"), "{said}");
        assert_eq!(site.calls().len(), 3);
    }
}

#[test]
fn whatever_it_is_told_wrongly_changes_nothing() {
    let site = Site::new(None);
    for shell in SHELLS {
        for (args, word) in [
            (&["--nothing"][..], "usage"),
            (&["--root"], "usage"),
            (&["a role"], "is not the name of a role"),
            (&["$(touch owned)"], "is not the name of a role"),
            (&["r", "--root"], "is not the name of a role"),
            (&["--root", "/", "r"], "root folder"),
        ] {
            let run = site.command(shell, &site.script(), args).output().unwrap();
            assert!(!run.status.success(), "{args:?}");
            assert!(
                String::from_utf8_lossy(&run.stderr).contains(word),
                "{args:?}: {run:?}"
            );
        }
        // Alone in a folder, it has to be told where the files are.
        fs::copy(site.script(), site.path("alone.sh")).unwrap();
        let run = site
            .command(shell, &site.path("alone.sh"), &["r"])
            .output()
            .unwrap();
        assert!(
            String::from_utf8_lossy(&run.stderr).contains("--from URL"),
            "{run:?}"
        );
    }
    assert_eq!(site.calls(), [""; 0]);
    assert!(!site.path("host").exists() && !site.path("owned").exists());
}

/// A `PATH` on which only busybox's applets and this downloader are. (Not for busybox's own shell: to that, applets come
/// before whatever a `PATH` has.)
fn path_with(site: &Site, downloader: &str) -> PathBuf {
    let folder = site.path(&format!("path-{downloader}"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).unwrap();
    let applets = [
        "sh",
        "uname",
        "dirname",
        "mkdir",
        "chmod",
        "sha256sum",
        "cut",
        "wc",
        "cp",
        "mv",
        "rm",
        "od",
        "cat",
    ];
    for applet in applets {
        symlink(found("busybox"), folder.join(applet)).unwrap();
    }
    // Waiting is tested by nobody.
    fs::write(folder.join("sleep"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(
        folder.join("sleep"),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    match downloader {
        "busybox" => symlink(found("busybox"), folder.join("wget")).unwrap(),
        program => symlink(found(program), folder.join(program)).unwrap(),
    }
    folder
}

#[test]
fn from_a_server_that_fails_in_every_way_it_gets_what_it_needs() {
    let site = Site::new(None);
    let server = Web::new(&site.path("out"));
    let url = server.url("").trim_end_matches('/').to_owned();
    for downloader in ["curl", "wget", "busybox"] {
        let path = path_with(&site, downloader);
        server.errs_at_first(&[
            Fault::Cut(40_000),
            Fault::Status(503),
            Fault::Cut(80_000),
            Fault::Page,
            Fault::Flip(0),
        ]);
        let run = site
            .command(&["dash"], &site.script(), &["--from", &url, "r"])
            .env("PATH", &path)
            .output()
            .unwrap();
        let said = ok(&run);
        assert!(said.contains("done:"), "{downloader}: {said}");
        assert_eq!(
            site.calls(),
            site.expected(&ALL, &url, " --role r"),
            "{downloader}"
        );
        // After the first cut it went on where that was, instead of beginning again.
        let (asked, _) = server.asked();
        assert!(
            asked
                .iter()
                .any(|asked| asked.range.as_ref().is_some_and(|range| range.start >= 40_000)),
            "{downloader}: {asked:?}"
        );
    }
}

#[test]
fn when_the_server_has_something_else_it_says_so_and_nothing_is_run() {
    let site = Site::new(Some("http://127.0.0.1:9/unreachable/"));
    let server = Web::new(&site.path("out"));
    fs::copy(site.script(), site.path("alone.sh")).unwrap();
    fs::write(site.path("out/store"), "#!/bin/sh\ntouch owned\n").unwrap();
    for downloader in ["curl", "wget", "busybox"] {
        let path = path_with(&site, downloader);
        let mut command = site.command(&["dash"], &site.path("alone.sh"), &["r"]);
        command.env("PATH", &path).env("STORE_ATTEMPTS", "3");
        let unreachable = command.output().unwrap();
        let said = String::from_utf8_lossy(&unreachable.stderr).into_owned();
        assert!(
            said.contains("http://127.0.0.1:9/unreachable: the download broke off"),
            "{downloader}: {said}"
        );
        let other = command
            .env("STORE_FROM", server.url("").trim_end_matches('/'))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&other.stderr).into_owned();
        assert!(
            said.contains("it is another file than expected; nothing is changed"),
            "{downloader}: {said}"
        );
    }
    assert_eq!(site.calls(), [""; 0]);
    assert!(!site.path("owned").exists());
}

/// With the program itself behind it, into a root of its own: from nothing to a host that verifies, and on to another
/// configuration.
#[test]
fn a_host_is_installed_reconfigured_and_left_alone_when_nothing_changed() {
    // The program by way of a few bytes, since it is large and is copied for each host.
    let program = format!("#!/bin/sh\nexec '{}' \"$@\"\n", env!("CARGO_BIN_EXE_store"));
    let tree = TestTree::new();
    tree.seed("app", json!({ "version": "1" }), &[("bin/app", "app")]);
    let artifact = tree.artifact_of("test", "1", &["app"], program.as_bytes());
    tree.file(
        "recipes/config/schema.json",
        r#"{"type": "object", "properties": {"port": {"type": "integer", "default": 1}}}"#,
    );
    tree.file("recipes/config/templates/etc/port", "{{ port }}\n");
    tree.file("recipes/config/templates/etc_web/web", "web\n");
    let site = Site { tree };
    let root = site.path("host/root");
    let mut digests = Vec::new();
    for (port, shell) in SHELLS.iter().enumerate() {
        site.tree.file("inputs.yaml", &format!("port: {port}\n"));
        let [inputs, out] = [site.path("inputs.yaml"), site.path("out")];
        let args = [
            "configure",
            inputs.to_str().unwrap(),
            "--artifact",
            artifact.to_str().unwrap(),
            "-o",
        ];
        site.tree
            .store(&[&args[..], &[out.to_str().unwrap()]].concat())
            .ok();
        for _ in 0..2 {
            ok(&site.command(shell, &site.script(), &["web"]).output().unwrap());
            digests.push(site.tree.active(&root));
        }
        assert_eq!(
            fs::read_to_string(root.join("etc/port")).unwrap(),
            format!("{port}\n")
        );
        assert_eq!(fs::read_to_string(root.join("etc/web")).unwrap(), "web\n");
    }
    assert!(digests.chunks(2).all(|pair| pair[0] == pair[1]), "{digests:?}");
    digests.dedup();
    assert_eq!(digests.len(), SHELLS.len());
    // `etc` is a link into packages; what is changed there by hand, `verify` finds.
    let port = fs::canonicalize(root.join("etc/port")).unwrap();
    fs::set_permissions(&port, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    fs::write(&port, "9\n").unwrap();
    site.tree.on(&root, &["verify"]).fails(3, &[]);
}
