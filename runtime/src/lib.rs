//! What the three services share, each in its own room:
//!
//! | module | what is in it |
//! |---|---|
//! | [`settings`] | flags and environment variables, secrets, what to write instead of a wrong setting |
//! | [`kafka`] | the one way to build a Kafka client; group subscriptions; transactions |
//! | [`record`] | a consumed record as the loops see it |
//! | [`stepping`] | driving a loop that is a state machine, until a stop finds nothing half done |
//! | [`deferred_offsets`] | offsets that are committed a little later, in one for many batches |
//! | [`postgres`] | the one way to reach a database |
//! | [`replay`] | the pace and the progress of whoever reads a range |
//! | [`registry`] | the schema registry: schemas by id, ids of our own schemas |
//! | [`value`] | a record's value without its framing |
//! | [`dead_letter`] | dead letters: their headers, what became of them, the commands over them |
//! | [`provision`] | topics and schemas as the design has them |
//! | [`preflight`] | what must exist before a service starts, in the words of `check` |
//! | [`health`], [`http`] | `/livez`, `/readyz`, `/metrics`, and the accept loop behind every listener |
//! | [`metrics`], [`telemetry`] | every metric's name and meaning; logs |
//! | [`lifecycle`] | start, supervised parts, draining within a deadline, exit codes |
//! | [`circuit_breaker`] | stops the flow when most of what comes in is dead |
//! | [`command_line`] | flags and environment variables of a service's commands |
//! | [`output`], [`columns`], [`wording`] | standard output; text in columns that line up; counts in sentences |
//! | [`backoff`], [`clock`] | the one retry; time as the loops see it |
//! | [`trace_context`] | W3C `traceparent` from the HTTP request to the voucher row |
//!
//! Dependencies point one way: services -> runtime -> schemas.

#![deny(unsafe_code)] // kafka/fetch_queue.rs alone allows it, and says why

pub mod backoff;
pub mod circuit_breaker;
pub mod clock;
pub mod command_line;
pub mod dead_letter;
pub mod deferred_offsets;
pub mod flow;
pub mod health;
pub mod http;
pub mod kafka;
pub mod lifecycle;
pub mod metrics;
pub mod output;
pub mod postgres;
pub mod preflight;
pub mod provision;
pub mod record;
pub mod registry;
pub mod replay;
pub mod settings;
pub mod stepping;
pub mod telemetry;
pub mod text_table;
pub mod trace_context;
pub mod value;
pub mod wording;
