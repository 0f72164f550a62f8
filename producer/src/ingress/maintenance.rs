//! Periodic work: measures the backlog, which also probes whether the database is reachable and accepts
//! writes, and deletes old idempotency keys.

mod old_keys;

use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics::gauge;
use runtime::clock::{age_of, unix_millis};
use runtime::health::Part;
use runtime::lifecycle::{Failure, Shutdown};
use runtime::metrics::{DB_POOL_CONNECTIONS, OUTBOX_OLDEST_SECONDS, OUTBOX_ROWS};
use runtime::postgres::{
    Database, MigrationError, Unwritable, message_of, outage_sentence, within,
};
use sqlx::{Error, PgConnection, PgPool};

use super::gate::Gate;
use crate::database::{Fault, fault_of};
use crate::limits::{
    CHANGE_TIMEOUT, DELETE_KEYS_PERIOD, MAINTENANCE_ANSWER_TIMEOUT, MAINTENANCE_CONNECT_TIMEOUT,
    MAINTENANCE_COST_FACTOR, MAINTENANCE_PERIOD,
};
use crate::relay::SharedLowWater;
use crate::store;
use crate::store::outbox::Backlog;
use old_keys::OldKeys;

/// Measures, deletes and reports over a connection of its own: if readers occupy the whole pool, the
/// database must not seem to be away.
#[derive(Debug)]
pub struct Maintenance {
    database: Database,
    connection: Option<PgConnection>,
    /// The pool of the reading routes, which follows the primary.
    readers: PgPool,
    gate: Arc<Gate>,
    /// The lowest id that the outbox may have.
    low_water: SharedLowWater,
    outbox_limit: i64,
    old_keys: OldKeys,
    postgres: Part,
    backlog: Part,
}

impl Maintenance {
    /// Builds the maintenance. It closes `gate` while the database is away or takes no writes, or while
    /// `outbox_limit` events wait to be published, and reports the reason to `postgres` and `backlog`.
    /// Does not connect yet.
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

    /// Reports that the tables could not be brought up to date, and that no change is accepted.
    pub fn report_outdated(&self, error: &MigrationError) {
        self.postgres
            .not_ready(format!("cannot bring the tables up to date: {error}"));
        if let MigrationError::Database(error) = error
            && let Some(why) = Unwritable::of(error)
        {
            self.gate.close_for(why);
        }
    }

    /// Works until shutdown. The tables must exist.
    ///
    /// # Errors
    /// None; the supervisor expects this type.
    pub async fn run(mut self, shutdown: Shutdown) -> Result<(), Failure> {
        let mut last_answer = Instant::now();
        let mut last_delete = None;
        loop {
            let begun = Instant::now();
            self.report_pool();
            // Without an answer the next measurement comes soon.
            let mut pause = MAINTENANCE_PERIOD;
            match self.measure().await {
                Ok(Measurement { backlog, took }) => {
                    pause = MAINTENANCE_PERIOD.max(took * MAINTENANCE_COST_FACTOR);
                    last_answer = Instant::now();
                    self.postgres.ready();
                    self.report_backlog(backlog);
                    let is_due =
                        last_delete.is_none_or(|at: Instant| at.elapsed() >= DELETE_KEYS_PERIOD);
                    if is_due && self.delete_some_old_keys().await {
                        last_delete = Some(Instant::now());
                    }
                }
                // The statement was too slow; the database is there.
                Err(error) if fault_of(&error) == Fault::Statement => {
                    last_answer = Instant::now();
                    let message = message_of(&error);
                    if self.gate.is_open() {
                        pause = MAINTENANCE_PERIOD.max(begun.elapsed() * MAINTENANCE_COST_FACTOR);
                        self.postgres.ready();
                        self.backlog
                            .degraded(format!("cannot count the events that wait: {message}"));
                    } else {
                        self.postgres
                            .not_ready(format!("a write does not succeed: {message}"));
                    }
                }
                Err(error) => self.report(&error, last_answer.elapsed() >= CHANGE_TIMEOUT),
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                // A probe can succeed where the next write fails (a nearly full disk), so refused
                // writes must not set the pace of the probes.
                () = self.gate.refused() => tokio::time::sleep(MAINTENANCE_PERIOD).await,
                () = shutdown.requested() => return Ok(()),
            }
        }
    }

    /// Reports an error. Closes the gate if writes would fail with the same error, or if the database
    /// has been away for a `long` time; the writers wait out a short absence.
    fn report(&self, error: &Error, long: bool) {
        // A crash may bring deleted rows back.
        self.low_water.forget();
        self.postgres.not_ready(outage_sentence(error));
        if let Some(why) = Unwritable::of(error) {
            self.gate.close_for(why);
        } else if long {
            self.gate.close();
        }
    }

    /// Measures the backlog. While the gate is closed, it first tries a write, and opens the gate if
    /// the write succeeds.
    async fn measure(&mut self) -> Result<Measurement, Error> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let connection = self.database.connect(MAINTENANCE_CONNECT_TIMEOUT).await?;
                self.database.repoint(&self.readers);
                connection
            }
        };
        let is_open = self.gate.is_open();
        let (from, limit) = (self.low_water.mark(), self.outbox_limit);
        let measuring = async {
            self.database.confirm_writable(&mut connection).await?;
            if !is_open {
                store::WRITES.run(&mut connection).await?;
                self.gate.open();
            }
            let begun = Instant::now();
            let backlog = store::outbox::backlog(&mut connection, from, limit).await?;
            let took = begun.elapsed();
            Ok(Measurement { backlog, took })
        };
        let measurement = within(MAINTENANCE_ANSWER_TIMEOUT, measuring).await?;
        self.connection = Some(connection);
        Ok(measurement)
    }

    fn report_pool(&self) {
        let open = self.readers.size();
        // Another thread may open or close one in between.
        let idle = u32::try_from(self.readers.num_idle()).map_or(open, |idle| idle.min(open));
        let max = self.readers.options().get_max_connections();
        for (state, connections) in [("idle", idle), ("used", open - idle), ("max", max)] {
            gauge!(DB_POOL_CONNECTIONS, "state" => state).set(connections);
        }
    }

    fn report_backlog(&self, Backlog { rows, since }: Backlog) {
        // Exact to 2^52 rows.
        gauge!(OUTBOX_ROWS).set(rows as f64);
        let age = since.map_or(Duration::ZERO, |since| {
            age_of(since.as_millis(), unix_millis())
        });
        gauge!(OUTBOX_OLDEST_SECONDS).set(age);
        let full = rows >= self.outbox_limit;
        self.gate.set_backlog_full(full);
        if full {
            self.backlog.not_ready(format!(
                "{rows} events wait to be published, and OUTBOX_LIMIT is {}; new orders are \
                 accepted when the relay has caught up",
                self.outbox_limit
            ));
        } else {
            self.backlog.ready();
        }
    }

    /// Deletes some old idempotency keys. Returns whether the next deletion can wait for its period.
    async fn delete_some_old_keys(&mut self) -> bool {
        let Some(mut connection) = self.connection.take() else {
            return true;
        };
        let deleting = self.old_keys.delete_some(&mut connection);
        match within(MAINTENANCE_ANSWER_TIMEOUT, deleting).await {
            Ok(are_all_deleted) => {
                self.connection = Some(connection);
                are_all_deleted
            }
            Err(error) => {
                tracing::warn!(
                    error = message_of(&error),
                    "cannot delete old idempotency keys; trying again later"
                );
                true
            }
        }
    }
}

/// The events that wait to be published, and how long counting them took.
struct Measurement {
    backlog: Backlog,
    took: Duration,
}
