//! Waiting for a condition, with a deadline that names what was missing.

use std::fmt::Debug;
use std::future::Future;
use std::time::{Duration, Instant};

/// Long enough for a slow machine; a test that waits this long has failed.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Waits until `done` accepts the result of `state`, and returns that result.
///
/// # Panics
/// After [`DEADLINE`], with `what` and the last result.
pub async fn until<T, F, S, D>(what: &str, state: S, done: D) -> T
where
    T: Debug,
    F: Future<Output = T>,
    S: FnMut() -> F,
    D: FnMut(&T) -> bool,
{
    until_within(DEADLINE, what, state, done).await
}

/// Waits as [`until`] does, with another deadline.
///
/// # Panics
/// After `deadline`, with `what` and the last result.
pub async fn until_within<T, F, S, D>(
    deadline: Duration,
    what: &str,
    mut state: S,
    mut done: D,
) -> T
where
    T: Debug,
    F: Future<Output = T>,
    S: FnMut() -> F,
    D: FnMut(&T) -> bool,
{
    let end = Instant::now() + deadline;
    loop {
        let result = state().await;
        if done(&result) {
            return result;
        }
        assert!(
            Instant::now() < end,
            "waited {deadline:?} for {what}; it was {result:?}"
        );
        // Only a polling interval: the condition decides.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Returns whether `condition` becomes true within `time`. For faults at a chosen moment, where
/// either result is fine.
pub async fn happens_within(time: Duration, condition: impl Fn() -> bool) -> bool {
    let end = Instant::now() + time;
    while Instant::now() < end {
        if condition() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    condition()
}
