//! Orders inside of another record, as connectors write them by default.
//!
//! They are reported, but not read: the meaning of the fields, above all of decimals, depends on what the
//! outer record says about the inner one, such as its schema or the kind of change.

use crate::json;
use crate::malformed::{Malformed, Reason};

/// A type of outer record, recognized by two of its fields.
struct Wrapper {
    fields: [&'static str; 2],
    /// The sentence for a person: what it is, and what its writer has to set instead.
    message: &'static str,
}

/// The first one whose two fields exist is reported.
const WRAPPERS: [Wrapper; 4] = [
    Wrapper {
        fields: ["schema", "payload"],
        message: "the order is in payload, beside its schema, as Kafka Connect's JsonConverter writes \
                it: set value.converter.schemas.enable=false, and of Debezium \
                decimal.handling.mode=string, because it writes decimals in base64 otherwise",
    },
    Wrapper {
        fields: ["schemaId", "payload"],
        message: "the order is in payload, beside its schema's id, as Apicurio's ExtJsonConverter \
                writes it: use Apicurio's AvroConverter, or Kafka Connect's JsonConverter with \
                value.converter.schemas.enable=false",
    },
    Wrapper {
        fields: ["op", "after"],
        message: "the order is in after, in a change event of Debezium: add the transform \
                io.debezium.transforms.ExtractNewRecordState to the connector",
    },
    Wrapper {
        fields: ["specversion", "data"],
        message: "the order is in data, in a CloudEvent: write it in binary mode, in which the event's \
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
    // Fields of an order. A record that has one of them is no wrapper.
    "status",
    "total",
];

static JSON_NAMES: json::Names<{ NAMES.len() }> = json::Names::of(NAMES);

/// Returns the fault of a record that has the order inside of it. `is_there` returns whether the record
/// has a field of this name.
pub(crate) fn wrapped(is_there: impl Fn(&str) -> bool) -> Option<Malformed> {
    if is_there("status") || is_there("total") {
        return None;
    }
    let wrapper = WRAPPERS
        .iter()
        .find(|wrapper| wrapper.fields.iter().all(|name| is_there(name)))?;
    Some(Malformed::new(Reason::WrappedRecord, wrapper.message))
}

/// Returns the fault of a JSON object that has the order inside of it.
pub(crate) fn wrapped_json(value: &[u8]) -> Option<Malformed> {
    let mut found = json::Found::none();
    json::read(value, &JSON_NAMES, &mut found).ok()?;
    wrapped(|name| found.has(&JSON_NAMES, name))
}
