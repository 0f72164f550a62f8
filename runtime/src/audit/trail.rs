//! The audit records of one run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use schemas::Timestamp;
use serde::Serialize;

use crate::kafka::{KafkaSettings, Outgoing, Producer, TopicRange, retry_until};
use crate::lifecycle::{Failure, blocking};

/// How long one call may wait for the broker.
const SLICE: Duration = Duration::from_millis(500);

/// How long a record that is written alone may take: a person is waiting for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a record may wait for room in the producer's queue.
const ROOM: Duration = Duration::from_secs(5);

/// Where the effects of a command are recorded, and in whose name.
#[derive(Debug, Clone)]
pub struct Audit {
    topic: String,
    service: &'static str,
    by: String,
    why: String,
}

/// The command that is recorded, and what it is run on.
#[derive(Debug, Clone, Serialize)]
pub struct Action {
    /// The name of the run, which is the key of its audit records. Vouchers and states of dead
    /// letters carry it too.
    pub run: String,
    /// Of a backfill: the number of the run under its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_number: Option<u64>,
    /// The command, such as `redrive`.
    pub command: &'static str,
    /// The consumer group that it is run for.
    pub group: String,
    /// What it is run on, such as a topic and a range, or an order.
    pub what: String,
}

/// How much one transaction does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct AuditCounts {
    /// Records or dead letters that were evaluated.
    pub records: u64,
    /// Voucher records that were written.
    pub vouchers: u64,
    /// Rows that were inserted. Postgres is not part of the transaction.
    pub rows: u64,
    /// Dead letters that were written.
    pub dead_letters: u64,
    /// Dead letters that were closed.
    pub dead_letters_closed: u64,
    /// Dead letters that were tried and stay open.
    pub dead_letters_open: u64,
}

/// Which of its two audit records this is, for an effect outside of Kafka.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It was written before the effect.
    Begin,
    /// It was written after the effect.
    End,
}

/// Writes the audit records of one run. Clones share the numbers of the records.
#[derive(Debug, Clone)]
pub struct AuditTrail {
    audit: Audit,
    action: Action,
    /// The number of records so far.
    parts: Arc<AtomicU64>,
}

/// The value of an audit record.
#[derive(Serialize)]
struct AuditRecord<'a> {
    #[serde(flatten)]
    action: &'a Action,
    service: &'a str,
    by: &'a str,
    why: &'a str,
    /// RFC 3339.
    at: String,
    /// The number of the record in its process, from 1.
    part: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<Phase>,
    #[serde(flatten)]
    counts: AuditCounts,
}

impl Audit {
    pub(super) const fn new(topic: String, service: &'static str, by: String, why: String) -> Self {
        Self {
            topic,
            service,
            by,
            why,
        }
    }

    /// Returns who runs the command.
    pub fn by(&self) -> &str {
        &self.by
    }

    /// Returns why the command is run.
    pub fn why(&self) -> &str {
        &self.why
    }

    /// Begins the audit records of a run. Writes nothing.
    pub fn of(self, action: Action) -> AuditTrail {
        AuditTrail {
            audit: self,
            action,
            parts: Arc::default(),
        }
    }
}

impl AuditTrail {
    /// Returns who runs the command.
    pub fn by(&self) -> &str {
        self.audit.by()
    }

    /// Checks that the topic exists, so that a command can refuse before it has an effect. Blocks
    /// its thread.
    ///
    /// # Errors
    /// Exit code 1 when there is no such topic, this user may not describe it, or no broker answers.
    pub fn require_topic(&self, kafka: &KafkaSettings) -> Result<(), Failure> {
        TopicRange::whole(kafka, &self.audit.topic).map(drop)
    }

    /// Gives the next audit record to `send`, which writes it in the transaction of its effect.
    ///
    /// # Errors
    /// The error of `send`.
    pub fn send<E>(
        &self,
        counts: AuditCounts,
        send: impl FnOnce(&Outgoing<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.send_phase(None, counts, send)
    }

    /// Writes the next audit record outside of a transaction, for an effect that is not in Kafka.
    ///
    /// # Errors
    /// Exit code 1 when there is no such topic, or the record is not acknowledged.
    pub async fn write(
        &self,
        kafka: &KafkaSettings,
        phase: Option<Phase>,
        counts: AuditCounts,
    ) -> Result<(), Failure> {
        let (trail, kafka) = (self.clone(), kafka.clone());
        blocking("audit", move || trail.write_blocking(&kafka, phase, counts)).await
    }

    /// Does what [`write`](Self::write) does. Blocks its thread.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_blocking(
        &self,
        kafka: &KafkaSettings,
        phase: Option<Phase>,
        counts: AuditCounts,
    ) -> Result<(), Failure> {
        self.require_topic(kafka)?;
        let producer = Producer::new(&kafka.producer()?)?;
        let deadline = Instant::now() + PATIENCE;
        self.send_phase(phase, counts, |record| producer.send(record, ROOM))
            .and_then(|()| retry_until(deadline, || producer.drain(SLICE)))
            .map_err(|error| {
                Failure::failed(format!(
                    "cannot write the audit record to {}: {}",
                    self.audit.topic,
                    error.why()
                ))
            })
    }

    fn send_phase<E>(
        &self,
        phase: Option<Phase>,
        counts: AuditCounts,
        send: impl FnOnce(&Outgoing<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let value = self.next_value(phase, counts);
        send(&Outgoing {
            topic: &self.audit.topic,
            key: Some(self.action.run.as_bytes()),
            value: Some(&value),
            headers: &[],
        })
    }

    fn next_value(&self, phase: Option<Phase>, counts: AuditCounts) -> Vec<u8> {
        let record = AuditRecord {
            action: &self.action,
            service: self.audit.service,
            by: &self.audit.by,
            why: &self.audit.why,
            at: Timestamp::from(chrono::Utc::now()).to_string(),
            part: self.parts.fetch_add(1, Ordering::Relaxed) + 1,
            phase,
            counts,
        };
        // A struct of strings and numbers always serializes.
        serde_json::to_vec(&record).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use serde_json::{Value, json};

    use super::*;

    fn trail(run_number: Option<u64>) -> AuditTrail {
        let audit = Audit::new(
            "audit".to_owned(),
            "processor",
            "ana".to_owned(),
            "the schema is registered".to_owned(),
        );
        audit.of(Action {
            run: "may".to_owned(),
            run_number,
            command: "backfill",
            group: "processor".to_owned(),
            what: "order-status from earliest to latest".to_owned(),
        })
    }

    /// Returns the next record without its time, whose format is checked.
    fn next(trail: &AuditTrail, phase: Option<Phase>, counts: AuditCounts) -> Value {
        let mut written = Value::Null;
        let Ok(()) = trail.send_phase(phase, counts, |record| {
            assert_eq!((record.topic, record.key), ("audit", Some(&b"may"[..])));
            assert!(record.headers.is_empty());
            written = serde_json::from_slice(record.value.unwrap()).unwrap();
            Ok::<_, Infallible>(())
        });
        let at = written
            .as_object_mut()
            .and_then(|record| record.remove("at"));
        let at = at.as_ref().and_then(Value::as_str).unwrap();
        assert!(at.parse::<Timestamp>().is_ok(), "{at}");
        written
    }

    #[test]
    fn a_record_says_who_what_why_and_how_much() {
        let counts = AuditCounts {
            records: 500,
            vouchers: 200,
            dead_letters: 3,
            ..AuditCounts::default()
        };
        assert_eq!(
            next(&trail(Some(2)), None, counts),
            json!({
                "run": "may", "run_number": 2, "command": "backfill", "service": "processor",
                "group": "processor", "what": "order-status from earliest to latest", "by": "ana",
                "why": "the schema is registered", "part": 1, "records": 500, "vouchers": 200,
                "rows": 0, "dead_letters": 3, "dead_letters_closed": 0, "dead_letters_open": 0,
            })
        );
    }

    #[test]
    fn what_does_not_apply_is_left_out_and_a_phase_is_named() {
        let trail = trail(None);
        let begin = next(&trail, Some(Phase::Begin), AuditCounts::default());
        let end = next(&trail, Some(Phase::End), AuditCounts::default());
        assert_eq!(
            (&begin["phase"], &end["phase"]),
            (&json!("begin"), &json!("end"))
        );
        let record = next(&trail, None, AuditCounts::default());
        assert_eq!(record.get("phase"), None);
        assert_eq!(record.get("run_number"), None);
    }

    #[test]
    fn records_of_all_threads_are_numbered_together() {
        let trail = trail(None);
        let other = trail.clone();
        let parts = [&trail, &other, &trail]
            .map(|trail| next(trail, None, AuditCounts::default())["part"].clone());
        assert_eq!(parts, [json!(1), json!(2), json!(3)]);
    }

    #[test]
    fn an_error_of_the_transaction_is_handed_on() {
        let failed = trail(None).send(AuditCounts::default(), |_| Err("no room"));
        assert_eq!(failed, Err("no room"));
    }
}
