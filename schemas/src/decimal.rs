//! Amounts of money, exact: from text, from Avro's unscaled bytes, and back.
//!
//! Every number is brought into one normal form before the bounds are checked:
//! `coefficient * 10^exponent`, with a coefficient that does not end in zero. So `100`, `"100.000"`,
//! `1e2` and a `decimal(38,30)` of 100 are the same, however they are written.

use rust_decimal::Decimal;

use crate::swar;

/// The maximum number of significant digits, and of decimals. A [`Decimal`] can hold every such number.
const MAX_DIGITS: usize = 28;

/// The maximum number of digits before the decimal point: amounts are below 10^15.
const MAX_INTEGER_DIGITS: i64 = 15;

/// Numbers of this many digits fit into 64 bits. Nearly every amount has fewer.
const SHORT_DIGITS: usize = 19;

/// The powers of ten that fit into 64 bits.
const POWERS_OF_TEN: [u64; SHORT_DIGITS + 1] = {
    let mut powers = [1; SHORT_DIGITS + 1];
    let mut at = 1;
    while at < powers.len() {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

/// The maximum number of bytes of an unscaled value without leading zeros. They hold 155 digits.
const MAX_UNSCALED_BYTES: usize = 64;

/// Why a number is not a valid amount. All bounds apply to the exact value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum DecimalError {
    /// The text is not a JSON number.
    #[error("a decimal number such as 100.00 (no spaces, no plus sign, no leading zeros)")]
    NotANumber,
    /// Below zero (minus zero is zero).
    #[error("a number that is not negative")]
    Negative,
    /// 10^15 or more.
    #[error("a number below 10^15")]
    TooLarge,
    /// It would fit only if it were rounded.
    #[error("a number of at most 28 significant digits and 28 decimals")]
    TooPrecise,
}

/// Reads the grammar of a JSON number (RFC 8259, section 6), to its last byte.
///
/// The result is exact and normalised: `"100.00"` gives `100`.
///
/// # Errors
/// Another grammar; below zero; 10^15 or more; more than 28 significant digits or decimals.
pub fn parse(text: &str) -> Result<Decimal, DecimalError> {
    parse_bytes(text.as_bytes())
}

/// Reads the bytes of a text as [`parse`] does.
#[inline(always)]
pub(crate) fn parse_bytes(text: &[u8]) -> Result<Decimal, DecimalError> {
    match parse_plain(text) {
        Some((coefficient, decimals)) => assemble_short(coefficient, decimals),
        None => parse_any(text),
    }
}

/// The fast path for `123` and `123.45`, as nearly every amount is written. Returns the digits as one
/// integer, and how many of them are decimals, or `None` for [`parse_any`] to decide.
#[inline(always)]
fn parse_plain(text: &[u8]) -> Option<(u64, u32)> {
    if text.len() > SHORT_DIGITS || matches!(text, [b'0', b'0'..=b'9', ..]) {
        return None;
    }
    let (mut coefficient, mut point) = (0, None);
    for (at, byte) in text.iter().enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit <= 9 {
            coefficient = coefficient * 10 + u64::from(digit);
        } else if *byte == b'.' && at > 0 && point.is_none() {
            point = Some(at);
        } else {
            return None;
        }
    }
    let decimals = point.map_or(0, |point| text.len() - point - 1);
    let is_whole = !text.is_empty() && (point.is_none() || decimals > 0);
    is_whole.then_some((coefficient, decimals as u32))
}

/// The general path of [`parse_bytes`].
#[inline(never)]
fn parse_any(text: &[u8]) -> Result<Decimal, DecimalError> {
    let (number, rest) = Number::split(text).ok_or(DecimalError::NotANumber)?;
    if !rest.is_empty() {
        return Err(DecimalError::NotANumber);
    }
    number.value()
}

/// Reads Avro's decimal `unscaled * 10^-scale`. `unscaled` is a big-endian integer in two's complement
/// of any length; an empty one is zero.
///
/// # Errors
/// As [`parse`]; an unscaled value beyond 64 bytes is too precise, whatever its scale.
#[inline(always)]
pub fn from_unscaled(unscaled: &[u8], scale: u32) -> Result<Decimal, DecimalError> {
    if unscaled.first().is_some_and(|byte| byte & 0x80 != 0) {
        return Err(DecimalError::Negative);
    }
    match swar::big_endian(unscaled) {
        Some(coefficient) => assemble_short(coefficient, scale),
        None => from_long_unscaled(unscaled, scale),
    }
}

/// The general path of [`from_unscaled`].
#[inline(never)]
fn from_long_unscaled(unscaled: &[u8], scale: u32) -> Result<Decimal, DecimalError> {
    let zeros = unscaled.iter().take_while(|byte| **byte == 0).count();
    let significant = &unscaled[zeros..];
    if significant.len() > MAX_UNSCALED_BYTES {
        return Err(DecimalError::TooPrecise);
    }
    let mut digits = [0; MAX_UNSCALED_BYTES * 5 / 2];
    let digits = decimal_digits(significant, &mut digits);
    Number {
        negative: false,
        integer: digits,
        fraction: &[],
        exponent: -i64::from(scale),
    }
    .value()
}

/// Returns the value as an integer of units of `10^-scale`, `None` if that would round or overflow.
#[must_use]
pub fn to_unscaled(value: Decimal, scale: u32) -> Option<i128> {
    let value = value.normalize();
    let zeros = scale.checked_sub(value.scale())?;
    value.mantissa().checked_mul(10_i128.checked_pow(zeros)?)
}

/// Returns [`to_unscaled`] of an amount within the bounds that readers check.
pub(crate) fn storable(value: Decimal, scale: u32) -> Result<i128, DecimalError> {
    if value.is_sign_negative() && !value.is_zero() {
        return Err(DecimalError::Negative);
    }
    if value >= Decimal::from(10_u64.pow(MAX_INTEGER_DIGITS as u32)) {
        return Err(DecimalError::TooLarge);
    }
    to_unscaled(value, scale).ok_or(DecimalError::TooPrecise)
}

/// Calls `take` with the fewest bytes, at least one, that hold `unscaled` as a big-endian integer in
/// two's complement, as [`from_unscaled`] reads it.
pub(crate) fn minimal_bytes<R>(unscaled: i128, take: impl FnOnce(&[u8]) -> R) -> R {
    let bits = 129
        - if unscaled < 0 {
            unscaled.leading_ones()
        } else {
            unscaled.leading_zeros()
        };
    let length = bits.div_ceil(8) as usize;
    take(&unscaled.to_be_bytes()[size_of::<i128>() - length..])
}

/// Returns the number as people write money: with at least two decimals, and more if it has more.
#[must_use]
pub fn as_money(value: Decimal) -> Decimal {
    let mut value = value.normalize();
    if value.scale() < 2 {
        // Adds zeros only; a value too large to take them stays as it is.
        value.rescale(2);
    }
    value
}

/// The parts of a number's text. The digits are ASCII.
struct Number<'a> {
    negative: bool,
    integer: &'a [u8],
    fraction: &'a [u8],
    /// Saturates: an exponent beyond `i64` is out of every range anyway.
    exponent: i64,
}

impl<'a> Number<'a> {
    /// Splits `text` after the longest number at its start.
    fn split(text: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (negative, rest) = match text {
            [b'-', rest @ ..] => (true, rest),
            _ => (false, text),
        };
        let (integer, mut rest) = split_digits(rest)?;
        if integer.len() > 1 && integer[0] == b'0' {
            return None;
        }
        let mut fraction: &[u8] = &[];
        if let [b'.', after @ ..] = rest {
            (fraction, rest) = split_digits(after)?;
        }
        let mut exponent = 0;
        if let [b'e' | b'E', after @ ..] = rest {
            let (sign, after) = match after {
                [b'-', after @ ..] => (-1, after),
                [b'+', after @ ..] => (1, after),
                _ => (1, after),
            };
            let digits;
            (digits, rest) = split_digits(after)?;
            exponent = digits.iter().fold(0_i64, |value, digit| {
                value
                    .saturating_mul(10)
                    .saturating_add(sign * i64::from(digit - b'0'))
            });
        }
        Some((
            Self {
                negative,
                integer,
                fraction,
                exponent,
            },
            rest,
        ))
    }

    /// Returns the exact value, if it is within the bounds.
    fn value(&self) -> Result<Decimal, DecimalError> {
        let exponent = self.exponent.saturating_sub(self.fraction.len() as i64);
        let digits = self.integer.iter().chain(self.fraction);
        // The coefficient without zeros at its ends: zeros are appended only when another digit follows.
        let mut coefficient: u128 = 0;
        let mut significant = 0;
        let mut zeros = 0;
        for digit in digits {
            if *digit == b'0' {
                zeros += usize::from(significant > 0);
                continue;
            }
            significant += zeros + 1;
            if significant <= MAX_DIGITS {
                // At most 28 digits: far below the 38 of the type.
                coefficient *= 10_u128.pow(zeros as u32 + 1);
                coefficient += u128::from(digit - b'0');
            }
            zeros = 0;
        }
        let exponent = exponent.saturating_add(zeros as i64);
        assemble(coefficient, significant, exponent, self.negative)
    }
}

/// Returns the value `coefficient * 10^-scale` for a coefficient of 64 bits.
#[inline(always)]
fn assemble_short(coefficient: u64, scale: u32) -> Result<Decimal, DecimalError> {
    if coefficient == 0 {
        return Ok(Decimal::ZERO);
    }
    // 10^15 in units of the scale is in the table, or larger than every coefficient.
    let too_large = POWERS_OF_TEN
        .get(MAX_INTEGER_DIGITS as usize + scale as usize)
        .is_some_and(|end| coefficient >= *end);
    if too_large {
        return Err(DecimalError::TooLarge);
    }
    let (coefficient, scale) = without_trailing_zeros(coefficient, scale);
    if scale > MAX_DIGITS as u32 {
        return Err(DecimalError::TooPrecise);
    }
    let (low, middle) = (coefficient as u32, (coefficient >> 32) as u32);
    Ok(Decimal::from_parts(low, middle, 0, false, scale))
}

/// Returns the value `coefficient * 10^exponent`. The coefficient has `digits` digits, 0 for zero, and
/// does not end in zero. With more than 28 digits it is not used.
fn assemble(
    coefficient: u128,
    digits: usize,
    exponent: i64,
    negative: bool,
) -> Result<Decimal, DecimalError> {
    if digits == 0 {
        return Ok(Decimal::ZERO);
    }
    if negative {
        return Err(DecimalError::Negative);
    }
    if exponent.saturating_add(digits as i64) > MAX_INTEGER_DIGITS {
        return Err(DecimalError::TooLarge);
    }
    if digits > MAX_DIGITS || exponent < -(MAX_DIGITS as i64) {
        return Err(DecimalError::TooPrecise);
    }
    // The checks above bound the product by 10^15, the coefficient by 10^28 and the scale by 28.
    let (mantissa, scale) = match u32::try_from(exponent) {
        Ok(zeros) => (coefficient * u128::from(10_u64.pow(zeros)), 0),
        Err(_) => (coefficient, exponent.unsigned_abs() as u32),
    };
    let (low, middle, high) = (
        mantissa as u32,
        (mantissa >> 32) as u32,
        (mantissa >> 64) as u32,
    );
    Ok(Decimal::from_parts(low, middle, high, false, scale))
}

fn split_digits(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (length > 0).then(|| text.split_at(length))
}

/// Removes trailing zeros from the decimals.
#[inline(always)]
fn without_trailing_zeros(mut coefficient: u64, mut scale: u32) -> (u64, u32) {
    // A number of 64 bits ends in at most 19 zeros, so each step but the first is taken at most once.
    while scale >= 8 && coefficient.is_multiple_of(100_000_000) {
        coefficient /= 100_000_000;
        scale -= 8;
    }
    for (step, power) in [(4, 10_000), (2, 100), (1, 10)] {
        if scale >= step && coefficient.is_multiple_of(power) {
            coefficient /= power;
            scale -= step;
        }
    }
    (coefficient, scale)
}

/// Writes the ASCII digits of a big-endian unsigned integer of at most [`MAX_UNSCALED_BYTES`] bytes to
/// the end of `digits`, and returns them.
fn decimal_digits<'d>(bytes: &[u8], digits: &'d mut [u8]) -> &'d [u8] {
    let mut limbs = [0_u8; MAX_UNSCALED_BYTES];
    let limbs = &mut limbs[..bytes.len()];
    limbs.copy_from_slice(bytes);
    let mut start = digits.len();
    while limbs.iter().any(|limb| *limb != 0) {
        let mut remainder: u16 = 0;
        for limb in limbs.iter_mut() {
            let value = (remainder << 8) | u16::from(*limb);
            *limb = (value / 10) as u8;
            remainder = value % 10;
        }
        start -= 1;
        digits[start] = b'0' + remainder as u8;
    }
    &digits[start..]
}

#[cfg(test)]
mod tests;
