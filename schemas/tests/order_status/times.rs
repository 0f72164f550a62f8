//! Times: what they may be written as, and which one earns the voucher.

use apache_avro::types::Value;
use schemas::{OrderStatus, Reason, Status, Timestamp};

use crate::support::{Field, read, with};
use crate::{KEY, reason, sent};

fn micros(text: &str) -> Timestamp {
    text.parse().unwrap()
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
