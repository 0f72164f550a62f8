//! The port over Postgres: a connection, and the in-flight statement on it.

use std::pin::Pin;
use std::time::Duration;

use runtime::lifecycle::Failure;
use runtime::postgres::{message_of, within};
use sqlx::{Error, PgConnection};
use tokio::runtime::{Builder, Runtime};

use super::Database;
use super::fault::{Fault, fault_of, is_denied};
use super::insert::{Expectation, canary, holder, insert, insert_and_roll_back};
use crate::columns::Columns;
use crate::limits::{ANSWER_TIMEOUT, CANARY_TIMEOUT};
use crate::ports::{Table, WriteError, Written};

/// The columns of a statement come back with its outcome. So does the connection, unless it is, or may
/// be, broken.
type Answer = (
    Columns,
    Result<(PgConnection, Written), (Option<PgConnection>, WriteError)>,
);

/// The table of the vouchers, over a connection of this task's own.
pub struct PostgresTable {
    database: Database,
    connection: Option<PgConnection>,
    expectation: Expectation,
    effect: Effect,
    in_flight: Option<Pin<Box<dyn Future<Output = Answer> + Send>>>,
    /// A runtime of the polling thread's own: an answer wakes that thread directly.
    runtime: Option<Runtime>,
}

/// What becomes of the rows of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Durable,
    RolledBack,
}

impl PostgresTable {
    /// Rolls each statement back and leaves the table as it is, for a preview. Does not connect yet.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn for_dry_run(database: Database) -> Result<Self, Failure> {
        Self::with(database, Effect::RolledBack)
    }

    /// Does not connect yet.
    ///
    /// # Errors
    /// When the system cannot start a Tokio runtime.
    pub fn new(database: Database) -> Result<Self, Failure> {
        Self::with(database, Effect::Durable)
    }

    fn with(database: Database, effect: Effect) -> Result<Self, Failure> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::failed(format!("input and output of Postgres: {error}")))?;
        Ok(Self {
            database,
            connection: None,
            expectation: Expectation::new(),
            effect,
            in_flight: None,
            runtime: Some(runtime),
        })
    }
}

/// A table that was never moved to its task's thread is dropped on a thread of another Tokio runtime,
/// where nothing may block.
impl Drop for PostgresTable {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Table for PostgresTable {
    fn start(&mut self, columns: Columns) {
        debug_assert!(self.in_flight.is_none(), "one statement at a time");
        let connection = self.connection.take();
        let database = self.database.clone();
        let (expectation, effect) = (self.expectation, self.effect);
        self.in_flight = Some(Box::pin(async move {
            let result = write(&database, connection, &columns, expectation, effect).await;
            (columns, result)
        }));
    }

    fn poll(&mut self, timeout: Duration) -> Option<(Columns, Result<Written, WriteError>)> {
        let in_flight = self.in_flight.as_mut()?;
        let answer = async {
            if timeout.is_zero() {
                // Handles what the connection has received. A timer would cost far more.
                tokio::select! {
                    biased;
                    answer = in_flight => Some(answer),
                    () = tokio::task::yield_now() => None,
                }
            } else {
                tokio::time::timeout(timeout, in_flight).await.ok()
            }
        };
        let (columns, result) = self.runtime.as_ref()?.block_on(answer)?;
        self.in_flight = None;
        let result = match result {
            Ok((connection, written)) => {
                self.connection = Some(connection);
                self.expectation.learn(columns.len(), &written);
                Ok(written)
            }
            Err((connection, error)) => {
                self.connection = connection;
                Err(error)
            }
        };
        Some((columns, result))
    }
}

/// Writes the rows, on a new connection when there is none.
async fn write(
    database: &Database,
    connection: Option<PgConnection>,
    columns: &Columns,
    expectation: Expectation,
    effect: Effect,
) -> Result<(PgConnection, Written), (Option<PgConnection>, WriteError)> {
    let mut connection = match connection {
        Some(connection) => connection,
        None => match database.connect().await {
            Ok(connection) => connection,
            Err(error) => return Err((None, write_error(&error))),
        },
    };
    let written = match effect {
        Effect::Durable => insert(&mut connection, columns, expectation).await,
        Effect::RolledBack => insert_and_roll_back(&mut connection, columns, expectation).await,
    };
    let error = match written {
        Ok(written) => return Ok((connection, written)),
        Err(error) => error,
    };
    match fault_of(&error) {
        Fault::Ambiguous if columns.len() > 1 => Err((Some(connection), write_error(&error))),
        Fault::Ambiguous => {
            let others_pass = accepts_others(&mut connection).await;
            let why = message_of(&error);
            let connection = others_pass.then_some(connection);
            Err((connection, WriteError::Ambiguous { why, others_pass }))
        }
        // The table accepts other rows, so no right on it is missing: a policy refuses the row, or a
        // trigger lacks a right.
        Fault::NeedsPerson if is_denied(&error) && accepts_others(&mut connection).await => {
            let why = message_of(&error);
            let ambiguous = WriteError::Ambiguous {
                why,
                others_pass: true,
            };
            Err((Some(connection), ambiguous))
        }
        Fault::Data | Fault::Conflict => Err((Some(connection), write_error(&error))),
        Fault::CodeClash => {
            let holder = holder(&mut connection, columns);
            match within(ANSWER_TIMEOUT, holder).await {
                Ok(holder) => Err((Some(connection), WriteError::CodeClash { holder })),
                Err(error) => Err((None, write_error(&error))),
            }
        }
        // A new connection sees the current rights and tables, and reaches the primary after a failover.
        Fault::Away | Fault::NeedsPerson => Err((None, write_error(&error))),
    }
}

/// Returns whether the table accepts a statement without the row that it did not accept.
async fn accepts_others(connection: &mut PgConnection) -> bool {
    within(CANARY_TIMEOUT, canary(connection)).await.is_ok()
}

fn write_error(error: &Error) -> WriteError {
    // The detail would hold the row's values.
    let sentence = message_of(error);
    match fault_of(error) {
        Fault::Data => WriteError::Data(sentence),
        Fault::CodeClash => WriteError::CodeClash { holder: None },
        Fault::Ambiguous => WriteError::Ambiguous {
            why: sentence,
            others_pass: false,
        },
        Fault::Conflict => WriteError::Conflict(sentence),
        Fault::Away => WriteError::Unavailable(sentence),
        Fault::NeedsPerson => WriteError::NeedsPerson(sentence),
    }
}
