//! The low-water mark: the lowest id that may still be in the outbox, or may still come.
//!
//! Deleted rows stay in the index until vacuum may remove them, which any long transaction in the
//! database prevents. A read that begins at the first row (a full read) scans all of them. A read that
//! begins at the mark scans only those that were deleted since the mark was last moved.
//!
//! # Why nothing turns up below the mark
//!
//! Ids are taken in order, but a transaction that took its id early may commit late. A transaction that
//! takes an id (a writer) holds a lock on the table (`ROW EXCLUSIVE`, from before it takes the id until
//! after its rows are visible), and `pg_locks` lists the holders. So the mark moves in three steps:
//!
//! 1. a row with the id `h` was read: every id up to `h` was taken before, and each writer that took one
//!    is listed now, or has ended;
//! 2. later none of these writers is listed any more: all of them have ended;
//! 3. a read whose snapshot is taken after that returns every row up to `h` that will ever be there.
//!    The mark becomes the lowest id of these rows, or `h + 1` if there are none.
//!
//! Rows whose ids were not taken in order (inserted with a chosen id, or after the sequence was set
//! back) can lie below the mark. A full read finds them. It happens every [`FULL_READ_INTERVAL`], or
//! less often if it takes long (see [`FULL_READ_COST`]).

use std::time::Duration;

use super::limits::{FULL_READ_COST, FULL_READ_INTERVAL, WRITERS_INTERVAL, WRITERS_REFUSED_PAUSE};
use super::row::Row;

/// Where a full read begins.
pub(super) const START: i64 = i64::MIN;

/// Transactions that may have taken ids, by their `virtualtransaction` in `pg_locks`.
pub type Writers = Vec<String>;

/// The low-water mark, and the state that is needed to move it.
#[derive(Debug)]
pub(super) struct LowWater {
    mark: i64,
    /// The highest id that was read.
    highest: i64,
    /// An id and writers: all ids up to this one are settled once these writers have ended.
    pending: Option<(i64, Writers)>,
    /// The next read returns every row up to this id that will ever be there.
    settled: Option<i64>,
    list_at: Duration,
    full_read_at: Duration,
}

impl Default for LowWater {
    fn default() -> Self {
        Self {
            mark: START,
            highest: START,
            pending: None,
            settled: None,
            list_at: Duration::ZERO,
            full_read_at: Duration::ZERO,
        }
    }
}

impl LowWater {
    /// The lowest id that may be in the outbox.
    pub(super) const fn mark(&self) -> i64 {
        self.mark
    }

    /// Returns where the next read begins.
    pub(super) fn read_from(&self, now: Duration) -> i64 {
        if now >= self.full_read_at {
            START
        } else {
            self.mark
        }
    }

    /// Returns whether the writers are to be listed before the next read, because at least `stride`
    /// ids lie between the mark and what was read.
    pub(super) fn wants_writers(&self, now: Duration, stride: i64) -> bool {
        now >= self.list_at
            && self.settled.is_none()
            && self.highest.saturating_sub(self.mark) >= stride
    }

    /// Notes the list of the writers that have not ended; `None` when the server cannot list them this time.
    pub(super) fn note_writers(&mut self, now: Duration, writers: Option<Writers>) {
        self.list_at = now + WRITERS_INTERVAL;
        let Some(writers) = writers else { return };
        let Some((up_to, before)) = &mut self.pending else {
            self.expect(writers);
            return;
        };
        before.retain(|writer| writers.contains(writer));
        if before.is_empty() {
            self.settled = Some(*up_to);
            self.expect(writers);
        }
    }

    /// Notes that the list was refused.
    pub(super) const fn note_writers_refused(&mut self, now: Duration) {
        self.list_at = now.saturating_add(WRITERS_REFUSED_PAUSE);
    }

    /// Notes which writers have to end before the ids that were read so far are settled.
    fn expect(&mut self, writers: Writers) {
        if writers.is_empty() {
            self.settled = Some(self.highest);
            self.pending = None;
        } else {
            self.pending = Some((self.highest, writers));
        }
    }

    /// Notes the rows of a read that began at `from` and took from `begun` to `ended`, in the order of
    /// their ids. Returns the lowest id if it is below the mark, which happens only to rows whose ids
    /// were not taken in order.
    pub(super) fn note_rows(
        &mut self,
        from: i64,
        rows: &[Row],
        (begun, ended): (Duration, Duration),
    ) -> Option<i64> {
        let first = rows.first().map(|row| row.id);
        if let Some(up_to) = self.settled.take() {
            let empty = up_to.saturating_add(1);
            self.mark = self.mark.max(first.unwrap_or(empty).min(empty));
        }
        self.note_backlog(rows);
        if from == START {
            let pause = ended.saturating_sub(begun).saturating_mul(FULL_READ_COST);
            self.full_read_at = ended + pause.max(FULL_READ_INTERVAL);
        }
        let stray = first.filter(|first| *first < self.mark)?;
        self.mark = stray;
        Some(stray)
    }

    /// Notes rows of the backlog, in any order.
    pub(super) fn note_backlog(&mut self, rows: &[Row]) {
        let highest = rows.iter().map(|row| row.id).max();
        self.highest = self.highest.max(highest.unwrap_or(START));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::task::tests::row_of;

    const STRIDE: i64 = 2;

    fn rows(ids: &[i64]) -> Vec<Row> {
        ids.iter().map(|id| row_of(*id)).collect()
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn list(low_water: &mut LowWater, at: u64, writers: &[&str]) {
        assert!(low_water.wants_writers(seconds(at), STRIDE), "at {at}");
        let writers = writers.iter().map(|writer| (*writer).to_owned()).collect();
        low_water.note_writers(seconds(at), Some(writers));
    }

    fn read(low_water: &mut LowWater, at: u64, ids: &[i64]) -> Option<i64> {
        let from = low_water.read_from(seconds(at));
        low_water.note_rows(from, &rows(ids), (seconds(at), seconds(at)))
    }

    #[test]
    fn the_mark_passes_an_id_only_after_all_writers_with_lower_ids_have_ended() {
        let mut low_water = LowWater::default();
        assert_eq!(read(&mut low_water, 0, &[5, 6, 7]), None);
        list(&mut low_water, 1, &["a", "b"]);
        assert_eq!(read(&mut low_water, 2, &[]), None);
        assert_eq!(low_water.mark(), START);
        list(&mut low_water, 3, &["b", "c"]);
        assert_eq!(read(&mut low_water, 4, &[9]), None);
        assert_eq!(low_water.mark(), START, "b may hold an id below 7");
        list(&mut low_water, 5, &["c"]);
        // b's row.
        assert_eq!(read(&mut low_water, 6, &[4, 10]), None);
        assert_eq!(low_water.mark(), 4);
        assert_eq!(low_water.read_from(seconds(6)), 4);
        list(&mut low_water, 7, &[]);
        assert_eq!(read(&mut low_water, 8, &[]), None);
        assert_eq!(
            low_water.mark(),
            11,
            "all rows that were read before the listing"
        );
    }

    #[test]
    fn later_writers_are_not_waited_for() {
        let mut low_water = LowWater::default();
        read(&mut low_water, 0, &[1, 2, 3]);
        list(&mut low_water, 1, &[]);
        read(&mut low_water, 2, &[]);
        assert_eq!(low_water.mark(), 4);
        assert!(
            !low_water.wants_writers(seconds(3), STRIDE),
            "nothing was read"
        );
        read(&mut low_water, 4, &[4, 5, 6]);
        list(&mut low_water, 5, &["long"]);
        list(&mut low_water, 6, &["later"]);
        read(&mut low_water, 7, &[]);
        assert_eq!(low_water.mark(), 7);
    }

    #[test]
    fn a_full_read_now_and_then_finds_stray_rows() {
        let mut low_water = LowWater::default();
        read(&mut low_water, 0, &[10, 11, 12]);
        list(&mut low_water, 1, &[]);
        read(&mut low_water, 2, &[]);
        assert_eq!(low_water.read_from(seconds(59)), 13);
        assert_eq!(low_water.read_from(seconds(62)), START);
        let took = (seconds(62), seconds(63));
        assert_eq!(low_water.note_rows(START, &rows(&[3]), took), Some(3));
        assert_eq!(low_water.read_from(seconds(64)), 3);
        assert_eq!(low_water.read_from(seconds(262)), 3, "it took a second");
        assert_eq!(low_water.read_from(seconds(263)), START);
    }

    #[test]
    fn without_a_list_the_mark_does_not_move() {
        let mut low_water = LowWater::default();
        read(&mut low_water, 0, &[1, 2, 3]);
        list(&mut low_water, 1, &["a"]);
        low_water.note_writers(seconds(2), None);
        read(&mut low_water, 3, &[]);
        assert_eq!(low_water.mark(), START);
        low_water.note_writers_refused(seconds(4));
        assert!(!low_water.wants_writers(seconds(63), STRIDE));
        assert!(low_water.wants_writers(seconds(64), STRIDE));
    }
}
