//! A service of this repository, from its upstream's source to an answer over the network of a host that boots.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::machine::Machine;
use crate::support::TestTree;

const STORE: &str = "/opt/store/store";
const FILES: &str = "/opt/files";

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
    let recipes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../recipes");
    let real = tree.path("real");
    let copied = Command::new("cp").arg("-R").args([&recipes, &real]).status();
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
        let ran = Command::new(env!("CARGO_BIN_EXE_store"))
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
    fs::create_dir_all(machine.path(FILES)).unwrap();
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
