//! Owns how people get to see text from elsewhere: names of files, comments, what a foreign document says.

/// `text` on one line, with what would steer a terminal, or could not be seen on one, spelled out, e.g. as `\r`.
pub fn visible(text: &str) -> String {
    let spell = |letter: char| match letter {
        _ if letter.is_control() && letter != '\t' => letter.escape_default().to_string(),
        _ => letter.to_string(),
    };
    text.chars().map(spell).collect()
}
