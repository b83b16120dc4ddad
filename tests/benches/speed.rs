//! The speed of `store` beside that of plain tools, measured in one run; it prints and never judges.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program for developers: it measures other programs and stops where one is missing"
)]

mod hosts;
mod measure;

use std::process::Command;
use std::time::{Duration, Instant};

use measure::{Bench, Cost, FOLDER, LARGE, lay_files, line, measure, median, recipe, remove, shell, write};

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
    bench.installation();
    bench.activation();
    bench.upgrade();
}

impl Bench {
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
        remove(&self.root.join("plain.tar.zst"));
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
        remove(&self.root.join("copy.tar.zst"));
    }
}
