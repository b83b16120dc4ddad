//! Owns where the symbolic links of an output may lead, and how they are spelled.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Component, Path};
use store::io_error::IoContext;
use store::places::PACKAGES;

use super::walk::Found;
use super::{NormaliseRules, OutputError, OutputKind, Problem, ProblemKind};

/// As many links as the kernel follows before it gives up (`ELOOP`).
const MOST_LINKS: u32 = 40;

/// A link of `found`, by index, that is to be spelled differently.
pub(super) struct Rewrite {
    index: usize,
    target: String,
}

/// Checks every link; gives those that are to be spelled differently.
///
/// A link into the package itself becomes relative, so that it also holds where the package does not stand below
/// its prefix (in a store, in an unpacked artifact). Links into other packages and to activated paths of the
/// prefix are kept as they are.
pub(super) fn check(
    found: &[Found],
    rules: &NormaliseRules<'_>,
    problems: &mut Vec<Problem>,
) -> Vec<Rewrite> {
    let places = Places::new(found, rules);
    let mut rewrites = Vec::new();
    for (index, entry) in found.iter().enumerate() {
        let OutputKind::Link { target } = &entry.kind else {
            continue;
        };
        if let Err(kind) = places.follow(&entry.path, target) {
            let path = entry.path.clone();
            problems.push(Problem { path, kind });
        } else if let Some(target) = places.relative(&entry.path, target) {
            rewrites.push(Rewrite { index, target });
        }
    }
    rewrites
}

/// Spells the links anew, on disk and in `found`.
pub(super) fn rewrite(dir: &Path, found: &mut [Found], rewrites: Vec<Rewrite>) -> Result<(), OutputError> {
    for Rewrite { index, target } in rewrites {
        let path = dir.join(&found[index].path);
        fs::remove_file(&path).at("remove", &path)?;
        symlink(&target, &path).at("link", &path)?;
        found[index].kind = OutputKind::Link { target };
    }
    Ok(())
}

/// The paths of a host as far as a link of this package can know them.
struct Places<'a> {
    found: &'a [Found],
    /// The components of the prefix, then `packages`, then the ID.
    home: Vec<String>,
    /// How many of them are the prefix's.
    prefix: usize,
    rules: &'a NormaliseRules<'a>,
}

impl<'a> Places<'a> {
    fn new(found: &'a [Found], rules: &'a NormaliseRules<'a>) -> Self {
        let named = |part: Component<'_>| match part {
            Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
            _ => None,
        };
        let mut home: Vec<String> = rules.prefix.components().filter_map(named).collect();
        let prefix = home.len();
        home.extend([PACKAGES.to_owned(), rules.id.to_string()]);
        Self {
            found,
            home,
            prefix,
            rules,
        }
    }

    /// Follows the link at `path` as the kernel would on a host, through other links of the package.
    fn follow(&self, path: &str, target: &str) -> Result<(), ProblemKind> {
        let mut here: Vec<&str> = self.home.iter().map(String::as_str).collect();
        here.extend(path.split('/'));
        here.pop();
        // What is still to be walked, the next component last.
        let mut ahead: Vec<&str> = Vec::new();
        let mut links = 0;
        self.take_link(target, &mut here, &mut ahead);
        while let Some(part) = ahead.pop() {
            match part {
                "" | "." => continue,
                ".." if here.len() <= self.prefix => return Err(ProblemKind::Leaves(target.to_owned())),
                ".." => {
                    here.pop();
                    continue;
                }
                name => here.push(name),
            }
            if !self.on_the_way_to_prefix(&here) {
                return Err(ProblemKind::Leaves(target.to_owned()));
            }
            let Some(inner) = self.inside(&here) else {
                continue;
            };
            match self.kind_of(&inner) {
                Some(OutputKind::Dir) => {}
                Some(OutputKind::File { .. }) if ahead.iter().all(|part| matches!(*part, "" | ".")) => {}
                Some(OutputKind::Link { target: next }) => {
                    links += 1;
                    if links >= MOST_LINKS {
                        return Err(ProblemKind::Loops(target.to_owned()));
                    }
                    here.pop();
                    self.take_link(next, &mut here, &mut ahead);
                }
                _ => return Err(ProblemKind::Dangles(target.to_owned())),
            }
        }
        self.may_end(&here, target)
    }

    fn take_link<'t>(&self, target: &'t str, here: &mut Vec<&'t str>, ahead: &mut Vec<&'t str>) {
        if target.starts_with('/') {
            here.clear();
        }
        ahead.extend(target.rsplit('/'));
    }

    /// Whether `here` is a parent of the prefix, the prefix, or below it.
    fn on_the_way_to_prefix(&self, here: &[&str]) -> bool {
        self.home[..self.prefix].iter().zip(here).all(|(a, b)| a == b)
    }

    /// The path inside the package, if `here` is one.
    fn inside(&self, here: &[&str]) -> Option<String> {
        let at_home = here.len() > self.home.len() && self.home.iter().zip(here).all(|(a, b)| a == b);
        at_home.then(|| here[self.home.len()..].join("/"))
    }

    fn kind_of(&self, path: &str) -> Option<&'a OutputKind> {
        let at = self
            .found
            .binary_search_by(|found| found.path.as_bytes().cmp(path.as_bytes()));
        at.ok().map(|index| &self.found[index].kind)
    }

    fn may_end(&self, here: &[&str], target: &str) -> Result<(), ProblemKind> {
        if here.len() < self.prefix {
            return Err(ProblemKind::Leaves(target.to_owned()));
        }
        match here[self.prefix..] {
            [PACKAGES, id, ..] => {
                let known = id == self.home[self.prefix + 1]
                    || self.rules.closure.iter().any(|c| c.to_string() == id);
                known
                    .then_some(())
                    .ok_or_else(|| ProblemKind::NotRequired(target.to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// The relative spelling of an absolute `target` inside the package.
    fn relative(&self, path: &str, target: &str) -> Option<String> {
        if !target.starts_with('/') {
            return None;
        }
        let parts: Vec<&str> = target
            .split('/')
            .filter(|part| !matches!(*part, "" | "."))
            .collect();
        let inner = parts.strip_prefix(
            self.home
                .iter()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .as_slice(),
        )?;
        let mut from: Vec<&str> = path.split('/').collect();
        from.pop();
        // Equal leading components are real folders on both sides, so leaving them out changes nothing.
        let shared = from.iter().zip(inner).take_while(|(a, b)| a == b).count();
        let up = std::iter::repeat_n("..", from.len() - shared);
        let spelled: Vec<&str> = up.chain(inner[shared..].iter().copied()).collect();
        Some(if spelled.is_empty() {
            ".".to_owned()
        } else {
            spelled.join("/")
        })
    }
}
