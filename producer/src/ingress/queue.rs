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
/// another change stands in a line of its own (`lines`), where it is in nobody's way: taking a
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
        drop(state);
        // This writer may have other parts of its group to write when it is time.
        self.queue.work.notify_one();
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
                if matches!(left, Left::Ready | Left::Paused(_)) {
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
mod tests;
