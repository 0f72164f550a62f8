//! A model of the producer's outbox: rows that become visible late, sessions that hold the lock, and a
//! standby that lags behind the primary.

use std::collections::BTreeMap;
use std::time::Duration;

use producer::relay::Row;
use producer::relay::ports::Writers;
use rust_decimal::Decimal;
use schemas::{Currency, Status, Timestamp};

use super::kafka::log::TIMESTAMP_MILLIS;
use crate::random::Random;

/// The server ends a session that sends nothing for this long.
pub const IDLE_SESSION: Duration = Duration::from_secs(6);

/// The number of a session.
pub type SessionId = u64;

/// The server that a session is connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// Accepts writes.
    Primary,
    /// Shows an older state of the table, refuses writes, and grants advisory locks of its own.
    Standby,
}

#[derive(Debug)]
struct Session {
    server: Server,
    heard: Duration,
    backlog: Vec<Row>,
}

/// The versions of the orders, their outbox, and the holder of the lock.
#[derive(Debug, Default)]
pub struct OutboxTable {
    rows: BTreeMap<i64, Row>,
    /// Rows of open transactions, whose ids are taken already: at most one for each order.
    uncommitted: Vec<Row>,
    next_id: i64,
    versions: BTreeMap<String, i64>,
    sessions: BTreeMap<SessionId, Session>,
    next_session: SessionId,
    lock: Option<SessionId>,
    replayed: BTreeMap<i64, Row>,
    lock_of_the_standby: Option<SessionId>,
}

impl OutboxTable {
    /// Changes some orders, and commits some of the open transactions. In half of the calls the standby
    /// first replays all committed rows.
    pub fn change(&mut self, random: &mut Random) {
        if random.per_mille(500) {
            self.replayed.clone_from(&self.rows);
        }
        for _ in 0..random.between(1, 6) {
            let order = format!("relayed-{}", random.below(6));
            // The order's row is locked until its transaction ends.
            if self.uncommitted.iter().any(|row| row.order_id == order) {
                continue;
            }
            let version = self.versions.entry(order.clone()).or_insert(0);
            *version += 1;
            self.next_id += 1;
            self.uncommitted.push(Row {
                id: self.next_id,
                order_id: order,
                version: *version,
                status: Status::Sent,
                total: Decimal::from(100),
                currency: Currency::EUR,
                occurred_at: Timestamp::from_millis(TIMESTAMP_MILLIS),
                sent_at: None,
                traceparent: None,
            });
        }
        for _ in 0..random.between(1, 6) {
            if !self.uncommitted.is_empty() {
                let place = random.place(self.uncommitted.len());
                let row = self.uncommitted.swap_remove(place);
                self.rows.insert(row.id, row);
            }
        }
    }

    /// Commits all open transactions.
    pub fn commit_all(&mut self) {
        for row in self.uncommitted.drain(..) {
            self.rows.insert(row.id, row);
        }
    }

    /// Returns the highest version of each order.
    pub const fn versions(&self) -> &BTreeMap<String, i64> {
        &self.versions
    }

    /// Returns whether all rows are published and deleted.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.uncommitted.is_empty()
    }

    /// Opens a session.
    pub fn connect(&mut self, server: Server, now: Duration) -> SessionId {
        self.next_session += 1;
        self.sessions.insert(
            self.next_session,
            Session {
                server,
                heard: now,
                backlog: Vec::new(),
            },
        );
        self.next_session
    }

    /// Ends a session and releases its lock.
    pub fn disconnect(&mut self, session: SessionId) {
        self.sessions.remove(&session);
        self.release();
    }

    /// Releases the locks whose sessions have ended.
    fn release(&mut self) {
        let Self {
            sessions,
            lock,
            lock_of_the_standby,
            ..
        } = self;
        for lock in [lock, lock_of_the_standby] {
            lock.take_if(|holder| !sessions.contains_key(holder));
        }
    }

    /// Returns whether a session is connected to the primary (`pg_is_in_recovery()` is false).
    pub fn is_on_primary(&self, session: SessionId) -> bool {
        self.sessions
            .get(&session)
            .is_some_and(|one| one.server == Server::Primary)
    }

    /// Records that a session sent something. Returns false if the server has ended the session.
    pub fn hear(&mut self, session: SessionId, now: Duration) -> bool {
        self.sessions
            .retain(|_, one| now.saturating_sub(one.heard) < IDLE_SESSION);
        self.release();
        self.sessions
            .get_mut(&session)
            .map(|one| one.heard = now)
            .is_some()
    }

    /// Takes the lock of the session's server, unless another session holds it. Returns whether this
    /// session holds the lock.
    pub fn try_lock(&mut self, session: SessionId) -> bool {
        let lock = if self.is_on_primary(session) {
            &mut self.lock
        } else {
            &mut self.lock_of_the_standby
        };
        *lock.get_or_insert(session) == session
    }

    /// Returns the rows that the session's server shows.
    fn shown_to(&self, session: SessionId) -> &BTreeMap<i64, Row> {
        if self.is_on_primary(session) {
            &self.rows
        } else {
            &self.replayed
        }
    }

    /// Returns the first `max` rows whose ids are `from` or higher.
    pub fn read(&self, session: SessionId, from: i64, max: usize) -> Vec<Row> {
        let rows = self.shown_to(session).range(from..).take(max);
        rows.map(|(_, row)| row.clone()).collect()
    }

    /// Returns the open transactions. Each is named after the id of its row.
    pub fn writers(&self) -> Writers {
        let open = self.uncommitted.iter();
        open.map(|row| row.id.to_string()).collect()
    }

    /// Keeps a snapshot of the rows for the session, sorted by order and id.
    pub fn open_backlog(&mut self, session: SessionId) {
        let mut rows: Vec<_> = self.shown_to(session).values().cloned().collect();
        rows.sort_by(|a, b| (&a.order_id, a.id).cmp(&(&b.order_id, b.id)));
        if let Some(session) = self.sessions.get_mut(&session) {
            session.backlog = rows;
        }
    }

    /// Returns the next rows of the snapshot.
    pub fn read_backlog(&mut self, session: SessionId, max: usize) -> Vec<Row> {
        let Some(session) = self.sessions.get_mut(&session) else {
            return Vec::new();
        };
        let count = max.min(session.backlog.len());
        session.backlog.drain(..count).collect()
    }

    /// Deletes the rows of these ids; ids without a row are ignored.
    pub fn delete(&mut self, ids: &[i64]) {
        self.rows.retain(|id, _| !ids.contains(id));
    }
}
