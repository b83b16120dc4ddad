//! Owns the guess at what somebody meant: the most similar of the names there are.

/// The candidate that takes the fewest slips (a letter too many, too few, wrong or swapped; capitals aside) to turn
/// into what was `wanted`, if one slip in three letters is enough; of equally near ones the first.
pub fn nearest<'a>(wanted: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = wanted.to_lowercase();
    let most = wanted.chars().count().max(3) / 3;
    let slips = |candidate: &'a str| {
        (
            strsim::damerau_levenshtein(&wanted, &candidate.to_lowercase()),
            candidate,
        )
    };
    let near = candidates
        .into_iter()
        .map(slips)
        .filter(|(slips, _)| *slips <= most);
    near.min_by_key(|(slips, _)| *slips)
        .map(|(_, candidate)| candidate)
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
            ("ZLib", Some("zlib")),
            ("libuv", None),
            ("kernel", None),
            ("", None),
        ] {
            assert_eq!(nearest(wanted, names), expected, "{wanted}");
        }
    }
}
