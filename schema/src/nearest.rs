//! Owns the guess at what somebody meant: the most similar of the names there are.

/// How similar two names must be, from 0 (nothing in common) to 1 (the same), for one to be offered for the other.
const SIMILAR: f64 = 0.75;

/// The most similar of `candidates`, if one is similar enough; of equally similar ones the first.
pub fn nearest<'a>(wanted: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let mut best = None;
    let mut best_score = SIMILAR;
    for candidate in candidates {
        let score = similarity(wanted, candidate);
        if score > best_score {
            best = Some(candidate);
            best_score = score;
        }
    }
    best
}

/// Swapped and missing letters count by their number, shared beginnings (`lib…`) do not make up for the rest.
fn similarity(wanted: &str, candidate: &str) -> f64 {
    let jaro = strsim::jaro_winkler(wanted, candidate);
    let edits = strsim::normalized_damerau_levenshtein(wanted, candidate);
    if edits < 0.5 { 0.0 } else { jaro.max(edits) }
}

/// `did you mean `x`?` when something similar exists, else `otherwise`.
pub(crate) fn did_you_mean<'a>(
    wanted: &str,
    candidates: impl IntoIterator<Item = &'a str>,
    otherwise: impl FnOnce() -> String,
) -> String {
    match nearest(wanted, candidates) {
        Some(name) => format!("did you mean `{name}`?"),
        None => otherwise(),
    }
}

/// The names, each in back quotes, for messages that list what is allowed.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<_> = names.into_iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_finger_are_mended_and_other_words_are_not() {
        let names = [
            "requires",
            "build_requires",
            "libevent",
            "libffi",
            "openssl",
            "zlib",
        ];
        for (wanted, expected) in [
            ("require", Some("requires")),
            ("build_require", Some("build_requires")),
            ("opensll", Some("openssl")),
            ("zlb", Some("zlib")),
            ("libuv", None),
            ("kernel", None),
            ("", None),
        ] {
            assert_eq!(nearest(wanted, names), expected, "{wanted}");
        }
    }
}
