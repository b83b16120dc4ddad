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

mod distribution;
mod machine;
mod service;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;

use distribution::{Distribution, FILES, PORT, Release};
use machine::Machine;
use serde_json::Value;

const STORE: &str = "/opt/store/store";

impl Machine {
    fn process(&self, unit: &str) -> String {
        let number = self.ok(&["systemctl", "show", "-P", "MainPID", unit]);
        assert_ne!(number, "0", "{unit} does not run: {}", self.journal());
        number
    }

    fn runs(&self, unit: &str) -> bool {
        self.ok(&["systemctl", "show", "-P", "ActiveState", unit]) == "active"
    }

    /// What its name server, a real one, says that `version.test` is.
    fn asked(&self) -> String {
        let server = format!("127.0.0.1:{PORT}");
        let said = self.ok(&["busybox", "nslookup", "-type=a", "version.test", &server]);
        let mut addresses = said.lines().filter_map(|line| line.strip_prefix("Address: "));
        addresses.next_back().unwrap_or(&said).to_owned()
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

/// What an administrator has there already is told all at once, and nothing is changed.
fn refused_as_long_as_others_are_in_the_way(machine: &Machine, program: &str, first: &str) {
    let (settings, unit) = (
        machine.path("/etc/sysctl.d/60-demo.conf"),
        machine.path("/etc/systemd/system/tick.service"),
    );
    let passwd = machine.path("/etc/passwd");
    let (users, group) = (fs::read_to_string(&passwd).unwrap(), machine.path("/etc/group"));
    let groups = fs::read_to_string(&group).unwrap();
    fs::create_dir_all(settings.parent().unwrap()).unwrap();
    fs::write(&settings, "").unwrap();
    fs::write(&unit, "[Service]\nExecStart=/bin/true\n").unwrap();
    fs::write(&passwd, format!("{users}ticker:x:500:501::/:/bin/false\n")).unwrap();
    fs::write(&group, format!("{groups}ticker:x:500:\nothers:x:501:\n")).unwrap();
    let install = [program, "install", first, "--root", "/opt/store"];
    let words = [
        "nothing was changed",
        "60-demo.conf",
        "tick.service",
        "`ticker` is in the group `others`",
    ];
    machine.fails(&install, &words);
    let preflight = [program, "preflight", "--root", "/opt/store", "--artifact", first];
    machine.fails_saying(&preflight, &["60-demo.conf", "tick.service"]);
    assert!(!machine.path("/opt/store/current").exists());
    assert!(!machine.path("/var/lib/demo").exists());
    fs::remove_file(&settings).unwrap();
    fs::remove_file(&unit).unwrap();
    fs::write(&passwd, users).unwrap();
    fs::write(&group, groups).unwrap();
}

fn installed_for_the_first_time(machine: &Machine, program: &str, first: &str) {
    machine.ok(&[program, "preflight", "--root", "/opt/store", "--artifact", first]);
    machine.ok(&[program, "install", first, "--root", "/opt/store"]);
    assert_eq!(machine.ok(&["cat", "/proc/sys/net/ipv4/ip_forward"]), "1");
    let state = machine.path("/var/lib/demo/tick").metadata().unwrap();
    let passwd = fs::read_to_string(machine.path("/etc/passwd")).unwrap();
    let ticker = passwd
        .lines()
        .find_map(|line| line.strip_prefix("ticker:x:"))
        .unwrap();
    assert_eq!(ticker.split(':').next(), Some(state.uid().to_string().as_str()));
    // The address was found before anything changed, and again when the service started.
    assert_eq!(
        machine.ok(&[STORE, "ip-detect", "--root", "/opt/store"]),
        "127.0.0.1"
    );
    let environment = machine.ok(&["cat", "/run/names/host.env"]);
    assert_eq!(environment, "HOST_IP=127.0.0.1");
    assert_eq!(machine.asked(), "192.0.2.1");
    assert!(machine.runs("former.service"));
    machine.ok(&[STORE, "verify", "--root", "/opt/store"]);
    // The same again leaves everything running.
    let tick = machine.process("tick.service");
    machine.ok(&[STORE, "install", first]);
    assert_eq!(machine.process("tick.service"), tick);
}

/// What changed is started anew, what did not runs on, what is gone is stopped.
fn upgraded_and_rolled_back(machine: &Machine, second: &str) {
    let (tick, steady) = (machine.process("tick.service"), machine.process("steady.service"));
    machine.ok(&[STORE, "install", second]);
    let upgraded = machine.process("tick.service");
    assert_ne!(upgraded, tick);
    assert_eq!(machine.process("steady.service"), steady);
    assert_eq!(machine.version(), "2");
    assert_eq!(machine.asked(), "192.0.2.2");
    assert!(!machine.runs("former.service"));
    let wants = "/etc/systemd/system/multi-user.target.wants/former.service";
    assert!(fs::symlink_metadata(machine.path(wants)).is_err());
    machine.ok(&[STORE, "rollback"]);
    assert_ne!(machine.process("tick.service"), upgraded);
    assert_eq!(machine.process("steady.service"), steady);
    assert_eq!(machine.version(), "1");
    assert_eq!(machine.asked(), "192.0.2.1");
    assert!(machine.runs("former.service"));
}

fn taken_back_when_unhealthy(machine: &Machine, broken: &str, unhealthy: &str) {
    let before = machine.status()["root_digest"].clone();
    let steady = machine.process("steady.service");
    for (release, why) in [(broken, "tick.service"), (unhealthy, "check-health")] {
        machine.fails(&[STORE, "install", release], &["rolled back", why]);
        assert_eq!(machine.status()["root_digest"], before);
        // Only another configuration, of which the check is a part, is a reason to start everything anew.
        assert_eq!(machine.process("steady.service") == steady, release == broken);
        machine.process("tick.service");
        assert_eq!(machine.asked(), "192.0.2.1");
        machine.ok(&[STORE, "verify", "--root", "/opt/store"]);
    }
}

/// Power fails while a host waits for health; the next boot decides.
fn cut_off_and_healed(machine: &mut Machine, release: &str, version: &str, healed: &str) {
    let mut installing = machine
        .command(&[STORE, "install", release])
        .unwrap()
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    machine.wait("it swapped", || machine.version() == version);
    machine.cut_power();
    let _ = installing.wait();
    assert!(machine.path("/opt/store/pending").exists());
    machine.boot();
    machine.wait("it healed", || !machine.path("/opt/store/pending").exists());
    assert_eq!(machine.version(), healed);
    machine.wait("its services run", || {
        ["tick.service", "steady.service", "names.service"]
            .iter()
            .all(|unit| machine.runs(unit))
    });
    machine.ok(&[STORE, "verify", "--root", "/opt/store"]);
}

#[test]
fn services_are_started_upgraded_rolled_back_and_healed() {
    let distribution = Distribution::new();
    let mut machine = Machine::new(&distribution.tree.path("disk"));
    let release = |change: Release| distribution.release(&machine, &change);
    let first = release(Release::default());
    let second = release(Release {
        version: "2",
        ..Release::default()
    });
    let broken = release(Release {
        version: "3",
        fails: true,
        deadline: 3,
        ..Release::default()
    });
    let unhealthy = release(Release {
        version: "4",
        check: "exit 1",
        deadline: 3,
        ..Release::default()
    });
    let slow = release(Release {
        version: "5",
        check: "exit 1",
        deadline: 15,
        ..Release::default()
    });
    // It becomes healthy only by the boot.
    let late = release(Release {
        version: "6",
        check: "test -e /run/store-test-booted-twice || exit 1",
        deadline: 100,
        ..Release::default()
    });
    machine.boot();

    let program = format!("{FILES}/1/store");
    refused_as_long_as_others_are_in_the_way(&machine, &program, &first);
    installed_for_the_first_time(&machine, &program, &first);
    upgraded_and_rolled_back(&machine, &second);
    taken_back_when_unhealthy(&machine, &broken, &unhealthy);
    let before = machine.status()["root_digest"].clone();
    cut_off_and_healed(&mut machine, &slow, "5", "1");
    assert_eq!(machine.status()["root_digest"], before);
    assert_eq!(machine.asked(), "192.0.2.1");
    fs::write(
        machine.path("/etc/tmpfiles.d/booted.conf"),
        "f /run/store-test-booted-twice\n",
    )
    .unwrap();
    cut_off_and_healed(&mut machine, &late, "6", "6");
    assert_eq!(machine.asked(), "192.0.2.6");
}
