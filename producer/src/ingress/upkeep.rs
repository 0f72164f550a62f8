//! The small periodic work: the backlog is measured, old idempotency keys are deleted, and with
//! both it shows whether the database is there and takes writes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::gauge;
use runtime::health::Part;
use runtime::lifecycle::{Failure, Shutdown};
use runtime::metrics::OUTBOX_ROWS;
use runtime::postgres::{Database, Unwritable, message_of, within};
use sqlx::{Error, PgConnection, PgPool};

use super::PATIENCE;
use super::backlog::backlog;
use super::gate::Gate;
use super::old_keys::OldKeys;
use crate::database::{Fault, WRITES, fault_of};
use crate::relay::SharedLowWater;

/// Between two measurements. At 20,000 events a second the bound is overshot by half of that.
const PERIOD: Duration = Duration::from_millis(500);

/// The time between two measurements is at least this many times what the last one took.
const COST: u32 = 10;

/// Between two looks for idempotency keys that are to be deleted.
const DELETE_EVERY: Duration = Duration::from_secs(60);

/// A connect, and an answer, take no longer than this.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(6);

/// Measures, deletes, and reports, over a connection of its own: readers who have all those of the
/// pool must not make the database look away.
#[derive(Debug)]
pub struct Upkeep {
    database: Database,
    connection: Option<PgConnection>,
    /// The pool of the reading routes, which follows the primary.
    readers: PgPool,
    gate: Arc<Gate>,
    /// From where on the outbox has rows.
    low_water: SharedLowWater,
    outbox_limit: i64,
    old_keys: OldKeys,
    postgres: Part,
    backlog: Part,
}

impl Upkeep {
    /// Closes `gate` while the database is away or takes no writes, or `outbox_limit` events wait to
    /// be published, and tells `postgres` and `backlog` why. Does not connect yet.
    pub fn new(
        database: Database,
        readers: PgPool,
        gate: Arc<Gate>,
        (low_water, outbox_limit): (SharedLowWater, i64),
        (postgres, backlog): (Part, Part),
    ) -> Self {
        Self {
            database,
            connection: None,
            readers,
            gate,
            low_water,
            outbox_limit,
            old_keys: OldKeys::default(),
            postgres,
            backlog,
        }
    }

    /// Tells that the tables could not be brought up to date, and that nothing is taken in.
    pub fn tell_outdated(&self, error: &Error) {
        let message = message_of(error);
        self.postgres
            .not_ready(format!("the tables can't be brought up to date: {message}"));
        if let Some(why) = Unwritable::of(error) {
            self.gate.close_for(why);
        }
    }

    /// Works until shutdown. The tables must exist.
    ///
    /// # Errors
    /// None; the type is that of a part.
    pub async fn run(mut self, shutdown: Shutdown) -> Result<(), Failure> {
        let mut last_answer = Instant::now();
        let mut last_delete = None;
        loop {
            let begun = Instant::now();
            // Without an answer it is asked again soon.
            let mut pause = PERIOD;
            match self.look().await {
                Ok(Backlog { rows, took }) => {
                    pause = PERIOD.max(took * COST);
                    last_answer = Instant::now();
                    self.postgres.ready();
                    self.judge(rows);
                    let is_due = last_delete.is_none_or(|at: Instant| at.elapsed() >= DELETE_EVERY);
                    if is_due && self.delete_some_old_keys().await {
                        last_delete = Some(Instant::now());
                    }
                }
                // The statement was too slow; the database is there.
                Err(error) if fault_of(&error) == Fault::Statement => {
                    last_answer = Instant::now();
                    let message = message_of(&error);
                    if self.gate.is_open() {
                        pause = PERIOD.max(begun.elapsed() * COST);
                        self.postgres.ready();
                        self.backlog
                            .degraded(format!("the events that wait can't be counted: {message}"));
                    } else {
                        self.postgres
                            .not_ready(format!("a write is not done: {message}"));
                    }
                }
                Err(error) => self.tell(&error, last_answer.elapsed() >= PATIENCE),
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                // A probe can succeed where the next write fails (a nearly full disk), so probes
                // have a pace of their own.
                () = self.gate.refused() => tokio::time::sleep(PERIOD).await,
                () = shutdown.requested() => return Ok(()),
            }
        }
    }

    /// What a write would meet is told at once. A short absence is waited out by the writers; a
    /// `long` one is told at once, too.
    fn tell(&self, error: &Error, long: bool) {
        // A crash may bring deleted rows back.
        self.low_water.forget();
        let message = message_of(error);
        if let Some(why) = Unwritable::of(error) {
            self.postgres
                .not_ready(format!("the database takes no writes: {message}"));
            self.gate.close_for(why);
            return;
        }
        self.postgres
            .not_ready(format!("Postgres does not answer: {message}"));
        if long {
            self.gate.close();
        }
    }

    /// Measures the backlog. While the gate is closed, a write is tried first, which opens it.
    async fn look(&mut self) -> Result<Backlog, Error> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let connection = self.database.connect(CONNECT_TIMEOUT).await?;
                self.database.repoint(&self.readers);
                connection
            }
        };
        let is_open = self.gate.is_open();
        let (from, limit) = (self.low_water.mark(), self.outbox_limit);
        let looking = async {
            self.database.confirm_writable(&mut connection).await?;
            if !is_open {
                WRITES.run(&mut connection).await?;
                self.gate.open();
            }
            let begun = Instant::now();
            let rows = backlog(&mut connection, from, limit).await?;
            let took = begun.elapsed();
            Ok(Backlog { rows, took })
        };
        let backlog = within(ANSWER_TIMEOUT, looking).await?;
        self.connection = Some(connection);
        Ok(backlog)
    }

    fn judge(&self, rows: i64) {
        // Exact to 2^52 rows.
        gauge!(OUTBOX_ROWS).set(rows as f64);
        let full = rows >= self.outbox_limit;
        self.gate.set_backlog_full(full);
        if full {
            self.backlog.not_ready(format!(
                "{rows} events wait to be published, the bound (OUTBOX_LIMIT) is {}; \
                 new orders are taken when the relay has caught up",
                self.outbox_limit
            ));
        } else {
            self.backlog.ready();
        }
    }

    /// Deletes some old idempotency keys. Returns whether that is enough for now.
    async fn delete_some_old_keys(&mut self) -> bool {
        let Some(mut connection) = self.connection.take() else {
            return true;
        };
        let deleting = self.old_keys.delete_some(&mut connection);
        match within(ANSWER_TIMEOUT, deleting).await {
            Ok(are_all_deleted) => {
                self.connection = Some(connection);
                are_all_deleted
            }
            Err(error) => {
                tracing::warn!(
                    error = message_of(&error),
                    "old idempotency keys were not deleted; trying later"
                );
                true
            }
        }
    }
}

/// The events that wait to be published, and how long counting them took.
struct Backlog {
    rows: i64,
    took: Duration,
}
