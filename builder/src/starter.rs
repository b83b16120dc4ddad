//! Owns the first form of a new recipe: small, complete but for its digest, and to be changed.

use std::fs;
use std::path::{Path, PathBuf};

use schema::name::PackageName;
use store::io_error::{IoContext, IoError};

/// Why no recipe was started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is something of that name.
    #[error("{} is there already; choose another name, or change what is there", .0.display())]
    Exists(PathBuf),
    /// A file cannot be written.
    #[error(transparent)]
    Io(#[from] IoError),
}

const BUILD: &str =
    "# Run by /bin/sh -e in the folder of the source, with nothing but the dependencies around it.
# Calling plain `make` uses as many cores as are free.
./configure --prefix=$PKG_PATH
make
make install
";

/// Writes the recipe of `name` into the tree at `root`, and says where.
///
/// # Errors
/// When there is one, or it cannot be written; then nothing is there.
pub fn start(root: &Path, name: &PackageName) -> Result<PathBuf, StartError> {
    let folder = root.join(name.as_str());
    if fs::symlink_metadata(&folder).is_ok() {
        return Err(StartError::Exists(folder));
    }
    // A hidden folder is no recipe, so nobody takes a half-written one for one.
    let aside = root.join(format!(".new-{name}"));
    fs::create_dir(&aside).at("make folder", &aside)?;
    let filled = fill(&aside, name).and_then(|()| fs::rename(&aside, &folder).at("rename", &aside));
    if filled.is_err() {
        // What is left is hidden and says whose it is; the first failure is the one to tell.
        let _ = fs::remove_dir_all(&aside);
    }
    filled?;
    Ok(folder)
}

fn fill(folder: &Path, name: &PackageName) -> Result<(), IoError> {
    let buildinfo = format!(
        r#"{{
  "version": "1.0",
  "description": "What {name} is, in a few words",
  "license": "MIT",
  "homepage": "https://example.org/{name}",
  "single_source": {{
    "kind": "url_extract",
    "url": "https://example.org/{name}-1.0.tar.gz"
  }}
}}
"#
    );
    for (file, text) in [("buildinfo.json", buildinfo.as_str()), ("build", BUILD)] {
        let path = folder.join(file);
        fs::write(&path, text).at("write", &path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree_reader::ReadTreeError;

    #[test]
    fn what_is_started_lacks_a_digest_alone_and_is_never_started_twice() {
        let dir = tempfile::tempdir().unwrap();
        let treeinfo =
            r#"{"name":"t","version":"1","prefix":"/opt/t","platform":"x86_64-linux","toolchain":[]}"#;
        fs::write(dir.path().join("treeinfo.json"), treeinfo).unwrap();
        let name = "hello".parse().unwrap();
        start(dir.path(), &name).unwrap();
        // What nobody has fetched has no digest yet; nothing else is missing.
        let Err(ReadTreeError::Findings(findings)) = crate::tree_reader::read(dir.path()) else {
            panic!("the digest is still to be found out");
        };
        let [finding] = findings.as_slice() else {
            panic!("{findings:?}");
        };
        assert!(finding.help.contains("store recipe pin"), "{finding:?}");
        assert!(matches!(start(dir.path(), &name), Err(StartError::Exists(_))));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
