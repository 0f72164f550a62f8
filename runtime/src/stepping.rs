//! Driving a loop that is written as a state machine.

use std::time::{Duration, Instant};

use crate::lifecycle::{Failure, Shutdown};

/// A stop waits this long for what is half done. What is not done by then is undone, or done again,
/// at the next start.
pub const DRAIN: Duration = Duration::from_secs(15);

/// What a step says to its driver.
#[derive(Debug)]
pub enum Step {
    /// Call again.
    Continue,
    /// The loop can't go on.
    Stop(Failure),
}

/// A loop, step by step: the services drive it on a thread of its own, the simulator many of them on
/// one.
pub trait Stepping {
    /// Does the next thing, which is at most one call that can wait or fail.
    fn step(&mut self) -> Step;

    /// Whether stopping now leaves nothing half done that a little more time would finish.
    fn is_idle(&self) -> bool;
}

/// Steps until nothing is half done and either `is_complete` or a stop is asked for; for [`DRAIN`]
/// longer at most.
///
/// # Errors
/// The loop's own.
pub fn drive(
    mut task: impl Stepping,
    is_complete: impl Fn() -> bool,
    shutdown: &Shutdown,
) -> Result<(), Failure> {
    let mut stop_by = None;
    loop {
        if task.is_idle() && is_complete() {
            return Ok(());
        }
        if shutdown.is_requested() {
            let stop_by = *stop_by.get_or_insert_with(|| Instant::now() + DRAIN);
            if task.is_idle() || Instant::now() >= stop_by {
                return Ok(());
            }
        }
        if let Step::Stop(failure) = task.step() {
            return Err(failure);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Has something half done for so many steps.
    struct Countdown(u32);

    impl Stepping for Countdown {
        fn step(&mut self) -> Step {
            match self.0.checked_sub(1) {
                Some(left) => self.0 = left,
                None => return Step::Stop(Failure::failed("one step too many")),
            }
            Step::Continue
        }

        fn is_idle(&self) -> bool {
            self.0 == 0
        }
    }

    #[test]
    fn a_stop_waits_for_what_is_half_done_and_no_longer() {
        let shutdown = Shutdown::default();
        shutdown.request();
        assert!(drive(Countdown(3), || false, &shutdown).is_ok());
    }

    #[test]
    fn what_is_complete_ends_once_nothing_is_half_done() {
        assert!(drive(Countdown(3), || true, &Shutdown::default()).is_ok());
    }

    #[test]
    fn a_loop_that_cannot_go_on_says_why() {
        let ended = drive(Countdown(3), || false, &Shutdown::default());
        assert_eq!(ended.unwrap_err().to_string(), "one step too many");
    }
}
