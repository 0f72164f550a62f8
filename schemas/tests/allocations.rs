//! Reading a record that is well formed, as nearly all are, allocates nothing.
#![allow(clippy::unwrap_used)]

mod support;

use std::hint::black_box;

use allocation_counter::measure;
use apache_avro::types::Value;
use schemas::{
    Currency, NewOrderStatus, ORDER_STATUS_AVSC, OrderStatus, OrderStatusPlan, Payload, Timestamp,
    ValueFormat,
};
use support::{Field, as_avro};

const KEY: Option<&[u8]> = Some(b"17");

#[track_caller]
fn allocates_nothing(mut read: impl FnMut()) {
    let counted = measure(&mut read);
    assert_eq!(counted.count_total, 0, "{counted:?}");
}

fn pending() -> NewOrderStatus<'static> {
    NewOrderStatus {
        total: "99.995".parse().unwrap(),
        occurred_at: Timestamp::from_millis(1_700_000_000_123),
        sent_at: Some(Timestamp::FIRST),
        ..NewOrderStatus::pending("17")
    }
}

#[test]
fn json_without_escapes_is_read_without_an_allocation() {
    let mut json = Vec::new();
    pending().write(ValueFormat::Json, &mut json).unwrap();
    let old = br#"{"id": -17, "status": "sent", "total": 1.5e2, "note": ["\u00e9", {"x": null}], "sent_at": 1700000000123}"#;
    allocates_nothing(|| {
        black_box(OrderStatus::read(
            KEY,
            black_box(&json),
            ValueFormat::Json,
            Currency::EUR,
        ))
        .unwrap();
        black_box(OrderStatus::read(
            Some(b"-17"),
            black_box(old),
            ValueFormat::Json,
            Currency::EUR,
        ))
        .unwrap();
    });
}

#[test]
fn avro_is_read_without_an_allocation() {
    let plan = OrderStatusPlan::compile(ORDER_STATUS_AVSC).unwrap();
    let mut value = Vec::new();
    pending().write(ValueFormat::Avro(7), &mut value).unwrap();
    let Ok(Payload::Framed { body, .. }) = Payload::of(Some(&value)) else {
        panic!("the value is framed Avro");
    };
    let symbols = r#"{"type":"enum","name":"S","symbols":["SENT"]}"#;
    let (other_schema, other_body) = as_avro(&[
        Field::integer("id", i64::MIN),
        Field::avro("status", symbols, Value::Enum(0, "SENT".to_owned())),
        Field::text("total", "1e2"),
        Field::avro(
            "x",
            r#"{"type":"array","items":"string"}"#,
            Value::Array(vec!["é".into(); 9]),
        ),
    ])
    .unwrap();
    let other_plan = OrderStatusPlan::compile(&other_schema).unwrap();
    let other_key = i64::MIN.to_string();
    allocates_nothing(|| {
        black_box(OrderStatus::read(
            KEY,
            black_box(body),
            ValueFormat::Avro(&plan),
            Currency::EUR,
        ))
        .unwrap();
        let key = Some(other_key.as_bytes());
        black_box(OrderStatus::read(
            key,
            black_box(&other_body),
            ValueFormat::Avro(&other_plan),
            Currency::EUR,
        ))
        .unwrap();
    });
}

#[test]
fn writing_into_a_reused_buffer_allocates_nothing() {
    let mut buffer = Vec::with_capacity(4096);
    allocates_nothing(|| {
        buffer.clear();
        for format in [ValueFormat::Json, ValueFormat::Avro(7)] {
            pending().write(format, &mut buffer).unwrap();
        }
    });
}
