//! Tests of normalising, on real folders.

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use proptest::prelude::*;
use schema::digest::Digest;
use tempfile::TempDir;

use super::*;

const EPOCH: u64 = 1_700_000_000;

struct Output {
    dir: TempDir,
    id: PackageId,
    other: PackageId,
}

impl Output {
    fn new() -> Self {
        let id = |name: &str| PackageId::new(name.parse().unwrap(), Digest::of(name.as_bytes()));
        Self {
            dir: TempDir::new().unwrap(),
            id: id("own"),
            other: id("other"),
        }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn file(&self, path: &str, content: &[u8]) -> PathBuf {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    fn link(&self, path: &str, target: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
    }

    fn normalise(&self) -> Result<Normalised, OutputError> {
        let rules = NormaliseRules {
            source_date_epoch: EPOCH,
            prefix: Path::new("/opt/store"),
            id: &self.id,
            closure: std::slice::from_ref(&self.other),
        };
        normalise(self.dir.path(), &rules)
    }

    fn problems(&self) -> Vec<(String, ProblemKind)> {
        match self.normalise() {
            Err(OutputError::Refused(problems)) => problems.into_iter().map(|p| (p.path, p.kind)).collect(),
            other => panic!("expected problems, got {other:?}"),
        }
    }
}

impl Drop for Output {
    /// Opens the folders again, without which an ordinary user cannot remove them.
    fn drop(&mut self) {
        let _ = walk::walk(self.dir.path());
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn owner_mode_and_time_are_the_same_everywhere() {
    let output = Output::new();
    set_mode(&output.file("bin/tool", b"#!/bin/sh\n"), 0o710);
    set_mode(&output.file("share/closed/secret", b""), 0o000);
    set_mode(&output.path("share/closed"), 0o000);
    output.link("bin/alias", "tool");
    let normalised = output.normalise().unwrap();
    let paths: Vec<_> = normalised.entries.iter().map(|e| e.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "bin",
            "bin/alias",
            "bin/tool",
            "share",
            "share/closed",
            "share/closed/secret"
        ]
    );
    for (path, mode) in [
        ("", 0o755),
        ("bin", 0o555),
        ("bin/tool", 0o555),
        ("bin/alias", 0o777),
        ("share/closed", 0o555),
        ("share/closed/secret", 0o444),
    ] {
        let meta = output.path(path).symlink_metadata().unwrap();
        assert_eq!(
            format!("{:o}", meta.mode() & 0o7777),
            format!("{mode:o}"),
            "{path}"
        );
        assert_eq!((meta.mtime(), meta.mtime_nsec()), (EPOCH as i64, 0), "{path}");
        assert_eq!(meta.uid(), nix::unistd::Uid::effective().as_raw(), "{path}");
    }
    assert_eq!(
        output.normalise().unwrap().entries,
        normalised.entries,
        "a second time changes nothing"
    );
}

#[test]
fn extended_attributes_are_removed() {
    let output = Output::new();
    let file = output.file("data", b"x");
    xattr::set(&file, "user.note", b"of one machine")
        .unwrap_or_else(|error| panic!("set TMPDIR to a file system with extended attributes: {error}"));
    output.normalise().unwrap();
    assert_eq!(
        xattr::list(&file)
            .unwrap()
            .filter(|name| name == "user.note")
            .count(),
        0
    );
}

#[test]
fn every_problem_is_reported_at_once() {
    let output = Output::new();
    set_mode(&output.file("a-setuid", b""), 0o4755);
    fs::create_dir(output.path("b-sticky")).unwrap();
    set_mode(&output.path("b-sticky"), 0o1777);
    let _socket = UnixListener::bind(output.path("c-socket")).unwrap();
    nix::unistd::mkfifo(&output.path("d-pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    File::create(output.dir.path().join(std::ffi::OsStr::from_bytes(b"e-\xff"))).unwrap();
    output.link("f-leaves", "/usr/bin/env");
    output.link("g-dangles", "nowhere");
    let text = |text: &str| text.to_owned();
    assert_eq!(
        output.problems(),
        [
            (text("a-setuid"), ProblemKind::Mode(0o4755)),
            (text("b-sticky"), ProblemKind::Mode(0o1777)),
            (text("c-socket"), ProblemKind::Special("socket")),
            (text("d-pipe"), ProblemKind::Special("named pipe")),
            (text("e-\\xff"), ProblemKind::Name),
            (text("f-leaves"), ProblemKind::Leaves(text("/usr/bin/env"))),
            (text("g-dangles"), ProblemKind::Dangles(text("nowhere"))),
        ]
    );
}

#[test]
fn a_set_group_id_folder_is_only_accepted_where_the_store_passes_it_on() {
    let output = Output::new();
    output.file("lib/x", b"");
    set_mode(&output.path("lib"), 0o2755);
    assert_eq!(output.problems(), [("lib".to_owned(), ProblemKind::Mode(0o2755))]);
    set_mode(output.dir.path(), 0o2755);
    output.normalise().unwrap();
    assert_eq!(output.path("lib").metadata().unwrap().mode() & 0o7777, 0o555);
}

#[test]
fn links_stay_inside_the_prefix() {
    enum Is {
        Kept,
        Spelled(&'static str),
        Refused(fn(String) -> ProblemKind),
    }
    use Is::{Kept, Refused, Spelled};
    let output = Output::new();
    let own = format!("/opt/store/packages/{}", output.id);
    let other = &output.other;
    let stranger = format!("zlib--{}", Digest::of(b"").to_base32());
    output.file("lib/libz.so.1", b"");
    output.link("current", "lib");
    let cases = [
        ("lib/libz.so".to_owned(), Kept),
        (format!("{own}/lib/libz.so.1"), Spelled("../../lib/libz.so.1")),
        (
            format!("/opt//store/./packages/{}/current/libz.so.1", output.id),
            Spelled("../../current/libz.so.1"),
        ),
        (format!("{own}/deep/er/file"), Spelled("file")),
        (format!("{own}/"), Spelled("../..")),
        ("../../current/../lib/libz.so.1".to_owned(), Kept),
        (
            "../../current/../libz.so.1".to_owned(),
            Refused(ProblemKind::Dangles),
        ),
        (format!("{own}/lib/libz.so.1/x"), Refused(ProblemKind::Dangles)),
        (format!("{own}/lib/libz.so.2"), Refused(ProblemKind::Dangles)),
        (format!("/opt/store/packages/{other}/lib/x"), Kept),
        (format!("../../../{other}/lib/x"), Kept),
        (
            format!("/opt/store/packages/{stranger}/lib/x"),
            Refused(ProblemKind::NotRequired),
        ),
        (format!("../../../{stranger}"), Refused(ProblemKind::NotRequired)),
        ("/opt/store/active/other/lib/x".to_owned(), Kept),
        ("../../../../lib/x".to_owned(), Kept),
        (
            "../../../../../store/lib/x".to_owned(),
            Refused(ProblemKind::Leaves),
        ),
        (
            "/opt/store/../../etc/passwd".to_owned(),
            Refused(ProblemKind::Leaves),
        ),
        ("/opt".to_owned(), Refused(ProblemKind::Leaves)),
        ("/opt/storefront".to_owned(), Refused(ProblemKind::Leaves)),
        ("/".to_owned(), Refused(ProblemKind::Leaves)),
        ("link".to_owned(), Refused(ProblemKind::Loops)),
        ("../er/link".to_owned(), Refused(ProblemKind::Loops)),
    ];
    output.file("deep/er/file", b"");
    output.file("deep/er/lib/libz.so", b"");
    for (target, expected) in cases {
        let link = output.path("deep/er/link");
        let _ = fs::remove_file(&link);
        symlink(&target, &link).unwrap();
        match expected {
            Refused(kind) => {
                assert_eq!(
                    output.problems(),
                    [("deep/er/link".to_owned(), kind(target.clone()))],
                    "{target}"
                );
            }
            Kept => {
                output.normalise().unwrap();
                assert_eq!(fs::read_link(&link).unwrap(), Path::new(&target));
            }
            Spelled(new) => {
                output.normalise().unwrap();
                assert_eq!(fs::read_link(&link).unwrap(), Path::new(new), "{target}");
                set_mode(&output.path("deep/er"), 0o755);
                assert!(link.exists(), "{target} still leads somewhere");
            }
        }
        set_mode(&output.path("deep/er"), 0o755);
    }
}

#[test]
fn an_output_with_nothing_of_the_build_is_empty() {
    let output = Output::new();
    assert!(matches!(output.normalise(), Err(OutputError::Empty)));
    output.file(RESOLVED_RECIPE, b"{}");
    assert!(matches!(output.normalise(), Err(OutputError::Empty)));
    output.file("share/info/dir", b"noise");
    fs::remove_file(output.path(RESOLVED_RECIPE)).unwrap();
    output.normalise().unwrap();
}

#[test]
fn hard_links_inside_are_kept_and_those_to_the_outside_are_copied() {
    let output = Output::new();
    let outside = TempDir::new_in(output.dir.path().parent().unwrap()).unwrap();
    let kept = outside.path().join("kept.gz");
    fs::write(&kept, gzip(7)).unwrap();
    set_mode(&kept, 0o640);
    fs::hard_link(&kept, output.path("taken.gz")).unwrap();
    fs::hard_link(output.file("a", b"same"), output.path("b")).unwrap();
    output.normalise().unwrap();
    assert_eq!(fs::read(output.path("taken.gz")).unwrap(), gzip(0));
    assert_eq!(fs::read(&kept).unwrap(), gzip(7));
    assert_eq!(kept.metadata().unwrap().mode() & 0o777, 0o640);
    assert_eq!(
        output.path("a").metadata().unwrap().ino(),
        output.path("b").metadata().unwrap().ino()
    );
}

fn gzip(time: u8) -> Vec<u8> {
    let mut bytes = vec![0x1f, 0x8b, 8, 0, time, time, time, time, 0, 3];
    bytes.extend([3, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    bytes
}

fn pyc(time: u32) -> Vec<u8> {
    let mut bytes = b"\xa7\x0d\r\n\0\0\0\0".to_vec();
    bytes.extend(time.to_le_bytes());
    bytes.extend(b"\x05\0\0\0code");
    bytes
}

fn archive(time: u32, user: u32, members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = b"!<arch>\n".to_vec();
    for (name, content) in members {
        let header = if *name == "//" {
            format!("{name:48}{:<10}`\n", content.len())
        } else {
            let length = content.len();
            format!(
                "{name:16}{time:<12}{user:<6}{user:<6}{:<8o}{length:<10}`\n",
                0o100600 + user % 8
            )
        };
        bytes.extend(header.bytes());
        bytes.extend(*content);
        if content.len() % 2 == 1 {
            bytes.push(b'\n');
        }
    }
    bytes
}

/// Path, what the build wrote, what remains of it.
type Case = (&'static str, Vec<u8>, Option<Vec<u8>>);

#[test]
fn each_item_of_the_list_has_its_effect() {
    let members: &[(&str, &[u8])] = &[
        ("/", b"table"),
        ("//", b"long_name.o/\n"),
        ("/0", b"\x7fELF1"),
        ("b.o/", b""),
    ];
    let cases: [Case; 9] = [
        (
            "lib/libz.la",
            b"# libz.la - a libtool library file\n".to_vec(),
            None,
        ),
        ("lib/not-libtool.la", b"Latin".to_vec(), Some(b"Latin".to_vec())),
        (
            "lib/libz.a",
            archive(1_699_999_999, 1000, members),
            Some(archive_of_ar_d(members)),
        ),
        ("share/man/man1/z.1.gz", gzip(9), Some(gzip(0))),
        ("lib/python/z.pyc", pyc(5), Some(pyc(EPOCH as u32))),
        ("lib/perl5/auto/Z/.packlist", b"/opt/z\n".to_vec(), None),
        ("lib/perl5/perllocal.pod", b"Mon Jan 1".to_vec(), None),
        ("share/info/dir", b"* Menu:".to_vec(), None),
        ("other/info/dir", b"kept".to_vec(), Some(b"kept".to_vec())),
    ];
    let output = Output::new();
    for (path, content, _) in &cases {
        set_mode(&output.file(path, content), 0o400);
    }
    let normalised = output.normalise().unwrap();
    for (path, content, expected) in &cases {
        assert_eq!(&fs::read(output.path(path)).ok(), expected, "{path}");
        let said = normalised.treated.iter().any(|treated| treated.path == *path);
        assert_eq!(
            said,
            Some(content) != expected.as_ref(),
            "{path} is reported when it was treated"
        );
    }
    let used: BTreeSet<_> = normalised
        .treated
        .iter()
        .map(|treated| treated.noise.reason)
        .collect();
    assert_eq!(used.len(), NOISE.len(), "an item of the list is not tested here");
}

/// What `ar D` writes: zero times and owners, mode 644, and no mode for the tables.
fn archive_of_ar_d(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = archive(0, 0, members);
    for (name, mode) in [("/ ", "0"), ("/0 ", "644"), ("b.o/", "644")] {
        let at = memchr::memmem::find(&bytes, format!("{name:16}").as_bytes()).unwrap();
        bytes[at + 40..at + 48].copy_from_slice(format!("{mode:<8}").as_bytes());
    }
    bytes
}

#[test]
fn thin_archives_are_refused_and_damaged_ones_left_alone() {
    let output = Output::new();
    output.file("lib/thin.a", b"!<thin>\n/               ");
    assert_eq!(
        output.problems(),
        [("lib/thin.a".to_owned(), ProblemKind::ThinArchive)]
    );
    fs::remove_file(output.path("lib/thin.a")).unwrap();
    let mut cut = archive(5, 5, &[("a.o/", b"12345678"), ("b.o/", b"12345678")]);
    cut.truncate(cut.len() - 3);
    output.file("lib/cut.a", &cut);
    output.file("lib/short.a", b"!<arch");
    output.normalise().unwrap();
    assert_eq!(fs::read(output.path("lib/cut.a")).unwrap(), cut);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn cleaning_any_bytes_succeeds_and_is_done_after_once(
        name in "x\\.(a|la|gz|pyc)",
        magic in 0..4usize,
        rest: Vec<u8>,
    ) {
        let magics: [&[u8]; 4] = [b"", b"!<arch>\n", b"\x1f\x8b\x08", b"\xa7\x0d\r\n"];
        let output = Output::new();
        output.file("kept", b"");
        let file = output.file(&name, &[magics[magic], &rest].concat());
        output.normalise().unwrap();
        let once = fs::read(&file).ok();
        prop_assert_eq!(output.normalise().unwrap().treated.len(), 0);
        prop_assert_eq!(fs::read(&file).ok(), once);
    }
}
