//! The services' loops against a model of Kafka and Postgres, on virtual time, with faults by seed.
//!
//! The very same `processor::task::Task`, `sink::task::Task` and `producer::relay::Relay` that run in
//! the services are driven through their ports, single-threaded. A seed decides everything: topics and instances, what is
//! written when, which call meets which fault. What a run must end with is in [`invariants`].
//!
//! | module | what is in it |
//! |---|---|
//! | [`kafka`] | logs, groups, transactions |
//! | [`database`], [`outbox`] | the vouchers table; the outbox and its lock |
//! | [`world`] | all that is outside of the loops: time, faults, requests still in the network |
//! | [`consumer`], [`producer`] | clients of the model, with librdkafka's habits |
//! | [`processor_ports`], [`sink_ports`], [`relay_ports`] | the loops' ports over them |
//! | [`workload`] | order statuses and vouchers of every kind, and what is expected of them |
//! | [`mutation`] | planted bugs that must be found |
//! | [`run`], [`many`] | one seed from start to verdict; many on all cores |

pub mod consumer;
pub mod database;
pub mod invariants;
pub mod kafka;
pub mod many;
pub mod mutation;
pub mod outbox;
pub mod processor_ports;
pub mod producer;
pub mod producers;
pub mod random;
pub mod relay_ports;
pub mod run;
pub mod sink_ports;
pub mod workload;
pub mod world;
