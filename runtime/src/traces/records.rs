//! The sampled records of a batch.

use std::time::Duration;

use crate::record::{InputRecord, Offset, Partition};
use crate::trace_context::{TRACEPARENT, TraceParent};

/// The maximum number of sampled records of one batch that are traced. Where every order is sampled, a
/// backlog makes batches of thousands, whose spans nobody reads and the queue could not hold.
pub const MAX_SAMPLED_RECORDS: usize = 256;

/// A sampled record, and the spans that describe it.
#[derive(Debug, Clone)]
pub struct SampledRecord {
    /// Its partition.
    pub partition: Partition,
    /// Its offset.
    pub offset: Offset,
    /// The span that created it, from its header.
    pub parent: TraceParent,
    /// The span of its processing.
    pub process: TraceParent,
    /// The span of the record that it leads to, as the header of that record has it.
    pub created: Option<TraceParent>,
    /// Its outcome.
    pub outcome: &'static str,
    /// The reason, for any outcome but the usual one.
    pub reason: Option<&'static str>,
    /// Whether it could not be used.
    pub is_dead: bool,
    /// When it was read; `None` before that is noted.
    pub began: Option<Duration>,
}

/// The sampled records of a batch. Collects nothing unless it is on.
#[derive(Debug, Clone, Default)]
pub struct SampledRecords {
    is_on: bool,
    records: Vec<SampledRecord>,
    left_out: usize,
}

impl SampledRecords {
    /// Returns a collection that collects if `is_on`.
    pub const fn new(is_on: bool) -> Self {
        Self {
            is_on,
            records: Vec::new(),
            left_out: 0,
        }
    }

    /// Returns whether records are collected.
    pub const fn is_on(&self) -> bool {
        self.is_on
    }

    /// Adds a record if it is sampled. Returns the entry, to be completed. Headers are parsed only when
    /// records are collected.
    pub fn add(
        &mut self,
        record: &impl InputRecord,
        outcome: &'static str,
    ) -> Option<&mut SampledRecord> {
        if !self.is_on {
            return None;
        }
        let parent = sampled_parent(record)?;
        self.add_with_parent(record, parent, outcome)
    }

    /// Adds a record whose header was parsed already.
    pub fn add_with_parent(
        &mut self,
        record: &impl InputRecord,
        parent: TraceParent,
        outcome: &'static str,
    ) -> Option<&mut SampledRecord> {
        if !self.is_on || !parent.is_sampled() {
            return None;
        }
        if self.records.len() >= MAX_SAMPLED_RECORDS {
            self.left_out += 1;
            return None;
        }
        self.records.push(SampledRecord {
            partition: record.partition(),
            offset: record.offset(),
            parent,
            process: parent.child(),
            created: None,
            outcome,
            reason: None,
            is_dead: false,
            began: None,
        });
        self.records.last_mut()
    }

    /// Notes when the last record was read, if that is not known. Asks for the time only then.
    pub fn stamp(&mut self, now: impl FnOnce() -> Duration) {
        if let Some(last) = self.records.last_mut()
            && last.began.is_none()
        {
            last.began = Some(now());
        }
    }

    /// Notes that the record at this position could not be used, for this reason.
    pub fn note_dead(&mut self, partition: Partition, offset: Offset, reason: &'static str) {
        let mut records = self.records.iter_mut();
        let found = records.find(|one| one.partition == partition && one.offset == offset);
        if let Some(record) = found {
            record.outcome = "dead_letter";
            record.reason = Some(reason);
            record.is_dead = true;
        }
    }

    /// Forgets the records of a revoked partition.
    pub fn forget(&mut self, partition: Partition) {
        self.records.retain(|one| one.partition != partition);
    }

    /// Removes all records.
    pub fn clear(&mut self) {
        self.records.clear();
        self.left_out = 0;
    }

    /// Returns whether there is no record.
    pub const fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Returns the records, in the order in which they were read.
    pub fn iter(&self) -> std::slice::Iter<'_, SampledRecord> {
        self.records.iter()
    }

    /// Returns the number of sampled records that are not among these, because there were too many.
    pub const fn left_out(&self) -> usize {
        self.left_out
    }
}

/// Returns the span that created a record, if its trace is sampled. As everywhere, the last header of
/// the name counts.
fn sampled_parent(record: &impl InputRecord) -> Option<TraceParent> {
    let mut parent = None;
    record.each_header(&mut |name, value| {
        if name == TRACEPARENT {
            parent = value
                .filter(|value| TraceParent::may_be_sampled(value))
                .and_then(TraceParent::parse);
        }
    });
    parent
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::OwnedRecord;

    const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const NOT_SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

    fn record(offset: Offset, traces: &[&str]) -> OwnedRecord {
        let header = |value: &&str| (TRACEPARENT.to_owned(), Some(value.as_bytes().to_vec()));
        OwnedRecord {
            offset,
            headers: traces.iter().map(header).collect(),
            ..OwnedRecord::default()
        }
    }

    #[test]
    fn only_sampled_records_are_collected_and_only_when_it_is_on() {
        let mut off = SampledRecords::default();
        assert!(off.add(&record(0, &[SAMPLED]), "voucher").is_none());
        let mut on = SampledRecords::new(true);
        let not_sampled: [(Offset, &[&str]); 4] = [
            (0, &[]),
            (1, &[NOT_SAMPLED]),
            (2, &[SAMPLED, NOT_SAMPLED]),
            (
                3,
                &["not a trace at all, but as long as a trace has to be: 1"],
            ),
        ];
        for (offset, traces) in not_sampled {
            assert!(on.add(&record(offset, traces), "voucher").is_none());
        }
        assert!(off.is_empty() && on.is_empty());
        let added = on.add(&record(4, &[NOT_SAMPLED, SAMPLED]), "voucher");
        let (parent, process) = added.map(|one| (one.parent, one.process)).unwrap();
        assert_eq!(parent.to_string(), SAMPLED);
        assert_eq!(parent.trace_id(), process.trace_id());
        assert_ne!(parent, process);
    }

    #[test]
    fn a_batch_is_bounded_and_a_partition_that_is_taken_away_is_forgotten() {
        let mut records = SampledRecords::new(true);
        for offset in 0..300 {
            records.add(&record(offset, &[SAMPLED]), "voucher");
        }
        assert_eq!(records.iter().count(), MAX_SAMPLED_RECORDS);
        assert_eq!(records.left_out(), 300 - MAX_SAMPLED_RECORDS);
        records.note_dead(0, 7, "invalid_json");
        let dead: Vec<_> = records.iter().filter(|one| one.is_dead).collect();
        assert_eq!((dead.len(), dead[0].offset), (1, 7));
        records.forget(0);
        assert!(records.is_empty());
    }
}
