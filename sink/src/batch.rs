//! A run of records: the rows that they ask for, the dead among them, and the offsets to commit.
//!
//! Every record's bytes are kept until its outcome is settled, for the database may yet refuse the
//! row. All of them live in two arenas that are reused from batch to batch.

use std::ops::Range;

use runtime::dead_letter::{Cause, Extent, OutgoingDeadLetter};
use runtime::record::{InputRecord, Offset, Partition, Positions};
use runtime::trace_context::{TRACEPARENT, TraceParent};
use rust_decimal::Decimal;
use schemas::{Currency, Malformed, Reason, Timestamp, Voucher};

use crate::columns::Columns;
use crate::ports::Written;
use crate::tally::Tally;

/// See the module.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    text: String,
    records: Vec<Kept>,
    headers: Vec<KeptHeader>,
    rows: Vec<Row>,
    dead: Vec<Dead>,
    positions: Positions,
    tally: Tally,
    closed: bool,
}

/// A batch has no more records and, but for the last of them, no more bytes than this.
pub(crate) const MAX_RECORDS: usize = 2_000;
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// A record's bytes, in the arena.
#[derive(Debug, Clone)]
struct Kept {
    partition: Partition,
    offset: Offset,
    timestamp_millis: Option<i64>,
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
    headers: Range<usize>,
    dead: Option<Reason>,
}

/// A record that can't be used, and its dead letter.
#[derive(Debug, Clone)]
struct Dead {
    record: usize,
    cause: Malformed,
    extent: Extent,
    is_written: bool,
}

#[derive(Debug, Clone)]
struct KeptHeader {
    name: Range<usize>,
    value: Option<Range<usize>>,
}

/// A voucher to be written; its texts are in the arena.
#[derive(Debug, Clone)]
pub struct Row {
    record: usize,
    campaign: Range<usize>,
    order_id: Range<usize>,
    code: Range<usize>,
    traceparent: Range<usize>,
    /// What it is worth.
    pub amount: Decimal,
    /// The amount's currency.
    pub currency: Currency,
    /// When the order was sent.
    pub issued_at: Timestamp,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
}

impl Batch {
    /// Takes a record that asks for a row.
    pub fn push(&mut self, record: &impl InputRecord, voucher: &Voucher<'_>) {
        let number = self.keep(record, None);
        let campaign = self.keep_text(&voucher.campaign);
        let order_id = self.keep_text(&voucher.order_id);
        let code = self.keep_text(&voucher.code);
        let traceparent = self.keep_traceparent(number);
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

    /// Takes a record that can't be used.
    pub fn write_dead_letters(&mut self, record: &impl InputRecord, cause: Malformed) {
        let number = self.keep(record, Some(cause.reason()));
        self.note_dead(number, cause);
    }

    /// Takes a null value: it deletes no voucher.
    pub fn skip_tombstone(&mut self, record: &impl InputRecord) {
        self.records.push(Kept {
            partition: record.partition(),
            offset: record.offset(),
            timestamp_millis: None,
            key: None,
            value: None,
            headers: 0..0,
            dead: None,
        });
        self.follow(record);
        self.tally.tombstones += 1;
    }

    /// The database refused this row alone.
    pub fn refuse(&mut self, row: usize, cause: Malformed) {
        let number = self.rows[row].record;
        self.records[number].dead = Some(cause.reason());
        self.note_dead(number, cause);
    }

    /// The rows of `columns` are durable.
    pub fn note_written(&mut self, columns: &Columns, written: &Written) {
        let rows = columns.len() as u64;
        let different = written.different.len() as u64;
        self.tally.inserted += written.inserted;
        self.tally.different += different;
        self.tally.existing += rows.saturating_sub(written.inserted + different);
        for echo in columns.echoes() {
            // An echo of a record that differs from the row is counted as its first record is.
            let differs = written.different.contains(&echo.of)
                || !self.same_content(columns.row(echo.of), echo.row);
            if differs {
                self.tally.different += 1;
            } else {
                self.tally.existing += 1;
            }
        }
        self.report_different(columns, written);
    }

    /// One line a statement, not a row, and without the codes.
    fn report_different(&self, columns: &Columns, written: &Written) {
        if let Some(&place) = written.different.first() {
            tracing::warn!(
                campaign = columns.campaigns.get(place),
                order_id = columns.order_ids.get(place),
                others = written.different.len() - 1,
                "a row is there with another code, amount or currency than its record; the row is kept"
            );
        }
    }

    fn note_dead(&mut self, number: usize, cause: Malformed) {
        *self.tally.dead.entry(cause.reason()).or_default() += 1;
        self.dead.push(Dead {
            record: number,
            cause,
            extent: Extent::Whole,
            is_written: false,
        });
    }

    /// These records are another's now: nothing of them is committed or dead-lettered here. Their
    /// rows do no harm, since their new owner writes the same. Nothing more is taken into the batch,
    /// for they may come again.
    pub fn forget(&mut self, partition: Partition) {
        self.closed |= self.positions.remove(&partition).is_some();
    }

    /// Forgets all, keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.text.clear();
        self.records.clear();
        self.headers.clear();
        self.rows.clear();
        self.dead.clear();
        self.positions.clear();
        self.tally = Tally::default();
        self.closed = false;
    }

    /// Whether no record was taken.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Whether nothing more is to be taken.
    pub fn is_full(&self) -> bool {
        let bytes = self.bytes.len() + self.text.len();
        self.closed || self.records.len() >= MAX_RECORDS || bytes >= MAX_BYTES
    }

    /// How many rows are asked for.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// The next offset of each partition that the batch has and that is still ours.
    pub const fn positions(&self) -> &Positions {
        &self.positions
    }

    /// What came of the records.
    pub const fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Every record's outcome in order, as far as it is known: the reason of the dead ones.
    pub fn outcomes(&self) -> impl Iterator<Item = Option<Reason>> {
        self.records.iter().map(|record| record.dead)
    }

    /// The dead records of partitions that are still ours and whose dead letters are not written.
    pub fn dead(&self) -> impl Iterator<Item = DeadRecord<'_>> {
        self.dead
            .iter()
            .enumerate()
            .map(|(number, dead)| DeadRecord {
                number,
                record: KeptRecord {
                    batch: self,
                    kept: &self.records[dead.record],
                },
                dead,
            })
            .filter(|dead| !dead.dead.is_written && self.is_ours(dead.record.kept.partition))
    }

    fn is_ours(&self, partition: Partition) -> bool {
        self.positions.contains_key(&partition)
    }

    /// The dead record with this number.
    pub fn dead_with(&self, number: usize) -> Option<DeadRecord<'_>> {
        self.dead().find(|dead| dead.number == number)
    }

    /// Its dead letter is acknowledged.
    pub fn note_dead_letter(&mut self, number: usize) {
        if let Some(dead) = self.dead.get_mut(number) {
            dead.is_written = true;
        }
    }

    /// Its dead letter may carry no more than this.
    pub fn reduce_dead_letter(&mut self, number: usize, extent: Extent) {
        if let Some(dead) = self.dead.get_mut(number) {
            dead.extent = extent;
        }
    }

    /// The row with this number.
    ///
    /// # Panics
    /// Here and below: when there is none.
    pub fn row(&self, number: usize) -> &Row {
        &self.rows[number]
    }

    /// Its campaign.
    pub fn campaign(&self, row: usize) -> &str {
        &self.text[self.rows[row].campaign.clone()]
    }

    /// Its order.
    pub fn order_id(&self, row: usize) -> &str {
        &self.text[self.rows[row].order_id.clone()]
    }

    /// Its code.
    pub fn code(&self, row: usize) -> &str {
        &self.text[self.rows[row].code.clone()]
    }

    /// Its trace context; empty: none.
    pub fn traceparent(&self, row: usize) -> &str {
        &self.text[self.rows[row].traceparent.clone()]
    }

    /// Whether both are of one voucher.
    pub fn same_identity(&self, a: usize, b: usize) -> bool {
        self.order_id(a) == self.order_id(b) && self.campaign(a) == self.campaign(b)
    }

    fn same_content(&self, a: usize, b: usize) -> bool {
        self.code(a) == self.code(b)
            && self.rows[a].amount == self.rows[b].amount
            && self.rows[a].currency == self.rows[b].currency
    }

    fn follow(&mut self, record: &impl InputRecord) {
        self.positions
            .insert(record.partition(), record.offset() + 1);
    }

    fn keep(&mut self, record: &impl InputRecord, dead: Option<Reason>) -> usize {
        let key = record.key().map(|key| append(&mut self.bytes, key));
        let value = record.value().map(|value| append(&mut self.bytes, value));
        let first_header = self.headers.len();
        record.each_header(&mut |name, value| {
            let name = append_text(&mut self.text, name);
            let value = value.map(|value| append(&mut self.bytes, value));
            self.headers.push(KeptHeader { name, value });
        });
        self.records.push(Kept {
            partition: record.partition(),
            offset: record.offset(),
            timestamp_millis: record.timestamp_millis(),
            key,
            value,
            headers: first_header..self.headers.len(),
            dead,
        });
        self.follow(record);
        self.records.len() - 1
    }

    fn keep_text(&mut self, text: &str) -> Range<usize> {
        append_text(&mut self.text, text)
    }

    /// The last header of the name counts, if it is valid.
    fn keep_traceparent(&mut self, number: usize) -> Range<usize> {
        let headers = self.records[number].headers.clone();
        let valid = self.headers[headers]
            .iter()
            .rfind(|header| &self.text[header.name.clone()] == TRACEPARENT)
            .and_then(|header| header.value.clone())
            .and_then(|value| TraceParent::parse(&self.bytes[value]));
        match valid {
            Some(traceparent) => {
                let start = self.text.len();
                // Writing to a string can't fail.
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

/// A record of the batch, as it came.
#[derive(Debug, Clone, Copy)]
pub struct KeptRecord<'a> {
    batch: &'a Batch,
    kept: &'a Kept,
}

/// A record of the batch that can't be used.
#[derive(Debug, Clone, Copy)]
pub struct DeadRecord<'a> {
    /// Its number among the batch's dead records.
    pub number: usize,
    /// The record.
    pub record: KeptRecord<'a>,
    dead: &'a Dead,
}

impl DeadRecord<'_> {
    /// Why it can't be used.
    pub const fn cause(&self) -> &Malformed {
        &self.dead.cause
    }

    /// How much of the record its dead letter carries.
    pub const fn extent(&self) -> Extent {
        self.dead.extent
    }

    /// What goes to the dead letter topic.
    pub fn dead_letter(&self, topic: &str) -> OutgoingDeadLetter<'_> {
        let cause = Cause {
            topic,
            service: "sink",
            malformed: &self.dead.cause,
            attempts: 1,
        };
        OutgoingDeadLetter::of(&self.record, &cause, self.dead.extent)
    }

    /// About how large its dead letter is.
    pub fn bytes(&self) -> usize {
        let length = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
        let mut bytes = length(self.record.key()) + length(self.record.value());
        self.record
            .each_header(&mut |name, value| bytes += name.len() + length(value));
        bytes
    }
}

impl InputRecord for KeptRecord<'_> {
    fn partition(&self) -> Partition {
        self.kept.partition
    }

    fn offset(&self) -> Offset {
        self.kept.offset
    }

    fn timestamp_millis(&self) -> Option<i64> {
        self.kept.timestamp_millis
    }

    fn key(&self) -> Option<&[u8]> {
        self.kept.key.clone().map(|key| &self.batch.bytes[key])
    }

    fn value(&self) -> Option<&[u8]> {
        self.kept
            .value
            .clone()
            .map(|value| &self.batch.bytes[value])
    }

    fn each_header(&self, each: &mut dyn FnMut(&str, Option<&[u8]>)) {
        for header in &self.batch.headers[self.kept.headers.clone()] {
            let value = header.value.clone().map(|value| &self.batch.bytes[value]);
            each(&self.batch.text[header.name.clone()], value);
        }
    }
}
