//! Connections to Postgres, and their session settings.

use runtime::lifecycle::Failure;
use runtime::postgres;
use runtime::settings::Secret;
use sqlx::{Error, PgConnection};

use crate::limits::{CONNECT_TIMEOUT, SERVER_TIMEOUTS};

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

    /// The database as the runtime's functions take it.
    pub(crate) const fn inner(&self) -> &postgres::Database {
        &self.0
    }
}
