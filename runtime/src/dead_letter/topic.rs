//! Reads the dead letters of a topic, and their outcomes.

use super::{
    Counts, DeadLetter, DeadLetterFilter, DeadLetterOwner, DeadLetterState, DeadLetterStates,
    NotADeadLetter, Seen, StateWriter,
};
use crate::audit::AuditTrail;
use crate::kafka::{KafkaSettings, TopicRange};
use crate::lifecycle::Failure;
use crate::record::InputRecord;
use crate::settings::{dead_letters_of, states_of};

/// The dead letters of one source topic, for one of the consumer groups that read it.
#[derive(Debug, Clone)]
pub struct DeadLetterTopic {
    kafka: KafkaSettings,
    source: String,
    owner: DeadLetterOwner,
}

impl DeadLetterTopic {
    /// Refers to the dead letters of `source` on behalf of `owner`. Reads nothing.
    pub const fn new(kafka: KafkaSettings, source: String, owner: DeadLetterOwner) -> Self {
        Self {
            kafka,
            source,
            owner,
        }
    }

    /// Returns the group whose dead letters are meant.
    pub const fn owner(&self) -> &DeadLetterOwner {
        &self.owner
    }

    pub(super) const fn kafka(&self) -> &KafkaSettings {
        &self.kafka
    }

    pub(super) fn group(&self) -> &str {
        &self.owner.group
    }

    /// Returns the topic that the originals came from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Returns the name of the dead letter topic.
    pub fn name(&self) -> String {
        dead_letters_of(&self.source)
    }

    /// Reads the committed states, for a command that only shows them.
    ///
    /// # Errors
    /// Exit code 1 when the topic cannot be read, or holds a record that is not a state.
    pub fn states(&self) -> Result<DeadLetterStates, Failure> {
        let topic = states_of(&self.name());
        self.read_states(&TopicRange::whole(&self.kafka, &topic)?)
    }

    /// Reads all states, for a command that writes new ones. Waits until open transactions of other
    /// groups have ended, because states of this group that follow them cannot be read before.
    ///
    /// # Errors
    /// As [`states`](Self::states); exit code 1 also when a transaction stays open.
    pub fn all_states(&self) -> Result<DeadLetterStates, Failure> {
        let topic = states_of(&self.name());
        self.read_states(&TopicRange::undecided_too(&self.kafka, &topic)?)
    }

    fn read_states(&self, range: &TopicRange) -> Result<DeadLetterStates, Failure> {
        let topic = &range.topic;
        let mut states = DeadLetterStates::default();
        range.read(&self.kafka, &self.owner.group, |record| {
            states.apply(record.key(), record.value()).map_err(|why| {
                Failure::failed(format!(
                    "the record {topic}/{}/{} is not the state of a dead letter: {why}; a newer \
                     version may have written it",
                    record.partition(),
                    record.offset()
                ))
            })
        })?;
        Ok(states)
    }

    /// Calls `each` with every record of the dead letter topic, in the order of each partition.
    ///
    /// # Errors
    /// The first error of `each`; exit code 1 when the topic cannot be read.
    pub fn for_each(
        &self,
        mut each: impl FnMut(Result<DeadLetter, NotADeadLetter>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        TopicRange::whole(&self.kafka, &self.name())?.read(
            &self.kafka,
            &self.owner.group,
            |record| each(self.parse(record)),
        )
    }

    /// Calls `each` with every dead letter of the owner that `filter` selects, and with its state for the
    /// owner. Notes in `counts` the records of others, and the origins of the owner's dead letters.
    ///
    /// # Errors
    /// As [`for_each`](Self::for_each).
    pub fn for_each_own(
        &self,
        states: &mut DeadLetterStates,
        filter: &DeadLetterFilter,
        counts: &mut Counts,
        mut each: impl FnMut(DeadLetter, Option<&DeadLetterState>, &mut Counts) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.for_each(|dead_letter| {
            let Ok(dead_letter) = dead_letter else {
                counts.note_foreign();
                return Ok(());
            };
            if !self.owner.owns(&dead_letter) {
                if filter.selects(&dead_letter, None) {
                    counts.note_other_group(&dead_letter);
                }
                return Ok(());
            }
            counts.note_origin(&dead_letter);
            let state = states.find(&dead_letter, &self.owner);
            match filter.selects(&dead_letter, state) {
                true => each(dead_letter, state, counts),
                false => Ok(()),
            }
        })
    }

    /// Calls `each` once with every open dead letter of the owner that `filter` selects, and with its
    /// state. Returns the counts of these dead letters, and of what belongs to others.
    ///
    /// # Errors
    /// Exit code 1 when the topics cannot be read.
    pub fn for_each_open(
        &self,
        filter: &DeadLetterFilter,
        mut each: impl FnMut(DeadLetter, Option<&DeadLetterState>),
    ) -> Result<Counts, Failure> {
        let mut states = self.all_states()?;
        let mut counts = Counts::default();
        self.for_each_own(
            &mut states,
            filter,
            &mut counts,
            |dead_letter, state, counts| {
                if dead_letter.is_open(state) && counts.note(&dead_letter, state) == Seen::First {
                    each(dead_letter, state);
                }
                Ok(())
            },
        )?;
        Ok(counts)
    }

    fn parse(&self, record: &impl InputRecord) -> Result<DeadLetter, NotADeadLetter> {
        let dead_letter = DeadLetter::parse(record)?;
        if dead_letter.id.origin.topic == self.source {
            Ok(dead_letter)
        } else {
            Err(NotADeadLetter::of_another_topic())
        }
    }

    /// Opens the writer of the group's states, and of the audit records of their transactions. Only
    /// one redrive or discard of a group can write them at a time.
    ///
    /// # Errors
    /// Exit code 1 when a topic does not exist; see [`StateWriter::open`].
    pub fn state_writer(&self, audit: Option<AuditTrail>) -> Result<StateWriter, Failure> {
        let topic = states_of(&self.name());
        // Fails before anything is evaluated; otherwise only the first write would.
        TopicRange::whole(&self.kafka, &topic)?;
        if let Some(audit) = &audit {
            audit.require_topic(&self.kafka)?;
        }
        StateWriter::open(&self.kafka, self.owner.group.clone(), topic, audit)
    }
}
