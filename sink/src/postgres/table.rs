//! The port over Postgres: a connection, and the statement that is under way on it.

use std::pin::Pin;
use std::time::Duration;

use runtime::lifecycle::Failure;
use runtime::postgres::{message_of, within};
use sqlx::{Error, PgConnection};
use tokio::runtime::{Builder, Runtime};

use super::connect::Database;
use super::fault::{Fault, fault_of, is_denied};
use super::insert::{ANSWER_TIMEOUT, Expectation, canary, holder, insert, rehearse};
use crate::columns::Columns;
use crate::ports::{Table, WriteError, Written};

/// A table that takes this long for nothing at all takes no rows.
const CANARY_TIMEOUT: Duration = Duration::from_secs(5);

type Answer = (
    Columns,
    Result<(PgConnection, Written), (Option<PgConnection>, WriteError)>,
);

/// The table of the vouchers, over a connection that only this task has.
pub struct PostgresTable {
    database: Database,
    connection: Option<PgConnection>,
    expectation: Expectation,
    effect: Effect,
    under_way: Option<Pin<Box<dyn Future<Output = Answer> + Send>>>,
    /// Of the thread that polls alone: an answer wakes it without another thread's doing.
    runtime: Option<Runtime>,
}

/// What becomes of a statement's rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Durable,
    TakenBack,
}

impl PostgresTable {
    /// One that takes each statement back and leaves the table as it is, for a dry run. Does not
    /// connect yet.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn for_rehearsal(database: Database) -> Result<Self, Failure> {
        Self::with(database, Effect::TakenBack)
    }

    /// Does not connect yet.
    ///
    /// # Errors
    /// When the system has no room for it.
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
            under_way: None,
            runtime: Some(runtime),
        })
    }
}

/// One that never came to its thread is dropped where nothing may block.
impl Drop for PostgresTable {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Table for PostgresTable {
    fn start(&mut self, columns: Columns) {
        debug_assert!(self.under_way.is_none(), "one statement at a time");
        let connection = self.connection.take();
        let database = self.database.clone();
        let (expectation, effect) = (self.expectation, self.effect);
        self.under_way = Some(Box::pin(async move {
            let result = write(&database, connection, &columns, expectation, effect).await;
            (columns, result)
        }));
    }

    fn poll(&mut self, timeout: Duration) -> Option<(Columns, Result<Written, WriteError>)> {
        let under_way = self.under_way.as_mut()?;
        let answer = async {
            if timeout.is_zero() {
                // A look at what the connection has: a timer would cost far more.
                tokio::select! {
                    biased;
                    answer = under_way => Some(answer),
                    () = tokio::task::yield_now() => None,
                }
            } else {
                tokio::time::timeout(timeout, under_way).await.ok()
            }
        };
        let (columns, result) = self.runtime.as_ref()?.block_on(answer)?;
        self.under_way = None;
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

/// The connection comes back unless it is, or may be, broken.
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
        Effect::TakenBack => rehearse(&mut connection, columns, expectation).await,
    };
    let error = match written {
        Ok(written) => return Ok((connection, written)),
        Err(error) => error,
    };
    match fault_of(&error) {
        Fault::Doubtful if columns.len() > 1 => Err((Some(connection), write_error(&error))),
        Fault::Doubtful => {
            let others_pass = takes_others(&mut connection).await;
            let why = message_of(&error);
            let connection = others_pass.then_some(connection);
            Err((connection, WriteError::Doubtful { why, others_pass }))
        }
        // The right on the table is there: a policy refuses the row, or a trigger lacks a right.
        Fault::NeedsPerson if is_denied(&error) && takes_others(&mut connection).await => {
            let why = message_of(&error);
            let doubtful = WriteError::Doubtful {
                why,
                others_pass: true,
            };
            Err((Some(connection), doubtful))
        }
        Fault::Data | Fault::Conflict => Err((Some(connection), write_error(&error))),
        Fault::CodeClash => {
            let holder = holder(&mut connection, columns);
            match within(ANSWER_TIMEOUT, holder).await {
                Ok(holder) => Err((Some(connection), WriteError::CodeClash { holder })),
                Err(error) => Err((None, write_error(&error))),
            }
        }
        // A new connection also sees rights, tables and a failover as they are now.
        Fault::Away | Fault::NeedsPerson => Err((None, write_error(&error))),
    }
}

/// Whether the table takes a statement without the row that it did not take.
async fn takes_others(connection: &mut PgConnection) -> bool {
    within(CANARY_TIMEOUT, canary(connection)).await.is_ok()
}

fn write_error(error: &Error) -> WriteError {
    // The detail would hold the row's values.
    let sentence = message_of(error);
    match fault_of(error) {
        Fault::Data => WriteError::Data(sentence),
        Fault::CodeClash => WriteError::CodeClash { holder: None },
        Fault::Doubtful => WriteError::Doubtful {
            why: sentence,
            others_pass: false,
        },
        Fault::Conflict => WriteError::Conflict(sentence),
        Fault::Away => WriteError::Unavailable(sentence),
        Fault::NeedsPerson => WriteError::NeedsPerson(sentence),
    }
}
