//! All that is outside of the loops: time, faults, the network, Kafka, the tables, and the workload.

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
use self::kafka::Broker;
use self::kafka::group::SESSION_TIMEOUT;
use self::kafka::transactions::Refused;
use self::network::{Network, Request, Ticket};
use self::outbox::OutboxTable;
use self::schedule::Schedule;
use crate::mutation::Mutation;
use crate::random::Random;

/// What a call meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// It is not done, and the answer says so or there is none.
    Refused,
    /// It is done, but the answer is lost.
    AnswerLost,
    /// It takes longer than its sender waits, and is done then.
    Slow,
}

/// Which service a call needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// The broker.
    Kafka,
    /// The database.
    Postgres,
}

/// A process's number. A restart has a new one.
pub type ProcessId = usize;

/// What the world knows of a process.
#[derive(Debug, Clone, Default)]
pub struct Life {
    /// Killed: its calls have no effect any more.
    pub dead: bool,
    /// How far its step is ahead of the world's time.
    pub spent: Duration,
    /// It is stopped for so long after this step.
    pub sleep: Duration,
}

/// The number of faults.
#[derive(Debug, Clone, Copy, Default)]
pub struct FaultCounts {
    /// All faults of calls.
    pub faults: u64,
    /// Of them: the process was killed.
    pub killed: u64,
    /// Of them: it was stopped for longer than the session's and the transaction's timeout.
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
    /// Virtual time.
    pub now: Duration,
    /// Chance.
    pub random: Random,
    /// Kafka.
    pub broker: Broker,
    /// Postgres.
    pub database: Database,
    /// Postgres, the producer's.
    pub outbox: OutboxTable,
    /// What the processors promise of a voucher's record.
    pub guarantee: Guarantee,
    /// The planted bug.
    pub mutation: Option<Mutation>,
    /// How many of a thousand calls meet a fault.
    pub fault_rate: u64,
    /// The broker is away until then.
    pub broker_away: Duration,
    /// The database is away until then.
    pub database_away: Duration,
    /// The registry is away until then.
    pub registry_away: Duration,
    /// A person puts right what went astray by then.
    pub put_right: Duration,
    /// All processes that ever were.
    pub lives: Vec<Life>,
    /// The first thing that must never happen and did.
    pub violation: Option<String>,
    /// What calls met.
    pub met: FaultCounts,
    /// What happened.
    pub schedule: Schedule,
    network: Network,
}

impl World {
    /// A quiet world.
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

    /// Returns the process's time: its step may be ahead of the others.
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

    /// Notes that something happened that never may.
    pub fn violate(&mut self, what: impl FnOnce() -> String) {
        if self.violation.is_none() {
            self.violation = Some(what());
        }
    }

    /// Begins a call of a process, and returns what it meets. A dead process's calls are refused.
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

    /// Sends a request that arrives after `delay`, whatever becomes of its sender.
    pub fn send_later(&mut self, id: ProcessId, delay: Duration, request: Request) -> Ticket {
        let due = self.time_of(id) + delay;
        self.network.send(due, request)
    }

    /// Returns the answer to a request, once it arrived.
    pub fn answer(&self, ticket: Ticket) -> Option<Result<(), Refused>> {
        self.network.answer_to(ticket)
    }

    /// Moves time on: requests that are due arrive, sessions and transactions that are too old expire.
    pub fn advance(&mut self, to: Duration) {
        self.now = self.now.max(to);
        let now = self.now;
        while let Some((ticket, request)) = self.network.take_due(now) {
            self.note("network", || format!("{request:?}"));
            let answer = match request {
                Request::End { identity, commit } => self.broker.end(identity, commit),
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
}

/// One handle for all ports of all processes.
pub type Shared = Rc<RefCell<World>>;

/// The time of a process.
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
