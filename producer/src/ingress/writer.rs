//! The loop of a writer: take a group, commit it, bisect it or wait, answer.
//!
//! ```text
//!                                ┌─ committed: answered; or overtaken: a transaction
//! fast path ─▶ lock or time-out ─▶ careful ─▶ locked order: back to the queue, for a pause
//!                                └─ lock or time-out: bisected ─▶ alone: paused; or tried once more
//! ```
//!
//! The fault of one change fails no other change of its group: a group that cannot be written together
//! is bisected until the change at fault is alone, and the parts that were not tried yet go first.
//!
//! | module | subject |
//! |---|---|
//! | `commit` | commits a group by its path |
//! | `place`, `set_status` | new orders; changes of status |
//! | `replay` | answers that are stored under idempotency keys |
//! | `decide` | decides about a change, given the row: pure |
//! | `entry` | a change while its group is being committed |

mod commit;
mod decide;
mod entry;
mod place;
mod replay;
mod set_status;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use metrics::counter;
use runtime::backoff::Backoff;
use runtime::duration::human_duration;
use runtime::lifecycle::Failure;
use runtime::metrics::{Count, INGRESS_GROUP_CHANGES, INGRESS_GROUPS, RetryClass};
use runtime::postgres::{Database, Unwritable, message_of};
use runtime::traces::{Tracer, statement};
use sqlx::{Connection, PgConnection};

use super::change::NotDone;
use super::gate::Gate;
use super::job::{CommitPath, Job, Retry};
use super::queue::{Group, Queue};
use super::wakeup::Wakeup;
use crate::database::{Fault, fault_of};
use crate::limits::{
    CONNECTION_CHECK_AFTER, GROUP_RETRY_PAUSES, GROUP_TIMEOUT, MAX_IMMEDIATE_RETRIES,
    WRITER_CONNECT_TIMEOUT,
};
use crate::store;
use commit::{CommitError, commit};
use entry::Settled;

/// One writer, with a connection of its own.
#[derive(Debug)]
pub struct Writer {
    queue: Arc<Queue>,
    gate: Arc<Gate>,
    database: Database,
    wakeup: Wakeup,
    /// The connection, with the time of its last answer.
    connection: Option<(PgConnection, Instant)>,
    backoff: Backoff,
    conflicts: u32,
    tracer: Tracer,
}

/// What to do with changes after they were tried.
enum Next {
    /// They are committed: answer them.
    Answer(Vec<Settled>),
    /// Try the same again at once.
    Again,
    /// Try the same on the careful path, on which it can be bisected.
    Carefully,
    /// One of the changes stops all of them, for this reason: bisect.
    Bisect(Stopped),
    /// Try the same later; meanwhile this reason holds up all changes.
    Wait(NotDone),
    /// The database refuses all writes for this reason.
    Refuse(Unwritable),
}

/// Why a change stopped its group.
enum Stopped {
    /// Postgres refuses its data.
    Data,
    /// Another session holds a lock that it needs.
    Lock,
    /// The statement failed or took too long; this is Postgres's message.
    Statement(String),
}

impl Writer {
    /// Returns a writer of what is in `queue`. It closes `gate` when the database takes no writes, and
    /// notifies `wakeup` of new events.
    pub fn new(queue: Arc<Queue>, gate: Arc<Gate>, database: Database, wakeup: Wakeup) -> Self {
        let (first_pause, longest_pause) = GROUP_RETRY_PAUSES;
        Self {
            queue,
            gate,
            database: store::session::for_writers(database),
            wakeup,
            connection: None,
            backoff: Backoff::new(first_pause, longest_pause),
            conflicts: 0,
            tracer: Tracer::off(),
        }
    }

    /// Records a span of each group that has a sampled change.
    #[must_use]
    pub fn tracing(mut self, tracer: Tracer) -> Self {
        self.tracer = tracer;
        self
    }

    /// Writes until the queue is closed and empty.
    ///
    /// # Errors
    /// None; the supervisor expects this type.
    pub async fn run(mut self) -> Result<(), Failure> {
        while let Some(mut group) = self.queue.take().await {
            self.write(&mut group).await;
            // Only now may the next changes of the same orders be taken.
            drop(group);
        }
        if let Some((connection, _)) = self.connection {
            let _ = connection.close().await;
        }
        Ok(())
    }

    /// Answers each change of a group, or returns it to the queue.
    async fn write(&mut self, group: &mut Group) {
        let mut parts = VecDeque::from([std::mem::take(&mut group.jobs)]);
        let mut held_up_by = NotDone::Unavailable;
        while let Some(jobs) = parts.pop_front() {
            let jobs = without_late(group, jobs, &held_up_by);
            let Some((path, mut jobs, others)) = of_one_path(jobs) else {
                continue;
            };
            if !others.is_empty() {
                parts.push_back(others);
            }
            // These changes were accepted before the gate was closed.
            if let Some(why) = self.gate.unwritable() {
                refuse(group, jobs, why);
                continue;
            }
            match self.try_once(path, &mut jobs).await {
                Next::Answer(settled) => {
                    parts.extend(self.answer(group, jobs, settled));
                }
                Next::Again => parts.push_front(jobs),
                Next::Carefully => {
                    count_group("locked");
                    jobs.iter_mut()
                        .for_each(|job| job.retry = Retry::ShortTimeouts);
                    parts.push_back(jobs);
                }
                Next::Bisect(why) if jobs.len() == 1 => {
                    count_group("failed");
                    parts.extend(jobs.pop().and_then(|job| settle_alone(group, job, why)));
                }
                Next::Bisect(_) => {
                    count_group("halved");
                    Count::retry(RetryClass::Data).record();
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
                    Count::retry(RetryClass::Postgres).record();
                    if why == NotDone::TablesLocked {
                        jobs.iter_mut().for_each(Job::met_table_lock);
                    }
                    tokio::time::sleep(self.backoff.next_pause()).await;
                    self.queue.give_up_late(&why);
                    held_up_by = why;
                    parts.push_front(jobs);
                }
            }
        }
    }

    /// Answers changes after their commit, and returns locked ones to the queue. Returns the overtaken
    /// ones, which are to be written in a transaction.
    fn answer(
        &mut self,
        group: &mut Group,
        jobs: Vec<Job>,
        settled: Vec<Settled>,
    ) -> Option<Vec<Job>> {
        assert_eq!(jobs.len(), settled.len(), "every change gets its answer");
        self.backoff.reset();
        self.conflicts = 0;
        if settled.iter().any(Settled::has_event) {
            self.wakeup.wake();
        }
        count_group("committed");
        let mut overtaken = Vec::new();
        let mut answered = 0;
        for (mut job, settled) in jobs.into_iter().zip(settled) {
            match settled {
                Settled::Answer(outcome) => {
                    answered += 1;
                    job.answer(outcome);
                }
                Settled::Overtaken => {
                    job.overtaken = true;
                    overtaken.push(job);
                }
                Settled::Locked => group.pause(job),
            }
        }
        counter!(INGRESS_GROUP_CHANGES).increment(answered);
        (!overtaken.is_empty()).then_some(overtaken)
    }

    async fn try_once(&mut self, path: CommitPath, jobs: &mut [Job]) -> Next {
        let mut connection = match self.connect().await {
            Ok(connection) => connection,
            Err(error) => {
                let message = message_of(&error);
                tracing::warn!(
                    error = message,
                    "cannot write orders: no connection to Postgres"
                );
                return Unwritable::of(&error)
                    .map_or(Next::Wait(NotDone::Unavailable), Next::Refuse);
            }
        };
        let since = self.tracer.is_on().then(SystemTime::now);
        let tried = tokio::time::timeout(GROUP_TIMEOUT, commit(&mut connection, path, jobs)).await;
        let error = match tried {
            Ok(Ok(settled)) => {
                if let Some(since) = since {
                    self.record_group(path, jobs, since);
                }
                self.keep(connection);
                return Next::Answer(settled);
            }
            Ok(Err(CommitError::KeyTaken)) => return self.conflict(connection),
            Ok(Err(CommitError::TablesLocked)) => {
                tracing::warn!(
                    "cannot write orders: another session has locked one of their tables"
                );
                self.keep(connection);
                return Next::Wait(NotDone::TablesLocked);
            }
            Ok(Err(CommitError::Database(error))) => error,
            Err(_) => {
                tracing::warn!(
                    "cannot write orders: Postgres did not answer within {}",
                    human_duration(GROUP_TIMEOUT)
                );
                return Next::Wait(NotDone::Unavailable);
            }
        };
        let stopped = match fault_of(&error) {
            Fault::Conflict => return self.conflict(connection),
            Fault::Away => {
                tracing::warn!(%error, "cannot write orders: trying again on a new connection");
                return Next::Wait(NotDone::Unavailable);
            }
            Fault::Unwritable(why) => {
                let error = message_of(&error);
                tracing::error!(error, "cannot write orders: {}", why.as_str());
                return Next::Refuse(why);
            }
            Fault::Data => Stopped::Data,
            Fault::Locked => Stopped::Lock,
            Fault::Statement => Stopped::Statement(message_of(&error)),
        };
        self.keep(connection);
        if let [job] = jobs {
            let trace_id = job.change.trace.trace_id();
            tracing::warn!(%error, trace_id, "Postgres does not write {}", job.subject());
        }
        let is_alone = jobs.iter().all(|job| job.retry == Retry::Alone);
        if path == CommitPath::Careful || is_alone || matches!(stopped, Stopped::Data) {
            Next::Bisect(stopped)
        } else {
            Next::Carefully
        }
    }

    /// Records the span of a group that was committed, if one of its changes is sampled.
    fn record_group(&self, path: CommitPath, jobs: &[Job], since: SystemTime) {
        let traces = jobs.iter().map(|job| job.change.trace);
        let mut sampled = traces.filter(|trace| trace.is_sampled()).peekable();
        if sampled.peek().is_none() {
            return;
        }
        let operation = match path {
            CommitPath::Place => "INSERT",
            CommitPath::SetStatus => "UPDATE",
            // Any changes, in one transaction.
            CommitPath::Transaction | CommitPath::Careful => "COMMIT",
        };
        let times = (since, SystemTime::now());
        let span = statement(operation, "orders", jobs.len(), times);
        self.tracer.record(span.linked_to(sampled));
    }

    /// Decides what to do after a transaction that was rolled back because of a concurrent one.
    fn conflict(&mut self, connection: PgConnection) -> Next {
        self.keep(connection);
        self.conflicts += 1;
        if self.conflicts > MAX_IMMEDIATE_RETRIES {
            return Next::Wait(NotDone::Unavailable);
        }
        Count::retry(RetryClass::Conflict).record();
        Next::Again
    }

    fn keep(&mut self, connection: PgConnection) {
        self.connection = Some((connection, Instant::now()));
    }

    async fn connect(&mut self) -> Result<PgConnection, sqlx::Error> {
        if let Some((mut connection, answered)) = self.connection.take() {
            let lives = answered.elapsed() < CONNECTION_CHECK_AFTER || {
                let ping = tokio::time::timeout(WRITER_CONNECT_TIMEOUT, connection.ping());
                matches!(ping.await, Ok(Ok(())))
            };
            if lives {
                return Ok(connection);
            }
        }
        self.database.connect(WRITER_CONNECT_TIMEOUT).await
    }
}

/// Answers changes that will not be written because the database takes no writes.
fn refuse(group: &mut Group, jobs: Vec<Job>, why: Unwritable) {
    for job in jobs {
        group.give_up(job, &NotDone::Unwritable(why));
    }
}

/// Splits changes into those that take the path of the first one, and the others.
fn of_one_path(jobs: Vec<Job>) -> Option<(CommitPath, Vec<Job>, Vec<Job>)> {
    let path = jobs.first()?.path();
    let (jobs, others) = jobs.into_iter().partition(|job| job.path() == path);
    Some((path, jobs, others))
}

/// Settles a change that stopped its group, now that it is alone. Returns it if it is to be tried once
/// more.
fn settle_alone(group: &mut Group, mut job: Job, why: Stopped) -> Option<Vec<Job>> {
    match why {
        Stopped::Data => job.fail(NotDone::DataRefused),
        Stopped::Lock => group.pause(job),
        Stopped::Statement(_) if job.retry == Retry::ShortTimeouts => {
            job.retry = Retry::Alone;
            return Some(vec![job]);
        }
        Stopped::Statement(error) => {
            let why = format!("{}: {error}", job.subject());
            job.fail(NotDone::StatementFailed(why));
        }
    }
    None
}

/// Answers changes whose deadline has passed, and returns the others.
fn without_late(group: &mut Group, jobs: Vec<Job>, why: &NotDone) -> Vec<Job> {
    let now = Instant::now();
    let (late, jobs): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|job| job.is_overdue(now));
    for job in late {
        group.give_up(job, why);
    }
    jobs
}

fn count_group(outcome: &'static str) {
    counter!(INGRESS_GROUPS, "outcome" => outcome).increment(1);
}
