//! Owns a machine that really boots: systemd in namespaces of its own, with a disk that outlasts a power cut.
#![allow(dead_code, reason = "each test uses some of it")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// What of systemd's own has no place in a machine without hardware, people and a bus, whose kernel is another's.
const MASKED: [&str; 11] = [
    "systemd-sysctl.service",
    "systemd-binfmt.service",
    "dbus.service",
    "dbus.socket",
    "systemd-logind.service",
    "systemd-udevd.service",
    "systemd-udev-trigger.service",
    "systemd-networkd.service",
    "systemd-resolved.service",
    "console-getty.service",
    "getty.target",
];

/// How long a boot may take on a machine with other things to do.
const PATIENCE: Duration = Duration::from_secs(120);

/// A machine, on or off.
pub struct Machine {
    disk: PathBuf,
    /// The process that waits for the machine's first one, while it is on.
    on: Option<Child>,
}

/// Runs as root: only root makes control groups and mounts what a machine needs.
fn as_root(program: &str) -> Command {
    if nix::unistd::geteuid().is_root() {
        return Command::new(program);
    }
    let mut sudo = Command::new("sudo");
    sudo.args(["-n", program]);
    sudo
}

impl Machine {
    /// A machine that is off, whose disk is the new folder `disk`.
    pub fn new(disk: &Path) -> Self {
        for folder in [
            "opt",
            "var/log",
            "var/lib",
            "etc/systemd/system",
            "etc/tmpfiles.d",
        ] {
            fs::create_dir_all(disk.join(folder)).unwrap();
        }
        let etc = disk.join("etc");
        fs::write(etc.join("passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
        fs::write(etc.join("group"), "root:x:0:\n").unwrap();
        fs::write(etc.join("machine-id"), "0123456789abcdef0123456789abcdef\n").unwrap();
        for unit in MASKED {
            std::os::unix::fs::symlink("/dev/null", etc.join("systemd/system").join(unit)).unwrap();
        }
        Self {
            disk: disk.to_owned(),
            on: None,
        }
    }

    /// A path of the machine's as this one sees it.
    pub fn path(&self, path: &str) -> PathBuf {
        self.disk.join(path.trim_start_matches('/'))
    }

    /// Boots, and waits until it is up.
    pub fn boot(&mut self) {
        assert!(self.on.is_none(), "it is on already");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/boot/machine.sh");
        // A control group of its own to begin in, wherever this system has those of systemd.
        let begin = "for groups in /sys/fs/cgroup/systemd /sys/fs/cgroup; do
                if [ -f $groups/cgroup.procs ]; then
                    mkdir -p $groups/store-boot-$$; echo $$ > $groups/store-boot-$$/cgroup.procs; break
                fi
            done
            exec unshare --pid --fork --mount --uts --ipc --net --cgroup --kill-child \"$@\"";
        let child = as_root("sh")
            .args(["-c", begin, "sh"])
            .arg(script)
            .arg(&self.disk)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        self.on = Some(child);
        self.wait("it is up", || {
            let asked = self.run(&["systemctl", "is-active", "--quiet", "multi-user.target"]);
            asked.is_some_and(|output| output.status.success())
        });
    }

    /// Waits for something to become true.
    pub fn wait(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            assert!(
                begun.elapsed() < PATIENCE,
                "{what}: not within {PATIENCE:?}: {}",
                self.journal()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What it said since it was switched on.
    pub fn journal(&self) -> String {
        let said = self.run(&["journalctl", "--no-pager", "-n", "100"]);
        said.map(|said| String::from_utf8_lossy(&said.stdout).into_owned())
            .unwrap_or_default()
    }

    /// The number of its first process here, once there is one.
    fn first(&self) -> Option<u32> {
        let mut at = self.on.as_ref()?.id();
        // sudo, when there is one, then the shell that becomes unshare, then the first process.
        loop {
            let children = fs::read_to_string(format!("/proc/{at}/task/{at}/children")).ok()?;
            at = children.split_whitespace().next()?.parse().ok()?;
            let name = fs::read_to_string(format!("/proc/{at}/comm")).ok()?;
            if name.trim() == "systemd" {
                return Some(at);
            }
        }
    }

    /// A command inside of the machine, while it is on.
    pub fn command(&self, args: &[&str]) -> Option<Command> {
        let mut command = as_root("nsenter");
        command.arg(format!("--target={}", self.first()?));
        command.args(["--pid", "--mount", "--uts", "--ipc", "--net", "--cgroup", "--"]);
        // A working folder of this machine's is none there.
        command.args([
            "env",
            "-i",
            "PATH=/usr/sbin:/usr/bin",
            "sh",
            "-c",
            "cd / && exec \"$@\"",
            "sh",
        ]);
        command.args(args);
        Some(command)
    }

    fn run(&self, args: &[&str]) -> Option<Output> {
        self.command(args)?.stdin(Stdio::null()).output().ok()
    }

    /// Runs a command inside, which must succeed; gives what it prints, without the newline at its end.
    #[track_caller]
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args).expect("the machine is on");
        assert!(
            output.status.success(),
            "{args:?}: {output:?}\n{}",
            self.journal()
        );
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    /// Runs a command inside, which must fail and say each of `words`.
    #[track_caller]
    pub fn fails(&self, args: &[&str], words: &[&str]) {
        let output = self.run(args).expect("the machine is on");
        assert!(!output.status.success(), "{args:?}: {output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        let missing: Vec<_> = words.iter().filter(|word| !said.contains(**word)).collect();
        assert!(missing.is_empty(), "{args:?} does not say {missing:?}: {said}");
    }

    /// As [`Machine::fails`], of what it prints as its result.
    #[track_caller]
    pub fn fails_saying(&self, args: &[&str], words: &[&str]) {
        let output = self.run(args).expect("the machine is on");
        assert!(!output.status.success(), "{args:?}: {output:?}");
        let said = String::from_utf8_lossy(&output.stdout);
        let missing: Vec<_> = words.iter().filter(|word| !said.contains(**word)).collect();
        assert!(missing.is_empty(), "{args:?} does not say {missing:?}: {said}");
    }

    /// Cuts its power: everything that runs on it is gone at once.
    pub fn cut_power(&mut self) {
        if let Some(first) = self.first() {
            let _ = as_root("kill").args(["-KILL", &first.to_string()]).status();
        }
        if let Some(mut child) = self.on.take() {
            let _ = child.wait();
            // Control groups outlast their processes; those of machines that are on cannot be removed.
            let groups = "find /sys/fs/cgroup/store-boot-* /sys/fs/cgroup/systemd/store-boot-* -depth -type d \
                -exec rmdir {} +";
            let _ = as_root("sh").args(["-c", groups]).stderr(Stdio::null()).status();
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.cut_power();
    }
}
