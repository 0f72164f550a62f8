//! Driving a loop that is written as a state machine.

use std::time::{Duration, Instant};

use crate::lifecycle::{Failure, Shutdown};

/// How long a stop waits for work that is half done. Work that takes longer is undone, or done again, at
/// the next start.
pub const DRAIN: Duration = Duration::from_secs(15);

/// A loop as a state machine. The services drive each on a thread of its own; tests and the simulator
/// drive many of them on one.
pub trait StateMachine {
    /// Where the loop is. It begins in the default state.
    type State: Default;

    /// Does the work of `state`, which is at most one call that can wait or fail. Returns the next
    /// state.
    ///
    /// # Errors
    /// Why the loop cannot go on.
    fn step(&mut self, state: Self::State) -> Result<Self::State, Failure>;

    /// Returns whether a stop in `state` leaves nothing half done that a little more time would
    /// finish.
    fn is_idle(&self, state: &Self::State) -> bool;

    /// Releases what other instances wait for, such as a lock. The next step would begin in the default
    /// state.
    fn release(&mut self) {}
}

/// A state machine, and the state that it is in.
#[derive(Debug)]
pub struct Driver<M: StateMachine> {
    /// The machine.
    pub machine: M,
    /// The state of its next step.
    pub state: M::State,
}

impl<M: StateMachine> Driver<M> {
    /// Begins in the default state.
    pub fn new(machine: M) -> Self {
        Self {
            machine,
            state: M::State::default(),
        }
    }

    /// Takes one step.
    ///
    /// # Errors
    /// The machine's own.
    pub fn step(&mut self) -> Result<(), Failure> {
        self.state = self.machine.step(std::mem::take(&mut self.state))?;
        Ok(())
    }

    /// See [`StateMachine::is_idle`].
    pub fn is_idle(&self) -> bool {
        self.machine.is_idle(&self.state)
    }

    /// Stops where it is: releases what other instances wait for, and begins anew at the next step.
    pub fn stop(&mut self) {
        self.machine.release();
        self.state = M::State::default();
    }
}

/// Steps until nothing is half done and either `is_complete` or a stop is requested, but for no longer
/// than [`DRAIN`] after that request.
///
/// # Errors
/// The machine's own.
pub fn drive(
    machine: impl StateMachine,
    is_complete: impl Fn() -> bool,
    shutdown: &Shutdown,
) -> Result<(), Failure> {
    let mut driver = Driver::new(machine);
    let ended = step_until_stopped(&mut driver, is_complete, shutdown);
    driver.stop();
    ended
}

fn step_until_stopped(
    driver: &mut Driver<impl StateMachine>,
    is_complete: impl Fn() -> bool,
    shutdown: &Shutdown,
) -> Result<(), Failure> {
    let mut stop_by = None;
    loop {
        if driver.is_idle() && is_complete() {
            return Ok(());
        }
        if shutdown.is_requested() {
            let stop_by = *stop_by.get_or_insert_with(|| Instant::now() + DRAIN);
            if driver.is_idle() || Instant::now() >= stop_by {
                return Ok(());
            }
        }
        driver.step()?;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;

    /// Has work that takes three steps, and fails at one more.
    #[derive(Default)]
    struct Countdown {
        released: Rc<Cell<bool>>,
    }

    #[derive(Debug)]
    struct Left(u32);

    impl Default for Left {
        fn default() -> Self {
            Self(3)
        }
    }

    impl StateMachine for Countdown {
        type State = Left;

        fn step(&mut self, Left(steps): Left) -> Result<Left, Failure> {
            let left = steps.checked_sub(1);
            left.map(Left)
                .ok_or_else(|| Failure::failed("one step too many"))
        }

        fn is_idle(&self, Left(steps): &Left) -> bool {
            *steps == 0
        }

        fn release(&mut self) {
            self.released.set(true);
        }
    }

    #[test]
    fn a_stop_waits_for_what_is_half_done_and_no_longer() {
        let shutdown = Shutdown::default();
        shutdown.request();
        assert!(drive(Countdown::default(), || false, &shutdown).is_ok());
    }

    #[test]
    fn a_complete_loop_ends_once_nothing_is_half_done() {
        assert!(drive(Countdown::default(), || true, &Shutdown::default()).is_ok());
    }

    #[test]
    fn a_loop_that_cannot_go_on_says_why_and_releases_what_it_holds() {
        let countdown = Countdown::default();
        let released = Rc::clone(&countdown.released);
        let ended = drive(countdown, || false, &Shutdown::default());
        assert_eq!(ended.unwrap_err().to_string(), "one step too many");
        assert!(released.get());
    }
}
