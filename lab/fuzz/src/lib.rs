//! Hostile input: one fuzz target for each decoder of bytes from outside.
//!
//! A target is a function of bytes that panics if something does not hold. libFuzzer calls it with
//! coverage guidance (`run`). `tests/corpus.rs` replays `corpus/`, without an engine and special flags.
//!
//! | module | subject |
//! |---|---|
//! | `targets` | the targets, by what they decode |
//! | `script` | an input as a list of choices |
//! | `made_schema` | Avro schemas and bodies built from choices, so that most inputs go deep |
//! | `sound` | what holds for every refusal and every text for a person |

mod made_schema;
mod script;
mod sound;
mod targets;

/// A decoder under test.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// The name in `run` and of the folder of its corpus.
    pub name: &'static str,
    /// What it decodes, and what must hold.
    pub what: &'static str,
    /// Panics if something does not hold.
    pub run: fn(&[u8]),
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target {
        name: "framing",
        what: "the schema's id before a value and in its headers",
        run: targets::framing::framing,
    },
    Target {
        name: "order-status-json",
        what: "JSON order statuses: serde_json's grammar, any order of fields, written and read back",
        run: targets::json::order_status,
    },
    Target {
        name: "voucher-json",
        what: "JSON vouchers: written and read back, no code in a refusal",
        run: targets::json::voucher,
    },
    Target {
        name: "avro-any-schema",
        what: "a schema's text, a zero byte, a record's bytes",
        run: targets::avro::any_schema,
    },
    Target {
        name: "avro-made-schema",
        what: "schemas and records built from the input, against apache-avro and our JSON reader",
        run: targets::avro::made_schema,
    },
    Target {
        name: "decimal",
        what: "decimals from text and from unscaled bytes, against big integers",
        run: targets::decimal::decimal,
    },
    Target {
        name: "headers",
        what: "traceparent, and which header of a record counts",
        run: targets::headers::headers,
    },
    Target {
        name: "dead-letter",
        what: "records of a dead letter topic and of its states",
        run: targets::dead_letter::dead_letter,
    },
    Target {
        name: "pipeline",
        what: "a record through processor, dead letter, redrive and sink",
        run: targets::pipeline::pipeline,
    },
    Target {
        name: "http",
        what: "bodies, bulk lines and header values of the HTTP ingress",
        run: targets::http::http,
    },
    Target {
        name: "settings",
        what: "settings and key files: what is shown can be written again, secrets are not repeated",
        run: targets::settings::settings,
    },
];

/// Returns the target of this name.
#[must_use]
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
