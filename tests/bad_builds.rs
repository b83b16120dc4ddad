//! Builds and sources that no package can come from: each ends with a clear error, and nothing of any is left.
#![allow(
    clippy::unwrap_used,
    reason = "what cannot be read fails the test, as it should"
)]

use std::fs;

use crate::support::TestTree;
use serde_json::json;
use tar::{EntryType, Header};

/// Writes a socket: no program of the shell makes one, but its `cpio` unpacks one.
const SOCKET: &str = "cd $PKG_PATH
entry() { printf '070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X' \
 1 $1 0 0 1 0 0 0 0 0 0 $2 0; printf $3; }
{ entry 0140644 5 'sock\\0\\0'; entry 0 11 'TRAILER!!!\\0\\0\\0\\0'; } | cpio -i
[ -S sock ]";

#[test]
fn builds_that_go_wrong() {
    let tree = TestTree::new();
    // What the recipe is called, what its script does, and what the error must say.
    let cases: [(&str, &str, &[&str]); 13] = [
        ("fails", "exit 3", &["failed with exit code 3"]),
        ("is-killed", "kill -9 $$", &["ended by signal 9"]),
        ("hangs", "sleep 1000", &["longer than 1 s", "`timeout`"]),
        (
            "prints",
            "yes | head -c 1073741824",
            &["printed more than 64.0 MiB"],
        ),
        ("makes-nothing", "true", &["no output"]),
        ("socket", SOCKET, &["`sock`", "socket"]),
        (
            "setuid",
            "echo > $PKG_PATH/su; chmod 4755 $PKG_PATH/su || exit 40",
            &["exit code 40"],
        ),
        (
            "leaves-one",
            "mkdir $PKG_PATH/bin; sleep 1000 &",
            &["background process", "sleep"],
        ),
        (
            "leaves-a-daemon",
            "mkdir $PKG_PATH/bin; setsid sleep 1000 </dev/null >/dev/null 2>&1 &",
            &["background process", "sleep"],
        ),
        (
            "own-recipe",
            "echo {} > $PKG_PATH/buildinfo.full.json",
            &["buildinfo.full.json"],
        ),
        (
            "linked-recipe",
            "ln -s ../x $PKG_PATH/buildinfo.full.json",
            &["buildinfo.full.json"],
        ),
        (
            "odd-name",
            "printf x > \"$(printf \"$PKG_PATH/\\377\")\"",
            &["UTF-8"],
        ),
        ("no-script", "exec /absent", &["exit code 127"]),
    ];
    for (name, script, _) in cases {
        tree.recipe(
            name,
            &json!({ "version": "1", "timeout": if name == "hangs" { 1 } else { 300 } }),
            script,
        );
    }
    tree.all_fail(cases.map(|(name, _, words)| (name, words.to_vec())));
    assert!(tree.store(&["log", "setuid"]).ok().contains("not permitted"));
    assert!(tree.store(&["log", "prints"]).ok().len() <= (64 << 20) + 4096);
}

#[test]
fn sources_that_are_not_to_be_had() {
    let tree = TestTree::new();
    tree.file("mirror/text-1.txt", "what the server has");
    let there = format!("file://{}", tree.path("mirror/text-1.txt").display());
    let absent = format!("file://{}", tree.path("absent/text-1.txt").display());
    let recipe = |urls: &[&str], content: &str| {
        let digest = blake3::hash(content.as_bytes()).to_hex();
        let source = json!({ "kind": "url", "urls": urls, "blake3": digest.as_str() });
        json!({ "version": "1", "single_source": source })
    };
    let script = "cp text-1.txt $PKG_PATH/text";
    tree.recipe(
        "changed",
        &recipe(&[&absent, &there], "what the recipe says"),
        script,
    );
    tree.recipe("gone", &recipe(&[&absent], "what the server has"), script);
    tree.all_fail([
        ("changed", vec!["mirror/text-1.txt", "wrong digest"]),
        ("gone", vec!["absent/text-1.txt", "No such file"]),
    ]);

    fs::remove_dir_all(tree.path("recipes/changed")).unwrap();
    tree.recipe("gone", &recipe(&[&absent, &there], "what the server has"), script);
    tree.store(&["build", "all"]).ok();
    tree.holds_only(&["gone", "shell"]);

    let source = json!({ "kind": "local", "path": "absent" });
    tree.recipe(
        "no-folder",
        &json!({ "version": "1", "single_source": source }),
        script,
    );
    tree.store(&["build", "gone"])
        .fails(1, &["no-folder/buildinfo.json:1:41", "no-folder/absent"]);
}

/// An archive that no well-meaning program writes.
#[derive(Default)]
struct Hostile(Vec<u8>);

impl Hostile {
    /// Adds an entry whose header says whatever it is told, `claimed` bytes of content included.
    fn entry(mut self, kind: EntryType, path: &str, target: &str, content: &[u8], claimed: u64) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        let old = header.as_old_mut();
        old.name[..path.len()].copy_from_slice(path.as_bytes());
        old.linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_size(claimed);
        header.set_mode(0o644);
        header.set_cksum();
        self.0.extend(header.as_bytes());
        self.0.extend(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, path: &str, content: &[u8]) -> Self {
        self.entry(EntryType::Regular, path, "", content, content.len() as u64)
    }

    fn link(self, kind: EntryType, path: &str, target: &str) -> Self {
        self.entry(kind, path, target, b"", 0)
    }

    fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

#[test]
fn archives_that_would_do_harm() {
    let tree = TestTree::new();
    let outside = tree.path("outside");
    let outside = outside.to_str().unwrap();
    let start = || Hostile::default().file("pkg/fine", b"fine");
    let gib_2 = 2 << 30;
    let cases: [(&str, Hostile, &[&str]); 10] = [
        ("climbs", start().file("pkg/../../../outside", b"x"), &["`..`"]),
        ("absolute", start().file(outside, b"x"), &["absolute", outside]),
        (
            "through-a-link",
            start()
                .link(EntryType::Symlink, "pkg/way", "out")
                .file("pkg/way/outside", b"x"),
            &["behind the symbolic link", "pkg/way"],
        ),
        (
            "link-out",
            start().link(EntryType::Symlink, "pkg/way", "../../../outside"),
            &["leads out"],
        ),
        (
            "hard-link-out",
            start().link(EntryType::Link, "pkg/way", "/etc/passwd"),
            &["hard link", "/etc/passwd"],
        ),
        (
            "device",
            start().link(EntryType::Char, "pkg/null", ""),
            &["`pkg/null`", "device"],
        ),
        (
            "pipe",
            start().link(EntryType::Fifo, "pkg/pipe", ""),
            &["`pkg/pipe`", "pipe"],
        ),
        (
            "huge",
            start().entry(EntryType::Regular, "pkg/huge", "", b"little", gib_2),
            &["`pkg/huge`", "2147483648"],
        ),
        (
            "twice",
            start().file("pkg/fine", b"other"),
            &["`pkg/fine`", "twice"],
        ),
        (
            "file-as-folder",
            start().file("pkg/fine/below", b"x"),
            &["below `", "fine"],
        ),
    ];
    for (name, archive, _) in &cases {
        lay_archive(&tree, name, &Hostile(archive.0.clone()).end());
    }
    lay_archive(&tree, "no-archive", b"<html>Not found</html>");
    let words = cases.map(|(name, _, words)| (name, words.to_vec()));
    tree.all_fail(words.into_iter().chain([("no-archive", vec!["not an archive"])]));
    assert!(!fs::exists(outside).unwrap());
}

/// Lays `bytes` where a server would have them, and a recipe that pins and unpacks them.
fn lay_archive(tree: &TestTree, name: &str, bytes: &[u8]) {
    let archive = format!("mirror/{name}.tar");
    tree.file(&archive, "");
    fs::write(tree.path(&archive), bytes).unwrap();
    let source = json!({
        "kind": "url_extract",
        "url": format!("file://{}", tree.path(&archive).display()),
        "blake3": blake3::hash(bytes).to_hex().as_str(),
    });
    let recipe = json!({ "version": "1", "single_source": source });
    tree.recipe(name, &recipe, "cp -r . $PKG_PATH/all");
}

#[test]
fn names_that_differ_in_case_alone_are_two_names() {
    let tree = TestTree::new();
    let archive = Hostile::default()
        .file("pkg/Name", b"upper")
        .file("pkg/name", b"lower")
        .file("pkg/NAME/in", b"folder");
    lay_archive(&tree, "case", &archive.end());
    tree.store(&["build", "case"]).ok();
    let read = |path: &str| fs::read_to_string(tree.package("case").join("all").join(path)).unwrap();
    assert_eq!(
        [read("Name"), read("name"), read("NAME/in")],
        ["upper", "lower", "folder"]
    );
    tree.holds_only(&["case", "shell"]);
}
