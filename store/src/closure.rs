//! Owns closures: a package and all it requires at run time, and the paths by which it requires them.

use std::collections::{BTreeMap, HashMap, HashSet};

use schema::id::PackageId;

use crate::index::{Index, IndexError};

/// Why there is no closure.
#[derive(Debug, thiserror::Error)]
pub enum ClosureError {
    /// The index cannot be read.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// A package that was asked for is not in the store.
    #[error("{0} is not in the store")]
    Absent(PackageId),
    /// A package requires another that is not in the store.
    #[error("{package} requires {dependency}, which is not in the store")]
    Broken {
        /// The one that is there.
        package: PackageId,
        /// The one that is not.
        dependency: PackageId,
    },
}

/// `roots` and all they require, each once, whatever is required before what requires it. The order depends on
/// nothing but the set of roots.
///
/// # Errors
/// See [`ClosureError`].
pub fn of(index: &Index, roots: &[PackageId]) -> Result<Vec<PackageId>, ClosureError> {
    let requires = index.requires()?;
    if let Some(absent) = roots.iter().find(|id| !requires.contains_key(id)) {
        return Err(ClosureError::Absent(absent.clone()));
    }
    let mut order = Vec::new();
    let mut seen = HashSet::new();
    let mut roots: Vec<_> = roots.iter().collect();
    roots.sort_unstable();
    for root in roots {
        visit(&requires, root, &mut seen, &mut order)?;
    }
    Ok(order)
}

/// Visits depth first, without recursion: a closure may be deeper than a thread's stack.
fn visit(
    requires: &BTreeMap<PackageId, Vec<PackageId>>,
    root: &PackageId,
    seen: &mut HashSet<PackageId>,
    order: &mut Vec<PackageId>,
) -> Result<(), ClosureError> {
    if !seen.insert(root.clone()) {
        return Ok(());
    }
    let none = Vec::new();
    let mut open = vec![(root, requires.get(root).unwrap_or(&none).iter())];
    while let Some((package, dependencies)) = open.last_mut() {
        match dependencies.next() {
            None => {
                order.push((*package).clone());
                open.pop();
            }
            Some(dependency) if seen.insert(dependency.clone()) => {
                let Some(next) = requires.get(dependency) else {
                    return Err(ClosureError::Broken {
                        package: (*package).clone(),
                        dependency: dependency.clone(),
                    });
                };
                open.push((dependency, next.iter()));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// All that can be reached from `roots` along `requires`, the roots included. What leads nowhere is no error here.
pub fn reach(
    requires: &HashMap<PackageId, Vec<PackageId>>,
    roots: impl IntoIterator<Item = PackageId>,
) -> HashSet<PackageId> {
    let mut reached = HashSet::new();
    let mut open: Vec<PackageId> = roots.into_iter().collect();
    while let Some(id) = open.pop() {
        if !reached.contains(&id) {
            open.extend(requires.get(&id).into_iter().flatten().cloned());
            reached.insert(id);
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Sketch, TestStore};

    #[test]
    fn a_closure_has_each_once_and_dependencies_first() {
        let test = TestStore::new();
        let zlib = test.add(&Sketch::new("zlib"));
        let make = test.add(&Sketch::new("make"));
        let openssl = test.add(&Sketch {
            build_requires: vec![make.clone()],
            ..Sketch::requiring("openssl", &[&zlib])
        });
        let curl = test.add(&Sketch::requiring("curl", &[&openssl, &zlib]));
        let index = test.store.index();
        let closure = of(index, &[curl.clone(), openssl.clone()]).unwrap();
        assert_eq!(closure, [zlib.clone(), openssl.clone(), curl.clone()]);
        assert!(matches!(
            of(index, &[Sketch::new("x").id()]),
            Err(ClosureError::Absent(_))
        ));
    }

    #[test]
    fn a_hole_in_a_closure_names_both_ends() {
        let test = TestStore::new();
        let absent = Sketch::new("zlib").id();
        let curl = test.add(&Sketch::requiring("curl", &[&absent]));
        let broken = of(test.store.index(), std::slice::from_ref(&curl));
        let Err(ClosureError::Broken { package, dependency }) = broken else {
            panic!("{broken:?}");
        };
        assert_eq!((package, dependency), (curl, absent));
    }
}
