//! Owns putting the keys of compact JSON in canonical order, by moving bytes instead of building a document anew.

use std::cmp::Ordering;
use std::ops::Range;

/// The greatest integer that every writer of JSON spells in the one way, as all up to it are doubles.
pub(crate) const GREATEST: u64 = (1 << 53) - 1;

/// `compact`, as `serde_json` writes it, with the members of every object sorted as RFC 8785 wants them.
///
/// `serde_json` spells strings and integers up to [`GREATEST`] as RFC 8785 does. `None` when there is another number in it.
pub(crate) fn sort_keys(compact: &[u8]) -> Option<Vec<u8>> {
    let mut sorter = Sorter {
        input: compact,
        at: 0,
        output: Vec::with_capacity(compact.len()),
        members: Vec::new(),
        scratch: Vec::new(),
    };
    sorter.value()?;
    (sorter.at == compact.len()).then_some(sorter.output)
}

struct Sorter<'a> {
    input: &'a [u8],
    at: usize,
    output: Vec<u8>,
    /// Members of the objects that are open, those of the innermost last.
    members: Vec<Member>,
    scratch: Vec<u8>,
}

#[derive(Clone)]
struct Member {
    /// The key with its quotes, in the input.
    key: Range<usize>,
    /// The key, the colon and the value, in the output.
    whole: Range<usize>,
}

impl Sorter<'_> {
    fn value(&mut self) -> Option<()> {
        match self.peek()? {
            b'{' => self.object(),
            b'[' => self.array(),
            b'"' => self.string().map(drop),
            b't' | b'n' => self.take(4),
            b'f' => self.take(5),
            _ => self.integer(),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.input.get(self.at).copied()
    }

    /// Copies the next `count` bytes.
    fn take(&mut self, count: usize) -> Option<()> {
        let bytes = self.input.get(self.at..self.at + count)?;
        self.output.extend_from_slice(bytes);
        self.at += count;
        Some(())
    }

    fn string(&mut self) -> Option<Range<usize>> {
        let rest = self.input.get(self.at + 1..)?;
        let mut length = 0;
        loop {
            match rest.get(length)? {
                b'"' => break,
                b'\\' => length += 2,
                _ => length += 1,
            }
        }
        let start = self.at;
        self.take(length + 2)?;
        Some(start..self.at)
    }

    fn integer(&mut self) -> Option<()> {
        let rest = self.input.get(self.at..)?;
        let digits = rest.strip_prefix(b"-").unwrap_or(rest);
        let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let fraction = matches!(digits.get(count), Some(b'.' | b'e' | b'E'));
        // Canonical JSON knows no negative zero.
        let zero = rest.starts_with(b"-0");
        let number: u64 = str::from_utf8(digits.get(..count)?).ok()?.parse().ok()?;
        if number > GREATEST || fraction || zero {
            return None;
        }
        self.take(rest.len() - digits.len() + count)
    }

    fn array(&mut self) -> Option<()> {
        self.take(1)?;
        while self.peek()? != b']' {
            self.value()?;
            if self.peek()? == b',' {
                self.take(1)?;
            }
        }
        self.take(1)
    }

    fn object(&mut self) -> Option<()> {
        self.take(1)?;
        let first = self.members.len();
        let body = self.output.len();
        while self.peek()? != b'}' {
            let start = self.output.len();
            let key = self.string()?;
            self.take(1)?;
            self.value()?;
            let whole = start..self.output.len();
            self.members.push(Member { key, whole });
            if self.peek()? == b',' {
                self.take(1)?;
            }
        }
        self.reorder(first, body);
        self.members.truncate(first);
        self.take(1)
    }

    /// Puts the members from `first` on, which are the output from `body` on, in order.
    fn reorder(&mut self, first: usize, body: usize) {
        let input = self.input;
        let members = &mut self.members[first..];
        if members.is_sorted_by(|one, other| by_key(input, one, other).is_lt()) {
            return;
        }
        members.sort_by(|one, other| by_key(input, one, other));
        self.scratch.clear();
        for (at, member) in members.iter().enumerate() {
            if at > 0 {
                self.scratch.push(b',');
            }
            self.scratch.extend_from_slice(&self.output[member.whole.clone()]);
        }
        self.output.truncate(body);
        self.output.extend_from_slice(&self.scratch);
    }
}

fn by_key(input: &[u8], one: &Member, other: &Member) -> Ordering {
    let (one, other) = (&input[one.key.clone()], &input[other.key.clone()]);
    let plain = |key: &[u8]| key.iter().all(|byte| byte.is_ascii() && *byte != b'\\');
    if plain(one) && plain(other) {
        // Without the closing quotes, so that `a` comes before `a!`.
        return one[..one.len() - 1].cmp(&other[..other.len() - 1]);
    }
    units(one).cmp(&units(other))
}

/// The UTF-16 units of a key, by which RFC 8785 sorts.
fn units(key: &[u8]) -> Vec<u16> {
    let text: String = serde_json::from_slice(key).unwrap_or_default();
    text.encode_utf16().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    /// Any document, keys with quotes, control characters and letters beyond the BMP among them.
    fn documents() -> impl Strategy<Value = Value> {
        let text = "[a-c!\"\\\\\u{1}\n\u{7f}é\u{e000}\u{1f600}]{0,4}";
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-9i64..9).prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            text.prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec((text, inner), 0..6)
                    .prop_map(|members| Value::from(members.into_iter().collect::<Map<_, _>>())),
            ]
        })
    }

    /// A document whose keys are written in the order they are given.
    struct AsGiven(Vec<(String, Value)>);

    impl serde::Serialize for AsGiven {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
        }
    }

    proptest! {
        #[test]
        fn the_bytes_are_those_of_rfc_8785(document in documents()) {
            let compact = serde_json::to_vec(&document).unwrap();
            if let Some(sorted) = sort_keys(&compact) {
                prop_assert_eq!(sorted, serde_json_canonicalizer::to_vec(&document).unwrap());
            }
        }

        #[test]
        fn the_order_of_writing_leaves_no_trace(
            members in prop::collection::btree_map("[a-c!\"\\\\é\u{e000}\u{1f600}]{0,3}", -9i64..9, 0..8),
            turn: prop::sample::Index,
        ) {
            let mut members: Vec<_> = members.into_iter().map(|(key, value)| (key, Value::from(value))).collect();
            let canonical = serde_json_canonicalizer::to_vec(&AsGiven(members.clone())).unwrap();
            if !members.is_empty() {
                let turn = turn.index(members.len());
                members.rotate_left(turn);
            }
            let compact = serde_json::to_vec(&AsGiven(members)).unwrap();
            prop_assert_eq!(sort_keys(&compact).unwrap(), canonical);
        }
    }

    #[test]
    fn only_numbers_that_have_one_spelling_are_taken() {
        for text in ["1.0", "1e3", "-0", "9007199254740992", "{\"a\":[0.5]}", "-"] {
            assert_eq!(sort_keys(text.as_bytes()), None, "{text}");
        }
        assert_eq!(
            sort_keys(b"{\"b\":-7,\"a\":9007199254740991}").unwrap(),
            b"{\"a\":9007199254740991,\"b\":-7}"
        );
    }
}
