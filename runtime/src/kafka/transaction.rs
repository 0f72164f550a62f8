//! Transactions whose errors say what to do next.
//!
//! One thread drives a transaction: begin, send, drain, offsets, commit. The wrapper's own commit
//! waits in slices of 100 ms while anything is unacknowledged, so [`drain`] comes first. Some of
//! the calls block without a limit: [`Producer`](super::Producer) bounds them.
//!
//! [`drain`]: Client::drain

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header as KafkaHeader, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use rdkafka::{ClientConfig, TopicPartitionList};

use super::authorization::explained;
use crate::lifecycle::Failure;
use crate::record::Partition;
use crate::wording::count;

/// What to do after a transactional call failed.
#[derive(Debug, Clone)]
pub enum TransactionError {
    /// Nothing is decided yet: call the same again.
    Retriable(String),
    /// This transaction can only be aborted; the producer lives on.
    Abortable(String),
    /// The producer is dead, and whether its last transaction was committed may be unknown:
    /// build a new one and ask the group for its offsets.
    Fatal(String),
    /// As fatal, because another producer took over the transactional id (or the transaction
    /// outlived its timeout).
    Fenced(String),
}

impl fmt::Display for TransactionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retriable(why) => write!(f, "{why} (to be tried again)"),
            Self::Abortable(why) => write!(f, "{why} (the transaction is to be aborted)"),
            Self::Fatal(why) => write!(f, "{why} (a new producer is needed)"),
            Self::Fenced(why) => write!(f, "{why} (fenced)"),
        }
    }
}

impl TransactionError {
    /// Tests the flags in librdkafka's order: fatal, abort, retry; none set is a bug of ours, and
    /// treated as fatal (rdkafka.h, "Transactional producer API").
    fn of(error: KafkaError) -> Self {
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
            // The wrapper's flush ran out of time before the commit: nothing was ended yet.
            KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut) => Self::Retriable(why),
            _ => Self::Fatal(why),
        }
    }
}

/// A record that the broker refused for what it is or where it was to go: it would refuse the same
/// record again. Records that were only not acknowledged are not among these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The record's place, from 0, among those sent since the last
    /// [`Producer::begin`](super::Producer::begin), or without transactions since the last
    /// [`Producer::drain`](super::Producer::drain) that succeeded.
    pub index: usize,
    /// Whether a smaller record might be taken.
    pub too_large: bool,
    /// The broker's sentence.
    pub why: String,
}

impl Refused {
    /// Only codes that judge the record or its topic (`Errors.java`): others judge the producer, or
    /// say that the broker could not answer, and may be other ones at the next try.
    fn of(index: usize, error: &KafkaError) -> Option<Self> {
        use RDKafkaErrorCode as Code;
        let code = error.rdkafka_error_code()?;
        let too_large = matches!(
            code,
            Code::MessageSizeTooLarge | Code::InvalidMessageSize | Code::MessageBatchTooLarge
        );
        let is_verdict = too_large
            || matches!(
                code,
                Code::InvalidRecord
                    | Code::InvalidTimestamp
                    | Code::InvalidTopic
                    | Code::PolicyViolation
                    | Code::TopicAuthorizationFailed
                    | Code::UnsupportedForMessageFormat
            );
        is_verdict.then(|| Self {
            index,
            too_large,
            why: explained(error),
        })
    }
}

/// A record to be written.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// To which topic.
    pub topic: &'a str,
    /// Decides the partition, as Kafka's own tools would.
    pub key: Option<&'a [u8]>,
    /// Null is a tombstone.
    pub value: Option<&'a [u8]>,
    /// All headers in order: a name, and a value that may be null.
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
}

/// How [`Client::drain`] waits between two looks. The wrapper's own `poll` with a time goes on
/// until that time is over, whatever came, and spins through what is below a millisecond: on a core
/// that the broker may need to answer.
const SHORTEST_WAIT: Duration = Duration::from_micros(50);
const MAX_WAIT: Duration = Duration::from_millis(5);

/// librdkafka's producer: with a transactional id in its configuration it writes transactions,
/// without one it sends and drains.
pub(super) struct Client {
    producer: BaseProducer<Deliveries>,
}

/// Remembers which records of the transaction could not be delivered. A record's delivery opaque is
/// its place among the records that were sent.
#[derive(Default)]
struct Deliveries {
    sent: AtomicUsize,
    failures: Mutex<Failures>,
}

#[derive(Default)]
struct Failures {
    first: Option<KafkaError>,
    count: usize,
    refused: Vec<Refused>,
}

impl Deliveries {
    fn failures(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn first_failure(&self) -> Option<KafkaError> {
        self.failures().first.clone()
    }

    fn note_failure(&self, index: usize, error: &KafkaError) {
        let mut failures = self.failures();
        failures.first.get_or_insert_with(|| error.clone());
        failures.count += 1;
        failures.refused.extend(Refused::of(index, error));
    }

    /// The next record is the first.
    fn restart(&self) {
        self.sent.store(0, Ordering::Relaxed);
        *self.failures() = Failures::default();
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        super::group::log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka producer");
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, index: usize) {
        if let Err((error, _)) = result {
            self.note_failure(index, error);
        }
    }
}

impl Client {
    /// Builds the client; does not talk to the broker yet.
    ///
    /// # Errors
    /// Exit code 2 when librdkafka refuses the configuration.
    pub(super) fn new(config: &ClientConfig) -> Result<Self, Failure> {
        let producer = config
            .create_with_context(Deliveries::default())
            .map_err(|error| Failure::bad_setting(format!("Kafka producer: {error}")))?;
        Ok(Self { producer })
    }

    /// Takes over the transactional id: fences whoever had it, and ends what they left open.
    ///
    /// # Errors
    /// See [`TransactionError`]; retriable while the broker does not answer.
    pub(super) fn init(&self, timeout: Duration) -> Result<(), TransactionError> {
        self.producer
            .init_transactions(timeout)
            .map_err(TransactionError::of)
    }

    /// Opens a transaction; local.
    ///
    /// # Errors
    /// See [`TransactionError`].
    pub(super) fn begin(&self) -> Result<(), TransactionError> {
        self.producer.context().restart();
        self.producer
            .begin_transaction()
            .map_err(TransactionError::of)
    }

    /// Hands a record to the client, waiting up to `timeout` for room in its queue.
    ///
    /// # Errors
    /// [`TransactionError::Retriable`] when there was no room in time, [`TransactionError::Abortable`]
    /// otherwise: an earlier record of the transaction failed, or this one can't be sent at all.
    pub(super) fn send(
        &self,
        record: &Outgoing<'_>,
        timeout: Duration,
    ) -> Result<(), TransactionError> {
        self.send_to(record, None, timeout)
    }

    /// The same, to a partition that the key does not choose.
    pub(super) fn send_to(
        &self,
        record: &Outgoing<'_>,
        partition: Option<Partition>,
        timeout: Duration,
    ) -> Result<(), TransactionError> {
        let deadline = Instant::now() + timeout;
        let deliveries = self.producer.context();
        let index = deliveries.sent.load(Ordering::Relaxed);
        let mut message = BaseRecord::<[u8], [u8], usize>::with_opaque_to(record.topic, index);
        message.key = record.key;
        message.payload = record.value;
        message.partition = partition;
        if !record.headers.is_empty() {
            message.headers = Some(kafka_headers(record.headers));
        }
        loop {
            match self.producer.send(message) {
                Ok(()) => {
                    deliveries.sent.store(index + 1, Ordering::Relaxed);
                    return Ok(());
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), returned)) => {
                    if Instant::now() >= deadline {
                        return Err(TransactionError::Retriable(
                            "the producer's queue is full".to_owned(),
                        ));
                    }
                    self.producer.poll(Duration::from_millis(1));
                    message = returned;
                }
                Err((error, _)) => {
                    let first = deliveries.first_failure();
                    deliveries.note_failure(index, &error);
                    deliveries.sent.store(index + 1, Ordering::Relaxed);
                    return Err(self.fatal_or(TransactionError::Abortable(explained(
                        &first.unwrap_or(error),
                    ))));
                }
            }
        }
    }

    /// Waits until every record is acknowledged.
    ///
    /// # Errors
    /// [`TransactionError::Retriable`] when some still are not after `timeout`;
    /// [`TransactionError::Abortable`] when one was refused.
    pub(super) fn drain(&self, timeout: Duration) -> Result<(), TransactionError> {
        let began = Instant::now();
        let mut left = self.producer.in_flight_count();
        while left > 0 {
            let before = left;
            self.producer.poll(Duration::ZERO);
            left = self.producer.in_flight_count();
            // Another acknowledgement may be at hand.
            if left < before {
                continue;
            }
            let waited = began.elapsed();
            if waited >= timeout {
                return Err(TransactionError::Retriable(format!(
                    "not acknowledged yet: {}",
                    count(left, "record")
                )));
            }
            std::thread::sleep((waited / 8).clamp(SHORTEST_WAIT, MAX_WAIT));
        }
        match self.producer.context().first_failure() {
            None => {
                self.producer.context().restart();
                Ok(())
            }
            Some(error) => Err(self.fatal_or(TransactionError::Abortable(explained(&error)))),
        }
    }

    /// How many records could not be delivered, refused ones included.
    pub(super) fn failed(&self) -> usize {
        self.producer.context().failures().count
    }

    /// Takes the records that the broker refused for what they are, in the order of the refusals.
    pub(super) fn take_refused(&self) -> Vec<Refused> {
        std::mem::take(&mut self.producer.context().failures().refused)
    }

    /// Adds a group's offsets to the transaction. Waits without a limit while the group's coordinator
    /// is away, whatever `timeout` says (`rd_kafka_send_offsets_to_transaction`, as of librdkafka
    /// 2.12).
    ///
    /// # Errors
    /// See [`TransactionError`]. Retry with the very same arguments only.
    pub(super) fn send_offsets(
        &self,
        offsets: &GroupOffsets,
        timeout: Duration,
    ) -> Result<(), TransactionError> {
        self.producer
            .send_offsets_to_transaction(&offsets.offsets, &offsets.group, timeout)
            .map_err(TransactionError::of)
    }

    /// Commits. [`drain`](Self::drain) first.
    ///
    /// # Errors
    /// See [`TransactionError`]; when retriable, call it again: it resumes.
    pub(super) fn commit(&self, timeout: Duration) -> Result<(), TransactionError> {
        self.producer
            .commit_transaction(timeout)
            .map_err(TransactionError::of)
    }

    /// Aborts. [`drain`](Self::drain) first: an abort that overtakes the first record's
    /// registration kills the client (confluentinc/librdkafka#4849).
    ///
    /// # Errors
    /// See [`TransactionError`]; when retriable, call it again: it resumes.
    pub(super) fn abort(&self, timeout: Duration) -> Result<(), TransactionError> {
        self.producer
            .abort_transaction(timeout)
            .map_err(TransactionError::of)
    }

    /// A failed delivery may be the first sign of a dead client.
    fn fatal_or(&self, otherwise: TransactionError) -> TransactionError {
        match self.producer.client().fatal_error() {
            None => otherwise,
            Some((code, why)) => match code {
                RDKafkaErrorCode::Fenced
                | RDKafkaErrorCode::ProducerFenced
                | RDKafkaErrorCode::InvalidProducerEpoch => TransactionError::Fenced(why),
                _ => TransactionError::Fatal(why),
            },
        }
    }
}

fn kafka_headers(headers: &[(&str, Option<&[u8]>)]) -> OwnedHeaders {
    headers.iter().fold(
        OwnedHeaders::new_with_capacity(headers.len()),
        |owned, (key, value)| owned.insert(KafkaHeader { key, value: *value }),
    )
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
    /// These offsets, committed by this member.
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
    /// All of its records must be acknowledged.
    Draining,
    /// It is committed.
    Committing,
}

/// A transaction that was not ended.
#[derive(Debug, Clone)]
pub struct Unfinished {
    /// How far it came.
    pub stage: Stage,
    /// What this stage's call said.
    pub error: TransactionError,
}
