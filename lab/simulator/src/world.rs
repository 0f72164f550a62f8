//! All that is outside of the loops: time, chance, the broker, the database, and the requests that
//! are still in the network when their sender has given up.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use processor::task::Guarantee;
use runtime::clock::Clock;

use crate::database::{Database, Row};
use crate::kafka::Broker;
use crate::kafka::group::SESSION_TIMEOUT;
use crate::kafka::transactions::{ProducerIdentity, Refused};
use crate::mutation::Mutation;
use crate::outbox::OutboxTable;
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

/// A request's number, to ask for its answer.
pub type Ticket = u64;

/// What may arrive late.
#[derive(Debug, Clone)]
pub enum Request {
    /// The end of a transaction.
    End {
        /// Under which epoch.
        identity: ProducerIdentity,
        /// Or abort.
        commit: bool,
    },
    /// A statement.
    Insert(Vec<Row>),
    /// The outbox's rows of these ids are published.
    Delete(Vec<i64>),
}

/// One line of the schedule.
#[derive(Debug, Clone)]
pub struct Event {
    at: Duration,
    who: String,
    what: String,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.at.as_millis();
        write!(
            f,
            "{:>5}.{:03} {:<16} {}",
            millis / 1000,
            millis % 1000,
            self.who,
            self.what
        )
    }
}

/// So many of the last events are told.
const SCHEDULE_TOLD: usize = 60;

/// What went wrong, counted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Met {
    /// All faults of calls.
    pub faults: u64,
    /// Of them: the process was killed.
    pub killed: u64,
    /// Of them: it was stopped for longer than the session's and the transaction's timeout.
    pub zombies: u64,
}

impl std::ops::AddAssign for Met {
    fn add_assign(&mut self, other: Self) {
        self.faults += other.faults;
        self.killed += other.killed;
        self.zombies += other.zombies;
    }
}

/// Everything outside.
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
    /// So many calls of a thousand meet a fault.
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
    pub met: Met,
    network: Vec<(Duration, Ticket, Request)>,
    answers: BTreeMap<Ticket, Result<(), Refused>>,
    next_ticket: Ticket,
    /// Kept for a failing seed.
    pub record_schedule: bool,
    schedule: VecDeque<Event>,
    /// The whole schedule is kept.
    pub whole_schedule: bool,
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
            met: Met::default(),
            network: Vec::new(),
            answers: BTreeMap::new(),
            next_ticket: 0,
            record_schedule: false,
            schedule: VecDeque::new(),
            whole_schedule: false,
        }
    }

    /// Whether this bug is planted.
    pub fn has(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    /// A new process.
    pub fn start_process(&mut self) -> ProcessId {
        self.lives.push(Life::default());
        self.lives.len() - 1
    }

    /// The process's time: its step may be ahead of the others.
    pub fn time_of(&self, id: ProcessId) -> Duration {
        self.now + self.lives[id].spent
    }

    /// The process waits.
    pub fn spend(&mut self, id: ProcessId, time: Duration) {
        self.lives[id].spent += time;
    }

    /// A line of the schedule; `what` is called only when somebody will read it.
    pub fn note(&mut self, who: &str, what: impl FnOnce() -> String) {
        if !self.record_schedule {
            return;
        }
        if !self.whole_schedule && self.schedule.len() == SCHEDULE_TOLD {
            self.schedule.pop_front();
        }
        self.schedule.push_back(Event {
            at: self.now,
            who: who.to_owned(),
            what: what(),
        });
    }

    /// The last events, or all.
    pub fn schedule(&self) -> impl Iterator<Item = &Event> {
        self.schedule.iter()
    }

    /// Something happened that never may.
    pub fn violate(&mut self, what: impl FnOnce() -> String) {
        if self.violation.is_none() {
            self.violation = Some(what());
        }
    }

    /// A call of a process begins: what does it meet? A dead process's calls are refused.
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
        if self.record_schedule {
            let life = self.lives[id].clone();
            let mut told = what.to_owned();
            if fault != Fault::None {
                told.push_str(&format!(": {fault:?}"));
            }
            if life.dead {
                told.push_str(", killed");
            }
            if !life.sleep.is_zero() {
                told.push_str(&format!(", stopped for {:?}", life.sleep));
            }
            self.note(&format!("process {id}"), || told);
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
        self.next_ticket += 1;
        let due = self.time_of(id) + delay;
        self.network.push((due, self.next_ticket, request));
        self.next_ticket
    }

    /// A request's answer, once it arrived.
    pub fn answer(&self, ticket: Ticket) -> Option<Result<(), Refused>> {
        self.answers.get(&ticket).copied()
    }

    /// Moves time on: what is due in the network arrives, what is too old expires.
    pub fn advance(&mut self, to: Duration) {
        self.now = self.now.max(to);
        let now = self.now;
        while let Some(place) = self
            .network
            .iter()
            .enumerate()
            .filter(|(_, (due, ..))| *due <= now)
            .min_by_key(|(_, (due, ticket, _))| (*due, *ticket))
            .map(|(place, _)| place)
        {
            let (_, ticket, request) = self.network.swap_remove(place);
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
            self.answers.insert(ticket, answer);
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

/// A process's view of the time.
#[derive(Debug, Clone)]
pub struct ProcessClock {
    /// The world.
    pub world: Shared,
    /// Whose.
    pub id: ProcessId,
}

impl Clock for ProcessClock {
    fn now(&self) -> Duration {
        self.world.borrow().time_of(self.id)
    }
}
