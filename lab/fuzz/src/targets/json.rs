//! JSON order statuses and vouchers.

use std::collections::BTreeMap;

use schemas::{
    Currency, Malformed, NewOrderStatus, OrderStatus, Reason, Timestamp, ValueFormat, Voucher,
};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::sound;

const EUR: Currency = Currency::EUR;

/// Reads the whole input as an order status. Its key is the id that it holds, if it can be found.
pub(crate) fn order_status(input: &[u8]) {
    let key = key_of(input);
    let read = OrderStatus::read(Some(&key), input, ValueFormat::Json, EUR);
    grammar(input, read.as_ref().err());
    in_any_order(input, |json| {
        OrderStatus::read(Some(&key), json, ValueFormat::Json, EUR)
            .map(|order| format!("{order:?}"))
            .map_err(|malformed| malformed.reason())
    });
    if let Ok(order) = read {
        written_and_read_back(&order);
    }
}

/// Reads the input as a voucher likewise. No refusal shows the code.
pub(crate) fn voucher(input: &[u8]) {
    let key = key_of(input);
    let read = Voucher::read(Some(&key), input, ValueFormat::Json);
    grammar(input, read.as_ref().err());
    in_any_order(input, |json| {
        Voucher::read(Some(&key), json, ValueFormat::Json)
            .map(|voucher| format!("{voucher:?}"))
            .map_err(|malformed| malformed.reason())
    });
    match read {
        Err(malformed) => shows_no_code(input, &key, &malformed),
        Ok(voucher) => {
            let mut json = Vec::new();
            voucher.write(ValueFormat::Json, &mut json).expect("JSON");
            assert_eq!(
                Voucher::read(Some(&key), &json, ValueFormat::Json),
                Ok(voucher)
            );
        }
    }
}

/// Asserts that a refusal does not show the code. A code may consist of a sentence's own words; then the
/// refusal is the same for any other code.
fn shows_no_code(input: &[u8], key: &[u8], malformed: &Malformed) {
    let Ok(Value::Object(members)) = serde_json::from_slice(input) else {
        return;
    };
    let Some(Value::String(code)) = members.get("code") else {
        return;
    };
    if code.len() > 12 && malformed.message().contains(code.as_str()) {
        let other = String::from_utf8_lossy(input).replace(code, &"X".repeat(code.len()));
        let other = Voucher::read(Some(key), other.as_bytes(), ValueFormat::Json)
            .map_err(|m| m.to_string());
        assert_eq!(other.err().as_deref(), Some(malformed.message()));
    }
}

/// Returns the bytes of the id that a JSON text holds.
pub(crate) fn key_of(json: &[u8]) -> Vec<u8> {
    let members: BTreeMap<String, &RawValue> = serde_json::from_slice(json).unwrap_or_default();
    let id = ["order_id", "id"].into_iter().find_map(|name| {
        let text = members.get(name)?.get();
        serde_json::from_str(text).unwrap_or_else(|_| Some(text.to_owned()))
    });
    id.unwrap_or_else(|| "17".to_owned()).into_bytes()
}

/// Asserts that serde_json accepts the same texts, apart from what has limits only in a tree: numbers
/// beyond a float, and one level of nesting.
fn grammar(input: &[u8], malformed: Option<&Malformed>) {
    if let Some(malformed) = malformed {
        sound::refusal(malformed);
    }
    let not_json = matches!(
        malformed.map(Malformed::reason),
        Some(Reason::InvalidJson | Reason::TrailingBytes | Reason::EmptyValue)
    );
    if not_json {
        let tree = serde_json::from_slice::<Value>(input);
        assert!(tree.is_err(), "refused, and serde_json reads {tree:?}");
    } else {
        let skipped = serde_json::from_slice::<&RawValue>(input).map(drop);
        assert!(skipped.is_ok(), "taken, and serde_json says {skipped:?}");
    }
}

/// Asserts that the order of the fields does not change the result.
fn in_any_order<T: PartialEq + std::fmt::Debug>(input: &[u8], read: impl Fn(&[u8]) -> T) {
    let Ok(members) = serde_json::from_slice::<BTreeMap<String, &RawValue>>(input) else {
        return;
    };
    let written = |members: &mut dyn Iterator<Item = (&String, &&RawValue)>| {
        let members: Vec<_> = members
            .map(|(name, value)| format!("{}:{value}", Value::from(name.as_str())))
            .collect();
        format!("{{{}}}", members.join(","))
    };
    let forward = written(&mut members.iter());
    let backward = written(&mut members.iter().rev());
    assert_eq!(
        read(forward.as_bytes()),
        read(backward.as_bytes()),
        "{forward}"
    );
}

fn written_and_read_back(order: &OrderStatus<'_>) {
    let written = NewOrderStatus {
        order_id: order.order_id.as_str(),
        status: order.status,
        total: order.total,
        currency: order.currency,
        version: order.version.unwrap_or(1),
        occurred_at: order.occurred_at.unwrap_or(Timestamp::FIRST),
        sent_at: order.sent_at,
    };
    let expected = OrderStatus {
        version: Some(written.version),
        occurred_at: Some(written.occurred_at),
        ..order.clone()
    };
    let mut json = Vec::new();
    written.write(ValueFormat::Json, &mut json).expect("JSON");
    let key = Some(order.order_id.as_bytes());
    assert_eq!(
        OrderStatus::read(key, &json, ValueFormat::Json, EUR),
        Ok(expected)
    );
}
