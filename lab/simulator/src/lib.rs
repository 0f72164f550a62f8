//! The services' loops against a model of Kafka and Postgres, on virtual time, with faults by seed.
//!
//! The very same `processor::task::Task`, `sink::task::Task` and `producer::relay::task::Relay` that run
//! in the services are driven through their ports, single-threaded. A seed decides everything: topics and
//! instances, what is written when, which call meets which fault.
//!
//! Each module uses only those below it:
//!
//! | module | what is in it |
//! |---|---|
//! | [`seeds`] | many seeds on all cores, and their report |
//! | [`run`] | one seed from its start to its verdict: processes, events, and what must hold at the end |
//! | [`loops`] | the product's loops, with their ports over the clients and the world |
//! | [`clients`] | clients of the model's Kafka, with librdkafka's habits |
//! | [`world`] | all that is outside of the loops: time, faults, the network, Kafka, the tables, the workload |
//! | [`mutation`], [`random`] | planted bugs that must be found; chance by seed |

pub mod clients;
pub mod loops;
pub mod mutation;
pub mod random;
pub mod run;
pub mod seeds;
pub mod world;
