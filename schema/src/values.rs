//! Owns which texts may be versions, accounts, variables, kernel settings and amounts of memory.

/// The most memory a build may be given: 64 TiB, in bytes.
pub(crate) const MOST_MEMORY: u64 = 1 << 46;

pub(crate) fn is_variable(name: &str) -> bool {
    let starts = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    name.bytes().next().is_some_and(starts) && name.bytes().all(|byte| starts(byte) || byte.is_ascii_digit())
}

/// Whether a package may bring this variable to hosts.
///
/// # Errors
/// Why not, as the end of a sentence.
pub fn environment_variable(name: &str, value: &str) -> Result<(), String> {
    if !is_variable(name) {
        return Err("a variable's name is made of letters, digits and `_`".to_owned());
    }
    if matches!(name, "PATH" | "LD_LIBRARY_PATH") {
        return Err("the store itself sets it".to_owned());
    }
    if value.contains(['\0', '\n', '\r']) {
        return Err("its value must be one line".to_owned());
    }
    Ok(())
}

pub(crate) fn kernel_setting(key: &str, value: &str) -> Result<(), String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/*".contains(&byte);
    if key.is_empty() || !key.bytes().all(allowed) || value.contains(['\0', '\n', '\r']) {
        return Err("it is not a kernel setting".to_owned());
    }
    Ok(())
}

pub(crate) fn is_account(name: &str) -> bool {
    let starts = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    let goes_on = |byte: u8| starts(byte) || byte.is_ascii_digit() || byte == b'-';
    name.len() <= 32 && name.bytes().next().is_some_and(starts) && name.bytes().all(goes_on)
}

/// Whether `text` can be a version: it becomes part of file names and of the environment.
pub(crate) fn is_version(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._+~:-".contains(&byte);
    (1..=100).contains(&text.len()) && text.bytes().all(allowed) && !text.starts_with(['-', '.'])
}

pub(crate) fn bytes_of(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(['K', 'M', 'G', 'T']);
    let shift = match text.get(digits.len()..)? {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return None,
    };
    let sound = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let amount = sound.then(|| digits.parse::<u64>().ok()).flatten()?;
    amount
        .checked_mul(1 << shift)
        .filter(|bytes| (1..=MOST_MEMORY).contains(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_of_memory_are_powers_of_1024() {
        for (text, bytes) in [
            ("1", Some(1)),
            ("512M", Some(512 << 20)),
            ("2G", Some(2 << 30)),
            ("64T", Some(MOST_MEMORY)),
        ] {
            assert_eq!(bytes_of(text), bytes, "{text}");
        }
        for text in [
            "",
            "0",
            "M",
            "1.5G",
            "-1",
            "1GB",
            "1 G",
            "2g",
            "65T",
            "99999999999999999999",
            "16777216T",
        ] {
            assert_eq!(bytes_of(text), None, "{text}");
        }
    }

    #[test]
    fn versions_are_safe_in_file_names() {
        for text in ["1.2.13", "2.1.12-stable", "1.0.8+ds", "1:1.35.0-4~bpo"] {
            assert!(is_version(text), "{text}");
        }
        for text in ["", "../x", "1/2", "1 2", "-1", ".1", "é", &"1".repeat(101)] {
            assert!(!is_version(text), "{text}");
        }
    }
}
