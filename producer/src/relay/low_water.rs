//! The low-water mark: the lowest id that may still be in the outbox, or may still come.
//!
//! Rows that were deleted stay in the index until vacuum may remove them, and any long transaction of
//! anybody keeps it from that. A read that begins at the first row walks all of them. A read that
//! begins at the mark walks those that were deleted since the mark was last moved, no more.
//!
//! # Why nothing turns up below the mark
//!
//! Ids are taken in order, but a transaction that took its id early may commit late. Whoever takes an
//! id holds a lock on the table (`ROW EXCLUSIVE`, from before it takes the id until after its rows are
//! visible), and Postgres lists who holds it. So the mark moves in three steps:
//!
//! 1. a row with the id `h` was read: every id up to `h` was taken before, and whoever took one is
//!    among the transactions that are listed now, or has ended;
//! 2. later none of those is listed any more: all of them have ended;
//! 3. a read whose snapshot is taken after that returns every row up to `h` that will ever be there.
//!    The mark becomes the lowest id of these, or `h + 1` where there is none.
//!
//! Rows that came by other ways, with an id of somebody's choosing or from a sequence that was set
//! back, can lie below the mark. For them there is a look from the start every [`START_EVERY`], or
//! less often where it takes long: it costs [`COST_OF_START`] times less than the time between two.

use std::time::Duration;

use super::row::Row;

/// Where a read begins that may leave nothing out.
pub(super) const START: i64 = i64::MIN;

/// The writers are listed this often at most.
const LIST_EVERY: Duration = Duration::from_millis(250);

/// After the list was refused (it needs no right that a role has not by default).
const LIST_AGAIN: Duration = Duration::from_secs(60);

/// Between two looks from the start.
const START_EVERY: Duration = Duration::from_secs(60);

/// The time between two of them is at least this many times what the last one took.
const COST_OF_START: u32 = 200;

/// Transactions that may have taken ids, by whatever names them.
pub type Writers = Vec<String>;

#[derive(Debug)]
pub(super) struct LowWater {
    mark: i64,
    /// The highest id that was read.
    highest: i64,
    /// Ids up to the first are settled once these transactions have ended.
    pending: Option<(i64, Writers)>,
    /// Up to here the next read returns everything that will ever be there.
    settled: Option<i64>,
    list_at: Duration,
    start_at: Duration,
}

impl Default for LowWater {
    fn default() -> Self {
        Self {
            mark: START,
            highest: START,
            pending: None,
            settled: None,
            list_at: Duration::ZERO,
            start_at: Duration::ZERO,
        }
    }
}

impl LowWater {
    /// The lowest id that may be there.
    pub(super) const fn mark(&self) -> i64 {
        self.mark
    }

    /// Where the next read begins.
    pub(super) fn from(&self, now: Duration) -> i64 {
        if now >= self.start_at {
            START
        } else {
            self.mark
        }
    }

    /// Whether the writers are to be listed before the next read: so many ids lie between the mark
    /// and what was read.
    pub(super) fn wants_writers(&self, now: Duration, stride: i64) -> bool {
        now >= self.list_at
            && self.settled.is_none()
            && self.highest.saturating_sub(self.mark) >= stride
    }

    /// Takes the list of those who may have taken ids and have not ended. `None` if it can't be told
    /// this time.
    pub(super) fn saw_writers(&mut self, now: Duration, writers: Option<Writers>) {
        self.list_at = now + LIST_EVERY;
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

    /// The list was refused.
    pub(super) const fn cannot_see_writers(&mut self, now: Duration) {
        self.list_at = now.saturating_add(LIST_AGAIN);
    }

    /// Notes who has to end before the ids that were read so far are settled.
    fn expect(&mut self, writers: Writers) {
        if writers.is_empty() {
            self.settled = Some(self.highest);
            self.pending = None;
        } else {
            self.pending = Some((self.highest, writers));
        }
    }

    /// Takes the rows of a read that began at `from` and took from `begun` to `ended`, in the order of
    /// their ids. Returns the lowest id of rows that should not be there: below the mark.
    pub(super) fn saw_rows(
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
        self.saw_backlog(rows);
        if from == START {
            let pause = ended.saturating_sub(begun).saturating_mul(COST_OF_START);
            self.start_at = ended + pause.max(START_EVERY);
        }
        let strayed = first.filter(|first| *first < self.mark)?;
        self.mark = strayed;
        Some(strayed)
    }

    /// Takes rows of the backlog, in any order.
    pub(super) fn saw_backlog(&mut self, rows: &[Row]) {
        let highest = rows.iter().map(|row| row.id).max();
        self.highest = self.highest.max(highest.unwrap_or(START));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::tests::row_of;

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
        low_water.saw_writers(seconds(at), Some(writers));
    }

    fn read(low_water: &mut LowWater, at: u64, ids: &[i64]) -> Option<i64> {
        let from = low_water.from(seconds(at));
        low_water.saw_rows(from, &rows(ids), (seconds(at), seconds(at)))
    }

    #[test]
    fn the_mark_passes_an_id_only_when_all_who_may_hold_lower_ones_have_ended() {
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
        assert_eq!(low_water.from(seconds(6)), 4);
        list(&mut low_water, 7, &[]);
        assert_eq!(read(&mut low_water, 8, &[]), None);
        assert_eq!(low_water.mark(), 11, "all that was read before the list");
    }

    #[test]
    fn nobody_is_waited_for_who_came_later() {
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
    fn now_and_then_a_look_from_the_start_finds_what_should_not_be_there() {
        let mut low_water = LowWater::default();
        read(&mut low_water, 0, &[10, 11, 12]);
        list(&mut low_water, 1, &[]);
        read(&mut low_water, 2, &[]);
        assert_eq!(low_water.from(seconds(59)), 13);
        assert_eq!(low_water.from(seconds(62)), START);
        let took = (seconds(62), seconds(63));
        assert_eq!(low_water.saw_rows(START, &rows(&[3]), took), Some(3));
        assert_eq!(low_water.from(seconds(64)), 3);
        assert_eq!(low_water.from(seconds(262)), 3, "it took a second");
        assert_eq!(low_water.from(seconds(263)), START);
    }

    #[test]
    fn a_list_that_cannot_be_told_moves_nothing() {
        let mut low_water = LowWater::default();
        read(&mut low_water, 0, &[1, 2, 3]);
        list(&mut low_water, 1, &["a"]);
        low_water.saw_writers(seconds(2), None);
        read(&mut low_water, 3, &[]);
        assert_eq!(low_water.mark(), START);
        low_water.cannot_see_writers(seconds(4));
        assert!(!low_water.wants_writers(seconds(63), STRIDE));
        assert!(low_water.wants_writers(seconds(64), STRIDE));
    }
}
