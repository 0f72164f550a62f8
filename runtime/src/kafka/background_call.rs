//! Blocking calls of the client library, made on a thread of their own so that a loop goes on.

use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};

/// A call that runs on a short-lived thread. Its caller asks for the answer from time to time, and
/// drops this value once it has the answer or no longer needs it; the thread ends with the call.
pub(super) struct BackgroundCall<T>(Receiver<KafkaResult<T>>);

impl<T: Send + 'static> BackgroundCall<T> {
    /// Starts `call`.
    pub(super) fn start(call: impl FnOnce() -> KafkaResult<T> + Send + 'static) -> Self {
        let (sender, answer) = sync_channel(1);
        let started = thread::Builder::new()
            .name("kafka-call".to_owned())
            // Sending fails when the caller has dropped this value.
            .spawn(move || drop(sender.send(call())));
        if let Err(error) = started {
            tracing::warn!(%error, "cannot start a thread for a call to Kafka");
        }
        Self(answer)
    }

    /// Takes the answer, waiting for it up to `timeout`. Returns `None` while the call is running.
    pub(super) fn answer(&self, timeout: Duration) -> Option<KafkaResult<T>> {
        match self.0.recv_timeout(timeout) {
            Ok(answer) => Some(answer),
            Err(RecvTimeoutError::Timeout) => None,
            // The thread could not be started, or it panicked.
            Err(RecvTimeoutError::Disconnected) => Some(Err(timed_out())),
        }
    }
}

/// Returns the error of a call that has no answer.
pub(super) const fn timed_out() -> KafkaError {
    KafkaError::OffsetFetch(RDKafkaErrorCode::OperationTimedOut)
}
