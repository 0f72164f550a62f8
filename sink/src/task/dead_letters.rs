//! Dead letters: sent together, acknowledged, and what is done about those that the broker refuses.

use std::time::Duration;

use runtime::clock::Clock;
use runtime::dead_letter::largest_of;
use runtime::kafka::Refused;
use runtime::lifecycle::Failure;
use runtime::record::InputRecord as _;
use runtime::registry::SchemaSource;
use schemas::VoucherPlan;

use super::{SLICE, State, Task};
use crate::ports::{DeadLetterRecord, DeadLetters, Drained, Observer, Refusal, Source, Table};

impl<K, T, D, S, C, O> Task<K, T, D, S, C, O>
where
    K: Source,
    T: Table,
    D: DeadLetters,
    S: SchemaSource<Plan = VoucherPlan>,
    C: Clock,
    O: Observer,
{
    /// Sends the batch's dead letters, then waits until they are acknowledged. `sent` has the
    /// numbers of those that were sent, in order.
    pub(super) fn write_dead_letters(
        &mut self,
        sent: Option<Vec<usize>>,
    ) -> Result<State, Failure> {
        let Some(sent) = sent else {
            return match self.send_letters() {
                Ok(sent) => Ok(State::DeadLettering { sent: Some(sent) }),
                Err(why) => self.bury_again(&why),
            };
        };
        match self.ports.dead_letters.drain(SLICE) {
            // At once: a letter would be written again with its record.
            Drained::All => {
                self.refused_letters.reset();
                self.settle_batch();
                Ok(self.commit_at_once())
            }
            Drained::NotYet => {
                self.stay_in_group(Duration::ZERO);
                Ok(State::DeadLettering { sent: Some(sent) })
            }
            Drained::Refused(refused) => self.bury_refused(&sent, &refused),
            Drained::Failed(why) => self.bury_again(&why),
        }
    }

    fn send_letters(&mut self) -> Result<Vec<usize>, String> {
        let mut sent = Vec::new();
        for dead in self.batch.dead() {
            let letter = dead.dead_letter(&self.topic);
            self.ports.dead_letters.send(&DeadLetterRecord {
                key: letter.key,
                value: letter.value,
                headers: &letter.headers,
            })?;
            sent.push(dead.number);
        }
        Ok(sent)
    }

    fn bury_again(&mut self, why: &str) -> Result<State, Failure> {
        tracing::warn!(
            why,
            "dead letters were not acknowledged; sending them again"
        );
        self.stand(&format!("waiting to write dead letters: {why}"));
        self.ports.dead_letters.reopen()?;
        Ok(State::WaitingForBroker {
            until: self.pause_ends(),
        })
    }

    /// Only those that were refused are sent again: the others would be written twice to a topic
    /// that keeps everything.
    fn bury_refused(&mut self, sent: &[usize], refused: &[Refused]) -> Result<State, Failure> {
        self.ports.dead_letters.reopen()?;
        for (index, number) in sent.iter().enumerate() {
            if !refused.iter().any(|refused| refused.index == index) {
                self.batch.note_dead_letter(*number);
            }
        }
        let mut too_large = Vec::new();
        let mut blocked = None;
        for refused in refused {
            let number = sent.get(refused.index).copied();
            let Some(dead) = number.and_then(|number| self.batch.dead_with(number)) else {
                continue;
            };
            match dead.extent().smaller().filter(|_| refused.too_large) {
                Some(extent) => too_large.push(((dead.number, extent, &refused.why), dead.bytes())),
                None => {
                    blocked.get_or_insert((dead.number, &refused.why));
                }
            }
        }
        let reduced = largest_of(too_large);
        self.ports.observer.refused(reduced.len(), Refusal::Reduced);
        for (number, extent, why) in reduced {
            self.tell_reduced(number, why);
            self.batch.reduce_dead_letter(number, extent);
        }
        let Some((number, why)) = blocked else {
            return Ok(self.end_writing());
        };
        self.ports.observer.refused(1, Refusal::Blocked);
        self.tell_blocked(number, why);
        Ok(State::WaitingForBroker {
            until: self.now() + self.refused_letters.next_pause(),
        })
    }

    fn tell_reduced(&self, number: usize, why: &str) {
        if let Some(dead) = self.batch.dead_with(number) {
            tracing::warn!(
                topic = self.topic,
                partition = dead.record.partition(),
                offset = dead.record.offset(),
                why,
                "the dead letter is too large for its topic; it is written again without what does \
                 not fit, and names the original by topic, partition, offset and SHA-256"
            );
        }
    }

    fn tell_blocked(&mut self, number: usize, why: &str) {
        let Some(dead) = self.batch.dead_with(number) else {
            return;
        };
        let (topic, partition, offset) =
            (&self.topic, dead.record.partition(), dead.record.offset());
        tracing::error!(
            topic,
            partition,
            offset,
            why,
            "the broker refuses this record's dead letter; it is tried again and again, and nothing \
             is committed past it"
        );
        let sentence = format!(
            "the dead letter of {topic}/{partition}/{offset} is refused: {why}; see the dead letter \
             topic's max.message.bytes and the rights on it"
        );
        self.stand(&sentence);
    }
}
