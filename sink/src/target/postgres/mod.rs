//! Postgres: connections with their session settings, the vouchers' schema, and the port of the loop.

mod fault;
mod insert;
mod migrate;
mod table;

use runtime::lifecycle::Failure;
use runtime::postgres::{self, Timeouts, outage_sentence, within};
use runtime::settings::Secret;
use sqlx::{Error, PgConnection};

use crate::limits::{CONNECT_TIMEOUT, PROBE_TIMEOUT};

pub use fault::{Fault, fault_of};
pub use migrate::migrate;
pub(super) use migrate::{MIGRATIONS, WRITES};
pub use table::PostgresTable;

/// How long the server works on a statement, and waits for a lock, before it gives up. A full disk or
/// a lock may delay a statement, which is one for each batch.
/// [`ANSWER_TIMEOUT`](crate::limits::ANSWER_TIMEOUT) is longer.
const SERVER_TIMEOUTS: Timeouts = Timeouts {
    statement: "30s",
    lock: "10s",
};

/// A database that connections can be made to. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Database(postgres::Database);

impl Database {
    /// Does not connect yet.
    ///
    /// # Errors
    /// As [`postgres::Database::new`].
    pub fn new(url: &Secret) -> Result<Self, Failure> {
        let database = postgres::Database::new(url, "sink", SERVER_TIMEOUTS)?;
        Ok(Self(database.with([
            // Compiling a statement costs more than running it for a batch.
            ("jit", "off"),
            // Every row is found by its key. A plan that was made and kept while the table was empty
            // would scan the whole of it for each row.
            ("enable_seqscan", "off"),
        ])))
    }

    /// Opens a connection to the primary, whose commits are durable.
    ///
    /// # Errors
    /// As [`postgres::Database::connect`].
    pub async fn connect(&self) -> Result<PgConnection, Error> {
        self.0.connect(CONNECT_TIMEOUT).await
    }

    /// Returns the database for functions of the runtime.
    pub(super) const fn inner(&self) -> &postgres::Database {
        &self.0
    }
}

/// Selects no column, but requires the right to read.
const TABLE: &str = "SELECT FROM vouchers LIMIT 1";

/// Finds out whether rows can be written, on a connection of its own.
pub struct WriteTest {
    database: Database,
    connection: Option<PgConnection>,
}

impl WriteTest {
    /// Does not connect yet.
    pub const fn new(database: Database) -> Self {
        Self {
            database,
            connection: None,
        }
    }

    /// Finds out whether rows can be written. Unless `is_known`, a row is written and rolled back. Once
    /// that has succeeded, the tasks themselves notice when it changes.
    ///
    /// # Errors
    /// Why rows cannot be written, as a sentence about the database.
    pub async fn run(&mut self, is_known: bool) -> Result<(), String> {
        let answer = self.ask(is_known).await;
        answer.map_err(|error| outage_sentence(&error))
    }

    async fn ask(&mut self, is_known: bool) -> Result<(), Error> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.database.connect().await?,
        };
        let asking = async {
            let database = self.database.inner();
            database.confirm_writable(&mut connection).await?;
            if is_known {
                sqlx::raw_sql(TABLE).execute(&mut connection).await?;
                return Ok(());
            }
            WRITES.run(&mut connection).await
        };
        within(PROBE_TIMEOUT, asking).await?;
        self.connection = Some(connection);
        Ok(())
    }
}
