//! One task in a world, step by step.

use std::cell::{RefCell, RefMut};
use std::rc::Rc;

use runtime::circuit_breaker::CircuitBreakerSettings;
use runtime::stepping::Driver;

use super::{Outside, Schemas, World};
use crate::task::{Ports, Settings, Task};

type ModelTask = Driver<Task<Outside, Outside, Outside, Schemas, Outside, Outside>>;

/// A world with one task in it.
pub(in crate::task::tests) struct Run {
    pub(in crate::task::tests) outside: Outside,
    pub(in crate::task::tests) task: ModelTask,
    accept_dead_letters: bool,
}

impl Run {
    pub(in crate::task::tests) fn new(world: World) -> Self {
        Self::with_breaker(world, false)
    }

    pub(in crate::task::tests) fn with_breaker(world: World, accept_dead_letters: bool) -> Self {
        let outside = Outside(Rc::new(RefCell::new(world)));
        Self {
            task: task(&outside, accept_dead_letters),
            outside,
            accept_dead_letters,
        }
    }

    pub(in crate::task::tests) fn world(&self) -> RefMut<'_, World> {
        self.outside.0.borrow_mut()
    }

    pub(in crate::task::tests) fn step(&mut self) {
        if let Err(failure) = self.task.step() {
            panic!("stopped: {failure}");
        }
        if self.world().killed.is_some() {
            self.kill();
        }
    }

    /// The process ends at once, and another starts.
    pub(in crate::task::tests) fn kill(&mut self) {
        self.world().restart();
        self.task = task(&self.outside, self.accept_dead_letters);
    }

    /// Steps until `done`; the number of steps is bounded, since faults end.
    pub(in crate::task::tests) fn until(&mut self, what: &str, done: impl Fn(&World) -> bool) {
        for _ in 0..20_000 {
            if done(&self.world()) {
                return;
            }
            self.step();
        }
        let world = self.world();
        panic!(
            "did not happen: {what}; {:?}, committed {:?}, rows {:?}",
            self.task.state, world.committed, world.rows,
        );
    }

    pub(in crate::task::tests) fn finish(mut self) -> World {
        self.until("all offsets committed", |world| {
            world.committed == world.end()
        });
        while !self.task.is_idle() {
            self.step();
        }
        std::mem::take(&mut *self.world())
    }
}

fn task(outside: &Outside, accept_dead_letters: bool) -> ModelTask {
    let ports = Ports {
        source: outside.clone(),
        table: outside.clone(),
        dead_letters: outside.clone(),
        schemas: Schemas::default(),
        clock: outside.clone(),
        observer: outside.clone(),
    };
    let settings = Settings {
        topic: "vouchers".to_owned(),
        breaker: CircuitBreakerSettings {
            dead_letter_limit: 500,
            accept_dead_letters,
        },
    };
    Driver::new(Task::new(ports, settings))
}
