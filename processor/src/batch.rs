//! The outcomes of a run of records, ready to be written in one transaction.
//!
//! All bytes live in one arena that is reused from batch to batch: a skipped record costs a count
//! and a position, an issued voucher a copy of a few hundred bytes.

use std::collections::BTreeMap;
use std::ops::Range;

use runtime::dead_letter::{self, Cause, Extent, OutgoingDeadLetter};
use runtime::kafka::Outgoing;
use runtime::record::{InputRecord, Offset, Partition, Positions};
use runtime::settings::TopicSettings;
use runtime::trace_context::{TRACEPARENT, TraceParent};
use schemas::{Malformed, Reason};

use crate::evaluate::{Evaluator, Issued};
use crate::rule::Skip;

/// Headers of a voucher's record: where it comes from and what made it.
pub mod headers {
    /// The topic of the order status.
    pub const SOURCE_TOPIC: &str = "source.topic";
    /// Its partition.
    pub const SOURCE_PARTITION: &str = "source.partition";
    /// Its offset.
    pub const SOURCE_OFFSET: &str = "source.offset";
    /// The backfill or redrive that issued it; absent in the live flow.
    pub const SOURCE_RUN: &str = "source.run";
    /// The rule's fingerprint.
    pub const VOUCHER_RULE: &str = "voucher.rule";
    /// The signing key's id.
    pub const VOUCHER_KEY_ID: &str = "voucher.key-id";
}

/// How vouchers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VoucherFormat {
    /// Without a registry.
    Json,
    /// Framed, under the id of our schema.
    Avro {
        /// The id.
        schema_id: u32,
    },
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
    /// Those that are set.
    pub fn of(settings: &TopicSettings) -> Self {
        Self {
            source: settings.order_status_topic.clone(),
            vouchers: settings.vouchers_topic.clone(),
            dead_letters: settings.order_status_dead_letters(),
        }
    }

    /// All of them.
    pub fn names(&self) -> Vec<String> {
        vec![
            self.source.clone(),
            self.vouchers.clone(),
            self.dead_letters.clone(),
        ]
    }
}

/// How many records had which outcome.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// Vouchers.
    pub vouchers: u64,
    /// Skipped, by reason.
    pub skipped: BTreeMap<Skip, u64>,
    /// Dead letters, by reason.
    pub dead: BTreeMap<Reason, u64>,
}

impl Tally {
    /// Counts what another tally counted too.
    pub fn add(&mut self, other: &Self) {
        self.vouchers += other.vouchers;
        for (skip, count) in &other.skipped {
            *self.skipped.entry(*skip).or_default() += count;
        }
        for (reason, count) in &other.dead {
            *self.dead.entry(*reason).or_default() += count;
        }
    }

    /// All records.
    pub fn records(&self) -> u64 {
        self.vouchers + self.skipped.values().sum::<u64>() + self.dead.values().sum::<u64>()
    }
}

/// See the module.
#[derive(Debug)]
pub struct Batch {
    topics: Topics,
    format: VoucherFormat,
    run: Option<String>,
    group: Option<String>,
    arena: Arena,
    outputs: Vec<Output>,
    work: Vec<PartitionWork>,
    records: usize,
    counts_dead: bool,
}

/// Keys, values and headers of all records to be written, one behind the other.
#[derive(Debug, Default)]
struct Arena {
    bytes: Vec<u8>,
    names: String,
    headers: Vec<HeaderSpan>,
}

/// One record to be written; its bytes are in the arena.
#[derive(Debug)]
struct Output {
    source: Partition,
    offset: Offset,
    /// Of a dead letter: how much of its original it carries.
    dead: Option<Extent>,
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
    headers: Range<usize>,
}

/// Where a record to be written comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin<'b> {
    /// The partition of the order status.
    pub partition: Partition,
    /// Its offset.
    pub offset: Offset,
    /// The topic that it is written to.
    pub topic: &'b str,
    /// Of a dead letter: how much of its original it carries.
    pub dead: Option<Extent>,
    /// The size of key, value and headers.
    pub bytes: usize,
}

#[derive(Debug)]
struct HeaderSpan {
    name: HeaderName,
    value: Option<Range<usize>>,
}

#[derive(Debug)]
enum HeaderName {
    /// One of ours.
    Known(&'static str),
    /// A dead letter's, in the arena.
    Kept(Range<usize>),
}

/// What was done of one partition.
#[derive(Debug)]
struct PartitionWork {
    partition: Partition,
    next: Offset,
    tally: Tally,
}

impl Batch {
    /// An empty batch.
    pub fn new(topics: Topics, format: VoucherFormat) -> Self {
        Self {
            topics,
            format,
            run: None,
            group: None,
            arena: Arena::default(),
            outputs: Vec::new(),
            work: Vec::new(),
            records: 0,
            counts_dead: false,
        }
    }

    /// An empty batch of the same kind.
    #[must_use]
    pub fn successor(&self) -> Self {
        Self {
            run: self.run.clone(),
            group: self.group.clone(),
            counts_dead: self.counts_dead,
            ..Self::new(self.topics.clone(), self.format)
        }
    }

    /// The vouchers name this run, a backfill's or a redrive's.
    #[must_use]
    pub fn of_run(mut self, run: &str) -> Self {
        self.run = Some(run.to_owned());
        self
    }

    /// The dead letters name this consumer group, whose they are.
    #[must_use]
    pub fn of_group(mut self, group: &str) -> Self {
        self.group = Some(group.to_owned());
        self
    }

    /// Records that can't be used are counted alone: their letters were written when they came.
    #[must_use]
    pub const fn without_dead_letters(mut self) -> Self {
        self.counts_dead = true;
        self
    }

    /// Whether nothing was added since it was cleared.
    pub fn is_empty(&self) -> bool {
        self.work.is_empty()
    }

    /// Records added.
    pub const fn records(&self) -> usize {
        self.records
    }

    /// Bytes to be written.
    pub fn bytes(&self) -> usize {
        self.arena.bytes.len()
    }

    /// Whether anything is to be written: if not, offsets need no transaction.
    pub fn has_outputs(&self) -> bool {
        !self.outputs.is_empty()
    }

    /// How many records are to be written.
    pub fn outputs(&self) -> usize {
        self.outputs.len()
    }

    /// The next offset of every partition that was read.
    pub fn positions(&self) -> Positions {
        self.work
            .iter()
            .map(|work| (work.partition, work.next))
            .collect()
    }

    /// The next offset of this partition, when something of it was read.
    pub fn next_of(&self, partition: Partition) -> Option<Offset> {
        let work = self.work.iter().find(|work| work.partition == partition)?;
        Some(work.next)
    }

    /// The outcomes of every partition that was read.
    pub fn tallies(&self) -> impl Iterator<Item = &Tally> {
        self.work.iter().map(|work| &work.tally)
    }

    /// A record that earns nothing.
    pub fn skip(&mut self, record: &impl InputRecord, skip: Skip) {
        *self.advance(record).skipped.entry(skip).or_default() += 1;
    }

    /// A record that earned a voucher.
    pub fn issue(&mut self, record: &impl InputRecord, issued: &Issued<'_>, evaluator: &Evaluator) {
        let arena = &mut self.arena;
        let voucher = evaluator.voucher(issued);
        let value_from = arena.bytes.len();
        match self.format {
            VoucherFormat::Json => voucher.write_json(&mut arena.bytes),
            VoucherFormat::Avro { schema_id } => {
                // A rule whose amount the schema can't hold is refused at the start (Evaluator::new).
                let written = voucher.write_avro(schema_id, &mut arena.bytes);
                debug_assert!(written.is_ok(), "the rule's amount fits the schema");
            }
        }
        let value = value_from..arena.bytes.len();
        let key = arena.put(issued.order_id.as_bytes());
        let first_header = arena.headers.len();
        arena.header(headers::SOURCE_TOPIC, self.topics.source.as_bytes());
        arena.number_header(headers::SOURCE_PARTITION, i64::from(record.partition()));
        arena.number_header(headers::SOURCE_OFFSET, record.offset());
        if let Some(run) = &self.run {
            arena.header(headers::SOURCE_RUN, run.as_bytes());
        }
        arena.header(headers::VOUCHER_RULE, evaluator.fingerprint().as_bytes());
        let key_id = evaluator.key_id(issued.sent_at);
        arena.header(headers::VOUCHER_KEY_ID, key_id.as_bytes());
        if let Some(parent) = record
            .header(TRACEPARENT)
            .and_then(|value| TraceParent::parse(&value))
        {
            arena.header(TRACEPARENT, parent.child().to_string().as_bytes());
        }
        self.outputs.push(Output {
            source: record.partition(),
            offset: record.offset(),
            dead: None,
            key: Some(key),
            value: Some(value),
            headers: first_header..arena.headers.len(),
        });
        self.advance(record).vouchers += 1;
    }

    /// A record that can't be used, byte for byte as far as `extent` goes.
    pub fn bury(&mut self, record: &impl InputRecord, malformed: &Malformed, extent: Extent) {
        if self.counts_dead {
            *self
                .advance(record)
                .dead
                .entry(malformed.reason())
                .or_default() += 1;
            return;
        }
        let cause = Cause {
            topic: &self.topics.source,
            service: "processor",
            malformed,
            attempts: 1,
        };
        let letter = OutgoingDeadLetter::of(record, &cause, extent);
        let arena = &mut self.arena;
        let key = letter.key.map(|key| arena.put(key));
        let value = letter.value.map(|value| arena.put(value));
        let first_header = arena.headers.len();
        for (name, value) in &letter.headers {
            arena.foreign_header(name, value.as_deref());
        }
        if let Some(group) = &self.group {
            arena.header(dead_letter::GROUP, group.as_bytes());
        }
        self.outputs.push(Output {
            source: record.partition(),
            offset: record.offset(),
            dead: Some(extent),
            key,
            value,
            headers: first_header..arena.headers.len(),
        });
        *self
            .advance(record)
            .dead
            .entry(malformed.reason())
            .or_default() += 1;
    }

    /// Whose output is the one with this number, in the order of [`each_output`](Self::each_output).
    pub fn origin(&self, number: usize) -> Option<Origin<'_>> {
        let output = self.outputs.get(number)?;
        let length = |range: &Option<Range<usize>>| range.as_ref().map_or(0, Range::len);
        let headers = self.arena.headers[output.headers.clone()].iter();
        Some(Origin {
            partition: output.source,
            offset: output.offset,
            topic: self.topic_of(output),
            dead: output.dead,
            bytes: length(&output.key)
                + length(&output.value)
                + headers.map(|span| length(&span.value)).sum::<usize>(),
        })
    }

    fn topic_of(&self, output: &Output) -> &str {
        match output.dead {
            Some(_) => &self.topics.dead_letters,
            None => &self.topics.vouchers,
        }
    }

    /// Forgets what was read of a partition that is another's now.
    pub fn forget(&mut self, partition: Partition) {
        self.work.retain(|work| work.partition != partition);
        self.outputs.retain(|output| output.source != partition);
    }

    /// Calls `write` with every record to be written, in the order of their sources.
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
            headers.extend(
                self.arena.headers[output.headers.clone()]
                    .iter()
                    .map(|span| {
                        let value = span.value.as_ref().map(|value| self.arena.get(value));
                        (self.arena.name(&span.name), value)
                    }),
            );
            write(&Outgoing {
                topic: self.topic_of(output),
                key: output.key.as_ref().map(|key| self.arena.get(key)),
                value: output.value.as_ref().map(|value| self.arena.get(value)),
                headers: &headers,
            })?;
        }
        Ok(())
    }

    /// The records were written: only the positions and outcomes remain to be told.
    pub fn clear_outputs(&mut self) {
        self.outputs.clear();
        self.arena.headers.clear();
        self.arena.names.clear();
        self.arena.bytes.clear();
    }

    /// Ready for the next batch; keeps its memory, up to a bound.
    pub fn clear(&mut self) {
        self.clear_outputs();
        self.arena.bytes.shrink_to(ARENA_KEPT);
        self.work.clear();
        self.records = 0;
    }

    /// The tally of the record's partition, whose position is moved past the record.
    fn advance(&mut self, record: &impl InputRecord) -> &mut Tally {
        self.records += 1;
        let partition = record.partition();
        let index = match self
            .work
            .iter()
            .position(|work| work.partition == partition)
        {
            Some(index) => index,
            None => {
                self.work.push(PartitionWork {
                    partition,
                    next: 0,
                    tally: Tally::default(),
                });
                self.work.len() - 1
            }
        };
        let work = &mut self.work[index];
        debug_assert!(
            work.next <= record.offset(),
            "offsets of a partition only grow"
        );
        work.next = record.offset() + 1;
        &mut work.tally
    }
}

impl Arena {
    fn get(&self, range: &Range<usize>) -> &[u8] {
        &self.bytes[range.clone()]
    }

    fn put(&mut self, bytes: &[u8]) -> Range<usize> {
        let from = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        from..self.bytes.len()
    }

    fn name<'a>(&'a self, name: &'a HeaderName) -> &'a str {
        match name {
            HeaderName::Known(name) => name,
            HeaderName::Kept(range) => &self.names[range.clone()],
        }
    }

    fn header(&mut self, name: &'static str, value: &[u8]) {
        let value = Some(self.put(value));
        self.headers.push(HeaderSpan {
            name: HeaderName::Known(name),
            value,
        });
    }

    fn number_header(&mut self, name: &'static str, number: i64) {
        self.header(name, itoa::Buffer::new().format(number).as_bytes());
    }

    fn foreign_header(&mut self, name: &str, value: Option<&[u8]>) {
        let from = self.names.len();
        self.names.push_str(name);
        let name = HeaderName::Kept(from..self.names.len());
        let value = value.map(|value| self.put(value));
        self.headers.push(HeaderSpan { name, value });
    }
}

/// A batch of unusually large dead letters must not hold their memory for ever.
const ARENA_KEPT: usize = 16 * 1024 * 1024;
