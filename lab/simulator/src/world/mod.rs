//! Everything outside of the loops: time, faults, the network, Kafka, the tables, and the workload.

pub mod database;
pub mod kafka;
pub mod network;
pub mod outbox;
pub mod schedule;
pub mod workload;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use processor::task::Guarantee;
use runtime::clock::Clock;

use self::database::Database;
use self::kafka::group::{GroupOffsets, SESSION_TIMEOUT};
use self::kafka::transactions::Refused;
use self::kafka::{Broker, ORDER_STATUS};
use self::network::{Network, Request, Ticket};
use self::outbox::OutboxTable;
use self::schedule::Schedule;
use crate::mutation::Mutation;
use crate::random::Random;

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It succeeds.
    None,
    /// It has no effect; the caller gets an error or no answer.
    Refused,
    /// It has its effect, but the answer is lost.
    AnswerLost,
    /// It takes longer than the caller waits, and may have its effect later.
    Slow,
}

/// The service that a call needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// The broker.
    Kafka,
    /// The database.
    Postgres,
}

/// The number of a process. A restarted process gets a new one.
pub type ProcessId = usize;

/// The state of a process.
#[derive(Debug, Clone, Default)]
pub struct Life {
    /// Whether it was killed: its calls have no effect any more.
    pub dead: bool,
    /// The time that its current step has taken so far, in addition to the world's time.
    pub spent: Duration,
    /// How long it is paused after this step.
    pub sleep: Duration,
}

/// The number of faults.
#[derive(Debug, Clone, Copy, Default)]
pub struct FaultCounts {
    /// All faults of calls.
    pub faults: u64,
    /// Faults in which the process was killed.
    pub killed: u64,
    /// Faults in which it was paused for longer than the session and transaction timeouts.
    pub zombies: u64,
}

impl std::ops::AddAssign for FaultCounts {
    fn add_assign(&mut self, other: Self) {
        self.faults += other.faults;
        self.killed += other.killed;
        self.zombies += other.zombies;
    }
}

/// Everything outside of the loops.
#[derive(Debug)]
pub struct World {
    /// The virtual time.
    pub now: Duration,
    /// The random numbers of the seed.
    pub random: Random,
    /// The model of Kafka.
    pub broker: Broker,
    /// The model of the sink's table.
    pub database: Database,
    /// The model of the producer's outbox.
    pub outbox: OutboxTable,
    /// The delivery guarantee of the processors.
    pub guarantee: Guarantee,
    /// The planted bug.
    pub mutation: Option<Mutation>,
    /// The number of faults in a thousand calls.
    pub fault_rate: u64,
    /// The broker is down until this time.
    pub broker_away: Duration,
    /// The database is down until this time.
    pub database_away: Duration,
    /// The registry is down until this time.
    pub registry_away: Duration,
    /// When a person resets offsets that are out of range and writes forgotten markers.
    pub put_right: Duration,
    /// All processes, ended ones too.
    pub lives: Vec<Life>,
    /// The first broken invariant.
    pub violation: Option<String>,
    /// The number of faults so far.
    pub met: FaultCounts,
    /// The events of the run.
    pub schedule: Schedule,
    network: Network,
}

impl World {
    /// Creates a world without faults.
    pub fn new(random: Random, broker: Broker, mutation: Option<Mutation>) -> Self {
        Self {
            now: Duration::ZERO,
            random,
            broker,
            database: Database::default(),
            outbox: OutboxTable::default(),
            guarantee: Guarantee::ExactlyOnce,
            mutation,
            fault_rate: 0,
            broker_away: Duration::ZERO,
            database_away: Duration::ZERO,
            registry_away: Duration::ZERO,
            put_right: Duration::ZERO,
            lives: Vec::new(),
            violation: None,
            met: FaultCounts::default(),
            schedule: Schedule::default(),
            network: Network::default(),
        }
    }

    /// Returns whether this bug is planted.
    pub fn has(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    /// Starts a process.
    pub fn start_process(&mut self) -> ProcessId {
        self.lives.push(Life::default());
        self.lives.len() - 1
    }

    /// Returns the time of a process, which is ahead of the world's by what its current step has taken.
    pub fn time_of(&self, id: ProcessId) -> Duration {
        self.now + self.lives[id].spent
    }

    /// Lets time pass for the process.
    pub fn spend(&mut self, id: ProcessId, time: Duration) {
        self.lives[id].spent += time;
    }

    /// Adds an event to the schedule; `what` is called only when the event is kept.
    pub fn note(&mut self, who: &str, what: impl FnOnce() -> String) {
        self.schedule.add(self.now, who, what);
    }

    /// Records the first broken invariant.
    pub fn violate(&mut self, what: impl FnOnce() -> String) {
        if self.violation.is_none() {
            self.violation = Some(what());
        }
    }

    /// Begins a call of a process, and returns what happens to it. The calls of a killed process are
    /// refused.
    pub fn call(&mut self, id: ProcessId, service: Service, what: &str) -> Fault {
        if self.lives[id].dead {
            return Fault::Refused;
        }
        let latency = Duration::from_micros(self.random.between(50, 3000));
        self.spend(id, latency);
        let away = match service {
            Service::Kafka => self.broker_away,
            Service::Postgres => self.database_away,
        };
        let fault = if self.time_of(id) < away {
            self.spend(id, Duration::from_millis(100));
            Fault::Refused
        } else if self.random.per_mille(self.fault_rate) {
            self.draw_fault(id)
        } else {
            Fault::None
        };
        if self.schedule.is_kept() {
            let life = self.lives[id].clone();
            let mut event = what.to_owned();
            if fault != Fault::None {
                event.push_str(&format!(": {fault:?}"));
            }
            if life.dead {
                event.push_str(", killed");
            }
            if !life.sleep.is_zero() {
                event.push_str(&format!(", stopped for {:?}", life.sleep));
            }
            self.note(&format!("process {id}"), || event);
        }
        fault
    }

    fn draw_fault(&mut self, id: ProcessId) -> Fault {
        self.met.faults += 1;
        match self.random.below(100) {
            0..25 => Fault::Refused,
            25..45 => Fault::AnswerLost,
            45..65 => Fault::Slow,
            65..72 => {
                self.lives[id].dead = true;
                self.met.killed += 1;
                Fault::Refused
            }
            72..80 => {
                self.lives[id].dead = true;
                self.met.killed += 1;
                Fault::AnswerLost
            }
            80..90 => {
                let seconds = self.random.between(1, 40);
                self.lives[id].sleep = Duration::from_secs(seconds);
                self.met.zombies += u64::from(Duration::from_secs(seconds) > SESSION_TIMEOUT);
                if self.random.per_mille(500) {
                    Fault::None
                } else {
                    Fault::AnswerLost
                }
            }
            _ => {
                let group = self.random.place(2);
                let Self { broker, random, .. } = self;
                broker.groups[group].rebalance(random);
                Fault::None
            }
        }
    }

    /// Sends a request that arrives after `delay`, even if its sender has ended by then.
    pub fn send_later(&mut self, id: ProcessId, delay: Duration, request: Request) -> Ticket {
        let due = self.time_of(id) + delay;
        self.network.send(due, request)
    }

    /// Sends a request that arrives after its sender has stopped waiting for the answer.
    pub fn arrive_late(&mut self, id: ProcessId, request: Request) {
        let delay = Duration::from_millis(self.random.below(20_000));
        self.send_later(id, delay, request);
    }

    /// Returns whether transactions commit offsets of this group too. Where they do not, records may be
    /// processed again: by the sink, whose table ignores it, and at least once.
    pub fn is_beside_transactions(&self, group: usize) -> bool {
        group == ORDER_STATUS && self.guarantee == Guarantee::ExactlyOnce
    }

    /// Returns the answer to a request, once the request has arrived.
    pub fn answer(&self, ticket: Ticket) -> Option<Result<(), Refused>> {
        self.network.answer_to(ticket)
    }

    /// Advances the time to `to`: requests that are due arrive, and sessions and transactions past their
    /// timeouts expire.
    pub fn advance(&mut self, to: Duration) {
        self.now = self.now.max(to);
        let now = self.now;
        while let Some((ticket, request)) = self.network.take_due(now) {
            self.note("network", || format!("{request:?}"));
            let answer = match request {
                Request::End { identity, commit } => self.broker.end(identity, commit),
                Request::TakeOver(id) => {
                    let fences = !self.has(Mutation::NoFencing);
                    self.broker.init(&id, fences);
                    Ok(())
                }
                Request::AddOffsets { identity, offsets } => {
                    let added = self.broker.add_offsets(identity, &offsets, now);
                    added.map(|_| ())
                }
                Request::CommitOffsets(offsets) => {
                    self.commit_late(&offsets);
                    Ok(())
                }
                Request::Delete(ids) => {
                    self.outbox.delete(&ids);
                    Ok(())
                }
                Request::Insert(rows) => {
                    let _ = self.database.insert(&rows);
                    Ok(())
                }
            };
            self.network.answer(ticket, answer);
        }
        let Self { broker, random, .. } = self;
        broker.expire(now, random);
        if now >= self.put_right {
            broker.put_right();
        }
        if let Some(what) = broker.regression.take() {
            self.violation.get_or_insert(what);
        }
        for group in &mut broker.groups {
            if let Some(what) = group.went_back.take() {
                self.violation
                    .get_or_insert(format!("a committed offset went back: {what}"));
            }
        }
    }

    /// Commits offsets whose sender has stopped waiting, if it is a member of the current generation. They
    /// may set the group back unless it is beside transactions.
    fn commit_late(&mut self, offsets: &GroupOffsets) {
        if !self.broker.accepts(offsets) {
            return;
        }
        let may_go_back = !self.is_beside_transactions(offsets.group);
        let group = &mut self.broker.groups[offsets.group];
        if may_go_back {
            group.overwrite(&offsets.positions);
        } else {
            group.commit(&offsets.positions);
        }
    }
}

/// The world, which all ports of all processes share.
pub type Shared = Rc<RefCell<World>>;

/// The clock of a process.
#[derive(Debug, Clone)]
pub struct ProcessClock {
    /// The world.
    pub world: Shared,
    /// The process.
    pub id: ProcessId,
}

impl Clock for ProcessClock {
    fn now(&self) -> Duration {
        self.world.borrow().time_of(self.id)
    }
}
