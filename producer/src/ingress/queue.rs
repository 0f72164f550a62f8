//! What waits to be written, and which of it may go together.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, TryAcquireError, oneshot};

use super::change::{Change, NotWritten, Outcome};
use super::job::{Care, Job};
use super::lines::{Lines, Mark, Ticket};

/// The most changes of one transaction.
const LARGEST_GROUP: usize = 256;

/// While one writer is at work, another takes what waits only when it is this many...
const CROWD: usize = LARGEST_GROUP / 2;

/// ...or when the first of them has waited this long: a group that is held up, by another instance's
/// lock perhaps, holds up nobody else. Otherwise a lone writer's larger groups cost least.
const HELP_AFTER: Duration = Duration::from_millis(10);

/// The most changes that met a lock and are tried again in one group: each may cost its writer a
/// few milliseconds.
const MAX_LOCKED_OF_GROUP: usize = 16;

/// Changes in the order in which they came.
///
/// Two changes of one order, or under one idempotency key, are never in writers' hands at the same
/// time, and leave in the order in which they came. So writers of one process don't wait for each
/// other's row locks, and a request that repeats one in flight waits for it here. Whatever waits for
/// another change stands in a line of its own ([`Lines`]), where it is in nobody's way: taking a
/// group costs the same however many changes of one order wait.
///
/// A change that met another session's lock pauses here. It stays the first of its lines, so later
/// changes of its order don't overtake it, and it occupies no writer meanwhile.
#[derive(Debug)]
pub struct Queue {
    state: Mutex<State>,
    work: Notify,
    room: Arc<Semaphore>,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct State {
    /// May be taken, any of them together.
    ready: VecDeque<Job>,
    /// Wait for others in `lines`.
    blocked: HashMap<Ticket, Job>,
    /// Wait for another session's lock, until then.
    paused: BTreeMap<(Instant, Ticket), Job>,
    /// Of all changes that aren't done.
    lines: Lines,
    last_ticket: Ticket,
    /// Writers that have a group in hand.
    at_work: usize,
    closed: bool,
}

/// A group in a writer's hands: its orders and keys are busy until this is dropped.
#[derive(Debug)]
pub(super) struct Group {
    queue: Arc<Queue>,
    places: Vec<Place>,
    pub(super) jobs: Vec<Job>,
}

/// Where a change stands in the lines.
#[derive(Debug)]
struct Place {
    ticket: Ticket,
    marks: Vec<Mark>,
    /// It was given up because another session has a lock, which whoever follows will meet too.
    locked: bool,
}

impl Drop for Group {
    fn drop(&mut self) {
        self.queue.release(&self.places);
    }
}

impl Group {
    fn new(queue: Arc<Queue>, jobs: Vec<Job>) -> Self {
        let places = jobs.iter().filter(|job| !job.marks.is_empty());
        let places = places.map(|job| Place {
            ticket: job.ticket,
            marks: job.marks.clone(),
            locked: false,
        });
        Self {
            queue,
            places: places.collect(),
            jobs,
        }
    }

    /// Gives a change back that met another session's lock, to be tried again later.
    pub(super) fn pause(&mut self, mut job: Job) {
        let until = job.met_lock(Instant::now());
        self.places.retain(|place| place.ticket != job.ticket);
        let mut state = self.queue.lock();
        state.paused.insert((until, job.ticket), job);
    }

    /// Answers a change for which it is too late; `why` is what has held up everybody.
    pub(super) fn give_up(&mut self, job: Job, why: &NotWritten) {
        if job.is_locked()
            && let Some(place) = self
                .places
                .iter_mut()
                .find(|place| place.ticket == job.ticket)
        {
            place.locked = true;
        }
        job.give_up(why);
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
        let mut job = Job::new(change, answer, deadline, room);
        job.marks = self.marks(&job);
        let mut state = self.lock();
        if state.closed {
            return Err(NotWritten::Closing);
        }
        let calls_a_writer = state.append(job);
        drop(state);
        if calls_a_writer {
            self.work.notify_one();
        }
        Ok(())
    }

    /// What a change must have for itself: its order, its idempotency key.
    fn marks(&self, job: &Job) -> Vec<Mark> {
        let order = job
            .order_id()
            .map(|order_id| self.hasher.hash_one(("order", order_id)));
        let claim = job.change.claim.as_ref();
        let key = claim.map(|claim| self.hasher.hash_one(("key", &claim.api_key_id, &claim.key)));
        let mut marks: Vec<Mark> = order.into_iter().chain(key).collect();
        marks.dedup();
        marks
    }

    /// All that may go now, up to a group's size; waits until there is something. `None` when the
    /// queue is closed and empty.
    pub(super) async fn take(self: &Arc<Self>) -> Option<Group> {
        loop {
            let work = self.work.notified();
            let (jobs, left) = {
                let mut state = self.lock();
                (state.take(Instant::now()), state.left())
            };
            if !jobs.is_empty() {
                if left == Left::Ready {
                    self.work.notify_one();
                }
                return Some(Group::new(Arc::clone(self), jobs));
            }
            match left {
                Left::Ready => {
                    let _ = tokio::time::timeout(HELP_AFTER, work).await;
                }
                Left::Paused(until) => {
                    let _ = tokio::time::timeout_at(until.into(), work).await;
                }
                Left::Nothing => work.await,
                Left::End => {
                    // The other writers wait too.
                    self.work.notify_one();
                    return None;
                }
            }
            // Whoever else has something to bring may do so first, if it needs no waiting: the group
            // is larger for it.
            tokio::task::yield_now().await;
        }
    }

    /// The writer's next look is for what waits.
    fn release(&self, places: &[Place]) {
        let mut state = self.lock();
        state.at_work -= 1;
        for place in places {
            let care = if place.locked {
                Care::Careful
            } else {
                Care::Usual
            };
            state.leave(place.ticket, &place.marks, care);
        }
        let others_end = state.closed;
        drop(state);
        if others_end {
            self.work.notify_one();
        }
    }

    /// Answers those for which it is too late; called while everybody is held up by `why`.
    pub(super) fn give_up_late(&self, why: &NotWritten) {
        let late = self.lock().take_late(Instant::now());
        for job in late {
            job.give_up(why);
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

/// What is left once a writer has taken what it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// Changes that another writer may take when they have waited long enough.
    Ready,
    /// Changes that are to be tried again from this time on.
    Paused(Instant),
    /// Nothing that could be taken before somebody says so.
    Nothing,
    /// Nothing, and nothing will come.
    End,
}

impl State {
    /// Whether a writer is to be called: one is enough to take all that waits, or to watch over it.
    fn append(&mut self, mut job: Job) -> bool {
        self.last_ticket += 1;
        job.ticket = self.last_ticket;
        if self.lines.join(job.ticket, &job.marks) {
            self.ready.push_back(job);
            self.ready.len() == 1 || self.ready.len() == CROWD
        } else {
            self.blocked.insert(job.ticket, job);
            false
        }
    }

    fn take(&mut self, now: Instant) -> Vec<Job> {
        self.end_pauses(now);
        if !self.needs_a_writer(now) {
            return Vec::new();
        }
        let most = self.ready.len().min(LARGEST_GROUP);
        let taken: Vec<Job> = self.ready.drain(..most).collect();
        self.at_work += usize::from(!taken.is_empty());
        taken
    }

    fn end_pauses(&mut self, now: Instant) {
        for _ in 0..MAX_LOCKED_OF_GROUP {
            match self.paused.first_entry() {
                Some(first) if first.key().0 <= now => self.ready.push_back(first.remove()),
                _ => return,
            }
        }
    }

    fn left(&self) -> Left {
        if !self.ready.is_empty() {
            Left::Ready
        } else if let Some(((until, _), _)) = self.paused.first_key_value() {
            Left::Paused(*until)
        } else if self.closed && self.blocked.is_empty() {
            Left::End
        } else {
            Left::Nothing
        }
    }

    fn needs_a_writer(&self, now: Instant) -> bool {
        let has_waited = |job: &Job| now.saturating_duration_since(job.since) >= HELP_AFTER;
        self.at_work == 0
            || self.closed
            || self.ready.len() >= CROWD
            || self.ready.front().is_some_and(has_waited)
    }

    /// A change leaves its lines, and whoever waited for it alone may be taken, with this care.
    fn leave(&mut self, ticket: Ticket, marks: &[Mark], care: Care) {
        for next in self.lines.leave(ticket, marks) {
            let is_first = |job: &Job| self.lines.is_first(job.ticket, &job.marks);
            if self.blocked.get(&next).is_some_and(is_first)
                && let Some(mut job) = self.blocked.remove(&next)
            {
                job.since = Instant::now();
                if care != Care::Usual {
                    job.care = care;
                }
                self.ready.push_back(job);
            }
        }
    }

    fn take_late(&mut self, now: Instant) -> Vec<Job> {
        let is_late = |job: &Job| job.is_late(now);
        let mut late: Vec<Job> = self
            .blocked
            .extract_if(|_, job| is_late(job))
            .map(|(_, job)| job)
            .collect();
        let paused = self.paused.extract_if(.., |_, job| is_late(job));
        late.extend(paused.map(|(_, job)| job));
        let (ready_late, ready) = std::mem::take(&mut self.ready)
            .into_iter()
            .partition(is_late);
        self.ready = ready;
        late.extend::<VecDeque<Job>>(ready_late);
        for job in &late {
            self.leave(job.ticket, &job.marks, Care::Usual);
        }
        late
    }
}

#[cfg(test)]
mod tests {
    use runtime::trace_context::TraceParent;
    use schemas::Status;

    use super::super::change::{Action, Claim};
    use super::super::decide::Attempt;
    use super::super::job::Way;
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
        let second = queue.lock().take(Instant::now());
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
        queue.give_up_late(&NotWritten::Unavailable);
        assert_eq!(receiver.await, Ok(Err(NotWritten::Unavailable)));
    }

    #[tokio::test]
    async fn changes_that_wait_for_one_order_are_in_nobodys_way() {
        let queue = Queue::new(10_000);
        let mut answers: Vec<_> = (0..5_000)
            .map(|_| push(&queue, change("hot", Status::Sent)))
            .collect();
        let hot = queue.take().await.unwrap();
        assert_eq!(wanted(&hot), [("hot".into(), Status::Sent)]);
        answers.push(push(&queue, change("cold", Status::Sent)));
        let cold = tokio::time::timeout(Duration::from_secs(5), queue.take());
        let cold = cold
            .await
            .expect("5,000 changes wait, none of them for this order");
        assert_eq!(wanted(&cold.unwrap()), [("cold".into(), Status::Sent)]);
    }

    #[tokio::test]
    async fn a_change_that_met_a_lock_pauses_and_keeps_its_place() {
        let queue = Queue::new(10);
        let _answers = [
            push(&queue, change("locked", Status::Sent)),
            push(&queue, change("locked", Status::Delivered)),
        ];
        let mut group = queue.take().await.unwrap();
        let job = group.jobs.remove(0);
        group.pause(job);
        drop(group);
        assert!(queue.lock().take(Instant::now()).is_empty(), "it pauses");
        let group = queue.take().await.unwrap();
        assert_eq!(wanted(&group), [("locked".into(), Status::Sent)]);
        assert_eq!(group.jobs[0].way(), Way::Careful);
    }

    #[tokio::test]
    async fn a_change_behind_a_locked_one_is_careful_and_says_what_is_locked() {
        let queue = Queue::new(10);
        let first = push(&queue, change("locked", Status::Sent));
        let _second = push(&queue, change("locked", Status::Delivered));
        let mut group = queue.take().await.unwrap();
        let mut job = group.jobs.remove(0);
        let _ = job.met_lock(Instant::now());
        group.give_up(job, &NotWritten::Unavailable);
        drop(group);
        let locked = NotWritten::Locked("the order \"locked\"".to_owned());
        assert_eq!(first.await, Ok(Err(locked)));
        let group = queue.take().await.unwrap();
        assert_eq!(wanted(&group), [("locked".into(), Status::Delivered)]);
        assert_eq!(group.jobs[0].way(), Way::Careful);
    }

    #[tokio::test]
    async fn whoever_waits_behind_others_too_long_is_told_and_the_others_go_on() {
        let queue = Queue::new(10);
        let _first = push(&queue, change("a", Status::Sent));
        let (sender, late) = oneshot::channel();
        queue
            .push(change("a", Status::Cancelled), sender, Instant::now())
            .unwrap();
        let _third = push(&queue, change("a", Status::Delivered));
        let group = queue.take().await.unwrap();
        queue.give_up_late(&NotWritten::Unavailable);
        assert_eq!(late.await, Ok(Err(NotWritten::Unavailable)));
        drop(group);
        let group = queue.take().await.unwrap();
        assert_eq!(wanted(&group), [("a".into(), Status::Delivered)]);
    }
}
