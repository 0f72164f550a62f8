//! librdkafka's producer, wrapped so that its errors say what to do next.
//!
//! Some of these calls block without a limit, whatever timeout they are given:
//! [`Producer`](super::Producer) makes those on a thread of its own.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header as KafkaHeader, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};

use super::limits::{MAX_DRAIN_SLEEP, MIN_DRAIN_SLEEP, QUEUE_FULL_WAIT};
use super::transaction::{GroupOffsets, Outgoing, Refused, TransactionError};
use crate::kafka::admin::explained;
use crate::kafka::client_log;
use crate::kafka::config::create_client;
use crate::lifecycle::Failure;
use crate::plural::count;
use crate::record::Partition;

/// librdkafka's producer. Its calls are those of [`Producer`](super::Producer), which has their
/// documentation.
pub(super) struct Client {
    producer: BaseProducer<Deliveries>,
}

/// The producer's context: remembers which records could not be delivered. A record's delivery opaque
/// is its index among the records that were sent.
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
    fn lock_failures(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn first_failure(&self) -> Option<KafkaError> {
        self.lock_failures().first.clone()
    }

    fn note_failure(&self, index: usize, error: &KafkaError) {
        let mut failures = self.lock_failures();
        failures.first.get_or_insert_with(|| error.clone());
        failures.count += 1;
        failures.refused.extend(Refused::of(index, error));
    }

    /// Forgets all records: the next one has index 0.
    fn restart(&self) {
        self.sent.store(0, Ordering::Relaxed);
        *self.lock_failures() = Failures::default();
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        client_log::log(level, facility, message);
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
    pub(super) fn new(config: &ClientConfig) -> Result<Self, Failure> {
        let producer = create_client(config, Deliveries::default(), "producer")?;
        Ok(Self { producer })
    }

    pub(super) fn init(&self, timeout: Duration) -> Result<(), TransactionError> {
        self.producer
            .init_transactions(timeout)
            .map_err(TransactionError::of)
    }

    pub(super) fn begin(&self) -> Result<(), TransactionError> {
        self.producer.context().restart();
        self.producer
            .begin_transaction()
            .map_err(TransactionError::of)
    }

    /// Sends to `partition`, or to the one that the key chooses.
    pub(super) fn send(
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
                    self.producer.poll(QUEUE_FULL_WAIT);
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

    pub(super) fn drain(&self, timeout: Duration) -> Result<(), TransactionError> {
        let began = Instant::now();
        let mut left = self.producer.in_flight_count();
        while left > 0 {
            let before = left;
            self.producer.poll(Duration::ZERO);
            left = self.producer.in_flight_count();
            // More acknowledgements may have come already.
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
            std::thread::sleep((waited / 8).clamp(MIN_DRAIN_SLEEP, MAX_DRAIN_SLEEP));
        }
        match self.producer.context().first_failure() {
            None => {
                self.producer.context().restart();
                Ok(())
            }
            Some(error) => Err(self.fatal_or(TransactionError::Abortable(explained(&error)))),
        }
    }

    pub(super) fn failed(&self) -> usize {
        self.producer.context().lock_failures().count
    }

    pub(super) fn take_refused(&self) -> Vec<Refused> {
        std::mem::take(&mut self.producer.context().lock_failures().refused)
    }

    /// Blocks without a limit while the group's coordinator is away, whatever `timeout` is
    /// (`rd_kafka_send_offsets_to_transaction`, as of librdkafka 2.12).
    pub(super) fn send_offsets(
        &self,
        offsets: &GroupOffsets,
        timeout: Duration,
    ) -> Result<(), TransactionError> {
        self.producer
            .send_offsets_to_transaction(&offsets.offsets, &offsets.group, timeout)
            .map_err(TransactionError::of)
    }

    pub(super) fn commit(&self, timeout: Duration) -> Result<(), TransactionError> {
        self.producer
            .commit_transaction(timeout)
            .map_err(TransactionError::of)
    }

    pub(super) fn abort(&self, timeout: Duration) -> Result<(), TransactionError> {
        self.producer
            .abort_transaction(timeout)
            .map_err(TransactionError::of)
    }

    /// Returns the client's fatal error if it has one, of which a failed delivery may be the first
    /// sign.
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
