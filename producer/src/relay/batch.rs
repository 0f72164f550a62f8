//! The rows in hand.

use super::row::Row;

/// What one transaction publishes, and what was read but has to wait for the next.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// In the order in which they are published. Kept until they are deleted from the outbox, or
    /// until the lock is lost.
    rows: Vec<Row>,
    ids: Vec<i64>,
    /// The tail of what was read of the backlog: of an order whose other rows may follow.
    held_back: Vec<Row>,
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

    /// For what is read in id order.
    pub(super) const fn rows_mut(&mut self) -> &mut Vec<Row> {
        &mut self.rows
    }

    /// For what is read order by order.
    pub(super) const fn held_back_mut(&mut self) -> &mut Vec<Row> {
        &mut self.held_back
    }

    /// Takes the orders that are whole: all but the last, and that one too when nothing follows.
    pub(super) fn take_whole_orders(&mut self, ended: bool) {
        debug_assert!(self.rows.is_empty(), "the last batch was done with");
        if ended {
            std::mem::swap(&mut self.rows, &mut self.held_back);
            return;
        }
        let Some(last) = self.held_back.last() else {
            return;
        };
        let whole = self
            .held_back
            .iter()
            .rposition(|row| row.order_id != last.order_id)
            .map_or(0, |index| index + 1);
        self.rows.extend(self.held_back.drain(..whole));
    }

    /// The rows' ids, to be deleted.
    pub(super) fn ids(&mut self) -> &[i64] {
        self.ids.clear();
        self.ids.extend(self.rows.iter().map(|row| row.id));
        &self.ids
    }

    /// The lowest and the highest id, for people.
    pub(super) fn id_range(&self) -> (i64, i64) {
        self.rows.iter().fold((i64::MAX, i64::MIN), |range, row| {
            (range.0.min(row.id), range.1.max(row.id))
        })
    }

    /// Done with the rows.
    pub(super) fn clear(&mut self) {
        self.rows.clear();
    }

    /// Forgets what was held back too.
    pub(super) fn forget(&mut self) {
        self.rows.clear();
        self.held_back.clear();
    }
}
