//! The loop: take, commit, halve or wait, answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::counter;
use runtime::backoff::Backoff;
use runtime::lifecycle::Failure;
use runtime::metrics::{INGRESS_GROUP_CHANGES, INGRESS_GROUPS};
use runtime::postgres::{Database, Unwritable, message_of};
use sqlx::{Connection, PgConnection};

use super::change::{NotWritten, Outcome};
use super::commit::{CommitError, Outcomes, commit_group};
use super::gate::Gate;
use super::queue::{Job, Queue, Way};
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
const SESSION: [(&str, &str); 4] = [
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
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
    Answer(Outcomes),
    Again,
    Halve,
    Wait,
    /// All writes are refused for this reason.
    Refuse(Unwritable),
}

impl Writer {
    /// Writes what `queue` has, over connections of its own; closes `gate` when the database takes
    /// no writes.
    pub fn new(queue: Arc<Queue>, gate: Arc<Gate>, database: Database, wakeup: Wakeup) -> Self {
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
            let jobs = std::mem::take(&mut group.jobs);
            self.write(jobs).await;
            // Only now may the next change of the same orders be taken.
            drop(group);
        }
        if let Some((connection, _)) = self.connection {
            let _ = connection.close().await;
        }
        Ok(())
    }

    /// Writes a group, and answers each of its changes.
    async fn write(&mut self, jobs: Vec<Job>) {
        let mut groups = vec![jobs];
        while let Some(jobs) = groups.pop() {
            let Some((way, mut jobs, others)) = of_one_way(without_late(jobs)) else {
                continue;
            };
            if !others.is_empty() {
                groups.push(others);
            }
            // What was taken in before the gate was closed.
            if let Some(why) = self.gate.unwritable() {
                refuse(jobs, why);
                continue;
            }
            match self.try_once(way, &mut jobs).await {
                Next::Answer(outcomes) => groups.extend(self.answer(jobs, outcomes)),
                Next::Again => groups.push(jobs),
                Next::Halve if jobs.len() == 1 => {
                    counter!(INGRESS_GROUPS, "outcome" => "failed").increment(1);
                    for job in jobs {
                        job.answer(Err(NotWritten::Rejected));
                    }
                }
                Next::Halve => {
                    counter!(INGRESS_GROUPS, "outcome" => "halved").increment(1);
                    let rest = jobs.split_off(jobs.len() / 2);
                    groups.push(rest);
                    groups.push(jobs);
                }
                Next::Refuse(why) => {
                    counter!(INGRESS_GROUPS, "outcome" => "failed").increment(1);
                    self.gate.refuse(why);
                    refuse(jobs, why);
                }
                Next::Wait => {
                    counter!(INGRESS_GROUPS, "outcome" => "failed").increment(1);
                    tokio::time::sleep(self.backoff.next_pause()).await;
                    self.queue.give_up_late();
                    groups.push(jobs);
                }
            }
        }
    }

    /// Answers; gives back those that are to go the long way.
    fn answer(&mut self, jobs: Vec<Job>, outcomes: Outcomes) -> Option<Vec<Job>> {
        assert_eq!(jobs.len(), outcomes.len(), "every change gets its answer");
        self.backoff.reset();
        self.conflicts = 0;
        let wrote = outcomes
            .iter()
            .flatten()
            .any(|outcome| matches!(outcome, Ok(Outcome::Placed(_) | Outcome::Changed(_))));
        if wrote {
            self.wakeup.wake();
        }
        counter!(INGRESS_GROUPS, "outcome" => "committed").increment(1);
        let mut beaten = Vec::new();
        let mut answered = 0;
        for (mut job, outcome) in jobs.into_iter().zip(outcomes) {
            if let Some(outcome) = outcome {
                answered += 1;
                job.answer(outcome);
            } else {
                job.beaten = true;
                beaten.push(job);
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
                return Unwritable::of(&error).map_or(Next::Wait, Next::Refuse);
            }
        };
        let tried =
            tokio::time::timeout(GROUP_TIMEOUT, commit_group(&mut connection, way, jobs)).await;
        match tried {
            Ok(Ok(outcomes)) => {
                self.keep(connection);
                Next::Answer(outcomes)
            }
            Ok(Err(CommitError::KeyTaken)) => self.conflict(connection),
            Ok(Err(CommitError::Database(error))) => match fault_of(&error) {
                Fault::Conflict => self.conflict(connection),
                Fault::Data => {
                    if jobs.len() == 1 {
                        tracing::warn!(%error, "Postgres refuses a change for its data");
                    }
                    self.keep(connection);
                    Next::Halve
                }
                Fault::Unwritable(why) => {
                    let error = message_of(&error);
                    tracing::error!(error, "can't write orders: {}", why.as_str());
                    Next::Refuse(why)
                }
                Fault::Away => {
                    tracing::warn!(%error, "can't write orders: trying again on a new connection");
                    Next::Wait
                }
            },
            Err(_) => {
                tracing::warn!("can't write orders: Postgres did not answer in {GROUP_TIMEOUT:?}");
                Next::Wait
            }
        }
    }

    /// The transaction was undone because another one was in the way.
    fn conflict(&mut self, connection: PgConnection) -> Next {
        self.keep(connection);
        self.conflicts += 1;
        if self.conflicts > QUICK_RETRIES {
            return Next::Wait;
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
fn refuse(jobs: Vec<Job>, why: Unwritable) {
    for job in jobs {
        job.refuse(NotWritten::Unwritable(why));
    }
}

/// Those that can be written together, the way of the first, and the others.
fn of_one_way(jobs: Vec<Job>) -> Option<(Way, Vec<Job>, Vec<Job>)> {
    let way = jobs.first()?.way();
    let (jobs, others) = jobs.into_iter().partition(|job| job.way() == way);
    Some((way, jobs, others))
}

fn without_late(jobs: Vec<Job>) -> Vec<Job> {
    let now = Instant::now();
    let (late, jobs): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|job| job.is_late(now));
    for job in late {
        job.give_up();
    }
    jobs
}
