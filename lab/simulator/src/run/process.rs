//! Processes: each drives one loop, and is killed, paused and restarted.

use std::sync::Arc;
use std::time::Duration;

use processor::evaluate::SharedEvaluator;
use runtime::lifecycle::Failure;
use schemas::{OrderStatusPlan, ValueFormat};

use crate::loops;
use crate::loops::processor::ProcessorTask;
use crate::loops::relay::RelayTask;
use crate::loops::sink::SinkTask;
use crate::world::{ProcessId, Shared};

/// Which loop a process drives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Processor,
    Sink,
    Relay,
}

/// What all processes share.
#[derive(Debug)]
pub(super) struct Constants {
    pub(super) evaluator: SharedEvaluator,
    pub(super) schema: Arc<ValueFormat<OrderStatusPlan>>,
}

enum Loop {
    Processor(Box<ProcessorTask>),
    Sink(Box<SinkTask>),
    Relay(Box<RelayTask>),
}

impl Loop {
    fn step(&mut self) -> Result<(), Failure> {
        match self {
            Self::Processor(task) => task.step(),
            Self::Sink(task) => task.step(),
            Self::Relay(task) => task.step(),
        }
    }
}

/// A process that runs, or that is to be started.
pub(super) struct ProcessSlot {
    kind: Kind,
    instance: String,
    running: Option<(ProcessId, Loop)>,
    /// The time of its next step.
    pub(super) due: Duration,
    /// When it is killed without a restart, because a successor has replaced it.
    pub(super) ends: Option<Duration>,
}

impl ProcessSlot {
    /// Describes a process that is to be started at `due`.
    pub(super) const fn new(kind: Kind, instance: String, due: Duration) -> Self {
        Self {
            kind,
            instance,
            running: None,
            due,
            ends: None,
        }
    }

    /// Executes one step of the process, or starts it. Returns a successor, if one is to be started beside
    /// it.
    pub(super) fn step(&mut self, world: &Shared, constants: &Constants) -> Option<Self> {
        let Some((id, running)) = &mut self.running else {
            self.start(world, constants);
            return None;
        };
        let id = *id;
        let stopped = running.step().is_err();
        let mut world = world.borrow_mut();
        let now = world.now;
        let life = &mut world.lives[id];
        life.dead |= stopped;
        let (dead, sleep) = (life.dead, std::mem::take(&mut life.sleep));
        let spent = std::mem::take(&mut life.spent);
        self.due = now + spent.max(Duration::from_micros(10)) + sleep;
        if dead {
            self.running = None;
            self.due += Duration::from_millis(world.random.below(15_000));
            world.note(&format!("process {id}"), || "ended".to_owned());
            return None;
        }
        let seems_gone = sleep > Duration::from_secs(5) && self.ends.is_none();
        if !seems_gone || !world.random.per_mille(400) {
            return None;
        }
        // The process is paused for so long that it seems dead: a successor with the same name is started,
        // and both run for a while once the process resumes.
        let due = now + spent + Duration::from_millis(world.random.below(5000));
        self.ends = Some(self.due + Duration::from_millis(world.random.below(10_000)));
        Some(Self::new(self.kind, self.instance.clone(), due))
    }

    fn start(&mut self, world: &Shared, constants: &Constants) {
        let id = {
            let mut world = world.borrow_mut();
            let id = world.start_process();
            world.note(&format!("process {id}"), || {
                format!("starts as {}", self.instance)
            });
            id
        };
        let running = match self.kind {
            Kind::Processor => Loop::Processor(Box::new(loops::processor::start(
                world,
                id,
                &self.instance,
                &constants.evaluator,
                &constants.schema,
            ))),
            Kind::Relay => Loop::Relay(Box::new(loops::relay::start(world, id))),
            Kind::Sink => Loop::Sink(Box::new(loops::sink::start(world, id))),
        };
        self.running = Some((id, running));
    }
}
