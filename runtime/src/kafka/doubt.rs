//! Doubting what a group tells soon after a broker was away.
//!
//! A coordinator that restarts may answer from a group that it has loaded in part, with offsets of
//! long ago. (Kafka 4.3, `CoordinatorRuntime`: a load that was given up because the leadership moved
//! on makes the next one, which is still going on, count as done.)

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::Offset;

use crate::record::Partition;

/// A broker that was away within this time may still be loading the group.
pub(super) const LATELY: Duration = Duration::from_secs(10);

/// An offset that is told alike for this long is taken for settled.
const SETTLED: Duration = Duration::from_secs(2);

/// The offsets that the group told while it was in doubt, and since when it tells each alike.
#[derive(Default)]
pub(super) struct Doubt {
    told: BTreeMap<Partition, (Offset, Instant)>,
}

impl Doubt {
    /// Whether this offset counts now. `is_doubtful`: a broker was away lately.
    pub(super) fn trusts(
        &mut self,
        partition: Partition,
        offset: Offset,
        is_doubtful: bool,
        now: Instant,
    ) -> bool {
        if !is_doubtful {
            self.told.remove(&partition);
            return true;
        }
        let (same, since) = self.told.entry(partition).or_insert((offset, now));
        if *same != offset {
            (*same, *since) = (offset, now);
        }
        now.saturating_duration_since(*since) >= SETTLED
    }

    /// It was read from there, or is no longer ours: what is told later has to settle anew.
    pub(super) fn forget(&mut self, partition: Partition) {
        self.told.remove(&partition);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_told_soon_after_an_outage_counts_once_it_was_told_alike_for_a_while() {
        let mut doubt = Doubt::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(!doubt.trusts(0, Offset::Offset(3), true, at(0)));
        assert!(!doubt.trusts(0, Offset::Offset(3), true, at(1)));
        // The group was loaded in part so far.
        assert!(!doubt.trusts(0, Offset::Offset(9), true, at(2)));
        assert!(!doubt.trusts(0, Offset::Offset(9), true, at(3)));
        assert!(doubt.trusts(0, Offset::Offset(9), true, at(4)));
        // At the next outage the same offset may be an old one.
        doubt.forget(0);
        assert!(!doubt.trusts(0, Offset::Offset(9), true, at(1000)));
    }

    #[test]
    fn without_an_outage_an_offset_counts_at_once() {
        let mut doubt = Doubt::default();
        assert!(doubt.trusts(0, Offset::Beginning, false, Instant::now()));
    }
}
