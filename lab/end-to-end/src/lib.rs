//! What the end-to-end tests stand on: real services, isolated flows, waiting for conditions.
//!
//! | module | what is in it |
//! |---|---|
//! | [`certificates`] | certificates for one test: an authority, and who it vouches for |
//! | [`command`] | a service's commands, run to their end |
//! | [`registry_gate`] | TLS, users and tokens in front of the registry |
//! | [`system`] | one isolated flow: its own topics, databases and service processes |
//! | [`topic`] | reading and writing topics as any client would |
//! | [`wait`] | waiting for a condition, with a deadline that names what was missing |
//!
//! Kafka, the registry and Postgres are started once for the whole test binary and shared; a test
//! that stops one of them starts its own.

pub mod certificates;
pub mod command;
pub mod coordinator;
pub mod registry_gate;
pub mod system;
pub mod topic;
pub mod wait;
