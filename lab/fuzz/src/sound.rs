//! Asserts what holds for every refusal, and for every text for a log or a terminal.

use schemas::Malformed;

/// Asserts that a refusal is a sentence of at most 1 KiB in one printable line.
pub(crate) fn refusal(malformed: &Malformed) {
    let message = malformed.message();
    assert!((1..=1024).contains(&message.len()), "{message:?}");
    one_line(message);
}

/// Asserts that a text is one printable line.
pub(crate) fn one_line(text: &str) {
    assert!(!text.contains(schemas::is_unprintable), "{text:?}");
}
