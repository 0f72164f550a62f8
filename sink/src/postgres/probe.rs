//! Whether Postgres answers, asked beside the loop: an idle loop would not notice.

use std::time::Duration;

use runtime::health::Part;
use runtime::lifecycle::Shutdown;
use sqlx::{Error, PgConnection};

use super::connect::{Database, within};

const EVERY: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(3);

/// Whether rows can be written here: a standby answers too, and takes none.
const WRITABLE: &str = "SELECT current_setting('transaction_read_only') = 'off' FROM \
     (SELECT count(*) FROM (SELECT FROM vouchers LIMIT 1) AS row) AS the_table_is_there";

/// Asks the database every two seconds, on a connection of its own, and tells [`Part`].
pub struct DatabaseProbe {
    database: Database,
    part: Part,
    connection: Option<PgConnection>,
}

impl DatabaseProbe {
    /// Does not connect yet.
    pub const fn new(database: Database, part: Part) -> Self {
        Self {
            database,
            part,
            connection: None,
        }
    }

    /// Runs until shutdown.
    pub async fn run(mut self, shutdown: Shutdown) {
        loop {
            match self.ask().await {
                Ok(true) => self.part.ready(),
                Ok(false) => self
                    .part
                    .not_ready("the database takes no writes (a standby?)"),
                Err(error) => {
                    self.connection = None;
                    self.part
                        .not_ready(format!("the database does not answer: {error}"));
                }
            }
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = shutdown.requested() => return,
            }
        }
    }

    async fn ask(&mut self) -> Result<bool, Error> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.database.connect().await?,
        };
        let writable = within(
            TIMEOUT,
            sqlx::query_scalar(WRITABLE).fetch_one(&mut connection),
        )
        .await?;
        self.connection = Some(connection);
        Ok(writable)
    }
}
