//! Orders inside of another record: named in both formats.

use apache_avro::types::Value;
use schemas::{OrderStatus, OrderStatusPlan, Reason, ValueFormat};

use crate::support::{Field, as_avro, as_json, local};
use crate::{KEY, sent};

/// Returns the faults of the fields as JSON and as Avro: reason and message.
fn faults(fields: &[Field]) -> Vec<(Reason, String)> {
    let json = as_json(fields).unwrap();
    let (schema, body) = as_avro(fields).unwrap();
    let plan = OrderStatusPlan::compile(&schema).unwrap();
    [
        (json.as_bytes(), ValueFormat::Json),
        (&body, ValueFormat::Avro(&plan)),
    ]
    .map(|(bytes, format)| OrderStatus::read(KEY, bytes, format, local()).unwrap_err())
    .map(|malformed| (malformed.reason(), malformed.message().to_owned()))
    .into()
}

fn inner(name: &'static str) -> Field {
    let kind = r#"{"type":"record","name":"Inner","fields":[{"name":"order_id","type":"string"}]}"#;
    let value = Value::Record(vec![(
        "order_id".to_owned(),
        Value::String("17".to_owned()),
    )]);
    Field::both(name, r#"{"order_id":"17"}"#, kind, value)
}

#[test]
fn what_connectors_wrap_an_order_in_is_named_with_the_writers_setting() {
    for (fields, setting) in [
        (
            vec![Field::null("schema"), inner("payload")],
            "value.converter.schemas.enable=false",
        ),
        (
            vec![Field::integer("schemaId", 7), inner("payload")],
            "AvroConverter",
        ),
        (
            vec![
                Field::null("before"),
                inner("after"),
                Field::text("op", "c"),
                Field::integer("ts_ms", 1),
            ],
            "io.debezium.transforms.ExtractNewRecordState",
        ),
        (
            vec![
                Field::text("id", "17"),
                Field::text("specversion", "1.0"),
                inner("data"),
            ],
            "binary mode",
        ),
    ] {
        for (reason, message) in faults(&fields) {
            assert_eq!(reason, Reason::WrappedRecord, "{message}");
            assert!(message.contains(setting), "{message}");
        }
    }
}

#[test]
fn a_record_with_a_status_or_a_total_is_an_order_whatever_else_it_has() {
    let others = [Field::null("schema"), Field::null("payload")];
    for name in ["status", "total"] {
        let fields: Vec<_> = sent()
            .into_iter()
            .filter(|field| field.name == name)
            .chain(others.clone())
            .collect();
        for (reason, _) in faults(&fields) {
            assert_eq!(reason, Reason::InvalidOrderId);
        }
    }
    for (reason, _) in faults(&[Field::null("payload")]) {
        assert_eq!(reason, Reason::InvalidOrderId);
    }
}
