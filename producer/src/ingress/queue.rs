//! What waits to be written, and which of it may go together.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, TryAcquireError, oneshot};

use super::change::{Action, Change, NotWritten, Outcome};
use super::decide::Attempt;
use crate::orders::OrderName;

/// The most changes of one transaction.
const LARGEST_GROUP: usize = 256;

/// How far into the queue a writer looks for changes that may go now. Bounds the cost of many
/// waiting changes to one order.
const LOOK_AHEAD: usize = 4 * LARGEST_GROUP;

/// How a change is written; a group's are written the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// New orders, in one statement.
    Place,
    /// Orders that are read, and changed if they stay as they were read.
    SetStatus,
    /// Anything, in one transaction with locked rows.
    Transaction,
}

/// While one writer is at work, another takes what waits only when it is this many...
const CROWD: usize = LARGEST_GROUP / 2;

/// ...or when the first of them has waited this long: a group that is held up, by another instance's
/// lock perhaps, holds up nobody else. Otherwise a lone writer's larger groups cost least.
const HELP_AFTER: Duration = Duration::from_millis(10);

/// A change that waits for its answer.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) change: Change,
    pub(super) attempt: Option<Attempt>,
    /// Somebody else was in between when it was written the short way.
    pub(super) beaten: bool,
    answer: oneshot::Sender<Result<Outcome, NotWritten>>,
    since: Instant,
    deadline: Instant,
    marks: Vec<u64>,
    _room: OwnedSemaphorePermit,
}

impl Job {
    pub(super) fn answer(self, outcome: Result<Outcome, NotWritten>) {
        // Nobody waits any more when the client went away.
        let _ = self.answer.send(outcome);
    }

    /// Answers a change for which it is too late.
    pub(super) fn give_up(self) {
        self.refuse(NotWritten::Unavailable);
    }

    /// Answers a change that is given up for this reason, unless an earlier try may have written it.
    pub(super) fn refuse(self, why: NotWritten) {
        let why = if self.attempt.is_some() {
            NotWritten::OutcomeUnknown
        } else {
            why
        };
        self.answer(Err(why));
    }

    /// A short way is for what meets nobody: no answer under a key, no earlier try that may still
    /// be under way in the server.
    pub(super) const fn way(&self) -> Way {
        if self.change.claim.is_some() || self.attempt.is_some() || self.beaten {
            return Way::Transaction;
        }
        match &self.change.action {
            Action::Place(_) => Way::Place,
            Action::SetStatus { .. } => Way::SetStatus,
        }
    }

    pub(super) fn is_late(&self, now: Instant) -> bool {
        now >= self.deadline
    }
}

/// Changes in the order in which they came.
///
/// Two changes of one order, or under one idempotency key, are never in writers' hands at the same
/// time, and leave in the order in which they came. So writers of one process don't wait for each
/// other's row locks, and a request that repeats one in flight waits for it here.
#[derive(Debug)]
pub struct Queue {
    state: Mutex<State>,
    work: Notify,
    room: Arc<Semaphore>,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Job>,
    /// Marks of what the writers have in hand.
    busy: HashSet<u64>,
    /// Writers that have a group in hand.
    at_work: usize,
    closed: bool,
}

/// A group in a writer's hands: its orders and keys are busy until this is dropped.
#[derive(Debug)]
pub(super) struct Group {
    queue: Arc<Queue>,
    marks: Vec<u64>,
    pub(super) jobs: Vec<Job>,
}

impl Drop for Group {
    fn drop(&mut self) {
        self.queue.release(&self.marks);
    }
}

impl Queue {
    /// A queue in which at most `capacity` changes wait or are being written.
    pub fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            work: Notify::new(),
            room: Arc::new(Semaphore::new(capacity.min(Semaphore::MAX_PERMITS))),
            hasher: RandomState::new(),
        })
    }

    pub(super) fn push(
        &self,
        change: Change,
        answer: oneshot::Sender<Result<Outcome, NotWritten>>,
        deadline: Instant,
    ) -> Result<(), NotWritten> {
        let room = Arc::clone(&self.room)
            .try_acquire_owned()
            .map_err(|error| match error {
                TryAcquireError::NoPermits => NotWritten::Overloaded,
                TryAcquireError::Closed => NotWritten::Closing,
            })?;
        self.append(change, answer, deadline, room)
    }

    pub(super) async fn push_in_turn(
        &self,
        change: Change,
        answer: oneshot::Sender<Result<Outcome, NotWritten>>,
        deadline: Instant,
    ) -> Result<(), NotWritten> {
        let room = Arc::clone(&self.room).acquire_owned();
        let room = tokio::time::timeout_at(deadline.into(), room)
            .await
            .map_err(|_| NotWritten::Overloaded)?
            .map_err(|_| NotWritten::Closing)?;
        self.append(change, answer, deadline, room)
    }

    fn append(
        &self,
        change: Change,
        answer: oneshot::Sender<Result<Outcome, NotWritten>>,
        deadline: Instant,
        room: OwnedSemaphorePermit,
    ) -> Result<(), NotWritten> {
        let job = Job {
            marks: self.marks(&change),
            change,
            attempt: None,
            beaten: false,
            answer,
            since: Instant::now(),
            deadline,
            _room: room,
        };
        let mut state = self.lock();
        if state.closed {
            return Err(NotWritten::Closing);
        }
        state.waiting.push_back(job);
        // One writer is enough to take all that waits, or to watch over it.
        let calls_a_writer = state.waiting.len() == 1 || state.waiting.len() == CROWD;
        drop(state);
        if calls_a_writer {
            self.work.notify_one();
        }
        Ok(())
    }

    /// What a change must have for itself: its order, its idempotency key. Hashes are enough: two
    /// that are equal by accident only wait for each other.
    fn marks(&self, change: &Change) -> Vec<u64> {
        let order_id = match &change.action {
            Action::SetStatus { order_id, .. } => Some(order_id),
            Action::Place(order) => match &order.name {
                OrderName::Given(order_id) => Some(order_id),
                OrderName::Uuid | OrderName::Number => None,
            },
        };
        let order = order_id.map(|order_id| self.hasher.hash_one(("order", order_id)));
        let key = change
            .claim
            .as_ref()
            .map(|claim| self.hasher.hash_one(("key", &claim.api_key_id, &claim.key)));
        order.into_iter().chain(key).collect()
    }

    /// All that may go now, up to a group's size; waits until there is something. `None` when the
    /// queue is closed and empty.
    pub(super) async fn take(self: &Arc<Self>) -> Option<Group> {
        loop {
            let work = self.work.notified();
            let (jobs, waiting, closed) = {
                let mut state = self.lock();
                (state.take(), state.waiting.len(), state.closed)
            };
            if !jobs.is_empty() {
                if waiting > 0 {
                    self.work.notify_one();
                }
                return Some(Group {
                    queue: Arc::clone(self),
                    marks: jobs.iter().flat_map(|job| job.marks.clone()).collect(),
                    jobs,
                });
            }
            if waiting > 0 {
                let _ = tokio::time::timeout(HELP_AFTER, work).await;
            } else if closed {
                // The other writers wait too.
                self.work.notify_one();
                return None;
            } else {
                work.await;
            }
            // Whoever else has something to bring may do so first, if it needs no waiting: the group
            // is larger for it.
            tokio::task::yield_now().await;
        }
    }

    /// The writer's next look is for what waits.
    fn release(&self, marks: &[u64]) {
        let mut state = self.lock();
        state.at_work -= 1;
        for mark in marks {
            state.busy.remove(mark);
        }
        let others_end = state.closed;
        drop(state);
        if others_end {
            self.work.notify_one();
        }
    }

    /// Answers those for which it is too late; called while the database is away.
    pub(super) fn give_up_late(&self) {
        let now = Instant::now();
        let mut state = self.lock();
        let (late, waiting): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut state.waiting)
            .into_iter()
            .partition(|job| job.is_late(now));
        state.waiting = waiting;
        drop(state);
        for job in late {
            job.give_up();
        }
    }

    /// No more changes.
    pub(super) fn close(&self) {
        self.room.close();
        self.lock().closed = true;
        self.work.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take(&mut self) -> Vec<Job> {
        if !self.needs_a_writer() {
            return Vec::new();
        }
        let mut taken = Vec::new();
        let mut left = VecDeque::new();
        // Marks of those that have to wait: what comes after them must not overtake them.
        let mut blocked = HashSet::new();
        while taken.len() < LARGEST_GROUP && left.len() < LOOK_AHEAD {
            let Some(job) = self.waiting.pop_front() else {
                break;
            };
            let free = |mark: &u64| !self.busy.contains(mark) && !blocked.contains(mark);
            if job.marks.iter().all(free) {
                self.busy.extend(&job.marks);
                taken.push(job);
            } else {
                blocked.extend(job.marks.iter().copied());
                left.push_back(job);
            }
        }
        while let Some(job) = left.pop_back() {
            self.waiting.push_front(job);
        }
        self.at_work += usize::from(!taken.is_empty());
        taken
    }

    fn needs_a_writer(&self) -> bool {
        self.at_work == 0
            || self.closed
            || self.waiting.len() >= CROWD
            || self
                .waiting
                .front()
                .is_some_and(|job| job.since.elapsed() >= HELP_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use runtime::trace_context::TraceParent;
    use schemas::Status;

    use super::super::change::Claim;
    use super::*;

    fn change(order_id: &str, wanted: Status) -> Change {
        Change {
            action: Action::SetStatus {
                order_id: order_id.to_owned(),
                wanted,
                precondition: None,
            },
            claim: None,
            trace: TraceParent::random(),
        }
    }

    fn push(queue: &Queue, change: Change) -> oneshot::Receiver<Result<Outcome, NotWritten>> {
        let (answer, pending) = oneshot::channel();
        queue
            .push(change, answer, Instant::now() + Duration::from_secs(60))
            .unwrap();
        pending
    }

    fn wanted(group: &Group) -> Vec<(String, Status)> {
        group
            .jobs
            .iter()
            .map(|job| match &job.change.action {
                Action::SetStatus {
                    order_id, wanted, ..
                } => (order_id.clone(), *wanted),
                Action::Place(_) => unreachable!(),
            })
            .collect()
    }

    #[tokio::test]
    async fn a_group_has_one_change_per_order_and_the_next_waits_for_it() {
        let queue = Queue::new(10);
        let _answers = [
            push(&queue, change("a", Status::Sent)),
            push(&queue, change("a", Status::Delivered)),
            push(&queue, change("b", Status::Sent)),
        ];
        let first = queue.take().await.unwrap();
        assert_eq!(
            wanted(&first),
            [("a".into(), Status::Sent), ("b".into(), Status::Sent)]
        );
        let early = tokio::time::timeout(Duration::from_millis(20), queue.take()).await;
        assert!(early.is_err(), "the order is in another writer's hands");
        drop(first);
        let second = queue.take().await.unwrap();
        assert_eq!(wanted(&second), [("a".into(), Status::Delivered)]);
    }

    #[tokio::test]
    async fn a_second_writer_takes_what_has_waited_or_is_a_crowd() {
        let queue = Queue::new(2 * CROWD);
        let order = |number: usize| change(&number.to_string(), Status::Sent);
        let _answer = push(&queue, order(0));
        let first = queue.take().await.unwrap();
        let asked = Instant::now();
        let _answer = push(&queue, order(1));
        let second = queue.take().await.unwrap();
        assert!(asked.elapsed() >= HELP_AFTER, "the first writer was near");
        drop((first, second));
        let _answer = push(&queue, order(0));
        let first = queue.take().await.unwrap();
        let _answers: Vec<_> = (1..=CROWD)
            .map(|number| push(&queue, order(number)))
            .collect();
        let second = queue.lock().take();
        assert_eq!((first.jobs.len(), second.len()), (1, CROWD));
    }

    #[tokio::test]
    async fn only_what_meets_nobody_goes_a_short_way() {
        let queue = Queue::new(10);
        let keyed = Change {
            claim: Some(Claim {
                api_key_id: String::new(),
                key: "key".to_owned(),
                request_hash: [0; 32],
            }),
            ..change("a", Status::Sent)
        };
        let _answers = [push(&queue, keyed), push(&queue, change("b", Status::Sent))];
        let mut jobs = std::mem::take(&mut queue.take().await.unwrap().jobs);
        assert_eq!(jobs[0].way(), Way::Transaction);
        assert_eq!(jobs[1].way(), Way::SetStatus);
        jobs[1].beaten = true;
        assert_eq!(jobs[1].way(), Way::Transaction);
        jobs[1].beaten = false;
        jobs[1].attempt = Some(Attempt {
            order_id: "b".to_owned(),
            version: 2,
            at: schemas::Timestamp::FIRST,
        });
        assert_eq!(jobs[1].way(), Way::Transaction);
    }

    #[tokio::test]
    async fn what_is_too_much_is_refused_and_room_comes_back() {
        let queue = Queue::new(1);
        let answer = push(&queue, change("a", Status::Sent));
        let (sender, _receiver) = oneshot::channel();
        let refused = queue.push(change("b", Status::Sent), sender, Instant::now());
        assert_eq!(refused, Err(NotWritten::Overloaded));
        let mut group = queue.take().await.unwrap();
        group.jobs.remove(0).answer(Ok(Outcome::NotFound));
        assert_eq!(answer.await, Ok(Ok(Outcome::NotFound)));
        push(&queue, change("b", Status::Sent));
    }

    #[tokio::test]
    async fn a_closed_queue_is_emptied_before_the_writers_end() {
        let queue = Queue::new(10);
        let _answer = push(&queue, change("a", Status::Sent));
        queue.close();
        let (sender, _receiver) = oneshot::channel();
        let refused = queue.push(change("b", Status::Sent), sender, Instant::now());
        assert_eq!(refused, Err(NotWritten::Closing));
        assert!(queue.take().await.is_some());
        assert!(queue.take().await.is_none());
        assert!(queue.take().await.is_none(), "every writer hears it");
    }

    #[tokio::test]
    async fn whoever_waited_too_long_is_told_that_nothing_was_done() {
        let queue = Queue::new(10);
        let (sender, receiver) = oneshot::channel();
        queue
            .push(change("a", Status::Sent), sender, Instant::now())
            .unwrap();
        queue.give_up_late();
        assert_eq!(receiver.await, Ok(Err(NotWritten::Unavailable)));
    }
}
