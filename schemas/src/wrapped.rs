//! Orders inside of another record, as connectors write them unless told otherwise.
//!
//! They are named, not read: what the outer record says of the inner one (its schema, the kind of
//! change) decides how its fields are meant, above all its decimals.

use crate::json;
use crate::malformed::{Malformed, Reason};

/// What tells an outer record: two of its fields.
struct Wrapper {
    fields: [&'static str; 2],
    /// What it is, and what its writer has to set instead.
    named: &'static str,
}

/// The first whose fields are there is told.
const WRAPPERS: [Wrapper; 4] = [
    Wrapper {
        fields: ["schema", "payload"],
        named: "the order is in payload, beside its schema, as Kafka Connect's JsonConverter writes \
                it: set value.converter.schemas.enable=false, and of Debezium \
                decimal.handling.mode=string, because it writes decimals in base64 otherwise",
    },
    Wrapper {
        fields: ["schemaId", "payload"],
        named: "the order is in payload, beside its schema's id, as Apicurio's ExtJsonConverter \
                writes it: use Apicurio's AvroConverter, or Kafka Connect's JsonConverter with \
                value.converter.schemas.enable=false",
    },
    Wrapper {
        fields: ["op", "after"],
        named: "the order is in after, in a change event of Debezium: add the transform \
                io.debezium.transforms.ExtractNewRecordState to the connector",
    },
    Wrapper {
        fields: ["specversion", "data"],
        named: "the order is in data, in a CloudEvent: write it in binary mode, in which the event's \
                attributes are headers and the value is the order alone",
    },
];

const NAMES: [&str; 9] = [
    "schema",
    "payload",
    "schemaId",
    "op",
    "after",
    "specversion",
    "data",
    // Fields of an order: a record that has one is no wrapper.
    "status",
    "total",
];

static JSON_NAMES: json::Names<{ NAMES.len() }> = json::Names::of(NAMES);

/// The fault of a record that holds the order inside of it, by the names of its fields.
pub(crate) fn wrapped(is_there: impl Fn(&str) -> bool) -> Option<Malformed> {
    if is_there("status") || is_there("total") {
        return None;
    }
    let wrapper = WRAPPERS
        .iter()
        .find(|wrapper| wrapper.fields.iter().all(|name| is_there(name)))?;
    Some(Malformed::new(Reason::WrappedRecord, wrapper.named))
}

/// The same of a JSON object.
pub(crate) fn wrapped_json(value: &[u8]) -> Option<Malformed> {
    let mut fields = json::Fields::none();
    json::read(value, &JSON_NAMES, &mut fields).ok()?;
    wrapped(|name| fields.has(&JSON_NAMES, name))
}
