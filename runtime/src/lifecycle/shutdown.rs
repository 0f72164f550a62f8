//! The request to stop.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// Tells every part of a service when to stop, in two steps: a shutdown is announced, so that
/// clients and balancers send no new work, and later it is requested. Clones share one state.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    announced: CancellationToken,
    requested: CancellationToken,
    /// How long a SIGTERM is announced before the stop is requested; unset: not at all.
    notice: Arc<OnceLock<Duration>>,
}

impl Shutdown {
    /// Returns a shutdown that is neither announced nor requested.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how long a SIGTERM is announced before the stop is requested. For a service that
    /// receives requests through a balancer, which needs a moment to remove the instance.
    pub fn announce_for(&self, notice: Duration) {
        // A service sets it once, when it starts.
        let _ = self.notice.set(notice);
    }

    pub(super) fn notice(&self) -> Duration {
        self.notice.get().copied().unwrap_or_default()
    }

    /// Announces that the process will stop. Every part continues to work, but `/readyz` answers
    /// 503, so that balancers remove the instance.
    pub fn announce(&self) {
        self.announced.cancel();
    }

    /// Returns whether the process is about to stop, or stopping.
    pub fn is_announced(&self) -> bool {
        self.announced.is_cancelled()
    }

    /// Asks every part to stop.
    pub fn request(&self) {
        self.announced.cancel();
        self.requested.cancel();
    }

    /// Returns whether to stop; for threads.
    pub fn is_requested(&self) -> bool {
        self.requested.is_cancelled()
    }

    /// Waits until it is time to stop.
    pub async fn requested(&self) {
        self.requested.cancelled().await;
    }

    /// Returns a shutdown that is announced together with this one and requested separately.
    pub(super) fn requested_separately(&self) -> Self {
        Self {
            requested: CancellationToken::new(),
            ..self.clone()
        }
    }

    /// Waits until the process is about to stop.
    pub async fn announced(&self) {
        self.announced.cancelled().await;
    }
}
