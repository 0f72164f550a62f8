//! The relay's loop: an explicit state machine over narrow [`ports`](super::ports).
//!
//! ```text
//!              lock taken                init: fences      the lock is still ours
//! StandingBy ─────────────▶ Opening ▶ Fencing ───────▶ Confirming ─┬▶ Reading ◀──────▶ Idle
//!    ▲                        ▲                                    │     │  └▶ OpeningBacklog
//!    │ lock lost, fenced,     │ producer dead, or the outcome of   ▼     ▼
//!    │ no progress            │ a commit unknown: same batch    Publishing ▶ Draining ▶ Committing
//!    └── any state            └── any state below Confirming       ▲            │           │
//!                                                                  └─ Aborting ◀┴───────────┤
//!                                                       Reading ◀─────────── Deleting ◀─────┘
//!
//! Fenced (from any state in which the broker is called) ▶ StandingBy, once it is known whether the
//! lock is still ours: a producer that fences the lock's holder publishes another database's outbox.
//! ```
//!
//! Each step makes at most one call that can wait. Why the result is right is in [`super`].
//!
//! | module | states |
//! |---|---|
//! | `read` | Reading, OpeningBacklog, Idle |
//! | `publish` | Publishing, Draining, Committing, Deleting, Aborting |
//! | `leadership` | StandingBy, Opening, Fencing, Confirming, Fenced, and the heartbeat of the lock |
//! | `recover` | which state follows an error |

mod batch;
mod competing_producer;
mod leadership;
mod publish;
mod read;
mod recover;
#[cfg(test)]
pub(super) mod tests;

use std::time::Duration;

use runtime::backoff::Backoff;
use runtime::lifecycle::Failure;
use runtime::stepping::StateMachine;
use schemas::ValueFormat;

use super::ReadLimits;
use super::limits::{BROKER_CALL, HEARTBEAT};
use super::low_water::LowWater;
use super::ports::{Observer, Outbox, SampledRows, Timer, Topic};
use batch::Batch;
use competing_producer::CompetingProducer;

/// The ports of one relay.
#[derive(Debug)]
pub struct Ports<B, T, C, O> {
    /// The outbox, and the lock of the relay that publishes it.
    pub outbox: B,
    /// The topic.
    pub topic: T,
    /// Time, and waiting.
    pub timer: C,
    /// Metrics and readiness.
    pub observer: O,
}

/// The settings of one relay.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The topic's name.
    pub topic: String,
    /// How values are written.
    pub format: ValueFormat,
    /// The maximum number of rows of one read.
    pub limits: ReadLimits,
}

/// The state of a relay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum State {
    /// Rows are read into the batch.
    Reading,
    /// The batch is handed to the producer, in a new transaction.
    Publishing,
    /// The relay waits until all records of the batch are acknowledged.
    Draining,
    /// The transaction is committed.
    Committing,
    /// The transaction is committed. The batch's rows are deleted from the outbox.
    Deleting,

    /// Another instance may have the lock.
    #[default]
    StandingBy,
    /// This relay has the lock. A new producer is built.
    Opening,
    /// The transactional ids are taken over, which fences earlier relays.
    Fencing,
    /// The lock's session must answer once more, now that the others are fenced.
    Confirming,

    /// A cursor over a snapshot of all rows is opened.
    OpeningBacklog,
    /// The outbox was empty. New rows or the next poll end the wait.
    Idle,
    /// The transaction is aborted.
    Aborting,
    /// Another producer took over a transactional id, which must not happen while this relay has the
    /// lock.
    Fenced,
}

/// Which rows the next read returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReadMode {
    /// The lock was just taken: another relay may have published any row.
    TakenOver,
    /// Rows of the snapshot that was taken after the takeover, order by order.
    Backlog,
    /// No relay has published any row that is in the outbox.
    Fresh,
}

/// The relay: the only owner of its session, its producer and its batch.
pub struct Relay<B, T, C, O> {
    ports: Ports<B, T, C, O>,
    settings: Settings,

    mode: ReadMode,
    low_water: LowWater,
    batch: Batch,
    /// The buffer for a record's value, reused for every record.
    value: Vec<u8>,
    /// The sampled rows of the batch, as they were sent last.
    sampled: SampledRows,

    competing_producer: CompetingProducer,
    /// Until this time the relay only sends heartbeats.
    resume_at: Duration,
    /// Until this time rows are collected: the next read is delayed.
    collect_until: Duration,
    /// When the lock's session answered last.
    heard_at: Duration,
    /// When something was published last, or the lock was taken.
    progress_at: Duration,
    /// When the open transaction is given up.
    deadline: Duration,
    /// Whether a call to this producer may still be in the network.
    interrupted: bool,
    backoff: Backoff,
}

impl<B: Outbox, T: Topic, C: Timer, O: Observer> StateMachine for Relay<B, T, C, O> {
    type State = State;

    fn step(&mut self, state: State) -> Result<State, Failure> {
        let now = self.now();
        if state != State::StandingBy && now.saturating_sub(self.heard_at) >= HEARTBEAT {
            return Ok(self.heartbeat(state));
        }
        if now < self.resume_at {
            let left = self.resume_at - now;
            self.ports.timer.wait(left.min(BROKER_CALL));
            return Ok(state);
        }
        Ok(match state {
            // The path of a batch.
            State::Reading => self.read(),
            State::Publishing => self.publish(),
            State::Draining => self.drain(),
            State::Committing => self.commit(),
            State::Deleting => self.delete(),

            // Taking the lock.
            State::StandingBy => self.stand_by(),
            State::Opening => self.open(),
            State::Fencing => self.fence(),
            State::Confirming => self.confirm(),

            // Other states.
            State::OpeningBacklog => self.open_backlog(),
            State::Idle => self.idle(),
            State::Aborting => self.abort(),
            State::Fenced => self.handle_fence(),
        })
    }

    fn is_idle(&self, state: &State) -> bool {
        !state.has_transaction()
    }

    /// Gives up the lock and the producer. Discards the batch, whose rows are still in the outbox.
    fn release(&mut self) {
        self.ports.topic.close();
        self.ports.outbox.close();
        self.batch.forget();
        self.mode = ReadMode::TakenOver;
        self.low_water = LowWater::default();
        let mark = self.low_water.mark();
        self.ports.observer.low_water(mark);
        self.interrupted = false;
        self.ports.observer.inactive();
    }
}

impl State {
    /// Returns whether a transaction is open, or is committed but its rows are not deleted yet.
    const fn has_transaction(self) -> bool {
        match self {
            Self::Publishing
            | Self::Draining
            | Self::Committing
            | Self::Deleting
            | Self::Aborting => true,
            Self::Reading
            | Self::StandingBy
            | Self::Opening
            | Self::Fencing
            | Self::Confirming
            | Self::OpeningBacklog
            | Self::Idle
            | Self::Fenced => false,
        }
    }
}

impl<B: Outbox, T: Topic, C: Timer, O: Observer> Relay<B, T, C, O> {
    /// Builds a relay. It has not called any port yet.
    pub fn new(ports: Ports<B, T, C, O>, settings: Settings) -> Self {
        Self {
            ports,
            settings,
            mode: ReadMode::TakenOver,
            low_water: LowWater::default(),
            batch: Batch::default(),
            value: Vec::new(),
            sampled: SampledRows::default(),
            competing_producer: CompetingProducer::default(),
            resume_at: Duration::ZERO,
            collect_until: Duration::ZERO,
            heard_at: Duration::ZERO,
            progress_at: Duration::ZERO,
            deadline: Duration::ZERO,
            interrupted: false,
            backoff: Backoff::outside(),
        }
    }

    fn now(&self) -> Duration {
        self.ports.timer.now()
    }

    /// Notes that the lock's session answered.
    fn note_answer(&mut self) {
        self.heard_at = self.now();
    }

    /// Reports that the outbox is being published, unless there is a competing producer.
    fn report_health(&mut self) {
        if self.competing_producer.is_there(self.now()) {
            let sentence = CompetingProducer::sentence(&self.settings.topic);
            self.ports.observer.blocked(&sentence);
        } else {
            self.ports.observer.healthy();
        }
    }
}
