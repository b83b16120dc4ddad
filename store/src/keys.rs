//! Owns the keys that people sign with: pairs in minisign's format, so that its own program can make, read and check them.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::str::{FromStr, Utf8Error};

use data_encoding::BASE64;
use minisign::{KeyPair, PublicKey, PublicKeyBox, SecretKey, SecretKeyBox, SignatureBox};
use serde::{Serialize, Serializer};

use crate::handed_on::HandedOn;
use crate::io_error::{IoContext, IoError};

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
    /// Others get to see what is there.
    #[error("{} is in {around}, whose content is handed on to others; keep secret keys in another folder", path.display())]
    HandedOn {
        /// The file.
        path: PathBuf,
        /// What it is in.
        around: HandedOn,
    },
    /// A secret that is called what people publish.
    #[error("`{}` is a name for a public key, and the secret key would be in it; name the secret key without `.pub`", .0.display())]
    NamedPublic(PathBuf),
    /// The half of a pair that signs nothing.
    #[error("{} holds a public key, which signs nothing; name the file of the secret key", .0.display())]
    Public(PathBuf),
    /// Others can read a secret.
    #[error("the secret key {} can be read by others (mode {mode:04o}); `chmod 600` it", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Not a secret key, or one behind a password.
    #[error("{}: {source}", path.display())]
    NoSecret {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: NoSecretKey,
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

/// What the name of a public key's file ends with.
const PUBLIC: &str = "pub";

/// Why a text is no secret key, or one behind a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a secret key without a password: {0}")]
pub struct NoSecretKey(String);

/// Where the Ed25519 key lies in a secret key's bytes: behind the algorithms, the salt and costs of a password that it
/// does not have, and its number.
const RAW_SECRET: std::ops::Range<usize> = 62..126;

/// Where a secret key's bytes name the algorithm by which a password protects it; zeros are none.
const PASSWORD: std::ops::Range<usize> = 2..4;

/// Where the checksum lies in a secret key's bytes, at their end.
const CHECKSUM: std::ops::Range<usize> = 126..158;

/// Where the Ed25519 key lies in a public key's bytes: behind the algorithm and its number.
const RAW_PUBLIC: std::ops::Range<usize> = 10..42;

/// What the bytes of a key begin with: Ed25519.
const ALGORITHM: &[u8] = b"Ed";

/// The length of a signature of Ed25519, in bytes.
const SIGNATURE: usize = 64;

/// The length of what stands before one: the algorithm and the key's number.
const NUMBERED: usize = 10;

/// A key that signs.
pub struct SigningKey {
    secret: SecretKey,
    public: PublicKey,
    raw: ed25519_compact::SecretKey,
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
/// When one of the files is there, or cannot be written, or would be handed on to others, or `path` itself ends in `.pub`.
pub fn generate(path: &Path) -> Result<Made, KeyError> {
    let failed = |error: minisign::PError| KeyError::Failed {
        action: "make a pair of keys",
        reason: error.to_string(),
    };
    if path.extension().is_some_and(|ending| ending == PUBLIC) {
        return Err(KeyError::NamedPublic(path.to_owned()));
    }
    is_private(path)?;
    let public = path.with_added_extension(PUBLIC);
    for file in [path, &public] {
        if fs::symlink_metadata(file).is_ok() {
            return Err(KeyError::Exists(file.to_owned()));
        }
    }
    let pair = KeyPair::generate_unencrypted_keypair().map_err(failed)?;
    let secret = pair.sk.to_box(None).map_err(failed)?.to_string();
    let text = pair.pk.to_box().map_err(failed)?.to_string();
    write_new(path, secret.as_bytes(), 0o600)?;
    // Half a pair would be taken for a key that nobody has twice.
    write_new(&public, text.as_bytes(), 0o644).inspect_err(|_| _ = fs::remove_file(path))?;
    Ok(Made {
        secret: path.to_owned(),
        public,
        key: pair.pk.to_base64(),
    })
}

/// Refuses a place for a secret key that others get to see.
fn is_private(path: &Path) -> Result<(), KeyError> {
    let Some(around) = HandedOn::around(path) else {
        return Ok(());
    };
    let path = path.to_owned();
    Err(KeyError::HandedOn { path, around })
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), IoError> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .at("create", path)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    written
        .inspect_err(|_| _ = fs::remove_file(path))
        .at("write", path)
}

/// A secret key whose checksum is empty, as minisign's own program leaves it where there is no password.
fn without_checksum(text: &str) -> Option<SecretKey> {
    let bytes = BASE64.decode(text.lines().nth(1)?.as_bytes()).ok()?;
    let is_empty = |range| {
        bytes
            .get(range)
            .is_some_and(|it: &[u8]| it.iter().all(|byte| *byte == 0))
    };
    let is_one = bytes.len() == CHECKSUM.end && is_empty(PASSWORD) && is_empty(CHECKSUM);
    is_one.then(|| SecretKey::from_bytes(&bytes).ok())?
}

impl SigningKey {
    /// Reads a secret key.
    ///
    /// # Errors
    /// When it is none, has a password, or others can read it or get to see it.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let mode = fs::metadata(path).at("look at", path)?.mode() & 0o7777;
        let text = fs::read_to_string(path).at("read", path)?;
        if CheckingKey::of_file(&text).is_some() {
            return Err(KeyError::Public(path.to_owned()));
        }
        is_private(path)?;
        if mode & OTHERS != 0 {
            let path = path.to_owned();
            return Err(KeyError::Open { path, mode });
        }
        text.parse().map_err(|source| KeyError::NoSecret {
            path: path.to_owned(),
            source,
        })
    }

    /// The key that checks what this one signs.
    pub fn checking(&self) -> CheckingKey {
        CheckingKey(self.public.clone())
    }

    /// The plain Ed25519 signature (RFC 8032) of `bytes`, for documents that have places of their own for it. It is the
    /// same each time.
    pub fn sign_raw(&self, bytes: &[u8]) -> [u8; 64] {
        *self.raw.sign(bytes, None)
    }

    /// The signature of `content`, in minisign's format; `comment` is signed with it.
    ///
    /// # Errors
    /// When `content` cannot be read, `comment` is not one line that ends in no blank, or there is no chance left in this
    /// machine.
    pub fn sign(&self, content: impl Read, comment: &str) -> Result<String, KeyError> {
        let failed = |reason: String| KeyError::Failed {
            action: "sign",
            reason,
        };
        let signed = minisign::sign(Some(&self.public), &self.secret, content, Some(comment), None);
        let signature = signed.map_err(|error| failed(error.to_string()))?.to_string();
        // What is read back otherwise is otherwise from what was signed, and nobody would accept it.
        let read_back = Signature::parse(&signature).map(|signature| signature.comment());
        match read_back.is_ok_and(|read| read == comment) {
            true => Ok(signature),
            false => Err(failed(format!(
                "a signature cannot carry the comment {comment:?}"
            ))),
        }
    }
}

/// The text of a secret key's file.
impl FromStr for SigningKey {
    type Err = NoSecretKey;

    fn from_str(text: &str) -> Result<Self, NoSecretKey> {
        let read = SecretKeyBox::from_string(text).and_then(SecretKeyBox::into_unencrypted_secret_key);
        let secret = read.or_else(|error| without_checksum(text).ok_or(error));
        let secret = secret.map_err(|error| NoSecretKey(error.to_string()))?;
        let public = PublicKey::from_secret_key(&secret);
        let public = public.map_err(|error| NoSecretKey(error.to_string()))?;
        let bytes = secret.to_bytes();
        let raw = ed25519_compact::SecretKey::from_slice(bytes.get(RAW_SECRET).unwrap_or_default());
        let raw = raw.map_err(|error| NoSecretKey(error.to_string()))?;
        // Not every key has a checksum. Zeros, which a disk may give after a power cut, are no seed at all.
        let pair = ed25519_compact::KeyPair::try_from_seed(raw.seed());
        match pair.is_ok_and(|pair| pair.sk == raw) {
            true => Ok(Self { secret, public, raw }),
            false => Err(NoSecretKey("its halves do not belong together".to_owned())),
        }
    }
}

impl CheckingKey {
    /// Reads a public key: the key itself, or from the folder `cwd` a file with one.
    ///
    /// # Errors
    /// When it is neither.
    pub fn read(text: &str, cwd: &Path) -> Result<Self, KeyError> {
        if let Some(key) = PublicKey::from_base64(text).ok().and_then(Self::of) {
            return Ok(key);
        }
        let content = fs::read_to_string(cwd.join(text)).ok();
        let key = content.and_then(|content| Self::of_file(&content));
        key.ok_or_else(|| KeyError::NoPublic(text.to_owned()))
    }

    /// The key in `content`, the text of a public key's file, if it is one.
    pub fn of_file(content: &str) -> Option<Self> {
        let boxed = PublicKeyBox::from_string(content).ok()?;
        boxed.into_public_key().ok().and_then(Self::of)
    }

    /// `key`, unless it says to be for another algorithm; the crate does not ask.
    fn of(key: PublicKey) -> Option<Self> {
        key.to_bytes().starts_with(ALGORITHM).then_some(Self(key))
    }

    /// The key that a policy names.
    ///
    /// # Errors
    /// When it is of another algorithm.
    pub fn from_policy(key: &schema::policy::PublicKey) -> Result<Self, KeyError> {
        let read = PublicKey::from_bytes(key.as_bytes()).ok();
        let key_of = read.and_then(Self::of);
        key_of.ok_or_else(|| KeyError::NoPublic(key.to_string()))
    }

    /// The 32 bytes of the Ed25519 key.
    pub fn raw(&self) -> [u8; 32] {
        let mut raw = [0; 32];
        let bytes = self.0.to_bytes();
        raw.copy_from_slice(bytes.get(RAW_PUBLIC).unwrap_or(&[0; 32]));
        raw
    }

    /// Its number.
    pub fn id(&self) -> KeyId {
        KeyId::of(self.0.keynum())
    }

    /// Whether `signature` is this key's of `bytes`, in minisign's format.
    pub fn accepts(&self, bytes: &[u8], signature: &str) -> bool {
        Signature::parse(signature)
            .is_ok_and(|signature| self.accepts_content(Cursor::new(bytes), &signature))
    }

    /// Whether `signature` is this key's of all that `content` gives.
    pub fn accepts_content(&self, content: impl Read, signature: &Signature) -> bool {
        let (quiet, output, allow_legacy) = (true, false, false);
        // It is prehashed, so that nothing is sought in it.
        minisign::verify(
            &self.0,
            &signature.0,
            OneWay(content),
            quiet,
            output,
            allow_legacy,
        )
        .is_ok()
    }

    /// Whether `signature` is this key's plain Ed25519 signature (RFC 8032) of `bytes`.
    pub fn accepts_raw(&self, bytes: &[u8], signature: &[u8]) -> bool {
        let key = ed25519_compact::PublicKey::new(self.raw());
        ed25519_compact::Signature::from_slice(signature)
            .is_ok_and(|signature| key.verify(bytes, &signature).is_ok())
    }
}

/// The number of a pair, by which signatures say who made them. Anybody can make a pair of a number they like, so it
/// proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(u64);

impl KeyId {
    fn of(number: &[u8]) -> Self {
        let mut bytes = [0; 8];
        bytes.iter_mut().zip(number).for_each(|(to, from)| *to = *from);
        Self(u64::from_le_bytes(bytes))
    }
}

impl FromStr for KeyId {
    type Err = NoSignature;

    fn from_str(text: &str) -> Result<Self, NoSignature> {
        // In one spelling, so that nobody's word is kept twice.
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte);
        let is_number = text.len() == 16 && text.bytes().all(is_digit);
        let number = u64::from_str_radix(text, 16).ok().filter(|_| is_number);
        number
            .map(Self)
            .ok_or_else(|| NoSignature(format!("`{text}` numbers no key")))
    }
}

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// 16 hexadecimal digits, as minisign prints it.
impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}", self.0)
    }
}

/// A signature in minisign's format, of whatever key.
#[derive(Clone)]
pub struct Signature(SignatureBox);

impl Signature {
    /// Reads a signature, spelled as minisign spells it. Those of minisign before 0.8, which are not prehashed, are none:
    /// they were made of another thing than the content's digest.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, NoSignature> {
        if !is_spelled(text) {
            return Err(NoSignature("its four lines are not spelled so".to_owned()));
        }
        let none = |error: minisign::PError| NoSignature(error.to_string());
        let signature = SignatureBox::from_string(text).map_err(none)?;
        match signature.is_prehashed() {
            true => Ok(Self(signature)),
            false => Err(NoSignature("it is not prehashed".to_owned())),
        }
    }

    /// The number of the key that it says it was made with.
    pub fn key(&self) -> KeyId {
        KeyId::of(self.0.keynum())
    }

    /// The comment that was signed with it.
    pub fn comment(&self) -> String {
        self.0.trusted_comment().unwrap_or_default()
    }
}

/// Whether a signature is just the four lines that minisign writes; those who read its format by other means than the crate
/// here should not have to guess what else that takes.
fn is_spelled(text: &str) -> bool {
    let lines: Vec<&str> = text.strip_suffix('\n').unwrap_or(text).split('\n').collect();
    let [untrusted, first, trusted, second] = lines.as_slice() else {
        return false;
    };
    let holds = |line: &str, length| {
        BASE64
            .decode(line.as_bytes())
            .is_ok_and(|bytes| bytes.len() == length)
    };
    let printable = |letter: char| letter == '\t' || !letter.is_control();
    untrusted.starts_with("untrusted comment: ")
        && holds(first, NUMBERED + SIGNATURE)
        && trusted
            .strip_prefix("trusted comment: ")
            .is_some_and(|comment| comment == comment.trim() && comment.chars().all(printable))
        && holds(second, SIGNATURE)
}

/// Why a text is no signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a signature in minisign's format: {0}")]
pub struct NoSignature(String);

impl From<Utf8Error> for NoSignature {
    fn from(error: Utf8Error) -> Self {
        Self(error.to_string())
    }
}

/// Content that can be read once, from its beginning to its end.
struct OneWay<R>(R);

impl<R: Read> Read for OneWay<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<R> Seek for OneWay<R> {
    fn seek(&mut self, _: SeekFrom) -> io::Result<u64> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
mod tests;
