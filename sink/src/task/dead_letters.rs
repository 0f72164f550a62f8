//! Sends the dead letters of a batch together, and waits until they are acknowledged. Those that the
//! broker refuses are reduced, or block the task.

use std::time::Duration;

use runtime::clock::Clock;
use runtime::kafka::{GroupConsumer, Refused};
use runtime::lifecycle::Failure;
use runtime::metrics::{Count, RetryClass};
use runtime::record::InputRecord as _;
use runtime::refusals::{Candidate, Refusal, Remedies};
use runtime::registry::SchemaSource;
use schemas::VoucherPlan;

use super::{State, Task};
use crate::limits::WAIT_STEP;
use crate::ports::{DeadLetters, Drained, Observer, Table};

impl<K, T, D, S, C, O> Task<K, T, D, S, C, O>
where
    K: GroupConsumer,
    T: Table,
    D: DeadLetters,
    S: SchemaSource<Plan = VoucherPlan>,
    C: Clock,
    O: Observer,
{
    /// Sends the current batch's dead letters, then waits until they are acknowledged. `sent` has the
    /// numbers of those that were sent, in order.
    pub(super) fn write_dead_letters(
        &mut self,
        sent: Option<Vec<usize>>,
    ) -> Result<State, Failure> {
        let Some(sent) = sent else {
            return match self.send_dead_letters() {
                Ok(sent) => Ok(State::DeadLettering { sent: Some(sent) }),
                Err(why) => self.send_again(&why),
            };
        };
        match self.ports.dead_letters.drain(WAIT_STEP) {
            Drained::All => {
                self.refused_backoff.reset();
                self.settle_batch();
                // Not deferred: after a crash each dead letter would be written again with its record.
                Ok(self.commit_at_once())
            }
            Drained::NotYet => {
                self.stay_in_group(Duration::ZERO);
                Ok(State::DeadLettering { sent: Some(sent) })
            }
            Drained::Refused(refused) => self.handle_refusals(&sent, &refused),
            Drained::Failed(why) => self.send_again(&why),
        }
    }

    fn send_dead_letters(&mut self) -> Result<Vec<usize>, String> {
        let mut sent = Vec::new();
        for dead in self.batch.dead() {
            self.ports.dead_letters.send(&dead.outgoing(&self.topic))?;
            sent.push(dead.number);
        }
        Ok(sent)
    }

    fn send_again(&mut self, why: &str) -> Result<State, Failure> {
        tracing::warn!(
            why,
            "dead letters were not acknowledged; sending them again"
        );
        self.report_blocked(&format!("waiting to write dead letters: {why}"));
        self.ports.dead_letters.reopen()?;
        Ok(State::WaitingForBroker {
            until: self.pause_ends(RetryClass::Kafka),
        })
    }

    /// Returns the state that sends the refused dead letters again. The others are acknowledged: sending
    /// them again would write them twice to a topic that keeps everything.
    fn handle_refusals(&mut self, sent: &[usize], refused: &[Refused]) -> Result<State, Failure> {
        self.ports.dead_letters.reopen()?;
        for (index, number) in sent.iter().enumerate() {
            if !refused.iter().any(|refused| refused.index == index) {
                self.batch.note_acknowledged(*number);
            }
        }
        let Remedies { reduced, blocked } = Remedies::of(refused, |index| {
            let dead = self.batch.dead_record(*sent.get(index)?)?;
            Some(Candidate {
                record: (dead.number, dead.record.partition(), dead.record.offset()),
                extent: Some(dead.extent()),
                bytes: dead.bytes(),
            })
        });
        let topic = &self.topic;
        let flow = self.ports.observer.flow();
        flow.refused(reduced.len(), Refusal::Reduced);
        for ((number, partition, offset), extent, why) in reduced {
            tracing::warn!(
                topic,
                partition,
                offset,
                why,
                "the dead letter is too large for its topic; it is written again without what does not \
                 fit, and names the original by topic, partition, offset and SHA-256"
            );
            self.batch.reduce_dead_letter(number, extent);
        }
        let Some(((_, partition, offset), why)) = blocked else {
            return Ok(self.end_writing());
        };
        tracing::error!(
            topic,
            partition,
            offset,
            why,
            "the broker refuses this record's dead letter; it is tried again after a pause of up to \
             30 s, and nothing is committed past it"
        );
        flow.refused(1, Refusal::Blocked);
        flow.count(Count::retry(RetryClass::Refused));
        flow.blocked(&format!(
            "the dead letter of {topic}/{partition}/{offset} is refused: {why}; check the dead letter \
             topic's max.message.bytes and the rights on it"
        ));
        Ok(State::WaitingForBroker {
            until: self.now() + self.refused_backoff.next_pause(),
        })
    }
}
