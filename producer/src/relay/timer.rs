//! The system's clock, and waits that new rows or a shutdown interrupt.

use std::sync::Arc;
use std::time::Duration;

use runtime::clock::{Clock, MonotonicClock};
use runtime::lifecycle::Shutdown;
use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::limits::STOPPING_WAIT;
use super::ports::Timer;

/// A timer for a thread outside the Tokio runtime.
pub(super) struct WakeableTimer {
    clock: MonotonicClock,
    runtime: Handle,
    wake: Arc<Notify>,
    shutdown: Shutdown,
}

impl WakeableTimer {
    /// Builds a timer whose waits are interrupted by `wake` and by `shutdown`.
    pub(super) fn new(runtime: Handle, wake: Arc<Notify>, shutdown: Shutdown) -> Self {
        Self {
            clock: MonotonicClock::new(),
            runtime,
            wake,
            shutdown,
        }
    }

    /// Returns the clock of the relay's timestamps.
    pub(super) const fn clock(&self) -> MonotonicClock {
        self.clock
    }
}

impl Clock for WakeableTimer {
    fn now(&self) -> Duration {
        self.clock.now()
    }
}

impl Timer for WakeableTimer {
    fn wait(&mut self, max: Duration) {
        if self.shutdown.is_requested() {
            std::thread::sleep(max.min(STOPPING_WAIT));
            return;
        }
        self.runtime.block_on(async {
            tokio::select! {
                () = self.wake.notified() => {}
                () = self.shutdown.requested() => {}
                () = tokio::time::sleep(max) => {}
            }
        });
    }
}
