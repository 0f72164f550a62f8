//! The outcomes of consecutive records, ready to be written in one transaction.
//!
//! All bytes live in one arena that is reused from batch to batch: a skipped record costs a count
//! and a position, an issued voucher a copy of a few hundred bytes.

mod arena;
mod tally;

use std::ops::Range;

use runtime::audit::{AuditCounts, AuditTrail};
use runtime::dead_letter::{self, Cause, Extent, OutgoingDeadLetter};
use runtime::kafka::Outgoing;
use runtime::latency::RecordTimes;
use runtime::record::{InputRecord, Offset, Partition, Positions};
use runtime::settings::TopicSettings;
use runtime::trace_context::{TRACEPARENT, TraceParent};
use runtime::traces::SampledRecords;
use schemas::{Malformed, ValueFormat};

pub use self::tally::Tally;

use self::arena::Arena;
use crate::evaluate::{Evaluator, Issued};
use crate::rule::Skip;

/// Headers of a voucher's record: where it comes from and what made it.
pub mod headers {
    pub use runtime::replay::SOURCE_RUN;

    /// The topic of the order status.
    pub const SOURCE_TOPIC: &str = "source.topic";
    /// The partition of the order status.
    pub const SOURCE_PARTITION: &str = "source.partition";
    /// The offset of the order status.
    pub const SOURCE_OFFSET: &str = "source.offset";
    /// The rule's fingerprint.
    pub const VOUCHER_RULE: &str = "voucher.rule";
    /// The signing key's id.
    pub const VOUCHER_KEY_ID: &str = "voucher.key-id";
}

/// The topics of the flow.
#[derive(Debug, Clone)]
pub struct Topics {
    /// Order statuses.
    pub source: String,
    /// Vouchers.
    pub vouchers: String,
    /// Dead letters of the order statuses.
    pub dead_letters: String,
}

impl Topics {
    /// Returns the topics of these settings.
    pub fn of(settings: &TopicSettings) -> Self {
        Self {
            source: settings.order_status_topic.clone(),
            vouchers: settings.vouchers_topic.clone(),
            dead_letters: settings.order_status_dead_letters(),
        }
    }

    /// Returns the names of all three topics.
    pub fn names(&self) -> Vec<String> {
        vec![
            self.source.clone(),
            self.vouchers.clone(),
            self.dead_letters.clone(),
        ]
    }
}

/// The outcomes of consecutive records of one task.
#[derive(Debug)]
pub struct Batch {
    topics: Topics,
    format: ValueFormat,
    run: Option<String>,
    group: Option<String>,
    /// Whether records that cannot be used are only counted.
    only_counts_dead: bool,
    /// Writes the audit record of the batch.
    audit: Option<AuditTrail>,
    arena: Arena,
    outputs: Vec<Output>,
    partitions: Vec<PartitionOutcome>,
    records: usize,
    /// The records whose traces are sampled. Only collected in the live flow, with a trace collector.
    sampled: SampledRecords,
}

/// One record to be written; its bytes are in the arena.
#[derive(Debug)]
struct Output {
    source: Partition,
    offset: Offset,
    /// Of a dead letter: how much of its original it carries.
    extent: Option<Extent>,
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
    headers: Range<usize>,
}

/// Where a record to be written comes from, and where it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputOrigin<'b> {
    /// The partition of the order status.
    pub partition: Partition,
    /// Its offset.
    pub offset: Offset,
    /// The topic that it is written to.
    pub topic: &'b str,
    /// Of a dead letter: how much of its original it carries.
    pub extent: Option<Extent>,
    /// The size of key, value and headers.
    pub bytes: usize,
}

/// The outcomes of the records of one partition.
#[derive(Debug)]
struct PartitionOutcome {
    partition: Partition,
    next: Offset,
    tally: Tally,
    /// The timestamp of the first record.
    first: Option<i64>,
    /// The times of the orders that earned a voucher, without those that are replayed.
    vouchers: RecordTimes,
}

impl Batch {
    /// Creates an empty batch.
    pub fn new(topics: Topics, format: ValueFormat) -> Self {
        Self {
            topics,
            format,
            run: None,
            group: None,
            only_counts_dead: false,
            audit: None,
            arena: Arena::default(),
            outputs: Vec::new(),
            partitions: Vec::new(),
            records: 0,
            sampled: SampledRecords::default(),
        }
    }

    /// Returns an empty batch with the same settings.
    #[must_use]
    pub fn successor(&self) -> Self {
        Self {
            run: self.run.clone(),
            group: self.group.clone(),
            only_counts_dead: self.only_counts_dead,
            audit: self.audit.clone(),
            sampled: SampledRecords::new(self.sampled.is_on()),
            ..Self::new(self.topics.clone(), self.format)
        }
    }

    /// Makes the vouchers name this run, a backfill's or a redrive's.
    #[must_use]
    pub fn of_run(mut self, run: &str) -> Self {
        self.run = Some(run.to_owned());
        self
    }

    /// Collects the records whose traces are sampled, if `is_traced`.
    #[must_use]
    pub fn traced(mut self, is_traced: bool) -> Self {
        self.sampled = SampledRecords::new(is_traced);
        self
    }

    /// Makes the dead letters name the consumer group that they belong to.
    #[must_use]
    pub fn of_group(mut self, group: &str) -> Self {
        self.group = Some(group.to_owned());
        self
    }

    /// Only counts the records that cannot be used: their dead letters were written by the live flow.
    #[must_use]
    pub const fn without_dead_letters(mut self) -> Self {
        self.only_counts_dead = true;
        self
    }

    /// Adds an audit record to the output, even if all records of the batch earn nothing: the numbers of
    /// a run are the sums over its audit records.
    #[must_use]
    pub fn audited(mut self, audit: Option<AuditTrail>) -> Self {
        self.audit = audit;
        self
    }

    /// Returns the topics that the records come from and go to.
    pub const fn topics(&self) -> &Topics {
        &self.topics
    }

    /// Returns whether no record was added since the batch was cleared.
    pub fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    /// Returns the number of records added.
    pub const fn records(&self) -> usize {
        self.records
    }

    /// Returns the number of bytes to be written.
    pub fn bytes(&self) -> usize {
        self.arena.bytes.len()
    }

    /// Returns whether anything is to be written. If not, the offsets need no transaction.
    pub fn has_outputs(&self) -> bool {
        !self.outputs.is_empty() || (self.audit.is_some() && !self.is_empty())
    }

    /// Returns the number of records to be written, without the audit record.
    pub fn outputs(&self) -> usize {
        self.outputs.len()
    }

    /// Returns the next offset of every partition that has records here.
    pub fn positions(&self) -> Positions {
        self.partitions
            .iter()
            .map(|one| (one.partition, one.next))
            .collect()
    }

    /// Returns the next offset of `partition`, when it has records here.
    pub fn next_offset(&self, partition: Partition) -> Option<Offset> {
        let mut partitions = self.partitions.iter();
        partitions
            .find(|one| one.partition == partition)
            .map(|one| one.next)
    }

    /// Returns the outcomes of every partition that has records here.
    pub fn tallies(&self) -> impl Iterator<Item = &Tally> {
        self.partitions.iter().map(|one| &one.tally)
    }

    /// Returns the records whose traces are sampled.
    pub const fn sampled(&self) -> &SampledRecords {
        &self.sampled
    }

    /// Notes when the last record was read, if it is sampled.
    pub fn stamp_sampled(&mut self, now: impl FnOnce() -> std::time::Duration) {
        self.sampled.stamp(now);
    }

    /// Returns the timestamp of the oldest record, in milliseconds since the epoch. Only the first record
    /// of each partition is considered.
    pub fn oldest(&self) -> Option<i64> {
        self.partitions.iter().filter_map(|one| one.first).min()
    }

    /// Returns the times of the orders that earned a voucher, without those that are replayed.
    pub fn voucher_times(&self) -> RecordTimes {
        let mut times = RecordTimes::default();
        for one in &self.partitions {
            times.extend(one.vouchers);
        }
        times
    }

    /// Adds a record that earns nothing.
    pub fn skip(&mut self, record: &impl InputRecord, skip: Skip) {
        if let Some(sampled) = self.sampled.add(record, "skipped") {
            sampled.reason = Some(skip.as_str());
        }
        let tally = &mut self.advance(record).tally;
        *tally.skipped.entry(skip).or_default() += 1;
    }

    /// Adds a record that earned a voucher.
    pub fn issue(&mut self, record: &impl InputRecord, issued: &Issued<'_>, evaluator: &Evaluator) {
        let arena = &mut self.arena;
        let voucher = evaluator.voucher(issued);
        let value_from = arena.bytes.len();
        // A rule whose amount the schema cannot hold is refused at the start (Evaluator::new).
        let written = voucher.write(self.format, &mut arena.bytes);
        debug_assert!(written.is_ok(), "the rule's amount fits the schema");
        let value = value_from..arena.bytes.len();
        let key = arena.put(issued.order_id.as_bytes());
        let first_header = arena.header_count();
        arena.add_header(headers::SOURCE_TOPIC, self.topics.source.as_bytes());
        arena.add_number_header(headers::SOURCE_PARTITION, i64::from(record.partition()));
        arena.add_number_header(headers::SOURCE_OFFSET, record.offset());
        if let Some(run) = &self.run {
            arena.add_header(headers::SOURCE_RUN, run.as_bytes());
        }
        arena.add_header(headers::VOUCHER_RULE, evaluator.fingerprint().as_bytes());
        let key_id = evaluator.key_id(issued.sent_at);
        arena.add_header(headers::VOUCHER_KEY_ID, key_id.as_bytes());
        let (mut parent, mut is_replayed) = (None, self.run.is_some());
        record.each_header(&mut |name, value| match name {
            TRACEPARENT => parent = value.and_then(TraceParent::parse),
            headers::SOURCE_RUN => is_replayed = true,
            _ => {}
        });
        if let Some(parent) = parent {
            let sampled = self.sampled.add_with_parent(record, parent, "voucher");
            // Without spans of this service the voucher carries the trace context of its order status.
            let created = sampled.map_or(parent, |sampled| {
                let created = sampled.process.child();
                sampled.created = Some(created);
                created
            });
            arena.add_header(TRACEPARENT, created.to_string().as_bytes());
        }
        self.outputs.push(Output {
            source: record.partition(),
            offset: record.offset(),
            extent: None,
            key: Some(key),
            value: Some(value),
            headers: first_header..arena.header_count(),
        });
        let outcome = self.advance(record);
        outcome.tally.vouchers += 1;
        if let Some(written) = record.timestamp_millis().filter(|_| !is_replayed) {
            outcome.vouchers.add(written);
        }
    }

    /// Adds a record that cannot be used. Its dead letter carries the original as far as `extent` says.
    pub fn add_dead_letter(
        &mut self,
        record: &impl InputRecord,
        malformed: &Malformed,
        extent: Extent,
    ) {
        if let Some(sampled) = self.sampled.add(record, "dead_letter") {
            sampled.reason = Some(malformed.reason().as_str());
            sampled.is_dead = true;
        }
        if !self.only_counts_dead {
            self.write_dead_letter(record, malformed, extent);
        }
        let dead = &mut self.advance(record).tally.dead;
        *dead.entry(malformed.reason()).or_default() += 1;
    }

    fn write_dead_letter(
        &mut self,
        record: &impl InputRecord,
        malformed: &Malformed,
        extent: Extent,
    ) {
        let cause = Cause {
            topic: &self.topics.source,
            service: "processor",
            malformed,
            attempts: 1,
        };
        let dead_letter = OutgoingDeadLetter::of(record, &cause, extent);
        let arena = &mut self.arena;
        let key = dead_letter.key.map(|key| arena.put(key));
        let value = dead_letter.value.map(|value| arena.put(value));
        let first_header = arena.header_count();
        for (name, value) in &dead_letter.headers {
            arena.copy_header(name, value.as_deref());
        }
        if let Some(group) = &self.group {
            arena.add_header(dead_letter::GROUP, group.as_bytes());
        }
        self.outputs.push(Output {
            source: record.partition(),
            offset: record.offset(),
            extent: Some(extent),
            key,
            value,
            headers: first_header..arena.header_count(),
        });
    }

    /// Returns where the output of this number comes from. Outputs are numbered in the order of
    /// [`each_output`](Self::each_output).
    pub fn origin(&self, number: usize) -> Option<OutputOrigin<'_>> {
        let output = self.outputs.get(number)?;
        let length = |range: &Option<Range<usize>>| range.as_ref().map_or(0, Range::len);
        let headers = self.arena.headers(&output.headers);
        let header_bytes = headers.map(|(_, value)| value.map_or(0, <[u8]>::len));
        Some(OutputOrigin {
            partition: output.source,
            offset: output.offset,
            topic: self.topic_of(output),
            extent: output.extent,
            bytes: length(&output.key) + length(&output.value) + header_bytes.sum::<usize>(),
        })
    }

    fn topic_of(&self, output: &Output) -> &str {
        match output.extent {
            Some(_) => &self.topics.dead_letters,
            None => &self.topics.vouchers,
        }
    }

    /// Forgets the records of a partition that was revoked.
    pub fn forget(&mut self, partition: Partition) {
        self.partitions.retain(|one| one.partition != partition);
        self.outputs.retain(|output| output.source != partition);
        self.sampled.forget(partition);
    }

    /// Calls `write` with every record to be written, in the order of their sources, and with the
    /// audit record after them.
    ///
    /// # Errors
    /// The first error of `write`.
    pub fn each_output<E>(
        &self,
        mut write: impl FnMut(&Outgoing<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut headers = Vec::with_capacity(8);
        for output in &self.outputs {
            headers.clear();
            headers.extend(self.arena.headers(&output.headers));
            write(&Outgoing {
                topic: self.topic_of(output),
                key: output.key.as_ref().map(|key| self.arena.get(key)),
                value: output.value.as_ref().map(|value| self.arena.get(value)),
                headers: &headers,
            })?;
        }
        match &self.audit {
            Some(audit) => audit.send(self.audit_counts(), write),
            None => Ok(()),
        }
    }

    /// Returns the counts of the audit record: the outputs, and the records of the partitions that were not
    /// revoked.
    fn audit_counts(&self) -> AuditCounts {
        let outputs = self.outputs.iter();
        let dead_letters = outputs.filter(|output| output.extent.is_some());
        let dead_letters = dead_letters.count() as u64;
        AuditCounts {
            records: self.tallies().map(Tally::records).sum(),
            vouchers: self.outputs.len() as u64 - dead_letters,
            dead_letters,
            ..AuditCounts::default()
        }
    }

    /// Removes the records to be written, and keeps positions and outcomes.
    pub fn clear_outputs(&mut self) {
        self.outputs.clear();
        self.arena.clear();
    }

    /// Empties the batch for the next records. Keeps its memory, up to a bound.
    pub fn clear(&mut self) {
        self.clear_outputs();
        self.arena.shrink();
        self.partitions.clear();
        self.sampled.clear();
        self.records = 0;
    }

    /// Moves the position of the record's partition past the record, and returns the partition's
    /// outcome.
    fn advance(&mut self, record: &impl InputRecord) -> &mut PartitionOutcome {
        self.records += 1;
        let partition = record.partition();
        let mut partitions = self.partitions.iter();
        let index = match partitions.position(|one| one.partition == partition) {
            Some(index) => index,
            None => {
                self.partitions.push(PartitionOutcome {
                    partition,
                    next: 0,
                    tally: Tally::default(),
                    first: record.timestamp_millis(),
                    vouchers: RecordTimes::default(),
                });
                self.partitions.len() - 1
            }
        };
        let outcome = &mut self.partitions[index];
        debug_assert!(
            outcome.next <= record.offset(),
            "offsets of a partition only grow"
        );
        outcome.next = record.offset() + 1;
        outcome
    }
}
