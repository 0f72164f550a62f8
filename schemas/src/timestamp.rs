//! Points in time, to the microsecond, in UTC.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};

mod fast_path;

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// 0000-01-01T00:00:00Z, the first second whose year has four digits, in seconds since the epoch.
const FIRST_SECOND: i64 = -62_167_219_200;

/// 10000-01-01T00:00:00Z, the end of the years that have four digits.
const END_SECOND: i64 = 253_402_300_800;

/// Microseconds since the Unix epoch, leap seconds not counted.
///
/// Holds any time. [`is_in_range`](Self::is_in_range) returns whether a record may carry it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(i64);

/// The text is no RFC 3339 date and time with a zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a time is written as in RFC 3339, with a zone, such as 2026-11-23T09:30:00Z")]
pub struct InvalidTimestamp;

impl Timestamp {
    /// 2000-01-01T00:00:00Z, the first time that a record may carry.
    pub const FIRST: Self = Self(946_684_800 * MICROS_PER_SECOND);

    /// 2100-01-01T00:00:00Z, the end of the times that a record may carry.
    pub const END: Self = Self(4_102_444_800 * MICROS_PER_SECOND);

    /// Takes milliseconds since the epoch. Saturates, far out of range.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis.saturating_mul(1000))
    }

    /// Takes microseconds since the epoch.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Returns microseconds since the epoch.
    #[must_use]
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// Returns milliseconds since the epoch, Kafka's unit, rounded down.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Returns whether the time is within the years 2000 to 2099.
    #[must_use]
    pub const fn is_in_range(self) -> bool {
        Self::FIRST.0 <= self.0 && self.0 < Self::END.0
    }

    /// Reads an RFC 3339 date and time with a zone.
    ///
    /// Takes lower case `t` and `z`, and a space for the `T` (RFC 3339, section 5.6). Cuts digits beyond
    /// microseconds. A leap second, second 60 of 23:59 UTC, is read as the second after it.
    ///
    /// # Errors
    /// For any other form, and for a day that the month does not have.
    pub fn parse_rfc3339(text: &str) -> Result<Self, InvalidTimestamp> {
        Self::parse(text.as_bytes()).ok_or(InvalidTimestamp)
    }

    /// Reads the bytes of a text as [`parse_rfc3339`](Self::parse_rfc3339) does.
    #[inline(always)]
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        fast_path::parse(text).or_else(|| parse(text))
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        Self::parse_rfc3339(text)
    }
}

/// Shows RFC 3339 in UTC with `Z`. The fraction has three or six digits; it is left out if it is zero.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.div_euclid(MICROS_PER_SECOND);
        let micros = self.0.rem_euclid(MICROS_PER_SECOND);
        let (year, month, day) = civil_from_days(seconds.div_euclid(SECONDS_PER_DAY));
        let second = seconds.rem_euclid(SECONDS_PER_DAY);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
        )?;
        match micros {
            0 => f.write_str("Z"),
            _ if micros % 1000 == 0 => write!(f, ".{:03}Z", micros / 1000),
            _ => write!(f, ".{micros:06}Z"),
        }
    }
}

/// Rounds down to a microsecond.
impl From<DateTime<Utc>> for Timestamp {
    fn from(time: DateTime<Utc>) -> Self {
        Self(time.timestamp_micros())
    }
}

/// Clamps to the years that `chrono` knows, about 262,000 before and after the epoch.
impl From<Timestamp> for DateTime<Utc> {
    fn from(time: Timestamp) -> Self {
        let limit = if time.0 < 0 {
            DateTime::<Utc>::MIN_UTC
        } else {
            DateTime::<Utc>::MAX_UTC
        };
        DateTime::from_timestamp_micros(time.0).unwrap_or(limit)
    }
}

/// The general path of [`Timestamp::parse`].
#[cold]
#[inline(never)]
fn parse(text: &[u8]) -> Option<Timestamp> {
    let [
        y1,
        y2,
        y3,
        y4,
        b'-',
        m1,
        m2,
        b'-',
        d1,
        d2,
        b'T' | b't' | b' ',
        clock @ ..,
    ] = text
    else {
        return None;
    };
    let year = number([*y1, *y2, *y3, *y4])?;
    let month = number([*m1, *m2])?;
    let day = number([*d1, *d2])?;
    let [h1, h2, b':', m1, m2, b':', s1, s2, rest @ ..] = clock else {
        return None;
    };
    let hour = number([*h1, *h2])?;
    let minute = number([*m1, *m2])?;
    let second = number([*s1, *s2])?;
    let (micros, zone) = split_fraction(rest)?;
    let offset = offset_minutes(zone)?;

    let in_calendar = (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day);
    if !in_calendar || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let minutes = days_from_civil(year, month, day) * 1440 + hour * 60 + minute - offset;
    let is_leap_second = second == 60;
    if is_leap_second && minutes.rem_euclid(1440) != 1439 {
        return None;
    }
    let micros = if is_leap_second { 0 } else { micros };
    let seconds = minutes * 60 + second;
    // An offset can move the time out of the years with four digits. `parse` must be able to read what
    // `Display` writes.
    (FIRST_SECOND..END_SECOND)
        .contains(&seconds)
        .then_some(Timestamp(seconds * MICROS_PER_SECOND + micros))
}

/// Returns the value of ASCII digits.
fn number<const N: usize>(digits: [u8; N]) -> Option<i64> {
    // Reads all digits before it checks them: one branch for the number instead of one for each digit.
    let (mut value, mut all_digits) = (0, true);
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        all_digits &= digit <= 9;
        value = value * 10 + i64::from(digit);
    }
    all_digits.then_some(value)
}

/// Reads an optional fraction of a second as microseconds. Returns what follows it too.
fn split_fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let [b'.', text @ ..] = text else {
        return Some((0, text));
    };
    let mut micros = 0;
    let mut unit = MICROS_PER_SECOND;
    let mut length = 0;
    while let Some(digit @ b'0'..=b'9') = text.get(length) {
        // Below a microsecond the unit is 0.
        unit /= 10;
        micros += unit * i64::from(digit - b'0');
        length += 1;
    }
    (length > 0).then_some((micros, &text[length..]))
}

/// Returns the zone's offset from UTC in minutes, positive to the east.
fn offset_minutes(zone: &[u8]) -> Option<i64> {
    let (sign, [h1, h2, b':', m1, m2]) = (match zone {
        [b'Z' | b'z'] => return Some(0),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    }) else {
        return None;
    };
    let (hours, minutes) = (number([*h1, *h2])?, number([*m1, *m2])?);
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 60 + minutes))
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Returns the days since the epoch of a date in the proleptic Gregorian calendar.
///
/// Counts in eras of 400 years that start on 1 March, so that the leap day comes last.
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Returns year, month and day, the inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests;
