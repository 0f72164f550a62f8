//! Calls of the client library that can wait: made on a thread beside, so that the loop goes on.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

/// Does `work` on a thread of its own. The result comes through the channel, which is closed
/// without one when there is no thread to be had.
pub(super) fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Receiver<T> {
    let (result, receiver) = sync_channel(1);
    let started = thread::Builder::new()
        .name("kafka-call".to_owned())
        // Nobody may be waiting any more.
        .spawn(move || drop(result.send(work())));
    if let Err(error) = started {
        tracing::warn!(%error, "no thread for a call to Kafka");
    }
    receiver
}
