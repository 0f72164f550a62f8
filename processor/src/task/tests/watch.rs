//! An observer that keeps everything that the task reports.

use std::time::Duration;

use runtime::flow::FlowObserver;
use runtime::latency::RecordTimes;
use runtime::metrics::Count;
use runtime::record::{Offset, Partition};
use runtime::refusals::Refusal;
use runtime::traces::{BatchSteps, SampledRecords};

use crate::batch::Tally;
use crate::ports::Observer;

/// What the task reported.
#[derive(Default)]
pub(super) struct Watch {
    pub(super) records: u64,
    pub(super) blocked: Option<String>,
    /// Every reason why the task was blocked, in order.
    pub(super) reasons: Vec<String>,
    pub(super) reduced: usize,
    /// How often a record was found blocked.
    pub(super) refused: usize,
    /// Every event that was counted, in order.
    pub(super) counts: Vec<Count>,
    /// Since when there were unsettled records: every change.
    pub(super) unsettled: Vec<Option<i64>>,
    /// The times of the orders whose vouchers were committed, batch by batch.
    pub(super) vouchers: Vec<RecordTimes>,
    /// The sampled records that were reported, each with its outcome.
    pub(super) sampled: Vec<(Partition, Offset, &'static str)>,
}

impl Observer for &mut Watch {
    fn flow(&mut self) -> &mut dyn FlowObserver {
        *self
    }

    fn committed<'a>(&mut self, tallies: impl Iterator<Item = &'a Tally>, _: Duration) {
        self.records += tallies.map(Tally::records).sum::<u64>();
    }

    fn vouchers_committed(&mut self, orders: RecordTimes) {
        self.vouchers.push(orders);
    }

    fn is_tracing(&self) -> bool {
        true
    }

    fn traced(&mut self, records: &SampledRecords, steps: BatchSteps) {
        assert!(
            steps.began <= steps.complete && steps.complete <= steps.ended,
            "{steps:?}"
        );
        for record in records.iter() {
            assert_eq!(record.created.is_some(), record.outcome == "voucher");
            let began = record.began.expect("the moment at which it was read");
            assert!(began <= steps.ended, "{record:?}");
            self.sampled
                .push((record.partition, record.offset, record.outcome));
        }
    }
}

impl FlowObserver for Watch {
    fn healthy(&mut self) {
        self.blocked = None;
    }

    fn blocked(&mut self, reason: &str) {
        self.blocked = Some(reason.to_owned());
        self.reasons.push(reason.to_owned());
    }

    fn refused(&mut self, records: usize, refusal: Refusal) {
        match refusal {
            Refusal::Reduced => self.reduced += records,
            Refusal::Blocked => self.refused += records,
        }
    }

    fn count(&mut self, count: Count) {
        self.counts.push(count);
    }

    fn unsettled_since(&mut self, timestamp: Option<i64>) {
        if self.unsettled.last() != Some(&timestamp) {
            self.unsettled.push(timestamp);
        }
    }
}
