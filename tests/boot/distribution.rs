//! Owns what is installed on the machine that boots: services of our own, and a real one, in several releases.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::json;

use super::machine::Machine;
use crate::support::TestTree;

/// Where the machine finds what it installs from.
pub const FILES: &str = "/opt/files";
/// Where the name server answers.
pub const PORT: u16 = 5300;

const TICKS: &str = "while :; do sleep 1; done";

/// A tree with four services: `tick` has a user, a state folder and a kernel setting and changes with each release,
/// `steady` never changes, `former` is in the first release only, `names` is Debian's dnsmasq.
pub struct Distribution {
    pub tree: TestTree,
}

/// One release of it.
#[derive(Clone, Copy)]
pub struct Release {
    pub version: &'static str,
    /// Whether `tick` ends at once.
    pub fails: bool,
    /// What the health check asks beside whether the name server answers.
    pub check: &'static str,
    /// How long it may take to become healthy, in seconds.
    pub deadline: u64,
}

impl Default for Release {
    fn default() -> Self {
        Self {
            version: "1",
            fails: false,
            check: "true",
            deadline: 30,
        }
    }
}

impl Distribution {
    pub fn new() -> Self {
        let tree = TestTree::new();
        for name in ["steady", "former"] {
            let build = [program(name, TICKS), unit(name, "")].concat();
            tree.recipe(name, &json!({ "version": "1", "requires": ["shell"] }), &build);
        }
        lay_dnsmasq(&tree);
        tree.file(
            "recipes/config/schema.json",
            r#"{"type": "object", "properties": {}}"#,
        );
        tree.file("config.json", r#"{"ip_detect": "detect"}"#);
        tree.file("detect", "#!/bin/sh\necho 127.0.0.1\n");
        Self { tree }
    }

    /// Builds a release and puts what hosts install from into the machine's [`FILES`]; gives the artifact there.
    pub fn release(&self, machine: &Machine, release: &Release) -> String {
        let version = release.version;
        let mut default = vec!["tick", "steady", "names"];
        default.extend((version == "1").then_some("former"));
        self.tree.tree_info(&json!({
            "name": "demo", "version": version, "prefix": "/opt/store", "platform": "x86_64-linux",
            "source_date_epoch": 1_700_000_000, "toolchain": ["shell"], "default": default,
        }));
        self.lay_tick(release);
        self.tree.recipe(
            "names",
            &json!({
                "version": version, "requires": ["shell"], "username": "names",
                "single_source": { "kind": "local", "path": "root" },
            }),
            &names(version),
        );
        let health = json!({
            "units": ["tick.service", "steady.service", "names.service"],
            "command": "bin/check-health",
            "deadline_seconds": release.deadline,
        });
        self.tree
            .file("recipes/config/templates/health.json", &health.to_string());
        let check = format!(
            "#!/opt/store/active/shell/bin/sh\nset -e\n{}\n\
             /opt/store/active/shell/bin/busybox nslookup -type=a version.test 127.0.0.1:{PORT}\n",
            release.check
        );
        let path = "recipes/config/templates/bin/check-health";
        self.tree.file(path, &check);
        fs::set_permissions(self.tree.path(path), Permissions::from_mode(0o755)).unwrap();
        self.deliver(machine, version)
    }

    /// Its service is ordered behind the target that wants it, as some real ones are.
    fn lay_tick(&self, release: &Release) {
        let version = release.version;
        let script = match release.fails {
            true => "exit 1".to_owned(),
            false => format!("{TICKS}; : {version}"),
        };
        self.tree.recipe(
            "tick",
            &json!({
                "version": version, "requires": ["shell"], "username": "ticker", "state_directory": true,
                "sysctl": { "tick": { "net.ipv4.ip_forward": "1" } },
            }),
            &[
                program("tick", &script),
                unit("tick", "[Unit]\\nAfter=multi-user.target\\n"),
            ]
            .concat(),
        );
    }

    fn deliver(&self, machine: &Machine, version: &str) -> String {
        self.tree.store(&["build", "all"]).ok();
        let artifact = self.tree.path("plain.tar.zst");
        self.tree
            .store(&["artifact", "create", "-o", artifact.to_str().unwrap()])
            .ok();
        fs::create_dir_all(machine.path(FILES)).unwrap();
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

/// Builds a program `name` that runs `script`.
fn program(name: &str, script: &str) -> String {
    format!(
        "mkdir -p $PKG_PATH/bin $PKG_PATH/multi-user.target.wants
        printf '#!/opt/store/active/shell/bin/sh\\n%s\\n' '{script}' > $PKG_PATH/bin/{name}
        chmod 755 $PKG_PATH/bin/{name}\n"
    )
}

/// Builds the unit that starts it, with `head` before its `[Service]`.
fn unit(name: &str, head: &str) -> String {
    format!(
        "printf '{head}[Service]\\nExecStart=/opt/store/active/{name}/bin/{name}\\n' \
            > $PKG_PATH/multi-user.target.wants/{name}.service\n"
    )
}

/// dnsmasq as this machine has it, with its libraries: a package that needs nothing of a host's.
fn lay_dnsmasq(tree: &TestTree) {
    let root = tree.path("recipes/names/root");
    fs::create_dir_all(&root).unwrap();
    let dnsmasq = "/usr/sbin/dnsmasq";
    fs::copy(dnsmasq, root.join("dnsmasq")).expect("dnsmasq is installed: run ./dev setup");
    let needed = Command::new("ldd").arg(dnsmasq).output().unwrap();
    let needed = String::from_utf8(needed.stdout).unwrap();
    for library in needed.split_whitespace().filter(|word| word.starts_with('/')) {
        fs::copy(library, root.join(library.rsplit('/').next().unwrap())).unwrap();
    }
}

/// Builds the package of dnsmasq that answers with the release's number, on the address that the host found for itself.
fn names(version: &str) -> String {
    let inside = "/opt/store/active/names";
    format!(
        "mkdir -p $PKG_PATH/libexec $PKG_PATH/share $PKG_PATH/multi-user.target.wants
        cp /pkg/src/*/* $PKG_PATH/libexec/
        chmod 755 $PKG_PATH/libexec/*
        printf 'port={PORT}\\nbind-interfaces\\nno-resolv\\nno-hosts\\naddress=/version.test/192.0.2.{version}\\n' \
            > $PKG_PATH/share/names.conf
        cat > $PKG_PATH/multi-user.target.wants/names.service <<'END'
[Service]
User=names
RuntimeDirectory=names
ExecStartPre=+/opt/store/store ip-detect --root /opt/store --environment /run/names/host.env
EnvironmentFile=-/run/names/host.env
ExecStart={inside}/libexec/ld-linux-x86-64.so.2 --library-path {inside}/libexec {inside}/libexec/dnsmasq \
            --keep-in-foreground --conf-file={inside}/share/names.conf --pid-file --listen-address=${{HOST_IP}}
END\n"
    )
}
