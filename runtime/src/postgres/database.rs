//! Connections to a database, each with its session settings, and to the primary alone.
//!
//! Settings are made by a statement after the connect and not by the startup packet: a pooler
//! refuses the packet's `options`, or drops them without a word.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgRow};
use sqlx::{AssertSqlSafe, Error, PgConnection, Row};

use super::pooler;
use super::servers::servers;
use super::unwritable::{Refusal, Unwritable, message_of};
use crate::lifecycle::Failure;
use crate::settings::Secret;

/// Settings of every session. A connection that vanished within a transaction keeps its locks for
/// ten seconds, and the server notices a vanished client within half a minute instead of two hours.
const SETTINGS: [(&str, &str); 4] = [
    ("idle_in_transaction_session_timeout", "10s"),
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
];

/// Answers are given, and offsets committed, on the strength of what this session commits. The
/// value is set even where it is in force already, so that no reload of the server's configuration
/// can weaken it later; one that is stricter stays.
const DURABLE: &str = "SELECT set_config('synchronous_commit', \
     coalesce(nullif(current_setting('synchronous_commit'), 'off'), 'on'), false)";

/// The proof that this server takes writes. A standby grants advisory locks and answers queries;
/// a transaction id of its own is what it can't give.
const PROOF: &str = "SELECT CASE \
     WHEN pg_is_in_recovery() THEN 'standby' \
     WHEN current_setting('transaction_read_only')::boolean THEN 'read-only' \
     ELSE pg_current_xact_id()::text END";

/// The same without using up a transaction id, for a server that was proven to be a primary: it stays
/// one as long as the connection lives, but its transactions may become read-only.
const STATE: &str = "SELECT CASE \
     WHEN pg_is_in_recovery() THEN 'standby' \
     WHEN current_setting('transaction_read_only')::boolean THEN 'read-only' \
     ELSE 'primary' END";

/// What the server gives up by itself; with units, as Postgres reads them.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// A statement that takes longer.
    pub statement: &'static str,
    /// Waiting longer for a row's or a table's lock.
    pub lock: &'static str,
}

/// What a server was asked, boxed: a closure's own future is not known to be `Send`.
type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// A database that connections can be made to. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Database {
    servers: Arc<[PgConnectOptions]>,
    settings: BTreeMap<&'static str, &'static str>,
    read_only: bool,
    /// The server that was the primary last.
    primary: Arc<AtomicUsize>,
}

impl Database {
    /// A database whose sessions Postgres lists as `application`. Does not connect yet.
    ///
    /// # Errors
    /// Exit code 2 for a URL that can't be used. The URL is not shown: it holds a password.
    pub fn new(
        url: &Secret,
        application: &'static str,
        timeouts: Timeouts,
    ) -> Result<Self, Failure> {
        let servers = servers(url)?
            .into_iter()
            // A pooler does not know this parameter of the startup packet.
            .map(|server| {
                server
                    .extra_float_digits(None::<i8>)
                    .application_name(application)
            });
        let database = Self {
            servers: servers.collect(),
            settings: SETTINGS.into(),
            read_only: false,
            primary: Arc::default(),
        };
        Ok(database.with([
            ("application_name", application),
            ("statement_timeout", timeouts.statement),
            ("lock_timeout", timeouts.lock),
        ]))
    }

    /// The same database with more settings in its sessions. Those that the server's version does
    /// not know are left out.
    #[must_use]
    pub fn with<const N: usize>(mut self, settings: [(&'static str, &'static str); N]) -> Self {
        self.settings.extend(settings);
        self
    }

    /// The same database for reading alone, for which a standby is good enough.
    #[must_use]
    pub fn for_reading(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// Connects within `time`. Unless it is for reading alone, the server is proven to be a primary
    /// that takes writes, and what the session commits is durable.
    ///
    /// # Errors
    /// The database's; a [`Refusal`] within [`Error::Configuration`]; [`Error::Io`] when there is no
    /// answer in time.
    pub async fn connect(&self, time: Duration) -> Result<PgConnection, Error> {
        self.each_server(time, |server| Box::pin(self.open(server)))
            .await
    }

    /// Proves that transactions of this connection may still write: a reload of the server's
    /// configuration can have made them read-only.
    ///
    /// # Errors
    /// The database's; a [`Refusal`] within [`Error::Configuration`].
    pub async fn confirm_writable(&self, connection: &mut PgConnection) -> Result<(), Error> {
        let rows = sqlx::raw_sql(STATE).fetch_all(connection).await?;
        self.judge(rows.last(), self.last_primary())
    }

    /// Proves, within `time`, that a session keeps what is set in it and that nobody else works in
    /// it: advisory locks, settings and prepared statements rest on that.
    ///
    /// # Errors
    /// As [`Database::connect`].
    pub async fn prove_own_sessions(&self, time: Duration) -> Result<(), Error> {
        self.each_server(time, |server| Box::pin(self.prove(server)))
            .await
    }

    /// A pool that connects when it is first asked, to the server that was the primary last.
    pub fn pool(&self, options: PgPoolOptions) -> PgPool {
        let database = self.clone();
        options
            .after_connect(move |connection, _| {
                let database = database.clone();
                Box::pin(async move { database.prepare(connection).await })
            })
            .connect_lazy_with(self.last_primary().clone())
    }

    /// Points `pool` at the server that was the primary last: a pool knows of only one.
    pub fn repoint(&self, pool: &PgPool) {
        if self.servers.len() > 1 {
            pool.set_connect_options(self.last_primary().clone());
        }
    }

    fn last_primary(&self) -> &PgConnectOptions {
        let last = self.primary.load(Ordering::Relaxed);
        &self.servers[last % self.servers.len()]
    }

    /// Asks the servers in turn, beginning with the one that was the primary last, until one does.
    async fn each_server<'a, T>(
        &'a self,
        time: Duration,
        ask: impl Fn(&'a PgConnectOptions) -> Answer<'a, T>,
    ) -> Result<T, Error> {
        let count = self.servers.len();
        let share = time / u32::try_from(count).unwrap_or(1).max(1);
        let first = self.primary.load(Ordering::Relaxed);
        let mut errors = Vec::new();
        for number in (first..first + count).map(|number| number % count) {
            let server = &self.servers[number];
            match within(share, ask(server)).await {
                Ok(answer) => {
                    self.primary.store(number, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(error) => errors.push((server, error)),
            }
        }
        Err(one_of(errors))
    }

    async fn open(&self, server: &PgConnectOptions) -> Result<PgConnection, Error> {
        use sqlx::ConnectOptions;
        let mut connection = server.connect().await?;
        self.prepare_at(&mut connection, server).await?;
        Ok(connection)
    }

    async fn prove(&self, server: &PgConnectOptions) -> Result<(), Error> {
        use sqlx::Connection;
        // Sessions of a server that would not be written to prove nothing.
        self.open(server).await?.close().await?;
        if pooler::shares_sessions(server).await? {
            return Err(self.refusal(server, Unwritable::SharedSessions).into());
        }
        Ok(())
    }

    async fn prepare(&self, connection: &mut PgConnection) -> Result<(), Error> {
        self.prepare_at(connection, self.last_primary()).await
    }

    /// One round trip of the simple protocol, which works through any pooler.
    async fn prepare_at(
        &self,
        connection: &mut PgConnection,
        server: &PgConnectOptions,
    ) -> Result<(), Error> {
        let statements = statements(&self.settings, self.read_only);
        let rows = sqlx::raw_sql(AssertSqlSafe(statements))
            .fetch_all(connection)
            .await?;
        if self.read_only {
            return Ok(());
        }
        self.judge(rows.last(), server)
    }

    fn judge(&self, proof: Option<&PgRow>, server: &PgConnectOptions) -> Result<(), Error> {
        let proof: &str = proof.ok_or(Error::RowNotFound)?.try_get(0)?;
        match proof {
            "standby" => Err(self.refusal(server, Unwritable::Standby).into()),
            "read-only" => Err(self.refusal(server, Unwritable::ReadOnly).into()),
            _ => Ok(()),
        }
    }

    fn refusal(&self, server: &PgConnectOptions, why: Unwritable) -> Refusal {
        Refusal {
            server: address_of(server),
            why,
        }
    }
}

/// The statements that make a session what the service expects.
fn statements(settings: &BTreeMap<&str, &str>, read_only: bool) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let values: Vec<String> = settings
        .iter()
        .map(|(name, value)| format!("({}, {})", quoted(name), quoted(value)))
        .collect();
    let set = format!(
        "SELECT set_config(name, value, false) FROM (VALUES {}) AS wanted (name, value) \
         WHERE current_setting(name, true) IS NOT NULL",
        values.join(", ")
    );
    if read_only {
        set
    } else {
        format!("{set}; {DURABLE}; {PROOF}")
    }
}

fn address_of(server: &PgConnectOptions) -> String {
    match server.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", server.get_host(), server.get_port()),
    }
}

/// Waits for an answer no longer than `time`: a network that swallows everything tells nobody.
///
/// # Errors
/// The answer's, or [`Error::Io`] when there is none in time.
pub async fn within<T>(
    time: Duration,
    answer: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::time::timeout(time, answer)
        .await
        .unwrap_or_else(|_| Err(no_answer(time)))
}

fn no_answer(time: Duration) -> Error {
    Error::Io(std::io::Error::new(
        std::io::ErrorKind::TimedOut,
        format!("no answer within {time:?}"),
    ))
}

/// Of the errors of all servers one, which tells them all.
fn one_of(mut errors: Vec<(&PgConnectOptions, Error)>) -> Error {
    if errors.len() == 1
        && let Some((server, error)) = errors.pop()
    {
        return match error {
            Error::Io(error) => {
                let what = format!("{}: {error}", address_of(server));
                Error::Io(std::io::Error::new(error.kind(), what))
            }
            error => error,
        };
    }
    let shares_sessions = |(_, error): &(&PgConnectOptions, Error)| {
        Refusal::of(error).is_some_and(|refusal| refusal.why == Unwritable::SharedSessions)
    };
    if let Some(found) = errors.iter().position(shares_sessions) {
        return errors.swap_remove(found).1;
    }
    let standbys: Option<Vec<String>> = errors
        .iter()
        .map(|(_, error)| {
            Refusal::of(error)
                .filter(|refusal| refusal.why == Unwritable::Standby)
                .map(|refusal| refusal.server.clone())
        })
        .collect();
    if let Some(standbys) = standbys {
        return Refusal {
            server: standbys.join(" and at "),
            why: Unwritable::Standby,
        }
        .into();
    }
    let each: Vec<String> = errors
        .iter()
        .map(|(server, error)| format!("{}: {}", address_of(server), message_of(error)))
        .collect();
    Error::Io(std::io::Error::other(each.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_settings_replace_earlier_ones() {
        let timeouts = Timeouts {
            statement: "5s",
            lock: "4s",
        };
        let url = Secret::new("postgres://u@localhost/d");
        let database = Database::new(&url, "it's", timeouts).unwrap();
        let statements = statements(&database.with([("statement_timeout", "0")]).settings, false);
        assert!(statements.contains("('statement_timeout', '0')"));
        assert!(!statements.contains("'5s'"), "{statements}");
        assert!(statements.contains("'it''s'"), "{statements}");
    }

    #[test]
    fn when_no_server_is_the_primary_all_are_named() {
        let servers = servers(&Secret::new("postgres://a:1,b:2/d")).unwrap();
        let standby = |server: &PgConnectOptions| -> Error {
            Refusal {
                server: address_of(server),
                why: Unwritable::Standby,
            }
            .into()
        };
        let both = one_of(
            servers
                .iter()
                .map(|server| (server, standby(server)))
                .collect(),
        );
        assert_eq!(Unwritable::of(&both), Some(Unwritable::Standby));
        assert!(message_of(&both).contains("at a:1 and at b:2 is a standby"));
        let one_away = one_of(vec![
            (&servers[0], standby(&servers[0])),
            (&servers[1], no_answer(Duration::from_secs(1))),
        ]);
        assert_eq!(Unwritable::of(&one_away), None, "the primary may be away");
        assert!(message_of(&one_away).contains("b:2: no answer within 1s"));
    }
}
