//! The speed of `store` beside that of plain tools, measured in one run; it prints and never judges.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program for developers: it measures other programs and stops where one is missing"
)]

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How often each command is measured; the median is told.
const RUNS: usize = 5;

/// Packages of the large store, and files in each: a thousand million bytes in fifteen thousand files.
const LARGE: (usize, usize, usize) = (30, 500, 70_000);

/// A package that is a folder beside its recipe.
const FOLDER: &str = r#"{"version":"1","toolchain":[],"single_source":{"kind":"local","path":"d"}}"#;

/// What one run of a command took.
#[derive(Clone, Copy)]
struct Cost {
    time: Duration,
    /// Peak memory of the largest process, in KiB.
    memory: i64,
}

/// A folder that is gone when the benchmark ends.
struct Bench {
    root: PathBuf,
}

fn main() {
    let bench = Bench::new();
    println!(
        "{:<58} {:>10} {:>10} {:>7} {:>9}",
        "", "store", "beside", "ratio", "memory"
    );
    bench.no_op();
    bench.trivial_packages();
    bench.closures();
    bench.large();
}

impl Bench {
    fn new() -> Self {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("speed");
        remove(&root);
        fs::create_dir_all(&root).unwrap();
        Self { root }
    }

    /// Nothing to do in a tree of 1,000 recipes.
    fn no_op(&self) {
        let tree = self.tree("no-op");
        for at in 0..1000 {
            let requires = if at < 10 {
                String::new()
            } else {
                format!("\"p{}\"", at / 10)
            };
            recipe(
                &tree,
                &format!("p{at}"),
                &format!(r#"{{"version":"1","requires":[{requires}]}}"#),
                "mkdir $PKG_PATH/bin",
            );
        }
        let args = ["build", "all", "-q"];
        measure(self.store("no-op", &args));
        let cost = median(|| measure(self.store("no-op", &args)));
        line("nothing to do in 1,000 recipes (target: 50 ms)", cost, None);
    }

    /// Two hundred packages that do next to nothing, beside as many bare starts of the same sandbox.
    fn trivial_packages(&self) {
        let tree = self.tree("trivial");
        for at in 0..200 {
            recipe(
                &tree,
                &format!("p{at}"),
                r#"{"version":"1"}"#,
                "echo > $PKG_PATH/file",
            );
        }
        measure(self.store("trivial", &["build", "shell", "-q"]));
        let built = measure(self.store("trivial", &["build", "all", "-q", "-j", "1"]));
        let shell = tree.join("shell/files");
        let bare = || {
            let mut bwrap = Command::new("bwrap");
            bwrap.args([
                "--unshare-all",
                "--die-with-parent",
                "--new-session",
                "--proc",
                "/proc",
                "--dev",
                "/dev",
            ]);
            bwrap.args(["--tmpfs", "/tmp", "--ro-bind"]).arg(&shell).args([
                "/shell",
                "/shell/bin/sh",
                "-c",
                "true",
            ]);
            measure(bwrap)
        };
        let begun = Instant::now();
        for _ in 0..200 {
            bare();
        }
        let each = |time: Duration| Cost {
            time: time / 200,
            ..built
        };
        let bare = Cost {
            time: begun.elapsed() / 200,
            ..bare()
        };
        line(
            "a trivial package, beside a bare bwrap (target: 1.5)",
            each(built.time),
            Some(bare),
        );
    }

    /// One package with more and more dependencies.
    fn closures(&self) {
        for count in [250usize, 500, 1000, 2000] {
            let name = format!("closure-{count}");
            let tree = self.tree(&name);
            let mut requires = Vec::new();
            for at in 0..count {
                write(&tree.join(format!("p{at}/d/share/p{at}")), "x");
                write(&tree.join(format!("p{at}/buildinfo.json")), FOLDER);
                requires.push(format!("\"p{at}\""));
            }
            let info = format!(r#"{{"version":"1","requires":[{}]}}"#, requires.join(","));
            recipe(&tree, "top", &info, "echo > $PKG_PATH/file");
            let all: Vec<String> = (0..count).map(|at| format!("p{at}")).collect();
            let mut args = vec!["build", "-q", "shell"];
            args.extend(all.iter().map(String::as_str));
            measure(self.store(&name, &args));
            let cost = measure(self.store(&name, &["build", "top", "-q"]));
            line(&format!("one package with {count} dependencies"), cost, None);
        }
    }

    /// A thousand million bytes: verified, and packed.
    fn large(&self) {
        let tree = self.tree("large");
        for package in 0..LARGE.0 {
            lay_files(&tree.join(format!("p{package}/d")), package);
            write(&tree.join(format!("p{package}/buildinfo.json")), FOLDER);
        }
        measure(self.store("large", &["build", "all", "-q"]));
        let packages = self.root.join("large/store/packages");
        let cost = median(|| measure(self.store("large", &["verify", "-q"])));
        let b3sum = median(|| measure(shell(&packages, "find . -type f -print0 | xargs -0 b3sum")));
        line(
            "verify 1 GB in 15,000 files, beside b3sum (target: 1.1)",
            cost,
            Some(b3sum),
        );
        let artifact = self.root.join("large.tar.zst");
        let create = ["artifact", "create", "-q", "-o", artifact.to_str().unwrap()];
        let cold = measure(self.store("large", &create));
        let tar = measure(shell(
            &packages,
            "tar -cf - . | zstd -3 -T0 -q -o ../../plain.tar.zst",
        ));
        line(
            "pack it cold, beside tar | zstd -3 -T0 (target: 1)",
            cold,
            Some(tar),
        );
        write(&tree.join("p0/d/changed"), "x");
        measure(self.store("large", &["build", "all", "-q"]));
        let changed = measure(self.store("large", &create));
        line("pack it after one change, for the first time", changed, None);
        let warm = median(|| measure(self.store("large", &create)));
        let copy = |script| median(|| measure(shell(&self.root, script)));
        line(
            "pack it from kept archives, beside cat (target: 1.2)",
            warm,
            Some(copy("cat large.tar.zst > copy.tar.zst")),
        );
        line(
            "the same, beside cat and fsync, as store does",
            warm,
            Some(copy("cat large.tar.zst > copy.tar.zst && sync copy.tar.zst")),
        );
    }

    /// A new tree of recipes with a shell.
    fn tree(&self, name: &str) -> PathBuf {
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

    fn store(&self, name: &str, args: &[&str]) -> Command {
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
fn lay_files(folder: &Path, seed: usize) {
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

fn recipe(tree: &Path, name: &str, info: &str, build: &str) {
    write(&tree.join(name).join("buildinfo.json"), info);
    write(&tree.join(name).join("build"), build);
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn shell(folder: &Path, script: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.current_dir(folder).args(["-c", script]);
    shell
}

/// Packages are read-only, also for who removes them.
fn remove(root: &Path) {
    if root.exists() {
        let script = format!("chmod -R u+w '{0}' && rm -rf '{0}'", root.display());
        shell(Path::new("/"), &script).status().unwrap();
    }
}

fn median(mut run: impl FnMut() -> Cost) -> Cost {
    let mut costs: Vec<Cost> = (0..RUNS).map(|_| run()).collect();
    costs.sort_by_key(|cost| cost.time);
    Cost {
        memory: costs.iter().map(|cost| cost.memory).max().unwrap_or_default(),
        ..costs[RUNS / 2]
    }
}

/// Runs a command to its end; one that fails ends the benchmark.
fn measure(mut command: Command) -> Cost {
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

fn line(what: &str, store: Cost, beside: Option<Cost>) {
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
