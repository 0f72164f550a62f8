//! The one way to build a Kafka client.
//!
//! librdkafka's defaults differ from Kafka's own (partitioner, idempotence, isolation, offset
//! reset); everything that a promise rests on is set here, and `KAFKA_PROPERTIES` can't undo it.

mod fetch_queue;
mod finisher;
mod group;
mod leftovers;
mod partitioner;
mod probe;
mod producers;
mod progress;
mod properties;
mod range;
mod settings;
mod subscription;
mod transaction;
mod whole;

pub use fetch_queue::FetchedRecord;
pub use finisher::{Finisher, GroupOffsets, Stage, Unfinished};
pub use leftovers::Reach;
pub use partitioner::partition_of;
pub use probe::BrokerProbe;
pub use producers::Producers;
pub use range::{Bound, RangeEvent, RangeReader, RangeSettings, Span, TopicRange};
pub use settings::{KafkaSettings, TRANSACTION_TIMEOUT};
pub use subscription::{AssignmentChange, CommitError, Polled, Subscription};
pub use transaction::{Outgoing, Producer, Refused, TransactionError};

/// librdkafka's client, re-exported so that its version is chosen in one place.
pub use rdkafka;
