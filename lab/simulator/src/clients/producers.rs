//! Producers that take turns, as [`runtime::kafka::Producers`] do.

use std::time::Duration;

use super::producer::{Answer, Producer};
use crate::world::{ProcessId, World};

/// Two producers of one owner.
#[derive(Debug)]
pub struct Producers {
    all: [Producer; 2],
    taken_over: usize,
    turn: usize,
}

impl Producers {
    /// Builds clients that have not called the broker yet, with this transactional id and its `/turn`.
    pub fn new(id: ProcessId, transactional_id: &str, in_transactions: bool) -> Self {
        Self {
            all: ["", "/turn"].map(|turn| {
                let mut producer = Producer::new(id, format!("{transactional_id}{turn}"));
                producer.in_transactions = in_transactions;
                producer
            }),
            taken_over: 0,
            turn: 0,
        }
    }

    /// Replaces both clients by new ones.
    pub fn reopen(&mut self, world: &mut World) {
        for producer in &mut self.all {
            producer.reopen(world);
        }
        self.taken_over = 0;
    }

    /// Takes over both transactional ids. Called again after an error, it continues with the id that
    /// failed.
    pub fn init(&mut self, world: &mut World, timeout: Duration) -> Answer {
        let in_one_go = self.taken_over == 0;
        while let Some(next) = self.all.get_mut(self.taken_over) {
            next.init(world, timeout)?;
            self.taken_over += 1;
        }
        for producer in &self.all {
            producer.end_hanging(world);
        }
        // After an error between the two takeovers a successor may have started, and left a transaction
        // open, meanwhile. The offsets' generation or the relay's lock fences that successor.
        if in_one_go {
            self.all[0].has_taken_over(world);
        }
        Ok(())
    }

    /// Begins a transaction of the next producer.
    pub fn begin(&mut self) -> Answer {
        self.turn = (self.turn + 1) % self.all.len();
        self.current().begin()
    }

    /// Returns the producer whose turn it is.
    pub const fn current(&mut self) -> &mut Producer {
        &mut self.all[self.turn]
    }
}
