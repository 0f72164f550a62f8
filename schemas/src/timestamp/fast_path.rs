//! The fast path: reads times as our writers and most others write them, eight bytes at a time.

use super::{MICROS_PER_SECOND, SECONDS_PER_DAY, Timestamp};
use crate::swar::HIGHS;

/// The form of eight bytes: a digit where it has a `0`, the same byte elsewhere.
struct Form {
    bytes: u64,
    /// A number for each byte. Added to the byte's difference (xor) from `bytes`, it sets the highest bit
    /// if the byte does not have the form: above 9 for a digit, above 0 elsewhere.
    carry: u64,
}

impl Form {
    const fn of(form: [u8; 8]) -> Self {
        let mut carry = [0; 8];
        let mut at = 0;
        while at < form.len() {
            carry[at] = 0x7f - if form[at] == b'0' { 9 } else { 0 };
            at += 1;
        }
        Self {
            bytes: u64::from_le_bytes(form),
            carry: u64::from_le_bytes(carry),
        }
    }

    /// Returns the digits' values, with zeros elsewhere, and a number that is zero if the bytes have the
    /// form.
    #[inline(always)]
    const fn digits(&self, word: u64) -> (u64, u64) {
        // A digit is the byte of `0` plus its value, which have no bit in common. Only a byte that does
        // not have the form carries into the next one.
        let digits = word ^ self.bytes;
        (digits, (digits | digits.wrapping_add(self.carry)) & HIGHS)
    }
}

const DATE: Form = Form::of(*b"0000-00-");
const HOUR: Form = Form::of(*b"00T00:00");
const SECOND: Form = Form::of(*b":00.000Z");

/// The last bytes of a time without a fraction become those of a fraction of zeros.
const NO_FRACTION: u64 = u64::from_le_bytes(*b"\0\0\0.000Z");

/// For each month, the days before it and the days that it has, in a year without a leap day.
const MONTHS: [(u16, u8); 12] = [
    (0, 31),
    (31, 28),
    (59, 31),
    (90, 30),
    (120, 31),
    (151, 30),
    (181, 31),
    (212, 31),
    (243, 30),
    (273, 31),
    (304, 30),
    (334, 31),
];

/// Reads `2026-11-23T09:30:00Z` and `2026-11-23T09:30:00.000Z` of the years 2000 to 2099. Returns `None`
/// for other forms and for texts that are not a time.
#[inline(always)]
pub(super) fn parse(text: &[u8]) -> Option<Timestamp> {
    let (date, rest) = text.split_first_chunk()?;
    let (hour, rest) = rest.split_first_chunk()?;
    let second = match *rest {
        [a, b, c, d, e, f, g, h] => u64::from_le_bytes([a, b, c, d, e, f, g, h]),
        [a, b, c, b'Z'] => u64::from_le_bytes([a, b, c, 0, 0, 0, 0, 0]) | NO_FRACTION,
        _ => return None,
    };
    let (date, not_date) = DATE.digits(u64::from_le_bytes(*date));
    let (hour, not_hour) = HOUR.digits(u64::from_le_bytes(*hour));
    let (second, not_second) = SECOND.digits(second);
    if not_date | not_hour | not_second != 0 {
        return None;
    }
    let millis = pair(second, 4) * 10 + i64::from((second >> 48) as u8);
    let (century, year, month) = (pair(date, 0), pair(date, 2), pair(date, 5));
    let (day, hour, minute) = (pair(hour, 0), pair(hour, 3), pair(hour, 6));
    let second = pair(second, 1);

    let (before, length) = *MONTHS.get((month - 1) as usize)?;
    let is_leap_year = year % 4 == 0;
    let length = i64::from(length) + i64::from(is_leap_year && month == 2);
    let in_calendar = century == 20 && day >= 1 && day <= length;
    // A leap second is left to the general path.
    if !in_calendar || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let leap_days = (year + 3) / 4 + i64::from(is_leap_year && month > 2);
    let days = year * 365 + leap_days + i64::from(before) + day - 1;
    let seconds = days * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second;
    let micros = seconds * MICROS_PER_SECOND + millis * 1000;
    Some(Timestamp(Timestamp::FIRST.0 + micros))
}

/// Returns the number of the two digits from byte `at` on.
#[inline(always)]
const fn pair(digits: u64, at: u32) -> i64 {
    // Each byte becomes ten times its digit plus the next digit, which is below 100.
    ((digits * 10 + (digits >> 8)) >> (8 * at)) as u8 as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = "2024-02-29T23:59:58.123Z";

    #[test]
    fn the_fast_path_reads_what_the_general_path_reads() {
        for year in 1999..=2101 {
            for month in 0..=13 {
                for day in 0..=32 {
                    let text = format!("{year}-{month:02}-{day:02}T23:59:58Z");
                    let expected = super::super::parse(text.as_bytes())
                        .filter(|_| (2000..2100).contains(&year));
                    assert_eq!(parse(text.as_bytes()), expected, "{text}");
                }
            }
        }
        for number in 0..100 {
            for text in [
                format!("2024-02-29T{number:02}:59:58.987Z"),
                format!("2024-02-29T23:{number:02}:58.012Z"),
                format!("2024-02-29T22:59:{number:02}.100Z"),
                format!("2024-02-29T23:59:58.{number:03}Z"),
            ] {
                let expected = super::super::parse(text.as_bytes());
                assert_eq!(parse(text.as_bytes()), expected, "{text}");
            }
        }
    }

    #[test]
    fn a_byte_of_another_form_at_any_place_is_left_to_the_general_path() {
        for text in [TIME, "2024-02-29T23:59:58Z"] {
            assert!(parse(text.as_bytes()).is_some());
            for at in 0..text.len() {
                for byte in 0..=u8::MAX {
                    let mut bytes = text.as_bytes().to_vec();
                    bytes[at] = byte;
                    let expected = super::super::parse(&bytes);
                    let found = parse(&bytes);
                    assert!(found.is_none() || found == expected, "{bytes:?}");
                    // Only digits change what is read.
                    let is_digit = byte.is_ascii_digit() && text.as_bytes()[at].is_ascii_digit();
                    assert!(found.is_none() || is_digit || bytes == text.as_bytes());
                }
            }
            for length in 0..text.len() {
                assert_eq!(parse(&text.as_bytes()[..length]), None);
            }
        }
        assert_eq!(parse(format!("{TIME}Z").as_bytes()), None);
    }
}
