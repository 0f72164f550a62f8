//! The rows of one statement, column by column, as Postgres takes them.

use std::ops::Range;

use runtime::record::{Offset, Partition};
use rust_decimal::Decimal;
use schemas::{Currency, Timestamp, decimal};

use crate::batch::Batch;
use crate::string_column::StringColumn;
use crate::tally::Tally;

/// The rows of one statement: one for each identity, in the order of the identities, so that two
/// writers lock the rows that they share in the same order. Reused from statement to statement.
#[derive(Debug, Default)]
pub struct Columns {
    /// Campaigns.
    pub campaigns: StringColumn,
    /// Order ids.
    pub order_ids: StringColumn,
    /// Codes.
    pub codes: StringColumn,
    /// Amounts.
    pub amounts: Vec<Decimal>,
    /// Currencies.
    pub currencies: Vec<Currency>,
    /// When the orders were sent.
    pub issued_at: Vec<Timestamp>,
    /// When the vouchers expire.
    pub expires_at: Vec<Option<Timestamp>>,
    /// W3C trace contexts; an empty string stands for none.
    pub traceparents: StringColumn,
    /// The partitions of the rows' records.
    pub record_partitions: Vec<Partition>,
    /// The offsets of the rows' records.
    pub record_offsets: Vec<Offset>,
    /// The batch's number of each row.
    rows: Vec<usize>,
    echoes: Vec<Echo>,
    sorted: Vec<usize>,
}

/// A later record of an identity that is in the same statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Echo {
    /// The number of its row in the batch.
    row: usize,
    /// The place of the first record's row in the columns.
    of: usize,
}

impl Columns {
    /// Replaces the rows by `part` of the batch's rows: the first row of each identity.
    pub fn fill(&mut self, batch: &Batch, part: Range<usize>) {
        self.clear();
        let mut sorted = std::mem::take(&mut self.sorted);
        sorted.clear();
        sorted.extend(part);
        // A stable sort: by identity, and within an identity in the order in which the records came.
        // It also makes use of the order that a partition's records often have.
        sorted.sort_by(|a, b| {
            let identity = |row: usize| (batch.campaign(row), batch.order_id(row));
            identity(*a).cmp(&identity(*b))
        });
        for &row in &sorted {
            match self.rows.last() {
                Some(&first) if batch.same_identity(first, row) => self.echoes.push(Echo {
                    row,
                    of: self.rows.len() - 1,
                }),
                _ => self.push(batch, row),
            }
        }
        self.sorted = sorted;
        self.assert_even();
    }

    fn push(&mut self, batch: &Batch, number: usize) {
        let row = batch.row(number);
        self.campaigns.push(batch.campaign(number));
        self.order_ids.push(batch.order_id(number));
        self.codes.push(batch.code(number));
        // Postgres keeps the scale: 5.00, not 5.
        self.amounts.push(decimal::as_money(row.amount));
        self.currencies.push(row.currency);
        self.issued_at.push(row.issued_at);
        self.expires_at.push(row.expires_at);
        self.traceparents.push(batch.traceparent(number));
        let (partition, offset) = batch.position(number);
        self.record_partitions.push(partition);
        self.record_offsets.push(offset);
        self.rows.push(number);
    }

    fn clear(&mut self) {
        for column in [
            &mut self.campaigns,
            &mut self.order_ids,
            &mut self.codes,
            &mut self.traceparents,
        ] {
            column.clear();
        }
        self.amounts.clear();
        self.currencies.clear();
        self.issued_at.clear();
        self.expires_at.clear();
        self.record_partitions.clear();
        self.record_offsets.clear();
        self.rows.clear();
        self.echoes.clear();
    }

    /// Asserts that all columns have the same length: Postgres silently fills shorter arrays up with
    /// nulls.
    fn assert_even(&self) {
        let lengths = [
            self.campaigns.len(),
            self.order_ids.len(),
            self.codes.len(),
            self.amounts.len(),
            self.currencies.len(),
            self.issued_at.len(),
            self.expires_at.len(),
            self.traceparents.len(),
            self.record_partitions.len(),
            self.record_offsets.len(),
        ];
        assert_eq!(lengths, [self.rows.len(); 10], "one value for each row");
    }

    /// Counts the records of the rows, which are durable: `inserted` rows are new, and those at the places
    /// in `different` exist with other content than their records have.
    pub fn tally(&self, batch: &Batch, inserted: u64, different: &[usize]) -> Tally {
        let differing = different.len() as u64;
        let mut tally = Tally {
            inserted,
            different: differing,
            existing: (self.len() as u64).saturating_sub(inserted + differing),
            ..Tally::default()
        };
        for echo in &self.echoes {
            // An echo of a record that differs from the row counts as that record does.
            let differs =
                different.contains(&echo.of) || !batch.same_content(self.rows[echo.of], echo.row);
            if differs {
                tally.different += 1;
            } else {
                tally.existing += 1;
            }
        }
        tally
    }

    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use runtime::record::OwnedRecord;
    use schemas::Voucher;

    use super::*;

    /// Adds the record at this position, for an order.
    fn add(batch: &mut Batch, (partition, offset): (Partition, Offset), order_id: &str) {
        let record = OwnedRecord {
            partition,
            offset,
            ..OwnedRecord::default()
        };
        let voucher = Voucher {
            campaign: "order-reward".into(),
            order_id: order_id.into(),
            code: format!("CODE-{order_id}").into(),
            amount: Decimal::new(500, 2),
            currency: Currency::EUR,
            issued_at: Timestamp::from_millis(0),
            expires_at: None,
        };
        batch.add_row(&record, &voucher);
    }

    #[test]
    fn a_row_has_the_position_of_the_first_record_of_its_identity() {
        let mut batch = Batch::default();
        for (position, order_id) in [
            ((1, 40), "b"),
            ((0, 7), "a"),
            ((1, 41), "b"),
            ((0, 1 << 40), "c"),
        ] {
            add(&mut batch, position, order_id);
        }
        let mut columns = Columns::default();
        for _ in 0..2 {
            columns.fill(&batch, 0..batch.rows());
            assert_eq!(columns.record_partitions, [0, 1, 0]);
            assert_eq!(columns.record_offsets, [7, 40, 1 << 40]);
        }
        columns.fill(&batch, 2..3);
        assert_eq!(columns.record_offsets, [41]);
    }
}
