//! At which rate a replay goes on, from how far it holds the live flow up: pure.
//!
//! Additive increase, multiplicative decrease, as TCP does: the rate grows while the live groups are as
//! quick as they are alone, stays when they are a little slower, and falls when they are held up. A
//! decision is made for each window of some hundred milliseconds. One window in which a group is held
//! up may be the broker's garbage collection, so the rate falls in the second one in a row.
//!
//! Delays of a few milliseconds announce that the rate is nearly too much, so the rate grows the less the
//! larger the delay is.
//!
//! Until a rate is found that is too much, the rate grows much faster, and so would be far beyond it
//! by the time that this is seen. So the first growth ends at a smaller delay, at once, and begins again
//! half as fast: a slow window that had another cause costs some seconds and not the rate.
//!
//! After a rate that was too much the replay stands nearly still until the queue that it has made is worked
//! off. A rate that is only lower leaves a queue for much longer, and every live order in it waits.

use std::time::Duration;

use crate::replay::pacing::millis;

/// The time between two decisions: at least one commit of each task of a busy group.
pub(super) const WINDOW: Duration = Duration::from_millis(300);

/// The least rate, in units of work a second: 5,000 records that are only read, or 500 that are
/// written. A replay always ends.
const LEAST: u64 = 5_000;

/// The first rate: 3,000 records that are written, a fraction of what a sink writes.
const FIRST: u64 = 30_000;

/// The largest rate, beyond what any machine reads.
const MOST: u64 = 1_000_000_000;

/// How much longer than alone a live record may wait.
const TOLERANCE: Duration = Duration::from_millis(25);

/// From this delay on the rate grows no more.
const CLOSE: Duration = Duration::from_millis(15);

/// From this delay on the rate is halved.
const FAR: Duration = Duration::from_millis(100);

/// At first a rate grows by this part of itself: tenfold in fifteen seconds. Until a delay is seen the rate has
/// grown two or three times more, and what is beyond the right rate by then becomes a queue.
const FIRST_STEP: u64 = 20;

/// A rate grows by this part of the last one that was too much, until it is near it.
const STEP: u64 = 64;

/// Near the last rate that was too much, a rate grows by this part of it: each time that it is too much
/// again holds live orders up, and one second in a hundred is already too often.
const STEP_NEAR_LIMIT: u64 = 640;

/// Windows in a row without any delay after which the rate grows faster: what was too much once is not
/// any more.
const WINDOWS_UNTIL_FAST: u32 = 200;

/// How long the replay stands nearly still at most. A delay that lasts for longer has another cause, or the
/// rate is still too much.
const MAX_SETTLING: Duration = Duration::from_secs(2);

/// What became of the rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// It has grown.
    Grew,
    /// It is as it was.
    Kept,
    /// It is lower, because a live group was held up.
    GaveWay,
}

/// How a rate grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Growth {
    /// By one part of so many of itself: it is not known yet what is too much. So it is after a
    /// standstill, in which even the least rate was.
    First { parts: u64 },
    /// By a little of itself: what was too much has not been for long.
    Again,
    /// By a small part of the last rate that was too much, and by less near it.
    Careful,
}

/// Decides the rate.
#[derive(Debug)]
pub(super) struct RateController {
    rate: u64,
    growth: Growth,
    /// The last rate that was too much.
    limit: u64,
    /// Windows in a row without any delay.
    quick: u32,
    /// Whether a group was held up in the last window.
    was_held_up: bool,
    /// Until when the queue that a higher rate has left is worked off at most. Delays are still those of that
    /// rate.
    settling_until: Option<Duration>,
}

impl RateController {
    /// Begins with a low rate.
    pub(super) const fn new() -> Self {
        Self {
            rate: FIRST,
            growth: Growth::First { parts: FIRST_STEP },
            limit: FIRST,
            quick: 0,
            was_held_up: false,
            settling_until: None,
        }
    }

    /// Returns the rate, in units of work a second.
    pub(super) const fn rate(&self) -> u64 {
        match self.settling_until {
            Some(_) => LEAST,
            None => self.rate,
        }
    }

    /// Returns whether such a delay is more than a live record may have.
    pub(super) fn is_held_up(&self, delay: Duration) -> bool {
        match self.growth {
            Growth::First { .. } => delay > CLOSE,
            Growth::Again | Growth::Careful => delay > TOLERANCE,
        }
    }

    /// Decides at the end of a window, at `now`. `used` is the work a second that was done in it;
    /// `delay` is how much longer than alone the records of the slowest live group waited, none when
    /// that is not known.
    pub(super) fn decide(&mut self, now: Duration, used: u64, delay: Option<Duration>) -> Decision {
        if let Some(until) = self.settling_until {
            if delay.is_some_and(|delay| delay <= CLOSE) || now >= until {
                self.settling_until = None;
                self.was_held_up = false;
            }
            return Decision::Kept;
        }
        let Some(delay) = delay else {
            return Decision::Kept;
        };
        if self.is_held_up(delay) {
            self.quick = 0;
            let again = std::mem::replace(&mut self.was_held_up, true);
            if !(again || self.growth != Growth::Careful) {
                return Decision::Kept;
            }
            self.give_way(now, used, delay);
            return Decision::GaveWay;
        }
        self.was_held_up = false;
        if delay > CLOSE {
            self.quick = 0;
            return Decision::Kept;
        }
        // A rate that the replay does not use is not known to be harmless.
        if used < self.rate / 2 {
            return Decision::Kept;
        }
        self.quick += 1;
        if self.quick >= WINDOWS_UNTIL_FAST && self.growth == Growth::Careful {
            self.growth = Growth::Again;
        }
        let growth = match self.growth {
            Growth::First { parts } => self.rate / parts,
            Growth::Again => self.rate / STEP,
            Growth::Careful if self.rate < self.limit / 100 * 85 => self.limit / STEP,
            Growth::Careful => self.limit / STEP_NEAR_LIMIT,
        };
        self.rate = (self.rate + slowed_down(growth, delay)).min(MOST);
        Decision::Grew
    }

    fn give_way(&mut self, now: Duration, used: u64, delay: Duration) {
        let too_much = self.rate.min(used.max(LEAST));
        let tenths = if delay > FAR { 5 } else { 7 };
        self.rate = (too_much * tenths / 10).max(LEAST);
        self.limit = too_much;
        self.growth = match self.growth {
            _ if self.rate == LEAST => Growth::First { parts: FIRST_STEP },
            Growth::First { parts } if parts < STEP / 2 => Growth::First { parts: parts * 2 },
            _ => Growth::Careful,
        };
        self.settling_until = Some(now + MAX_SETTLING);
    }
}

/// Returns the part of `growth` that is left at this delay: all of it without any, nothing at [`CLOSE`].
fn slowed_down(growth: u64, delay: Duration) -> u64 {
    let room = CLOSE.saturating_sub(delay);
    growth * millis(room) / millis(CLOSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A live flow behind which the replay's work waits in one queue.
    struct Flow {
        now: Duration,
        /// Work that waits.
        queue: u64,
        controller: RateController,
    }

    impl Flow {
        fn new() -> Self {
            Self {
                now: Duration::ZERO,
                queue: 0,
                controller: RateController::new(),
            }
        }

        /// Runs the flow for so many windows, with a queue that is worked off at `capacity` a second.
        /// Returns the rate and the delay in milliseconds of each window.
        fn run(&mut self, windows: u32, capacity: u64) -> Vec<(u64, u64)> {
            let of_window = |rate: u64| rate * 3 / 10;
            let mut ran = Vec::new();
            for _ in 0..windows {
                self.now += WINDOW;
                let rate = self.controller.rate();
                self.queue = (self.queue + of_window(rate)).saturating_sub(of_window(capacity));
                let delay = self.queue * 1_000 / capacity;
                self.controller
                    .decide(self.now, rate, Some(Duration::from_millis(delay)));
                ran.push((rate, delay));
            }
            ran
        }
    }

    #[test]
    fn the_rate_converges_to_what_the_flow_bears() {
        for capacity in [8_000, 60_000, 500_000, 3_000_000] {
            let mut flow = Flow::new();
            flow.run(150, capacity);
            let ran = flow.run(200, capacity);
            let mean = ran.iter().map(|(rate, _)| rate).sum::<u64>() / 200;
            assert!(
                mean > capacity * 8 / 10 && mean <= capacity,
                "{capacity}: {mean}"
            );
            let most = ran.iter().map(|(_, delay)| *delay).max().unwrap();
            assert!(most < 70, "{capacity}: {most} ms");
            let late = ran.iter().filter(|(_, delay)| *delay > 50).count();
            assert!(late <= 10, "{capacity}: {late} of 200 windows");
        }
    }

    #[test]
    fn the_first_half_minute_finds_a_high_rate_without_a_long_delay() {
        for capacity in [50_000, 500_000, 3_000_000] {
            let ran = Flow::new().run(100, capacity);
            let high = capacity * 7 / 10;
            assert!(ran.iter().any(|(rate, _)| *rate > high), "{ran:?}");
            assert!(ran.iter().all(|(_, delay)| *delay < 50), "{ran:?}");
        }
    }

    #[test]
    fn small_delays_slow_the_growth_down() {
        let grown = |delay| {
            let mut controller = RateController::new();
            let rate = controller.rate();
            controller.decide(WINDOW, rate, Some(Duration::from_millis(delay)));
            controller.rate() - rate
        };
        assert_eq!(grown(0), FIRST / FIRST_STEP);
        assert_eq!(grown(5), FIRST / FIRST_STEP * 2 / 3);
        assert_eq!(grown(15), 0);
    }

    #[test]
    fn a_slow_window_at_the_beginning_costs_seconds_and_not_the_rate() {
        let mut flow = Flow::new();
        flow.run(10, 500_000);
        let controller = &mut flow.controller;
        let slow = Duration::from_millis(80);
        let decision = controller.decide(flow.now + WINDOW, controller.rate(), Some(slow));
        assert_eq!(decision, Decision::GaveWay);
        let ran = flow.run(100, 500_000);
        assert!(ran.iter().any(|(rate, _)| *rate > 350_000), "{ran:?}");
    }

    #[test]
    fn the_rate_falls_to_the_least_and_no_lower_while_the_flow_stands() {
        let mut flow = Flow::new();
        flow.run(60, 500_000);
        let ran = flow.run(100, 1_000);
        assert_eq!(ran.last().unwrap().0, LEAST);
        assert!(ran.iter().all(|(rate, _)| *rate >= LEAST));
    }

    #[test]
    fn the_rate_recovers_within_a_minute() {
        let mut flow = Flow::new();
        flow.run(60, 500_000);
        flow.run(100, 1_000);
        let ran = flow.run(200, 500_000);
        assert!(ran.iter().any(|(rate, _)| *rate > 350_000), "{ran:?}");
    }

    #[test]
    fn live_orders_are_seldom_held_up_although_their_lag_is_seen_late() {
        const CAPACITY: u64 = 500_000;
        let of_window = |rate: u64| rate * 3 / 10;
        let mut controller = RateController::new();
        let (mut now, mut queue, mut late) = (Duration::ZERO, 0, 0);
        let mut delays = [0; 4];
        for window in 0..2_000 {
            now += WINDOW;
            let rate = controller.rate();
            queue = (queue + of_window(rate)).saturating_sub(of_window(CAPACITY));
            delays.rotate_right(1);
            delays[0] = queue * 1_000 / CAPACITY;
            let seen = Duration::from_millis(delays[3]);
            controller.decide(now, rate, Some(seen));
            late += u32::from(window > 100 && delays[0] > 50);
        }
        assert!(late <= 19, "{late} of 1,900 windows");
    }

    #[test]
    fn a_single_slow_window_changes_nothing_once_the_rate_is_found() {
        let mut flow = Flow::new();
        flow.run(100, 60_000);
        let controller = &mut flow.controller;
        assert_eq!(controller.settling_until, None);
        let mut decide = |windows: u32, delay: u64| {
            let (now, used) = (flow.now + windows * WINDOW, controller.rate());
            controller.decide(now, used, Some(Duration::from_millis(delay)))
        };
        decide(10, 0);
        assert_eq!(decide(11, 90), Decision::Kept);
        assert_eq!(decide(12, 0), Decision::Grew);
        assert_eq!(decide(13, 20), Decision::Kept, "close to the bound");
        assert_eq!(decide(14, 90), Decision::Kept);
        assert_eq!(decide(15, 90), Decision::GaveWay);
    }

    #[test]
    fn nothing_changes_while_nothing_is_known_or_the_rate_is_not_used() {
        let mut controller = RateController::new();
        let rate = controller.rate();
        assert_eq!(controller.decide(WINDOW, rate, None), Decision::Kept);
        let quick = Some(Duration::ZERO);
        assert_eq!(controller.decide(WINDOW, rate / 3, quick), Decision::Kept);
        assert_eq!(controller.rate(), rate);
        assert_eq!(controller.decide(WINDOW, rate, quick), Decision::Grew);
    }
}
