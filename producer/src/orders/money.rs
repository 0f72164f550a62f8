//! Amounts as clients write them: JSON numbers or strings, exact, at most two decimals.

use rust_decimal::Decimal;
use schemas::{DecimalError, decimal};
use serde_json::value::RawValue;

/// Why a JSON value is not an amount of money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMoney {
    /// Neither a number nor a string.
    #[error("must be a number or a string, such as 100.00 or \"100.00\"")]
    WrongType,
    /// Not a decimal number within the bounds.
    #[error("must be {0}")]
    Decimal(#[from] DecimalError),
    /// It has more than two decimals.
    #[error("must have at most two decimals; it is not rounded")]
    Fraction,
}

/// Returns the amount that a JSON value holds. `100`, `"100.000"` and `1e2` are the same amount. It
/// never passes through a float.
///
/// # Errors
/// See [`InvalidMoney`].
pub fn money(value: &RawValue) -> Result<Decimal, InvalidMoney> {
    let text = value.get();
    let amount = match text.as_bytes().first() {
        Some(b'-' | b'0'..=b'9') => decimal::parse(text)?,
        Some(b'"') => {
            let text: String = serde_json::from_str(text).map_err(|_| DecimalError::NotANumber)?;
            decimal::parse(&text)?
        }
        _ => return Err(InvalidMoney::WrongType),
    };
    // Normalised: the scale of the value, not that of its notation.
    if amount.normalize().scale() > 2 {
        return Err(InvalidMoney::Fraction);
    }
    Ok(amount)
}

/// Returns an amount as text with two decimals, as answers contain it.
pub fn money_text(amount: Decimal) -> String {
    let mut amount = amount;
    // Only adds zeros: amounts have at most two decimals.
    amount.rescale(2);
    amount.to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(json: &str) -> Result<String, InvalidMoney> {
        let value = RawValue::from_string(json.to_owned()).unwrap();
        money(&value).map(money_text)
    }

    #[test]
    fn the_notation_of_an_amount_makes_no_difference() {
        for json in ["100", "100.0", "1e2", "\"100\"", "\"100.000\"", "1000E-1"] {
            assert_eq!(of(json).as_deref(), Ok("100.00"), "{json}");
        }
        assert_eq!(of("0").as_deref(), Ok("0.00"));
        assert_eq!(of("-0.00").as_deref(), Ok("0.00"));
        assert_eq!(
            of("999999999999999.99").as_deref(),
            Ok("999999999999999.99")
        );
        assert_eq!(of("99.99").as_deref(), Ok("99.99"), "not 99.9899999");
    }

    #[test]
    fn nothing_is_rounded_and_nothing_is_guessed() {
        for json in ["99.995", "\"99.995\"", "1e-3", "0.001"] {
            assert_eq!(of(json), Err(InvalidMoney::Fraction), "{json}");
        }
        for json in ["null", "true", "[1]", "{\"a\":1}"] {
            assert_eq!(of(json), Err(InvalidMoney::WrongType), "{json}");
        }
        for json in [
            "-1",
            "1e400",
            "1e15",
            "1e999999999999999999999",
            "\"\"",
            "\" 1\"",
            "\"NaN\"",
            "\"1,00\"",
            "\"\\ud800\"",
            "1234567890123456789012345678901234567890",
        ] {
            assert!(
                matches!(of(json), Err(InvalidMoney::Decimal(_))),
                "{json}: {:?}",
                of(json)
            );
        }
    }

    proptest! {
        #[test]
        fn every_amount_of_cents_is_read_exactly(cents in 0_u64..100_000_000_000_000_000) {
            let text = format!("{}.{:02}", cents / 100, cents % 100);
            prop_assert_eq!(of(&text), Ok(text.clone()));
            prop_assert_eq!(of(&format!("\"{text}\"")), Ok(text));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,40}") {
            let _ = of(&serde_json::to_string(&text).unwrap());
        }
    }
}
