//! The rows that are being published.

use crate::relay::Row;

/// What one transaction publishes, and what was read but has to wait for the next.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// In the order in which they are published. Kept until they are deleted from the outbox, or
    /// until the lock is lost.
    rows: Vec<Row>,
    ids: Vec<i64>,
    /// The last rows that were read of the backlog: of an order whose other rows may follow.
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

    /// Where rows are appended that are read in the order of ids.
    pub(super) const fn rows_mut(&mut self) -> &mut Vec<Row> {
        &mut self.rows
    }

    /// Where rows are appended that are read order by order.
    pub(super) const fn incomplete_mut(&mut self) -> &mut Vec<Row> {
        &mut self.incomplete
    }

    /// Takes the rows of whole orders: of all but the last order, and of that too when no row follows.
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
