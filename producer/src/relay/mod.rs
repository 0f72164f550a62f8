//! The outbox relay: publishes the outbox's rows to the order status topic and deletes a row only
//! after the transaction that published it is committed.
//!
//! An explicit state machine over narrow [`ports`], on a thread of its own:
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
//! lock is still ours: whoever fences the holder of the lock publishes the outbox of another database.
//! ```
//!
//! # Why the topic never goes back
//!
//! Promised is: after every committed transaction the last record of an order is the highest
//! version that was ever published of it, and versions appear first in their order. Records may be
//! repeated.
//!
//! 1. **A snapshot has no gaps below.** A row is inserted while its transaction holds the order's
//!    row, so version n+1 gets its id, and is committed, only after version n was committed: a
//!    snapshot that sees a version sees every earlier one of that order that isn't deleted. (The
//!    identity column must keep its `CACHE 1`.) Between orders ids say nothing: a row may turn up
//!    late, below others that were published long ago. If version 1 of an order turned up late and
//!    was not read, version 2, whose id is higher, would be published before it. So "after the last
//!    id" is no place to read from. A read begins at the low-water mark, which passes an id only
//!    when no row at or below it is there any more or can ever turn up: every transaction that may
//!    have taken such an id was seen to have ended before the read that found none
//!    (`low_water`). A late row is therefore read as soon as it is committed, like any other.
//!    The exception are rows whose ids were not taken in order: inserted with an id of somebody's
//!    choosing, or after the sequence was set back. They are found by a look from the start, which
//!    comes every 60 s (where it takes more than 0.3 s, after 200 times what the last one took),
//!    and are told in the log.
//! 2. **Deleting is closed below too.** A batch is deleted whole, in one transaction, and only by
//!    the relay that saw its own transaction of that batch committed. So it does not matter when
//!    that happens, nor whether that relay still has the lock by then.
//! 3. **Batches of different relays don't mix.** A relay publishes only under epochs of the two
//!    transactional ids (they take turns) that it got *after* it had the lock, and after the lock's
//!    own session answered once more *since* (Confirming, or a read). Whoever has the lock later
//!    has later epochs of both, and the broker refuses the earlier ones for good; whoever had it
//!    before is fenced before the first read. Without that second look a relay that slept between
//!    its lock and its init would wake up with the newest epochs and an old batch.
//! 4. **A batch whose outcome isn't known is published again whole**, from memory, so that it ends
//!    with the same versions as before.
//! 5. **Rows that another relay may have published are published again order by order.** It may
//!    have died between its commit and its delete, and a row that turned up late shifts what the
//!    first n rows are: the same order's versions 1 and 2, published together before, could now
//!    fall on both sides of the end of a batch, and version 1 alone would be the newest record. So
//!    after the lock is taken the first read must either be of all rows there are, or else all rows
//!    of one snapshot are published in batches that never part the rows of an order. After that
//!    every row that is read is one that nobody published, and batches go by id.
//! 6. **After a call that was interrupted the producer is replaced** before its next transaction:
//!    librdkafka's protocol versions have one epoch for many transactions, so a commit that is
//!    still in the network could hit the next one and end it half written.
//!
//! Deletes are not waited for on disk (`synchronous_commit` off): a crash of Postgres may bring
//! back rows, latest deletes first, and ends every session with it; so they are rows of point 5. The
//! low-water mark is forgotten with the session too.
//!
//! # What it waits for
//!
//! Everything, without end and without losing anything: Postgres, the broker, the registry, the
//! topic. The ingress goes on taking orders meanwhile. A batch that the broker refuses for its data,
//! or a row that the schema can't hold, would stand in the way of all later ones. The ingress's
//! bounds (an id of 128 bytes, a total of two decimals below 10^15) make both impossible; should
//! one come, it is an error in the log with the rows' ids every time it is tried again, the health
//! part says so, and the backlog grows until a person mends it. Leaving the row out would be worse:
//! its order's status would be lost without a trace.

mod batch;
mod low_water;
mod observer;
mod outbox_name;
mod outbox_postgres;
pub mod ports;
mod rival;
mod row;
mod service;
mod shared_low_water;
mod step;
#[cfg(test)]
mod tests;
mod timer;
mod topic_kafka;

use std::time::Duration;

use runtime::backoff::Backoff;
use runtime::kafka::TRANSACTION_TIMEOUT;

use batch::Batch;
use low_water::LowWater;
use ports::{Log, Observer, Outbox, Timer};
use rival::Rival;

pub use outbox_name::{InvalidOutboxName, OutboxName};
pub use row::{Format, Row, Unwritable};
pub use service::{CHANNEL, DRAIN, RelaySettings, spawn};
pub use shared_low_water::SharedLowWater;

/// How long one call may wait for the broker before the lock is looked after again.
const SLICE: Duration = Duration::from_millis(500);

/// A transaction that has no end after this long is given up with its producer: the coordinator's
/// own timeout is over by then, whatever became of it. (A single call that does not come back is
/// given up sooner, by the producer itself.)
const DEADLINE: Duration = TRANSACTION_TIMEOUT;

/// How often the lock's session must hear of us; far below the time after which the server ends
/// it ([`outbox_postgres`]).
const HEARTBEAT: Duration = Duration::from_secs(2);

/// The safety net under the wake-ups: how long a row may go unnoticed.
const POLL: Duration = Duration::from_millis(500);

/// How often an instance that stands by asks for the lock.
const STANDBY: Duration = Duration::from_millis(500);

/// From one read to the next it takes at least this long for each row that was read, so that beyond
/// 2,000 rows a second they are collected: a transaction of few rows costs the broker as much as one
/// of many. Below that rate nothing waits.
const COLLECTED_ROW: Duration = Duration::from_micros(500);

/// The longest that rows are collected.
const MAX_COLLECTION: Duration = Duration::from_millis(50);

/// A holder of the lock that gets nothing done for this long lets another instance try.
const PATIENCE: Duration = Duration::from_secs(30);

/// The most rows of one read.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// In id order. A larger batch would cost latency and gain little: the price of a transaction
    /// is spread thin already.
    pub rows: usize,
    /// Of the backlog that is taken over.
    pub backlog: usize,
    /// So many ids may lie between the low-water mark and what was read before the mark is moved.
    pub stride: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rows: 5_000,
            backlog: 10_000,
            stride: 2_000,
        }
    }
}

/// What a step says to its driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A batch is under way: call again.
    Busy,
    /// Nothing is half done: call again, or stop here.
    Resting,
}

/// Where the relay is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Somebody else may have the lock.
    StandingBy,
    /// The lock is ours; a new producer is to be built.
    Opening,
    /// The transactional ids are being taken over.
    Fencing,
    /// The lock's session must answer once more, now that the others are fenced.
    Confirming,
    /// Rows are read.
    Reading,
    /// A snapshot of all rows is to be kept.
    OpeningBacklog,
    /// The outbox was empty; new rows or the next poll end it.
    Idle,
    /// The batch is handed to the producer, in a new transaction.
    Publishing,
    /// All of it must be acknowledged.
    Draining,
    /// The transaction is being committed.
    Committing,
    /// The transaction is being aborted.
    Aborting,
    /// The batch is in the topic for good; its rows are to be deleted.
    Deleting,
    /// Somebody took over a transactional id. Nobody may, as long as the lock's session lives.
    Fenced,
}

/// What the next read takes, by what others may have published of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// The lock was just taken: any row may have been published.
    TakenOver,
    /// So may any row of the snapshot, which is read order by order.
    Backlog,
    /// Nobody published any row that is there.
    Fresh,
}

/// The relay: the only owner of its session, its producer and its batch.
pub struct Relay<O, L, C, W> {
    outbox: O,
    log: L,
    clock: C,
    observer: W,
    topic: String,
    format: Format,
    limits: Limits,
    state: State,
    source: Source,
    low_water: LowWater,
    rival: Rival,
    batch: Batch,
    /// The last value that was written.
    value: Vec<u8>,
    /// Nothing but heartbeats happens before.
    resume_at: Duration,
    /// Rows that come before are collected.
    collect_until: Duration,
    /// When the lock's session answered last.
    heard_at: Duration,
    /// When something was published last, or the lock was taken.
    progress_at: Duration,
    /// The end of what the open transaction may wait for.
    deadline: Duration,
    /// Whether a call to this producer may still be under way in the network.
    interrupted: bool,
    backoff: Backoff,
}

impl<O: Outbox, L: Log, C: Timer, W: Observer> Relay<O, L, C, W> {
    /// A relay that has not done anything yet.
    pub fn new(
        (outbox, log, clock, observer): (O, L, C, W),
        topic: String,
        format: Format,
        limits: Limits,
    ) -> Self {
        Self {
            outbox,
            log,
            clock,
            observer,
            topic,
            format,
            limits,
            state: State::StandingBy,
            source: Source::TakenOver,
            low_water: LowWater::default(),
            rival: Rival::default(),
            batch: Batch::default(),
            value: Vec::new(),
            resume_at: Duration::ZERO,
            collect_until: Duration::ZERO,
            heard_at: Duration::ZERO,
            progress_at: Duration::ZERO,
            deadline: Duration::ZERO,
            interrupted: false,
            backoff: Backoff::outside(),
        }
    }

    /// Lets go of the producer and of the lock, and stands by. What is in hand is forgotten: it is
    /// in the outbox.
    pub fn let_go(&mut self) {
        self.log.close();
        self.outbox.let_go();
        self.batch.forget();
        self.source = Source::TakenOver;
        self.low_water = LowWater::default();
        self.observer.low_water(self.low_water.mark());
        self.interrupted = false;
        self.state = State::StandingBy;
        self.observer.inactive();
    }

    const fn is_resting(&self) -> bool {
        matches!(
            self.state,
            State::StandingBy
                | State::Opening
                | State::Fencing
                | State::Confirming
                | State::Reading
                | State::OpeningBacklog
                | State::Idle
                | State::Fenced
        )
    }
}
