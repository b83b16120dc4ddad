//! Owns the tests of what others do to a folder while an artifact is unpacked there.

use std::collections::BTreeSet;
use std::sync::Mutex;

use schema::manifest::SelectedPackage;

use super::*;
use crate::artifact::extract::{ExtractError, Extracted, Wanted, extract};
use crate::artifact::verify::Observer;
use crate::host::policy::Admitted;
use crate::host::receive::{Manner, Presence, ReceiveError, Received, receive};
use crate::host::{Host, HostLock};
use crate::removal;

/// Does something whenever a package is unpacked and has no name yet.
struct Meanwhile<F>(F);

impl<F: Fn(&SelectedPackage) + Sync> Observer for Meanwhile<F> {
    fn begin(&self, _: usize, _: u64) {}
    fn read(&self, _: u64) {}
    fn package(&self, package: &SelectedPackage) {
        (self.0)(package);
    }
}

fn unpack(reader: &Reader<Vec<u8>>, to: &Path, observer: &dyn Observer) -> Result<Extracted, ExtractError> {
    extract(reader, &Wanted::Everything, to, threads(1), observer)
}

fn install(
    reader: &Reader<Vec<u8>>,
    host: &Host,
    lock: &HostLock,
    observer: &dyn Observer,
) -> Result<Received, ReceiveError> {
    let manner = Manner {
        machine: None,
        presence: Presence::Named,
        threads: threads(1),
    };
    let admitted = Admitted::by(None, reader, host.root()).unwrap();
    let roles = BTreeSet::from(["master".parse().unwrap()]);
    receive(&admitted, host, lock, &roles, manner, observer)
}

#[test]
fn of_two_that_unpack_to_a_host_one_is_told_to_wait() {
    let demo = Demo::new();
    let reader = open(&demo.packed());
    let refused = Mutex::new(Vec::new());

    let host = Host::create(&demo.path("host")).unwrap();
    let lock = host.lock().unwrap();
    let extracting = Meanwhile(|_: &SelectedPackage| {
        let extracted = unpack(&reader, host.root(), &());
        let is_told = matches!(extracted, Err(ExtractError::Busy(_)));
        refused.lock().unwrap().push(is_told);
    });
    install(&reader, &host, &lock, &extracting).unwrap();
    drop(lock);
    let all = unpack(&reader, host.root(), &()).unwrap();
    assert_eq!((all.written.len(), all.present.len()), (0, 4));

    let other = Host::create(&demo.path("other")).unwrap();
    let installing = Meanwhile(|_: &SelectedPackage| {
        // Going back to another generation need not wait.
        let lock = other.lock().unwrap();
        let received = install(&reader, &other, &lock, &());
        let is_told = matches!(received, Err(ReceiveError::Busy(_)));
        refused.lock().unwrap().push(is_told);
    });
    unpack(&reader, other.root(), &installing).unwrap();
    assert_eq!(*refused.lock().unwrap(), [true; 8]);
    let received = install(&reader, &other, &other.lock().unwrap(), &()).unwrap();
    assert_eq!(received.present.len(), 4);
    for host in [host, other] {
        removal::remove(host.root()).unwrap();
    }
}

#[test]
fn the_manifest_appears_when_its_packages_have_their_names() {
    let demo = Demo::new();
    let reader = open(&demo.packed());
    let to = demo.path("to");
    let taken = Meanwhile(|package: &SelectedPackage| {
        let place = to.join("packages").join(package.id.to_string());
        fs::create_dir_all(place.join("someone's")).unwrap();
    });
    let extracted = unpack(&reader, &to, &taken);
    assert!(matches!(extracted, Err(ExtractError::Io(_))), "{extracted:?}");
    let left = fs::read_dir(&to).unwrap();
    let mut left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["packages", "trees"]);
}
