//! What must be right around a service: `check`, and the quick part of it at the start of `run`.
//!
//! Facts are fetched first ([`Cluster`]), then judged by pure functions, each in the file of its
//! subject; a service composes those that concern it into one [`Report`].
//!
//! | file | what it judges |
//! |---|---|
//! | `topics` | existence, configuration and replication of topics |
//! | `group` | a consumer group's lag against compaction and retention, and how long offsets are kept |
//! | `limits` | our clients' timeouts against the brokers' bounds; broker settings that lose records |
//! | `schemas` | the registry: our schemas, and what later ones are held to |
//! | `database` | Postgres: whether it answers, migrations |
//! | `clock` | our clock against the others' |
//! | `look`, `fix` | fetches and judges what all checks have in common; makes what is missing |
//! | `start` | the quick part: what `run` waits for, and what it refuses to start without |

mod check_result;
mod clock;
mod cluster;
mod database;
mod fix;
mod group;
mod limits;
mod look;
mod schemas;
mod start;
mod topics;

use std::time::Duration;

use clap::Args;

pub use check_result::{CheckResult, Level, Report};
pub use clock::from_topic;
pub use cluster::{BrokerFacts, Cluster, Config, PartitionFacts, TopicFacts};
pub use database::{Expected, database, pending};
pub use fix::{fix, refused};
pub use limits::clients;
pub use look::{Found, Reader, kafka, reader, registry};
pub use start::{topics_exist, topics_exist_blocking};

/// What every `check` takes.
#[derive(Debug, Clone, Copy, Args)]
pub struct CheckFlags {
    /// Create what is missing; what exists stays as it is.
    #[arg(long)]
    pub fix: bool,

    /// Say it as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Longer than a weekend, and what `order-status` is kept uncompacted for.
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

/// A time as a person says it, such as "6 d 3 h"; the two largest units.
pub(crate) fn spoken(time: Duration) -> String {
    let seconds = time.as_secs();
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3600 % 24, "h"),
        (seconds / 60 % 60, "min"),
        (seconds % 60, "s"),
    ];
    let first = parts.iter().position(|(count, _)| *count > 0).unwrap_or(3);
    parts[first..]
        .iter()
        .take(2)
        .filter(|(count, unit)| *count > 0 || *unit == "s" && seconds == 0)
        .map(|(count, unit)| format!("{count} {unit}"))
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_said_in_its_two_largest_units() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3661, "1 h 1 min"),
            (604_800, "7 d"),
            (604_800 + 3600, "7 d 1 h"),
            (86_400 + 60, "1 d"),
        ] {
            assert_eq!(spoken(Duration::from_secs(seconds)), text);
        }
    }
}
