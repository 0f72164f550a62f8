//! Driving a loop that is written as a state machine.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::lifecycle::{Failure, Shutdown};

/// How long a stop waits for work that is half done. Work that takes longer is undone, or done again, at
/// the next start.
pub const DRAIN: Duration = Duration::from_secs(15);

/// How long a loop that has stopped waits for those that stop with it. Longer than the longest poll of a loop.
const STOP_TOGETHER: Duration = Duration::from_millis(300);

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

/// Loops that stop at the same moment. Members that leave a consumer group one after the other cost it a
/// rebalance each, and a client asks to join only once a second.
#[derive(Debug)]
pub struct StopTogether {
    running: Mutex<usize>,
    stopped: Condvar,
}

impl StopTogether {
    /// Expects so many loops.
    pub const fn new(loops: usize) -> Self {
        Self {
            running: Mutex::new(loops),
            stopped: Condvar::new(),
        }
    }

    /// Waits until all loops have called this, or for a short time: another loop may have more to finish.
    pub fn wait(&self) {
        let running = self.note_stopped();
        let others = |running: &mut usize| *running > 0;
        // Whether all have stopped or not, this one goes on.
        drop(
            self.stopped
                .wait_timeout_while(running, STOP_TOGETHER, others),
        );
    }

    /// Notes that this loop has stopped, without waiting for the others.
    fn note_stopped(&self) -> MutexGuard<'_, usize> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        *running = running.saturating_sub(1);
        self.stopped.notify_all();
        running
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
    drive_with(machine, is_complete, shutdown, &StopTogether::new(1))
}

/// Steps like [`drive`], and stops at the same moment as the other loops.
///
/// # Errors
/// The machine's own.
pub fn drive_with(
    machine: impl StateMachine,
    is_complete: impl Fn() -> bool,
    shutdown: &Shutdown,
    together: &StopTogether,
) -> Result<(), Failure> {
    let mut driver = Driver::new(machine);
    let ended = step_until_stopped(&mut driver, is_complete, shutdown);
    match ended {
        Ok(()) => together.wait(),
        // The others do not know yet that they will be stopped.
        Err(_) => drop(together.note_stopped()),
    }
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
    fn loops_that_stop_together_wait_for_each_other_but_not_for_long() {
        let together = StopTogether::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| together.wait());
            together.wait();
        });
        assert_eq!(*together.running.lock().unwrap(), 0);
        let alone = StopTogether::new(2);
        let began = Instant::now();
        alone.wait();
        assert!(began.elapsed() >= STOP_TOGETHER);
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
