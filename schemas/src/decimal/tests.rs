use num_bigint::BigInt;
use proptest::prelude::*;

use super::*;

/// Computes the expected value of a generated number with big integers, within the bounds of the contract.
fn oracle(unscaled: &BigInt, exponent: i64) -> Result<String, DecimalError> {
    let ten = BigInt::from(10);
    let (mut unscaled, mut exponent) = (unscaled.clone(), exponent);
    if unscaled == BigInt::ZERO {
        return Ok("0".to_owned());
    }
    if unscaled < BigInt::ZERO {
        return Err(DecimalError::Negative);
    }
    while &unscaled % &ten == BigInt::ZERO {
        unscaled /= &ten;
        exponent += 1;
    }
    let digits = unscaled.to_string().len();
    // At least 10^15: compared as integers, both sides multiplied by 10^-exponent.
    let is_large = match u32::try_from(exponent) {
        Ok(zeros) => zeros > 15 || &unscaled * ten.pow(zeros) >= ten.pow(15),
        Err(_) => unscaled >= ten.pow(15 + exponent.unsigned_abs() as u32),
    };
    if is_large {
        return Err(DecimalError::TooLarge);
    }
    if digits > 28 || exponent < -28 {
        return Err(DecimalError::TooPrecise);
    }
    let scale = exponent.min(0).unsigned_abs() as usize;
    let integer = if exponent > 0 {
        unscaled * ten.pow(exponent as u32)
    } else {
        unscaled
    };
    let text = format!("{:0>width$}", integer.to_string(), width = scale + 1);
    let (whole, fraction) = text.split_at(text.len() - scale);
    Ok(if scale == 0 {
        whole.to_owned()
    } else {
        format!("{whole}.{fraction}")
    })
}

fn shown(result: Result<Decimal, DecimalError>) -> Result<String, DecimalError> {
    result.map(|value| value.to_string())
}

#[test]
fn ways_to_write_a_number_are_the_same_number() {
    for text in [
        "100",
        "100.0",
        "100.00",
        "1e2",
        "1E+2",
        "0.1e3",
        "1000000e-4",
        "100.0000e0000",
    ] {
        assert_eq!(shown(parse(text)), Ok("100".to_owned()), "{text}");
    }
    let zeros = format!("100.{}", "0".repeat(5000));
    assert_eq!(parse(&zeros), Ok(Decimal::ONE_HUNDRED));
    for text in [
        "0",
        "-0",
        "0.00",
        "-0.0",
        "0e400",
        "0e-400",
        "-0e99999999999999999999",
    ] {
        assert_eq!(shown(parse(text)), Ok("0".to_owned()), "{text}");
    }
    for text in [
        "99.995",
        "999999999999999.9999999999999",
        "0.0000000000000000000000000001",
    ] {
        assert_eq!(shown(parse(text)), Ok(text.to_owned()));
    }
}

#[test]
fn what_is_no_json_number_is_no_number() {
    for text in [
        "", "-", "+1", " 1", "1 ", "01", "-01", "00", ".5", "5.", "1.e2", "1e", "1e+", "1e2.5",
        "0x10", "1_000", "1,5", "NaN", "Infinity", "--1", "1-", "１", "null", "1e2e3",
    ] {
        assert_eq!(parse(text), Err(DecimalError::NotANumber), "{text:?}");
    }
}

#[test]
fn bounds_are_of_the_exact_value() {
    use DecimalError::{Negative, TooLarge, TooPrecise};
    let table = [
        ("-1", Negative),
        ("-1e-400", Negative),
        ("-1e400", Negative),
        ("1e15", TooLarge),
        ("1000000000000000", TooLarge),
        ("1000000000000000.00000000000000000000000001", TooLarge),
        ("1e400", TooLarge),
        ("1e9223372036854775807", TooLarge),
        ("1e99999999999999999999999", TooLarge),
        ("1234567890123456789012345678901234567890", TooLarge),
        ("1e-29", TooPrecise),
        ("1e-30", TooPrecise),
        ("1e-99999999999999999999999", TooPrecise),
        ("0.00000000000000000000000000001", TooPrecise),
        ("12345678901234.567890123456789", TooPrecise),
    ];
    for (text, error) in table {
        assert_eq!(parse(text), Err(error), "{text}");
    }
    assert!(parse("12345678901234.56789012345678").is_ok());
    assert!(parse("999999999999999").is_ok());
}

#[test]
fn an_unscaled_value_of_any_length_and_scale_is_the_same_number() {
    let hundred = |zeros: u32| BigInt::from(10).pow(zeros + 2).to_signed_bytes_be();
    for scale in [0, 2, 9, 16, 17, 28, 30, 38, 100, 150] {
        let mut bytes = hundred(scale);
        assert_eq!(
            shown(from_unscaled(&bytes, scale)),
            Ok("100".to_owned()),
            "{scale}"
        );
        bytes.splice(0..0, [0; 200]);
        assert_eq!(
            shown(from_unscaled(&bytes, scale)),
            Ok("100".to_owned()),
            "{scale}"
        );
    }
    for bytes in [&[] as &[u8], &[0], &[0; 300]] {
        assert_eq!(from_unscaled(bytes, 38), Ok(Decimal::ZERO));
        assert_eq!(from_unscaled(bytes, u32::MAX), Ok(Decimal::ZERO));
    }
    assert_eq!(from_unscaled(&[0xff], 2), Err(DecimalError::Negative));
    assert_eq!(
        from_unscaled(&[0x7f; 65], 10_000),
        Err(DecimalError::TooPrecise)
    );
    assert_eq!(from_unscaled(&[1], u32::MAX), Err(DecimalError::TooPrecise));
}

#[test]
fn unscaling_is_exact_or_refused() {
    let decimal = |text| parse(text).unwrap();
    assert_eq!(to_unscaled(decimal("100"), 2), Some(10_000));
    assert_eq!(to_unscaled(Decimal::new(100_000, 3), 2), Some(10_000));
    assert_eq!(to_unscaled(decimal("99.995"), 2), None);
    assert_eq!(to_unscaled(Decimal::new(-5, 1), 1), Some(-5));
    assert_eq!(to_unscaled(decimal("1"), 38), Some(10_i128.pow(38)));
    assert_eq!(to_unscaled(decimal("2"), 38), None);
    assert_eq!(to_unscaled(decimal("1"), 39), None);
    assert_eq!(
        storable(Decimal::new(1, 10), 9),
        Err(DecimalError::TooPrecise)
    );
    assert_eq!(
        storable(Decimal::new(-1, 2), 9),
        Err(DecimalError::Negative)
    );
    assert_eq!(
        storable(Decimal::new(10_i64.pow(15), 0), 9),
        Err(DecimalError::TooLarge)
    );
    assert_eq!(storable(-Decimal::ZERO, 9), Ok(0));
}

#[test]
fn money_has_two_decimals_or_as_many_as_it_needs() {
    for (text, money) in [
        ("0", "0.00"),
        ("100", "100.00"),
        ("5.5", "5.50"),
        ("99.995", "99.995"),
    ] {
        assert_eq!(as_money(parse(text).unwrap()).to_string(), money);
    }
    assert_eq!(as_money(Decimal::new(5_000_000, 6)).to_string(), "5.00");
    assert_eq!(
        as_money(parse("999999999999999").unwrap()).to_string(),
        "999999999999999.00"
    );
}

prop_compose! {
    /// A coefficient of up to 60 digits, often with zeros at its end.
    fn coefficient()(digits in "[0-9]{1,45}", zeros in 0..15_usize, negative in prop::bool::weighted(0.1)) -> BigInt {
        let text = format!("{}{digits}{}", if negative { "-" } else { "" }, "0".repeat(zeros));
        text.parse().unwrap()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_text_has_the_value_that_big_integers_give_it(
        coefficient in coefficient(),
        decimals in 0..50_usize,
        exponent in -60..60_i64,
        has_exponent: bool,
    ) {
        let digits = coefficient.magnitude().to_string();
        let digits = format!("{digits:0>width$}", width = decimals + 1);
        let (whole, fraction) = digits.split_at(digits.len() - decimals);
        let mut text = if coefficient < BigInt::ZERO { "-".to_owned() } else { String::new() };
        text += whole;
        if decimals > 0 {
            text += ".";
            text += fraction;
        }
        let exponent = if has_exponent { exponent } else { 0 };
        if has_exponent {
            text += &format!("e{exponent}");
        }
        prop_assert_eq!(shown(parse(&text)), oracle(&coefficient, exponent - decimals as i64));
    }

    #[test]
    fn unscaled_bytes_have_the_value_that_big_integers_give_them(
        coefficient in coefficient(),
        scale in 0..70_u32,
        padding in 0..20_usize,
    ) {
        let mut bytes = coefficient.to_signed_bytes_be();
        let sign = if coefficient < BigInt::ZERO { 0xff } else { 0 };
        bytes.splice(0..0, vec![sign; padding]);
        prop_assert_eq!(shown(from_unscaled(&bytes, scale)), oracle(&coefficient, -i64::from(scale)));
    }

    #[test]
    fn any_bytes_have_the_value_that_big_integers_give_them(
        bytes in prop::collection::vec(any::<u8>(), 1..64),
        scale in 0..160_u32,
    ) {
        let value = BigInt::from_signed_bytes_be(&bytes);
        prop_assert_eq!(shown(from_unscaled(&bytes, scale)), oracle(&value, -i64::from(scale)));
    }

    #[test]
    fn written_bytes_are_the_fewest_and_are_read_back(unscaled: i128, shift in 0..127_u32) {
        let unscaled = unscaled >> shift;
        let expected = BigInt::from(unscaled).to_signed_bytes_be();
        minimal_bytes(unscaled, |bytes| assert_eq!(bytes, expected));
    }

    #[test]
    fn any_text_is_judged_without_a_panic(text in "[-+0-9.eE]{0,12}|.*") {
        let _ = parse(&text);
    }
}
