//! One seed, from the start to its verdict.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use processor::evaluate::{Evaluator, SharedEvaluator};
use processor::rule::Rule;
use processor::signing_keys::SigningKeys;
use processor::task::Guarantee;
use runtime::stepping::{Step, Stepping as _};
use rust_decimal::Decimal;
use schemas::{Currency, OrderStatusPlan, WriterSchema};

use crate::invariants::{CAMPAIGN, check, is_drained};
use crate::kafka::{Broker, ORDER_STATUS};
use crate::mutation::Mutation;
use crate::processor_ports::{self, ProcessorTask};
use crate::random::Random;
use crate::relay_ports::{self, RelayTask};
use crate::sink_ports::{self, SinkTask};
use crate::workload::Workload;
use crate::world::{Met, ProcessId, Shared, World};

/// After the last fault everything must be done within this virtual time.
const DRAINED_WITHIN: Duration = Duration::from_secs(300);

/// How the schedule is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schedule {
    /// Not at all.
    None,
    /// Its last part.
    Last,
    /// All of it.
    All,
}

/// A run that went well.
#[derive(Debug, Clone, Copy, Default)]
pub struct Done {
    /// What went wrong.
    pub met: Met,
    /// Order statuses that were written.
    pub records: u64,
}

/// What all runs of a thread share.
#[derive(Debug)]
pub struct Simulator {
    evaluator: SharedEvaluator,
    schema: Arc<WriterSchema<OrderStatusPlan>>,
}

enum Loop {
    Processor(Box<ProcessorTask>),
    Sink(Box<SinkTask>),
    Relay(Box<RelayTask>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Processor,
    Sink,
    Relay,
}

/// A process, or the place of one that is to be started.
struct ProcessSlot {
    kind: Kind,
    instance: String,
    running: Option<(ProcessId, Loop)>,
    due: Duration,
    /// It was replaced: it is killed for good then.
    ends: Option<Duration>,
}

impl Simulator {
    /// Compiles what does not change from run to run.
    ///
    /// # Panics
    /// When the product's own schema or the rule of the tests is refused.
    #[expect(clippy::expect_used, reason = "constants")]
    pub fn new() -> Self {
        let rule = Rule {
            campaign: CAMPAIGN.to_owned(),
            min_total: Decimal::from(100),
            amount: Decimal::from(5),
            currency: Currency::EUR,
            valid_days: None,
            sent_from: None,
            sent_until: None,
        };
        let keys = SigningKeys::single("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
            .expect("a constant");
        let evaluator = Evaluator::new(rule, keys, Currency::EUR).expect("a constant");
        let plan = OrderStatusPlan::compile(schemas::ORDER_STATUS_AVSC).expect("a constant");
        Self {
            evaluator: Arc::new(evaluator),
            schema: Arc::new(WriterSchema::Avro(plan)),
        }
    }

    /// Runs one seed: what became of it, or what does not hold; and the schedule, as far as it is
    /// kept.
    pub fn run(
        &self,
        seed: u64,
        mutation: Option<Mutation>,
        schedule: Schedule,
    ) -> (Result<Done, String>, Vec<String>) {
        runtime::backoff::repeat_jitter(seed);
        let mut run = Run::new(self, seed, mutation, schedule);
        // A loop's own assertion finds a bug as well as an invariant does.
        let verdict = catch_unwind(AssertUnwindSafe(|| run.finish()))
            .unwrap_or_else(|panic| Err(format!("a loop panicked: {}", words(&*panic))));
        let world = run.world.borrow();
        let done = Done {
            met: world.met,
            records: run.workload.written.len() as u64,
        };
        let events = world.schedule().map(ToString::to_string).collect();
        (verdict.map(|()| done), events)
    }
}

/// What a panic says.
fn words(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without words")
}

impl Default for Simulator {
    fn default() -> Self {
        Self::new()
    }
}

struct Run<'a> {
    simulator: &'a Simulator,
    world: Shared,
    workload: Workload,
    slots: Vec<ProcessSlot>,
    next_event: Duration,
    faults_end: Duration,
}

impl<'a> Run<'a> {
    fn new(
        simulator: &'a Simulator,
        seed: u64,
        mutation: Option<Mutation>,
        schedule: Schedule,
    ) -> Self {
        let mut random = Random::new(seed);
        let partitions = i32::try_from(random.between(1, 4)).unwrap_or(1);
        let mut slots = Vec::new();
        for (kind, name, most) in [
            (Kind::Processor, "p", 3),
            (Kind::Sink, "s", 2),
            (Kind::Relay, "r", 2),
        ] {
            for number in 0..random.between(1, most) {
                slots.push(ProcessSlot {
                    kind,
                    instance: format!("{name}{number}"),
                    running: None,
                    due: Duration::ZERO,
                    ends: None,
                });
            }
        }
        let faults_end = Duration::from_secs(random.between(5, 60));
        let fault_rate = [2, 10, 40, 150][random.place(4)];
        let guarantee = if random.per_mille(150) {
            Guarantee::AtLeastOnce
        } else {
            Guarantee::ExactlyOnce
        };
        let mut world = World::new(random, Broker::new(partitions), mutation);
        world.fault_rate = fault_rate;
        world.guarantee = guarantee;
        world.record_schedule = schedule != Schedule::None;
        world.whole_schedule = schedule == Schedule::All;
        Self {
            simulator,
            world: Shared::new(world.into()),
            workload: Workload::default(),
            slots,
            next_event: Duration::ZERO,
            faults_end,
        }
    }

    fn finish(&mut self) -> Result<(), String> {
        loop {
            let Some(place) = (0..self.slots.len()).min_by_key(|place| self.slots[*place].due)
            else {
                return Err("no process is left".to_owned());
            };
            let due = self.slots[place].due;
            if self.next_event <= due && self.next_event < self.faults_end {
                self.world.borrow_mut().advance(self.next_event);
                self.happen();
            } else {
                self.world.borrow_mut().advance(due);
                self.step(place);
            }
            let now = {
                let mut world = self.world.borrow_mut();
                if world.now >= self.faults_end {
                    world.fault_rate = 0;
                    world.outbox.commit_all();
                }
                if let Some(what) = world.violation.take() {
                    return Err(what);
                }
                world.now
            };
            if now >= self.faults_end {
                if is_drained(&self.world.borrow()) {
                    return check(&self.world.borrow(), &self.workload);
                }
                if now > self.faults_end + DRAINED_WITHIN {
                    return Err("records are left, long after the last fault".to_owned());
                }
            }
        }
    }

    /// Something of the world's own.
    fn happen(&mut self) {
        let world = &mut *self.world.borrow_mut();
        let pause = Duration::from_millis(world.random.below(2500));
        self.next_event += pause;
        let away = world.now + Duration::from_millis(world.random.between(100, 25_000));
        let away = away.min(self.faults_end);
        match world.random.below(40) {
            0 => {
                world.note("world", || format!("the broker is away until {away:?}"));
                world.broker_away = away;
            }
            1 => {
                world.note("world", || format!("the database is away until {away:?}"));
                world.database_away = away;
            }
            2 => {
                world.note("world", || format!("the registry is away until {away:?}"));
                world.registry_away = away;
            }
            3 => {
                let group = world.random.place(world.broker.groups.len());
                let partition = world.random.place(world.broker.topic(group).len());
                let partition = i32::try_from(partition).unwrap_or(0);
                world.note("world", || {
                    format!("group {group}'s offset of {partition} is out of range until {away:?}")
                });
                world.broker.groups[group].lead_astray(partition);
                world.put_right = away;
            }
            4 => {
                world.note("world", || {
                    format!("the broker forgets markers until {away:?}")
                });
                world.broker.forgets_markers = true;
                world.put_right = away;
            }
            5..9 => {
                world.note("world", || "compaction".to_owned());
                for partition in 0..world.broker.topic(ORDER_STATUS).len() {
                    let partition = i32::try_from(partition).unwrap_or(0);
                    world.broker.log_mut(ORDER_STATUS, partition).compact();
                }
            }
            _ => {
                let before = self.workload.written.len();
                let World {
                    broker,
                    random,
                    outbox,
                    ..
                } = world;
                outbox.change(random);
                self.workload.write(broker, random);
                let written = self.workload.written.len() - before;
                world.note("world", || format!("{written} order statuses are written"));
            }
        }
    }

    fn step(&mut self, place: usize) {
        let now = self.world.borrow().now;
        let slot = &mut self.slots[place];
        if slot.ends.is_some_and(|ends| now >= ends) {
            self.slots.swap_remove(place);
            return;
        }
        let Some((id, running)) = &mut slot.running else {
            self.start(place);
            return;
        };
        let id = *id;
        let stopped = match running {
            Loop::Processor(task) => matches!(task.step(), Step::Stop(_)),
            Loop::Sink(task) => matches!(task.step(), Step::Stop(_)),
            Loop::Relay(task) => {
                task.step();
                false
            }
        };
        let mut world = self.world.borrow_mut();
        let life = &mut world.lives[id];
        life.dead |= stopped;
        let (dead, sleep) = (life.dead, std::mem::take(&mut life.sleep));
        let spent = std::mem::take(&mut life.spent);
        slot.due = now + spent.max(Duration::from_micros(10)) + sleep;
        if dead {
            slot.running = None;
            slot.due += Duration::from_millis(world.random.below(15_000));
            world.note(&format!("process {id}"), || "ended".to_owned());
        } else if sleep > Duration::from_secs(5)
            && slot.ends.is_none()
            && world.random.per_mille(400)
        {
            // It seems gone: another is started in its place, and wakes up beside it.
            let successor = ProcessSlot {
                kind: slot.kind,
                instance: slot.instance.clone(),
                running: None,
                due: now + spent + Duration::from_millis(world.random.below(5000)),
                ends: None,
            };
            slot.ends = Some(slot.due + Duration::from_millis(world.random.below(10_000)));
            self.slots.push(successor);
        }
    }

    fn start(&mut self, place: usize) {
        let slot = &mut self.slots[place];
        let id = {
            let mut world = self.world.borrow_mut();
            let id = world.start_process();
            world.note(&format!("process {id}"), || {
                format!("starts as {}", slot.instance)
            });
            id
        };
        let running = match slot.kind {
            Kind::Processor => Loop::Processor(Box::new(processor_ports::start(
                &self.world,
                id,
                &slot.instance,
                &self.simulator.evaluator,
                &self.simulator.schema,
            ))),
            Kind::Relay => Loop::Relay(Box::new(relay_ports::start(&self.world, id))),
            Kind::Sink => Loop::Sink(Box::new(sink_ports::start(&self.world, id, &slot.instance))),
        };
        slot.running = Some((id, running));
    }
}
