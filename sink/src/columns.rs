//! The rows of one statement, column by column, as Postgres takes them.

use std::ops::Range;

use rust_decimal::Decimal;
use schemas::{Currency, Timestamp, decimal};

use crate::batch::Batch;
use crate::string_column::StringColumn;

/// One statement's rows: one for each identity, in the order of the identities, so that two writers
/// take the locks of the rows that they share in one order. Reused from statement to statement.
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
    /// When the vouchers end.
    pub expires_at: Vec<Option<Timestamp>>,
    /// W3C trace contexts; empty: none.
    pub traceparents: StringColumn,
    /// The batch's number of each row.
    rows: Vec<usize>,
    echoes: Vec<Echo>,
    sorted: Vec<usize>,
}

/// A later record of an identity that is in the same statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Echo {
    /// Its number in the batch.
    pub row: usize,
    /// The first record's place in the columns.
    pub of: usize,
}

impl Columns {
    /// Takes `part` of the batch's rows, in place of what was here: of each identity the first.
    pub fn fill(&mut self, batch: &Batch, part: Range<usize>) {
        self.clear();
        let mut sorted = std::mem::take(&mut self.sorted);
        sorted.clear();
        sorted.extend(part);
        // By identity, and within one in the order in which they came: a stable sort, which also
        // makes use of the order that a partition's records often have.
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
        self.rows.push(number);
    }

    fn clear(&mut self) {
        for texts in [
            &mut self.campaigns,
            &mut self.order_ids,
            &mut self.codes,
            &mut self.traceparents,
        ] {
            texts.clear();
        }
        self.amounts.clear();
        self.currencies.clear();
        self.issued_at.clear();
        self.expires_at.clear();
        self.rows.clear();
        self.echoes.clear();
    }

    /// Postgres fills arrays of unequal lengths up with nulls, without a word.
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
        ];
        assert_eq!(lengths, [self.rows.len(); 8], "one value a row");
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The later records of identities that are here.
    pub fn echoes(&self) -> &[Echo] {
        &self.echoes
    }

    /// The batch's number of the row at `place`.
    ///
    /// # Panics
    /// When there is none.
    pub fn row(&self, place: usize) -> usize {
        self.rows[place]
    }
}
