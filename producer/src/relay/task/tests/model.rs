//! A small model of Postgres and Kafka, shared by several relays, with faults at any call.

mod outbox;
mod topic;

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use runtime::clock::Clock;
use runtime::metrics::Count;
use runtime::stepping::Driver;
use rust_decimal::Decimal;
use schemas::{Currency, Status, Timestamp, ValueFormat};

use crate::relay::ports::{Observer, Timer};
use crate::relay::task::{Ports, Relay, Settings};
use crate::relay::{ReadLimits, Row};
use outbox::ModelOutbox;
use topic::ModelTopic;

pub(super) type Order = usize;
pub(super) type Version = i64;
type Records = Vec<(Order, Version)>;

/// What goes wrong at one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The call has no effect; the session or the producer lives on.
    Refused,
    /// The call has no effect; the session or the producer is dead.
    Broken,
    /// The call takes effect, but its answer is lost, and the session or the producer is dead.
    DoneThenBroken,
    /// Kafka: no answer in time, and no effect. Postgres: as `Refused`.
    Late,
    /// Kafka's commit and abort: no answer in time, and the request stays in the network. A send: the
    /// requests in the network arrive just before it. Other calls: as `Late`.
    InTheNetwork,
}

/// How a transaction is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Commit,
    Abort,
}

/// The server ends a session that sends nothing for this long.
const IDLE_SESSION: Duration = Duration::from_secs(6);

/// How long a call that gets no answer takes.
const NO_ANSWER: Duration = Duration::from_millis(500);

struct Session {
    heard_at: Duration,
    /// The snapshot of its backlog cursor.
    backlog: Option<Vec<Row>>,
}

/// Everything that outlives a relay.
#[derive(Default)]
pub(super) struct World {
    pub(super) now: Duration,
    pub(super) faults: VecDeque<Option<Fault>>,
    /// Whether every call to Kafka is `Late`.
    pub(super) kafka_is_away: bool,

    rows: BTreeMap<i64, Row>,
    /// Rows of open transactions, which have taken their ids. At most one per order.
    uncommitted: Vec<Row>,
    next_id: i64,
    pub(super) versions: BTreeMap<Order, Version>,
    lock: Option<u64>,
    sessions: BTreeMap<u64, Session>,
    next_session: u64,
    /// Deletes that are not on disk yet, oldest first.
    unflushed: Vec<Vec<Row>>,

    epoch: u64,
    open: BTreeMap<u64, Records>,
    /// Commits and aborts that are still in the network, each with the epoch of its producer.
    stragglers: Vec<(u64, End)>,
    /// What a reader of committed records sees, transaction by transaction.
    pub(super) committed: Vec<Records>,
    newest: BTreeMap<Order, Version>,
    pub(super) violations: Vec<String>,
    /// Why nothing is published, as a relay reported last.
    pub(super) blocked: Option<String>,
    /// Every event that a relay counted, in order.
    pub(super) counts: Vec<Count>,
}

impl World {
    fn fault(&mut self) -> Option<Fault> {
        let fault = self.faults.pop_front().flatten();
        self.take(fault)
    }

    fn kafka_fault(&mut self) -> Option<Fault> {
        let fault = self.faults.pop_front().flatten();
        self.take(fault.or(self.kafka_is_away.then_some(Fault::Late)))
    }

    fn take(&mut self, fault: Option<Fault>) -> Option<Fault> {
        self.now += match fault {
            Some(Fault::Late | Fault::InTheNetwork) => NO_ANSWER,
            _ => Duration::from_millis(3),
        };
        fault
    }

    fn end_idle_sessions(&mut self) {
        let now = self.now;
        self.sessions
            .retain(|_, session| now - session.heard_at < IDLE_SESSION);
        self.lock
            .take_if(|holder| !self.sessions.contains_key(holder));
    }

    /// Inserts an order's next change in a transaction that stays open.
    pub(super) fn insert(&mut self, order: Order) {
        if self
            .uncommitted
            .iter()
            .any(|row| row.order_id == name(order))
        {
            return; // The order's row is locked.
        }
        let version = self.versions.entry(order).or_insert(0);
        *version += 1;
        self.next_id += 1;
        self.uncommitted.push(row(self.next_id, order, *version));
    }

    /// Commits one of the open transactions.
    pub(super) fn commit_insert(&mut self, which: usize) {
        if !self.uncommitted.is_empty() {
            let row = self.uncommitted.remove(which % self.uncommitted.len());
            self.rows.insert(row.id, row);
        }
    }

    pub(super) fn commit_all_inserts(&mut self) {
        while !self.uncommitted.is_empty() {
            self.commit_insert(0);
        }
    }

    /// Crashes Postgres: all sessions end, and the last `lost` deletes are undone, because they were
    /// not on disk.
    pub(super) fn crash_postgres(&mut self, lost: usize) {
        for _ in 0..lost {
            for row in self.unflushed.pop().unwrap_or_default() {
                self.rows.insert(row.id, row);
            }
        }
        self.unflushed.clear();
        self.sessions.clear();
        self.lock = None;
        // No client was told that these changes are committed, so the versions are free again.
        for row in std::mem::take(&mut self.uncommitted) {
            let version = self.versions.entry(number(&row.order_id)).or_insert(1);
            *version -= 1;
        }
    }

    pub(super) fn end_session_of_holder(&mut self) {
        if let Some(session) = self.lock {
            self.end_session(session);
        }
    }

    fn end_session(&mut self, session: u64) {
        self.sessions.remove(&session);
        if self.lock == Some(session) {
            self.lock = None;
        }
    }

    /// Delivers the commits and aborts in the network. Each ends the transaction that its producer has
    /// open by now.
    pub(super) fn deliver_stragglers(&mut self) {
        for (epoch, end) in std::mem::take(&mut self.stragglers) {
            if epoch == self.epoch {
                self.end_transaction(epoch, end);
            }
        }
    }

    fn end_transaction(&mut self, epoch: u64, end: End) {
        match end {
            End::Commit => self.commit_transaction(epoch),
            End::Abort => {
                self.open.remove(&epoch);
            }
        }
    }

    fn commit_transaction(&mut self, epoch: u64) {
        let Some(records) = self.open.remove(&epoch) else {
            return;
        };
        if records.is_empty() {
            return;
        }
        let mut last = BTreeMap::new();
        for (order, version) in &records {
            let newest = self.newest.entry(*order).or_insert(0);
            if *version > *newest + 1 {
                self.violations.push(format!(
                    "order {order}: {version} came before {}",
                    *newest + 1
                ));
            }
            *newest = (*newest).max(*version);
            last.insert(*order, *version);
        }
        for (order, version) in last {
            let newest = self.newest[&order];
            if version < newest {
                self.violations.push(format!(
                    "order {order}: went back from {newest} to {version}"
                ));
            }
        }
        self.committed.push(records);
    }

    /// Takes over the transactional ids, as a producer of another database does.
    pub(super) fn fence(&mut self) {
        self.epoch += 1;
        self.open.clear();
    }

    pub(super) fn backlog(&self) -> usize {
        self.rows.len()
    }

    /// Returns the highest version of each order in the topic.
    pub(super) fn newest(&self) -> &BTreeMap<Order, Version> {
        &self.newest
    }
}

pub(super) type Shared = Rc<RefCell<World>>;

pub(super) fn name(order: Order) -> String {
    format!("order-{order}")
}

fn number(name: &str) -> Order {
    name.trim_start_matches("order-").parse().unwrap()
}

pub(in crate::relay) fn row(id: i64, order: Order, version: Version) -> Row {
    Row {
        id,
        order_id: name(order),
        version,
        status: Status::Sent,
        total: Decimal::from(100),
        currency: Currency::EUR,
        occurred_at: Timestamp::FIRST,
        sent_at: Some(Timestamp::FIRST),
        traceparent: None,
    }
}

/// Virtual time.
pub(super) struct ModelTimer(Shared);

impl Clock for ModelTimer {
    fn now(&self) -> Duration {
        self.0.borrow().now
    }
}

impl Timer for ModelTimer {
    fn wait(&mut self, max: Duration) {
        self.0.borrow_mut().now += max;
    }
}

/// Keeps what was reported last.
pub(super) struct Watcher(Shared);

impl Observer for Watcher {
    fn healthy(&mut self) {
        self.0.borrow_mut().blocked = None;
    }

    fn blocked(&mut self, reason: &str) {
        self.0.borrow_mut().blocked = Some(reason.to_owned());
    }

    fn count(&mut self, count: Count) {
        self.0.borrow_mut().counts.push(count);
    }
}

pub(super) type ModelRelay = Driver<Relay<ModelOutbox, ModelTopic, ModelTimer, Watcher>>;

/// Small enough that most batches are split.
const LIMITS: ReadLimits = ReadLimits {
    rows: 3,
    backlog: 4,
    stride: 2,
};

pub(super) fn relay(world: &Shared) -> ModelRelay {
    let ports = Ports {
        outbox: ModelOutbox {
            world: Rc::clone(world),
            session: None,
        },
        topic: ModelTopic {
            world: Rc::clone(world),
            epoch: None,
            dead: false,
        },
        timer: ModelTimer(Rc::clone(world)),
        observer: Watcher(Rc::clone(world)),
    };
    let settings = Settings {
        topic: "order-status".to_owned(),
        format: ValueFormat::Json,
        limits: LIMITS,
    };
    Driver::new(Relay::new(ports, settings))
}

/// Steps until nothing is left to publish.
pub(super) fn settle(world: &Shared, relays: &mut [ModelRelay]) {
    for _ in 0..20_000 {
        let mut idle = true;
        for relay in &mut *relays {
            super::step(relay);
            idle &= relay.is_idle();
        }
        if idle && world.borrow().backlog() == 0 {
            return;
        }
    }
    panic!(
        "{} rows are still there after the faults stopped",
        world.borrow().backlog()
    );
}
