//! Committed offsets that may be out of date because a broker was away a moment ago.
//!
//! A coordinator that restarts may answer from a group that it has loaded only in part, with offsets
//! from long ago. (Kafka 4.3, `CoordinatorRuntime`: when the leadership moves while a load is running,
//! that load is cancelled, and its end makes the next load count as done although it still runs.)

use std::collections::BTreeMap;
use std::time::Instant;

use rdkafka::Offset;

use super::limits::SETTLED_AFTER;
use crate::record::Partition;

/// The offsets that the group returned shortly after an outage, and since when each is the same.
#[derive(Default)]
pub(super) struct UnsettledOffsets {
    returned: BTreeMap<Partition, (Offset, Instant)>,
}

impl UnsettledOffsets {
    /// Returns whether this offset can be relied on now. Without a recent outage it can at once.
    pub(super) fn is_settled(
        &mut self,
        partition: Partition,
        offset: Offset,
        after_outage: bool,
        now: Instant,
    ) -> bool {
        if !after_outage {
            self.returned.remove(&partition);
            return true;
        }
        let (known, since) = self.returned.entry(partition).or_insert((offset, now));
        if *known != offset {
            (*known, *since) = (offset, now);
        }
        now.saturating_duration_since(*since) >= SETTLED_AFTER
    }

    /// Forgets a partition that is fetched now, or revoked: its next offset has to settle anew.
    pub(super) fn forget(&mut self, partition: Partition) {
        self.returned.remove(&partition);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_offset_after_an_outage_counts_once_it_was_the_same_for_a_while() {
        let mut unsettled = UnsettledOffsets::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(!unsettled.is_settled(0, Offset::Offset(3), true, at(0)));
        assert!(!unsettled.is_settled(0, Offset::Offset(3), true, at(1)));
        // Until now the coordinator had loaded the group only in part.
        assert!(!unsettled.is_settled(0, Offset::Offset(9), true, at(2)));
        assert!(!unsettled.is_settled(0, Offset::Offset(9), true, at(3)));
        assert!(unsettled.is_settled(0, Offset::Offset(9), true, at(4)));
        // At the next outage the same offset may be out of date.
        unsettled.forget(0);
        assert!(!unsettled.is_settled(0, Offset::Offset(9), true, at(1000)));
    }

    #[test]
    fn without_an_outage_an_offset_counts_at_once() {
        let mut unsettled = UnsettledOffsets::default();
        assert!(unsettled.is_settled(0, Offset::Beginning, false, Instant::now()));
    }
}
