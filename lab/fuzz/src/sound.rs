//! What every refusal, and every text for a person's log or terminal, must be.

use schemas::Malformed;

/// A sentence of at most 1 KiB, one line, nothing that a terminal would act on.
pub(crate) fn refusal(malformed: &Malformed) {
    let message = malformed.message();
    assert!((1..=1024).contains(&message.len()), "{message:?}");
    one_line(message);
}

/// One line that a terminal shows as it is.
pub(crate) fn one_line(text: &str) {
    assert!(!text.contains(schemas::is_unprintable), "{text:?}");
}
