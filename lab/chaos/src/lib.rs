//! Real faults over the real services, by seed; then every promise is compared with what is there.
//!
//! | module | subject |
//! |---|---|
//! | `options` | what to run |
//! | `run` | one run from its start to its verdict; an earlier one judged again |
//! | `stage` | the backends, and six services behind proxies |
//! | `faults` | which fault is injected when, and how |
//! | `load` | orders over HTTP, and records written to the topic |
//! | [`journal`] | what the clients were promised |
//! | [`verdict`] | the promises compared with topics and tables: a pure function |
//! | [`flow`] | with several brokers: whether the flow stopped while the cluster was available |
//! | [`report`] | the verdict as a table or a line of JSON |

mod faults;
pub mod flow;
pub mod journal;
mod load;
mod options;
pub mod report;
mod run;
mod stage;
pub mod verdict;

pub use options::{Length, Options};
pub use run::{judge, run};
