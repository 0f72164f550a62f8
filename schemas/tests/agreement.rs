//! What must hold for all records: neither the format nor the order of the fields changes the result,
//! and what is written is read back.
#![allow(clippy::unwrap_used)]

mod support;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use rust_decimal::Decimal;
use schemas::{
    Currency, NewOrderStatus, ORDER_STATUS_AVSC, OrderId, OrderStatus, OrderStatusPlan, Payload,
    Reason, SchemaId, Status, Timestamp, VOUCHER_AVSC, ValueFormat, Voucher, VoucherPlan,
};
use support::{Field, as_json, read, read_voucher};

const TIMES: [&str; 2] = ["2026-11-23T09:30:00Z", "2026-11-23T09:30:00.5+01:00"];
const NO_TIMES: [&str; 4] = ["1999-12-31T23:59:59Z", "2100-01-01T00:00:00Z", "soon", ""];

/// Mostly a valid text, so that some records of eight fields are valid.
fn text(
    name: &'static str,
    sound: &'static [&'static str],
    unsound: &'static [&'static str],
) -> BoxedStrategy<Field> {
    prop_oneof![
        24 => prop::sample::select(sound).prop_map(move |text| Field::text(name, text)),
        2 => prop::sample::select(unsound).prop_map(move |text| Field::text(name, text)),
        1 => Just(Field::null(name)),
        1 => Just(Field::boolean(name)),
        1 => any::<i64>().prop_map(move |value| Field::integer(name, value)),
    ]
    .boxed()
}

/// A decimal as a JSON number or string, and as Avro's decimal of the same value.
fn amount(name: &'static str) -> BoxedStrategy<Field> {
    let exact = (any::<i128>(), 0..127_u32, 0..35_u32, any::<bool>()).prop_map(
        move |(unscaled, shift, scale, quoted)| {
            let unscaled = unscaled >> shift;
            let number = format!("{unscaled}e-{scale}");
            let json = if quoted {
                format!("\"{number}\"")
            } else {
                number
            };
            let kind = format!(
                r#"{{"type":"bytes","logicalType":"decimal","precision":38,"scale":{scale}}}"#
            );
            Field::both(
                name,
                json,
                kind,
                Value::Decimal(unscaled.to_be_bytes().to_vec().into()),
            )
        },
    );
    prop_oneof![
        1 => exact,
        2 => text(name, &["100.00", "100", "1e2", "99.995"], &["-1", "1e400", "x", ""]),
    ]
    .boxed()
}

fn time(name: &'static str) -> BoxedStrategy<Field> {
    let millis = prop_oneof![
        Just(1_700_000_000_123),
        Just(0),
        Just(i64::MAX),
        946_684_799_000..946_684_801_000_i64
    ];
    let kind = r#"{"type":"long","logicalType":"timestamp-millis"}"#;
    prop_oneof![
        2 => text(name, &TIMES, &NO_TIMES),
        1 => millis.prop_map(move |value| Field::both(name, value.to_string(), kind, Value::TimestampMillis(value))),
    ]
    .boxed()
}

/// Fields in any number and order, each at most once, valid or not, some of them unknown.
fn some_of(fields: Vec<BoxedStrategy<Field>>) -> impl Strategy<Value = Vec<Field>> {
    let count = fields.len();
    (
        fields,
        prop::sample::subsequence((0..count).collect::<Vec<_>>(), count - 2..=count).prop_shuffle(),
    )
        .prop_map(|(fields, chosen)| chosen.into_iter().map(|at| fields[at].clone()).collect())
}

fn order_statuses() -> impl Strategy<Value = Vec<Field>> {
    some_of(vec![
        text("order_id", &["17"], &["18", "", "1\n"]),
        text("id", &["17"], &["18"]),
        text(
            "status",
            &["SENT", "sent", "Delivered", "PENDING", "CANCELLED"],
            &["LOST", ""],
        ),
        amount("total"),
        text("currency", &["EUR", "eur", "USD"], &["EURO", ""]),
        any::<i64>()
            .prop_map(|version| Field::integer("version", version))
            .boxed(),
        time("occurred_at"),
        time("sent_at"),
        text("note", &["x"], &["\"\\\n"]),
        text("Total", &["1"], &[""]),
    ])
}

fn vouchers() -> impl Strategy<Value = Vec<Field>> {
    some_of(vec![
        text("order_id", &["17"], &["18"]),
        text("campaign", &["order-reward"], &["Order"]),
        text("code", &["A527-R3XF-YDHK-X2AD", "\"é\\"], &[" x", ""]),
        amount("amount"),
        text("currency", &["EUR", "eur"], &["E"]),
        time("issued_at"),
        time("expires_at"),
        text("note", &["x"], &[""]),
    ])
}

const KEY: Option<&[u8]> = Some(b"17");

prop_compose! {
    fn instant()(micros in Timestamp::FIRST.as_micros()..Timestamp::END.as_micros()) -> Timestamp {
        Timestamp::from_micros(micros)
    }
}

prop_compose! {
    /// Amounts that our schemas hold.
    fn storable()(units in 1..10_u128.pow(24), drop in 0..24_u32, scale in 0..10_u32) -> Decimal {
        let units = (units / 10_u128.pow(drop)).max(1);
        let limit = 10_u128.pow(15 + scale);
        Decimal::from_i128_with_scale((units % limit).max(1) as i128, scale)
    }
}

prop_compose! {
    fn order_id()(id in "\\PC{1,20}") -> String {
        if id.chars().any(char::is_control) || id.len() > 128 { "17".to_owned() } else { id }
    }
}

fn currency() -> impl Strategy<Value = Currency> {
    "[A-Z]{3}".prop_map(|text| text.parse().unwrap())
}

fn body(value: &[u8]) -> &[u8] {
    match Payload::of(Some(value)) {
        Ok(Payload::Framed {
            schema_id: SchemaId::Id(77),
            body,
        }) => body,
        other => panic!("{other:?}"),
    }
}

/// Returns the fields and values that the library reads by the schema.
fn read_by_library(schema: &str, body: &[u8]) -> Vec<(String, Value)> {
    let schema = Schema::parse_str(schema).unwrap();
    let mut rest = body;
    let value = GenericDatumReader::builder(&schema)
        .build()
        .unwrap()
        .read_value(&mut rest)
        .unwrap();
    assert!(rest.is_empty());
    match value {
        Value::Record(fields) => fields,
        other => panic!("{other:?}"),
    }
}

fn library_decimal(value: Decimal) -> Value {
    let unscaled = schemas::decimal::to_unscaled(value, 9).unwrap();
    Value::Decimal(
        num_bigint::BigInt::from(unscaled)
            .to_signed_bytes_be()
            .into(),
    )
}

fn library_optional(value: Option<Value>) -> Value {
    match value {
        None => Value::Union(0, Box::new(Value::Null)),
        Some(value) => Value::Union(1, Box::new(value)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn an_order_status_has_one_result_in_both_formats_and_in_any_order(
        (fields, shuffled) in order_statuses().prop_flat_map(|fields| (Just(fields.clone()), Just(fields).prop_shuffle())),
    ) {
        // `read` compares the formats.
        let reason = |fields: &[Field]| read(KEY, fields).map_err(|error| (error.reason(), error.to_string()));
        prop_assert_eq!(reason(&fields), reason(&shuffled));
    }

    #[test]
    fn a_voucher_has_one_result_in_both_formats_and_in_any_order(
        (fields, shuffled) in vouchers().prop_flat_map(|fields| (Just(fields.clone()), Just(fields).prop_shuffle())),
    ) {
        let reason = |fields: &[Field]| read_voucher(KEY, fields).map_err(|error| (error.reason(), error.to_string()));
        prop_assert_eq!(reason(&fields), reason(&shuffled));
    }

    #[test]
    fn a_changed_byte_is_read_without_a_panic(
        fields in order_statuses(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut json = as_json(&fields).unwrap().into_bytes();
        for (at, byte) in changes {
            let at = at.index(json.len());
            json[at] = byte;
        }
        if let Err(malformed) = OrderStatus::read(KEY, &json, ValueFormat::Json, Currency::EUR) {
            prop_assert!(malformed.message().len() <= 1024);
            prop_assert!(!malformed.message().contains(char::is_control));
        }
        let _ = Voucher::read(KEY, &json, ValueFormat::Json);
    }

    #[test]
    fn a_written_order_status_is_read_back(
        (order_id, total, currency) in (order_id(), storable(), currency()),
        (status, version) in (prop::sample::select(&Status::ALL[..]), any::<i64>()),
        (occurred_at, sent_at) in (instant(), prop::option::of(instant())),
    ) {
        let written = NewOrderStatus {
            order_id: &order_id, status, total, currency, version, occurred_at, sent_at,
        };
        let expected = Ok(OrderStatus {
            order_id: OrderId::new(&order_id).unwrap(), status, total, currency, version: Some(version), occurred_at: Some(occurred_at), sent_at,
        });
        let key = Some(order_id.as_bytes());
        let other = if currency == Currency::EUR { "USD".parse().unwrap() } else { Currency::EUR };

        let mut json = Vec::new();
        written.write(ValueFormat::Json, &mut json).unwrap();
        prop_assert_eq!(&OrderStatus::read(key, &json, ValueFormat::Json, other), &expected);
        prop_assert!(serde_json::from_slice::<serde_json::Value>(&json).unwrap()["total"].is_string());

        let mut avro = Vec::new();
        written.write(ValueFormat::Avro(77), &mut avro).unwrap();
        let plan = OrderStatusPlan::compile(ORDER_STATUS_AVSC).unwrap();
        prop_assert_eq!(&OrderStatus::read(key, body(&avro), ValueFormat::Avro(&plan), other), &expected);

        let micros = |time: Timestamp| Value::TimestampMicros(time.as_micros());
        let fields = [
            ("order_id", Value::String(order_id.clone())),
            ("status", Value::String(status.to_string())),
            ("total", library_decimal(total)),
            ("currency", Value::String(currency.to_string())),
            ("version", library_optional(Some(Value::Long(version)))),
            ("occurred_at", library_optional(Some(micros(occurred_at)))),
            ("sent_at", library_optional(sent_at.map(micros))),
        ]
        .map(|(name, value)| (name.to_owned(), value));
        prop_assert_eq!(read_by_library(ORDER_STATUS_AVSC, body(&avro)), fields);
    }

    #[test]
    fn a_written_voucher_is_read_back(
        (order_id, amount, currency) in (order_id(), storable(), currency()),
        campaign in "[a-z0-9-]{1,64}",
        code in "[A-Zé\"\\\\][A-Z é\"\\\\-]{0,62}[A-Z]",
        (issued_at, expires_at) in (instant(), prop::option::of(instant())),
    ) {
        let written = Voucher {
            campaign: campaign.as_str().into(), order_id: order_id.as_str().into(), code: code.as_str().into(),
            amount, currency, issued_at, expires_at,
        };
        let key = Some(order_id.as_bytes());
        let mut json = Vec::new();
        written.write(ValueFormat::Json, &mut json).unwrap();
        prop_assert_eq!(&Voucher::read(key, &json, ValueFormat::Json).unwrap(), &written);

        let mut avro = Vec::new();
        written.write(ValueFormat::Avro(77), &mut avro).unwrap();
        let plan = VoucherPlan::compile(VOUCHER_AVSC).unwrap();
        prop_assert_eq!(&Voucher::read(key, body(&avro), ValueFormat::Avro(&plan)).unwrap(), &written);

        let micros = |time: Timestamp| Value::TimestampMicros(time.as_micros());
        let fields = [
            ("campaign", Value::String(campaign.clone())),
            ("order_id", Value::String(order_id.clone())),
            ("code", Value::String(code.clone())),
            ("amount", library_decimal(amount)),
            ("currency", Value::String(currency.to_string())),
            ("issued_at", micros(issued_at)),
            ("expires_at", library_optional(expires_at.map(micros))),
        ]
        .map(|(name, value)| (name.to_owned(), value));
        prop_assert_eq!(read_by_library(VOUCHER_AVSC, body(&avro)), fields);
    }
}

#[test]
fn the_generated_records_are_neither_all_refused_nor_all_valid() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut reasons = std::collections::HashMap::<Option<Reason>, usize>::new();
    for _ in 0..3000 {
        let fields = order_statuses().new_tree(&mut runner).unwrap().current();
        *reasons
            .entry(read(KEY, &fields).err().map(|error| error.reason()))
            .or_default() += 1;
    }
    assert!(reasons[&None] > 30, "{reasons:?}");
    assert!(reasons.len() > 10, "{reasons:?}");
}

#[test]
fn what_the_schema_cant_hold_exactly_is_not_written() {
    let order = |total: &str| NewOrderStatus {
        total: total.parse().unwrap(),
        ..NewOrderStatus::pending("17")
    };
    let mut out = vec![1];
    for total in ["0.0000000001", "-1", "1000000000000000"] {
        assert!(
            order(total).write(ValueFormat::Avro(77), &mut out).is_err(),
            "{total}"
        );
        assert_eq!(out, [1]);
    }
    order("999999999999999.999999999")
        .write(ValueFormat::Avro(77), &mut out)
        .unwrap();
}

#[test]
fn json_is_written_as_people_write_it() {
    let order = NewOrderStatus {
        status: Status::Sent,
        total: "100".parse().unwrap(),
        version: 2,
        occurred_at: "2026-11-23T09:30:00.123Z".parse().unwrap(),
        ..NewOrderStatus::pending("Größe \"17\"")
    };
    let mut json = Vec::new();
    order.write(ValueFormat::Json, &mut json).unwrap();
    assert_eq!(
        String::from_utf8(json).unwrap(),
        r#"{"order_id":"Größe \"17\"","status":"SENT","total":"100.00","currency":"EUR","version":2,"occurred_at":"2026-11-23T09:30:00.123Z","sent_at":null}"#
    );
}
