//! Commits a group by its path.
//!
//! Most groups need one statement that writes orders and their events together, and that Postgres
//! commits by itself: [`CommitPath::Place`], and [`CommitPath::SetStatus`] after it has read the
//! orders. Changes that the statement cannot settle take one transaction with locked rows. The
//! transaction waits for no row lock: a change whose order another session has locked is left out, and
//! the others are committed (ADR 0014).

use sqlx::{Connection, PgConnection, Postgres, Transaction};

use super::super::job::{CommitPath, Job};
use super::entry::{Entry, Settled, forget_attempts, remember_attempts};
use super::{place, replay, set_status};
use crate::database::{Fault, fault_of};
use crate::store::session;

/// Why a group was not committed.
#[derive(Debug)]
pub(super) enum CommitError {
    /// The database's error.
    Database(sqlx::Error),
    /// Another instance used one of the idempotency keys at the same time: the group must be tried
    /// again, and will find the answer that the other instance stored.
    KeyTaken,
    /// Another session has locked a whole table.
    TablesLocked,
}

impl From<sqlx::Error> for CommitError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

/// Decides about every change of a group and commits it. Returns the result of each change, in the
/// order of `jobs`. The results are committed when this returns.
///
/// When the commit itself fails, the jobs remember what they tried to write, so that a second try can
/// tell whether the first one was committed.
pub(super) async fn commit(
    connection: &mut PgConnection,
    path: CommitPath,
    jobs: &mut [Job],
) -> Result<Vec<Settled>, CommitError> {
    let mut entries: Vec<Entry<'_>> = jobs.iter_mut().map(Entry::new).collect();
    match path {
        CommitPath::Place => place::at_once(connection, &mut entries).await?,
        CommitPath::SetStatus => set_status::at_once(connection, &mut entries).await?,
        CommitPath::Transaction => {
            let transaction = connection.begin().await?;
            in_transaction(transaction, &mut entries).await?;
        }
        CommitPath::Careful => {
            let mut transaction = session::begin_careful(connection).await?;
            // Detects a table lock at once, instead of once for each part of the bisected group.
            session::lock_tables(&mut transaction)
                .await
                .map_err(|error| match fault_of(&error) {
                    Fault::Locked => CommitError::TablesLocked,
                    _ => error.into(),
                })?;
            in_transaction(transaction, &mut entries).await?;
        }
    }
    Ok(entries.into_iter().map(Entry::settle).collect())
}

async fn in_transaction(
    mut transaction: Transaction<'_, Postgres>,
    entries: &mut [Entry<'_>],
) -> Result<(), CommitError> {
    match write(&mut transaction, entries).await {
        Ok(()) => {}
        Err(CommitError::KeyTaken) => {
            // A dropped transaction would hold its locks until the connection is used again.
            transaction.rollback().await?;
            return Err(CommitError::KeyTaken);
        }
        Err(error) => return Err(error),
    }
    remember_attempts(entries);
    if let Err(error) = transaction.commit().await {
        forget_attempts(entries, &error);
        return Err(error.into());
    }
    Ok(())
}

async fn write(
    transaction: &mut Transaction<'_, Postgres>,
    entries: &mut [Entry<'_>],
) -> Result<(), CommitError> {
    replay::answer_repeated(transaction, entries).await?;
    place::in_transaction(transaction, entries).await?;
    set_status::in_transaction(transaction, entries).await?;
    if replay::was_answered_meanwhile(transaction, entries).await?
        || !replay::store_answers(transaction, entries).await?
    {
        return Err(CommitError::KeyTaken);
    }
    Ok(())
}
