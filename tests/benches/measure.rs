//! Owns how the benchmarks measure: trees of recipes to work on, runs of commands, and what they cost.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How often each command is measured; the median is told.
pub const RUNS: usize = 5;

/// Packages of the large store, and files in each: a thousand million bytes in fifteen thousand files.
pub const LARGE: (usize, usize, usize) = (30, 500, 70_000);

/// A package that is a folder beside its recipe.
pub const FOLDER: &str = r#"{"version":"1","toolchain":[],"single_source":{"kind":"local","path":"d"}}"#;

/// What one run of a command took.
#[derive(Clone, Copy)]
pub struct Cost {
    /// From start to end.
    pub time: Duration,
    /// Peak memory of the largest process, in KiB.
    pub memory: i64,
}

/// A folder that is gone when the benchmark ends.
pub struct Bench {
    pub root: PathBuf,
}

impl Bench {
    /// An empty one.
    pub fn new() -> Self {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("speed");
        remove(&root);
        fs::create_dir_all(&root).unwrap();
        Self { root }
    }

    /// A new tree of recipes with a shell.
    pub fn tree(&self, name: &str) -> PathBuf {
        let tree = self.root.join(name).join("recipes");
        write(
            &tree.join("treeinfo.json"),
            r#"{"name":"bench","version":"1","prefix":"/opt/store","platform":"x86_64-linux","source_date_epoch":1,"toolchain":["shell"]}"#,
        );
        let bin = tree.join("shell/files/bin");
        fs::create_dir_all(&bin).unwrap();
        fs::copy("/bin/busybox", bin.join("busybox")).unwrap();
        for applet in ["sh", "mkdir"] {
            std::os::unix::fs::symlink("busybox", bin.join(applet)).unwrap();
        }
        let info = r#"{"version":"1","toolchain":[],"single_source":{"kind":"local","path":"files"}}"#;
        write(&tree.join("shell/buildinfo.json"), info);
        tree
    }

    /// `store ARGS…` in the tree `name`.
    pub fn store(&self, name: &str, args: &[&str]) -> Command {
        let mut store = Command::new(env!("CARGO_BIN_EXE_store"));
        store.arg("--store").arg(self.root.join(name).join("store"));
        store
            .arg("--recipes")
            .arg(self.root.join(name).join("recipes"))
            .args(args);
        store
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        remove(&self.root);
    }
}

/// Half of it can be compressed, as in real packages.
pub fn lay_files(folder: &Path, seed: usize) {
    let mut state = seed as u64 + 1;
    for file in 0..LARGE.1 {
        let mut content = Vec::with_capacity(LARGE.2);
        while content.len() < LARGE.2 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            content.extend_from_slice(&state.to_le_bytes());
            content.extend_from_slice(b"the same");
        }
        let path = folder.join(format!("share/p{seed}/{}/{file}", file % 20));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

pub fn recipe(tree: &Path, name: &str, info: &str, build: &str) {
    write(&tree.join(name).join("buildinfo.json"), info);
    write(&tree.join(name).join("build"), build);
}

pub fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

pub fn shell(folder: &Path, script: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.current_dir(folder).args(["-c", script]);
    shell
}

/// Packages are read-only, also for who removes them.
pub fn remove(root: &Path) {
    if root.exists() {
        let script = format!("chmod -R u+w '{0}' && rm -rf '{0}'", root.display());
        shell(Path::new("/"), &script).status().unwrap();
    }
}

pub fn median(mut run: impl FnMut() -> Cost) -> Cost {
    let mut costs: Vec<Cost> = (0..RUNS).map(|_| run()).collect();
    costs.sort_by_key(|cost| cost.time);
    Cost {
        memory: costs.iter().map(|cost| cost.memory).max().unwrap_or_default(),
        ..costs[RUNS / 2]
    }
}

/// Runs a command to its end; one that fails ends the benchmark.
pub fn measure(mut command: Command) -> Cost {
    let begun = Instant::now();
    #[allow(
        clippy::zombie_processes,
        reason = "waited for below, in the one way that tells the memory"
    )]
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut status = 0;
    // SAFETY: an all-zero rusage is a valid one.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    let pid = libc::pid_t::try_from(child.id()).unwrap();
    // SAFETY: both pointers are to live values of the right types, and nobody else waits for this child.
    let waited = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
    let time = begun.elapsed();
    assert!(
        waited == pid && ExitStatus::from_raw(status).success(),
        "{command:?}"
    );
    Cost {
        time,
        memory: usage.ru_maxrss,
    }
}

pub fn line(what: &str, store: Cost, beside: Option<Cost>) {
    let spelled = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1000.0);
    let ratio = beside.map(|beside| store.time.as_secs_f64() / beside.time.as_secs_f64());
    println!(
        "{what:<58} {:>10} {:>10} {:>7} {:>5} MiB",
        spelled(store.time),
        beside.map(|beside| spelled(beside.time)).unwrap_or_default(),
        ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default(),
        store.memory / 1024
    );
}
