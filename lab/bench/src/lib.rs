//! Every leg measured beside what is physically there.
//!
//! | module | what is in it |
//! |---|---|
//! | [`figure`] | one measured figure, its limit, its target; the table |
//! | [`usage`] | CPU time and memory of a process, from the operating system |
//! | [`orders`], [`vouchers`] | the records that flow |
//! | [`rig`] | real services on a stack of their own, topics full of records |
//! | [`awaited`], [`hop`] | latency: what was sent and has not come; through Kafka alone |
//! | [`client`] | HTTP load that costs little |
//! | [`drain`], [`unnest`] | limits: bare librdkafka, bare Postgres |
//! | [`legs`] | what is measured, one module a leg |
//!
//! Limit and leg are measured in turn, at least three times, and a ratio is the median of the ratios
//! of neighbours: what else the machine does meets both alike.
#![allow(
    clippy::float_arithmetic,
    reason = "measurements; no money passes through here"
)]

pub mod awaited;
pub mod client;
pub mod drain;
pub mod figure;
pub mod generic;
pub mod hop;
pub mod legs;
pub mod orders;
pub mod rig;
pub mod unnest;
pub mod usage;
pub mod vouchers;
