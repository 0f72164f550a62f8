//! Reading the dead letters of a topic, and what became of them.

use super::{Ledger, Letter, NotALetter, States};
use crate::kafka::{KafkaSettings, partitions, read_to_end};
use crate::lifecycle::Failure;
use crate::record::InputRecord;
use crate::settings::{dead_letters_of, states_of};

/// The dead letters of one topic.
#[derive(Debug, Clone)]
pub struct Shelf {
    kafka: KafkaSettings,
    source: String,
}

impl Shelf {
    /// The dead letters of `source`.
    pub const fn new(kafka: KafkaSettings, source: String) -> Self {
        Self { kafka, source }
    }

    /// The topic whose records they were.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The topic of the letters.
    pub fn dead_letters(&self) -> String {
        dead_letters_of(&self.source)
    }

    /// What became of the letters by now.
    ///
    /// # Errors
    /// Exit code 1 when the topic can't be read, or holds what is no state.
    pub fn states(&self) -> Result<States, Failure> {
        let topic = states_of(&self.dead_letters());
        let mut states = States::default();
        if partitions(&self.kafka, &topic)? == 0 {
            tracing::warn!("there is no topic {topic}: every letter counts as open");
            return Ok(states);
        }
        read_to_end(&self.kafka, &topic, None, |record| {
            states.fold(record.key(), record.value()).map_err(|why| {
                Failure::failed(format!(
                    "the record {topic}/{}/{} is no state of a dead letter: {why}; a newer version \
                     may have written it",
                    record.partition(),
                    record.offset()
                ))
            })
        })?;
        Ok(states)
    }

    /// Calls `each` with every letter there is by now, in the order in which they were written.
    ///
    /// # Errors
    /// The first error of `each`; exit code 1 when the topic can't be read.
    pub fn each(
        &self,
        mut each: impl FnMut(Result<Letter, NotALetter>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        read_to_end(&self.kafka, &self.dead_letters(), None, |record| {
            each(self.letter(record))
        })
    }

    fn letter(&self, record: &impl InputRecord) -> Result<Letter, NotALetter> {
        let letter = Letter::of(record)?;
        if letter.identity.topic == self.source {
            Ok(letter)
        } else {
            Err(NotALetter::of_another_topic())
        }
    }

    /// Where states are written, for the redrives and discards of `group`.
    ///
    /// # Errors
    /// Exit code 1 when the topic is not there; see [`Ledger::open`].
    pub fn ledger(&self, group: &str) -> Result<Ledger, Failure> {
        let topic = states_of(&self.dead_letters());
        if partitions(&self.kafka, &topic)? == 0 {
            return Err(Failure::failed(format!(
                "there is no topic {topic} at {}, which keeps what became of the dead letters; \
                 create it (processor check --fix does), compacted",
                self.kafka.kafka_bootstrap_servers
            )));
        }
        Ledger::open(&self.kafka, format!("{group}/redrive"), topic)
    }
}
