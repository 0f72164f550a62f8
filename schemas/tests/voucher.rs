//! Every rule of a voucher, in both formats, and that its code stays secret.
#![allow(clippy::unwrap_used)]

mod support;

use apache_avro::types::Value;
use schemas::{Reason, ValueFormat, Voucher};
use support::{Field, as_json, read_voucher, with, without};

const KEY: Option<&[u8]> = Some(b"17");
const CODE: &str = "A527-R3XF-YDHK-X2AD";

fn voucher() -> Vec<Field> {
    vec![
        Field::text("campaign", "order-reward"),
        Field::text("order_id", "17"),
        Field::text("code", CODE),
        Field::text("amount", "5.00"),
        Field::text("currency", "EUR"),
        Field::text("issued_at", "2026-11-23T09:30:00Z"),
        Field::null("expires_at"),
    ]
}

#[track_caller]
fn reason_with(field: Field) -> Reason {
    reason(&with(&voucher(), field))
}

#[track_caller]
fn reason(fields: &[Field]) -> Reason {
    match read_voucher(KEY, fields) {
        Ok(voucher) => panic!("{voucher} was taken"),
        Err(malformed) => malformed.reason(),
    }
}

#[test]
fn a_valid_voucher_is_read() {
    let json = as_json(&voucher()).unwrap();
    let read = Voucher::read(KEY, json.as_bytes(), ValueFormat::Json).unwrap();
    assert_eq!(
        (&*read.campaign, &*read.order_id, &*read.code),
        ("order-reward", "17", CODE)
    );
    assert_eq!(read.amount, 5.into());
    assert_eq!(read.currency.as_str(), "EUR");
    assert_eq!(read.issued_at.to_string(), "2026-11-23T09:30:00Z");
    assert_eq!(read.expires_at, None);
    assert!(read_voucher(KEY, &voucher()).is_ok());
    assert!(read_voucher(KEY, &without(&voucher(), "expires_at")).is_ok());
    let expiring = with(&voucher(), Field::integer("expires_at", 1_800_000_000_000));
    assert!(
        read_voucher(KEY, &expiring)
            .unwrap()
            .contains("1800000000000000")
    );
}

#[test]
fn every_field_but_the_expiry_is_required() {
    for (name, expected) in [
        ("order_id", Reason::InvalidOrderId),
        ("campaign", Reason::InvalidCampaign),
        ("code", Reason::InvalidCode),
        ("amount", Reason::InvalidAmount),
        ("currency", Reason::InvalidCurrency),
        ("issued_at", Reason::InvalidTimestamp),
    ] {
        assert_eq!(reason(&without(&voucher(), name)), expected);
        assert_eq!(reason_with(Field::null(name)), expected);
        assert_eq!(reason_with(Field::boolean(name)), expected);
        let list = Field::avro(
            name,
            r#"{"type":"array","items":"int"}"#,
            Value::Array(vec![]),
        );
        assert_eq!(reason_with(list), expected);
    }
    assert_eq!(
        reason_with(Field::boolean("expires_at")),
        Reason::InvalidTimestamp
    );
}

#[test]
fn the_key_must_be_the_order_id_and_the_field_id_is_not_read() {
    let error = |key| read_voucher(key, &voucher()).unwrap_err().reason();
    assert_eq!(error(None), Reason::MissingKey);
    assert_eq!(error(Some(b"18")), Reason::KeyMismatch);
    for key in [&b"\"17\""[..], b"\0\0\0\0\x07\x0417", &17_i64.to_be_bytes()] {
        let fields = voucher();
        let read = read_voucher(Some(key), &fields).unwrap();
        assert!(read.contains("order_id: \"17\""), "{read}");
    }
    // The key may be what should be the code.
    let message = read_voucher(Some(b"\"SECRET\""), &voucher())
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("in quotes") && !message.contains("SECRET"),
        "{message}"
    );
    let mut fields = without(&voucher(), "order_id");
    fields.push(Field::text("id", "17"));
    assert_eq!(reason(&fields), Reason::InvalidOrderId);
}

#[test]
fn a_code_is_1_to_64_printable_characters() {
    for code in ["x", "k3f9a", "Ä-ö 7", &"é".repeat(64), "\"\\"] {
        assert!(
            read_voucher(KEY, &with(&voucher(), Field::text("code", code))).is_ok(),
            "{code}"
        );
    }
    for code in [
        "",
        " ",
        " x",
        "x ",
        "x\ty",
        "x\ny",
        "x\u{2028}y",
        "\u{a0}x",
        "\u{0}",
        &"é".repeat(65),
    ] {
        assert_eq!(
            reason_with(Field::text("code", code)),
            Reason::InvalidCode,
            "{code:?}"
        );
    }
    assert_eq!(
        reason_with(Field::integer("code", 12345)),
        Reason::InvalidCode
    );
}

#[test]
fn an_amount_is_above_zero_and_exact() {
    for amount in ["0", "-5", "1e15", "1e-30", "five", ""] {
        assert_eq!(
            reason_with(Field::text("amount", amount)),
            Reason::InvalidAmount,
            "{amount}"
        );
    }
    assert_eq!(
        reason_with(Field::avro("amount", "\"double\"", Value::Double(5.0))),
        Reason::InvalidAmount
    );
    assert!(read_voucher(KEY, &with(&voucher(), Field::integer("amount", 5))).is_ok());
}

#[test]
fn times_are_in_range() {
    for name in ["issued_at", "expires_at"] {
        assert_eq!(
            reason_with(Field::text(name, "1999-12-31T23:59:59Z")),
            Reason::TimestampOutOfRange
        );
        assert_eq!(
            reason_with(Field::text(name, "tomorrow")),
            Reason::InvalidTimestamp
        );
    }
}

#[test]
fn a_campaign_is_its_name() {
    for campaign in ["", "Order", "a b", &"a".repeat(65)] {
        assert_eq!(
            reason_with(Field::text("campaign", campaign)),
            Reason::InvalidCampaign
        );
    }
}

#[test]
fn no_message_shows_the_code_whatever_is_wrong_and_whichever_field_has_it() {
    let names = [
        "campaign",
        "order_id",
        "code",
        "amount",
        "currency",
        "issued_at",
        "expires_at",
    ];
    let mut records = Vec::new();
    for broken in names {
        for secret_in in names {
            // The broken field is there twice as itself, and once holds the code.
            let fields = with(&voucher(), Field::text(secret_in, &format!("{CODE}\n")));
            records.push(fields.clone());
            records.push(without(&fields, broken));
            records.push(with(&fields, Field::boolean(broken)));
        }
    }
    let mut refused = 0;
    for fields in records {
        if let Err(malformed) = read_voucher(KEY, &fields) {
            refused += 1;
            assert!(
                !format!("{malformed} {malformed:?}").contains("A527"),
                "{malformed}"
            );
        }
    }
    assert!(refused > 100);
    let json = as_json(&voucher()).unwrap();
    for end in 0..json.len() {
        for tail in ["", "\u{1}", "}", "]", "\\x"] {
            if let Err(malformed) = Voucher::read(
                KEY,
                format!("{}{tail}", &json[..end]).as_bytes(),
                ValueFormat::Json,
            ) {
                assert!(!malformed.message().contains("A527"), "{malformed}");
            }
        }
    }
}

#[test]
fn debug_masks_the_code() {
    let json = as_json(&voucher()).unwrap();
    let shown = format!(
        "{:#?}",
        Voucher::read(KEY, json.as_bytes(), ValueFormat::Json).unwrap()
    );
    assert!(
        !shown.contains("A527") && shown.contains("order-reward"),
        "{shown}"
    );
}
