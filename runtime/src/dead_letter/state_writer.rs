//! Writes the outcomes of dead letters, in one transaction with the records that belong to it and
//! with its audit record.
//!
//! The transactions are those of a command: what fails is reported to the person and ends the
//! command. Running the command again continues after the last committed transaction.

use std::time::{Duration, Instant};

use super::{DeadLetterId, DeadLetterState, Outcome, StateKey};
use crate::audit::{AuditCounts, AuditTrail};
use crate::kafka::{KafkaSettings, Outgoing, Producer, TransactionError, retry_until};
use crate::lifecycle::Failure;
use crate::record::Header;

/// How long one call may wait for the broker.
const SLICE: Duration = Duration::from_millis(500);

/// How long a call is repeated until the broker answers. Longer waits are better decided by the
/// person who runs the command.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a record may wait for room in the producer's queue.
const ROOM: Duration = Duration::from_secs(5);

/// A record to be written that owns its bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnedOutgoing {
    /// The topic that it is written to.
    pub topic: String,
    /// The bytes of the key.
    pub key: Option<Vec<u8>>,
    /// The bytes of the value.
    pub value: Option<Vec<u8>>,
    /// All headers in order.
    pub headers: Vec<Header>,
}

impl OwnedOutgoing {
    /// Copies a record.
    pub fn of(record: &Outgoing<'_>) -> Self {
        let headers = record.headers.iter();
        Self {
            topic: record.topic.to_owned(),
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: headers
                .map(|(name, value)| ((*name).to_owned(), value.map(<[u8]>::to_vec)))
                .collect(),
        }
    }
}

/// The only writer of a group's states: its transactional id fences all others.
pub struct StateWriter {
    producer: Producer,
    group: String,
    topic: String,
    audit: Option<AuditTrail>,
}

fn transactional_id(group: &str) -> String {
    format!("{group}/redrive")
}

impl StateWriter {
    /// The maximum number of states in one transaction. Keeps it far below the transaction timeout.
    pub const MAX_STATES: usize = 500;

    /// Takes over the transactional id `GROUP/redrive`, which ends a transaction that a predecessor left
    /// open. Afterwards all existing states of this group can be read. With `audit`, every transaction
    /// has its audit record.
    ///
    /// # Errors
    /// Exit code 1 when the broker does not answer, 2 for settings that cannot work.
    pub fn open(
        settings: &KafkaSettings,
        group: String,
        topic: String,
        audit: Option<AuditTrail>,
    ) -> Result<Self, Failure> {
        let config = settings.transactional_producer(&transactional_id(&group))?;
        let writer = Self {
            producer: Producer::new(&config)?,
            group,
            topic,
            audit,
        };
        writer.until_answered(|producer| producer.init(SLICE))?;
        Ok(writer)
    }

    /// Writes all records and states in one transaction.
    ///
    /// # Errors
    /// Exit code 1; nothing of the transaction is visible then.
    pub fn write(
        &self,
        outputs: &[OwnedOutgoing],
        states: &[(DeadLetterId, DeadLetterState)],
    ) -> Result<(), Failure> {
        let written = self.write_all(outputs, states);
        if written.is_err() {
            // Until its timeout an open transaction would hide all later records of the topics from
            // consumers.
            let _ = self.producer.drain(SLICE);
            let _ = self.producer.abort(SLICE);
        }
        written
    }

    fn write_all(
        &self,
        outputs: &[OwnedOutgoing],
        states: &[(DeadLetterId, DeadLetterState)],
    ) -> Result<(), Failure> {
        self.once(self.producer.begin())?;
        for output in outputs {
            let headers: Vec<_> = output
                .headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_deref()))
                .collect();
            self.send(&Outgoing {
                topic: &output.topic,
                key: output.key.as_deref(),
                value: output.value.as_deref(),
                headers: &headers,
            })?;
        }
        let by = self.audit.as_ref().map(|audit| audit.by().to_owned());
        for (id, state) in states {
            let key = StateKey::Of(id.clone(), self.group.clone());
            let state = DeadLetterState {
                by: by.clone(),
                ..state.clone()
            };
            self.send(&Outgoing {
                topic: &self.topic,
                key: Some(key.to_string().as_bytes()),
                value: Some(&state.to_bytes()),
                headers: &[],
            })?;
        }
        if let Some(audit) = &self.audit {
            audit.send(counts_of(states), |record| self.send(record))?;
        }
        self.until_answered(|producer| producer.drain(SLICE))?;
        self.until_answered(|producer| producer.commit(SLICE))
    }

    fn send(&self, record: &Outgoing<'_>) -> Result<(), Failure> {
        self.once(self.producer.send(record, ROOM))
    }

    fn until_answered(
        &self,
        call: impl Fn(&Producer) -> Result<(), TransactionError>,
    ) -> Result<(), Failure> {
        self.once(retry_until(Instant::now() + PATIENCE, || {
            call(&self.producer)
        }))
    }

    fn once(&self, answer: Result<(), TransactionError>) -> Result<(), Failure> {
        answer.map_err(|error| match error {
            TransactionError::Fenced(_) => Failure::failed(format!(
                "another redrive or discard has taken over the transactional id \"{}\"; run this \
                 command again after it has ended (what was committed is not repeated)",
                transactional_id(&self.group)
            )),
            TransactionError::Retriable(why)
            | TransactionError::Abortable(why)
            | TransactionError::Fatal(why) => Failure::failed(format!(
                "the transaction failed: {why}; run this command again (what was committed is not \
                 repeated)"
            )),
        })
    }
}

/// Returns what an audit record says about a transaction with these states.
fn counts_of(states: &[(DeadLetterId, DeadLetterState)]) -> AuditCounts {
    let mut counts = AuditCounts::default();
    for (_, state) in states {
        counts.records += 1;
        match state.outcome {
            Outcome::Voucher { .. } => counts.vouchers += 1,
            Outcome::Row { existed: false } => counts.rows += 1,
            _ => {}
        }
        if state.outcome.is_final() {
            counts.dead_letters_closed += 1;
        } else {
            counts.dead_letters_open += 1;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_audit_record_counts_what_became_of_the_dead_letters() {
        let skipped = Outcome::Skipped {
            campaign: None,
            reason: "status".to_owned(),
            message: String::new(),
        };
        let failed = Outcome::Failed {
            reason: "invalid_json".to_owned(),
            message: String::new(),
        };
        let voucher = Outcome::Voucher {
            campaign: "order-reward".to_owned(),
        };
        let discarded = Outcome::Discarded {
            note: "a test order".to_owned(),
        };
        let outcomes = [
            voucher.clone(),
            voucher,
            Outcome::Row { existed: false },
            Outcome::Row { existed: true },
            skipped,
            failed,
            discarded,
        ];
        let id: DeadLetterId = "order-status/0/1@0011223344556677".parse().unwrap();
        let states =
            outcomes.map(|outcome| (id.clone(), DeadLetterState::now(outcome, 2, "redrive")));
        assert_eq!(
            counts_of(&states),
            AuditCounts {
                records: 7,
                vouchers: 2,
                rows: 1,
                dead_letters: 0,
                dead_letters_closed: 6,
                dead_letters_open: 1,
            }
        );
    }
}
