//! Reading the dead letters of a topic, and what became of them.

use super::{Ledger, Letter, NotALetter, States};
use crate::kafka::{KafkaSettings, TopicRange};
use crate::lifecycle::Failure;
use crate::record::InputRecord;
use crate::settings::{dead_letters_of, states_of};

/// The dead letters of one topic.
#[derive(Debug, Clone)]
pub struct Shelf {
    kafka: KafkaSettings,
    source: String,
    group: String,
}

impl Shelf {
    /// The dead letters of `source`, which the consumers of `group` wrote.
    pub const fn new(kafka: KafkaSettings, source: String, group: String) -> Self {
        Self {
            kafka,
            source,
            group,
        }
    }

    pub(super) const fn kafka(&self) -> &KafkaSettings {
        &self.kafka
    }

    pub(super) fn group(&self) -> &str {
        &self.group
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
        TopicRange::whole(&self.kafka, &topic)?.read(&self.kafka, &self.group, |record| {
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
        TopicRange::whole(&self.kafka, &self.dead_letters())?.read(
            &self.kafka,
            &self.group,
            |record| each(self.letter(record)),
        )
    }

    fn letter(&self, record: &impl InputRecord) -> Result<Letter, NotALetter> {
        let letter = Letter::of(record)?;
        if letter.identity.topic == self.source {
            Ok(letter)
        } else {
            Err(NotALetter::of_another_topic())
        }
    }

    /// Where states are written: by one redrive or discard of the group at a time.
    ///
    /// # Errors
    /// Exit code 1 when the topic is not there; see [`Ledger::open`].
    pub fn ledger(&self) -> Result<Ledger, Failure> {
        let topic = states_of(&self.dead_letters());
        // Looked for before anything is evaluated; it would be missed only when all is done.
        TopicRange::whole(&self.kafka, &topic)?;
        Ledger::open(&self.kafka, format!("{}/redrive", self.group), topic)
    }
}
