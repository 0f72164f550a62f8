//! Compares decimals with big integers.

use num_bigint::{BigInt, BigUint, Sign};
use rust_decimal::Decimal;
use schemas::DecimalError;
use schemas::decimal::{as_money, from_unscaled, parse, to_unscaled};
use serde_json::value::RawValue;

use crate::script::Script;

/// Reads a number's text, or a scale and unscaled bytes: the first byte chooses.
pub(crate) fn decimal(input: &[u8]) {
    let mut script = Script::new(input);
    if script.below(2) == 0 {
        let rest = script.rest();
        if let Ok(text) = std::str::from_utf8(rest) {
            of_text(text);
        }
    } else {
        let scale = match script.below(4) {
            0 => u32::from_le_bytes([script.byte(), script.byte(), script.byte(), script.byte()]),
            _ => u32::from(script.byte()) % 64,
        };
        of_unscaled(script.rest(), scale);
    }
}

fn of_text(text: &str) {
    let read = parse(text);
    let expected = match parts(text) {
        None => Err(DecimalError::NotANumber),
        Some((coefficient, exponent)) => exact(&coefficient, exponent),
    };
    same(read, &expected, text);
}

fn of_unscaled(unscaled: &[u8], scale: u32) {
    let read = from_unscaled(unscaled, scale);
    let value = BigInt::from_signed_bytes_be(unscaled);
    let expected = match value.sign() {
        Sign::Plus if value.bits() > 512 => Err(DecimalError::TooPrecise),
        _ => exact(&value, -i64::from(scale)),
    };
    same(read, &expected, &format!("{value}e-{scale}"));
}

fn same(
    read: Result<Decimal, DecimalError>,
    expected: &Result<(BigUint, u32), DecimalError>,
    shown: &str,
) {
    match (read, expected) {
        (Ok(read), Ok((mantissa, scale))) => {
            assert_eq!(
                BigUint::from(read.mantissa().unsigned_abs()),
                *mantissa,
                "{shown}"
            );
            assert_eq!(read.scale(), *scale, "{shown}");
            written_again(read);
        }
        (Err(read), Err(expected)) => assert_eq!(read, *expected, "{shown}"),
        (read, expected) => panic!("{shown}: {read:?}, not {expected:?}"),
    }
}

/// Returns a JSON number by serde_json's grammar as coefficient and exponent.
fn parts(text: &str) -> Option<(BigInt, i64)> {
    let is_number = text.starts_with(|c: char| c == '-' || c.is_ascii_digit())
        && text.ends_with(|c: char| c.is_ascii_digit())
        && serde_json::from_str::<&RawValue>(text).is_ok();
    if !is_number {
        return None;
    }
    let (number, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let exponent: BigInt = exponent
        .strip_prefix('+')
        .unwrap_or(exponent)
        .parse()
        .ok()?;
    let (integer, fraction) = number.split_once('.').unwrap_or((number, ""));
    let coefficient = format!("{integer}{fraction}").parse().ok()?;
    let exponent = i64::try_from(exponent.clone()).unwrap_or(match exponent.sign() {
        Sign::Minus => i64::MIN / 2,
        _ => i64::MAX / 2,
    });
    Some((coefficient, exponent - fraction.len() as i64))
}

/// Returns the value's normal form as mantissa and scale, or the first bound that it breaks.
fn exact(coefficient: &BigInt, exponent: i64) -> Result<(BigUint, u32), DecimalError> {
    match coefficient.sign() {
        Sign::NoSign => return Ok((BigUint::ZERO, 0)),
        Sign::Minus => return Err(DecimalError::Negative),
        Sign::Plus => {}
    }
    let digits = coefficient.to_string();
    let significant = digits.trim_end_matches('0');
    let exponent = exponent.saturating_add((digits.len() - significant.len()) as i64);
    let magnitude = exponent.saturating_add(significant.len() as i64);
    if magnitude > 15 {
        return Err(DecimalError::TooLarge);
    }
    if significant.len() > 28 || exponent < -28 {
        return Err(DecimalError::TooPrecise);
    }
    let mantissa: BigUint = significant.parse().expect("digits");
    match u32::try_from(exponent) {
        Ok(zeros) => Ok((mantissa * BigUint::from(10_u8).pow(zeros), 0)),
        Err(_) => Ok((mantissa, exponent.unsigned_abs() as u32)),
    }
}

/// Asserts that the value is the same when it is written and read again, as money and as units.
fn written_again(value: Decimal) {
    let money = as_money(value);
    assert_eq!(money, value);
    assert_eq!(parse(&money.to_string()), Ok(value));
    if let Some(unscaled) = to_unscaled(value, 28) {
        assert_eq!(from_unscaled(&unscaled.to_be_bytes(), 28), Ok(value));
    }
    // With fewer decimals than it has it would be rounded.
    if let Some(fewer) = value.normalize().scale().checked_sub(1) {
        assert_eq!(to_unscaled(value, fewer), None);
    }
}
