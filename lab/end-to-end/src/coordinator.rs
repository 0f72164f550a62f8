//! Which broker coordinates a group or a transactional id.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

/// What a broker coordinates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coordinates<'a> {
    /// The group of this name.
    Group(&'a str),
    /// The transactions of this transactional id.
    Transactions(&'a str),
}

impl Coordinates<'_> {
    const fn topic(self) -> &'static str {
        match self {
            Self::Group(_) => "__consumer_offsets",
            Self::Transactions(_) => "__transaction_state",
        }
    }

    const fn name(&self) -> &str {
        match self {
            Self::Group(name) | Self::Transactions(name) => name,
        }
    }
}

/// Returns the id of the coordinator: the leader of one partition of an internal topic.
///
/// # Errors
/// When no broker answers, or that partition has no leader.
pub async fn coordinator(brokers: &str, of: Coordinates<'_>) -> Result<i32> {
    let (brokers, topic, name) = (brokers.to_owned(), of.topic(), of.name().to_owned());
    tokio::task::spawn_blocking(move || {
        let observer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .create()?;
        let metadata = observer.fetch_metadata(Some(topic), Duration::from_secs(20))?;
        let partitions = metadata
            .topics()
            .first()
            .with_context(|| format!("no topic {topic}"))?
            .partitions();
        let wanted = partition_of(&name, i32::try_from(partitions.len())?);
        let leader = partitions
            .iter()
            .find(|partition| partition.id() == wanted)
            .with_context(|| format!("{topic} has no partition {wanted}"))?
            .leader();
        ensure!(leader >= 0, "partition {wanted} of {topic} has no leader");
        Ok(leader)
    })
    .await?
}

/// Returns the partition of an internal topic that stores a name, as Kafka chooses it.
#[must_use]
pub fn partition_of(name: &str, partitions: i32) -> i32 {
    java_hash(name).checked_abs().unwrap_or(0) % partitions.max(1)
}

/// Computes Java's `String.hashCode()`.
fn java_hash(text: &str) -> i32 {
    text.encode_utf16().fold(0, |hash: i32, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_java() {
        assert_eq!(java_hash("hello"), 99_162_322);
        assert_eq!(java_hash("polygenelubricants"), i32::MIN);
        assert_eq!(partition_of("polygenelubricants", 50), 0);
    }
}
