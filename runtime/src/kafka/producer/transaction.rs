//! What a transaction is made of: records, offsets, stages, and errors that say what to do next.
//!
//! One thread drives a transaction: begin, send, drain, send offsets, commit.

use std::fmt;
use std::sync::Arc;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::kafka::admin::explained;

/// What to do after a transactional call failed.
#[derive(Debug, Clone)]
pub enum TransactionError {
    /// Nothing is decided yet: repeat the same call.
    Retriable(String),
    /// This transaction can only be aborted; the producer lives on.
    Abortable(String),
    /// The producer cannot be used any more, and whether its last transaction was committed may be
    /// unknown: build a new one, and read the group's committed offsets.
    Fatal(String),
    /// As fatal: another producer took over the transactional id, or the transaction outlived its
    /// timeout.
    Fenced(String),
}

impl fmt::Display for TransactionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retriable(why) => write!(f, "{why} (retrying)"),
            Self::Abortable(why) => write!(f, "{why} (the transaction must be aborted)"),
            Self::Fatal(why) => write!(f, "{why} (a new producer is needed)"),
            Self::Fenced(why) => write!(f, "{why} (fenced)"),
        }
    }
}

impl TransactionError {
    /// Returns the cause alone, without what it means for a transaction.
    pub fn why(&self) -> &str {
        let (Self::Retriable(why) | Self::Abortable(why) | Self::Fatal(why) | Self::Fenced(why)) =
            self;
        why
    }

    /// Tests the flags in librdkafka's order: fatal, abort, retry. An error without a flag is a bug
    /// of ours and treated as fatal (rdkafka.h, "Transactional producer API").
    pub(super) fn of(error: KafkaError) -> Self {
        let why = explained(&error);
        match &error {
            KafkaError::Transaction(cause) => {
                let fenced = matches!(
                    cause.code(),
                    RDKafkaErrorCode::Fenced
                        | RDKafkaErrorCode::ProducerFenced
                        | RDKafkaErrorCode::InvalidProducerEpoch
                        | RDKafkaErrorCode::FencedInstanceId
                );
                if cause.is_fatal() {
                    if fenced {
                        Self::Fenced(why)
                    } else {
                        Self::Fatal(why)
                    }
                } else if cause.txn_requires_abort() {
                    Self::Abortable(why)
                } else if cause.is_retriable() {
                    Self::Retriable(why)
                } else {
                    Self::Fatal(why)
                }
            }
            // The wrapper flushes before it commits, and that timed out: nothing is decided yet.
            KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut) => Self::Retriable(why),
            _ => Self::Fatal(why),
        }
    }
}

/// A record that the broker refused for its content or its topic, and would refuse again. A record
/// that was not acknowledged in time is not refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its index among the records sent since the last
    /// [`Producer::begin`](super::Producer::begin), or without transactions since the last
    /// [`Producer::drain`](super::Producer::drain) that succeeded.
    pub index: usize,
    /// Whether a smaller record may be accepted.
    pub too_large: bool,
    /// The broker's message.
    pub why: String,
}

impl Refused {
    /// Returns `None` for an error that does not concern the record or its topic (`Errors.java`): it
    /// concerns the producer, or the broker could not answer, and the next attempt may succeed.
    pub(super) fn of(index: usize, error: &KafkaError) -> Option<Self> {
        use RDKafkaErrorCode as Code;
        let code = error.rdkafka_error_code()?;
        let too_large = matches!(
            code,
            Code::MessageSizeTooLarge | Code::InvalidMessageSize | Code::MessageBatchTooLarge
        );
        let is_refusal = too_large
            || matches!(
                code,
                Code::InvalidRecord
                    | Code::InvalidTimestamp
                    | Code::InvalidTopic
                    | Code::PolicyViolation
                    | Code::TopicAuthorizationFailed
                    | Code::UnsupportedForMessageFormat
            );
        is_refusal.then(|| Self {
            index,
            too_large,
            why: explained(error),
        })
    }
}

/// A record to write.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The key, which decides the partition as it does for Kafka's own tools.
    pub key: Option<&'a [u8]>,
    /// The value; null is a tombstone.
    pub value: Option<&'a [u8]>,
    /// All headers in order: each a name, and a value that may be null.
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
}

/// The offsets that a transaction commits, as a member of its group.
#[derive(Clone)]
pub struct GroupOffsets {
    /// The offsets.
    pub offsets: TopicPartitionList,
    /// The member and its generation.
    pub group: Arc<ConsumerGroupMetadata>,
}

impl GroupOffsets {
    /// Offsets that this member commits.
    pub fn new(offsets: TopicPartitionList, group: ConsumerGroupMetadata) -> Self {
        Self {
            offsets,
            group: Arc::new(group),
        }
    }
}

/// The calls that end a transaction, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The offsets are added to the transaction.
    SendingOffsets,
    /// Its records have to be acknowledged.
    Draining,
    /// It is committed.
    Committing,
}

/// A transaction that could not be ended.
#[derive(Debug, Clone)]
pub struct Unfinished {
    /// The call that failed.
    pub stage: Stage,
    /// Its error.
    pub error: TransactionError,
}
