//! Real faults over the real services, by seed; then every promise is compared with what is there.
//!
//! | module | subject |
//! |---|---|
//! | `run` | one run from its start to its verdict |
//! | `schedule` | which fault comes when: a pure function of the seed |
//! | `stage` | the backends, and six services behind proxies |
//! | `proxy` | one TCP link that is cut, silenced, slowed down |
//! | `faults`, `cluster` | each fault, done and healed; those of several brokers |
//! | `workload`, `client`, `console` | orders over HTTP and records written beside it |
//! | [`journal`] | what the clients were promised, one line each |
//! | [`observed`] | what lies in topics and tables at the end |
//! | [`judge`] | both compared: a pure function |
//! | `watch`, `probe`, [`flow`] | with several brokers: whether the flow stood still while the cluster was able |
//! | [`report`] | the verdict as a table or a line of JSON |

mod client;
mod cluster;
mod console;
mod faults;
pub mod flow;
pub mod journal;
pub mod judge;
pub mod observed;
mod probe;
mod proxy;
pub mod report;
mod run;
mod schedule;
mod stage;
mod watch;
mod workload;

pub use run::{Length, Options, run};
