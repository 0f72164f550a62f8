//! The rows that are being published.

use crate::relay::Row;

/// The rows that one transaction publishes, and rows that were read but wait for the next transaction.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// In the order in which they are published. Kept until they are deleted from the outbox, or
    /// until the lock is lost.
    rows: Vec<Row>,
    ids: Vec<i64>,
    /// The rows at the end of the last backlog read, whose order may have more rows in the next read.
    incomplete: Vec<Row>,
}

impl Batch {
    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    pub(super) const fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Returns the buffer for rows that are read in the order of ids.
    pub(super) const fn rows_mut(&mut self) -> &mut Vec<Row> {
        &mut self.rows
    }

    /// Returns the buffer for rows that are read order by order.
    pub(super) const fn incomplete_mut(&mut self) -> &mut Vec<Row> {
        &mut self.incomplete
    }

    /// Moves the rows of complete orders into the batch: of all orders but the last, and of the last
    /// one too if the backlog `has_ended`.
    pub(super) fn take_whole_orders(&mut self, has_ended: bool) {
        debug_assert!(self.rows.is_empty(), "the last batch is deleted");
        if has_ended {
            std::mem::swap(&mut self.rows, &mut self.incomplete);
            return;
        }
        let Some(last) = self.incomplete.last() else {
            return;
        };
        let whole = self
            .incomplete
            .iter()
            .rposition(|row| row.order_id != last.order_id)
            .map_or(0, |index| index + 1);
        self.rows.extend(self.incomplete.drain(..whole));
    }

    /// Returns the rows' ids, to be deleted.
    pub(super) fn ids(&mut self) -> &[i64] {
        self.ids.clear();
        self.ids.extend(self.rows.iter().map(|row| row.id));
        &self.ids
    }

    /// Returns the lowest and the highest id, for the log.
    pub(super) fn id_range(&self) -> (i64, i64) {
        self.rows.iter().fold((i64::MAX, i64::MIN), |range, row| {
            (range.0.min(row.id), range.1.max(row.id))
        })
    }

    /// Removes the rows, which are deleted from the outbox or will be read again.
    pub(super) fn clear(&mut self) {
        self.rows.clear();
    }

    /// Removes the rows of incomplete orders too.
    pub(super) fn forget(&mut self) {
        self.rows.clear();
        self.incomplete.clear();
    }
}
