//! The schema registry: Confluent's API, and Apicurio's own API for its ids.
//!
//! What the rest of the code uses:
//!
//! | item | used by | for |
//! |---|---|---|
//! | [`RegistrySettings`], [`Registry::of`] | every service and command | the registry, if one is set |
//! | [`SchemaCache`], a [`SchemaSource`] | everything that decodes records ([`crate::value`]) | how to read values by the id of their schema |
//! | [`value_format`], [`value_format_for_command`] | everything that writes records | the id of our own schema, or JSON without a registry |
//! | [`Registry::id_of`] and its other requests | `check`, `--fix` and tests | our own schemas: looking them up, registering them, their compatibility |
//!
//! How a request is made:
//!
//! ```text
//! cache ────▶ client ─▶ transport ─┬─▶ access: credentials, certificates, the HTTP client
//! format ───▶ (Registry)           ├─▶ address: the URLs; the path of a resource
//!               │ ▲                └─▶ answer: what is final, and what is asked of the next address
//!               ▼ │
//!            schema, references: a schema's language; the schemas that it refers to
//! ```
//!
//! `schema_registry_converter`, the usual client in Rust, writes records in one test, as a client of
//! others does (`lab/end-to-end/tests/end_to_end/framings.rs`). The services make requests of their own
//! because that client keeps a token for its lifetime, knows no compatibility level, and hides the
//! status of an answer, which decides whether a record waits or is a dead letter
//! ([ADR 0026](../../../docs/adr/0026-every-request-to-the-registry-takes-one-way.md)).

mod access;
mod address;
mod answer;
mod cache;
mod client;
mod format;
mod references;
mod schema;
mod settings;
mod transport;

#[cfg(test)]
mod tests;

use std::time::Duration;

pub use cache::{KnownSchemas, Lookup, SchemaCache, SchemaSource, not_answered};
pub use client::{LEVEL, Registry, RegistryError};
pub use format::{subject_of, value_format, value_format_for_command};
pub use settings::RegistrySettings;

/// How long a command waits for the registry before it ends with a failure.
pub const COMMAND_WAIT: Duration = Duration::from_secs(15);

/// Returns one line, no longer than a person reads.
fn shortened(text: &str) -> String {
    text.chars()
        .map(|character| {
            if character.is_control() {
                ' '
            } else {
                character
            }
        })
        .take(300)
        .collect()
}
