//! The topic port over the world's Kafka.

use std::time::Duration;

use runtime::kafka::{Outgoing, TransactionError};
use schemas::{Currency, OrderStatus, ValueFormat};

use super::{End, Fault, Shared, number};
use crate::relay::ports::Topic;

/// Kafka, as one relay sees it.
pub(in crate::relay::task::tests) struct ModelTopic {
    pub(super) world: Shared,
    /// `Some(0)` before init.
    pub(super) epoch: Option<u64>,
    pub(super) dead: bool,
}

impl ModelTopic {
    fn call(&mut self, end: Option<End>) -> Result<(), TransactionError> {
        let world = &mut *self.world.borrow_mut();
        let fault = world.kafka_fault();
        let epoch = self.epoch.expect("a producer");
        let why = || "scripted".to_owned();
        if self.dead {
            return Err(TransactionError::Fatal(why()));
        }
        match fault {
            Some(Fault::Late) => return Err(TransactionError::Retriable(why())),
            Some(Fault::InTheNetwork) => {
                world.stragglers.extend(end.map(|end| (epoch, end)));
                return Err(TransactionError::Retriable(why()));
            }
            _ => {}
        }
        if epoch != world.epoch {
            self.dead = true;
            return Err(TransactionError::Fenced(why()));
        }
        match fault {
            Some(Fault::Refused) => Err(TransactionError::Abortable(why())),
            Some(Fault::Broken) => {
                self.dead = true;
                Err(TransactionError::Fatal(why()))
            }
            Some(Fault::DoneThenBroken) => {
                if let Some(end) = end {
                    world.end_transaction(epoch, end);
                }
                self.dead = true;
                Err(TransactionError::Fatal(why()))
            }
            _ => {
                if let Some(end) = end {
                    world.end_transaction(epoch, end);
                }
                Ok(())
            }
        }
    }
}

impl Topic for ModelTopic {
    fn open(&mut self) -> Result<(), String> {
        let world = &mut *self.world.borrow_mut();
        self.epoch = None;
        if world.kafka_fault() == Some(Fault::Broken) {
            return Err("scripted".to_owned());
        }
        self.epoch = Some(0);
        self.dead = false;
        Ok(())
    }

    fn close(&mut self) {
        self.epoch = None;
    }

    fn init(&mut self, _: Duration) -> Result<(), TransactionError> {
        let world = &mut *self.world.borrow_mut();
        let why = || "scripted".to_owned();
        let fault = world.kafka_fault();
        if matches!(
            fault,
            Some(Fault::Late | Fault::InTheNetwork | Fault::Refused)
        ) {
            return Err(TransactionError::Retriable(why()));
        }
        world.epoch += 1;
        world.open.clear();
        self.epoch = Some(world.epoch);
        if fault.is_some() {
            self.dead = true;
            return Err(TransactionError::Fatal(why()));
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<(), TransactionError> {
        if self.dead {
            return Err(TransactionError::Fatal("dead".to_owned()));
        }
        let world = &mut *self.world.borrow_mut();
        let epoch = self.epoch.expect("a producer");
        if epoch == world.epoch {
            world.open.insert(epoch, Vec::new());
        }
        Ok(())
    }

    fn send(&mut self, record: &Outgoing<'_>) -> Result<(), TransactionError> {
        if self.dead {
            return Err(TransactionError::Fatal("dead".to_owned()));
        }
        let status = OrderStatus::read(
            record.key,
            record.value.unwrap(),
            ValueFormat::Json,
            Currency::EUR,
        )
        .expect("a record that the processor can read");
        let world = &mut *self.world.borrow_mut();
        let epoch = self.epoch.expect("a producer");
        // A straggler may arrive in the middle of the next transaction.
        if world.kafka_fault() == Some(Fault::InTheNetwork) {
            world.deliver_stragglers();
            world.open.entry(epoch).or_default();
        }
        // A send is asynchronous: a fenced producer learns of the fence from the next call that waits.
        if epoch == world.epoch {
            world
                .open
                .entry(epoch)
                .or_default()
                .push((number(status.order_id.as_str()), status.version.unwrap()));
        }
        Ok(())
    }

    fn drain(&mut self, _: Duration) -> Result<(), TransactionError> {
        self.call(None)
    }

    fn commit(&mut self, _: Duration) -> Result<(), TransactionError> {
        self.call(Some(End::Commit))
    }

    fn abort(&mut self, _: Duration) -> Result<(), TransactionError> {
        self.call(Some(End::Abort))
    }
}
