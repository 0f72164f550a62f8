//! What the three services share:
//!
//! | module | what is in it |
//! |---|---|
//! | [`service`] | the shell around the flow of a running service: metrics, health, HTTP, supervised parts |
//! | [`command_line`] | flags and environment variables of a service's commands |
//! | [`configuration`] | the configuration file, and where the value of each setting comes from |
//! | [`settings`] | settings of every service, parsers of single settings, secrets |
//! | [`lifecycle`] | start, supervised parts, shutdown within a deadline, exit codes |
//! | [`preflight`] | `check`, and the quick checks at the start of `run` |
//! | [`provision`] | topics and schemas with the required configuration |
//! | [`health`], [`http`] | `/livez`, `/readyz`, `/metrics`, and the command that asks them; the accept loop of every listener |
//! | `service_manager` | notifications to systemd |
//! | [`metrics`], [`telemetry`] | every metric's name and meaning; logs |
//! | [`kafka`] | the one way to build a Kafka client; group subscriptions; transactions |
//! | [`record`] | a consumed record |
//! | [`stepping`] | a loop as a state machine, and the driver that stops it with nothing half done |
//! | [`assignment`] | the partitions of a task, and how far their offsets are committed |
//! | [`deferred_offsets`] | offsets of durable work, one commit for many batches |
//! | [`refusals`] | what is done about records that the broker refuses |
//! | [`flow`] | what a task reports about its flow: readiness and metrics |
//! | [`group_lag`], [`latency`] | how old unsettled records are; how long records took |
//! | [`postgres`] | the one way to reach a database |
//! | [`replay`] | the pace and the progress of commands that read a range |
//! | [`scan_progress`] | a progress bar for a command that reads a long part of a topic |
//! | [`registry`] | the schema registry: schemas by id, ids of our own schemas |
//! | [`value`] | a record's value without its framing |
//! | [`dead_letter`] | dead letters: their headers, what became of them, the commands over them |
//! | [`audit`] | who ran a command, why, and how much it did |
//! | [`circuit_breaker`] | pauses a task when most of its records are dead letters |
//! | [`key_file`] | keys of clients in a file that may change while the service runs |
//! | [`output`], [`text_table`] | standard output; aligned tables |
//! | [`plural`], [`duration`] | counts and durations in sentences |
//! | [`progress`] | how far a command is, as lines of JSON |
//! | [`version`] | the version and the revision of this build |
//! | [`backoff`], [`clock`] | the one retry policy; time as the loops see it |
//! | [`trace_context`] | W3C `traceparent` from the HTTP request to the voucher row |
//! | [`traces`] | spans over OTLP, of sampled orders |
//!
//! Dependencies point one way: services -> runtime -> schemas.

#![deny(unsafe_code)] // kafka/consumer/fetch_queue.rs alone allows it, and says why

pub mod assignment;
pub mod audit;
pub mod backoff;
pub mod circuit_breaker;
pub mod clock;
pub mod command_line;
pub mod configuration;
pub mod dead_letter;
pub mod deferred_offsets;
pub mod duration;
pub mod flow;
pub mod group_lag;
pub mod health;
pub mod http;
pub mod kafka;
pub mod key_file;
pub mod latency;
pub mod lifecycle;
pub mod metrics;
pub mod output;
pub mod plural;
pub mod postgres;
pub mod preflight;
pub mod progress;
pub mod provision;
pub mod record;
pub mod refusals;
pub mod registry;
pub mod replay;
pub mod scan_progress;
pub mod service;
mod service_manager;
pub mod settings;
pub mod stepping;
pub mod telemetry;
pub mod text_table;
pub mod trace_context;
pub mod traces;
pub mod value;
pub mod version;
