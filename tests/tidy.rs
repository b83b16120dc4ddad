//! Holds the house's invariants that neither the compiler nor clippy holds; `docs/src/architecture.md` names each.
#![allow(
    clippy::unwrap_used,
    reason = "a file that cannot be read fails the test, as it should"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// No file is longer than can be read in one sitting.
const MOST_LINES: usize = 600;

/// Each crate, and which of the others it may import.
const ARROWS: [(&str, &[&str]); 4] = [
    ("schema", &[]),
    ("store", &["schema"]),
    ("builder", &["schema", "store"]),
    ("cli", &["schema", "store", "builder"]),
];

/// Outside crates that belong into one of ours only.
const AT_HOME: [(&str, &str); 5] = [
    ("clap", "cli"),
    ("indicatif", "cli"),
    ("miette", "cli"),
    ("rusqlite", "store"),
    ("ureq", "builder"),
];

/// What `schema` must not touch.
const IMPURE: [&str; 7] = [
    "std::fs",
    "std::env",
    "std::process",
    "std::net",
    "std::thread",
    "SystemTime",
    "Instant::now",
];

/// What no library may use: observers are passed in.
const PRINTING: [&str; 5] = ["println!(", "eprintln!(", "print!(", "eprint!(", "dbg!("];

/// Where processes are started and environment and clock are read; everywhere else clippy refuses it.
const WORLDLY: [&str; 4] = [
    "store/src/process",
    "builder/src/sandbox",
    "cli/src/world.rs",
    "tests/",
];

struct Text {
    /// Relative to the repository.
    path: String,
    text: String,
}

impl Text {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    fn is_in(&self, crate_name: &str) -> bool {
        self.path.starts_with(&format!("{crate_name}/src/"))
    }

    /// The lines that are no comments, numbered from one.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let numbered = self
            .text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line));
        numbered.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }

    fn finding(&self, line: usize, what: &str) -> String {
        format!("{}:{line}: {what}", self.path)
    }

    fn holding(&self, words: &[&str], what: &str) -> Vec<String> {
        let bad = |line: &str| words.iter().any(|word| line.contains(word));
        self.code()
            .filter(|(_, line)| bad(line))
            .map(|(number, _)| self.finding(number, what))
            .collect()
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every text of the repository that people write.
fn texts() -> Vec<Text> {
    let root = root();
    let mut texts = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let relative = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            if matches!(&*relative, ".git" | "target" | "out" | "Cargo.lock") || path.is_symlink() {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = String::from_utf8(fs::read(&path).unwrap()) {
                texts.push(Text { path: relative, text });
            }
        }
    }
    texts
}

fn check(findings_of: impl Fn(&Text) -> Vec<String>) {
    let findings: Vec<String> = texts().iter().flat_map(findings_of).collect();
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

/// Whether the first paragraph of a file's `//!` comment is one sentence that says what it owns.
fn says_what_it_owns(file: &Text) -> Vec<String> {
    let lines = file.text.lines().map_while(|line| line.strip_prefix("//! "));
    let said = lines.collect::<Vec<_>>().join(" ");
    if !file.is_rust() || (said.len() > 20 && said.ends_with('.')) {
        return Vec::new();
    }
    vec![file.finding(1, "start with one `//!` sentence that says what this file owns")]
}

fn is_short(file: &Text) -> Vec<String> {
    let lines = file.text.lines().count();
    if !file.is_rust() || lines <= MOST_LINES {
        return Vec::new();
    }
    vec![file.finding(
        lines,
        &format!("longer than {MOST_LINES} lines; find the seam and split it"),
    )]
}

fn imports_one_way(file: &Text) -> Vec<String> {
    let Some((name, allowed)) = ARROWS
        .iter()
        .find(|(name, _)| file.path == format!("{name}/Cargo.toml"))
    else {
        return Vec::new();
    };
    let is_wrong = |dependency: &str| {
        let ours = ARROWS.iter().any(|(other, _)| *other == dependency) && !allowed.contains(&dependency);
        ours || AT_HOME
            .iter()
            .any(|(outside, home)| *outside == dependency && home != name)
    };
    let mut in_dependencies = false;
    let mut findings = Vec::new();
    for (number, line) in file.code() {
        if let Some(section) = line.strip_prefix('[') {
            in_dependencies = section.contains("dependencies");
        }
        let dependency = line.split(['=', '.', ' ']).next().unwrap_or_default();
        if in_dependencies && is_wrong(dependency) {
            findings.push(file.finding(number, &format!("`{name}` must not import `{dependency}`")));
        }
    }
    if !file.text.contains("[lints]\nworkspace = true") {
        findings.push(file.finding(1, "take the workspace's lints"));
    }
    findings
}

fn is_pure_schema(file: &Text) -> Vec<String> {
    if !file.is_in("schema") {
        return Vec::new();
    }
    file.holding(
        &IMPURE,
        "`schema` does no I/O and knows neither clock nor environment",
    )
}

fn prints_nothing(file: &Text) -> Vec<String> {
    if !["schema", "store", "builder"].iter().any(|name| file.is_in(name)) {
        return Vec::new();
    }
    file.holding(&PRINTING, "libraries never print; report to an observer")
}

fn allows_lints_with_reasons(file: &Text) -> Vec<String> {
    if !file.is_rust() {
        return Vec::new();
    }
    let lines: Vec<&str> = file.text.lines().collect();
    let mut findings = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        if !line.trim_start().starts_with('#') || !line.contains("allow(") {
            continue;
        }
        let end = lines[index..]
            .iter()
            .position(|line| line.contains(")]"))
            .unwrap_or_default();
        let attribute = lines[index..=index + end].concat();
        let commented = index > 0 && lines[index - 1].trim_start().starts_with("//");
        if !attribute.contains("reason = ") && !commented {
            findings.push(file.finding(index + 1, "say beside it why this lint is allowed"));
        }
        let worldly = WORLDLY.iter().any(|at| file.path.starts_with(at)) || file.path.contains("/tests/");
        if attribute.contains("disallowed_methods") && !worldly {
            findings.push(file.finding(index + 1, "not one of the places that may touch the world"));
        }
    }
    findings
}

/// What `./dev test` runs through `sudo` is found by the end of its name.
const AS_ROOT: &str = "_as_root";

/// A test that returns early has passed without having tested anything, and nobody hears of it.
fn skips_nothing_quietly(file: &Text) -> Vec<String> {
    if !file.is_rust() {
        return Vec::new();
    }
    let code: Vec<(usize, &str)> = file.code().map(|(number, line)| (number, line.trim())).collect();
    let mut findings = Vec::new();
    for pair in code.windows(2) {
        let [(number, line), (_, next)] = *pair else {
            continue;
        };
        let asks_who = line.starts_with("if ") && line.contains("geteuid()") && next.starts_with("return;");
        let finds_none = line.contains("::Unsupported") && line.ends_with("return,");
        if asks_who || finds_none {
            findings.push(file.finding(
                number,
                "skips a test quietly; become that user, or ignore it: \"needs root\"",
            ));
        }
        let needs_root = line == "#[ignore = \"needs root\"]";
        if needs_root != (next.starts_with("fn ") && next.contains(&format!("{AS_ROOT}()"))) {
            findings.push(file.finding(number, "tests that need root, and only those, end in `_as_root`"));
        }
    }
    findings
}

/// Names that only this file may spell, and it only in halves.
fn machine_names() -> Vec<String> {
    let halves = [
        ("/wo", "rk/"),
        ("index.", "crates.io"),
        ("static.", "crates.io"),
        ("files.", "pythonhosted"),
        ("pypi.", "org"),
        ("registry.", "npmjs"),
        ("deb.", "debian.org"),
        ("snapshot.", "debian.org"),
        ("proxy.", "golang.org"),
    ];
    halves.iter().map(|(a, b)| format!("{a}{b}")).collect()
}

fn names_no_machine(file: &Text) -> Vec<String> {
    let names = machine_names();
    let bad = |line: &&str| names.iter().any(|name| line.contains(name.as_str()));
    let lines = file.text.lines().enumerate().filter(|(_, line)| bad(line));
    lines
        .map(|(index, _)| file.finding(index + 1, "names a registry's host or a path of one machine"))
        .collect()
}

#[test]
fn every_file_says_what_it_owns() {
    check(says_what_it_owns);
}

#[test]
fn every_file_is_read_in_one_sitting() {
    check(is_short);
}

#[test]
fn crates_import_one_way() {
    check(imports_one_way);
}

#[test]
fn schema_does_no_io() {
    check(is_pure_schema);
}

#[test]
fn libraries_never_print() {
    check(prints_nothing);
}

#[test]
fn exceptions_to_lints_have_reasons_and_places() {
    check(allows_lints_with_reasons);
}

#[test]
fn no_test_is_skipped_quietly() {
    check(skips_nothing_quietly);
}

#[test]
fn nothing_names_a_registry_or_a_machine() {
    check(names_no_machine);
}

#[test]
fn every_test_beside_the_crates_is_run() {
    let text = |path: &str| fs::read_to_string(root().join(path)).unwrap();
    let (manifest, suite) = (text("cli/Cargo.toml"), text("tests/main.rs"));
    for entry in fs::read_dir(root().join("tests")).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let Some(name) = file.strip_suffix(".rs") else {
            continue;
        };
        let is_module = suite.lines().any(|line| line == format!("mod {name};"));
        assert!(
            is_module || manifest.contains(&format!("path = \"../tests/{file}\"")),
            "tests/{file} is neither in tests/main.rs nor in cli/Cargo.toml"
        );
    }
}

#[test]
fn each_check_finds_what_it_is_for() {
    let found = |check: fn(&Text) -> Vec<String>, path: &str, text: &str| {
        let (path, text) = (path.to_owned(), text.to_owned());
        check(&Text { path, text }).len()
    };
    let lints = "[lints]\nworkspace = true";
    let arrow = |dependency: &str| format!("{lints}\n[dependencies]\n{dependency}");
    assert_eq!(
        found(says_what_it_owns, "store/src/a.rs", "//! Helpers\nuse std::fs;"),
        1
    );
    assert_eq!(
        found(
            says_what_it_owns,
            "store/src/a.rs",
            "//! Owns how closures\n//! are taken.\n\nuse x;"
        ),
        0
    );
    assert_eq!(found(is_short, "store/src/a.rs", &"\n".repeat(MOST_LINES + 1)), 1);
    assert_eq!(
        found(imports_one_way, "store/Cargo.toml", &arrow("builder = 1")),
        1
    );
    assert_eq!(
        found(
            imports_one_way,
            "store/Cargo.toml",
            &arrow("schema.workspace = true")
        ),
        0
    );
    assert_eq!(
        found(imports_one_way, "builder/Cargo.toml", &arrow("indicatif = \"1\"")),
        1
    );
    assert_eq!(found(imports_one_way, "cli/Cargo.toml", "[dependencies]"), 1);
    assert_eq!(
        found(
            is_pure_schema,
            "schema/src/a.rs",
            "use std::fs::File;\n// std::fs"
        ),
        1
    );
    assert_eq!(
        found(prints_nothing, "builder/src/a.rs", "    println!(\"x\");"),
        1
    );
    let allow = "#[allow(\n    clippy::disallowed_methods\n)]";
    assert_eq!(found(allows_lints_with_reasons, "store/src/a.rs", allow), 2);
    assert_eq!(
        found(
            allows_lints_with_reasons,
            "cli/src/world.rs",
            &format!("// The one place.\n{allow}")
        ),
        0
    );
    for (text, count) in [
        (
            "if !nix::unistd::geteuid().is_root() {\n    // Why.\n    return;\n}",
            1,
        ),
        (
            "Err(error) if error.kind() == ErrorKind::Unsupported => return,\nset => set,",
            1,
        ),
        ("#[ignore = \"needs root\"]\nfn anything() {", 1),
        ("#[test]\nfn anything_as_root() {", 1),
        ("#[ignore = \"needs root\"]\nfn anything_as_root() {", 0),
        (
            "if geteuid().is_root() {\n    return Command::new(program);\n}",
            0,
        ),
    ] {
        assert_eq!(found(skips_nothing_quietly, "tests/a.rs", text), count, "{text}");
    }
    assert_eq!(
        found(
            names_no_machine,
            "docs/a.md",
            &format!("see {}x", machine_names()[0])
        ),
        1
    );
}
