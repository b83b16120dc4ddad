//! Owns garbage-collection roots: names under which people and builds keep packages, with their closures.

use schema::id::PackageId;

use crate::index::{IndexError, RootRecord};
use crate::store::Store;

/// The longest name of a root, in bytes; room for a path.
const MAX_NAME: usize = 4096;

/// Why a root cannot be set or removed.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// The index refused something.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The name would be unreadable in a list.
    #[error("a root's name is one line of 1 to {MAX_NAME} bytes")]
    Name,
    /// A package that is not in the store cannot be kept.
    #[error("{0} is not in the store, so nothing can keep it")]
    Absent(PackageId),
    /// There is no such root.
    #[error("there is no root `{0}`; `store roots` lists those there are")]
    NoRoot(String),
}

/// Makes `name` keep exactly `packages`, with their closures, from `now_unix` (seconds since 1970) on.
///
/// # Errors
/// See [`RootError`]; an older root of that name then stays.
pub fn set(store: &Store, name: &str, packages: &[PackageId], now_unix: i64) -> Result<(), RootError> {
    if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
        return Err(RootError::Name);
    }
    let index = store.index();
    let registered = index.registered(packages)?;
    if let Some(absent) = packages.iter().find(|id| !registered.contains(id)) {
        return Err(RootError::Absent(absent.clone()));
    }
    Ok(index.set_root(name, packages, now_unix)?)
}

/// Removes the root `name`.
///
/// # Errors
/// See [`RootError`].
pub fn remove(store: &Store, name: &str) -> Result<(), RootError> {
    match store.index().remove_root(name)? {
        true => Ok(()),
        false => Err(RootError::NoRoot(name.to_owned())),
    }
}

/// All roots, sorted by name.
///
/// # Errors
/// When the index cannot be read.
pub fn list(store: &Store) -> Result<Vec<RootRecord>, IndexError> {
    store.index().roots()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Sketch, TestStore};

    #[test]
    fn a_root_is_replaced_as_a_whole_and_keeps_only_what_is_there() {
        let test = TestStore::new();
        let store = &test.store;
        let zlib = test.add(&Sketch::new("zlib"));
        let curl = test.add(&Sketch::new("curl"));
        set(store, "all", &[zlib.clone(), curl], 1).unwrap();
        set(store, "all", std::slice::from_ref(&zlib), 2).unwrap();
        let absent = Sketch::new("absent").id();
        assert!(matches!(
            set(store, "all", &[absent], 3),
            Err(RootError::Absent(_))
        ));
        assert!(matches!(set(store, "a\nb", &[], 3), Err(RootError::Name)));
        let expected = RootRecord {
            name: "all".to_owned(),
            set_unix: 2,
            packages: vec![zlib],
        };
        assert_eq!(list(store).unwrap(), [expected]);
        remove(store, "all").unwrap();
        assert!(matches!(remove(store, "all"), Err(RootError::NoRoot(_))));
    }
}
