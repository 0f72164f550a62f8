//! Consecutive records: their rows, the dead letters among them, and the offsets to commit.
//!
//! Every record's bytes are kept until its outcome is settled, because the database may refuse its
//! row. All bytes live in two arenas that are reused from batch to batch.

use std::ops::Range;

use runtime::dead_letter::{Cause, Extent, OutgoingDeadLetter};
use runtime::latency::RecordTimes;
use runtime::record::{InputRecord, Offset, Partition, Positions};
use runtime::replay::SOURCE_RUN;
use runtime::trace_context::{TRACEPARENT, TraceParent};
use runtime::traces::SampledRecords;
use rust_decimal::Decimal;
use schemas::{Currency, Malformed, Reason, Timestamp, Voucher};

use crate::limits::{MAX_BATCH_BYTES, MAX_BATCH_RECORDS};
use crate::tally::Tally;

/// Consecutive records of one task, with their rows, dead letters and offsets.
#[derive(Debug, Default)]
pub struct Batch {
    /// The arena of keys, values and header values.
    bytes: Vec<u8>,
    /// The arena of header names and of the rows' strings.
    text: String,
    records: Vec<StoredRecord>,
    headers: Vec<StoredHeader>,
    rows: Vec<Row>,
    dead: Vec<Dead>,
    positions: Positions,
    /// The timestamp of the oldest record.
    oldest: Option<i64>,
    tally: Tally,
    /// Whether a partition was revoked, so that no record may be added any more.
    closed: bool,
    /// The records whose traces are sampled. Only collected in the live flow, with a trace collector.
    sampled: SampledRecords,
}

/// A record; its bytes are in the arenas.
#[derive(Debug, Clone)]
struct StoredRecord {
    partition: Partition,
    offset: Offset,
    timestamp_millis: Option<i64>,
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
    headers: Range<usize>,
    /// Why the record cannot be used, if it cannot.
    dead: Option<Reason>,
}

/// A record that cannot be used, and its dead letter.
#[derive(Debug, Clone)]
struct Dead {
    record: usize,
    cause: Malformed,
    extent: Extent,
    is_written: bool,
}

/// The times of the rows of a batch, without vouchers of backfills and redrives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RowTimes {
    /// When the voucher records were written.
    pub vouchers: RecordTimes,
    /// When the orders were sent.
    pub orders: RecordTimes,
}

#[derive(Debug, Clone)]
struct StoredHeader {
    name: Range<usize>,
    value: Option<Range<usize>>,
}

/// A voucher to be written; its strings are in the arena.
#[derive(Debug, Clone)]
pub struct Row {
    record: usize,
    campaign: Range<usize>,
    order_id: Range<usize>,
    code: Range<usize>,
    traceparent: Range<usize>,
    /// What the voucher is worth.
    pub amount: Decimal,
    /// The amount's currency.
    pub currency: Currency,
    /// When the order was sent.
    pub issued_at: Timestamp,
    /// When the voucher expires.
    pub expires_at: Option<Timestamp>,
}

impl Batch {
    /// Collects the records whose traces are sampled, if `is_traced`.
    #[must_use]
    pub fn traced(mut self, is_traced: bool) -> Self {
        self.sampled = SampledRecords::new(is_traced);
        self
    }

    /// Returns the records whose traces are sampled.
    pub const fn sampled(&self) -> &SampledRecords {
        &self.sampled
    }

    /// Notes when the last record was read, if it is sampled.
    pub fn stamp_sampled(&mut self, now: impl FnOnce() -> std::time::Duration) {
        self.sampled.stamp(now);
    }

    /// Adds a record with a voucher that becomes a row.
    pub fn add_row(&mut self, record: &impl InputRecord, voucher: &Voucher<'_>) {
        self.sampled.add(record, "row");
        let number = self.store(record, None);
        let campaign = append_text(&mut self.text, &voucher.campaign);
        let order_id = append_text(&mut self.text, &voucher.order_id);
        let code = append_text(&mut self.text, &voucher.code);
        let traceparent = self.store_traceparent(number);
        self.rows.push(Row {
            record: number,
            campaign,
            order_id,
            code,
            traceparent,
            amount: voucher.amount,
            currency: voucher.currency,
            issued_at: voucher.issued_at,
            expires_at: voucher.expires_at,
        });
    }

    /// Adds a record that cannot be used.
    pub fn add_dead_letter(&mut self, record: &impl InputRecord, cause: Malformed) {
        self.sampled.add(record, "dead_letter");
        let number = self.store(record, Some(cause.reason()));
        self.note_dead(number, cause);
    }

    /// Adds a null value, which deletes no voucher.
    pub fn skip_tombstone(&mut self, record: &impl InputRecord) {
        self.records.push(StoredRecord {
            partition: record.partition(),
            offset: record.offset(),
            timestamp_millis: None,
            key: None,
            value: None,
            headers: 0..0,
            dead: None,
        });
        self.advance(record);
        self.tally.tombstones += 1;
    }

    /// Makes a row that the database refused alone a dead letter.
    pub fn reject(&mut self, row: usize, cause: Malformed) {
        let number = self.rows[row].record;
        self.records[number].dead = Some(cause.reason());
        self.note_dead(number, cause);
    }

    /// Counts the outcomes of durable rows.
    pub fn add_outcomes(&mut self, outcomes: &Tally) {
        self.tally.add(outcomes);
    }

    fn note_dead(&mut self, number: usize, cause: Malformed) {
        *self.tally.dead.entry(cause.reason()).or_default() += 1;
        let StoredRecord {
            partition, offset, ..
        } = self.records[number];
        self.sampled
            .note_dead(partition, offset, cause.reason().as_str());
        self.dead.push(Dead {
            record: number,
            cause,
            extent: Extent::Whole,
            is_written: false,
        });
    }

    /// Forgets the offsets and dead letters of a partition that was revoked. Its rows remain, because the
    /// new owner writes the same ones. No record is added to the batch after that: if the partition is
    /// assigned again, its records are read again, and would be in the batch twice.
    pub fn forget(&mut self, partition: Partition) {
        self.closed |= self.positions.remove(&partition).is_some();
        self.sampled.forget(partition);
    }

    /// Removes everything, and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.text.clear();
        self.records.clear();
        self.headers.clear();
        self.rows.clear();
        self.dead.clear();
        self.positions.clear();
        self.oldest = None;
        self.tally = Tally::default();
        self.closed = false;
        self.sampled.clear();
    }

    /// Returns whether the batch has no records.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Returns whether no record may be added any more.
    pub fn is_full(&self) -> bool {
        let bytes = self.bytes.len() + self.text.len();
        self.closed || self.records.len() >= MAX_BATCH_RECORDS || bytes >= MAX_BATCH_BYTES
    }

    /// Returns the number of records.
    pub const fn records(&self) -> usize {
        self.records.len()
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Returns the next offset of each partition that has records here and is still assigned.
    pub const fn positions(&self) -> &Positions {
        &self.positions
    }

    /// Returns the timestamp of the oldest record, in milliseconds since the epoch.
    pub const fn oldest(&self) -> Option<i64> {
        self.oldest
    }

    /// Returns the times of the records whose rows were written.
    pub fn row_times(&self) -> RowTimes {
        let mut times = RowTimes::default();
        for row in &self.rows {
            let record = &self.records[row.record];
            let sent = row.issued_at.as_millis();
            if let (Some(written), None) = (record.timestamp_millis, record.dead)
                // The headers are searched only for times that would extend the ranges.
                && !(times.vouchers.contain(written) && times.orders.contain(sent))
                && !self.is_replayed(record)
            {
                times.vouchers.add(written);
                times.orders.add(sent);
            }
        }
        times
    }

    fn is_replayed(&self, record: &StoredRecord) -> bool {
        let mut headers = self.headers[record.headers.clone()].iter();
        headers.any(|header| &self.text[header.name.clone()] == SOURCE_RUN)
    }

    /// Returns the outcomes of the records.
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Returns every record's outcome in order, as far as it is known: the reason of a dead letter.
    pub fn outcomes(&self) -> impl Iterator<Item = Option<Reason>> {
        self.records.iter().map(|record| record.dead)
    }

    /// Returns the dead records of assigned partitions whose dead letters are not written yet.
    pub fn dead(&self) -> impl Iterator<Item = DeadRecord<'_>> {
        self.dead
            .iter()
            .enumerate()
            .map(|(number, dead)| DeadRecord {
                number,
                record: BatchRecord {
                    batch: self,
                    stored: &self.records[dead.record],
                },
                dead,
            })
            .filter(|dead| {
                let partition = dead.record.stored.partition;
                !dead.dead.is_written && self.positions.contains_key(&partition)
            })
    }

    /// Returns the dead record of this number, if [`dead`](Self::dead) returns it.
    pub fn dead_record(&self, number: usize) -> Option<DeadRecord<'_>> {
        self.dead().find(|dead| dead.number == number)
    }

    /// Notes that the dead letter of this number is acknowledged.
    pub fn note_acknowledged(&mut self, number: usize) {
        if let Some(dead) = self.dead.get_mut(number) {
            dead.is_written = true;
        }
    }

    /// Limits how much of its original the dead letter of this number carries.
    pub fn reduce_dead_letter(&mut self, number: usize, extent: Extent) {
        if let Some(dead) = self.dead.get_mut(number) {
            dead.extent = extent;
        }
    }

    /// Returns the row of this number.
    ///
    /// # Panics
    /// Here and below: if there is no row of this number.
    pub fn row(&self, number: usize) -> &Row {
        &self.rows[number]
    }

    /// Returns a row's campaign.
    pub fn campaign(&self, row: usize) -> &str {
        &self.text[self.rows[row].campaign.clone()]
    }

    /// Returns a row's order id.
    pub fn order_id(&self, row: usize) -> &str {
        &self.text[self.rows[row].order_id.clone()]
    }

    /// Returns a row's code.
    pub fn code(&self, row: usize) -> &str {
        &self.text[self.rows[row].code.clone()]
    }

    /// Returns a row's trace context; empty when there is none.
    pub fn traceparent(&self, row: usize) -> &str {
        &self.text[self.rows[row].traceparent.clone()]
    }

    /// Returns the position of a row's record.
    pub fn position(&self, row: usize) -> (Partition, Offset) {
        let record = &self.records[self.rows[row].record];
        (record.partition, record.offset)
    }

    /// Returns whether two rows have the same identity: campaign and order.
    pub fn same_identity(&self, a: usize, b: usize) -> bool {
        self.order_id(a) == self.order_id(b) && self.campaign(a) == self.campaign(b)
    }

    /// Returns whether two rows have the same code, amount and currency.
    pub fn same_content(&self, a: usize, b: usize) -> bool {
        self.code(a) == self.code(b)
            && self.rows[a].amount == self.rows[b].amount
            && self.rows[a].currency == self.rows[b].currency
    }

    /// Moves the position of the record's partition past the record.
    fn advance(&mut self, record: &impl InputRecord) {
        self.positions
            .insert(record.partition(), record.offset() + 1);
    }

    /// Stores a record, and returns its number.
    fn store(&mut self, record: &impl InputRecord, dead: Option<Reason>) -> usize {
        let key = record.key().map(|key| append(&mut self.bytes, key));
        let value = record.value().map(|value| append(&mut self.bytes, value));
        let first_header = self.headers.len();
        record.each_header(&mut |name, value| {
            let name = append_text(&mut self.text, name);
            let value = value.map(|value| append(&mut self.bytes, value));
            self.headers.push(StoredHeader { name, value });
        });
        let timestamp_millis = record.timestamp_millis();
        self.oldest = self.oldest.into_iter().chain(timestamp_millis).min();
        self.records.push(StoredRecord {
            partition: record.partition(),
            offset: record.offset(),
            timestamp_millis,
            key,
            value,
            headers: first_header..self.headers.len(),
            dead,
        });
        self.advance(record);
        self.records.len() - 1
    }

    /// Stores the trace context of a record: its last header of that name counts, if it is valid.
    fn store_traceparent(&mut self, number: usize) -> Range<usize> {
        let headers = self.records[number].headers.clone();
        let valid = self.headers[headers]
            .iter()
            .rfind(|header| &self.text[header.name.clone()] == TRACEPARENT)
            .and_then(|header| header.value.clone())
            .and_then(|value| TraceParent::parse(&self.bytes[value]));
        match valid {
            Some(traceparent) => {
                let start = self.text.len();
                // Writing to a string cannot fail.
                let _ = std::fmt::Write::write_fmt(&mut self.text, format_args!("{traceparent}"));
                start..self.text.len()
            }
            None => 0..0,
        }
    }
}

fn append(bytes: &mut Vec<u8>, more: &[u8]) -> Range<usize> {
    let start = bytes.len();
    bytes.extend_from_slice(more);
    start..bytes.len()
}

fn append_text(text: &mut String, more: &str) -> Range<usize> {
    let start = text.len();
    text.push_str(more);
    start..text.len()
}

/// A record of the batch, byte for byte.
#[derive(Debug, Clone, Copy)]
pub struct BatchRecord<'a> {
    batch: &'a Batch,
    stored: &'a StoredRecord,
}

/// A record of the batch that cannot be used.
#[derive(Debug, Clone, Copy)]
pub struct DeadRecord<'a> {
    /// Its number among the batch's dead records.
    pub number: usize,
    /// The record.
    pub record: BatchRecord<'a>,
    dead: &'a Dead,
}

impl DeadRecord<'_> {
    /// Returns why the record cannot be used.
    pub const fn cause(&self) -> &Malformed {
        &self.dead.cause
    }

    /// Returns how much of the record its dead letter carries.
    pub const fn extent(&self) -> Extent {
        self.dead.extent
    }

    /// Returns the dead letter to be written; `topic` is the record's own.
    pub fn outgoing(&self, topic: &str) -> OutgoingDeadLetter<'_> {
        let cause = Cause {
            topic,
            service: "sink",
            malformed: &self.dead.cause,
            attempts: 1,
        };
        OutgoingDeadLetter::of(&self.record, &cause, self.dead.extent)
    }

    /// Returns the size of the record's key, value and headers.
    pub fn bytes(&self) -> usize {
        let length = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
        let mut bytes = length(self.record.key()) + length(self.record.value());
        self.record
            .each_header(&mut |name, value| bytes += name.len() + length(value));
        bytes
    }
}

impl InputRecord for BatchRecord<'_> {
    fn partition(&self) -> Partition {
        self.stored.partition
    }

    fn offset(&self) -> Offset {
        self.stored.offset
    }

    fn timestamp_millis(&self) -> Option<i64> {
        self.stored.timestamp_millis
    }

    fn key(&self) -> Option<&[u8]> {
        self.stored.key.clone().map(|key| &self.batch.bytes[key])
    }

    fn value(&self) -> Option<&[u8]> {
        self.stored
            .value
            .clone()
            .map(|value| &self.batch.bytes[value])
    }

    fn each_header(&self, each: &mut dyn FnMut(&str, Option<&[u8]>)) {
        for header in &self.batch.headers[self.stored.headers.clone()] {
            let value = header.value.clone().map(|value| &self.batch.bytes[value]);
            each(&self.batch.text[header.name.clone()], value);
        }
    }
}
