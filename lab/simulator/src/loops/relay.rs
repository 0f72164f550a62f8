//! The relay's ports over the model.

use std::time::Duration;

use producer::relay::ports::{Outbox, OutboxError, Timer, Topic, Writers};
use producer::relay::task::{Ports, Relay, Settings};
use producer::relay::{ReadLimits, Row};
use runtime::kafka::{Outgoing, TransactionError};
use runtime::stepping::Driver;
use schemas::{Currency, OrderStatus, ValueFormat};

use super::silent::Silent;
use crate::clients::producers::Producers;
use crate::mutation::Mutation;
use crate::world::kafka::relayed::VERSION;
use crate::world::kafka::{RELAYED, TOPICS};
use crate::world::network::Request;
use crate::world::outbox::{OutboxTable, Server, SessionId};
use crate::world::{Fault, ProcessClock, ProcessId, Service, Shared};

/// A relay of the model.
pub type RelayTask = Driver<Relay<SimulatedOutbox, SimulatedTopic, ProcessClock, Silent>>;

/// All relays of an outbox have the same transactional id, so that each takeover fences the others.
const TRANSACTIONAL_ID: &str = "relay/0";

/// Starts a relay.
pub fn start(world: &Shared, id: ProcessId) -> RelayTask {
    let outbox = SimulatedOutbox {
        world: Shared::clone(world),
        id,
        session: None,
    };
    let topic = SimulatedTopic {
        world: Shared::clone(world),
        id,
        producers: Producers::new(id, TRANSACTIONAL_ID, true),
    };
    let timer = ProcessClock {
        world: Shared::clone(world),
        id,
    };
    // Small, so that a few rows are a backlog.
    let limits = ReadLimits {
        rows: 3,
        backlog: 4,
        stride: 2,
    };
    let ports = Ports {
        outbox,
        topic,
        timer,
        observer: Silent,
    };
    let settings = Settings {
        topic: TOPICS[RELAYED].to_owned(),
        format: ValueFormat::Json,
        limits,
    };
    Driver::new(Relay::new(ports, settings))
}

/// The relay's outbox over a database session.
#[derive(Debug)]
pub struct SimulatedOutbox {
    world: Shared,
    id: ProcessId,
    session: Option<SessionId>,
}

impl SimulatedOutbox {
    /// Opens a session unless one is open. While faults are injected, the database's host name may resolve
    /// to a standby.
    fn connect(&mut self) {
        if self.session.is_some() {
            return;
        }
        let world = &mut *self.world.borrow_mut();
        let is_astray = world.fault_rate > 0 && world.random.per_mille(100);
        let server = if is_astray {
            Server::Standby
        } else {
            Server::Primary
        };
        self.session = Some(world.outbox.connect(server, world.now));
    }

    fn call<T>(
        &mut self,
        what: &str,
        work: impl FnOnce(&mut OutboxTable, SessionId) -> T,
    ) -> Result<T, OutboxError> {
        let world = &mut self.world.borrow_mut();
        let fault = world.call(self.id, Service::Postgres, what);
        let lost = || OutboxError::Lost("the session is gone".to_owned());
        let now = world.now;
        let Some(session) = self.session else {
            return Err(lost());
        };
        let heard = !world.lives[self.id].dead && world.outbox.hear(session, now);
        if !heard {
            self.session = None;
            return Err(lost());
        }
        match fault {
            Fault::None => Ok(work(&mut world.outbox, session)),
            Fault::Slow => {
                world.spend(self.id, Duration::from_millis(500));
                Err(OutboxError::Refused("too slow".to_owned()))
            }
            Fault::AnswerLost => {
                work(&mut world.outbox, session);
                self.session = None;
                // The server may notice the broken connection later than the client.
                if world.random.per_mille(500) {
                    world.outbox.disconnect(session);
                }
                Err(lost())
            }
            Fault::Refused if world.random.per_mille(500) => {
                Err(OutboxError::Refused("refused".to_owned()))
            }
            Fault::Refused => {
                self.session = None;
                Err(lost())
            }
        }
    }
}

impl Outbox for SimulatedOutbox {
    fn try_lock(&mut self) -> Result<bool, OutboxError> {
        self.connect();
        let (all, anywhere) = {
            let world = self.world.borrow();
            (
                world.has(Mutation::RelayWithoutLock),
                world.has(Mutation::LockOfAStandby),
            )
        };
        let locked = self.call("lock", |outbox, session| {
            (anywhere || outbox.is_on_primary(session)).then(|| outbox.try_lock(session) || all)
        })?;
        // A standby's advisory lock does not exclude a relay on the primary.
        locked.ok_or_else(|| {
            self.close();
            OutboxError::Lost("the server is a standby".to_owned())
        })
    }

    fn close(&mut self) {
        if let Some(session) = self.session.take() {
            self.world.borrow_mut().outbox.disconnect(session);
        }
    }

    fn confirm(&mut self) -> Result<(), OutboxError> {
        self.call("confirm", |_, _| ())
    }

    fn read(&mut self, from: i64, max: usize, rows: &mut Vec<Row>) -> Result<(), OutboxError> {
        let read = self.call("read outbox", |outbox, session| {
            outbox.read(session, from, max)
        })?;
        let mut world = self.world.borrow_mut();
        if world.has(Mutation::RelayDeletesFirst) {
            let ids: Vec<_> = read.iter().map(|row| row.id).collect();
            world.outbox.delete(&ids);
        }
        rows.extend(read);
        Ok(())
    }

    fn writers(&mut self) -> Result<Option<Writers>, OutboxError> {
        let none = self.world.borrow().has(Mutation::RelayMarkIgnoresWriters);
        self.call("list writers", |outbox, _| {
            Some(if none {
                Writers::new()
            } else {
                outbox.writers()
            })
        })
    }

    fn open_backlog(&mut self) -> Result<(), OutboxError> {
        self.call("open backlog", OutboxTable::open_backlog)
    }

    fn read_backlog(&mut self, max: usize, rows: &mut Vec<Row>) -> Result<(), OutboxError> {
        rows.extend(self.call("read backlog", |outbox, session| {
            outbox.read_backlog(session, max)
        })?);
        Ok(())
    }

    fn delete(&mut self, ids: &[i64]) -> Result<(), OutboxError> {
        let deleted = self.call("delete", |outbox, session| {
            let is_written = outbox.is_on_primary(session);
            if is_written {
                outbox.delete(ids);
            }
            is_written
        });
        if deleted == Ok(false) {
            return Err(OutboxError::Refused("the server is read-only".to_owned()));
        }
        let deleted = deleted.map(|_| ());
        if deleted.is_err() {
            // The statement may still be executed after the relay has stopped waiting for it.
            let world = &mut self.world.borrow_mut();
            if world.random.per_mille(300) {
                world.arrive_late(self.id, Request::Delete(ids.to_vec()));
            }
        }
        deleted
    }
}

/// The topic that the relay publishes to.
#[derive(Debug)]
pub struct SimulatedTopic {
    world: Shared,
    id: ProcessId,
    producers: Producers,
}

impl Topic for SimulatedTopic {
    fn open(&mut self) -> Result<(), String> {
        self.producers.reopen(&mut self.world.borrow_mut());
        Ok(())
    }

    fn close(&mut self) {
        self.producers.reopen(&mut self.world.borrow_mut());
    }

    fn init(&mut self, timeout: Duration) -> Result<(), TransactionError> {
        let world = &mut self.world.borrow_mut();
        self.producers.init(world, timeout)
    }

    fn begin(&mut self) -> Result<(), TransactionError> {
        self.producers.begin()
    }

    fn send(&mut self, record: &Outgoing<'_>) -> Result<(), TransactionError> {
        let world = &mut self.world.borrow_mut();
        // The version is parsed here, so that the model need not parse the topic at every commit.
        let value = record.value.unwrap_or_default();
        let Ok(status) = OrderStatus::read(record.key, value, ValueFormat::Json, Currency::EUR)
        else {
            let id = self.id;
            world.violate(|| format!("process {id} relayed what it cannot read itself"));
            return Ok(());
        };
        let version = status.version.unwrap_or_default().to_string();
        let headers = [(VERSION, Some(version.as_bytes()))];
        let kept = Outgoing {
            headers: &headers,
            ..*record
        };
        self.producers.current().send(world, &kept)
    }

    fn drain(&mut self, timeout: Duration) -> Result<(), TransactionError> {
        self.producers
            .current()
            .drain(&mut self.world.borrow_mut(), timeout)
    }

    fn commit(&mut self, timeout: Duration) -> Result<(), TransactionError> {
        self.producers
            .current()
            .end(&mut self.world.borrow_mut(), true, timeout)
    }

    fn abort(&mut self, timeout: Duration) -> Result<(), TransactionError> {
        self.producers
            .current()
            .end(&mut self.world.borrow_mut(), false, timeout)
    }
}

impl Timer for ProcessClock {
    fn wait(&mut self, max: Duration) {
        self.world.borrow_mut().spend(self.id, max);
    }
}
