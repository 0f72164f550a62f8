//! The processor's ports over the model.

use std::sync::Arc;
use std::time::Duration;

use processor::batch::{Batch, Topics};
use processor::evaluate::SharedEvaluator;
use processor::limits::BatchLimits;
use processor::ports::Log;
use processor::task::{Guarantee, Ports, Settings, Task};
use runtime::circuit_breaker::CircuitBreakerSettings;
use runtime::kafka::{Membership, Outgoing, Stage, TransactionError, Unfinished};
use runtime::lifecycle::Failure;
use runtime::record::Positions;
use runtime::registry::{Lookup, SchemaSource};
use runtime::stepping::Driver;
use schemas::{Malformed, OrderStatusPlan, Reason, SchemaId, ValueFormat};

use super::member::Member;
use super::silent::Silent;
use crate::clients::producers::Producers;
use crate::mutation::Mutation;
use crate::world::kafka::ORDER_STATUS;
use crate::world::kafka::group::SESSION_TIMEOUT;
use crate::world::workload::SCHEMA_ID;
use crate::world::{ProcessClock, ProcessId, Shared};

/// A processor of the model.
pub type ProcessorTask = Driver<Task<SimulatedLog, Schemas, ProcessClock, Silent>>;

/// Starts a processor. `instance` is its stable name.
pub fn start(
    world: &Shared,
    id: ProcessId,
    instance: &str,
    evaluator: &SharedEvaluator,
    schema: &Arc<ValueFormat<OrderStatusPlan>>,
) -> ProcessorTask {
    let transactional_id = format!("processor/{instance}/0");
    let guarantee = world.borrow().guarantee;
    let log = SimulatedLog {
        member: Member::new(world, id, ORDER_STATUS, instance.to_owned()),
        producers: Producers::new(id, &transactional_id, guarantee == Guarantee::ExactlyOnce),
        late: None,
        beside: None,
    };
    let schemas = Schemas {
        clock: ProcessClock {
            world: Shared::clone(world),
            id,
        },
        schema: Arc::clone(schema),
    };
    let clock = ProcessClock {
        world: Shared::clone(world),
        id,
    };
    let ports = Ports {
        log,
        schemas,
        clock,
        observer: Silent,
    };
    let topics = Topics {
        source: "order-status".to_owned(),
        vouchers: "vouchers".to_owned(),
        dead_letters: "order-status.dlq".to_owned(),
    };
    let settings = Settings {
        guarantee,
        evaluator: Arc::clone(evaluator),
        batch: Batch::new(topics, ValueFormat::Json),
        limits: BatchLimits {
            records: FULL_BATCH,
            ..BatchLimits::default()
        },
        // The workload may contain any share of dead letters.
        breaker: CircuitBreakerSettings::NEVER,
        transactional_id,
    };
    Driver::new(Task::new(ports, settings))
}

/// Records of a full batch. So few that a short workload fills batches, as a backlog does.
const FULL_BATCH: usize = 4;

/// A transaction that is finished while the loop prefetches the next batch.
#[derive(Debug)]
struct Beside {
    positions: Positions,
    timeout: Duration,
    stage: Stage,
}

/// The processor's log: its consumer and its producers.
#[derive(Debug)]
pub struct SimulatedLog {
    member: Member,
    producers: Producers,
    /// Offsets that the bug `OffsetsOutsideTransaction` commits after the transaction.
    late: Option<Positions>,
    beside: Option<Beside>,
}

impl Log for SimulatedLog {
    type Consumer = Member;

    fn consumer(&mut self) -> &mut Member {
        &mut self.member
    }

    fn open_producer(&mut self) -> Result<(), Failure> {
        self.producers.reopen(&mut self.member.world.borrow_mut());
        Ok(())
    }

    fn is_fenced(&self) -> bool {
        self.member.consumer.is_fenced()
    }

    fn session_timeout(&self) -> Duration {
        SESSION_TIMEOUT
    }

    fn look_for_our_name(&mut self, time: Duration) -> Membership {
        self.member
            .consumer
            .look_for_our_name(&mut self.member.world.borrow_mut(), time)
    }

    fn init(&mut self, timeout: Duration) -> Result<(), TransactionError> {
        let world = &mut self.member.world.borrow_mut();
        self.member.consumer.heartbeat(world);
        self.producers.init(world, timeout)
    }

    fn begin(&mut self) -> Result<(), TransactionError> {
        self.producers.begin()
    }

    fn send(&mut self, record: &Outgoing<'_>) -> Result<(), TransactionError> {
        self.producers
            .current()
            .send(&mut self.member.world.borrow_mut(), record)
    }

    fn drain(&mut self, timeout: Duration) -> Result<(), TransactionError> {
        let world = &mut self.member.world.borrow_mut();
        self.member.consumer.heartbeat(world);
        self.producers.current().drain(world, timeout)
    }

    fn send_offsets(
        &mut self,
        positions: &Positions,
        timeout: Duration,
    ) -> Result<(), TransactionError> {
        let world = &mut self.member.world.borrow_mut();
        self.member.consumer.heartbeat(world);
        if world.has(Mutation::OffsetsOutsideTransaction) {
            self.late = Some(positions.clone());
            return Ok(());
        }
        let mut offsets = self.member.consumer.offsets(world, positions);
        if world.has(Mutation::NoGeneration) {
            offsets.member = None;
        }
        let producer = self.producers.current();
        producer.send_offsets(world, offsets, timeout)
    }

    fn commit(&mut self, timeout: Duration) -> Result<(), TransactionError> {
        let world = &mut self.member.world.borrow_mut();
        self.member.consumer.heartbeat(world);
        self.producers.current().end(world, true, timeout)?;
        if let Some(late) = self.late.take() {
            let _ = self.member.consumer.commit(world, &late);
        }
        Ok(())
    }

    fn abort(&mut self, timeout: Duration) -> Result<(), TransactionError> {
        let world = &mut self.member.world.borrow_mut();
        self.member.consumer.heartbeat(world);
        self.producers.current().end(world, false, timeout)
    }

    fn begin_finish(&mut self, positions: &Positions, timeout: Duration) -> bool {
        self.beside = Some(Beside {
            positions: positions.clone(),
            timeout,
            stage: Stage::SendingOffsets,
        });
        true
    }

    /// Executes at most one stage, and in half of the calls none, so that the loop prefetches, or its
    /// process is killed, between two stages.
    fn poll_finish(&mut self, timeout: Duration) -> Option<Result<(), Unfinished>> {
        {
            let world = &mut self.member.world.borrow_mut();
            if world.random.per_mille(500) {
                world.spend(self.member.consumer.id(), timeout);
                return None;
            }
        }
        let Beside {
            positions,
            timeout,
            stage,
        } = self.beside.take()?;
        let (done, next) = match stage {
            Stage::SendingOffsets => (
                self.send_offsets(&positions, timeout),
                Some(Stage::Draining),
            ),
            Stage::Draining => (self.drain(timeout), Some(Stage::Committing)),
            Stage::Committing => (self.commit(timeout), None),
        };
        match (done, next) {
            (Err(_), _)
                if self
                    .member
                    .world
                    .borrow()
                    .has(Mutation::UnfinishedIsCommitted) =>
            {
                Some(Ok(()))
            }
            (Err(error), _) => Some(Err(Unfinished { stage, error })),
            (Ok(()), None) => Some(Ok(())),
            (Ok(()), Some(stage)) => {
                self.beside = Some(Beside {
                    positions,
                    timeout,
                    stage,
                });
                None
            }
        }
    }
}

/// The registry, which knows one schema. While it is down, lookups are pending.
#[derive(Debug)]
pub struct Schemas {
    clock: ProcessClock,
    schema: Arc<ValueFormat<OrderStatusPlan>>,
}

impl SchemaSource for Schemas {
    type Plan = OrderStatusPlan;

    fn lookup(&mut self, id: SchemaId) -> Lookup<'_, OrderStatusPlan> {
        let world = self.clock.world.borrow();
        if world.time_of(self.clock.id) < world.registry_away {
            return Lookup::Pending;
        }
        if id == SchemaId::Id(SCHEMA_ID) {
            Lookup::Known(&self.schema)
        } else {
            Lookup::Bad(Malformed::new(Reason::UnknownSchema, "not registered"))
        }
    }
}
