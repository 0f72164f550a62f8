//! One record's verdict: every rule of an order status, in both formats.
#![allow(clippy::unwrap_used)]

mod support;

use apache_avro::types::Value;
use schemas::{Currency, OrderStatus, Reason, Status, Timestamp};
use support::{Field, as_json, local, read, with, without};

const KEY: Option<&[u8]> = Some(b"17");

/// A record of which nothing is missing that has to be there.
fn sent() -> Vec<Field> {
    vec![
        Field::text("order_id", "17"),
        Field::text("status", "SENT"),
        Field::text("total", "100.00"),
    ]
}

#[track_caller]
fn reason(key: Option<&[u8]>, fields: &[Field]) -> Reason {
    match read(key, fields) {
        Ok(order) => panic!("{order:?} was taken"),
        Err(malformed) => malformed.reason(),
    }
}

/// The reason, if `field` is put into a record that is sound otherwise.
#[track_caller]
fn reason_with(field: Field) -> Reason {
    reason(KEY, &with(&sent(), field))
}

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

fn micros(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn the_smallest_record_is_an_id_a_status_and_a_total() {
    let order = read(KEY, &sent()).unwrap();
    let expected = OrderStatus {
        order_id: "17",
        status: Status::Sent,
        total: 100.into(),
        currency: local(),
        version: None,
        occurred_at: None,
        sent_at: None,
    };
    assert_eq!(order, expected);
    for field in sent() {
        assert!(read(KEY, &without(&sent(), field.name)).is_err());
    }
}

#[test]
fn an_id_is_a_string_or_an_integers_digits_under_its_new_or_its_old_name() {
    for name in ["order_id", "id"] {
        let id = |field: Field, key: &'static str| {
            let mut fields = without(&sent(), "order_id");
            fields.push(field);
            read(Some(key.as_bytes()), &fields).unwrap().order_id
        };
        assert_eq!(id(Field::text(name, "17"), "17"), "17");
        assert_eq!(id(Field::integer(name, 17), "17"), "17");
        assert_eq!(id(Field::integer(name, -17), "-17"), "-17");
        assert_eq!(
            id(Field::integer(name, i64::MIN), "-9223372036854775808"),
            "-9223372036854775808"
        );
        assert_eq!(id(Field::avro(name, "\"int\"", Value::Int(17)), "17"), "17");
        assert_eq!(id(Field::json(name, "-0"), "0"), "0");
        assert_eq!(id(Field::text(name, "-0"), "-0"), "-0");
        let beyond_64_bits = "123456789012345678901234567890";
        assert_eq!(
            id(Field::json(name, beyond_64_bits), beyond_64_bits),
            beyond_64_bits
        );
        assert_eq!(id(Field::json(name, r#""\u0031\u0037""#), "17"), "17");
        assert_eq!(
            id(Field::text(name, "Größe 17 😀"), "Größe 17 😀"),
            "Größe 17 😀"
        );
    }
}

#[test]
fn two_ids_must_agree_and_a_null_is_none() {
    let both = |first: Field, second: Field| with(&with(&sent(), first), second);
    for fields in [
        both(Field::text("order_id", "17"), Field::integer("id", 17)),
        both(Field::integer("order_id", 17), Field::text("id", "17")),
        both(Field::null("order_id"), Field::integer("id", 17)),
        both(Field::text("order_id", "17"), Field::null("id")),
    ] {
        assert_eq!(read(KEY, &fields).unwrap().order_id, "17");
    }
    let differing = both(Field::text("order_id", "17"), Field::integer("id", 18));
    assert_eq!(reason(KEY, &differing), Reason::ConflictingOrderIds);
    assert_eq!(reason(Some(b"18"), &differing), Reason::ConflictingOrderIds);
    let neither = both(Field::null("order_id"), Field::null("id"));
    assert_eq!(reason(KEY, &neither), Reason::InvalidOrderId);
    let wrong_type = both(Field::text("order_id", "17"), Field::boolean("id"));
    assert_eq!(reason(KEY, &wrong_type), Reason::InvalidOrderId);
}

#[test]
fn what_may_not_be_an_order_id_is_refused() {
    let too_long = "1".repeat(129);
    for name in ["order_id", "id"] {
        let fields = [
            Field::text(name, ""),
            Field::text(name, "1\n7"),
            Field::text(name, "17\u{7f}"),
            Field::text(name, "\u{85}"),
            Field::text(name, &too_long),
            Field::json(name, too_long.as_str()),
            Field::boolean(name),
            Field::json(name, "17.0"),
            Field::json(name, "1e2"),
            Field::json(name, "[17]"),
            Field::json(name, "{}"),
            Field::avro(name, "\"double\"", Value::Double(17.0)),
            Field::avro(name, "\"bytes\"", Value::Bytes(b"17".to_vec())),
            Field::avro(
                name,
                r#"{"type":"int","logicalType":"date"}"#,
                Value::Date(17),
            ),
        ];
        for field in fields {
            let mut fields = without(&sent(), "order_id");
            fields.push(field);
            assert_eq!(reason(KEY, &fields), Reason::InvalidOrderId, "{fields:?}");
        }
    }
}

#[test]
fn the_key_must_be_the_same_bytes() {
    assert_eq!(reason(None, &sent()), Reason::MissingKey);
    for key in ["", "18", "17 ", "017", "17\0", "１７"] {
        assert_eq!(
            reason(Some(key.as_bytes()), &sent()),
            Reason::KeyMismatch,
            "{key}"
        );
    }
    assert_eq!(reason(Some(b"17\xff"), &sent()), Reason::KeyMismatch);
    assert_eq!(reason(Some(b"\"17\""), &sent()), Reason::KeyMismatch);
    // The same letters, composed in another way, are other bytes.
    let composed = with(&sent(), Field::text("order_id", "\u{e9}"));
    assert_eq!(
        reason(Some("e\u{301}".as_bytes()), &composed),
        Reason::KeyMismatch
    );
}

#[test]
fn a_status_is_one_of_four_words_in_any_case() {
    for status in Status::ALL {
        let upper = status.as_str();
        let mixed: String = upper
            .chars()
            .enumerate()
            .map(|(at, c)| {
                if at % 2 == 0 {
                    c.to_ascii_lowercase()
                } else {
                    c
                }
            })
            .collect();
        for text in [upper, &upper.to_lowercase(), &mixed] {
            assert_eq!(
                read(KEY, &with(&sent(), Field::text("status", text)))
                    .unwrap()
                    .status,
                status
            );
        }
    }
    let symbols = r#"{"type":"enum","name":"S","symbols":["Pending","sent"]}"#;
    let symbol = Field::avro("status", symbols, Value::Enum(1, "sent".to_owned()));
    assert_eq!(
        read(KEY, &with(&sent(), symbol)).unwrap().status,
        Status::Sent
    );

    for text in [
        "",
        "SEND",
        " SENT",
        "SENT ",
        "ſent",
        "SENT\0",
        "PENDING,SENT",
    ] {
        assert_eq!(
            reason_with(Field::text("status", text)),
            Reason::UnknownStatus,
            "{text}"
        );
    }
    let no_text = [
        Field::null("status"),
        Field::boolean("status"),
        Field::integer("status", 1),
    ];
    for field in no_text {
        assert_eq!(reason_with(field), Reason::InvalidStatus);
    }
    assert_eq!(
        reason(KEY, &without(&sent(), "status")),
        Reason::InvalidStatus
    );
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

#[test]
fn a_currency_is_three_letters_of_any_case_or_the_default() {
    let currency = |field| read(KEY, &with(&sent(), field)).unwrap().currency;
    assert_eq!(currency(Field::text("currency", "EUR")), Currency::EUR);
    assert_eq!(currency(Field::text("currency", "eUr")), Currency::EUR);
    assert_eq!(currency(Field::null("currency")), local());
    for text in ["", "EU", "EURO", "€", "E R", "EU1"] {
        assert_eq!(
            reason_with(Field::text("currency", text)),
            Reason::InvalidCurrency
        );
    }
    assert_eq!(
        reason_with(Field::boolean("currency")),
        Reason::InvalidCurrency
    );
    assert_eq!(
        reason_with(Field::integer("currency", 978)),
        Reason::InvalidCurrency
    );
}

#[test]
fn a_version_is_an_integer_of_64_bits_or_missing() {
    let version = |field| read(KEY, &with(&sent(), field)).unwrap().version;
    assert_eq!(version(Field::null("version")), None);
    for value in [0, -1, i64::MIN, i64::MAX] {
        assert_eq!(version(Field::integer("version", value)), Some(value));
    }
    assert_eq!(version(Field::json("version", "-0")), Some(0));
    for field in [
        Field::text("version", "3"),
        Field::boolean("version"),
        Field::json("version", "3.0"),
        Field::json("version", "1e2"),
        Field::json("version", "9223372036854775808"),
        Field::json("version", "-9223372036854775809"),
        Field::avro("version", "\"double\"", Value::Double(3.0)),
    ] {
        assert_eq!(reason_with(field), Reason::InvalidVersion);
    }
}

#[test]
fn a_time_is_rfc_3339_or_milliseconds_or_an_avro_timestamp() {
    let expected = Some(micros("2023-11-14T22:13:20.123Z"));
    let millis = 1_700_000_000_123;
    for name in ["occurred_at", "sent_at"] {
        for field in [
            Field::text(name, "2023-11-14T23:13:20.123+01:00"),
            Field::integer(name, millis),
            Field::avro(
                name,
                r#"{"type":"long","logicalType":"timestamp-millis"}"#,
                Value::TimestampMillis(millis),
            ),
            Field::avro(
                name,
                r#"{"type":"long","logicalType":"timestamp-micros"}"#,
                Value::TimestampMicros(millis * 1000),
            ),
        ] {
            let order = read(KEY, &with(&sent(), field)).unwrap();
            let (read, other) = match name {
                "sent_at" => (order.sent_at, order.occurred_at),
                _ => (order.occurred_at, order.sent_at),
            };
            assert_eq!((read, other), (expected, None));
        }
        assert_eq!(
            read(KEY, &with(&sent(), Field::null(name))),
            read(KEY, &sent())
        );
    }
}

#[test]
fn a_time_that_cant_be_read_or_is_out_of_range_is_refused_whatever_the_status() {
    for status in Status::ALL {
        for name in ["occurred_at", "sent_at"] {
            let record = with(&sent(), Field::text("status", status.as_str()));
            let reason_with = |field: Field| reason(KEY, &with(&record, field));
            for field in [
                Field::text(name, ""),
                Field::text(name, "2023-11-14T22:13:20"),
                Field::text(name, "1700000000123"),
                Field::boolean(name),
                Field::json(name, "1.5e12"),
                Field::json(name, "1700000000123.0"),
                Field::avro(
                    name,
                    r#"{"type":"long","logicalType":"local-timestamp-millis"}"#,
                    Value::LocalTimestampMillis(1_700_000_000_123),
                ),
                Field::avro(
                    name,
                    r#"{"type":"int","logicalType":"date"}"#,
                    Value::Date(19_000),
                ),
                Field::avro(name, "\"double\"", Value::Double(1.7e12)),
            ] {
                assert_eq!(
                    reason_with(field.clone()),
                    Reason::InvalidTimestamp,
                    "{field:?}"
                );
            }
            for field in [
                Field::text(name, "1999-12-31T23:59:59.999999Z"),
                Field::text(name, "2100-01-01T00:00:00Z"),
                Field::integer(name, 0),
                Field::integer(name, 1_700_000_000),
                Field::integer(name, i64::MAX),
                Field::json(name, "99999999999999999999999"),
                Field::json(name, "-99999999999999999999999"),
                Field::avro(
                    name,
                    r#"{"type":"long","logicalType":"timestamp-micros"}"#,
                    Value::TimestampMicros(1_700_000_000_123),
                ),
            ] {
                assert_eq!(
                    reason_with(field.clone()),
                    Reason::TimestampOutOfRange,
                    "{field:?}"
                );
            }
        }
    }
}

#[test]
fn a_sent_order_is_earned_at_the_best_time_that_its_record_has() {
    let [sent_at, occurred_at, recorded_at] = [
        "2026-01-01T00:00:00Z",
        "2026-01-02T00:00:00Z",
        "2026-01-03T00:00:00Z",
    ]
    .map(micros);
    for status in Status::ALL {
        for (has_sent_at, has_occurred_at) in
            [(true, true), (true, false), (false, true), (false, false)]
        {
            let order = OrderStatus {
                status,
                sent_at: has_sent_at.then_some(sent_at),
                occurred_at: has_occurred_at.then_some(occurred_at),
                ..read(KEY, &sent()).unwrap()
            };
            let is_sent = status == Status::Sent;
            let expected = match (has_sent_at, has_occurred_at) {
                (true, _) => Some(sent_at),
                (false, true) if is_sent => Some(occurred_at),
                (false, false) if is_sent => Some(recorded_at),
                _ => None,
            };
            assert_eq!(order.earned_at(Some(recorded_at)), Ok(expected));
            let reason = |time| order.earned_at(time).map_err(|error| error.reason());
            if is_sent && expected == Some(recorded_at) {
                assert_eq!(reason(None), Err(Reason::MissingTimestamp));
                assert_eq!(
                    reason(Some(Timestamp::END)),
                    Err(Reason::TimestampOutOfRange)
                );
                assert_eq!(
                    reason(Some(Timestamp::from_millis(-1))),
                    Err(Reason::TimestampOutOfRange)
                );
            } else {
                assert_eq!(reason(None), Ok(expected));
                assert_eq!(reason(Some(Timestamp::END)), Ok(expected));
            }
        }
    }
}

#[test]
fn what_is_no_object_is_refused() {
    let reason = |json: &[u8]| {
        OrderStatus::from_json(KEY, json, local())
            .unwrap_err()
            .reason()
    };
    assert_eq!(reason(b"null"), Reason::NotAnObject);
    assert_eq!(reason(b"[{\"order_id\":\"17\"}]"), Reason::NotAnObject);
    assert_eq!(reason(b"\"SENT\""), Reason::NotAnObject);
    assert_eq!(reason(b""), Reason::EmptyValue);
    assert_eq!(reason(b"17"), Reason::NotAnObject);
    assert_eq!(reason(b"{"), Reason::InvalidJson);
    assert_eq!(reason(b"{}"), Reason::InvalidOrderId);
}

#[test]
fn a_repeated_field_that_is_read_is_refused_even_with_the_same_value() {
    for field in [
        "order_id",
        "id",
        "status",
        "total",
        "currency",
        "version",
        "occurred_at",
        "sent_at",
    ] {
        let json = format!("{{\"{field}\":null,\"{field}\":null}}");
        let error = OrderStatus::from_json(KEY, json.as_bytes(), local()).unwrap_err();
        assert_eq!(error.reason(), Reason::RepeatedField);
        assert!(error.message().contains(field));
    }
    let mut json = as_json(&sent()).unwrap();
    json.insert_str(1, r#""note":1,"note":[{"id":3}],"#);
    assert!(OrderStatus::from_json(KEY, json.as_bytes(), local()).is_ok());
}

#[test]
fn a_message_says_where_and_what_was_found() {
    let message = |field| read(KEY, &with(&sent(), field)).unwrap_err().to_string();
    assert_eq!(
        message(Field::json("total", "-5")),
        "total: expected a number that is not negative, found \"-5\""
    );
    assert_eq!(
        message(Field::text("status", "SHIPPED\n")),
        "status: expected one of PENDING, SENT, DELIVERED and CANCELLED, found \"SHIPPED\\n\""
    );
    assert_eq!(
        message(Field::boolean("currency")),
        "currency: expected three letters such as EUR, found a boolean"
    );
    let long = message(Field::text("status", &"x\u{0}".repeat(100_000)));
    assert!(long.len() <= 1024 && long.ends_with("...\""), "{long}");
}
