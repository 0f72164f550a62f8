//! Totals: exact, of any scale, or refused.

use apache_avro::types::Value;
use schemas::Reason;

use crate::support::{Field, read, with, without};
use crate::{KEY, reason, reason_with, sent};

#[track_caller]
fn total(field: Field) -> String {
    read(KEY, &with(&sent(), field)).unwrap().total.to_string()
}

fn decimal(unscaled: i128, scale: u32) -> Field {
    let kind =
        format!(r#"{{"type":"bytes","logicalType":"decimal","precision":38,"scale":{scale}}}"#);
    Field::avro(
        "total",
        kind,
        Value::Decimal(unscaled.to_be_bytes().to_vec().into()),
    )
}

#[test]
fn a_number_and_a_string_total_are_the_same() {
    for text in ["100", "100.0", "100.000", "1e2", "1E+2", "10000e-2"] {
        assert_eq!(total(Field::json("total", text)), "100", "{text}");
        assert_eq!(total(Field::text("total", text)), "100", "{text}");
    }
    assert_eq!(total(Field::integer("total", 100)), "100");
    assert_eq!(
        total(Field::avro("total", "\"int\"", Value::Int(100))),
        "100"
    );
}

#[test]
fn a_total_is_exact_where_a_float_is_not() {
    for text in [
        "99.995",
        "0.1",
        "99.99999999999999999999",
        "100.00000000000000000001",
        "999999999999999.9999999999999",
    ] {
        assert_eq!(total(Field::json("total", text)), text);
        assert_eq!(total(Field::text("total", text)), text);
    }
    assert_eq!(total(decimal(99_995, 3)), "99.995");
}

#[test]
fn an_avro_decimal_has_the_writers_scale() {
    assert_eq!(total(decimal(100, 0)), "100");
    assert_eq!(total(decimal(10_000, 2)), "100");
    assert_eq!(total(decimal(10_000, 3)), "10");
    assert_eq!(total(decimal(100 * 10_i128.pow(30), 30)), "100");
    assert_eq!(total(decimal(0, 30)), "0");
    let fixed =
        r#"{"type":"fixed","name":"F","size":12,"logicalType":"decimal","precision":20,"scale":4}"#;
    let unscaled = 1_000_000_i128.to_be_bytes()[4..].to_vec();
    assert_eq!(
        total(Field::avro("total", fixed, Value::Decimal(unscaled.into()))),
        "100"
    );
    let optional = r#"["null",{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}]"#;
    let union = Value::Union(1, Box::new(Value::Decimal(vec![0x27, 0x10].into())));
    assert_eq!(total(Field::avro("total", optional, union)), "100");
}

#[test]
fn a_total_that_is_no_amount_is_refused() {
    use Reason::{InvalidTotal, TotalOutOfRange, TotalTooPrecise};
    let numbers = [
        ("-1", TotalOutOfRange),
        ("-0.01", TotalOutOfRange),
        ("1000000000000000", TotalOutOfRange),
        ("1e400", TotalOutOfRange),
        ("1234567890123456789012345678901234567890", TotalOutOfRange),
        ("1.000000000000000000000000000001", TotalTooPrecise),
        ("1e-30", TotalTooPrecise),
    ];
    for (text, expected) in numbers {
        assert_eq!(reason_with(Field::json("total", text)), expected, "{text}");
        assert_eq!(reason_with(Field::text("total", text)), expected, "{text}");
    }
    for text in [
        "", "abc", "100,00", " 100", "100 ", "+100", "0100", "1_000", "NaN", "€100", "0x64",
    ] {
        assert_eq!(
            reason_with(Field::text("total", text)),
            InvalidTotal,
            "{text}"
        );
    }
    for field in [
        Field::null("total"),
        Field::boolean("total"),
        Field::json("total", "[100]"),
        Field::json("total", "{}"),
        Field::avro("total", "\"double\"", Value::Double(100.0)),
        Field::avro("total", "\"float\"", Value::Float(100.0)),
        Field::avro("total", "\"bytes\"", Value::Bytes(vec![100])),
        Field::avro(
            "total",
            r#"{"type":"long","logicalType":"timestamp-millis"}"#,
            Value::TimestampMillis(100),
        ),
    ] {
        assert_eq!(reason_with(field.clone()), InvalidTotal, "{field:?}");
    }
    assert_eq!(reason(KEY, &without(&sent(), "total")), InvalidTotal);
    assert_eq!(reason_with(Field::integer("total", -1)), TotalOutOfRange);
    assert_eq!(
        reason_with(Field::integer("total", 10_i64.pow(15))),
        TotalOutOfRange
    );
    assert_eq!(reason_with(decimal(-1, 2)), TotalOutOfRange);
    assert_eq!(reason_with(decimal(10_i128.pow(17), 2)), TotalOutOfRange);
    assert_eq!(reason_with(decimal(1, 29)), TotalTooPrecise);
    assert_eq!(
        reason_with(decimal(10_i128.pow(30) + 1, 30)),
        TotalTooPrecise
    );
}
