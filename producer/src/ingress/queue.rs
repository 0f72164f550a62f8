//! Changes that wait to be written, and which of them may be committed together.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, TryAcquireError, oneshot};

use super::change::{Change, NotDone, Outcome};
use super::conflicts::{ConflictKey, Conflicts, Ticket};
use super::job::{Job, Retry};
use crate::limits::{
    MAX_GROUP_CHANGES, MAX_LOCKED_CHANGES_PER_GROUP, SECOND_WRITER_CHANGES, SECOND_WRITER_DELAY,
};

/// Changes in the order of arrival.
///
/// Two changes of one order, or under one idempotency key, are never with writers at the same time, and
/// leave in the order of arrival. So writers of one process don't wait for each other's row locks, and
/// a request that repeats one in flight waits for it here. A change that waits for another one is kept
/// in a separate collection, so the cost of taking a group does not depend on how many changes of one
/// order wait.
///
/// A change that met another session's lock pauses here. It keeps its conflict keys, so later changes
/// of its order don't overtake it, and it occupies no writer.
#[derive(Debug)]
pub struct Queue {
    state: Mutex<State>,
    work: Notify,
    room: Arc<Semaphore>,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct State {
    /// Changes that may be taken, in any combination.
    ready: VecDeque<Job>,
    /// Changes that wait for earlier ones, by their tickets.
    blocked: HashMap<Ticket, Job>,
    /// Changes that wait for another session's lock, by the time of their next try.
    paused: BTreeMap<(Instant, Ticket), Job>,
    /// The conflict keys of all changes that are not done.
    conflicts: Conflicts,
    last_ticket: Ticket,
    /// Writers that have a group.
    groups_in_progress: usize,
    closed: bool,
}

/// A group that a writer has taken. Its conflict keys are held until this is dropped.
#[derive(Debug)]
pub(super) struct Group {
    queue: Arc<Queue>,
    held: Vec<Held>,
    pub(super) jobs: Vec<Job>,
}

/// The conflict keys of one change of a group.
#[derive(Debug)]
struct Held {
    ticket: Ticket,
    keys: Vec<ConflictKey>,
    /// Whether the change was given up because of another session's lock, which the next change with
    /// these keys will meet too.
    met_lock: bool,
}

impl Drop for Group {
    fn drop(&mut self) {
        self.queue.release(&self.held);
    }
}

impl Group {
    fn new(queue: Arc<Queue>, jobs: Vec<Job>) -> Self {
        let with_keys = jobs.iter().filter(|job| !job.conflict_keys.is_empty());
        let held = with_keys.map(|job| Held {
            ticket: job.ticket,
            keys: job.conflict_keys.clone(),
            met_lock: false,
        });
        Self {
            queue,
            held: held.collect(),
            jobs,
        }
    }

    /// Returns a change that met another session's lock to the queue, to be tried again later.
    pub(super) fn pause(&mut self, mut job: Job) {
        let until = job.met_lock(Instant::now());
        self.held.retain(|held| held.ticket != job.ticket);
        let mut state = self.queue.lock();
        state.paused.insert((until, job.ticket), job);
        drop(state);
        // When the pause ends, this writer may still be busy with the rest of its group.
        self.queue.work.notify_one();
    }

    /// Answers a change whose deadline has passed; `why` is the reason that holds up all changes.
    pub(super) fn give_up(&mut self, job: Job, why: &NotDone) {
        let mut held = self.held.iter_mut();
        if job.waits_for_lock()
            && let Some(held) = held.find(|held| held.ticket == job.ticket)
        {
            held.met_lock = true;
        }
        job.give_up(why);
    }
}

impl Queue {
    /// Returns a queue in which at most `capacity` changes wait or are being written.
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
        answer: oneshot::Sender<Result<Outcome, NotDone>>,
        deadline: Instant,
    ) -> Result<(), NotDone> {
        let room = Arc::clone(&self.room)
            .try_acquire_owned()
            .map_err(|error| match error {
                TryAcquireError::NoPermits => NotDone::Overloaded,
                TryAcquireError::Closed => NotDone::Closing,
            })?;
        self.append(change, answer, deadline, room)
    }

    pub(super) async fn push_when_room(
        &self,
        change: Change,
        answer: oneshot::Sender<Result<Outcome, NotDone>>,
        deadline: Instant,
    ) -> Result<(), NotDone> {
        let room = Arc::clone(&self.room).acquire_owned();
        let room = tokio::time::timeout_at(deadline.into(), room)
            .await
            .map_err(|_| NotDone::Overloaded)?
            .map_err(|_| NotDone::Closing)?;
        self.append(change, answer, deadline, room)
    }

    fn append(
        &self,
        change: Change,
        answer: oneshot::Sender<Result<Outcome, NotDone>>,
        deadline: Instant,
        room: OwnedSemaphorePermit,
    ) -> Result<(), NotDone> {
        let mut job = Job::new(change, answer, deadline, room);
        job.conflict_keys = self.conflict_keys(&job);
        let mut state = self.lock();
        if state.closed {
            return Err(NotDone::Closing);
        }
        let needs_writer = state.append(job);
        drop(state);
        if needs_writer {
            self.work.notify_one();
        }
        Ok(())
    }

    fn conflict_keys(&self, job: &Job) -> Vec<ConflictKey> {
        let order = job
            .order_id()
            .map(|order_id| self.hasher.hash_one(("order", order_id)));
        let claim = job.change.claim.as_ref();
        let key = claim.map(|claim| self.hasher.hash_one(("key", &claim.api_key_id, &claim.key)));
        let mut keys: Vec<ConflictKey> = order.into_iter().chain(key).collect();
        keys.dedup();
        keys
    }

    /// Takes all changes that may be committed together now, up to the maximum of a group; waits until
    /// there is one. Returns `None` when the queue is closed and empty.
    pub(super) async fn take(self: &Arc<Self>) -> Option<Group> {
        loop {
            let work = self.work.notified();
            let (jobs, left) = {
                let mut state = self.lock();
                (state.take(Instant::now()), state.remaining())
            };
            if !jobs.is_empty() {
                if matches!(left, Remaining::Ready | Remaining::Paused(_)) {
                    self.work.notify_one();
                }
                return Some(Group::new(Arc::clone(self), jobs));
            }
            match left {
                Remaining::Ready => {
                    let _ = tokio::time::timeout(SECOND_WRITER_DELAY, work).await;
                }
                Remaining::Paused(until) => {
                    let _ = tokio::time::timeout_at(until.into(), work).await;
                }
                Remaining::Nothing => work.await,
                Remaining::End => {
                    // The other writers wait too.
                    self.work.notify_one();
                    return None;
                }
            }
            // Lets requests that are ready submit their changes first, which makes the group larger.
            tokio::task::yield_now().await;
        }
    }

    /// Releases the conflict keys of a group. Its writer calls [`Queue::take`] next, so no other writer
    /// is notified of what becomes ready.
    fn release(&self, group: &[Held]) {
        let mut state = self.lock();
        state.groups_in_progress -= 1;
        for held in group {
            let retry = if held.met_lock {
                Retry::ShortTimeouts
            } else {
                Retry::Grouped
            };
            state.leave(held.ticket, &held.keys, retry);
        }
        let closed = state.closed;
        drop(state);
        if closed {
            // The other writers end too.
            self.work.notify_one();
        }
    }

    /// Answers the changes whose deadline has passed; called while `why` holds up all changes.
    pub(super) fn give_up_late(&self, why: &NotDone) {
        let late = self.lock().take_overdue(Instant::now());
        for job in late {
            job.give_up(why);
        }
    }

    /// Accepts no more changes.
    pub(super) fn close(&self) {
        self.room.close();
        self.lock().closed = true;
        self.work.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What remains in the queue after a writer has taken a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Remaining {
    /// Changes that another writer may take once they have waited long enough.
    Ready,
    /// Changes that are to be tried again from this time on.
    Paused(Instant),
    /// Nothing that could be taken before the next notification.
    Nothing,
    /// Nothing, and the queue is closed.
    End,
}

impl State {
    /// Adds a change. Returns whether a writer is to be notified. One notification is enough: the
    /// writer takes all ready changes, or waits until it may.
    fn append(&mut self, mut job: Job) -> bool {
        self.last_ticket += 1;
        job.ticket = self.last_ticket;
        if self.conflicts.join(job.ticket, &job.conflict_keys) {
            self.ready.push_back(job);
            self.ready.len() == 1 || self.ready.len() == SECOND_WRITER_CHANGES
        } else {
            self.blocked.insert(job.ticket, job);
            false
        }
    }

    fn take(&mut self, now: Instant) -> Vec<Job> {
        self.end_pauses(now);
        if !self.needs_writer(now) {
            return Vec::new();
        }
        let most = self.ready.len().min(MAX_GROUP_CHANGES);
        let taken: Vec<Job> = self.ready.drain(..most).collect();
        self.groups_in_progress += usize::from(!taken.is_empty());
        taken
    }

    fn end_pauses(&mut self, now: Instant) {
        for _ in 0..MAX_LOCKED_CHANGES_PER_GROUP {
            match self.paused.first_entry() {
                Some(first) if first.key().0 <= now => self.ready.push_back(first.remove()),
                _ => return,
            }
        }
    }

    fn remaining(&self) -> Remaining {
        if !self.ready.is_empty() {
            Remaining::Ready
        } else if let Some(((until, _), _)) = self.paused.first_key_value() {
            Remaining::Paused(*until)
        } else if self.closed && self.blocked.is_empty() {
            Remaining::End
        } else {
            Remaining::Nothing
        }
    }

    fn needs_writer(&self, now: Instant) -> bool {
        let has_waited =
            |job: &Job| now.saturating_duration_since(job.ready_since) >= SECOND_WRITER_DELAY;
        self.groups_in_progress == 0
            || self.closed
            || self.ready.len() >= SECOND_WRITER_CHANGES
            || self.ready.front().is_some_and(has_waited)
    }

    /// Releases the keys of a change. Changes that waited only for this one become ready, with `retry`.
    fn leave(&mut self, ticket: Ticket, keys: &[ConflictKey], retry: Retry) {
        for next in self.conflicts.leave(ticket, keys) {
            let holds_all = |job: &Job| self.conflicts.holds_all(job.ticket, &job.conflict_keys);
            if self.blocked.get(&next).is_some_and(holds_all)
                && let Some(mut job) = self.blocked.remove(&next)
            {
                job.ready_since = Instant::now();
                if retry != Retry::Grouped {
                    job.retry = retry;
                }
                self.ready.push_back(job);
            }
        }
    }

    fn take_overdue(&mut self, now: Instant) -> Vec<Job> {
        let is_overdue = |job: &Job| job.is_overdue(now);
        let mut late: Vec<Job> = self
            .blocked
            .extract_if(|_, job| is_overdue(job))
            .map(|(_, job)| job)
            .collect();
        let paused = self.paused.extract_if(.., |_, job| is_overdue(job));
        late.extend(paused.map(|(_, job)| job));
        let (ready_late, ready) = std::mem::take(&mut self.ready)
            .into_iter()
            .partition(is_overdue);
        self.ready = ready;
        late.extend::<VecDeque<Job>>(ready_late);
        for job in &late {
            self.leave(job.ticket, &job.conflict_keys, Retry::Grouped);
        }
        late
    }
}

#[cfg(test)]
mod tests;
