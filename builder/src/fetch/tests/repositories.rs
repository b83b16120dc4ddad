//! Tests sources that are folders: commits of git repositories, hostile ones too, and folders of the tree of recipes.

use std::os::unix::fs::{PermissionsExt, symlink};

use store::listing;

use super::*;
use store::process::{self, Verdict};

/// A repository to fetch from.
struct Repository {
    folder: tempfile::TempDir,
}

impl Repository {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let repository = Self { folder };
        repository.git(&["init", "--quiet", "--initial-branch=main", "."]);
        repository
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), text).unwrap();
    }

    fn git(&self, arguments: &[&str]) -> String {
        let mut git = process::command("git");
        git.current_dir(self.folder.path())
            .args([
                "-c",
                "user.name=x",
                "-c",
                "user.email=x@example.org",
                "-c",
                "core.autocrlf=false",
            ])
            .args(arguments)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null");
        let said = process::run(git, Duration::from_secs(60), &mut || Verdict::GoOn).unwrap();
        String::from_utf8(said.stdout).unwrap().trim().to_owned()
    }

    fn commit(&self) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message=x"]);
        self.git(&["rev-parse", "HEAD"])
    }

    fn source(&self, commit: &str, digest: SourceDigest) -> Source {
        Source {
            origin: Origin::Git {
                url: format!("file://{}", self.folder.path().display()),
                commit: commit.to_owned(),
            },
            digest: Some(digest),
            form: SourceForm::Folder,
        }
    }
}

/// The digest of the files in `folder` other than git's own.
fn digest_of(folder: &Path, bench: &Bench) -> SourceDigest {
    let copy = tempfile::tempdir_in(bench.folder.path()).unwrap();
    let is_ours = |path: &str| !path.split('/').any(|part| part == ".git");
    crate::unpack::folder(folder, copy.path(), folder::RULES, &is_ours).unwrap();
    SourceDigest::Blake3(listing::of(copy.path()).unwrap().tree)
}

#[test]
fn a_commit_is_exported_as_it_was_committed() {
    let (bench, repository) = (Bench::new(), Repository::new());
    repository.write("tool", "#!/bin/sh\n");
    fs::set_permissions(repository.path("tool"), fs::Permissions::from_mode(0o755)).unwrap();
    repository.write("sub/dos.txt", "a\r\n$Id$ $Format:%H$\n");
    repository.write("sub/hidden", "kept\n");
    symlink("sub/hidden", repository.path("link")).unwrap();
    repository.write(
        ".gitattributes",
        "* text=auto ident export-subst\nhidden export-ignore\n*.txt eol=lf\n",
    );
    let commit = repository.commit();
    // Git may store other line ends than were written, so what it stores is what counts.
    repository.git(&["-c", "core.attributesFile=/dev/null", "checkout", "--quiet", "."]);
    let stored = repository.git(&["cat-file", "-p", "HEAD:sub/dos.txt"]);
    fs::write(repository.path("sub/dos.txt"), stored + "\n").unwrap();
    let expected = digest_of(repository.folder.path(), &bench);
    repository.write("tool", "later\n");
    repository.commit();
    let dest = bench.folder.path().join("dest");
    bench.lay_out(&repository.source(&commit, expected), &dest);
    assert_eq!(SourceDigest::Blake3(listing::of(&dest).unwrap().tree), expected);
    assert_eq!(fs::read_to_string(dest.join("tool")).unwrap(), "#!/bin/sh\n");
    assert!(!dest.join(".git").exists());
    fs::remove_dir_all(repository.folder.path()).unwrap();
    bench.fetch(&repository.source(&commit, expected)).unwrap();
}

#[test]
fn nothing_of_a_hostile_repository_runs() {
    let (bench, repository) = (Bench::new(), Repository::new());
    let trap = bench.folder.path().join("trap");
    let touch = format!("touch {}", trap.display());
    repository.write("file", "x\n");
    repository.write(".gitattributes", "* filter=evil diff=evil\n");
    repository.write(
        ".gitmodules",
        &format!("[submodule \"s\"]\npath = s\nurl = ext::{touch}\n"),
    );
    let commit = repository.commit();
    let object = format!("160000,{commit},s");
    repository.git(&["update-index", "--add", "--cacheinfo", &object]);
    repository.git(&["commit", "--quiet", "--message=x"]);
    let commit = repository.git(&["rev-parse", "HEAD"]);
    for hook in [
        "post-checkout",
        "post-upload-pack",
        "reference-transaction",
        "pre-auto-gc",
    ] {
        let path = repository.path(&format!(".git/hooks/{hook}"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("#!/bin/sh\n{touch}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    for (key, value) in [
        ("filter.evil.smudge", touch.as_str()),
        ("uploadpack.packObjectsHook", &touch),
        ("core.fsmonitor", &touch),
        ("tar.tar.command", &touch),
    ] {
        repository.git(&["config", key, value]);
    }
    fs::create_dir(repository.path("s")).unwrap();
    let expected = digest_of(repository.folder.path(), &bench);
    bench.fetch(&repository.source(&commit, expected)).unwrap();
    assert!(!trap.exists());
    let mut source = repository.source(&commit, blake3_of(b"x"));
    source.origin = Origin::Git {
        url: format!("ext::{touch}"),
        commit,
    };
    assert!(matches!(bench.problem(&source), FetchProblem::Client(_)));
    assert!(!trap.exists());
}

#[test]
fn a_commit_that_leads_out_or_is_not_there_gives_nothing() {
    let (bench, repository) = (Bench::new(), Repository::new());
    symlink("../../etc", repository.path("out")).unwrap();
    let commit = repository.commit();
    let problem = bench.problem(&repository.source(&commit, blake3_of(b"x")));
    assert!(
        matches!(problem, FetchProblem::Unpack(UnpackError::Archive { .. })),
        "{problem}"
    );
    let absent = "0123456789".repeat(4);
    let text = bench
        .problem(&repository.source(&absent, blake3_of(b"x")))
        .to_string();
    assert!(text.contains(&absent), "{text}");
    let text = bench
        .problem(&repository.source("--upload-pack=x", blake3_of(b"x")))
        .to_string();
    assert!(text.contains("is not a full commit"), "{text}");
    assert!(bench.kept().is_empty());
}

#[test]
fn a_commit_with_other_files_than_stated_is_not_kept() {
    let (bench, repository) = (Bench::new(), Repository::new());
    repository.write("file", "x\n");
    let commit = repository.commit();
    let expected = blake3_of(b"other");
    let FetchProblem::WrongDigest(wrong) = bench.problem(&repository.source(&commit, expected)) else {
        panic!()
    };
    assert_eq!(
        (wrong.expected, wrong.got),
        (expected, digest_of(repository.folder.path(), &bench))
    );
    assert!(bench.kept().is_empty());
}

#[test]
fn servers_of_repositories_are_not_asked_without_network() {
    let mut bench = Bench::new();
    bench.options.network = Network::Forbidden;
    let repository = Repository::new();
    let mut source = repository.source(&"0".repeat(40), blake3_of(b"x"));
    source.origin = Origin::Git {
        url: "https://host.invalid/x".to_owned(),
        commit: "0".repeat(40),
    };
    assert!(matches!(bench.problem(&source), FetchProblem::Offline { .. }));
}

#[test]
fn folders_of_the_tree_are_copied_and_must_not_have_changed() {
    let bench = Bench::new();
    let folder = bench.tree().join("zlib/src");
    fs::create_dir_all(folder.join(".git")).unwrap();
    fs::create_dir(folder.join("empty")).unwrap();
    fs::write(folder.join(".git/HEAD"), "x").unwrap();
    fs::write(folder.join("file"), "x").unwrap();
    let path = || "zlib/src".to_owned();
    let source = |origin, digest| Source {
        origin,
        digest: Some(digest),
        form: SourceForm::Folder,
    };
    let with_git = SourceDigest::Blake3(listing::of(&folder).unwrap().tree);
    let without_git = digest_of(&folder, &bench);
    let local = source(Origin::Local { path: path() }, with_git);
    let git_local = source(Origin::GitLocal { path: path() }, without_git);
    assert!(bench.fetch(&local).unwrap().path().join(".git/HEAD").exists());
    assert!(!bench.fetch(&git_local).unwrap().path().join(".git").exists());
    fs::remove_dir_all(bench.store.source_path(&with_git.key())).unwrap();
    fs::write(folder.join("file"), "y").unwrap();
    assert!(matches!(bench.problem(&local), FetchProblem::WrongDigest(_)));
    assert_eq!(bench.kept(), [without_git.key()]);
}
