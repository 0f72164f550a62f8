//! Counts and amounts of money in sentences, as the page writes them: `1,004 records`, `4,550.00 EUR`.

/// Returns a count with a comma between thousands: `1,004`.
pub(crate) fn number(count: u64) -> String {
    grouped(&count.to_string())
}

/// Returns a count with its noun: `1 record`, `1,004 records`.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", number(count))
}

/// Returns a text with a comma between the thousands of its amounts: the commands write `4550.00 EUR`. An
/// amount is a number with at least two decimals, so the text must have no other one.
pub(crate) fn amounts(text: &str) -> String {
    const DECIMALS: usize = 2;
    let mut written = String::with_capacity(text.len() + text.len() / 3);
    let mut rest = text;
    while let Some(start) = rest.find(|character: char| character.is_ascii_digit()) {
        let (before, number) = rest.split_at(start);
        let (whole, after) = number.split_at(leading_digits(number));
        let decimals = after.strip_prefix('.').map_or(0, leading_digits);
        written.push_str(before);
        match decimals >= DECIMALS {
            true => written.push_str(&grouped(whole)),
            false => written.push_str(whole),
        }
        rest = after;
    }
    written + rest
}

fn leading_digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

fn grouped(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_apart() {
        for (count, text) in [
            (0, "0"),
            (999, "999"),
            (1004, "1,004"),
            (12_345_678, "12,345,678"),
            (u64::MAX, "18,446,744,073,709,551,615"),
        ] {
            assert_eq!(number(count), text);
        }
        assert_eq!(counted(1, "record"), "1 record");
        assert_eq!(counted(1004, "record"), "1,004 records");
    }

    #[test]
    fn amounts_are_written_as_the_page_writes_them_and_other_numbers_stay() {
        for (text, expected) in [
            ("4550.00", "4,550.00"),
            ("1234567.125 EUR", "1,234,567.125 EUR"),
            ("150.00 EUR", "150.00 EUR"),
            (
                "sent at 2026-05-01T00:00:00.123456Z, total 4550.00 EUR is at least 1000.00",
                "sent at 2026-05-01T00:00:00.123456Z, total 4,550.00 EUR is at least 1,000.00",
            ),
            ("status is 12345.", "status is 12345."),
            ("", ""),
        ] {
            assert_eq!(amounts(text), expected);
        }
    }
}
