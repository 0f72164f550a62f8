//! A thread that makes a producer's blocking calls, so that its owner never waits longer than it wants.
//!
//! Some transactional calls of librdkafka (2.12) do not keep to their timeout: adding offsets to a
//! transaction waits for the group's coordinator for as long as that is away, and a coordinator that
//! moved stays in the client's cache (confluentinc/librdkafka#5456, #5511).
//!
//! So the owner hands a call over and waits for its result as long as it likes. The call goes on
//! meanwhile, and the same call made again waits for the same result. A call that has not returned at
//! its deadline is *abandoned*, and the producer with it: the thread keeps the client, and destroys it
//! whenever the call returns.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use metrics::counter;

use super::adaptive_timeout::AdaptiveTimeout;
use super::call::{AbandonedCalls, Call, CallKind};
use super::client::Client;
use super::limits::{CLOSE_TIMEOUT, RETURN_MARGIN};
use super::transaction::{GroupOffsets, Stage, TransactionError, Unfinished};
use crate::duration::human_duration;
use crate::metrics as names;

/// Calls to make one after the other, until one fails.
struct Job {
    calls: VecDeque<Call>,
    timeout: Duration,
}

/// The call that the thread is making, or is about to make.
#[derive(Debug, Clone, Copy)]
struct RunningCall {
    kind: CallKind,
    started: Instant,
    deadline: Instant,
}

impl RunningCall {
    fn start(kind: CallKind, timeout: Duration) -> Self {
        let started = Instant::now();
        Self {
            kind,
            started,
            deadline: started + timeout + RETURN_MARGIN,
        }
    }

    /// Returns whether the call has lasted at least as long as the timeout that it was made with.
    fn has_timed_out(&self, now: Instant) -> bool {
        now + RETURN_MARGIN >= self.deadline
    }

    fn not_returned(&self) -> TransactionError {
        TransactionError::Retriable(format!(
            "{} has not returned for {}",
            self.kind.as_str(),
            human_duration(self.started.elapsed())
        ))
    }
}

/// The result of a job's last call.
struct CallResult {
    kind: CallKind,
    result: Result<(), TransactionError>,
}

/// What the owner and the thread share.
#[derive(Default)]
struct State {
    /// The job that the thread has not taken yet.
    job: Option<Job>,
    running: Option<RunningCall>,
    result: Option<CallResult>,
    /// The thread stops after the running call, and the owner makes the others one by one.
    stops_after_call: bool,
    /// Why the running call was abandoned.
    abandoned: Option<String>,
    /// The owner was dropped.
    is_closed: bool,
    /// The client was destroyed.
    is_destroyed: bool,
}

struct Shared {
    transactional_id: String,
    abandoned_calls: AbandonedCalls,
    abandon_timeout: AdaptiveTimeout,
    state: Mutex<State>,
    job_added: Condvar,
    /// Signals a result, and the destruction of the client.
    result_added: Condvar,
}

/// What waiting for a result has brought.
enum Waited<'a> {
    Result(MutexGuard<'a, State>, CallResult),
    Running(MutexGuard<'a, State>, RunningCall),
    Abandoned(TransactionError),
}

/// The owner's handle of the thread.
pub(super) struct CallThread {
    shared: Arc<Shared>,
}

impl CallThread {
    /// Starts the thread for the calls of `client`.
    ///
    /// # Errors
    /// When the system does not provide another thread.
    pub(super) fn start(
        client: Arc<Client>,
        transactional_id: String,
        abandoned_calls: AbandonedCalls,
        abandon_timeout: AdaptiveTimeout,
    ) -> std::io::Result<Self> {
        // A rate needs the counter to exist before the first event.
        counter!(names::KAFKA_CALLS_GIVEN_UP, "transactional_id" => transactional_id.clone())
            .increment(0);
        let shared = Arc::new(Shared {
            transactional_id,
            abandoned_calls,
            abandon_timeout,
            state: Mutex::default(),
            job_added: Condvar::new(),
            result_added: Condvar::new(),
        });
        let of_thread = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("kafka-calls".to_owned())
            .spawn(move || {
                of_thread.run(&client);
                // The last reference: destroying the client can block too.
                drop(client);
                of_thread.lock().is_destroyed = true;
                of_thread.result_added.notify_one();
            })?;
        Ok(Self { shared })
    }

    /// Returns whether a call is running, or its result was not taken yet.
    pub(super) fn is_busy(&self) -> bool {
        let state = self.shared.lock();
        state.running.is_some() || state.result.is_some()
    }

    /// Returns the error of every call once one was abandoned.
    pub(super) fn failure(&self) -> Option<TransactionError> {
        let state = self.shared.lock();
        state.abandoned.clone().map(TransactionError::Fatal)
    }

    /// Makes a call and waits for its result up to `timeout`. After that the call goes on: made again,
    /// it waits for the same result. Any other call first waits until it has returned.
    ///
    /// # Errors
    /// The call's; [`TransactionError::Retriable`] while it has not returned;
    /// [`TransactionError::Fatal`] once it was abandoned.
    pub(super) fn call(&self, call: Call, timeout: Duration) -> Result<(), TransactionError> {
        let until = Instant::now() + timeout;
        let mut state = self.shared.lock();
        if state.abandoned.is_some() || state.running.is_some() || state.result.is_some() {
            let earlier;
            (state, earlier) = self.shared.result_by(state, until)?;
            match earlier.result {
                // Made again below.
                Err(TransactionError::Retriable(_)) => {}
                Err(error @ (TransactionError::Fatal(_) | TransactionError::Fenced(_))) => {
                    return Err(error);
                }
                result if earlier.kind == call.kind() => return result,
                // Another call, whose owner no longer waits for it.
                Ok(()) | Err(TransactionError::Abortable(_)) => {}
            }
        }
        self.shared
            .hand_over(state, VecDeque::from([call]), timeout);
        let (_state, done) = self.shared.result_by(self.shared.lock(), until)?;
        done.result
    }

    /// Starts to end the transaction: sends the offsets, waits for the acknowledgements, commits.
    /// Nothing else uses the client until [`poll_finish`](Self::poll_finish) has returned the result.
    pub(super) fn start_finish(&self, offsets: GroupOffsets) {
        let calls = VecDeque::from([Call::SendOffsets(offsets), Call::Drain, Call::Commit]);
        let mut state = self.shared.lock();
        debug_assert!(state.running.is_none(), "one call at a time");
        state.result = None;
        self.shared.hand_over(state, calls, Duration::ZERO);
    }

    /// Returns the result of these calls, waiting for it up to `timeout`. A call that takes longer
    /// than `call_timeout` makes it [`TransactionError::Retriable`]: from there on the owner makes the
    /// calls one by one.
    pub(super) fn poll_finish(
        &self,
        timeout: Duration,
        call_timeout: Duration,
    ) -> Option<Result<(), Unfinished>> {
        let state = self.shared.lock();
        let unfinished = |stage, error| Some(Err(Unfinished { stage, error }));
        match self.shared.wait(state, Instant::now() + timeout) {
            Waited::Result(_state, CallResult { kind, result }) => match (result, kind) {
                (Ok(()), _) => Some(Ok(())),
                (Err(error), CallKind::End(stage)) => unfinished(stage, error),
                (Err(error), _) => unfinished(Stage::Committing, error),
            },
            Waited::Abandoned(error) => unfinished(Stage::Committing, error),
            Waited::Running(mut state, running) => {
                let CallKind::End(stage) = running.kind else {
                    return None;
                };
                if running.started.elapsed() < call_timeout {
                    return None;
                }
                state.stops_after_call = true;
                unfinished(stage, running.not_returned())
            }
        }
    }
}

impl Drop for CallThread {
    /// Waits until an idle client is destroyed, before its successor or the end of the process. Does
    /// not wait for a running call.
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.is_closed = true;
        self.shared.job_added.notify_one();
        if state.running.is_some() && state.abandoned.is_none() {
            // Counted until it returns.
            self.shared.abandoned_calls.add();
            state.abandoned = Some("the producer was dropped".to_owned());
        }
        if state.running.is_none() {
            let waited =
                self.shared
                    .result_added
                    .wait_timeout_while(state, CLOSE_TIMEOUT, |state| !state.is_destroyed);
            drop(waited);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands calls to the thread. `timeout` is how long the caller waits; each call is made with the
    /// longer of this and what the adaptive timeout gives it.
    ///
    /// The thread is woken after `state` is unlocked. On busy cores it may take the caller's turn as soon as
    /// it is woken, and would then wait for a lock whose holder waits for a core.
    fn hand_over(
        &self,
        mut state: MutexGuard<'_, State>,
        calls: VecDeque<Call>,
        timeout: Duration,
    ) {
        let adapted = self.abandon_timeout.current();
        let timeout = timeout.max(adapted.saturating_sub(RETURN_MARGIN));
        state.running = calls
            .front()
            .map(|call| RunningCall::start(call.kind(), timeout));
        state.stops_after_call = false;
        state.job = Some(Job { calls, timeout });
        drop(state);
        self.job_added.notify_one();
    }

    fn result_by<'a>(
        &'a self,
        state: MutexGuard<'a, State>,
        until: Instant,
    ) -> Result<(MutexGuard<'a, State>, CallResult), TransactionError> {
        match self.wait(state, until) {
            Waited::Result(state, result) => Ok((state, result)),
            Waited::Running(_, running) => Err(running.not_returned()),
            Waited::Abandoned(error) => Err(error),
        }
    }

    fn wait<'a>(&'a self, mut state: MutexGuard<'a, State>, until: Instant) -> Waited<'a> {
        loop {
            if let Some(why) = &state.abandoned {
                return Waited::Abandoned(TransactionError::Fatal(why.clone()));
            }
            if let Some(result) = state.result.take() {
                return Waited::Result(state, result);
            }
            let Some(running) = state.running else {
                let why = "no call is running".to_owned();
                return Waited::Abandoned(TransactionError::Fatal(why));
            };
            let now = Instant::now();
            if now >= running.deadline {
                return Waited::Abandoned(self.abandon(&mut state, running));
            }
            if now >= until {
                return Waited::Running(state, running);
            }
            let time = until.min(running.deadline) - now;
            let waited = self.result_added.wait_timeout(state, time);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn abandon(&self, state: &mut State, running: RunningCall) -> TransactionError {
        let id = &self.transactional_id;
        let took = human_duration(running.started.elapsed());
        let call = running.kind.as_str();
        tracing::error!(
            transactional_id = id,
            call,
            abandoned = self.abandoned_calls.count() + 1,
            "a call of Kafka's client library has not returned for {took}; its producer is replaced"
        );
        counter!(names::KAFKA_CALLS_GIVEN_UP, "transactional_id" => id.clone()).increment(1);
        self.abandoned_calls.add();
        self.abandon_timeout.note_exceeded(running.kind);
        let why = format!("{call} of {id} has not returned for {took} and is abandoned");
        state.abandoned = Some(why.clone());
        TransactionError::Fatal(why)
    }

    /// Makes calls, on the thread, until the owner is dropped.
    fn run(&self, client: &Client) {
        while let Some(Job { mut calls, timeout }) = self.next_job() {
            while let Some(call) = calls.pop_front() {
                let result = call.make(client, timeout);
                let next = calls
                    .front()
                    .map(|next| RunningCall::start(next.kind(), timeout));
                if !self.publish(call.kind(), result, next) {
                    break;
                }
            }
        }
    }

    fn next_job(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if state.is_closed {
                if state.job.take().is_some() && state.abandoned.is_some() {
                    // It was counted when the owner was dropped, and is never made.
                    self.abandoned_calls.remove();
                }
                return None;
            }
            if let Some(job) = state.job.take() {
                return Some(job);
            }
            let waited = self.job_added.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Publishes the result of a call, unless `next` follows. Returns whether to make that one.
    fn publish(
        &self,
        kind: CallKind,
        result: Result<(), TransactionError>,
        next: Option<RunningCall>,
    ) -> bool {
        let mut state = self.lock();
        if state.abandoned.is_some() {
            self.abandoned_calls.remove();
            tracing::info!(
                transactional_id = self.transactional_id,
                call = kind.as_str(),
                "an abandoned call has returned"
            );
            return false;
        }
        if let Some(running) = state.running {
            self.adapt_timeout(running, &result);
        }
        if result.is_ok() && next.is_some() && !state.stops_after_call && !state.is_closed {
            state.running = next;
            return true;
        }
        state.running = None;
        state.result = Some(CallResult { kind, result });
        drop(state);
        self.result_added.notify_one();
        false
    }

    /// Adapts the timeout of later calls to one that has returned.
    fn adapt_timeout(&self, call: RunningCall, result: &Result<(), TransactionError>) {
        let now = Instant::now();
        match result {
            Ok(()) => self
                .abandon_timeout
                .note_success(call.kind, now - call.started),
            Err(_) if call.has_timed_out(now) && !call.kind.resumes() => {
                self.abandon_timeout.note_exceeded(call.kind);
            }
            Err(_) => {}
        }
    }
}
