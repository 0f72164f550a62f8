//! What the end-to-end tests build on: real services, isolated flows, waiting for conditions.
//!
//! | module | subject |
//! |---|---|
//! | [`backends`] | Kafka, the registry and Postgres: shared by all tests, or started for one |
//! | [`system`] | one isolated flow: its own topics, databases and service processes |
//! | [`command`] | commands of the services, run to their end |
//! | [`http`] | a service's metrics and readiness |
//! | [`voucher_rows`] | the rows of the sink's table |
//! | [`topic`] | reading and writing topics as any client would |
//! | [`coordinator`] | which broker coordinates a group or a transaction |
//! | [`certificates`] | certificates for one test: an authority, and those that it signs |
//! | [`collector`] | a collector of traces |
//! | [`registry_proxy`] | TLS, users and tokens in front of the registry |
//! | [`wait`] | waiting for a condition, with a deadline that names what was missing |

pub mod backends;
pub mod certificates;
pub mod collector;
pub mod command;
pub mod coordinator;
pub mod http;
pub mod registry_proxy;
pub mod system;
pub mod topic;
pub mod voucher_rows;
pub mod wait;
