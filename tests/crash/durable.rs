//! Owns what a loss of power would leave: nothing gets its name, and no command says that it is done, before all of it
//! is on the disk.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::trace::Point;

/// What a command did that a loss of power might undo, in words; its calls are in order.
///
/// A removal may be undone: what is no longer needed is removed again. So may the making of a lock.
pub fn volatile(points: &[Point]) -> Vec<String> {
    let mut dirty = BTreeSet::new();
    // Folders whose new names are not on the disk yet.
    let mut moved: BTreeSet<PathBuf> = BTreeSet::new();
    let mut found = Vec::new();
    for point in points.iter().filter(|point| !point.text.contains(") = -1 ")) {
        let paths = paths(&point.text);
        match (point.name.as_str(), paths.as_slice()) {
            ("fsync" | "fdatasync", [path]) => {
                dirty.remove(path);
                moved.retain(|moved| moved.parent() != Some(path));
            }
            ("syncfs", _) => {
                dirty.clear();
                moved.clear();
            }
            ("unlink" | "unlinkat" | "rmdir", [path]) => {
                if moved.iter().any(|moved| path.starts_with(moved) && path != moved) {
                    let path = path.display();
                    found.push(format!(
                        "{path} is gone before its folder's new name is on the disk"
                    ));
                }
                moved.remove(path);
                dirty.retain(|other: &PathBuf| !other.starts_with(path));
            }
            ("rename" | "renameat" | "renameat2", [from, to]) => {
                let inside = dirty.iter().filter(|path| path.starts_with(from));
                let early =
                    inside.map(|path| format!("{} is not on the disk at {}", path.display(), point.text));
                found.extend(early.collect::<Vec<_>>());
                dirty.retain(|path| !path.starts_with(from));
                dirty.extend([from, to].into_iter().filter_map(|path| parent(path)));
                moved.insert(to.clone());
            }
            ("symlink" | "symlinkat" | "link" | "linkat", [.., path]) => dirty.extend(parent(path)),
            (name, [.., path]) => {
                let makes = name.starts_with("mkdir") || name.starts_with("open");
                let lock = path.to_str().is_some_and(|path| path.ends_with("lock"));
                if makes && !lock {
                    dirty.extend(parent(path));
                }
                if !lock {
                    dirty.insert(path.clone());
                }
            }
            (_, []) => found.push(format!("not understood: {}", point.text)),
        }
    }
    let late = |path: PathBuf| format!("{} is not on the disk when it is done", path.display());
    found.extend(dirty.into_iter().map(late));
    found
}

fn parent(path: &Path) -> Option<PathBuf> {
    path.parent().map(Path::to_owned)
}

/// The paths among the arguments of a call, as `strace -y` writes it; a name is joined to the folder before it.
fn paths(call: &str) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = Vec::new();
    let mut folder = None;
    let arguments = call.split_once('(').map_or("", |(_, rest)| rest);
    let arguments = arguments
        .rsplit_once(") = ")
        .map_or(arguments, |(before, _)| before);
    for argument in arguments.split(", ") {
        let descriptor = argument
            .split_once('<')
            .filter(|(number, _)| is_descriptor(number));
        if let Some((_, path)) = descriptor {
            paths.extend(folder.replace(PathBuf::from(path.trim_end_matches('>'))));
        } else if let Some(name) = argument.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
            let folder = folder.take().unwrap_or_default();
            paths.push(folder.join(name));
        }
    }
    paths.extend(folder);
    paths
}

fn is_descriptor(text: &str) -> bool {
    text == "AT_FDCWD" || text.parse::<u32>().is_ok()
}

#[test]
fn what_is_not_synced_is_found() {
    let point = |name: &str, text: &str| Point {
        name: name.to_owned(),
        path: String::new(),
        nth: 1,
        certain: true,
        text: format!("{name}({text}) = 0"),
    };
    let made = [
        point("mkdir", r#""/h/.new", 0777"#),
        point("openat", r#"3</h/.new>, "file", O_WRONLY|O_CREAT, 0666"#),
        point("write", r#"4</h/.new/file>, "x"..., 5"#),
    ];
    let fsync = |path: &str| point("fsync", &format!("5<{path}>"));
    let rename = point("renameat", r#"AT_FDCWD</x>, "/h/.new", AT_FDCWD</x>, "/h/1""#);
    let run = |middle: &[Point], end: &[Point]| {
        volatile(&[&made[..], middle, std::slice::from_ref(&rename), end].concat()).len()
    };
    let all = ["/h/.new/file", "/h/.new"].map(fsync);
    assert_eq!(run(&all, &[fsync("/h")]), 0);
    assert_eq!(run(&[point("syncfs", "5</h>")], &[fsync("/h")]), 0);
    assert_eq!(run(&all, &[]), 1);
    assert_eq!(run(&all[..1], &[fsync("/h")]), 1);
    assert_eq!(run(&[], &[fsync("/h")]), 2);

    let aside = point("rename", r#""/h/packages/a", "/h/packages/.partial-a""#);
    let emptied = point("unlinkat", r#"6</h/packages/.partial-a>, "file", 0"#);
    let removed = point("unlinkat", r#"6</h/packages>, ".partial-a", AT_REMOVEDIR"#);
    let all = [aside, fsync("/h/packages"), emptied, removed];
    assert_eq!(volatile(&all), [] as [String; 0]);
    assert_eq!(volatile(&[&all[..1], &all[2..]].concat()).len(), 2);
}
