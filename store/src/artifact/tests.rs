//! Owns the tests of artifacts: sound ones are what they should be to the byte, and no other kind does harm.

mod appended;
mod damage;
mod forgery;
mod hostile;
mod meanwhile;
mod sound;

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use schema::id::PackageId;

use super::difference::Difference;
use super::pack::{Member, PackOptions, Packed, Selection, members, pack};
use super::reader::{ReadError, Reader};
use super::verify::{Report, verify_file};
use crate::archive;
use crate::archive::press::Threads;
use crate::fixture::{EPOCH, Sketch, TestStore};

const INSTALLER: &[u8] = b"#! the installer, for tests";

fn threads(number: usize) -> Threads {
    Threads::new(NonZeroUsize::new(number).unwrap())
}

/// A store with `base`, `middle` that requires it, `top` that requires that, and `alone`.
struct Demo {
    test: TestStore,
    base: PackageId,
    middle: PackageId,
    top: PackageId,
    alone: PackageId,
    folder: tempfile::TempDir,
}

const LONG: &str =
    "share/a-folder-with-a-name-long-enough/that-no-tar-header-has-room-for-it/in-its-field/of-100-bytes";

fn base() -> Sketch {
    let mut base = Sketch::new("base");
    // In the order of the listing, `include/a.h` would part the folder `include/a` from what it holds.
    for path in ["include/a/b.h", "include/a.h", "include/a-b.h", LONG] {
        base.files.push((path, path.as_bytes().to_vec()));
    }
    base.links.push(("bin/alias", "tool"));
    base.links.push(("share/far", LONG));
    base
}

/// Two frames of it, that do not look the same; made once, as that is slow in a debug build.
static LARGE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut state = 1u32;
    let bytes = (0..5 << 20).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 28) as u8
    });
    bytes.collect()
});

impl Demo {
    fn new() -> Self {
        let test = TestStore::new();
        let base = test.add(&base());
        let mut middle = Sketch::requiring("middle", &[&base]);
        middle.files.push(("lib/large", LARGE.clone()));
        let middle = test.add(&middle);
        let top = test.add(&Sketch::requiring("top", &[&middle]));
        let alone = test.add(&Sketch::new("alone"));
        let folder = tempfile::tempdir().unwrap();
        Self {
            test,
            base,
            middle,
            top,
            alone,
            folder,
        }
    }

    fn member(&self, id: &PackageId) -> Member {
        let members = members(&self.test.store, std::slice::from_ref(id)).unwrap();
        members.into_iter().find(|member| member.id == *id).unwrap()
    }

    fn selection(&self) -> Selection {
        let selected = [self.top.clone(), self.alone.clone()];
        Selection {
            name: "demo".to_owned(),
            version: "1".to_owned(),
            prefix: "/opt/store".to_owned(),
            platform: "x86_64-linux".to_owned(),
            source_date_epoch: u64::try_from(EPOCH).unwrap(),
            packages: members(&self.test.store, &selected).unwrap(),
            configuration: None,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn pack_to(&self, path: &Path, selection: &Selection, number: usize) -> Packed {
        let options = PackOptions {
            installer: Some(INSTALLER),
            threads: threads(number),
        };
        pack(&self.test.store, selection, options, path, &()).unwrap()
    }

    /// Packs everything.
    fn packed(&self) -> PathBuf {
        let path = self.path("demo.tar.zst");
        self.pack_to(&path, &self.selection(), 2);
        path
    }
}

fn verify(path: &Path) -> Report {
    verify_file(path, threads(2), &()).unwrap()
}

fn open(path: &Path) -> Reader<Vec<u8>> {
    Reader::open(fs::read(path).unwrap()).unwrap()
}

/// What is found in `artifact`, each as one line.
fn differences(folder: &Path, artifact: &[u8]) -> Vec<String> {
    let path = folder.join("forged.tar.zst");
    fs::write(&path, artifact).unwrap();
    verify(&path).differences.iter().map(what).collect()
}

/// A difference without the place where it is.
fn what(difference: &Difference) -> String {
    let text = difference.to_string();
    let end = text.find("; in bytes").unwrap_or(text.len());
    text[..end].to_owned()
}
