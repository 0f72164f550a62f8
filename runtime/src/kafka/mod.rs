//! The one way to build a Kafka client, and what the services do with one.
//!
//! | module | subject |
//! |---|---|
//! | `config` | the `KAFKA_*` settings, and the librdkafka configuration of each kind of client |
//! | `consumer` | a member of a consumer group: where it starts to read, records, blocked partitions |
//! | `producer` | transactions whose calls return in time, and the hanging ones that a takeover ends |
//! | `range` | a part of a topic, read once and outside of every group |
//! | `admin` | questions about the cluster: does a broker answer, who is in a group, who may do what |
//! | `background_call` | a blocking call on a thread of its own |
//! | `client_log` | librdkafka's own log lines |
//!
//! `consumer` and `producer` do not use each other. Both are built from `config`; `range` reads
//! through the fetch queue of `consumer`.
//!
//! librdkafka's defaults differ from those of Kafka's Java client (partitioner, idempotence, isolation,
//! offset reset). `config` sets every property that a guarantee of the services depends on, and
//! `KAFKA_PROPERTIES` cannot change those.

mod admin;
mod background_call;
mod client_log;
mod config;
mod consumer;
mod producer;
mod range;
mod retry;

use rdkafka::TopicPartitionList;
use rdkafka::error::KafkaResult;

use crate::record::Partition;

pub use admin::{
    BrokerProbe, GroupProgress, Membership, MembershipObserver, Right, committed_offsets,
    is_refusal,
};
pub use config::{KafkaSettings, TRANSACTION_TIMEOUT, create_client};
pub use consumer::{
    AssignmentChange, Blocked, Cause, CommitError, FetchedRecord, FirstRecord, GroupConsumer,
    Polled, Subscription, first_records,
};
pub use producer::{
    GroupOffsets, Outgoing, Producer, Producers, Refused, Stage, TransactionError,
    TransactionScope, Unfinished, partition_of,
};
pub use range::{Bound, RangeEvent, RangeReader, RangeSettings, Span, Times, TopicRange};
pub use retry::retry_until;

/// librdkafka's client, re-exported so that its version is chosen in one place.
pub use rdkafka;

/// Returns these partitions of one topic, each with an offset, as the client takes them.
/// [`rdkafka::Offset::Invalid`] stands for no offset.
fn partition_list(
    topic: &str,
    partitions: impl IntoIterator<Item = (Partition, rdkafka::Offset)>,
) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in partitions {
        list.add_partition_offset(topic, partition, offset)?;
    }
    Ok(list)
}
