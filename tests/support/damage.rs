//! Owns what tests do to files of a store or a host that look untouched afterwards.

use std::fs::{self, File, FileTimes, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::TestTree;

/// Does something to what lies in a read-only folder, which looks untouched afterwards.
pub fn inside(folder: &Path, damage: impl FnOnce()) {
    let metadata = folder.metadata().unwrap();
    fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
    damage();
    set_time(folder, metadata.modified().unwrap());
    fs::set_permissions(folder, metadata.permissions()).unwrap();
}

/// Gives a file another modification time.
pub fn set_time(path: &Path, time: SystemTime) {
    let times = FileTimes::new().set_modified(time);
    File::open(path).unwrap().set_times(times).unwrap();
}

/// Gives a read-only file other bytes; mode and time stay.
pub fn rewrite(path: &Path, bytes: impl AsRef<[u8]>) {
    let metadata = path.metadata().unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
    fs::write(path, bytes).unwrap();
    set_time(path, metadata.modified().unwrap());
    fs::set_permissions(path, metadata.permissions()).unwrap();
}

/// Puts a named pipe, which nobody writes into, in the place of a file, or of nothing.
pub fn pipe(path: &Path) {
    inside(path.parent().unwrap(), || {
        if path.exists() {
            fs::remove_file(path).unwrap();
        }
        nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    });
}

/// Where the listing of a package lies.
pub fn listing(tree: &TestTree, name: &str) -> PathBuf {
    let shown = tree.store(&["show", name, "--json"]).json();
    let digest = shown["tree"].as_str().unwrap();
    tree.store_dir().join(format!("trees/{digest}.json"))
}
