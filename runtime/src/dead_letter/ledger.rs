//! Writing what became of letters, in one transaction with all that belongs to it.
//!
//! A command's transactions, not a service's: what fails is told in a sentence and the command ends,
//! because whoever runs it again goes on where the last committed transaction ended.

use std::time::{Duration, Instant};

use super::{DeadLetterId, State, StateKey};
use crate::backoff::Backoff;
use crate::kafka::{KafkaSettings, Outgoing, Producer, TransactionError};
use crate::lifecycle::Failure;
use crate::record::Header;

/// How long one call may wait for the broker.
const SLICE: Duration = Duration::from_millis(500);

/// A broker that has not answered for so long is told to the person, who waits for it better.
const DEADLINE: Duration = Duration::from_secs(30);

/// How long a record may wait for room in the producer's queue.
const ROOM: Duration = Duration::from_secs(5);

/// A record to be written that owns its bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnedOutgoing {
    /// To which topic.
    pub topic: String,
    /// The key's bytes.
    pub key: Option<Vec<u8>>,
    /// The value's bytes.
    pub value: Option<Vec<u8>>,
    /// All headers in order.
    pub headers: Vec<Header>,
}

impl OwnedOutgoing {
    /// A copy.
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

/// The only writer of a group's states: its transactional id fences every other.
pub struct Ledger {
    producer: Producer,
    group: String,
    topic: String,
}

fn transactional_id(group: &str) -> String {
    format!("{group}/redrive")
}

impl Ledger {
    /// How many states go into one transaction: far below what its timeout allows.
    pub const MAX_STATES: usize = 500;

    /// Takes over the transactional id `GROUP/redrive`, and so ends what a predecessor left open:
    /// states of this group that are read after this are all there are.
    ///
    /// # Errors
    /// Exit code 1 when the broker does not answer, 2 for settings that can't work.
    pub fn open(settings: &KafkaSettings, group: String, topic: String) -> Result<Self, Failure> {
        let config = settings.transactional_producer(&transactional_id(&group))?;
        let ledger = Self {
            producer: Producer::new(&config)?,
            group,
            topic,
        };
        ledger.until_answered(|producer| producer.init(SLICE))?;
        Ok(ledger)
    }

    /// Writes all of it, or nothing.
    ///
    /// # Errors
    /// Exit code 1, saying that nothing is half done.
    pub fn write(
        &self,
        outputs: &[OwnedOutgoing],
        states: &[(DeadLetterId, State)],
    ) -> Result<(), Failure> {
        let written = self.write_all(outputs, states);
        if written.is_err() {
            // What stays open is hidden from readers until its timeout, and hides what follows.
            let _ = self.producer.drain(SLICE);
            let _ = self.producer.abort(SLICE);
        }
        written
    }

    fn write_all(
        &self,
        outputs: &[OwnedOutgoing],
        states: &[(DeadLetterId, State)],
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
        for (identity, state) in states {
            let key = StateKey::Of(identity.clone(), self.group.clone());
            self.send(&Outgoing {
                topic: &self.topic,
                key: Some(key.to_string().as_bytes()),
                value: Some(&state.to_bytes()),
                headers: &[],
            })?;
        }
        self.until_answered(|producer| producer.drain(SLICE))?;
        self.until_answered(|producer| producer.commit(SLICE))
    }

    fn send(&self, record: &Outgoing<'_>) -> Result<(), Failure> {
        self.once(self.producer.send(record, ROOM))
    }

    /// The same call again for as long as it may yet succeed.
    fn until_answered(
        &self,
        call: impl Fn(&Producer) -> Result<(), TransactionError>,
    ) -> Result<(), Failure> {
        let deadline = Instant::now() + DEADLINE;
        let mut backoff = Backoff::outside();
        loop {
            match call(&self.producer) {
                Err(TransactionError::Retriable(why)) if Instant::now() < deadline => {
                    tracing::debug!(why, "waiting for the broker");
                    std::thread::sleep(backoff.next_pause());
                }
                answer => return self.once(answer),
            }
        }
    }

    fn once(&self, answer: Result<(), TransactionError>) -> Result<(), Failure> {
        answer.map_err(|error| match error {
            TransactionError::Fenced(_) => Failure::failed(format!(
                "another redrive or discard has taken over \"{}\"; run this again when that one \
                 has ended (what was committed stays, and is not done twice)",
                transactional_id(&self.group)
            )),
            TransactionError::Retriable(why)
            | TransactionError::Abortable(why)
            | TransactionError::Fatal(why) => Failure::failed(format!(
                "the broker did not take a transaction: {why}; run this again (what was committed \
                 stays, and is not done twice)"
            )),
        })
    }
}
