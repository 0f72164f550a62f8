//! What a connection is doing, and until when its client must act.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long a client may take to send the head of its first request, and of a later request from its
/// first byte on.
pub(super) const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a client may neither read its response nor send anything.
pub(super) const UNREAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overdue {
    /// The client does not read.
    Unread,
    /// The head of a request did not arrive in time.
    Head,
    /// No further request arrived.
    Idle,
}

/// The state of one connection. Its stream and bodies report events; [`Activity::deadline`] derives
/// the next deadline.
#[derive(Debug)]
pub(super) struct Activity(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Requests whose responses are not complete.
    in_progress: usize,
    /// False until the first request.
    requested: bool,
    /// Whether it is HTTP/2, which exchanges frames between requests: a byte does not start a head.
    multiplexed: bool,
    /// When it was opened, or the last response was complete.
    idle_since: Instant,
    /// When the first byte after the last response arrived.
    head_since: Option<Instant>,
    /// Since when the kernel's buffer has been full and no byte has moved in either direction.
    unread_since: Option<Instant>,
}

impl Activity {
    pub(super) fn new(now: Instant) -> Self {
        Self(Mutex::new(State {
            in_progress: 0,
            requested: false,
            multiplexed: false,
            idle_since: now,
            head_since: None,
            unread_since: None,
        }))
    }

    pub(super) fn request_begins(&self, multiplexed: bool) {
        let mut state = self.lock();
        state.in_progress += 1;
        state.requested = true;
        state.multiplexed = multiplexed;
        state.head_since = None;
    }

    pub(super) fn response_ends(&self, now: Instant) {
        let mut state = self.lock();
        state.in_progress -= 1;
        state.idle_since = now;
    }

    pub(super) fn has_read(&self, now: Instant) {
        let mut state = self.lock();
        if state.in_progress == 0 && !state.multiplexed {
            state.head_since.get_or_insert(now);
        }
        if state.unread_since.is_some() {
            state.unread_since = Some(now);
        }
    }

    pub(super) fn has_written(&self) {
        self.lock().unread_since = None;
    }

    pub(super) fn waits_to_write(&self, now: Instant) {
        self.lock().unread_since.get_or_insert(now);
    }

    /// Returns until when the client must act, and why the connection is closed otherwise. `None` while
    /// the service has to act.
    pub(super) fn deadline(&self, idle: Duration) -> Option<(Instant, Overdue)> {
        let state = self.lock();
        let unread = state
            .unread_since
            .map(|since| (since + UNREAD_TIMEOUT, Overdue::Unread));
        let request = if state.in_progress > 0 {
            None
        } else if !state.requested {
            Some((state.idle_since + HEADER_TIMEOUT, Overdue::Head))
        } else if let Some(since) = state.head_since {
            Some((since + HEADER_TIMEOUT, Overdue::Head))
        } else {
            Some((state.idle_since + idle, Overdue::Idle))
        };
        unread.into_iter().chain(request).min_by_key(|next| next.0)
    }

    /// Returns whether the client did not read in time, so that unsent data can be discarded.
    pub(super) fn is_unread(&self, now: Instant) -> bool {
        let since = self.lock().unread_since;
        since.is_some_and(|since| now >= since + UNREAD_TIMEOUT)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(75);

    /// Returns a connection, and the moment at which it was opened.
    fn opened() -> (Activity, Instant) {
        let start = Instant::now();
        (Activity::new(start), start)
    }

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    /// Seconds from the start to the deadline.
    fn deadline(activity: &Activity, start: Instant) -> Option<(u64, Overdue)> {
        let (at, why) = activity.deadline(IDLE)?;
        Some(((at - start).as_secs(), why))
    }

    #[test]
    fn a_first_head_has_ten_seconds_and_a_further_one_ten_from_its_first_byte() {
        let (activity, start) = opened();
        assert_eq!(deadline(&activity, start), Some((10, Overdue::Head)));
        activity.has_read(after(start, 4));
        assert_eq!(deadline(&activity, start), Some((10, Overdue::Head)));
        activity.request_begins(false);
        assert_eq!(deadline(&activity, start), None);
        activity.response_ends(after(start, 5));
        assert_eq!(deadline(&activity, start), Some((80, Overdue::Idle)));
        activity.has_read(after(start, 75));
        assert_eq!(deadline(&activity, start), Some((85, Overdue::Head)));
        activity.has_read(after(start, 84));
        assert_eq!(deadline(&activity, start), Some((85, Overdue::Head)));
    }

    #[test]
    fn a_client_that_sends_may_read_later_and_one_that_does_neither_is_closed() {
        let (activity, start) = opened();
        activity.request_begins(false);
        activity.waits_to_write(start);
        activity.waits_to_write(after(start, 20));
        assert_eq!(deadline(&activity, start), Some((30, Overdue::Unread)));
        assert!(!activity.is_unread(after(start, 29)));
        activity.has_read(after(start, 29));
        assert_eq!(deadline(&activity, start), Some((59, Overdue::Unread)));
        assert!(activity.is_unread(after(start, 59)));
        activity.has_written();
        assert_eq!(deadline(&activity, start), None);
        assert!(!activity.is_unread(after(start, 100)));
    }

    #[test]
    fn http_2_frames_between_requests_start_no_head() {
        let (activity, start) = opened();
        activity.request_begins(true);
        activity.request_begins(true);
        activity.response_ends(start);
        assert_eq!(deadline(&activity, start), None);
        activity.response_ends(start);
        activity.has_read(after(start, 1));
        assert_eq!(deadline(&activity, start), Some((75, Overdue::Idle)));
    }
}
