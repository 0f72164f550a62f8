//! An order, and its JSON: in answers, under idempotency keys, and in the API's description.

use rust_decimal::Decimal;
use schemas::{Currency, Status, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

// The comments of this type and its fields are the API's description of them.
/// An order as clients of the API see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Order {
    /// Unique; the key of the order's events.
    #[schema(example = "019a8f4e-7c1b-7000-8000-000000000001")]
    pub order_id: String,
    /// What became of it.
    #[schema(value_type = String, example = "PENDING", pattern = "^(PENDING|SENT|DELIVERED|CANCELLED)$")]
    #[serde(with = "text")]
    pub status: Status,
    /// What it costs: exact, with two decimals.
    #[schema(value_type = String, example = "100.00")]
    #[serde(with = "amount")]
    pub total: Decimal,
    /// The total's currency.
    #[schema(value_type = String, example = "EUR")]
    #[serde(with = "text")]
    pub currency: Currency,
    /// What was ordered.
    pub products: Vec<Product>,
    /// 1 at first, one more per change; also the ETag.
    #[schema(example = 1)]
    pub version: i64,
    /// When it was sent; null until then.
    #[schema(value_type = Option<String>, example = "2026-11-23T09:30:00.123456Z", format = DateTime)]
    #[serde(with = "optional_text")]
    pub sent_at: Option<Timestamp>,
    /// When it was placed.
    #[schema(value_type = String, example = "2026-11-23T09:30:00.123456Z", format = DateTime)]
    #[serde(with = "text")]
    pub created_at: Timestamp,
    /// When it changed last.
    #[schema(value_type = String, example = "2026-11-23T09:30:00.123456Z", format = DateTime)]
    #[serde(with = "text")]
    pub updated_at: Timestamp,
}

/// One product, as it is stored (jsonb) and answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Product {
    /// Its number; only products that came through the old routes have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<i64>,
    /// What it is.
    #[schema(example = "shirt")]
    pub name: String,
    /// What it costs: exact, with two decimals.
    #[schema(example = "150.00")]
    pub price: String,
}

impl Order {
    /// Returns the order's JSON.
    pub fn to_json(&self) -> Vec<u8> {
        // Strings and integers only: nothing in it can fail to serialise.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Returns the order that [`Order::to_json`] wrote; `None` for anything else. An earlier version
    /// may have written it: a field that is added needs a default.
    pub fn from_json(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }
}

/// A value as the text that it is displayed as and parsed from.
mod text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(
        value: &impl Display,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// As [`text`], for a value that may be absent.
mod optional_text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(
        value: &Option<impl Display>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.collect_str(value),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| text.parse().map_err(de::Error::custom))
            .transpose()
    }
}

/// An amount as text with two decimals.
mod amount {
    use rust_decimal::Decimal;
    use serde::{Deserializer, Serializer};

    use super::super::money_text;
    use super::text;

    pub(super) fn serialize<S: Serializer>(
        amount: &Decimal,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&money_text(*amount))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Decimal, D::Error> {
        text::deserialize(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_that_was_written_is_read_again() {
        let order = Order {
            order_id: "17".to_owned(),
            status: Status::Sent,
            total: Decimal::new(15000, 2),
            currency: Currency::EUR,
            products: vec![Product {
                id: Some(7),
                name: "shirt \"é\"".to_owned(),
                price: "150.00".to_owned(),
            }],
            version: 2,
            sent_at: Some(Timestamp::from_micros(1_700_000_000_123_456)),
            created_at: Timestamp::from_micros(1_700_000_000_000_000),
            updated_at: Timestamp::from_micros(1_700_000_000_123_456),
        };
        let json = String::from_utf8(order.to_json()).unwrap();
        assert_eq!(
            json,
            r#"{"order_id":"17","status":"SENT","total":"150.00","currency":"EUR","products":[{"id":7,"name":"shirt \"é\"","price":"150.00"}],"version":2,"sent_at":"2023-11-14T22:13:20.123456Z","created_at":"2023-11-14T22:13:20Z","updated_at":"2023-11-14T22:13:20.123456Z"}"#
        );
        assert_eq!(Order::from_json(json.as_bytes()), Some(order.clone()));
        let pending = Order {
            sent_at: None,
            ..order
        };
        assert_eq!(Order::from_json(&pending.to_json()), Some(pending));
        assert_eq!(Order::from_json(b"{}"), None);
    }
}
