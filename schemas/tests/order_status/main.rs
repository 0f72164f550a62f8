//! Every rule of an order status, in both formats.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;
mod times;
mod totals;
mod wrapped;

use apache_avro::types::Value;
use schemas::{Currency, OrderId, OrderStatus, Reason, RecordType, Status, ValueFormat};
use support::{Field, as_json, local, read, with, without};

const KEY: Option<&[u8]> = Some(b"17");

/// A record with the required fields.
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

/// Returns the reason why a record with `field`, which is valid otherwise, is refused.
#[track_caller]
fn reason_with(field: Field) -> Reason {
    reason(KEY, &with(&sent(), field))
}

#[test]
fn the_smallest_record_is_an_id_a_status_and_a_total() {
    let order = read(KEY, &sent()).unwrap();
    let expected = OrderStatus {
        order_id: OrderId::new("17").unwrap(),
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
            read(Some(key.as_bytes()), &fields)
                .unwrap()
                .order_id
                .as_str()
                .to_owned()
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
        assert_eq!(read(KEY, &fields).unwrap().order_id.as_str(), "17");
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
fn the_key_must_say_the_same_id() {
    assert_eq!(reason(None, &sent()), Reason::MissingKey);
    for key in ["", "18", "17 ", "017", "17\0", "１７"] {
        assert_eq!(
            reason(Some(key.as_bytes()), &sent()),
            Reason::KeyMismatch,
            "{key}"
        );
    }
    assert_eq!(reason(Some(b"17\xff"), &sent()), Reason::KeyMismatch);
    // The same letters, composed in another way, are other bytes.
    let composed = with(&sent(), Field::text("order_id", "\u{e9}"));
    assert_eq!(
        reason(Some("e\u{301}".as_bytes()), &composed),
        Reason::KeyMismatch
    );
}

/// Whatever the form of the id in the value.
#[test]
fn a_key_in_another_form_names_the_same_order() {
    let ids = [
        Field::text("order_id", "1700"),
        Field::integer("order_id", 1700),
        Field::json("order_id", r#""\u0031700""#),
    ];
    for id in ids {
        let fields = with(&sent(), id);
        let keys: [&[u8]; 8] = [
            b"1700",
            b"\"1700\"",
            b"\0\0\0\0\x07\x081700",
            b"\0\0\0\0\x07\"1700\"",
            b"\0\0\0\0\x07\xc8\x1a",
            b"\x081700",
            &1700_i32.to_be_bytes(),
            &1700_i64.to_be_bytes(),
        ];
        for key in keys {
            let order = read(Some(key), &fields).unwrap();
            assert_eq!(order.order_id.as_str(), "1700", "{key:?}");
            let mut other = key.to_vec();
            *other.last_mut().unwrap() ^= 1;
            let error = read(Some(&other), &fields).unwrap_err();
            assert_eq!(error.reason(), Reason::KeyMismatch, "{key:?}");
        }
    }
}

#[test]
fn a_mismatch_shows_the_keys_form_and_bytes() {
    let error = read(Some(b"\"18\""), &sent()).unwrap_err();
    let expected = "order_id: expected the id that the record's key says, found \"17\"; the key is \
                    a JSON string, in quotes, \"18\" (0x22313822); write the order id without quotes";
    assert!(error.message().starts_with(expected), "{error}");
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
fn what_is_no_object_is_refused() {
    let reason = |json: &[u8]| {
        OrderStatus::read(KEY, json, ValueFormat::Json, local())
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
    for field in OrderStatus::FIELDS {
        let json = format!("{{\"{field}\":null,\"{field}\":null}}");
        let error =
            OrderStatus::read(KEY, json.as_bytes(), ValueFormat::Json, local()).unwrap_err();
        assert_eq!(error.reason(), Reason::RepeatedField);
        assert!(error.message().contains(field));
    }
    let mut json = as_json(&sent()).unwrap();
    json.insert_str(1, r#""note":1,"note":[{"id":3}],"#);
    assert!(OrderStatus::read(KEY, json.as_bytes(), ValueFormat::Json, local()).is_ok());
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
