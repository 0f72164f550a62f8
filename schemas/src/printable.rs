//! Makes text from outside safe for a log line, a header or a terminal.

use std::borrow::Cow;
use std::fmt::Write;

/// Returns whether a character breaks a line, controls a terminal, or reorders what a person sees:
/// control characters, the line and paragraph separators, and the directions of Unicode's
/// bidirectional algorithm ("Trojan Source", CVE-2021-42574).
#[must_use]
pub fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
        )
}

/// Returns `text` as one line that a terminal shows unchanged. Unprintable characters are escaped as in
/// Rust, a line feed as `\\n`.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unprintable) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        push_printable(character, &mut shown);
    }
    shown.into()
}

/// Appends a character, escaped if it is unprintable.
pub(crate) fn push_printable(character: char, out: &mut String) {
    if is_unprintable(character) {
        // Writing to a string cannot fail.
        let _ = write!(out, "{}", character.escape_default());
    } else {
        out.push(character);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printable_stays_as_it_is() {
        for text in ["", "a b", "Größe 17 😀", "\\n", "\u{200b}", "\u{feff}"] {
            assert!(matches!(printable(text), Cow::Borrowed(same) if same == text));
        }
    }

    #[test]
    fn what_breaks_a_line_or_a_terminal_is_escaped() {
        assert_eq!(printable("17\r\nERROR"), "17\\r\\nERROR");
        assert_eq!(printable("\x1b[2J\0\t\u{9b}"), "\\u{1b}[2J\\u{0}\\t\\u{9b}");
        assert_eq!(printable("a\u{202e}b\u{2028}c"), "a\\u{202e}b\\u{2028}c");
    }
}
