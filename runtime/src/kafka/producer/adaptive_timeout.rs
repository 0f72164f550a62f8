//! A timeout that adapts to the cluster: short while calls return, longer after one did not.
//!
//! A call that hangs in the client library should be abandoned soon, and a call to a slow coordinator
//! should not be abandoned at all. Both look alike until they return. So the timeout doubles with each
//! call that it was too short for, and goes back when a call of that kind has succeeded within the
//! first timeout. A success that took longer than that keeps it: otherwise the next call that is as
//! slow would be abandoned. (TCP's retransmission timer treats its backoff in the same way, RFC 6298.)

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::call::CallKind;
use super::limits::{FIRST_ABANDON_TIMEOUT, MAX_ABANDON_TIMEOUT};

/// How long a call of one owner's producers may take before it is abandoned. Clones share the state,
/// so that new producers begin with what their predecessors needed.
#[derive(Debug, Clone)]
pub(super) struct AdaptiveTimeout {
    first: Duration,
    max: Duration,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    current: Duration,
    /// The kind of the last call that took too long.
    exceeded_by: Option<CallKind>,
}

impl AdaptiveTimeout {
    /// Returns the timeout of an owner that builds a new producer after an abandoned call: from
    /// [`FIRST_ABANDON_TIMEOUT`] to [`MAX_ABANDON_TIMEOUT`].
    pub(super) fn doubling() -> Self {
        Self::new(FIRST_ABANDON_TIMEOUT, MAX_ABANDON_TIMEOUT)
    }

    /// Returns the timeout of a producer without a successor, which has one attempt: always
    /// [`MAX_ABANDON_TIMEOUT`].
    pub(super) fn longest() -> Self {
        Self::new(MAX_ABANDON_TIMEOUT, MAX_ABANDON_TIMEOUT)
    }

    fn new(first: Duration, max: Duration) -> Self {
        let state = State {
            current: first,
            exceeded_by: None,
        };
        Self {
            first,
            max,
            state: Arc::new(Mutex::new(state)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the timeout of a call that begins now.
    pub(super) fn current(&self) -> Duration {
        self.lock().current
    }

    /// Doubles the timeout, up to the longest, after a call that it was too short for.
    pub(super) fn note_exceeded(&self, kind: CallKind) {
        let mut state = self.lock();
        state.current = (state.current * 2).min(self.max);
        state.exceeded_by = Some(kind);
    }

    /// Goes back to the first timeout if `kind` is what exceeded it, and the call was fast enough for
    /// it. A call of another kind is no evidence: a takeover can be fast where adding offsets is slow.
    pub(super) fn note_success(&self, kind: CallKind, took: Duration) {
        let mut state = self.lock();
        if state.exceeded_by == Some(kind) && took < self.first {
            state.current = self.first;
            state.exceeded_by = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::transaction::Stage;
    use super::*;

    const SEND_OFFSETS: CallKind = CallKind::End(Stage::SendingOffsets);
    const FAST: Duration = Duration::from_millis(20);

    #[test]
    fn the_timeout_doubles_up_to_the_longest() {
        let timeout = AdaptiveTimeout::doubling();
        let mut timeouts = Vec::new();
        for _ in 0..5 {
            timeouts.push(timeout.current().as_secs());
            timeout.note_exceeded(SEND_OFFSETS);
        }
        assert_eq!(timeouts, [3, 6, 12, 12, 12]);
    }

    #[test]
    fn a_fast_success_of_the_same_kind_ends_the_backoff() {
        let timeout = AdaptiveTimeout::doubling();
        timeout.note_exceeded(SEND_OFFSETS);
        timeout.note_exceeded(SEND_OFFSETS);
        timeout.note_success(SEND_OFFSETS, FAST);
        assert_eq!(timeout.current(), FIRST_ABANDON_TIMEOUT);
        timeout.note_exceeded(SEND_OFFSETS);
        assert_eq!(timeout.current(), FIRST_ABANDON_TIMEOUT * 2);
    }

    #[test]
    fn a_success_that_the_first_timeout_would_have_ended_keeps_the_longer_one() {
        let timeout = AdaptiveTimeout::doubling();
        timeout.note_exceeded(SEND_OFFSETS);
        timeout.note_success(SEND_OFFSETS, FIRST_ABANDON_TIMEOUT);
        assert_eq!(timeout.current(), FIRST_ABANDON_TIMEOUT * 2);
    }

    #[test]
    fn a_success_of_another_kind_keeps_the_longer_timeout() {
        let timeout = AdaptiveTimeout::doubling();
        timeout.note_exceeded(SEND_OFFSETS);
        for kind in [CallKind::Init, CallKind::End(Stage::Committing)] {
            timeout.note_success(kind, FAST);
        }
        assert_eq!(timeout.current(), FIRST_ABANDON_TIMEOUT * 2);
    }

    #[test]
    fn the_producers_of_one_owner_share_the_timeout() {
        let timeout = AdaptiveTimeout::doubling();
        timeout.clone().note_exceeded(SEND_OFFSETS);
        assert_eq!(timeout.current(), FIRST_ABANDON_TIMEOUT * 2);
    }

    #[test]
    fn the_longest_timeout_stays() {
        let timeout = AdaptiveTimeout::longest();
        timeout.note_exceeded(SEND_OFFSETS);
        assert_eq!(timeout.current(), MAX_ABANDON_TIMEOUT);
        timeout.note_success(SEND_OFFSETS, FAST);
        assert_eq!(timeout.current(), MAX_ABANDON_TIMEOUT);
    }
}
