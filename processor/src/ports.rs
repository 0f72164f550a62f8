//! The ports of the exactly-once loop: everything that it needs of the outside world.
//!
//! The service implements it with librdkafka, the tests and the simulator with models of Kafka; the
//! loop is the same. Every call that can wait takes a bounded time, and every error says what to do
//! next.

use std::time::Duration;

use runtime::flow::FlowObserver;
use runtime::kafka::{GroupConsumer, Membership, Outgoing, Refused, TransactionError, Unfinished};
use runtime::latency::RecordTimes;
use runtime::lifecycle::Failure;
use runtime::record::Positions;
use runtime::traces::{BatchSteps, SampledRecords};

use crate::batch::Tally;

/// The consumer and the producer of one task.
pub trait Log {
    /// The member of the group.
    type Consumer: GroupConsumer;

    /// Returns the consumer. Its offsets are committed in transactions, except those of records that earn
    /// nothing ([`commit_offsets`](GroupConsumer::commit_offsets)).
    fn consumer(&mut self) -> &mut Self::Consumer;

    /// Builds a new producer. What the old one had in flight is given up. Does not wait.
    ///
    /// # Errors
    /// Only for settings that cannot work.
    fn open_producer(&mut self) -> Result<(), Failure>;

    /// Returns whether the consumer was fenced: the group has given its name to another member.
    fn is_fenced(&self) -> bool;

    /// Returns how long the group keeps a member that sends no heartbeat.
    fn session_timeout(&self) -> Duration {
        Duration::ZERO
    }

    /// Asks whether the group has a member of this task's name. Called after this task's own member
    /// was fenced and before it joins again, so that only another process can send heartbeats for that
    /// name. Takes `time`.
    fn look_for_our_name(&mut self, time: Duration) -> Membership {
        let _ = time;
        Membership::Absent
    }

    /// Prepares the end of the task: has the other instances of the group take over its partitions as soon
    /// as the consumer is closed. Where there is no other instance the task keeps its place for a successor
    /// of its name. Takes a bounded time.
    fn hand_over(&mut self) {}

    /// Takes over the transactional id: ends the transaction that a predecessor left open, and fences the
    /// predecessor.
    fn init(&mut self, timeout: Duration) -> Result<(), TransactionError>;

    /// Begins a transaction. Local.
    fn begin(&mut self) -> Result<(), TransactionError>;

    /// Hands over a record to be written.
    fn send(&mut self, record: &Outgoing<'_>) -> Result<(), TransactionError>;

    /// Waits until all records that were sent are acknowledged.
    fn drain(&mut self, timeout: Duration) -> Result<(), TransactionError>;

    /// Takes the records of the open transaction that the broker refused because of the records
    /// themselves, such as their size. They are numbered in the order of [`send`](Self::send).
    fn take_refused(&mut self) -> Vec<Refused> {
        Vec::new()
    }

    /// Adds offsets to the transaction, with this member's generation, which fences zombies.
    fn send_offsets(
        &mut self,
        positions: &Positions,
        timeout: Duration,
    ) -> Result<(), TransactionError>;

    /// Commits the transaction.
    fn commit(&mut self, timeout: Duration) -> Result<(), TransactionError>;

    /// Begins to finish the open transaction on another thread:
    /// [stage](runtime::kafka::Stage) after stage, each within `timeout`. Returns false where that
    /// cannot be done; the stages are then called one after the other.
    fn begin_finish(&mut self, positions: &Positions, timeout: Duration) -> bool {
        let _ = (positions, timeout);
        false
    }

    /// Waits up to `timeout` for the outcome of [`begin_finish`](Self::begin_finish). The group is not
    /// polled meanwhile.
    fn poll_finish(&mut self, timeout: Duration) -> Option<Result<(), Unfinished>> {
        let _ = timeout;
        None
    }

    /// Aborts the transaction.
    fn abort(&mut self, timeout: Duration) -> Result<(), TransactionError>;
}

/// Watches the loop: metrics, readiness and traces. Never changes what the loop does. Single events are
/// counted through [`FlowObserver::count`].
pub trait Observer {
    /// Returns the observer of the flow of records.
    fn flow(&mut self) -> &mut dyn FlowObserver;
    /// Notes that these outcomes are durable. The first record with an output was read `took` ago.
    fn committed<'a>(&mut self, tallies: impl Iterator<Item = &'a Tally>, took: Duration);
    /// Notes that the vouchers of orders with these times are durable.
    fn vouchers_committed(&mut self, orders: RecordTimes) {
        let _ = orders;
    }
    /// Returns whether spans of sampled records are recorded. Called once, when the task is built.
    fn is_tracing(&self) -> bool {
        false
    }
    /// Notes that the outcomes of a batch with these sampled records are durable.
    fn traced(&mut self, records: &SampledRecords, steps: BatchSteps) {
        let _ = (records, steps);
    }
}
