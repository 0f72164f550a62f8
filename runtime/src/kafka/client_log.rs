//! librdkafka's own log lines, for the contexts of all our clients.

use rdkafka::config::RDKafkaLogLevel;

/// Writes a line of librdkafka's to the log.
///
/// Lines about connections are debug: `BrokerProbe` reports an unreachable broker once, whereas
/// every client would report it at every attempt.
pub(super) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::error!(facility, message, "librdkafka");
        }
        _ if matches!(
            facility,
            "FAIL" | "ERROR" | "REQTMOUT" | "MAXPOLL" | "SESSTMOUT" | "CONFWARN" | "GETPID"
        ) =>
        {
            tracing::debug!(facility, message, "librdkafka");
        }
        RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => {
            tracing::warn!(facility, message, "librdkafka");
        }
        _ => tracing::debug!(facility, message, "librdkafka"),
    }
}
