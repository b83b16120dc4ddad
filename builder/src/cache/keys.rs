//! Owns the keys of binary caches: pairs in minisign's format, so that its own program can make, read and check them.

use std::fs::{self, OpenOptions};
use std::io::{Cursor, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use minisign::{KeyPair, PublicKey, PublicKeyBox, SecretKey, SecretKeyBox, SignatureBox};
use store::io_error::{IoContext, IoError};

/// Permission bits that let others than the owner read a file.
const OTHERS: u32 = 0o077;

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Its file cannot be read or written.
    #[error(transparent)]
    Io(#[from] IoError),
    /// There is a file already, which may be a key that nobody has twice.
    #[error("{} is there already", .0.display())]
    Exists(PathBuf),
    /// Others can read a secret.
    #[error("the secret key {} can be read by others (mode {mode:04o}); `chmod 600` it", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Not a secret key, or one behind a password.
    #[error("{}: no secret key without a password: {reason}", path.display())]
    NoSecret {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Neither a public key nor a file with one.
    #[error("`{0}` is neither a public key nor a file with one")]
    NoPublic(String),
    /// Making or using a key failed.
    #[error("cannot {action}: {reason}")]
    Failed {
        /// What was tried.
        action: &'static str,
        /// Why not.
        reason: String,
    },
}

/// A key that signs.
pub struct SigningKey {
    secret: SecretKey,
    public: PublicKey,
}

/// A key that checks signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckingKey(PublicKey);

/// A pair that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The file of the secret key.
    pub secret: PathBuf,
    /// The file of the public key.
    pub public: PathBuf,
    /// The public key itself.
    pub key: String,
}

/// Makes a pair: the secret key as the new file `path`, which only its owner can read, the public key as `path.pub`.
///
/// # Errors
/// When one of the files is there or cannot be written.
pub fn generate(path: &Path) -> Result<Made, KeyError> {
    let failed = |error: minisign::PError| KeyError::Failed {
        action: "make a pair of keys",
        reason: error.to_string(),
    };
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    let public = PathBuf::from(name);
    for file in [path, &public] {
        if fs::symlink_metadata(file).is_ok() {
            return Err(KeyError::Exists(file.to_owned()));
        }
    }
    let pair = KeyPair::generate_unencrypted_keypair().map_err(failed)?;
    let secret = pair.sk.to_box(None).map_err(failed)?.to_string();
    let text = pair.pk.to_box().map_err(failed)?.to_string();
    write_new(path, secret.as_bytes(), 0o600)?;
    write_new(&public, text.as_bytes(), 0o644)?;
    Ok(Made {
        secret: path.to_owned(),
        public,
        key: pair.pk.to_base64(),
    })
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), IoError> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .at("create", path)?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .at("write", path)
}

impl SigningKey {
    /// Reads a secret key.
    ///
    /// # Errors
    /// When it is none, has a password, or others can read it.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let mode = fs::metadata(path).at("look at", path)?.mode() & 0o7777;
        if mode & OTHERS != 0 {
            let path = path.to_owned();
            return Err(KeyError::Open { path, mode });
        }
        let text = fs::read_to_string(path).at("read", path)?;
        let read = || {
            let secret = SecretKeyBox::from_string(&text)?.into_unencrypted_secret_key()?;
            let public = PublicKey::from_secret_key(&secret)?;
            Ok(Self { secret, public })
        };
        read().map_err(|error: minisign::PError| KeyError::NoSecret {
            path: path.to_owned(),
            reason: error.to_string(),
        })
    }

    /// The key that checks what this one signs.
    pub fn checking(&self) -> CheckingKey {
        CheckingKey(self.public.clone())
    }

    /// The signature of `bytes`; `comment` is signed with it.
    ///
    /// # Errors
    /// When there is no chance left in this machine.
    pub fn sign(&self, bytes: &[u8], comment: &str) -> Result<String, KeyError> {
        let signed = minisign::sign(
            Some(&self.public),
            &self.secret,
            Cursor::new(bytes),
            Some(comment),
            None,
        );
        let signature = signed.map_err(|error| KeyError::Failed {
            action: "sign",
            reason: error.to_string(),
        })?;
        Ok(signature.to_string())
    }
}

impl CheckingKey {
    /// Reads a public key: the key itself, or from the folder `cwd` a file with one.
    ///
    /// # Errors
    /// When it is neither.
    pub fn read(text: &str, cwd: &Path) -> Result<Self, KeyError> {
        if let Ok(key) = PublicKey::from_base64(text) {
            return Ok(Self(key));
        }
        let content = fs::read_to_string(cwd.join(text)).ok();
        let boxed = content.and_then(|content| PublicKeyBox::from_string(&content).ok());
        let key = boxed.and_then(|boxed| boxed.into_public_key().ok());
        key.map(Self).ok_or_else(|| KeyError::NoPublic(text.to_owned()))
    }

    /// Whether `signature` is this key's of `bytes`.
    pub fn accepts(&self, bytes: &[u8], signature: &str) -> bool {
        let Ok(signature) = SignatureBox::from_string(signature) else {
            return false;
        };
        let (quiet, output, allow_legacy) = (true, false, false);
        minisign::verify(
            &self.0,
            &signature,
            Cursor::new(bytes),
            quiet,
            output,
            allow_legacy,
        )
        .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn only_the_right_key_accepts_the_right_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let made = generate(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let key = SigningKey::read(&path).unwrap();
        let signature = key.sign(b"bytes", "comment").unwrap();
        let by_text = CheckingKey::read(&made.key, folder.path()).unwrap();
        let by_file = CheckingKey::read("key.pub", folder.path()).unwrap();
        assert_eq!(by_text, by_file);
        assert!(by_text.accepts(b"bytes", &signature));
        assert!(!by_text.accepts(b"other", &signature));
        assert!(!by_text.accepts(b"bytes", &signature.replace("comment", "another")));
        assert!(!by_text.accepts(b"bytes", "no signature"));
        let other = folder.path().join("other");
        generate(&other).unwrap();
        assert!(
            !SigningKey::read(&other)
                .unwrap()
                .checking()
                .accepts(b"bytes", &signature)
        );
    }

    #[test]
    fn keys_are_neither_replaced_nor_shown_around() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        generate(&path).unwrap();
        assert!(matches!(generate(&path), Err(KeyError::Exists(_))));
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(
            SigningKey::read(&path),
            Err(KeyError::Open { mode: 0o640, .. })
        ));
        let public = folder.path().join("key.pub");
        fs::set_permissions(&public, Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(
            SigningKey::read(&public),
            Err(KeyError::NoSecret { .. })
        ));
        assert!(CheckingKey::read("nothing", folder.path()).is_err());
    }
}
