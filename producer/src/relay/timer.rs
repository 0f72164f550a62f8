//! The machine's clock, and who may cut a wait short.

use std::sync::Arc;
use std::time::Duration;

use runtime::clock::{Clock, MonotonicClock};
use runtime::lifecycle::Shutdown;
use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::ports::Timer;

/// Once a stop was asked for, a wait is at most this long, and nothing cuts it short.
const STOPPING: Duration = Duration::from_millis(50);

/// Time, on a thread that is not one of the runtime's.
pub(super) struct WakeableTimer {
    clock: MonotonicClock,
    runtime: Handle,
    wake: Arc<Notify>,
    shutdown: Shutdown,
}

impl WakeableTimer {
    /// Waits are cut short by `wake` and by `shutdown`.
    pub(super) fn new(runtime: Handle, wake: Arc<Notify>, shutdown: Shutdown) -> Self {
        Self {
            clock: MonotonicClock::new(),
            runtime,
            wake,
            shutdown,
        }
    }
}

impl Clock for WakeableTimer {
    fn now(&self) -> Duration {
        self.clock.now()
    }
}

impl Timer for WakeableTimer {
    fn wait(&mut self, at_most: Duration) {
        if self.shutdown.is_requested() {
            std::thread::sleep(at_most.min(STOPPING));
            return;
        }
        self.runtime.block_on(async {
            tokio::select! {
                () = self.wake.notified() => {}
                () = self.shutdown.requested() => {}
                () = tokio::time::sleep(at_most) => {}
            }
        });
    }
}
