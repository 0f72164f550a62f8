//! Measurements of every leg of the system, each beside its physical limit.
//!
//! | module | subject |
//! |---|---|
//! | [`figure`] | one measured figure, its limit, its target; the table |
//! | [`usage`] | CPU time and memory of a process, from the operating system |
//! | [`orders`], [`vouchers`] | the records that flow |
//! | [`rig`] | real services on a local stack, topics full of records |
//! | [`awaited`], [`hop`] | latency: records that were sent and have not arrived; Kafka alone |
//! | [`client`] | an HTTP client that uses little CPU |
//! | [`generic`] | the peer of the decoder: apache-avro's generic value |
//! | [`peer`] | the peer of the processor: the same work by Kafka Streams |
//! | [`contents`] | whether two programs have written the same records |
//! | [`drain`], [`unnest`] | limits: bare librdkafka, bare Postgres |
//! | [`legs`] | what is measured, one module for each leg |
//!
//! Leg and limit are measured alternately, at least three times, and a ratio is the median of the
//! ratios of neighbours: other load of the machine affects both alike.
#![allow(
    clippy::float_arithmetic,
    reason = "measurements; no money passes through here"
)]

pub mod awaited;
pub mod client;
pub mod contents;
pub mod drain;
pub mod figure;
pub mod generic;
pub mod hop;
pub mod legs;
pub mod orders;
pub mod peer;
pub mod rig;
pub mod unnest;
pub mod usage;
pub mod vouchers;
