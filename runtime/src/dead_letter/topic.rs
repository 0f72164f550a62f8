//! Reading the dead letters of a topic, and what became of them.

use super::{Counts, DeadLetter, Ledger, LetterFilter, NotADeadLetter, Owner, State, States};
use crate::kafka::{KafkaSettings, TopicRange};
use crate::lifecycle::Failure;
use crate::record::InputRecord;
use crate::settings::{dead_letters_of, states_of};

/// The dead letters of one topic, for one of the groups that read it.
#[derive(Debug, Clone)]
pub struct DeadLetterTopic {
    kafka: KafkaSettings,
    source: String,
    owner: Owner,
}

impl DeadLetterTopic {
    /// The dead letters of `source`, as `owner` has to do with them.
    pub const fn new(kafka: KafkaSettings, source: String, owner: Owner) -> Self {
        Self {
            kafka,
            source,
            owner,
        }
    }

    /// Whose letters are meant.
    pub const fn owner(&self) -> &Owner {
        &self.owner
    }

    pub(super) const fn kafka(&self) -> &KafkaSettings {
        &self.kafka
    }

    pub(super) fn group(&self) -> &str {
        &self.owner.group
    }

    /// The topic whose records they were.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The topic of the letters.
    pub fn dead_letters(&self) -> String {
        dead_letters_of(&self.source)
    }

    /// What became of the letters by now, for someone who looks.
    ///
    /// # Errors
    /// Exit code 1 when the topic can't be read, or holds what is no state.
    pub fn states(&self) -> Result<States, Failure> {
        let topic = states_of(&self.dead_letters());
        self.fold(&TopicRange::whole(&self.kafka, &topic)?)
    }

    /// What became of the letters, for someone who decides on them next. Another group's transaction
    /// that is open in the topic hides this group's states behind it, so its end is waited for.
    ///
    /// # Errors
    /// As [`states`](Self::states); exit code 1 too when a transaction stays open.
    pub fn all_states(&self) -> Result<States, Failure> {
        let topic = states_of(&self.dead_letters());
        self.fold(&TopicRange::undecided_too(&self.kafka, &topic)?)
    }

    fn fold(&self, range: &TopicRange) -> Result<States, Failure> {
        let topic = &range.topic;
        let mut states = States::default();
        range.read(&self.kafka, &self.owner.group, |record| {
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
        mut each: impl FnMut(Result<DeadLetter, NotADeadLetter>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        TopicRange::whole(&self.kafka, &self.dead_letters())?.read(
            &self.kafka,
            &self.owner.group,
            |record| each(self.letter(record)),
        )
    }

    /// Calls `each` with every letter of the owner that `filter` means, and with what became of it
    /// for the owner. Whatever else is in the topic is counted in `counts`.
    ///
    /// # Errors
    /// As [`each`](Self::each).
    pub fn each_own(
        &self,
        states: &mut States,
        filter: &LetterFilter,
        counts: &mut Counts,
        mut each: impl FnMut(DeadLetter, Option<&State>, &mut Counts) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.each(|letter| {
            let Ok(letter) = letter else {
                counts.note_stranger();
                return Ok(());
            };
            if !self.owner.owns(&letter) {
                if filter.means(&letter, None) {
                    counts.note_other(&letter);
                }
                return Ok(());
            }
            counts.note_place(&letter);
            let state = states.find(&letter, &self.owner);
            match filter.means(&letter, state) {
                true => each(letter, state, counts),
                false => Ok(()),
            }
        })
    }

    fn letter(&self, record: &impl InputRecord) -> Result<DeadLetter, NotADeadLetter> {
        let letter = DeadLetter::of(record)?;
        if letter.identity.origin.topic == self.source {
            Ok(letter)
        } else {
            Err(NotADeadLetter::of_another_topic())
        }
    }

    /// Where the group's states are written: by one redrive or discard of it at a time.
    ///
    /// # Errors
    /// Exit code 1 when the topic is not there; see [`Ledger::open`].
    pub fn ledger(&self) -> Result<Ledger, Failure> {
        let topic = states_of(&self.dead_letters());
        // Looked for before anything is evaluated; it would be missed only when all is done.
        TopicRange::whole(&self.kafka, &topic)?;
        Ledger::open(&self.kafka, self.owner.group.clone(), topic)
    }
}
