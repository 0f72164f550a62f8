//! The sink's ports over the model.

use std::time::Duration;

use runtime::circuit_breaker::CircuitBreakerSettings;
use runtime::dead_letter::OutgoingDeadLetter;
use runtime::lifecycle::Failure;
use runtime::registry::{Lookup, SchemaSource};
use runtime::stepping::Driver;
use schemas::{Malformed, Reason, SchemaId, VoucherPlan};
use sink::columns::Columns;
use sink::ports::{DeadLetters, Drained, Table, WriteError, Written};
use sink::task::{Ports, Settings, Task};

use super::member::Member;
use super::silent::Silent;
use crate::mutation::Mutation;
use crate::world::database::{Row, rows_of};
use crate::world::kafka::log::Record;
use crate::world::kafka::{Broker, VOUCHERS, VOUCHERS_DLQ};
use crate::world::network::Request;
use crate::world::{Fault, ProcessClock, ProcessId, Service, Shared};

/// A sink of the model.
pub type SinkTask =
    Driver<Task<Member, SimulatedTable, SimulatedDeadLetters, NoSchemas, ProcessClock, Silent>>;

/// Starts a sink. Its instance id is new in every process, as the product's is (ADR 0004).
pub fn start(world: &Shared, id: ProcessId) -> SinkTask {
    let ports = Ports {
        source: Member::new(world, id, VOUCHERS, format!("sink-{id}")),
        table: SimulatedTable {
            world: Shared::clone(world),
            id,
            in_flight: None,
            polls: 0,
        },
        dead_letters: SimulatedDeadLetters {
            world: Shared::clone(world),
            id,
            queue: Vec::new(),
        },
        schemas: NoSchemas,
        clock: ProcessClock {
            world: Shared::clone(world),
            id,
        },
        observer: Silent,
    };
    let settings = Settings {
        topic: "vouchers".to_owned(),
        // The workload may contain any share of dead letters.
        breaker: CircuitBreakerSettings::NEVER,
    };
    Driver::new(Task::new(ports, settings))
}

/// The sink's table over a database connection.
#[derive(Debug)]
pub struct SimulatedTable {
    world: Shared,
    id: ProcessId,
    in_flight: Option<Columns>,
    /// The number of polls without a timeout that come before the answer.
    polls: u64,
}

impl Table for SimulatedTable {
    fn start(&mut self, columns: Columns) {
        assert!(self.in_flight.is_none(), "one statement at a time");
        self.in_flight = Some(columns);
        self.polls = self.world.borrow_mut().random.below(4);
    }

    fn poll(&mut self, timeout: Duration) -> Option<(Columns, Result<Written, WriteError>)> {
        if timeout.is_zero() && self.polls > 0 {
            self.polls -= 1;
            return None;
        }
        let world = &mut self.world.borrow_mut();
        let fault = world.call(self.id, Service::Postgres, "insert");
        if fault == Fault::Slow {
            world.spend(self.id, timeout);
            return None;
        }
        let columns = self.in_flight.take()?;
        let rows = rows_of(&columns);
        let unearned = rows.iter().find(|row| !is_in_topic(&world.broker, row));
        if let Some(row) = unearned {
            let order = row.identity.order_id.clone();
            world.violate(|| format!("a row of order {order}, whose voucher is not committed"));
        }
        let away = |why: &str| Err(WriteError::Unavailable(why.to_owned()));
        let result = match fault {
            Fault::Refused if world.time_of(self.id) < world.database_away => away("away"),
            Fault::Refused => match world.random.below(4) {
                0 if world.has(Mutation::ConflictSwallowed) => Ok(Written::default()),
                0 => Err(WriteError::Conflict("a deadlock".to_owned())),
                1 => Err(WriteError::CodeClash { holder: None }),
                2 => {
                    // The connection is lost, but the server still executes the statement later.
                    let delay = Duration::from_millis(world.random.below(30_000));
                    world.send_later(self.id, delay, Request::Insert(rows));
                    away("the connection is gone")
                }
                _ => away("refused"),
            },
            Fault::AnswerLost => {
                let _ = world.database.insert(&rows);
                away("the answer was lost")
            }
            Fault::None | Fault::Slow => {
                if world.has(Mutation::LastRecordWins) {
                    world.database.replace(&rows);
                }
                world.database.insert(&rows)
            }
        };
        Some((columns, result))
    }
}

/// Returns whether a committed voucher record has this row's key.
fn is_in_topic(broker: &Broker, row: &Row) -> bool {
    let key = row.identity.order_id.as_bytes();
    let partition = broker.partition_of(Some(key));
    broker
        .log(VOUCHERS, partition)
        .committed()
        .any(|(_, record)| record.key.as_deref() == Some(key))
}

/// The dead letters' producer.
#[derive(Debug)]
pub struct SimulatedDeadLetters {
    world: Shared,
    id: ProcessId,
    queue: Vec<Record>,
}

impl DeadLetters for SimulatedDeadLetters {
    fn send(&mut self, dead_letter: &OutgoingDeadLetter<'_>) -> Result<(), String> {
        self.queue.push(Record {
            key: dead_letter.key.map(<[u8]>::to_vec),
            value: dead_letter.value.map(<[u8]>::to_vec),
            headers: dead_letter.headers.clone(),
        });
        Ok(())
    }

    fn drain(&mut self, timeout: Duration) -> Drained {
        let world = &mut self.world.borrow_mut();
        let fault = world.call(self.id, Service::Kafka, "dead letters");
        match fault {
            Fault::Slow => {
                world.spend(self.id, timeout);
                if world.has(Mutation::DeadLetterUnacknowledged) {
                    self.queue.clear();
                    return Drained::All;
                }
                Drained::NotYet
            }
            Fault::Refused => Drained::Failed("refused".to_owned()),
            Fault::None | Fault::AnswerLost => {
                for dead_letter in self.queue.drain(..) {
                    world.broker.append(VOUCHERS_DLQ, dead_letter);
                }
                if fault == Fault::AnswerLost {
                    Drained::Failed("the answer was lost".to_owned())
                } else {
                    Drained::All
                }
            }
        }
    }

    fn reopen(&mut self) -> Result<(), Failure> {
        self.queue.clear();
        Ok(())
    }
}

/// A registry without schemas: the vouchers of the model are JSON.
#[derive(Debug, Clone, Copy)]
pub struct NoSchemas;

impl SchemaSource for NoSchemas {
    type Plan = VoucherPlan;

    fn lookup(&mut self, _: SchemaId) -> Lookup<'_, VoucherPlan> {
        Lookup::Bad(Malformed::new(Reason::UnknownSchema, "not registered"))
    }
}
