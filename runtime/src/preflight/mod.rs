//! Checks of the dependencies of a service: `check`, and the quick checks at the start of `run`.
//!
//! Facts are fetched first (`cluster`) and then judged by pure functions, each in the file of its
//! subject. [`Check`] is one run of the command: a service calls a method for each dependency.
//!
//! | file | subject |
//! |---|---|
//! | `check` | fetches the facts, with `--fix` creates what is missing, and collects the results |
//! | `check_result` | one result, and the report of all |
//! | `topics` | existence, configuration and replication of topics |
//! | `group` | a consumer group's lag against compaction and retention; how long its offsets are kept |
//! | `limits` | the clients' timeouts against the brokers' limits; broker settings that lose records |
//! | `schemas` | the registry: registered schemas, and the compatibility of later ones |
//! | `database` | Postgres: whether it accepts writes; migrations |
//! | `clock` | the clock of this machine against others |
//! | `cluster`, `connection` | the facts about Kafka, and why it cannot be reached |
//! | `start` | what `run` waits for, and what it refuses to start without |
//! | `retention` | how long a topic keeps every record, as a metric of `run` |

mod check;
mod check_result;
mod clock;
mod cluster;
mod connection;
mod database;
mod group;
mod limits;
mod retention;
mod schemas;
mod start;
mod topics;

use std::time::Duration;

use clap::Args;

pub use check::{Check, Group};
pub use check_result::{CheckResult, Level};
pub use clock::newest_record;
pub use cluster::TopicFacts;
pub use database::DatabaseSchema;
pub use retention::watch_retention;
pub use start::{topics_exist, topics_exist_blocking};

/// Flags of every `check`.
#[derive(Debug, Clone, Copy, Args)]
pub struct CheckFlags {
    /// Create missing topics and tables and register schemas. Existing ones are not changed.
    #[arg(long)]
    pub fix: bool,

    /// Print the report as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Longer than a weekend, and how long `order-status` is kept uncompacted.
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
