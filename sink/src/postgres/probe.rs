//! Whether Postgres answers, asked beside the loop: an idle loop would not notice.

use std::time::Duration;

use runtime::health::Part;
use runtime::lifecycle::Shutdown;
use runtime::postgres::{Unwritable, message_of, within};
use sqlx::{Error, PgConnection};

use super::connect::Database;
use super::migrate::WRITES;

const EVERY: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(3);

const TABLE: &str = "SELECT FROM vouchers LIMIT 1";

/// Asks the database every two seconds, on a connection of its own, and tells [`Part`].
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
                () = tokio::time::sleep(EVERY) => {}
                () = shutdown.requested() => return,
            }
        }
    }

    /// Whether rows can be written. After an answer that they can't, and at first, one is written,
    /// and rolled back; what changes meanwhile the tasks meet themselves.
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
        within(TIMEOUT, asking).await?;
        self.connection = Some(connection);
        Ok(())
    }
}
