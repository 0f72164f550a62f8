//! One group, committed.
//!
//! Most groups need one statement that writes orders and their events together, and that Postgres
//! commits by itself: [`Way::Place`], and [`Way::SetStatus`] after a look at the orders. What that
//! can't settle goes the long way: one transaction, in which the rows are locked and stay as they
//! are. No row's lock is waited for there: a change whose order another session has locked is left
//! out, and the others are committed.

use std::collections::{HashMap, HashSet};

use chrono::Utc;
use schemas::Timestamp;
use sqlx::postgres::{PgDatabaseError, PgSeverity};
use sqlx::{Connection, PgConnection, Postgres, Transaction};

use super::change::{Claim, NotWritten, Outcome};
use super::decide::Attempt;
use super::job::{Job, Way};
use super::statements::{self, NewAnswer, StoredAnswer, Write};
use super::{place, set_status};
use crate::database::{Fault, fault_of};
use crate::orders::{Order, render};

/// Begins a transaction in which neither a lock nor a slow row takes long. Whatever it is that stops
/// it, the group is then halved, some eight times until one change is left.
const BEGIN_CAREFULLY: &str = "BEGIN; \
     SET LOCAL lock_timeout = '5ms'; SET LOCAL statement_timeout = '250ms'";

/// Why a group was not committed.
#[derive(Debug)]
pub(super) enum CommitError {
    /// The database's word.
    Database(sqlx::Error),
    /// Another instance used one of the idempotency keys at the same time: the group must be tried
    /// again, and will find its answer.
    KeyTaken,
    /// Another session has locked a whole table.
    TablesLocked,
}

impl From<sqlx::Error> for CommitError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

/// What came of each change of a group, in the jobs' order.
pub(super) type Outcomes = Vec<Came>;

/// What came of a change.
#[derive(Debug)]
pub(super) enum Came {
    /// This.
    Of(Result<Outcome, NotWritten>),
    /// Nothing: somebody else was in between; it is to go the long way.
    Beaten,
    /// Nothing: another session has locked its order.
    Locked,
}

/// What is known of one change while its group is being written.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) outcome: Option<Result<Outcome, NotWritten>>,
    /// The order to be written, with its event.
    pub(super) write: Option<Order>,
    /// Whether another session has locked the order.
    pub(super) locked: bool,
}

/// Writes a group: decides on every change and commits. The outcomes are true once this returns.
///
/// When the commit itself fails, the jobs remember what they tried, so that a second try knows
/// whether the first one arrived.
pub(super) async fn commit_group(
    connection: &mut PgConnection,
    way: Way,
    jobs: &mut [Job],
) -> Result<Outcomes, CommitError> {
    let mut entries: Vec<Entry> = jobs.iter().map(|_| Entry::default()).collect();
    match way {
        Way::Place => place::at_once(connection, jobs, &mut entries).await?,
        Way::SetStatus => set_status::at_once(connection, jobs, &mut entries).await?,
        Way::Transaction => {
            let transaction = connection.begin().await?;
            in_transaction(transaction, jobs, &mut entries).await?;
        }
        Way::Careful => {
            let mut transaction = connection.begin_with(BEGIN_CAREFULLY).await?;
            statements::share_tables(&mut transaction)
                .await
                .map_err(|error| match fault_of(&error) {
                    Fault::Locked => CommitError::TablesLocked,
                    _ => error.into(),
                })?;
            in_transaction(transaction, jobs, &mut entries).await?;
        }
    }
    Ok(entries.into_iter().map(Entry::into_outcome).collect())
}

async fn in_transaction(
    mut transaction: Transaction<'_, Postgres>,
    jobs: &mut [Job],
    entries: &mut [Entry],
) -> Result<(), CommitError> {
    match write_in(&mut transaction, jobs, entries).await {
        Ok(()) => {}
        Err(CommitError::KeyTaken) => {
            // Now, not with the next use of the connection: it holds locks.
            transaction.rollback().await?;
            return Err(CommitError::KeyTaken);
        }
        Err(error) => return Err(error),
    }
    remember(jobs, entries);
    if let Err(error) = transaction.commit().await {
        if is_undone(&error) {
            forget(jobs, entries);
        }
        return Err(error.into());
    }
    Ok(())
}

async fn write_in(
    transaction: &mut Transaction<'_, Postgres>,
    jobs: &[Job],
    entries: &mut [Entry],
) -> Result<(), CommitError> {
    replay_stored_answers(transaction, jobs, entries).await?;
    place::in_transaction(transaction, jobs, entries).await?;
    set_status::in_transaction(transaction, jobs, entries).await?;
    look_again_for_answers(transaction, jobs, entries).await?;
    store_answers(transaction, jobs, entries).await
}

/// Writes what `entries` have to be written by one `statement`, which Postgres commits by itself and
/// which says what it wrote. What it did not is to be written no more.
pub(super) async fn write_at_once(
    connection: &mut PgConnection,
    jobs: &mut [Job],
    entries: &mut [Entry],
    statement: impl AsyncFnOnce(&mut PgConnection, &[Write<'_>]) -> sqlx::Result<Vec<String>>,
) -> Result<(), CommitError> {
    remember(jobs, entries);
    let writes: Vec<Write<'_>> = jobs
        .iter()
        .zip(&*entries)
        .filter_map(|(job, entry)| Some(Write::of(&job.change, entry.write.as_ref()?)))
        .collect();
    let written: HashSet<String> = match statement(connection, &writes).await {
        Ok(written) => written.into_iter().collect(),
        Err(error) => {
            if is_undone(&error) {
                forget(jobs, entries);
            }
            return Err(error.into());
        }
    };
    for (job, entry) in jobs.iter_mut().zip(entries) {
        let arrived = |order: &mut Order| written.contains(&order.order_id);
        if entry.write.take_if(|order| !arrived(order)).is_some() {
            job.attempt = None;
        }
    }
    Ok(())
}

/// From here on nobody knows what is committed, until the server says so.
fn remember(jobs: &mut [Job], entries: &[Entry]) {
    for (job, entry) in jobs.iter_mut().zip(entries) {
        if let Some(order) = &entry.write {
            job.attempt = Some(Attempt {
                order_id: order.order_id.clone(),
                version: order.version,
                at: order.updated_at,
            });
        }
    }
}

/// What was remembered of this try is known not to be committed.
fn forget(jobs: &mut [Job], entries: &[Entry]) {
    for (job, entry) in jobs.iter_mut().zip(entries) {
        if entry.write.is_some() {
            job.attempt = None;
        }
    }
}

/// Whether the server says that it undid the statement. One that ends the session (FATAL) may have
/// committed before.
fn is_undone(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(|error| error.try_downcast_ref::<PgDatabaseError>())
        .is_some_and(|error| error.severity() == PgSeverity::Error)
}

impl Entry {
    pub(super) const fn is_open(&self) -> bool {
        self.outcome.is_none() && self.write.is_none() && !self.locked
    }

    /// Because of how the order stands.
    const fn is_refused(&self) -> bool {
        matches!(
            &self.outcome,
            Some(Ok(Outcome::Exists { .. }
                | Outcome::PreconditionFailed { .. }
                | Outcome::Refused { .. }))
        )
    }

    fn into_outcome(self) -> Came {
        match (self.outcome, self.write) {
            (Some(outcome), _) => Came::Of(outcome),
            (None, Some(order)) if order.version == 1 => Came::Of(Ok(Outcome::Placed(order))),
            (None, Some(order)) => Came::Of(Ok(Outcome::Changed(order))),
            (None, None) if self.locked => Came::Locked,
            (None, None) => Came::Beaten,
        }
    }

    /// The answer to be stored under the change's idempotency key. Only what took effect is: a
    /// change that was refused had none, and may be tried again under the same key.
    fn answer(&self) -> Option<(u16, &Order)> {
        match (&self.outcome, &self.write) {
            (_, Some(order)) if order.version == 1 => Some((201, order)),
            (_, Some(order))
            | (Some(Ok(Outcome::Changed(order) | Outcome::Unchanged(order))), _) => {
                Some((200, order))
            }
            (Some(Ok(Outcome::Placed(order))), _) => Some((201, order)),
            _ => None,
        }
    }
}

/// What was asked before under an idempotency key is answered as it was then.
async fn replay_stored_answers(
    connection: &mut PgConnection,
    jobs: &[Job],
    entries: &mut [Entry],
) -> Result<(), CommitError> {
    let claims: Vec<&Claim> = jobs
        .iter()
        .filter_map(|job| job.change.claim.as_ref())
        .collect();
    if claims.is_empty() {
        return Ok(());
    }
    let stored: HashMap<(String, String), StoredAnswer> =
        statements::stored_answers(connection, &claims)
            .await?
            .into_iter()
            .map(|answer| ((answer.api_key_id.clone(), answer.key.clone()), answer))
            .collect();
    for (job, entry) in jobs.iter().zip(entries) {
        let Some(claim) = &job.change.claim else {
            continue;
        };
        let name = (claim.api_key_id.clone(), claim.key.clone());
        if let Some(answer) = stored.get(&name) {
            entry.outcome = Some(Ok(replayed(claim, answer)));
        }
    }
    Ok(())
}

/// What is refused may have been written meanwhile under its own idempotency key: the same request at
/// another instance, for whose rows this transaction waited. Then it has an answer by now.
async fn look_again_for_answers(
    connection: &mut PgConnection,
    jobs: &[Job],
    entries: &[Entry],
) -> Result<(), CommitError> {
    let refused: Vec<&Claim> = jobs
        .iter()
        .zip(entries)
        .filter(|(_, entry)| entry.is_refused())
        .filter_map(|(job, _)| job.change.claim.as_ref())
        .collect();
    if refused.is_empty()
        || statements::stored_answers(connection, &refused)
            .await?
            .is_empty()
    {
        Ok(())
    } else {
        Err(CommitError::KeyTaken)
    }
}

fn replayed(claim: &Claim, answer: &StoredAnswer) -> Outcome {
    if claim.request_hash.as_slice() != answer.request_hash {
        return Outcome::KeyReused;
    }
    Outcome::Replayed {
        status: u16::try_from(answer.status).unwrap_or(200),
        body: answer.body.clone(),
    }
}

/// The answers are stored under their idempotency keys.
async fn store_answers(
    connection: &mut PgConnection,
    jobs: &[Job],
    entries: &[Entry],
) -> Result<(), CommitError> {
    let answers: Vec<NewAnswer<'_>> = jobs
        .iter()
        .zip(entries)
        .filter_map(|(job, entry)| {
            let claim = job.change.claim.as_ref()?;
            let (status, order) = entry.answer()?;
            Some(NewAnswer {
                claim,
                status,
                body: render(order),
            })
        })
        .collect();
    if answers.is_empty() {
        return Ok(());
    }
    let stored = statements::store_answers(connection, &answers, now()).await?;
    if stored < answers.len() as u64 {
        return Err(CommitError::KeyTaken);
    }
    Ok(())
}

pub(super) fn now() -> Timestamp {
    Timestamp::from(Utc::now())
}
