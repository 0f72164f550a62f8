//! The one way to build a Kafka client.
//!
//! librdkafka's defaults differ from Kafka's own (partitioner, idempotence, isolation, offset
//! reset); everything that a promise rests on is set here, and `KAFKA_PROPERTIES` can't undo it.

mod authorization;
mod beside;
mod blocked;
mod committed;
mod doubt;
mod ends;
mod fetch_queue;
mod first;
mod group;
mod hanging_transactions;
mod membership;
mod partitioner;
mod placement;
mod probe;
mod producer;
mod producers;
mod progress;
mod properties;
mod range;
mod settings;
mod subscription;
mod transaction;
mod whole;
mod worker;

pub use authorization::{Right, committed_offsets, is_refusal};
pub use blocked::{Blocked, Cause};
pub use fetch_queue::FetchedRecord;
pub use first::{First, first_records};
pub use hanging_transactions::TransactionScope;
pub use membership::{Membership, MembershipObserver, session_timeout};
pub use partitioner::partition_of;
pub use probe::BrokerProbe;
pub use producer::Producer;
pub use producers::Producers;
pub use range::{Bound, RangeEvent, RangeReader, RangeSettings, Span, Times, TopicRange};
pub use settings::{KafkaSettings, TRANSACTION_TIMEOUT};
pub use subscription::{AssignmentChange, CommitError, Polled, Subscription};
pub use transaction::{GroupOffsets, Outgoing, Refused, Stage, TransactionError, Unfinished};

/// librdkafka's client, re-exported so that its version is chosen in one place.
pub use rdkafka;
