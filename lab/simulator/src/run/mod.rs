//! One seed, from its start to its verdict.

mod events;
mod invariants;
mod process;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use processor::evaluate::Evaluator;
use processor::rule::Rule;
use processor::signing_keys::SigningKeys;
use processor::task::Guarantee;
use rust_decimal::Decimal;
use schemas::{Currency, OrderStatusPlan, ValueFormat};

use self::invariants::{CAMPAIGN, check, is_drained};
use self::process::{Constants, Kind, ProcessSlot};
use crate::mutation::Mutation;
use crate::random::Random;
use crate::world::kafka::Broker;
use crate::world::schedule::{Keep, Schedule};
use crate::world::workload::Workload;
use crate::world::{FaultCounts, Shared, World};

/// Everything must be drained within this virtual time after the last fault.
const DRAINED_WITHIN: Duration = Duration::from_secs(300);

/// The statistics of a run in which every invariant held.
#[derive(Debug, Clone, Copy, Default)]
pub struct Done {
    /// The number of faults.
    pub met: FaultCounts,
    /// The number of order statuses that were written.
    pub records: u64,
}

/// What all runs of a thread share.
#[derive(Debug)]
pub struct Simulator {
    constants: Constants,
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
            constants: Constants {
                evaluator: Arc::new(evaluator),
                schema: Arc::new(ValueFormat::Avro(plan)),
            },
        }
    }

    /// Runs one seed. Returns its statistics or the broken invariant, and the events of the schedule that
    /// `keep` keeps.
    pub fn run(
        &self,
        seed: u64,
        mutation: Option<Mutation>,
        keep: Keep,
    ) -> (Result<Done, String>, Vec<String>) {
        runtime::backoff::repeat_jitter(seed);
        let mut run = Run::new(&self.constants, seed, mutation, keep);
        // A failed assertion in a loop is a found bug, as a broken invariant is.
        let verdict = catch_unwind(AssertUnwindSafe(|| run.finish())).unwrap_or_else(|panic| {
            let message = message_of(&*panic);
            Err(format!("a loop panicked: {message}"))
        });
        let world = run.world.borrow();
        let done = Done {
            met: world.met,
            records: run.workload.written.len() as u64,
        };
        let events = world.schedule.events().map(ToString::to_string).collect();
        (verdict.map(|()| done), events)
    }
}

impl Default for Simulator {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns the message of a panic.
fn message_of(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without words")
}

struct Run<'a> {
    constants: &'a Constants,
    world: Shared,
    workload: Workload,
    slots: Vec<ProcessSlot>,
    next_event: Duration,
    faults_end: Duration,
}

impl<'a> Run<'a> {
    fn new(constants: &'a Constants, seed: u64, mutation: Option<Mutation>, keep: Keep) -> Self {
        let mut random = Random::new(seed);
        let partitions = i32::try_from(random.between(1, 4)).unwrap_or(1);
        let mut slots = Vec::new();
        for (kind, name, max) in [
            (Kind::Processor, "p", 3),
            (Kind::Sink, "s", 2),
            (Kind::Relay, "r", 2),
        ] {
            for number in 0..random.between(1, max) {
                let instance = format!("{name}{number}");
                slots.push(ProcessSlot::new(kind, instance, Duration::ZERO));
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
        world.schedule = Schedule::new(keep);
        Self {
            constants,
            world: Shared::new(world.into()),
            workload: Workload::default(),
            slots,
            next_event: Duration::ZERO,
            faults_end,
        }
    }

    /// Runs until everything is drained after the last fault, and checks the invariants.
    fn finish(&mut self) -> Result<(), String> {
        loop {
            let Some(place) = (0..self.slots.len()).min_by_key(|place| self.slots[*place].due)
            else {
                return Err("no process is left".to_owned());
            };
            let due = self.slots[place].due;
            if self.next_event <= due && self.next_event < self.faults_end {
                let mut world = self.world.borrow_mut();
                world.advance(self.next_event);
                self.next_event += events::happen(&mut world, &mut self.workload, self.faults_end);
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

    fn step(&mut self, place: usize) {
        let now = self.world.borrow().now;
        let slot = &mut self.slots[place];
        if slot.ends.is_some_and(|ends| now >= ends) {
            self.slots.swap_remove(place);
            return;
        }
        let successor = slot.step(&self.world, self.constants);
        self.slots.extend(successor);
    }
}
