//! A host that really boots: systemd starts, restarts and watches what packages bring, and a power cut is survived.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what goes wrong fails the test, as it should"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "a machine is made by programs of this one"
)]

#[path = "boot/machine.rs"]
mod machine;
mod support;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;

use machine::Machine;
use serde_json::{Value, json};
use support::TestTree;

const STORE: &str = "/opt/store/store";
const FILES: &str = "/opt/files";

/// A tree whose service `tick` has a user, a state folder and a kernel setting, and whose `steady` never changes.
struct Distribution {
    tree: TestTree,
}

impl Distribution {
    fn new() -> Self {
        let tree = TestTree::new();
        tree.recipe(
            "steady",
            &json!({ "version": "1", "requires": ["shell"] }),
            &service("steady", "while :; do sleep 1; done"),
        );
        tree.file(
            "recipes/config/schema.json",
            r#"{"type": "object", "properties": {}}"#,
        );
        tree.file("config.json", "{}");
        Self { tree }
    }

    /// Builds `version`, in which `tick` runs `script`, and puts what hosts install from into the machine's `FILES`.
    fn release(&self, machine: &Machine, version: &str, script: &str, deadline: u64) -> String {
        self.tree.tree_info(&json!({
            "name": "demo", "version": version, "prefix": "/opt/store", "platform": "x86_64-linux",
            "source_date_epoch": 1_700_000_000, "toolchain": ["shell"], "default": ["tick", "steady"],
        }));
        self.tree.recipe(
            "tick",
            &json!({
                "version": version, "requires": ["shell"], "username": "ticker", "state_directory": true,
                "sysctl": { "tick": { "net.ipv4.ip_forward": "1" } },
            }),
            &service("tick", script),
        );
        self.tree.file(
            "recipes/config/templates/health.json",
            &json!({ "units": ["tick.service", "steady.service"], "deadline_seconds": deadline }).to_string(),
        );
        self.tree.store(&["build", "all"]).ok();
        let artifact = self.tree.path("plain.tar.zst");
        self.tree
            .store(&["artifact", "create", "-o", artifact.to_str().unwrap()])
            .ok();
        let delivery = machine.path(FILES).join(version);
        let config = self.tree.path("config.json");
        let args = [&config, &artifact, &delivery].map(|path| path.to_str().unwrap());
        self.tree
            .store(&["configure", args[0], "--artifact", args[1], "-o", args[2]])
            .ok();
        let found = fs::read_dir(&delivery)
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        let artifact = found
            .map(|name| name.into_string().unwrap())
            .find(|name| name.ends_with(".tar.zst"));
        format!("{FILES}/{version}/{}", artifact.unwrap())
    }
}

/// A package whose program `name` runs `script`, with a unit that starts it.
fn service(name: &str, script: &str) -> String {
    format!(
        "mkdir -p $PKG_PATH/bin $PKG_PATH/multi-user.target.wants
        printf '#!/opt/store/active/shell/bin/sh\\n%s\\n' '{script}' > $PKG_PATH/bin/{name}
        chmod 755 $PKG_PATH/bin/{name}
        printf '[Service]\\nExecStart=/opt/store/active/{name}/bin/{name}\\n' \
            > $PKG_PATH/multi-user.target.wants/{name}.service\n"
    )
}

impl Machine {
    fn process(&self, unit: &str) -> String {
        let number = self.ok(&["systemctl", "show", "-P", "MainPID", unit]);
        assert_ne!(number, "0", "{unit} does not run: {}", self.journal());
        number
    }

    fn status(&self) -> Value {
        let output = self
            .command(&[STORE, "status", "--json"])
            .unwrap()
            .output()
            .unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn version(&self) -> String {
        self.status()["active"]["version"].as_str().unwrap().to_owned()
    }
}

const TICKS: &str = "while :; do sleep 1; done; : ";

#[test]
fn services_are_started_upgraded_rolled_back_and_healed() {
    let distribution = Distribution::new();
    let mut machine = Machine::new(&distribution.tree.path("disk"));
    let first = distribution.release(&machine, "1", &format!("{TICKS} one"), 30);
    let second = distribution.release(&machine, "2", &format!("{TICKS} two"), 30);
    let broken = distribution.release(&machine, "3", "exit 1", 3);
    let slow = distribution.release(&machine, "4", "exit 1", 15);
    machine.boot();

    // A new host.
    let program = format!("{FILES}/1/store");
    machine.ok(&[
        &program,
        "preflight",
        "--root",
        "/opt/store",
        "--artifact",
        &first,
    ]);
    machine.ok(&[&program, "install", &first, "--root", "/opt/store"]);
    let (tick, steady) = (machine.process("tick.service"), machine.process("steady.service"));
    assert_eq!(machine.ok(&["cat", "/proc/sys/net/ipv4/ip_forward"]), "1");
    let state = machine.path("/var/lib/demo/tick").metadata().unwrap();
    let passwd = fs::read_to_string(machine.path("/etc/passwd")).unwrap();
    let ticker = passwd
        .lines()
        .find_map(|line| line.strip_prefix("ticker:x:"))
        .unwrap();
    assert_eq!(ticker.split(':').next(), Some(state.uid().to_string().as_str()));
    machine.ok(&[STORE, "verify", "--root", "/opt/store"]);
    // The same again leaves everything running.
    machine.ok(&[STORE, "install", &first]);
    assert_eq!(machine.process("tick.service"), tick);

    // What changed is started anew, what did not runs on.
    machine.ok(&[STORE, "install", &second]);
    let upgraded = machine.process("tick.service");
    assert_ne!(upgraded, tick);
    assert_eq!(machine.process("steady.service"), steady);
    assert_eq!(machine.version(), "2");
    machine.ok(&[STORE, "rollback"]);
    assert_ne!(machine.process("tick.service"), upgraded);
    assert_eq!(machine.process("steady.service"), steady);
    assert_eq!(machine.version(), "1");

    // What does not become healthy is taken back.
    let before = machine.status()["root_digest"].clone();
    machine.fails(&[STORE, "install", &broken], &["rolled back", "tick.service"]);
    assert_eq!(machine.status()["root_digest"], before);
    assert_eq!(machine.process("steady.service"), steady);
    let running = machine.process("tick.service");
    machine.ok(&[STORE, "verify", "--root", "/opt/store"]);
    assert_eq!(machine.process("tick.service"), running);

    // Power fails while it waits for health.
    let mut installing = machine
        .command(&[STORE, "install", &slow])
        .unwrap()
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    machine.wait("it swapped", || machine.version() == "4");
    machine.cut_power();
    let _ = installing.wait();
    assert!(machine.path("/opt/store/pending").exists());
    machine.boot();
    machine.wait("it healed", || !machine.path("/opt/store/pending").exists());
    assert_eq!(machine.version(), "1");
    assert_eq!(machine.status()["root_digest"], before);
    machine.wait("its services run", || {
        machine.ok(&["systemctl", "show", "-P", "MainPID", "tick.service"]) != "0"
    });
    machine.process("steady.service");
    machine.ok(&[STORE, "verify", "--root", "/opt/store"]);
}

/// Answers what dnsmasq says of `cluster.test`, by a question over UDP.
const ASK: &str = r#"
import socket
question = bytes.fromhex("123401000001000000000000") + b"\x07cluster\x04test\x00" + bytes.fromhex("00010001")
asked = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asked.settimeout(20)
asked.sendto(question, ("127.0.0.1", 53))
print(socket.inet_ntoa(asked.recv(512)[-4:]))
"#;

const DNSMASQ: &str = "[Unit]
Description=DNS of {{ store.name }}

[Service]
ExecStart={{ store.prefix }}/bin/dnsmasq --keep-in-foreground --user=root --conf-file={{ store.prefix }}/etc/dnsmasq.conf
";

/// dnsmasq from the recipes of this repository, from its upstream's source to an answer over the network.
#[test]
#[ignore = "asks registries, and compiles for some minutes"]
fn a_service_of_this_repository_answers_on_a_host_that_boots() {
    let tree = TestTree::new();
    let recipes = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../recipes");
    let real = tree.path("real");
    let copied = std::process::Command::new("cp")
        .arg("-R")
        .args([&recipes, &real])
        .status();
    assert!(copied.unwrap().success());
    fs::remove_dir_all(real.join("config")).unwrap();
    let wants = "real/config/templates/multi-user.target.wants_dns/dnsmasq.service";
    tree.file(wants, DNSMASQ);
    tree.file(
        "real/config/templates/etc/dnsmasq.conf",
        "listen-address=127.0.0.1\nbind-interfaces\nno-resolv\nno-hosts\naddress=/cluster.test/{{ address }}\n",
    );
    tree.file(
        "real/config/schema.json",
        r#"{"type": "object", "required": ["address"],
            "properties": {"address": {"type": "string", "format": "ipv4"}}}"#,
    );
    tree.file(
        "real/config/templates/health.json",
        r#"{"units": ["dnsmasq.service"], "deadline_seconds": 60}"#,
    );
    // With the configuration of registries that this machine has.
    let store = |args: &[&str]| {
        let ran = std::process::Command::new(env!("CARGO_BIN_EXE_store"))
            .arg("--store")
            .arg(tree.store_dir())
            .arg("--recipes")
            .arg(&real)
            .args(args)
            .output()
            .unwrap();
        assert!(ran.status.success(), "{args:?}: {ran:?}");
    };
    let artifact = tree.path("artifact.tar.zst");
    let artifact = artifact.to_str().unwrap();
    store(&["build", "dnsmasq"]);
    store(&["artifact", "create", "dnsmasq", "-o", artifact]);

    let mut machine = Machine::new(&tree.path("disk"));
    let configure = |address: &str| {
        tree.file("config.yaml", &format!("address: {address}\n"));
        let delivery = machine.path(FILES).join(address);
        let config = tree.path("config.yaml");
        let [config, delivery] = [&config, &delivery].map(|path| path.to_str().unwrap());
        store(&["configure", config, "--artifact", artifact, "-o", delivery]);
    };
    configure("192.0.2.1");
    configure("192.0.2.2");
    machine.boot();
    let script = |address: &str| format!("{FILES}/{address}/install.sh");
    machine.ok(&["sh", &script("192.0.2.1"), "dns"]);
    assert_eq!(machine.ok(&["python3", "-c", ASK]), "192.0.2.1");
    machine.ok(&["sh", &script("192.0.2.2"), "dns"]);
    assert_eq!(machine.ok(&["python3", "-c", ASK]), "192.0.2.2");
    machine.ok(&[STORE, "rollback"]);
    assert_eq!(machine.ok(&["python3", "-c", ASK]), "192.0.2.1");
    machine.cut_power();
    machine.boot();
    machine.ok(&[STORE, "verify", "--root", "/opt/store"]);
    machine.wait("it answers again", || {
        machine.ok(&["systemctl", "is-active", "dnsmasq.service"]) == "active"
    });
    assert_eq!(machine.ok(&["python3", "-c", ASK]), "192.0.2.1");
}
