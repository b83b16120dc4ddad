//! Owns the guess at what causes a difference, by what the two sides look like where they differ.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Side;
use crate::vary::{Axis, traces};

/// Longer files are not searched for the same parts in another order.
const LONGEST_SORTED: usize = 32 << 20;

/// How far a word, or what belongs to a time, may reach from the difference, in bytes.
const REACH: usize = 96;

/// Numbers of seconds since 1970 that are taken for times: from 2015 to 2040. In binary, where any four bytes are a
/// number, both sides must also be within [`SAME_AGE`] of each other.
const PLAUSIBLE: std::ops::Range<u64> = 1_420_000_000..2_210_000_000;
const SAME_AGE: u64 = 3 * 366 * 24 * 60 * 60;

/// Numbers up to this are taken for counts.
const MOST_COUNTED: u32 = 4096;

/// So many bytes, nearly all of them different, are taken for random numbers or a digest.
const SHORTEST_DICE: usize = 8;

/// So many characters of two temporary names differ, of six that are random.
const SHORTEST_TEMPORARY: usize = 4;

/// So many bytes are looked at: few, as what follows a temporary name is the same again; many, as one in sixteen
/// digits of two random numbers is the same by chance, and of few digits now and then more than a quarter is.
const DICE_WINDOWS: [usize; 2] = [16, 64];

/// What usually causes a difference that looks like this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The same lines or words in another order.
    Order,
    /// A time or a date.
    Time,
    /// A path.
    Path,
    /// A small number.
    Number,
    /// Letters that differ in case or accent only.
    Case,
    /// Random numbers, or a digest of something that differs.
    Random,
    /// One file ends where the other goes on.
    Length,
    /// None of these.
    Unknown,
    /// A word that is known to differ along an axis.
    #[serde(untagged)]
    Known(Known),
}

/// See [`Cause::Known`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known(pub Axis);

impl Serialize for Known {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.name())
    }
}

impl Cause {
    /// The cause of a difference that only `axis` brings out: the axis, or the guess where that is how it usually does.
    pub(crate) fn known_by(self, axis: Axis) -> Self {
        let fits = match self {
            Self::Order => matches!(
                axis,
                Axis::FileOrder
                    | Axis::Load
                    | Axis::Jobs
                    | Axis::Cpus
                    | Axis::Locale
                    | Axis::Addresses
                    | Axis::Random
            ),
            Self::Number => matches!(axis, Axis::Cpus | Axis::Jobs),
            Self::Random => axis == Axis::Random,
            Self::Time => axis == Axis::Time,
            Self::Path => axis == Axis::BuildPath,
            Self::Case => axis == Axis::Locale,
            Self::Known(Known(guessed)) => guessed == axis,
            Self::Length | Self::Unknown => false,
        };
        if fits { self } else { Self::Known(Known(axis)) }
    }

    /// What it looks like and where that usually comes from, for people.
    pub fn usual(self) -> String {
        let text = match self {
            Self::Order => {
                "the same parts in another order: sort what a folder, a table or parallel jobs give, by bytes"
            }
            Self::Time => "a time or a date: use $SOURCE_DATE_EPOCH",
            Self::Path => "a path of the build: map it away, e.g. with -ffile-prefix-map, or do not keep it",
            Self::Known(Known(axis)) => return format!("what differs with {axis}: {}", axis.meaning()),
            Self::Number => "a small number, such as a count of CPUs, of jobs or of runs",
            Self::Case => "letters of other case, as other locales make them",
            Self::Random => {
                "random numbers or a temporary name, or a digest or compressed form of something that differs"
            }
            Self::Length => "one file goes on where the other ends",
            Self::Unknown => "nothing that is easily told",
        };
        text.to_owned()
    }
}

/// Whether two sides, and the words in them where they differ, look as a cause makes them.
type Look = fn([&Side; 2], [&str; 2]) -> bool;

/// Guesses; the first look that fits is taken.
pub(super) fn of(sides: [&Side; 2]) -> Cause {
    // Words end at white space, quotes and what is not printable.
    let is_of_word = |byte: u8| byte.is_ascii_graphic() && !b"\"'`,;=()<>".contains(&byte);
    let words = sides.map(|side| around(side, is_of_word));
    let looks: [(Cause, Look); 8] = [
        (Cause::Order, |sides, _| is_order(sides)),
        (Cause::Time, |sides, words| is_time(sides, words)),
        (Cause::Random, |_, words| is_temporary(words)),
        (Cause::Path, |_, words| {
            words.iter().any(|word| word.contains('/'))
        }),
        (Cause::Case, |_, [one, other]| {
            one != other && one.to_lowercase() == other.to_lowercase()
        }),
        (Cause::Random, |sides, words| {
            is_dice(sides) && words.iter().all(|word| is_odd(word))
        }),
        (Cause::Number, |_, words| {
            words
                .iter()
                .all(|word| word.parse().is_ok_and(|number: u32| number <= MOST_COUNTED))
        }),
        (Cause::Length, |sides, _| {
            sides.iter().any(|side| side.at >= side.bytes.len())
        }),
    ];
    let texts = [&*words[0], &*words[1]];
    let known = || traces::axis_of(texts).map(|axis| Cause::Known(Known(axis)));
    let looked = || {
        looks
            .iter()
            .find(|(_, fits)| fits(sides, texts))
            .map(|(cause, _)| *cause)
    };
    match looked() {
        Some(Cause::Order) => Cause::Order,
        first => known().or(first).unwrap_or(Cause::Unknown),
    }
}

/// What belongs together around the difference, as far as it is in reach.
fn around(side: &Side, belongs: fn(u8) -> bool) -> String {
    let (before, after) = side.bytes.split_at(side.at.min(side.bytes.len()));
    let length =
        |bytes: &mut dyn Iterator<Item = &u8>| bytes.take(REACH).take_while(|it| belongs(**it)).count();
    let (back, on) = (length(&mut before.iter().rev()), length(&mut after.iter()));
    let bytes = [&before[before.len() - back..], &after[..on]].concat();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn is_order([one, other]: [&Side; 2]) -> bool {
    let whole = one.is_whole && other.is_whole && one.size == other.size;
    if !whole || one.bytes.len() > LONGEST_SORTED {
        return false;
    }
    let by = |separates: fn(&u8) -> bool| parts(&one.bytes, separates) == parts(&other.bytes, separates);
    by(|byte| *byte == b'\n') || by(u8::is_ascii_whitespace) || by(|byte| *byte == 0)
}

/// How often each part occurs; none of a file that is one part.
fn parts(bytes: &[u8], separates: fn(&u8) -> bool) -> BTreeMap<&[u8], usize> {
    let mut counts = BTreeMap::new();
    for part in bytes.split(separates) {
        *counts.entry(part).or_default() += 1;
    }
    counts
}

fn is_time(sides: [&Side; 2], words: [&str; 2]) -> bool {
    let seconds = words.map(|word| word.split('.').next().and_then(|text| text.parse::<u64>().ok()));
    if seconds
        .iter()
        .all(|it| it.is_some_and(|number| PLAUSIBLE.contains(&number)))
    {
        return true;
    }
    let lines = sides.map(|side| around(side, |byte| byte != b'\n' && byte != 0));
    let [one, other] = [dates(&lines[0]), dates(&lines[1])];
    // A line that has the same date on both sides differs in something else.
    (!one.is_empty() && !other.is_empty() && one != other) || is_binary_time(sides)
}

/// What a line has of times of day (`12:34:56`), dates (`2024-02-01`, `20240201`), and months or weekdays by their names
/// that stand beside another of them or a number. Less is too little: `00:00` is a device, and `may` a word.
fn dates(line: &str) -> Vec<&str> {
    let words: Vec<&str> = line
        .split(|c: char| c.is_whitespace() || "\"'(),;".contains(c))
        .filter(|word| !word.is_empty())
        .collect();
    let stands_by = |at: usize| {
        let beside = [at.checked_sub(1), at.checked_add(1)].into_iter().flatten();
        let words = beside.filter_map(|at| words.get(at).copied());
        words.filter(|word| is_named(word) || is_day_or_year(word))
    };
    let mut found = Vec::new();
    for (at, word) in words.iter().enumerate() {
        if is_named(word) && stands_by(at).next().is_some() {
            found.push(*word);
            found.extend(stands_by(at));
        }
        let parts = word.split(['T', 'Z', '+']);
        found.extend(parts.filter(|part| is_time_of_day(part) || is_date(part)));
    }
    found
}

fn is_named(word: &str) -> bool {
    const NAMES: [&str; 19] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Mon", "Tue",
        "Wed", "Thu", "Fri", "Sat", "Sun",
    ];
    NAMES.contains(&word)
}

/// The number that `text` is, if it has so many digits, nothing else, and is in `range`.
fn number(text: &str, digits: usize, range: std::ops::RangeInclusive<u32>) -> Option<u32> {
    let is_one = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = is_one.then(|| text.parse().ok()).flatten();
    number.filter(|number| range.contains(number))
}

fn is_year(text: &str) -> bool {
    number(text, 4, 1900..=2099).is_some()
}

fn is_day_or_year(text: &str) -> bool {
    number(text, text.len().clamp(1, 2), 1..=31).is_some() || is_year(text)
}

fn is_time_of_day(text: &str) -> bool {
    let whole = text.split('.').next().unwrap_or_default();
    match whole.split(':').collect::<Vec<_>>()[..] {
        [hours, minutes, seconds] => {
            number(hours, 2, 0..=23).is_some()
                && number(minutes, 2, 0..=59).is_some()
                && number(seconds, 2, 0..=60).is_some()
        }
        _ => false,
    }
}

fn is_date(text: &str) -> bool {
    let is_one = |year: &str, month: &str, day: &str| {
        is_year(year) && number(month, 2, 1..=12).is_some() && number(day, 2, 1..=31).is_some()
    };
    match text.split('-').collect::<Vec<_>>()[..] {
        [year, month, day] => is_one(year, month, day),
        [whole] if whole.len() == 8 && whole.is_ascii() => is_one(&whole[..4], &whole[4..6], &whole[6..]),
        _ => false,
    }
}

/// Whether four bytes that the difference is in are times, in either order of bytes.
fn is_binary_time(sides: [&Side; 2]) -> bool {
    let number = |side: &Side, start: usize, read: fn([u8; 4]) -> u32| {
        let bytes = side.bytes.get(start..start + 4)?.try_into().ok()?;
        Some(u64::from(read(bytes))).filter(|number| PLAUSIBLE.contains(number))
    };
    let starts =
        (0..4).filter_map(|back| Some([sides[0].at.checked_sub(back)?, sides[1].at.checked_sub(back)?]));
    let is_text = |side: &Side| side.bytes.get(side.at).is_some_and(u8::is_ascii_graphic);
    if sides.iter().all(|side| is_text(side)) {
        return false;
    }
    starts.into_iter().any(|[one, other]| {
        [u32::from_le_bytes, u32::from_be_bytes].into_iter().any(|read| {
            let both = number(sides[0], one, read).zip(number(sides[1], other, read));
            both.is_some_and(|(one, other)| one.abs_diff(other) < SAME_AGE)
        })
    })
}

/// Whether two paths differ only in a part of a name that looks as if somebody threw dice for it, as `mktemp` does.
fn is_temporary([one, other]: [&str; 2]) -> bool {
    if one.len() != other.len() || !one.contains('/') {
        return false;
    }
    let pairs: Vec<[&str; 2]> = one
        .split('/')
        .zip(other.split('/'))
        .filter(|(one, other)| one != other)
        .map(|(one, other)| [one, other])
        .collect();
    let [[one, other]] = pairs[..] else {
        return false;
    };
    let differing = one.bytes().zip(other.bytes()).filter(|(a, b)| a != b).count();
    differing >= SHORTEST_TEMPORARY && (is_odd(one) || is_odd(other))
}

/// Whether no person would write such a word.
fn is_odd(word: &str) -> bool {
    let has = |kind: fn(char) -> bool| word.chars().any(kind);
    word.is_empty() || has(|c| c.is_ascii_digit()) || (has(char::is_uppercase) && has(char::is_lowercase))
}

/// Whether the bytes from the difference on have hardly one in common.
fn is_dice([one, other]: [&Side; 2]) -> bool {
    let one = one.bytes.get(one.at..).unwrap_or_default();
    let other = other.bytes.get(other.at..).unwrap_or_default();
    let is_sign = |byte: &u8| !byte.is_ascii_whitespace();
    DICE_WINDOWS.into_iter().any(|window| {
        let pairs = one.iter().zip(other).filter(|(a, b)| is_sign(a) || is_sign(b));
        let (same, all) = pairs.take(window).fold((0, 0), |(same, all), (a, b)| {
            (same + usize::from(a == b), all + 1)
        });
        all >= SHORTEST_DICE && same * 4 <= all
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(one: &[u8], other: &[u8]) -> Cause {
        let at = one.iter().zip(other).take_while(|(a, b)| a == b).count();
        let side = |bytes: &[u8]| Side {
            bytes: bytes.to_vec(),
            at,
            size: bytes.len() as u64,
            is_whole: true,
        };
        of([&side(one), &side(other)])
    }

    #[test]
    fn each_look_has_its_cause() {
        let cases: [(&str, &str, Cause); 21] = [
            ("b\na\n", "a\nb\n", Cause::Order),
            ("x: b a", "x: a b", Cause::Order),
            ("built 1700000000\n", "built 1737150000\n", Cause::Time),
            ("on Mon May 5\n", "on Thu Jul 9\n", Cause::Time),
            ("2024-02-01", "2025-04-07", Cause::Time),
            ("at 10:20:30", "at 21:37:53", Cause::Time),
            ("on Tue 7\n", "on Thu 9\n", Cause::Time),
            ("2024-02-01T10:20:30Z", "2024-02-01T10:20:31Z", Cause::Time),
            ("2024-02-01 by ada", "2024-02-01 by bob", Cause::Unknown),
            (
                "1000-2000 rw-p 00000000 00:00 0",
                "1000-3000 rw-p 00000000 00:00 0",
                Cause::Unknown,
            ),
            ("you May go", "you Mar go", Cause::Unknown),
            ("/tmp/QsufZl\n", "/tmp/vDHN1a\n", Cause::Random),
            ("/lib/gcc12/a", "/lib/gcc13/a", Cause::Path),
            (
                "/pkg/src/a.c",
                "/pkg/varied/elsewhere/src/a.c",
                Cause::Known(Known(Axis::BuildPath)),
            ),
            ("/a/b.c", "/c/b.c", Cause::Path),
            ("by builder!", "by varied-user!", Cause::Unknown),
            ("by builder", "by varied-user", Cause::Known(Known(Axis::User))),
            ("jobs 4\n", "jobs 8\n", Cause::Number),
            ("ISTANBUL", "istanbul", Cause::Case),
            ("f81d4fae7dec11d0a765", "0b9c3e5a14f26d87b2c4", Cause::Random),
            ("abc", "abcd", Cause::Length),
        ];
        for (one, other, expected) in cases {
            assert_eq!(
                cause(one.as_bytes(), other.as_bytes()),
                expected,
                "{one:?} {other:?}"
            );
        }
    }

    #[test]
    fn random_digits_that_agree_here_and_there_are_still_random() {
        let one = " 147c356ed10c4204 33eaaf9db446fc39\n 9b22b1d2c68fc";
        let other = " f78c555e410878b5 c8ab0eedb177a090\n 493a11380c0a1";
        assert_eq!(cause(one.as_bytes(), other.as_bytes()), Cause::Random);
    }

    #[test]
    fn times_in_binary_are_seen() {
        let at = |seconds: u32| [&[0, 1, 2, 3][..], &seconds.to_le_bytes(), &[9; 4]].concat();
        assert_eq!(cause(&at(1_700_000_000), &at(1_737_000_000)), Cause::Time);
        assert_ne!(cause(&at(1_700_000_000), &at(3_900_000_000)), Cause::Time);
    }

    #[test]
    fn a_known_axis_overrules_a_guess_that_it_does_not_explain() {
        let known = |axis| Cause::Known(Known(axis));
        let cases = [
            (Cause::Time, Axis::User),
            (Cause::Unknown, Axis::User),
            (Cause::Number, Axis::Umask),
            (Cause::Number, Axis::Time),
            (Cause::Time, Axis::TimeZone),
            (Cause::Random, Axis::Time),
            (Cause::Order, Axis::Host),
            (known(Axis::User), Axis::Home),
        ];
        for (guess, axis) in cases {
            assert_eq!(guess.known_by(axis), known(axis), "{guess:?}");
        }
        for (guess, axis) in [
            (Cause::Time, Axis::Time),
            (Cause::Number, Axis::Cpus),
            (Cause::Order, Axis::Load),
            (Cause::Random, Axis::Random),
        ] {
            assert_eq!(guess.known_by(axis), guess);
        }
    }

    #[test]
    fn a_cause_is_one_word_in_documents() {
        let text = |cause| serde_json::to_value(cause).unwrap();
        assert_eq!(text(Cause::Order), "order");
        assert_eq!(text(Cause::Known(Known(Axis::Host))), "host");
    }
}
