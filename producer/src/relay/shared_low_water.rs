//! The relay's low-water mark, for other readers of the outbox. The instance that publishes sends it to
//! the other instances.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use super::low_water::START;

/// The lowest id that may be in the outbox, as far as this instance knows. Cheap to clone.
#[derive(Debug, Clone)]
pub struct SharedLowWater(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    mark: AtomicI64,
    ours: AtomicBool,
}

impl Default for SharedLowWater {
    fn default() -> Self {
        Self(Arc::new(Shared {
            mark: AtomicI64::new(START),
            ours: AtomicBool::new(false),
        }))
    }
}

impl SharedLowWater {
    /// Returns the mark: no row has a lower id.
    pub fn mark(&self) -> i64 {
        self.0.mark.load(Ordering::Relaxed)
    }

    /// Returns the mark that this instance sends to the others, or `None` if its relay does not publish
    /// or there is no mark yet.
    pub fn to_send(&self) -> Option<i64> {
        let ours = self.0.ours.load(Ordering::Relaxed);
        Some(self.mark()).filter(|mark| ours && *mark != START)
    }

    /// Notes the mark that another instance has sent.
    pub fn heard(&self, mark: i64) {
        if !self.0.ours.load(Ordering::Relaxed) {
            self.reached(mark);
        }
    }

    /// Forgets the mark, because deleted rows may have come back.
    pub fn forget(&self) {
        self.heard(START);
    }

    pub(super) fn reached(&self, mark: i64) {
        self.0.mark.store(mark, Ordering::Relaxed);
    }

    pub(super) fn set_ours(&self, ours: bool) {
        self.0.ours.store(ours, Ordering::Relaxed);
    }
}
