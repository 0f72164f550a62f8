//! Ends transactions on a thread of its own, so that their owner's may go on reading.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::ConsumerGroupMetadata;

use super::{Producer, TransactionError};

/// How far an end came that did not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The offsets are added to the transaction.
    SendingOffsets,
    /// All of its records must be acknowledged.
    Draining,
    /// It is committed.
    Committing,
}

/// A transaction that was not ended.
#[derive(Debug, Clone)]
pub struct Unfinished {
    /// How far it came.
    pub stage: Stage,
    /// What this stage's call said.
    pub error: TransactionError,
}

/// The offsets that a transaction commits, as a member of its group.
pub struct GroupOffsets {
    /// The offsets.
    pub offsets: TopicPartitionList,
    /// The member and its generation.
    pub group: ConsumerGroupMetadata,
}

/// One transaction to be ended.
struct End {
    producer: Arc<Producer>,
    offsets: GroupOffsets,
    timeout: Duration,
}

impl End {
    fn run(&self) -> Result<(), Unfinished> {
        let (producer, timeout) = (&self.producer, self.timeout);
        let GroupOffsets { offsets, group } = &self.offsets;
        let at = |stage| move |error| Unfinished { stage, error };
        producer
            .send_offsets(offsets, group, timeout)
            .map_err(at(Stage::SendingOffsets))?;
        producer.drain(timeout).map_err(at(Stage::Draining))?;
        producer.commit(timeout).map_err(at(Stage::Committing))
    }
}

/// See the module. The thread ends with it.
pub struct Finisher {
    work: Sender<End>,
    done: Receiver<Result<(), Unfinished>>,
}

impl Finisher {
    /// Starts the thread; `None` when there can't be one.
    pub fn start() -> Option<Self> {
        let (work, ends) = mpsc::channel::<End>();
        let (told, done) = mpsc::channel();
        std::thread::Builder::new()
            .name("finisher".to_owned())
            .spawn(move || {
                for end in ends {
                    if told.send(end.run()).is_err() {
                        return;
                    }
                }
            })
            .ok()?;
        Some(Self { work, done })
    }

    /// Begins to end the open transaction of `producer`, each [`Stage`] within `timeout`. Until
    /// [`poll`](Self::poll) has its outcome nobody else uses the producer.
    pub fn begin(&self, producer: Arc<Producer>, offsets: GroupOffsets, timeout: Duration) -> bool {
        let end = End {
            producer,
            offsets,
            timeout,
        };
        self.work.send(end).is_ok()
    }

    /// What came of it, waiting for that up to `timeout`.
    pub fn poll(&self, timeout: Duration) -> Option<Result<(), Unfinished>> {
        match self.done.recv_timeout(timeout) {
            Ok(outcome) => Some(outcome),
            Err(RecvTimeoutError::Timeout) => None,
            // The thread is gone, and nobody knows how far it came.
            Err(RecvTimeoutError::Disconnected) => Some(Err(Unfinished {
                stage: Stage::Committing,
                error: TransactionError::Fatal("the thread that ends transactions died".to_owned()),
            })),
        }
    }
}
