//! A thread that makes a producer's blocking calls, so that no caller depends on their coming back.
//!
//! librdkafka (2.12) has transactional calls whose timeout does not hold: adding offsets to a
//! transaction waits for the group's coordinator for as long as that is away, and a coordinator
//! that moved stays in the client's cache (confluentinc/librdkafka#5456, #5511). So each producer
//! has a thread of its own. The caller hands a call over and waits for its answer, as long as it
//! likes; the call goes on meanwhile, and the same call made again waits for the same answer. A
//! call that has not come back at its deadline is given up, and the producer with it: the thread
//! keeps the client and destroys it whenever the call comes back.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use metrics::{counter, gauge};

use super::transaction::{Client, GroupOffsets, Stage, TransactionError, Unfinished};
use crate::metrics as names;

/// The timeout that a call is made with, unless its caller waits longer: several round trips to a
/// slow broker, and a coordinator that moved and was found again.
const CALL_TIMEOUT: Duration = Duration::from_secs(4);

/// A call that has not come back this long after its timeout is given up. With [`CALL_TIMEOUT`]
/// that is 6 s after it was made, so that the flow stands still for less than 15 s even when the
/// broker's own failover takes 9 s of it.
const GRACE: Duration = Duration::from_secs(2);

/// How long the drop of a producer waits for its client to be destroyed, which takes milliseconds
/// but can block.
const CLOSING: Duration = Duration::from_millis(500);

/// Calls of one owner's producers that were given up and have not come back.
#[derive(Debug, Clone, Default)]
pub(super) struct Abandoned(Arc<AtomicUsize>);

impl Abandoned {
    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// One more.
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
        gauge!(names::KAFKA_CALLS_ABANDONED).increment(1);
    }

    /// One came back.
    fn remove(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
        gauge!(names::KAFKA_CALLS_ABANDONED).decrement(1);
    }
}

/// A call that can block.
pub(super) enum Call {
    Init,
    SendOffsets(GroupOffsets),
    Drain,
    Commit,
    Abort,
}

/// Which call it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Init,
    End(Stage),
    Abort,
}

impl Call {
    const fn kind(&self) -> Kind {
        match self {
            Self::Init => Kind::Init,
            Self::SendOffsets(_) => Kind::End(Stage::SendingOffsets),
            Self::Drain => Kind::End(Stage::Draining),
            Self::Commit => Kind::End(Stage::Committing),
            Self::Abort => Kind::Abort,
        }
    }

    fn make(&self, client: &Client, timeout: Duration) -> Result<(), TransactionError> {
        match self {
            Self::Init => client.init(timeout),
            Self::SendOffsets(offsets) => client.send_offsets(offsets, timeout),
            Self::Drain => client.drain(timeout),
            Self::Commit => client.commit(timeout),
            Self::Abort => client.abort(timeout),
        }
    }
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Init => "init_transactions",
            Self::End(Stage::SendingOffsets) => "send_offsets_to_transaction",
            Self::End(Stage::Draining) => "flush",
            Self::End(Stage::Committing) => "commit_transaction",
            Self::Abort => "abort_transaction",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Calls to be made one after the other, until one fails.
struct Job {
    calls: VecDeque<Call>,
    timeout: Duration,
}

/// The call that the thread is in, or is about to make.
#[derive(Debug, Clone, Copy)]
struct Begun {
    kind: Kind,
    at: Instant,
    give_up_at: Instant,
}

impl Begun {
    fn now(kind: Kind, timeout: Duration) -> Self {
        let at = Instant::now();
        Self {
            kind,
            at,
            give_up_at: at + timeout + GRACE,
        }
    }
}

/// The answer to a job's last call.
struct Answer {
    kind: Kind,
    result: Result<(), TransactionError>,
}

/// What the thread and its owner tell each other.
#[derive(Default)]
struct CallState {
    job: Option<Job>,
    begun: Option<Begun>,
    answer: Option<Answer>,
    /// The owner goes on by itself after the call that is under way.
    stops_after_call: bool,
    /// Why nobody waits for the call any more.
    given_up: Option<String>,
    /// The owner is gone.
    closed: bool,
    /// The client is destroyed.
    ended: bool,
}

struct Shared {
    transactional_id: String,
    abandoned: Abandoned,
    slot: Mutex<CallState>,
    handed_over: Condvar,
    answered: Condvar,
}

/// What came of waiting for an answer.
enum Waited<'a> {
    Answered(MutexGuard<'a, CallState>, Answer),
    NotYet(MutexGuard<'a, CallState>, Begun),
    GivenUp(TransactionError),
}

/// The owner's side.
pub(super) struct Worker {
    shared: Arc<Shared>,
}

impl Worker {
    /// Starts the thread for the calls of `client`.
    ///
    /// # Errors
    /// When there can't be another thread.
    pub(super) fn start(
        client: Arc<Client>,
        transactional_id: String,
        abandoned: Abandoned,
    ) -> std::io::Result<Self> {
        // Rates need the counter to be there before it counts.
        counter!(names::KAFKA_CALLS_GIVEN_UP, "transactional_id" => transactional_id.clone())
            .increment(0);
        let shared = Arc::new(Shared {
            transactional_id,
            abandoned,
            slot: Mutex::default(),
            handed_over: Condvar::new(),
            answered: Condvar::new(),
        });
        let theirs = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("kafka-calls".to_owned())
            .spawn(move || {
                theirs.run(&client);
                drop(client);
                theirs.lock().ended = true;
                theirs.answered.notify_one();
            })?;
        Ok(Self { shared })
    }

    /// Whether a call is under way, or its answer was not taken yet.
    pub(super) fn is_busy(&self) -> bool {
        let slot = self.shared.lock();
        slot.begun.is_some() || slot.answer.is_some()
    }

    /// Why the producer was given up, if so.
    pub(super) fn given_up(&self) -> Option<TransactionError> {
        let slot = self.shared.lock();
        slot.given_up.clone().map(TransactionError::Fatal)
    }

    /// Makes a call and waits for its answer up to `timeout`. When the answer does not come in that
    /// time the call goes on: made again, it waits for the same answer. Another call waits for it
    /// to come back first.
    ///
    /// # Errors
    /// The call's; [`TransactionError::Retriable`] when it has not answered yet;
    /// [`TransactionError::Fatal`] once it is given up.
    pub(super) fn call(&self, call: Call, timeout: Duration) -> Result<(), TransactionError> {
        let until = Instant::now() + timeout;
        let mut slot = self.shared.lock();
        if slot.given_up.is_some() || slot.begun.is_some() || slot.answer.is_some() {
            let answer;
            (slot, answer) = self.shared.answer_by(slot, until)?;
            match answer.result {
                // Made again below.
                Err(TransactionError::Retriable(_)) => {}
                Err(error @ (TransactionError::Fatal(_) | TransactionError::Fenced(_))) => {
                    return Err(error);
                }
                result if answer.kind == call.kind() => return result,
                // An earlier call that its owner gave up waiting for.
                Ok(()) | Err(TransactionError::Abortable(_)) => {}
            }
        }
        self.shared
            .hand_over(&mut slot, VecDeque::from([call]), timeout);
        let (_slot, answer) = self.shared.answer_by(slot, until)?;
        answer.result
    }

    /// Begins to end the transaction: adds the offsets, waits for the acknowledgements, commits.
    /// Nobody else uses the client until [`poll_finish`](Self::poll_finish) has the outcome.
    pub(super) fn begin_to_finish(&self, offsets: GroupOffsets) {
        let calls = VecDeque::from([Call::SendOffsets(offsets), Call::Drain, Call::Commit]);
        let mut slot = self.shared.lock();
        debug_assert!(slot.begun.is_none(), "one call at a time");
        slot.answer = None;
        self.shared.hand_over(&mut slot, calls, Duration::ZERO);
    }

    /// What came of it, waiting for that up to `timeout`. A call that takes longer than `patience`
    /// ends it with [`TransactionError::Retriable`]: the calls are made one by one from there.
    pub(super) fn poll_finish(
        &self,
        timeout: Duration,
        patience: Duration,
    ) -> Option<Result<(), Unfinished>> {
        let slot = self.shared.lock();
        let unfinished = |stage, error| Some(Err(Unfinished { stage, error }));
        match self.shared.wait(slot, Instant::now() + timeout) {
            Waited::Answered(_slot, Answer { kind, result }) => match (result, kind) {
                (Ok(()), _) => Some(Ok(())),
                (Err(error), Kind::End(stage)) => unfinished(stage, error),
                (Err(error), _) => unfinished(Stage::Committing, error),
            },
            Waited::GivenUp(error) => unfinished(Stage::Committing, error),
            Waited::NotYet(mut slot, begun) => {
                let Kind::End(stage) = begun.kind else {
                    return None;
                };
                if begun.at.elapsed() < patience {
                    return None;
                }
                slot.stops_after_call = true;
                unfinished(stage, not_yet(begun))
            }
        }
    }
}

impl Drop for Worker {
    /// Lets an idle client end before its successor begins, or the process does.
    fn drop(&mut self) {
        let mut slot = self.shared.lock();
        slot.closed = true;
        self.shared.handed_over.notify_one();
        if slot.begun.is_some() && slot.given_up.is_none() {
            // Counted until it comes back.
            self.shared.abandoned.add();
            slot.given_up = Some("its owner is gone".to_owned());
        }
        if slot.begun.is_none() {
            let ended = self
                .shared
                .answered
                .wait_timeout_while(slot, CLOSING, |slot| !slot.ended);
            drop(ended);
        }
    }
}

fn not_yet(begun: Begun) -> TransactionError {
    TransactionError::Retriable(format!(
        "{} has not answered for {:?}",
        begun.kind,
        begun.at.elapsed()
    ))
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, CallState> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hand_over(&self, slot: &mut CallState, calls: VecDeque<Call>, timeout: Duration) {
        let timeout = timeout.max(CALL_TIMEOUT);
        slot.begun = calls.front().map(|call| Begun::now(call.kind(), timeout));
        slot.stops_after_call = false;
        slot.job = Some(Job { calls, timeout });
        self.handed_over.notify_one();
    }

    fn answer_by<'a>(
        &'a self,
        slot: MutexGuard<'a, CallState>,
        until: Instant,
    ) -> Result<(MutexGuard<'a, CallState>, Answer), TransactionError> {
        match self.wait(slot, until) {
            Waited::Answered(slot, answer) => Ok((slot, answer)),
            Waited::NotYet(_, begun) => Err(not_yet(begun)),
            Waited::GivenUp(error) => Err(error),
        }
    }

    fn wait<'a>(&'a self, mut slot: MutexGuard<'a, CallState>, until: Instant) -> Waited<'a> {
        loop {
            if let Some(why) = &slot.given_up {
                return Waited::GivenUp(TransactionError::Fatal(why.clone()));
            }
            if let Some(answer) = slot.answer.take() {
                return Waited::Answered(slot, answer);
            }
            let Some(begun) = slot.begun else {
                return Waited::GivenUp(TransactionError::Fatal("no call is under way".to_owned()));
            };
            let now = Instant::now();
            if now >= begun.give_up_at {
                return Waited::GivenUp(self.give_up(&mut slot, begun));
            }
            if now >= until {
                return Waited::NotYet(slot, begun);
            }
            let time = until.min(begun.give_up_at) - now;
            let waited = self.answered.wait_timeout(slot, time);
            slot = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn give_up(&self, slot: &mut CallState, begun: Begun) -> TransactionError {
        let (id, took) = (&self.transactional_id, begun.at.elapsed());
        let why = format!(
            "{} of {id} has not come back for {took:?}: its producer is given up",
            begun.kind
        );
        tracing::error!(
            transactional_id = id,
            call = begun.kind.as_str(),
            abandoned = self.abandoned.count() + 1,
            "a call of Kafka's client library has not come back for {took:?}; a new producer takes over"
        );
        counter!(names::KAFKA_CALLS_GIVEN_UP, "transactional_id" => id.clone()).increment(1);
        self.abandoned.add();
        slot.given_up = Some(why.clone());
        TransactionError::Fatal(why)
    }

    /// The thread: makes calls until the owner is gone. By then it has the last reference to the
    /// client, which is destroyed here: that can block too.
    fn run(&self, client: &Client) {
        while let Some(Job { mut calls, timeout }) = self.next_job() {
            while let Some(call) = calls.pop_front() {
                let result = call.make(client, timeout);
                let next = calls.front().map(|next| Begun::now(next.kind(), timeout));
                if !self.take_result(call.kind(), result, next) {
                    break;
                }
            }
        }
    }

    fn next_job(&self) -> Option<Job> {
        let mut slot = self.lock();
        loop {
            if slot.closed {
                if slot.job.take().is_some() && slot.given_up.is_some() {
                    // It was counted when its owner went, and was never made.
                    self.abandoned.remove();
                }
                return None;
            }
            if let Some(job) = slot.job.take() {
                return Some(job);
            }
            let waited = self.handed_over.wait(slot);
            slot = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Says whether the next call is to be made.
    fn take_result(
        &self,
        kind: Kind,
        result: Result<(), TransactionError>,
        next: Option<Begun>,
    ) -> bool {
        let mut slot = self.lock();
        if slot.given_up.is_some() {
            self.abandoned.remove();
            tracing::info!(
                transactional_id = self.transactional_id,
                call = kind.as_str(),
                "a call that was given up came back"
            );
            return false;
        }
        if result.is_ok() && next.is_some() && !slot.stops_after_call && !slot.closed {
            slot.begun = next;
            return true;
        }
        slot.begun = None;
        slot.answer = Some(Answer { kind, result });
        drop(slot);
        self.answered.notify_one();
        false
    }
}
