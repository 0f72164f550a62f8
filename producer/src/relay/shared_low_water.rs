//! The relay's low-water mark, for whoever else reads the outbox: the instance that publishes tells it
//! to the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use super::low_water::START;

/// The lowest id that may be in the outbox, as far as is known here. Cheap to clone.
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
    /// No row has an id below this one.
    pub fn mark(&self) -> i64 {
        self.0.mark.load(Ordering::Relaxed)
    }

    /// The mark, if it is this instance's relay that knows it and there is one: to be told to the
    /// others.
    pub fn to_tell(&self) -> Option<i64> {
        let ours = self.0.ours.load(Ordering::Relaxed);
        Some(self.mark()).filter(|mark| ours && *mark != START)
    }

    /// The relay of another instance has said so.
    pub fn heard(&self, mark: i64) {
        if !self.0.ours.load(Ordering::Relaxed) {
            self.reached(mark);
        }
    }

    /// What was known does not hold any more: rows may have come back.
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
