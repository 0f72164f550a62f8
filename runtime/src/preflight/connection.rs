//! Why brokers cannot be reached. A failed request only reports that no broker answered; librdkafka
//! writes the cause to its log.

use std::sync::{Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;

/// The last connection failure of a client.
#[derive(Debug, Default)]
pub(super) struct LastFailure(Mutex<Option<String>>);

impl LastFailure {
    /// Returns the cause, if a connection failed since the last call.
    pub(super) fn take_cause(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl ClientContext for LastFailure {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        if facility == "FAIL" {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(cause_in(message));
        }
    }
}

impl ConsumerContext for LastFailure {}

/// Returns the cause in a log line such as `[thrd:kafka:9092/bootstrap]: kafka:9092/bootstrap: Connect
/// to ipv4#127.0.0.1:9092 failed: Connection refused (after 0ms in state CONNECT)`.
fn cause_in(message: &str) -> String {
    let message = message.rsplit_once("]: ").map_or(message, |(_, rest)| rest);
    let (broker, cause) = message.split_once(": ").unwrap_or(("", message));
    let is_broker = broker.contains('/') && !broker.contains(' ');
    let cause = if is_broker { cause } else { message };
    let cause = cause.split(" (after ").next().unwrap_or(cause);
    cause.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_has_no_thread_no_broker_and_no_state() {
        for (message, cause) in [
            (
                "[thrd:localhost:9/bootstrap]: localhost:9/bootstrap: Connect to ipv4#127.0.0.1:9 \
                 failed: Connection refused (after 0ms in state CONNECT)",
                "Connect to ipv4#127.0.0.1:9 failed: Connection refused",
            ),
            (
                "[thrd:sasl_plaintext://[::1]:9/bootstrap]: sasl_plaintext://[::1]:9/bootstrap: SASL \
                 authentication error: Authentication failed (after 7ms in state AUTH_REQ, 1 \
                 identical error(s) suppressed)",
                "SASL authentication error: Authentication failed",
            ),
            ("No route to host", "No route to host"),
        ] {
            assert_eq!(cause_in(message), cause);
        }
    }
}
