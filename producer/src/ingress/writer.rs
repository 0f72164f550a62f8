//! The loop: take, commit, halve or wait, answer.
//!
//! ```text
//!                                  ┌─ answered, or beaten: the long way
//! usual way ─▶ lock or time-out ─▶ careful way ─▶ locked order: back to the queue, for a pause
//!                                  └─ lock or time-out: halved ─▶ alone: paused; or tried once more
//! ```
//!
//! One change's own fault fails no other change of its group: what can't be written together is
//! halved until the change that is at fault stands alone, and those that were not tried yet go first.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::counter;
use runtime::backoff::Backoff;
use runtime::lifecycle::Failure;
use runtime::metrics::{INGRESS_GROUP_CHANGES, INGRESS_GROUPS};
use runtime::postgres::{Database, Unwritable, message_of};
use sqlx::{Connection, PgConnection};

use super::change::{NotWritten, Outcome};
use super::commit::{Came, CommitError, Outcomes, commit_group};
use super::gate::Gate;
use super::job::{Care, Job, Way};
use super::queue::{Group, Queue};
use super::wakeup::Wakeup;
use crate::database::{Fault, fault_of};

/// A database that accepts a connection but does not answer is away too.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// A group that takes longer met a database that hangs. Longer than its own statement timeout, so
/// that normally the server has the word.
const GROUP_TIMEOUT: Duration = Duration::from_secs(6);

/// A writer finds every row by its key. A plan that was made and kept while the tables were small,
/// or never analyzed, would scan them whole for ever after; what forbids it makes such a plan look
/// dear, which must not start the compiler.
///
/// What is waited for a lock or for a slow row is waited for by a whole group, so it is short; after
/// it the group is tried carefully ([`Way::Careful`]).
const SESSION: [(&str, &str); 6] = [
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
    ("lock_timeout", "200ms"),
    ("statement_timeout", "2s"),
];

/// So many conflicts in a row are no accident; from then on the group waits between tries.
const QUICK_RETRIES: u32 = 5;

/// A connection that was not used for this long is asked whether it lives before a group is given to
/// it: of one that is lost nobody knows what became of the group.
const IDLE: Duration = Duration::from_millis(100);

/// One writer, with a connection of its own.
#[derive(Debug)]
pub struct Writer {
    queue: Arc<Queue>,
    gate: Arc<Gate>,
    database: Database,
    wakeup: Wakeup,
    /// With the time of its last answer.
    connection: Option<(PgConnection, Instant)>,
    backoff: Backoff,
    conflicts: u32,
}

/// What to do with a group after a try.
enum Next {
    /// It is committed.
    Answer(Outcomes),
    /// The same again, at once.
    Again,
    /// The same with limits so short that it can be halved.
    Carefully,
    /// One of its changes stops it, for this reason.
    Halve(Stopped),
    /// The same later; meanwhile this is what everybody is held up by.
    Wait(NotWritten),
    /// All writes are refused for this reason.
    Refuse(Unwritable),
}

/// Why a group was stopped by one of its changes.
enum Stopped {
    /// Postgres refuses its data.
    Data,
    /// Another session holds a lock that it needs.
    Lock,
    /// The statement failed or took too long, in Postgres's words.
    Statement(String),
}

impl Writer {
    /// Writes what `queue` has, over connections of its own; closes `gate` when the database takes
    /// no writes.
    pub fn new(queue: Arc<Queue>, gate: Arc<Gate>, database: Database, wakeup: Wakeup) -> Self {
        // Rates need the counters to be there before they count.
        for outcome in ["committed", "locked", "halved", "failed"] {
            counter!(INGRESS_GROUPS, "outcome" => outcome).increment(0);
        }
        counter!(INGRESS_GROUP_CHANGES).increment(0);
        Self {
            queue,
            gate,
            database: database.with(SESSION),
            wakeup,
            connection: None,
            backoff: Backoff::new(Duration::from_millis(20), Duration::from_millis(500)),
            conflicts: 0,
        }
    }

    /// Writes until the queue is closed and empty.
    ///
    /// # Errors
    /// None; the type is that of a part.
    pub async fn run(mut self) -> Result<(), Failure> {
        while let Some(mut group) = self.queue.take().await {
            self.write(&mut group).await;
            // Only now may the next change of the same orders be taken.
            drop(group);
        }
        if let Some((connection, _)) = self.connection {
            let _ = connection.close().await;
        }
        Ok(())
    }

    /// Writes a group, and answers each of its changes or gives it back to the queue.
    async fn write(&mut self, group: &mut Group) {
        let mut parts = VecDeque::from([std::mem::take(&mut group.jobs)]);
        let mut held_up_by = NotWritten::Unavailable;
        while let Some(jobs) = parts.pop_front() {
            let jobs = without_late(group, jobs, &held_up_by);
            let Some((way, mut jobs, others)) = of_one_way(jobs) else {
                continue;
            };
            if !others.is_empty() {
                parts.push_back(others);
            }
            // What was taken in before the gate was closed.
            if let Some(why) = self.gate.unwritable() {
                refuse(group, jobs, why);
                continue;
            }
            match self.try_once(way, &mut jobs).await {
                Next::Answer(outcomes) => {
                    parts.extend(self.answer(group, jobs, outcomes));
                }
                Next::Again => parts.push_front(jobs),
                Next::Carefully => {
                    count_group("locked");
                    jobs.iter_mut().for_each(|job| job.care = Care::Careful);
                    parts.push_back(jobs);
                }
                Next::Halve(why) if jobs.len() == 1 => {
                    count_group("failed");
                    parts.extend(jobs.pop().and_then(|job| alone(group, job, why)));
                }
                Next::Halve(_) => {
                    count_group("halved");
                    let rest = jobs.split_off(jobs.len() / 2);
                    parts.extend([jobs, rest]);
                }
                Next::Refuse(why) => {
                    count_group("failed");
                    self.gate.refuse(why);
                    refuse(group, jobs, why);
                }
                Next::Wait(why) => {
                    count_group("failed");
                    tokio::time::sleep(self.backoff.next_pause()).await;
                    self.queue.give_up_late(&why);
                    held_up_by = why;
                    parts.push_front(jobs);
                }
            }
        }
    }

    /// Answers, and gives locked changes back to the queue; returns those that are to go the long way.
    fn answer(
        &mut self,
        group: &mut Group,
        jobs: Vec<Job>,
        outcomes: Outcomes,
    ) -> Option<Vec<Job>> {
        assert_eq!(jobs.len(), outcomes.len(), "every change gets its answer");
        self.backoff.reset();
        self.conflicts = 0;
        let is_written =
            |came: &Came| matches!(came, Came::Of(Ok(Outcome::Placed(_) | Outcome::Changed(_))));
        if outcomes.iter().any(is_written) {
            self.wakeup.wake();
        }
        count_group("committed");
        let mut beaten = Vec::new();
        let mut answered = 0;
        for (mut job, came) in jobs.into_iter().zip(outcomes) {
            match came {
                Came::Of(outcome) => {
                    answered += 1;
                    job.answer(outcome);
                }
                Came::Beaten => {
                    job.beaten = true;
                    beaten.push(job);
                }
                Came::Locked => group.pause(job),
            }
        }
        counter!(INGRESS_GROUP_CHANGES).increment(answered);
        (!beaten.is_empty()).then_some(beaten)
    }

    async fn try_once(&mut self, way: Way, jobs: &mut [Job]) -> Next {
        let mut connection = match self.connect().await {
            Ok(connection) => connection,
            Err(error) => {
                let message = message_of(&error);
                tracing::warn!(
                    error = message,
                    "can't write orders: no connection to Postgres"
                );
                return Unwritable::of(&error)
                    .map_or(Next::Wait(NotWritten::Unavailable), Next::Refuse);
            }
        };
        let tried =
            tokio::time::timeout(GROUP_TIMEOUT, commit_group(&mut connection, way, jobs)).await;
        let error = match tried {
            Ok(Ok(outcomes)) => {
                self.keep(connection);
                return Next::Answer(outcomes);
            }
            Ok(Err(CommitError::KeyTaken)) => return self.conflict(connection),
            Ok(Err(CommitError::TablesLocked)) => {
                tracing::warn!("can't write orders: another session has locked a table of ours");
                self.keep(connection);
                return Next::Wait(NotWritten::TablesLocked);
            }
            Ok(Err(CommitError::Database(error))) => error,
            Err(_) => {
                tracing::warn!("can't write orders: Postgres did not answer in {GROUP_TIMEOUT:?}");
                return Next::Wait(NotWritten::Unavailable);
            }
        };
        let stopped = match fault_of(&error) {
            Fault::Conflict => return self.conflict(connection),
            Fault::Away => {
                tracing::warn!(%error, "can't write orders: trying again on a new connection");
                return Next::Wait(NotWritten::Unavailable);
            }
            Fault::Unwritable(why) => {
                let error = message_of(&error);
                tracing::error!(error, "can't write orders: {}", why.as_str());
                return Next::Refuse(why);
            }
            Fault::Data => Stopped::Data,
            Fault::Locked => Stopped::Lock,
            Fault::Statement => Stopped::Statement(message_of(&error)),
        };
        self.keep(connection);
        if let [job] = jobs {
            tracing::warn!(%error, "Postgres does not write {}", job.subject());
        }
        let is_alone = jobs.iter().all(|job| job.care == Care::Alone);
        if way == Way::Careful || is_alone || matches!(stopped, Stopped::Data) {
            Next::Halve(stopped)
        } else {
            Next::Carefully
        }
    }

    /// The transaction was undone because another one was in the way.
    fn conflict(&mut self, connection: PgConnection) -> Next {
        self.keep(connection);
        self.conflicts += 1;
        if self.conflicts > QUICK_RETRIES {
            return Next::Wait(NotWritten::Unavailable);
        }
        Next::Again
    }

    fn keep(&mut self, connection: PgConnection) {
        self.connection = Some((connection, Instant::now()));
    }

    async fn connect(&mut self) -> Result<PgConnection, sqlx::Error> {
        if let Some((mut connection, answered)) = self.connection.take() {
            let lives = answered.elapsed() < IDLE || {
                let ping = tokio::time::timeout(CONNECT_TIMEOUT, connection.ping());
                matches!(ping.await, Ok(Ok(())))
            };
            if lives {
                return Ok(connection);
            }
        }
        self.database.connect(CONNECT_TIMEOUT).await
    }
}

/// Answers changes that were not written, and won't be.
fn refuse(group: &mut Group, jobs: Vec<Job>, why: Unwritable) {
    for job in jobs {
        group.give_up(job, &NotWritten::Unwritable(why));
    }
}

/// Those that can be written together, the way of the first, and the others.
fn of_one_way(jobs: Vec<Job>) -> Option<(Way, Vec<Job>, Vec<Job>)> {
    let way = jobs.first()?.way();
    let (jobs, others) = jobs.into_iter().partition(|job| job.way() == way);
    Some((way, jobs, others))
}

/// What becomes of the change that stopped its group, now that nothing else is in it. Returned if it
/// is to be tried once more.
fn alone(group: &mut Group, mut job: Job, why: Stopped) -> Option<Vec<Job>> {
    match why {
        Stopped::Data => not_written(job, NotWritten::Rejected),
        Stopped::Lock => group.pause(job),
        Stopped::Statement(_) if job.care == Care::Careful => {
            job.care = Care::Alone;
            return Some(vec![job]);
        }
        Stopped::Statement(error) => {
            let why = format!("{}: {error}", job.subject());
            not_written(job, NotWritten::Failed(why));
        }
    }
    None
}

/// Answers a change that failed, unless an earlier try may have written it.
fn not_written(job: Job, why: NotWritten) {
    let why = if job.attempt.is_some() {
        NotWritten::OutcomeUnknown
    } else {
        why
    };
    job.answer(Err(why));
}

fn without_late(group: &mut Group, jobs: Vec<Job>, why: &NotWritten) -> Vec<Job> {
    let now = Instant::now();
    let (late, jobs): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|job| job.is_late(now));
    for job in late {
        group.give_up(job, why);
    }
    jobs
}

fn count_group(outcome: &'static str) {
    counter!(INGRESS_GROUPS, "outcome" => outcome).increment(1);
}
