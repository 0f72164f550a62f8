//! The ports of the task over the model. Each call may have a fault, and changes the world.

use std::time::Duration;

use runtime::clock::Clock;
use runtime::dead_letter::OutgoingDeadLetter;
use runtime::flow::FlowObserver;
use runtime::kafka::rdkafka::error::KafkaError;
use runtime::kafka::{AssignmentChange, CommitError, GroupConsumer, Polled, Refused};
use runtime::lifecycle::Failure;
use runtime::metrics::{Count, RetryClass};
use runtime::record::{OwnedRecord, Positions};
use runtime::refusals::Refusal;
use runtime::traces::{BatchSteps, SampledRecords};

use super::{Fault, Outside, Port, STATEMENT, StoredDeadLetter, World};
use crate::batch::RowTimes;
use crate::columns::Columns;
use crate::ports::{DeadLetters, Drained, Observer, Table, WriteError, Written};
use crate::tally::Tally;

impl GroupConsumer for Outside {
    type Record<'a> = OwnedRecord;

    fn poll(&mut self, timeout: Duration) -> Polled<OwnedRecord> {
        let mut world = self.0.borrow_mut();
        match world.fault(Port::Poll) {
            Fault::Fatal => return Polled::Fatal("scripted".to_owned()),
            Fault::Slow | Fault::Away => return Polled::Nothing,
            _ if world.serve_group() => return Polled::Nothing,
            _ => {}
        }
        let world = &mut *world;
        for (partition, position) in &mut world.fetched {
            let records = &world.inputs[partition];
            let at = usize::try_from(*position).unwrap();
            if let Some(record) = records.get(at) {
                *position += 1;
                world.client_positions.insert(*partition, *position);
                return Polled::Record(record.clone());
            }
            if world.markers && at == records.len() && at > 0 {
                // The client steps over a transaction marker inside a poll.
                *position += 1;
                world.client_positions.insert(*partition, *position);
            }
        }
        world.now += timeout;
        Polled::Nothing
    }

    fn take_changes(&mut self) -> Vec<AssignmentChange> {
        std::mem::take(&mut self.0.borrow_mut().changes)
    }

    fn keep_alive(&mut self, time: Duration) {
        let mut world = self.0.borrow_mut();
        world.now += time;
        world.kept_alive += 1;
        world.serve_group();
    }

    fn unread_since(&self) -> Option<i64> {
        let world = self.0.borrow();
        let unread = world.fetched.iter().filter_map(|(partition, position)| {
            world.inputs[partition].get(usize::try_from(*position).ok()?)
        });
        unread.filter_map(|record| record.timestamp_millis).min()
    }

    fn rewind(&mut self, _: Duration) -> Result<(), String> {
        let mut world = self.0.borrow_mut();
        if world.fault(Port::Rewind) != Fault::None {
            return Err("scripted".to_owned());
        }
        let world = &mut *world;
        for (partition, position) in &mut world.fetched {
            *position = world.committed.get(partition).copied().unwrap_or(0);
        }
        world.client_positions.clear();
        Ok(())
    }

    fn positions(&self) -> Positions {
        self.0.borrow().client_positions.clone()
    }

    fn commit_offsets(&mut self, positions: &Positions) -> Result<(), CommitError> {
        let mut world = self.0.borrow_mut();
        if positions.is_empty() {
            return Ok(());
        }
        let fault = world.fault(Port::Commit);
        if world.old_generation {
            return Err(CommitError::NotOwner(KafkaError::Canceled));
        }
        match fault {
            Fault::Away | Fault::Conflict => Err(CommitError::Unavailable(KafkaError::Canceled)),
            Fault::AnswerLost => {
                world.commit(positions);
                Err(CommitError::Unavailable(KafkaError::Canceled))
            }
            _ => {
                world.commit(positions);
                Ok(())
            }
        }
    }

    fn reopen(&mut self) -> Result<(), Failure> {
        self.0.borrow_mut().join();
        Ok(())
    }
}

impl Table for Outside {
    fn start(&mut self, columns: Columns) {
        let mut world = self.0.borrow_mut();
        assert!(world.in_flight.is_none(), "one statement at a time");
        assert!(!columns.is_empty(), "a statement has rows");
        let keys: Vec<_> = columns
            .campaigns
            .iter()
            .zip(columns.order_ids.iter())
            .collect();
        assert!(
            keys.is_sorted_by(|a, b| a < b),
            "rows must be sorted by key and distinct: {keys:?}"
        );
        world.statements.push(columns.len());
        world.answered_at = world.now + STATEMENT;
        world.in_flight = Some(columns);
    }

    fn poll(&mut self, timeout: Duration) -> Option<(Columns, Result<Written, WriteError>)> {
        let mut world = self.0.borrow_mut();
        let left = world.answered_at.saturating_sub(world.now);
        world.now += left.min(timeout);
        if left > timeout {
            return None;
        }
        let fault = world.fault(Port::Table);
        if fault == Fault::Slow {
            world.now += timeout;
            return None;
        }
        if world.killed.is_some() {
            return None;
        }
        let columns = world.in_flight.take()?;
        let result = match (fault, world.database.clone()) {
            (_, Some(error)) => Err(error),
            (Fault::Away, _) => Err(WriteError::Unavailable("scripted".to_owned())),
            (Fault::Conflict, _) => Err(WriteError::Conflict("scripted".to_owned())),
            (Fault::Race, _) => Err(WriteError::CodeClash { holder: None }),
            (Fault::AnswerLost, _) => {
                let _ = world.apply(&columns);
                Err(WriteError::Unavailable("the answer was lost".to_owned()))
            }
            _ => world.apply(&columns),
        };
        Some((columns, result))
    }
}

impl World {
    fn is_too_large(&self, dead_letter: &StoredDeadLetter) -> bool {
        let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        let headers = dead_letter.headers.iter().map(|(_, value)| length(value));
        let bytes = length(&dead_letter.key) + length(&dead_letter.value) + headers.sum::<usize>();
        self.max_dead_letter_bytes.is_some_and(|max| bytes > max)
    }

    fn refuses_some(&self) -> bool {
        let dead_letters = &self.unacknowledged;
        !dead_letters.is_empty()
            && (self.refused_dead_letters > 0
                || dead_letters
                    .iter()
                    .any(|dead_letter| self.is_too_large(dead_letter)))
    }

    /// Refuses the first dead letter if the script says so, else those that are too large. The others are
    /// written.
    fn refuse_some(&mut self) -> Drained {
        let blocks = self.refused_dead_letters > 0;
        self.refused_dead_letters = self.refused_dead_letters.saturating_sub(1);
        let mut refused = Vec::new();
        for (index, dead_letter) in std::mem::take(&mut self.unacknowledged)
            .into_iter()
            .enumerate()
        {
            let too_large = !blocks && self.is_too_large(&dead_letter);
            if too_large || blocks && index == 0 {
                let why = "scripted".to_owned();
                refused.push(Refused {
                    index,
                    too_large,
                    why,
                });
            } else {
                self.dead_letters.push(dead_letter);
            }
        }
        Drained::Refused(refused)
    }
}

impl DeadLetters for Outside {
    fn send(&mut self, dead_letter: &OutgoingDeadLetter<'_>) -> Result<(), String> {
        let mut world = self.0.borrow_mut();
        if world.fault(Port::DeadLetters) == Fault::Away {
            return Err("scripted".to_owned());
        }
        world.unacknowledged.push(StoredDeadLetter {
            key: dead_letter.key.map(<[u8]>::to_vec),
            value: dead_letter.value.map(<[u8]>::to_vec),
            headers: dead_letter.headers.clone(),
        });
        Ok(())
    }

    fn drain(&mut self, timeout: Duration) -> Drained {
        let mut world = self.0.borrow_mut();
        match world.fault(Port::DeadLetters) {
            Fault::Slow => {
                world.now += timeout;
                Drained::NotYet
            }
            Fault::Away => Drained::Failed("scripted".to_owned()),
            _ if world.refuses_some() => world.refuse_some(),
            _ if world.broker_refuses_dead_letters => Drained::Failed("scripted".to_owned()),
            fault => {
                let dead_letters = std::mem::take(&mut world.unacknowledged);
                world.dead_letters.extend(dead_letters);
                if fault == Fault::AnswerLost {
                    Drained::Failed("the answer was lost".to_owned())
                } else {
                    Drained::All
                }
            }
        }
    }

    fn reopen(&mut self) -> Result<(), Failure> {
        self.0.borrow_mut().unacknowledged.clear();
        Ok(())
    }
}

impl Clock for Outside {
    fn now(&self) -> Duration {
        self.0.borrow().now
    }
}

impl Observer for Outside {
    fn flow(&mut self) -> &mut dyn FlowObserver {
        self
    }

    fn rows_committed(&mut self, times: RowTimes) {
        self.0.borrow_mut().row_times.push(times);
    }

    fn is_tracing(&self) -> bool {
        true
    }

    fn traced(&mut self, records: &SampledRecords, steps: BatchSteps) {
        assert!(steps.complete <= steps.ended, "{steps:?}");
        for record in records.iter() {
            let began = record.began.expect("the moment at which it was read");
            assert!(began <= steps.complete, "{record:?}");
            let mut world = self.0.borrow_mut();
            world.sampled.push((record.offset, record.outcome));
        }
    }

    fn offsets_committed(&mut self, began: Duration, ended: Duration) {
        assert!(began <= ended);
        self.0.borrow_mut().offsets_committed += 1;
    }

    fn settled(&mut self, tally: &Tally) {
        self.0.borrow_mut().tallies.add(tally);
    }
}

impl FlowObserver for Outside {
    fn assigned(&mut self, partitions: usize) {
        self.0.borrow_mut().partitions = partitions;
    }

    fn healthy(&mut self) {
        self.0.borrow_mut().blocked = None;
    }

    fn blocked(&mut self, reason: &str) {
        self.0.borrow_mut().blocked = Some(reason.to_owned());
    }

    fn circuit_opened(&mut self, reason: &str) {
        self.blocked(reason);
        self.0.borrow_mut().circuit_openings += 1;
    }

    fn refused(&mut self, dead_letters: usize, refusal: Refusal) {
        let mut world = self.0.borrow_mut();
        match refusal {
            Refusal::Reduced => world.reduced += dead_letters,
            Refusal::Blocked => {
                let now = world.now;
                world.blocked_at.push(now);
            }
        }
    }

    fn count(&mut self, count: Count) {
        let is_bisection = count == Count::retry(RetryClass::Data);
        self.0.borrow_mut().failed_for_data += usize::from(is_bisection);
    }

    fn unsettled_since(&mut self, timestamp: Option<i64>) {
        let mut world = self.0.borrow_mut();
        if world.unsettled.last() != Some(&timestamp) {
            world.unsettled.push(timestamp);
        }
    }
}
