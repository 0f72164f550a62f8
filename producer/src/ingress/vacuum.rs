//! Reports who keeps vacuum from removing the outbox's deleted rows.
//!
//! Rows of the outbox are written and deleted all the time, so it is the first table to suffer from a
//! transaction that stays open: a dump, a forgotten session, a replica that lags. The relay reads past
//! deleted rows, so orders are published all the same; the table and its index grow until the session
//! ends.

use std::time::{Duration, Instant};

use metrics::gauge;
use runtime::health::Part;
use runtime::lifecycle::{Failure, Shutdown};
use runtime::metrics::{OUTBOX_DEAD_ROWS, VACUUM_HELD_BACK};
use sqlx::PgPool;

use crate::limits::{MIN_DEAD_ROWS, MIN_HELD_BACK, VACUUM_PERIOD};

/// The number of deleted rows, from the statistics: a second late, and without reading the table.
const DEAD_ROWS: &str = "SELECT coalesce((SELECT n_dead_tup FROM pg_stat_user_tables WHERE relid = 'outbox'::regclass), 0)";

/// Who holds vacuum back the furthest, and the statement that ends it. Every role sees process ids,
/// names and transactions of all sessions; a session's state is only shown to its own role or with
/// `pg_read_all_stats`. A transaction of another database counts once it writes: it is part of every
/// snapshot.
const HOLDER: &str = "SELECT who, remedy, since FROM (
         SELECT format('session %s of %s (%s%s)', pid, coalesce(usename, 'a replica'),
                    coalesce(nullif(application_name, ''), 'no application_name'),
                    ', ' || state) AS who,
                format('SELECT pg_terminate_backend(%s)', pid) AS remedy,
                coalesce(backend_xid, backend_xmin)::text AS since,
                greatest(age(backend_xid),
                    CASE WHEN datname IS NULL OR datname = current_database()
                         THEN age(backend_xmin) END) AS held
         FROM pg_stat_activity
         WHERE pid <> pg_backend_pid() AND backend_type IS DISTINCT FROM 'autovacuum worker'
         UNION ALL
         SELECT format('replication slot %s', slot_name),
                format('SELECT pg_drop_replication_slot(%L)', slot_name), xmin::text, age(xmin)
         FROM pg_replication_slots
         UNION ALL
         SELECT format('prepared transaction %s', gid), format('ROLLBACK PREPARED %L', gid),
                transaction::text, age(transaction)
         FROM pg_prepared_xacts WHERE database = current_database()) AS holders
     WHERE held IS NOT NULL ORDER BY held DESC LIMIT 1";

/// Who holds vacuum back.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Holder {
    who: String,
    remedy: String,
    /// Its transaction. A holder that begins new transactions holds nothing back for long.
    since: String,
}

/// Checks whether vacuum is held back, and reports by whom.
#[derive(Debug)]
pub struct VacuumWatch {
    pool: PgPool,
    part: Part,
    held: Held,
}

/// Since when the same holder has been seen.
#[derive(Debug, Default)]
struct Held(Option<(Holder, Instant)>);

impl VacuumWatch {
    /// Reports to `part`. Does not connect yet.
    pub fn new(pool: PgPool, part: Part) -> Self {
        Self {
            pool,
            part,
            held: Held::default(),
        }
    }

    /// Checks until shutdown. A check that fails is not repeated before the next one is due.
    ///
    /// # Errors
    /// None; the supervisor expects this type.
    pub async fn run(mut self, shutdown: Shutdown) -> Result<(), Failure> {
        loop {
            if let Err(error) = self.check().await {
                tracing::debug!(%error, "cannot check whether vacuum is held back");
            }
            tokio::select! {
                () = tokio::time::sleep(VACUUM_PERIOD) => {}
                () = shutdown.requested() => return Ok(()),
            }
        }
    }

    async fn check(&mut self) -> sqlx::Result<()> {
        let dead: i64 = sqlx::query_scalar(DEAD_ROWS).fetch_one(&self.pool).await?;
        // Exact to 2^52 rows.
        gauge!(OUTBOX_DEAD_ROWS).set(dead as f64);
        let holder = if dead < MIN_DEAD_ROWS {
            None
        } else {
            let row: Option<(String, String, String)> =
                sqlx::query_as(HOLDER).fetch_optional(&self.pool).await?;
            row.map(|(who, remedy, since)| Holder { who, remedy, since })
        };
        self.held.saw(holder, Instant::now());
        let Some((holder, time)) = self.held.for_long(Instant::now()) else {
            gauge!(VACUUM_HELD_BACK).set(0.0);
            self.part.ready();
            return Ok(());
        };
        gauge!(VACUUM_HELD_BACK).set(time.as_secs() as f64);
        let Holder { who, remedy, .. } = holder;
        // The text stays the same while the holder does, because a part's report is logged whenever it
        // changes.
        self.part.degraded(format!(
            "{who} holds vacuum back: more than {MIN_DEAD_ROWS} deleted rows of the outbox cannot be \
             removed, and the database grows; end its transaction ({remedy})"
        ));
        Ok(())
    }
}

impl Held {
    fn saw(&mut self, holder: Option<Holder>, now: Instant) {
        let is_same = |known: &Holder, holder: &Holder| {
            (&known.remedy, &known.since) == (&holder.remedy, &holder.since)
        };
        self.0 = match (self.0.take(), holder) {
            (_, None) => None,
            (Some((known, since)), Some(holder)) if is_same(&known, &holder) => {
                Some((holder, since))
            }
            (_, Some(holder)) => Some((holder, now)),
        };
    }

    fn for_long(&self, now: Instant) -> Option<(&Holder, Duration)> {
        let (holder, since) = self.0.as_ref()?;
        let time = now.saturating_duration_since(*since);
        (time >= MIN_HELD_BACK).then_some((holder, time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(since: &str, state: &str) -> Option<Holder> {
        Some(Holder {
            who: format!("session 7 ({state})"),
            remedy: "SELECT pg_terminate_backend(7)".to_owned(),
            since: since.to_owned(),
        })
    }

    #[test]
    fn a_holder_that_stays_at_one_transaction_is_reported() {
        let mut held = Held::default();
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        held.saw(holder("700", "active"), at(0));
        held.saw(holder("700", "idle in transaction"), at(40));
        let (found, time) = held.for_long(at(40)).unwrap();
        assert_eq!(found.who, "session 7 (idle in transaction)");
        assert_eq!(time, Duration::from_secs(40));
        held.saw(holder("701", "active"), at(50));
        assert_eq!(held.for_long(at(50)), None);
        assert!(held.for_long(at(80)).is_some());
        held.saw(None, at(90));
        assert_eq!(held.for_long(at(200)), None);
    }
}
