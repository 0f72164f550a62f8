//! A probe of Postgres beside the loop, because an idle loop would not notice an outage.

use runtime::health::Part;
use runtime::lifecycle::Shutdown;
use runtime::postgres::{Unwritable, message_of, within};
use sqlx::{Error, PgConnection};

use super::connect::Database;
use super::migrate::WRITES;
use crate::limits::{PROBE_INTERVAL, PROBE_TIMEOUT};

/// Reads nothing, but needs the right to read.
const TABLE: &str = "SELECT FROM vouchers LIMIT 1";

/// Asks the database every two seconds, on a connection of its own, and reports the answer as a
/// [`Part`].
pub struct DatabaseProbe {
    database: Database,
    part: Part,
    connection: Option<PgConnection>,
    /// Whether the last answer was that rows can be written.
    ready: bool,
}

impl DatabaseProbe {
    /// Does not connect yet.
    pub const fn new(database: Database, part: Part) -> Self {
        Self {
            database,
            part,
            connection: None,
            ready: false,
        }
    }

    /// Runs until shutdown.
    pub async fn run(mut self, shutdown: Shutdown) {
        loop {
            match self.ask().await {
                Ok(()) => {
                    self.ready = true;
                    self.part.ready();
                }
                Err(error) => {
                    self.ready = false;
                    let what = match Unwritable::of(&error) {
                        Some(_) => "takes no writes",
                        None => "does not answer",
                    };
                    self.part
                        .not_ready(format!("the database {what}: {}", message_of(&error)));
                }
            }
            tokio::select! {
                () = tokio::time::sleep(PROBE_INTERVAL) => {}
                () = shutdown.requested() => return,
            }
        }
    }

    /// Finds out whether rows can be written. At first, and after an answer that they cannot, one is
    /// written and rolled back. Later the tasks themselves meet what changes.
    async fn ask(&mut self) -> Result<(), Error> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.database.connect().await?,
        };
        let asking = async {
            let database = self.database.inner();
            database.confirm_writable(&mut connection).await?;
            if self.ready {
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
