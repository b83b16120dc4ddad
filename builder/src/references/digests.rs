//! Owns finding known base32 digests in bytes, at a speed that does not depend on how many are known.

use std::collections::HashMap;

use schema::digest::BASE32_LEN;
use schema::id::PackageId;

/// The 52 characters of a digest.
type Key = [u8; BASE32_LEN];

/// Whether a byte is one of base32's 32 characters.
static IN_ALPHABET: [bool; 256] = alphabet();

const fn alphabet() -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = matches!(byte as u8, b'a'..=b'z' | b'2'..=b'7');
        byte += 1;
    }
    table
}

/// Digests that are looked for, each with the number its finder knows it by.
pub(super) struct Digests {
    numbers: HashMap<Key, usize>,
    /// Which first three characters occur, one bit for each of the 32^3 combinations of their low five bits.
    /// In long runs of letters this spares nearly every look into the map.
    starts: Vec<u64>,
}

impl Digests {
    pub fn new<'a>(ids: impl Iterator<Item = &'a PackageId>) -> Self {
        let mut digests = Self {
            numbers: HashMap::new(),
            starts: vec![0; 32 * 32 * 32 / 64],
        };
        for (number, id) in ids.enumerate() {
            let text = id.digest().to_base32();
            let Ok(key) = Key::try_from(text.as_bytes()) else {
                continue;
            };
            let (word, bit) = start(&key);
            digests.starts[word] |= bit;
            digests.numbers.insert(key, number);
        }
        digests
    }

    /// Calls `found` with the offset and number of each known digest in `bytes`.
    ///
    /// A window of 52 bytes is looked at from its end: the last byte that is no base32 character rules out every
    /// window that holds it, so that most bytes of most files are never looked at.
    pub fn find(&self, bytes: &[u8], mut found: impl FnMut(usize, usize)) {
        if self.numbers.is_empty() {
            return;
        }
        let mut at = 0;
        // How many bytes at the window's start are known to be base32 characters.
        let mut known = 0;
        while let Some(window) = bytes.get(at..at + BASE32_LEN) {
            match window[known..]
                .iter()
                .rposition(|byte| !IN_ALPHABET[usize::from(*byte)])
            {
                Some(other) => {
                    let skip = known + other + 1;
                    at += skip;
                    known = BASE32_LEN - skip;
                }
                None => {
                    if let Some(number) = self.number(window) {
                        found(at, number);
                    }
                    at += 1;
                    known = BASE32_LEN - 1;
                }
            }
        }
    }

    fn number(&self, window: &[u8]) -> Option<usize> {
        let (word, bit) = start(window);
        if self.starts[word] & bit == 0 {
            return None;
        }
        self.numbers.get(window).copied()
    }
}

/// Where in `starts` the first three characters stand.
fn start(key: &[u8]) -> (usize, u64) {
    let low = |byte: u8| usize::from(byte & 31);
    let index = low(key[0]) << 10 | low(key[1]) << 5 | low(key[2]);
    (index / 64, 1 << (index % 64))
}
