//! Avro as other writers write it: older and newer schemas, Java's unions, decimals of any scale,
//! and bytes that don't follow their schema. All of it by the Avro library's own encoder.

mod bytes;

use anyhow::Result;
use apache_avro::types::Value;
use end_to_end::system::TestSystem;
use serde_json::json;

use crate::record::{Field, ID, sent, sent_without};
use crate::table::{Case, Expected, VOUCHER, check, dead};

use Expected::{Dead, Skip, Voucher};

#[tokio::test]
async fn avro_of_any_writer_is_read_by_the_writers_schema() -> Result<()> {
    let system = TestSystem::open().await?;
    let processor = system.processor().await?;
    let cases = [
        contracts()?,
        unions(),
        decimals(),
        other_totals(),
        times(),
        enums(),
        bytes::top_levels()?,
        bytes::names()?,
        bytes::broken_bytes()?,
        bytes::other_kinds_of_schema(&system).await?,
    ]
    .concat();
    check(&system, &processor, cases).await
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn decimal(bytes: &[u8]) -> Value {
    Value::Decimal(bytes.to_vec().into())
}

fn some(branch: u32, value: Value) -> Value {
    Value::Union(branch, Box::new(value))
}

fn record(fields: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    Value::Record(
        fields
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    )
}

/// Returns cases of the contract's own schema, of an older one and of a newer one.
fn contracts() -> Result<Vec<Case>> {
    let units = |amount: i64| decimal(&(amount * 1_000_000_000).to_be_bytes());
    let of_today = |status: &str, sent_at: Value| {
        record([
            ("order_id", text(ID)),
            ("status", text(status)),
            ("total", units(100)),
            ("currency", text("EUR")),
            ("version", some(1, Value::Long(2))),
            (
                "occurred_at",
                some(1, Value::TimestampMicros(1_775_088_000_000_000)),
            ),
            ("sent_at", sent_at),
        ])
    };
    let sent_at = || some(1, Value::TimestampMicros(1_775_001_600_123_456));
    let older = r#"{"type":"record","name":"OrderStatus","namespace":"checkout","fields":[
        {"name":"order_id","type":"string"},
        {"name":"status","type":"string"},
        {"name":"total","type":"string"}]}"#;
    let of_old = record([
        ("order_id", text(ID)),
        ("status", text("SENT")),
        ("total", text("100.00")),
    ]);
    let newer = json!({
        "type": "record", "name": "OrderStatus", "namespace": "checkout", "fields": [
            {"name": "channel", "type": {"type": "enum", "name": "Channel", "symbols": ["WEB", "SHOP"]}},
            {"name": "sent_at", "type": ["null", {"type": "long", "logicalType": "timestamp-micros"}]},
            {"name": "customer", "type": {"type": "record", "name": "Customer", "fields": [
                {"name": "order_id", "type": "string"},
                {"name": "status", "type": ["null", "string"]},
                {"name": "rating", "type": "double"},
                {"name": "friends", "type": {"type": "array", "items": "Customer"}}]}},
            {"name": "total", "type": {"type": "bytes", "logicalType": "decimal", "precision": 28, "scale": 9}},
            {"name": "products", "type": {"type": "array", "items": {"type": "map", "values": ["null", "long", "string"]}}},
            {"name": "hash", "type": {"type": "fixed", "name": "Hash", "size": 3}},
            {"name": "other", "type": ["null", "Customer", {"type": "array", "items": "Channel"}]},
            {"name": "gift", "type": "boolean"},
            {"name": "weight", "type": "float"},
            {"name": "status", "type": "string"},
            {"name": "currency", "type": "string"},
            {"name": "order_id", "type": "string"},
            {"name": "previous", "type": ["null", "Hash"]},
        ],
    })
    .to_string();
    let customer = |friends| {
        record([
            ("order_id", text("somebody")),
            ("status", some(1, text("GOLD"))),
            ("rating", Value::Double(4.5)),
            ("friends", Value::Array(friends)),
        ])
    };
    let products = [
        ("shoes".to_owned(), some(1, Value::Long(2))),
        ("note".to_owned(), some(2, text("red"))),
        ("none".to_owned(), some(0, Value::Null)),
    ];
    let of_tomorrow = record([
        ("channel", Value::Enum(1, "SHOP".to_owned())),
        ("sent_at", sent_at()),
        ("customer", customer(vec![customer(vec![])])),
        ("total", units(100)),
        (
            "products",
            Value::Array(vec![Value::Map(products.into()), Value::Map([].into())]),
        ),
        ("hash", Value::Fixed(3, vec![0, 1, 2])),
        (
            "other",
            some(2, Value::Array(vec![Value::Enum(0, "WEB".to_owned())])),
        ),
        ("gift", Value::Boolean(true)),
        ("weight", Value::Float(1.5)),
        ("status", text("SENT")),
        ("currency", text("EUR")),
        ("order_id", text(ID)),
        ("previous", some(1, Value::Fixed(3, vec![3, 4, 5]))),
    ]);
    let contract = schemas::ORDER_STATUS_AVSC;
    let earned = Voucher("2026-04-01T00:00:00.123456Z");
    Ok(vec![
        Case::avro(
            "the contract: SENT",
            contract,
            of_today("SENT", sent_at()),
            earned,
        ),
        Case::avro(
            "the contract: DELIVERED after it was sent",
            contract,
            of_today("DELIVERED", sent_at()),
            earned,
        ),
        Case::avro(
            "the contract: SENT without sent_at",
            contract,
            of_today("SENT", some(0, Value::Null)),
            Voucher("2026-04-02T00:00:00Z"),
        ),
        Case::avro(
            "the contract: PENDING",
            contract,
            of_today("PENDING", some(0, Value::Null)),
            Skip("status"),
        ),
        Case::avro("an older schema", older, of_old, VOUCHER),
        Case::avro("a newer schema", newer, of_tomorrow, earned),
    ])
}

/// Returns cases of unions with null, as Java's generated classes write every field, with null in either
/// position.
fn unions() -> Vec<Case> {
    let kinds = [
        (
            "order_id",
            json!({"type": "string", "avro.java.string": "String"}),
        ),
        (
            "status",
            json!({"type": "string", "avro.java.string": "String"}),
        ),
        (
            "total",
            json!({"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}),
        ),
        ("currency", json!("string")),
        ("version", json!("long")),
        (
            "sent_at",
            json!({"type": "long", "logicalType": "timestamp-millis"}),
        ),
    ];
    let values = || {
        [
            ("order_id", text(ID)),
            ("status", text("SENT")),
            ("total", decimal(&[0x27, 0x10])),
            ("currency", text("EUR")),
            ("version", Value::Long(1)),
            ("sent_at", Value::TimestampMillis(1_775_001_600_000)),
        ]
    };
    let mut cases = Vec::new();
    for (side, null) in [("first", 0), ("last", 1)] {
        let value = 1 - null;
        let fields: Vec<_> = kinds
            .iter()
            .map(|(name, kind)| {
                let union = if null == 0 {
                    json!(["null", kind])
                } else {
                    json!([kind, "null"])
                };
                json!({"name": name, "type": union})
            })
            .collect();
        let schema = json!({"type": "record", "name": "OrderStatus", "fields": fields}).to_string();
        let with_null = |nulls: &[&str]| {
            record(values().map(|(name, inner)| {
                let field = if nulls.contains(&name) {
                    some(null, Value::Null)
                } else {
                    some(value, inner)
                };
                (name, field)
            }))
        };
        let case = |what: &str, nulls: &[&str], expected| {
            let name = format!("unions, null {side}: {what}");
            Case::avro(name, schema.clone(), with_null(nulls), expected)
        };
        cases.extend([
            case("all there", &[], Voucher("2026-04-01T00:00:00Z")),
            case(
                "what may be null is null",
                &["currency", "version", "sent_at"],
                VOUCHER,
            ),
            case("no total", &["total"], dead("invalid_total")),
            case("no status", &["status"], dead("invalid_status")),
            case("no id", &["order_id"], dead("invalid_order_id")),
        ]);
    }
    let many = r#"["boolean","null","long","string",{"type":"array","items":"int"}]"#;
    let total = |branch: u32, value: Value| sent([Field::avro("total", many, some(branch, value))]);
    cases.extend([
        Case::fields(
            "unions of many: a long",
            total(2, Value::Long(100)),
            VOUCHER,
        ),
        Case::fields("unions of many: a string", total(3, text("1e2")), VOUCHER),
        Case::fields(
            "unions of many: an array",
            total(4, Value::Array(vec![Value::Int(100)])),
            dead("invalid_total"),
        ),
    ]);
    cases
}

/// Returns cases of decimals: the scale is that of the writer's schema, and the number of bytes does not
/// matter.
fn decimals() -> Vec<Case> {
    let case = |what: &str, unscaled: i128, scale: u32, expected| {
        let wide = unscaled.to_be_bytes();
        let sign = if unscaled < 0 { 0xff } else { 0 };
        // Reduces to minimal two's complement: leading sign bytes are removed while the next byte has the
        // same sign.
        let unneeded = wide
            .windows(2)
            .take_while(|pair| pair[0] == sign && (pair[1] ^ sign) & 0x80 == 0)
            .count();
        let fixed_of = |size: usize| {
            format!(
                r#"{{"type":"fixed","name":"Fixed{size}","size":{size},"logicalType":"decimal","precision":30,"scale":{scale}}}"#
            )
        };
        let fixed = Field::avro("total", fixed_of(16), decimal(&wide));
        let named = |form: &str| format!("decimal of scale {scale}, {what}, {form}");
        [
            Case::fields(
                named("minimal"),
                sent([Field::decimal("total", &wide[unneeded..], scale)]),
                expected,
            ),
            Case::fields(
                named("padded"),
                sent([Field::decimal("total", &wide, scale)]),
                expected,
            ),
            Case::fields(named("fixed"), sent([fixed]), expected),
        ]
    };
    let range = dead("total_out_of_range");
    let precise = dead("total_too_precise");
    let below = Skip("threshold");
    let mut cases = [
        case("100", 100, 0, VOUCHER),
        case("99", 99, 0, below),
        case("128: the sign needs a byte", 128, 0, VOUCHER),
        case("100.0000", 1_000_000, 4, VOUCHER),
        case("99.9999", 999_999, 4, below),
        case("100 in 30 decimals", 100 * 10_i128.pow(30), 30, VOUCHER),
        case("99.9 in 30 decimals", 999 * 10_i128.pow(29), 30, below),
        case("0", 0, 30, below),
        case("of 31 digits", 10_i128.pow(32) + 1, 30, precise),
        case("-1", -1, 0, range),
        case("-100.0000", -1_000_000, 4, range),
        case("10^15", 10_i128.pow(17), 2, range),
        case("just below 10^15", 10_i128.pow(17) - 1, 2, VOUCHER),
    ]
    .concat();
    cases.extend([
        // Encoded by hand, because the library writes no decimal of zero bytes.
        Case::framed(
            "decimal of no bytes: zero",
            r#"{"type":"record","name":"OrderStatus","fields":[
                {"name":"order_id","type":"string"},
                {"name":"status","type":"string"},
                {"name":"total","type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}}]}"#,
            b"\x1eno-bytes-at-all\x08SENT\x00".to_vec(),
            below,
        )
        .key("no-bytes-at-all"),
        Case::fields(
            "decimal padded to 200 bytes",
            sent([Field::decimal(
                "total",
                &[[0; 198].as_slice(), &[0x27, 0x10]].concat(),
                2,
            )]),
            VOUCHER,
        ),
    ]);
    cases
}

fn other_totals() -> Vec<Case> {
    let total = |what: &str, kind: &str, value, expected| {
        let fields = sent([Field::avro("total", kind, value)]);
        Case::fields(format!("total: {what}"), fields, expected)
    };
    let refused = Dead("invalid_total", "total: expected a decimal number");
    vec![
        total("an int", "\"int\"", Value::Int(100), VOUCHER),
        total("a long", "\"long\"", Value::Long(100), VOUCHER),
        total("an Avro string", "\"string\"", text("100.00"), VOUCHER),
        total("a double", "\"double\"", Value::Double(100.0), refused),
        total("a float", "\"float\"", Value::Float(100.0), refused),
        total("bytes", "\"bytes\"", Value::Bytes(b"100".to_vec()), refused),
    ]
}

fn times() -> Vec<Case> {
    let time = |what: &str, logical: &str, value, expected| {
        let kind = format!(r#"{{"type":"long","logicalType":"{logical}"}}"#);
        let fields = sent([Field::avro("sent_at", kind, value)]);
        Case::fields(format!("time: {what}"), fields, expected)
    };
    let millis = 1_775_001_600_123;
    let refused = Dead("invalid_timestamp", "sent_at: expected a time");
    let range = dead("timestamp_out_of_range");
    vec![
        time(
            "milliseconds",
            "timestamp-millis",
            Value::TimestampMillis(millis),
            Voucher("2026-04-01T00:00:00.123Z"),
        ),
        time(
            "microseconds",
            "timestamp-micros",
            Value::TimestampMicros(millis * 1000 + 456),
            Voucher("2026-04-01T00:00:00.123456Z"),
        ),
        time(
            "milliseconds that are microseconds",
            "timestamp-millis",
            Value::TimestampMillis(millis * 1000),
            range,
        ),
        time(
            "microseconds that are milliseconds",
            "timestamp-micros",
            Value::TimestampMicros(millis),
            range,
        ),
        time(
            "nanoseconds",
            "timestamp-nanos",
            Value::TimestampNanos(millis * 1_000_000),
            refused,
        ),
        time(
            "local",
            "local-timestamp-millis",
            Value::LocalTimestampMillis(millis),
            refused,
        ),
        Case::fields(
            "time: a date",
            sent([Field::avro(
                "sent_at",
                r#"{"type":"int","logicalType":"date"}"#,
                Value::Date(20_000),
            )]),
            refused,
        ),
    ]
}

fn enums() -> Vec<Case> {
    let kind = r#"{"type":"enum","name":"Status","symbols":["PENDING","sent","RETURNED"]}"#;
    let status = |at: u32, symbol: &str, expected| {
        let value = Value::Enum(at, symbol.to_owned());
        let fields = sent([Field::avro("status", kind, value)]);
        Case::fields(format!("enum: {symbol}"), fields, expected)
    };
    let currency = r#"{"type":"enum","name":"Currency","symbols":["USD","EUR"]}"#;
    vec![
        status(0, "PENDING", Skip("status")),
        status(1, "sent", VOUCHER),
        status(2, "RETURNED", dead("unknown_status")),
        Case::fields(
            "enum: a currency",
            sent([Field::avro(
                "currency",
                currency,
                Value::Enum(1, "EUR".to_owned()),
            )]),
            VOUCHER,
        ),
        Case::fields(
            "the old system's names",
            sent_without(
                &["order_id"],
                [
                    Field::numeric_id("id"),
                    Field::avro("total", "\"int\"", Value::Int(150)),
                ],
            ),
            VOUCHER,
        ),
    ]
}
