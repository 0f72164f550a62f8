//! Runs work that blocks its thread beside the asynchronous runtime.

use super::Failure;

/// Runs `body` on a thread where it may block, as the calls of a Kafka client do. `command` names
/// the work should it panic.
///
/// # Errors
/// The error of `body`; exit code 1 when it panics.
pub async fn blocking<T: Send + 'static>(
    command: &str,
    body: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(body)
        .await
        .map_err(|error| Failure::failed(format!("{command}: {error}")))?
}
