//! Connections to a database: their session settings, and the proof that the server is a primary.
//!
//! Settings are made by a statement after the connect. A pooler refuses the `options` of the startup
//! packet, or drops them silently.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgRow};
use sqlx::{AssertSqlSafe, Error, PgConnection, Row};

use super::database_url::servers;
use super::pooler;
use super::unwritable::{ConnectionRefusal, Unwritable, message_of};
use crate::duration::human_duration;
use crate::lifecycle::Failure;
use crate::settings::Secret;

/// Settings of every session.
const SESSION_SETTINGS: [(&str, &str); 4] = [
    // A transaction whose client is gone keeps its locks for this long.
    ("idle_in_transaction_session_timeout", "10s"),
    // The server notices within 25 s that a client is gone, instead of two hours (10 + 3 * 5).
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
];

/// Makes commits durable: requests are answered, and offsets committed, because this session has
/// committed. The present value is set explicitly, so that a reload of the server's configuration
/// cannot weaken it; a stricter one stays.
const SET_DURABLE_COMMIT: &str = "SELECT set_config('synchronous_commit', \
     coalesce(nullif(current_setting('synchronous_commit'), 'off'), 'on'), false)";

/// Proves that this server takes writes. A standby answers queries and grants advisory locks, but it
/// cannot assign a transaction id.
const PROVE_PRIMARY: &str = "SELECT CASE \
     WHEN pg_is_in_recovery() THEN 'standby' \
     WHEN current_setting('transaction_read_only')::boolean THEN 'read-only' \
     ELSE pg_current_xact_id()::text END";

/// Proves the same without using a transaction id, for a server that was proven to be a primary. It
/// remains one for the life of the connection, but its transactions may become read-only.
const PROVE_WRITABLE: &str = "SELECT CASE \
     WHEN pg_is_in_recovery() THEN 'standby' \
     WHEN current_setting('transaction_read_only')::boolean THEN 'read-only' \
     ELSE 'primary' END";

/// Timeouts that the server enforces, with units, as Postgres reads them.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// Cancels a statement that takes longer (`statement_timeout`).
    pub statement: &'static str,
    /// Cancels a statement that waits longer for a row or table lock (`lock_timeout`).
    pub lock: &'static str,
}

/// The future of a closure, boxed because the compiler does not know otherwise that it is `Send`.
type BoxedFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// A database, on one server or several. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Database {
    servers: Arc<[PgConnectOptions]>,
    settings: BTreeMap<&'static str, &'static str>,
    read_only: bool,
    /// The index of the server that was last found to be the primary.
    primary: Arc<AtomicUsize>,
}

impl Database {
    /// Creates a database from `DATABASE_URL`, without connecting. `application` is the name of its
    /// sessions in `pg_stat_activity`.
    ///
    /// # Errors
    /// Exit code 2 for a URL that cannot be used. The message does not contain the URL, which contains
    /// a password.
    pub fn new(
        url: &Secret,
        application: &'static str,
        timeouts: Timeouts,
    ) -> Result<Self, Failure> {
        let servers = servers(url)?
            .into_iter()
            // PgBouncer refuses this parameter of the startup packet.
            .map(|server| {
                server
                    .extra_float_digits(None::<i8>)
                    .application_name(application)
            });
        let database = Self {
            servers: servers.collect(),
            settings: SESSION_SETTINGS.into(),
            read_only: false,
            primary: Arc::default(),
        };
        Ok(database.with([
            ("application_name", application),
            ("statement_timeout", timeouts.statement),
            ("lock_timeout", timeouts.lock),
        ]))
    }

    /// Adds settings to its sessions. A setting that the server's version does not know is left out.
    #[must_use]
    pub fn with<const N: usize>(mut self, settings: [(&'static str, &'static str); N]) -> Self {
        self.settings.extend(settings);
        self
    }

    /// Connects only to read, for which a standby is enough.
    #[must_use]
    pub fn for_reading(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// Connects within `time`. Unless it is [`for_reading`](Self::for_reading), the server is proven to
    /// be a primary that takes writes, and commits of the session are durable.
    ///
    /// # Errors
    /// The database's; a [`ConnectionRefusal`] in [`Error::Configuration`]; [`Error::Io`] when there is no
    /// answer in time.
    pub async fn connect(&self, time: Duration) -> Result<PgConnection, Error> {
        self.first_server(time, |server| Box::pin(self.open(server)))
            .await
    }

    /// Proves that transactions of this connection can still write. A reload of the server's
    /// configuration may have made them read-only.
    ///
    /// # Errors
    /// The database's; a [`ConnectionRefusal`] in [`Error::Configuration`].
    pub async fn confirm_writable(&self, connection: &mut PgConnection) -> Result<(), Error> {
        let rows = sqlx::raw_sql(PROVE_WRITABLE).fetch_all(connection).await?;
        self.check_proof(rows.last(), self.last_primary())
    }

    /// Proves, within `time`, that each connection has a session of its own, which advisory locks,
    /// settings and prepared statements need.
    ///
    /// # Errors
    /// As [`Database::connect`].
    pub async fn prove_own_sessions(&self, time: Duration) -> Result<(), Error> {
        self.first_server(time, |server| Box::pin(self.prove(server)))
            .await
    }

    /// Returns a pool, which connects when it is first used, to the server that was last found to be
    /// the primary.
    pub fn pool(&self, options: PgPoolOptions) -> PgPool {
        let database = self.clone();
        options
            .after_connect(move |connection, _| {
                let database = database.clone();
                Box::pin(async move { database.prepare(connection).await })
            })
            .connect_lazy_with(self.last_primary().clone())
    }

    /// Makes `pool`, which knows only one server, connect to the server that was last found to be the
    /// primary.
    pub fn repoint(&self, pool: &PgPool) {
        if self.servers.len() > 1 {
            pool.set_connect_options(self.last_primary().clone());
        }
    }

    fn last_primary(&self) -> &PgConnectOptions {
        let last = self.primary.load(Ordering::Relaxed);
        &self.servers[last % self.servers.len()]
    }

    /// Calls `ask` for the servers in turn, beginning with the last primary, until one succeeds.
    async fn first_server<'a, T>(
        &'a self,
        time: Duration,
        ask: impl Fn(&'a PgConnectOptions) -> BoxedFuture<'a, T>,
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
        Err(combined(errors))
    }

    async fn open(&self, server: &PgConnectOptions) -> Result<PgConnection, Error> {
        use sqlx::ConnectOptions;
        let mut connection = server.connect().await?;
        self.prepare_at(&mut connection, server).await?;
        Ok(connection)
    }

    async fn prove(&self, server: &PgConnectOptions) -> Result<(), Error> {
        use sqlx::Connection;
        // A server that takes no writes is refused before its sessions are checked.
        self.open(server).await?.close().await?;
        if pooler::shares_sessions(server).await? {
            return Err(refusal(server, Unwritable::SharedSessions));
        }
        Ok(())
    }

    async fn prepare(&self, connection: &mut PgConnection) -> Result<(), Error> {
        self.prepare_at(connection, self.last_primary()).await
    }

    /// Applies the settings in one round trip of the simple protocol, which works through any pooler.
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
        self.check_proof(rows.last(), server)
    }

    /// Returns a [`ConnectionRefusal`] unless this row proves that the server takes writes.
    fn check_proof(&self, proof: Option<&PgRow>, server: &PgConnectOptions) -> Result<(), Error> {
        let proof: &str = proof.ok_or(Error::RowNotFound)?.try_get(0)?;
        match proof {
            "standby" => Err(refusal(server, Unwritable::Standby)),
            "read-only" => Err(refusal(server, Unwritable::ReadOnly)),
            _ => Ok(()),
        }
    }
}

fn refusal(server: &PgConnectOptions, why: Unwritable) -> Error {
    let server = address_of(server);
    ConnectionRefusal { server, why }.into()
}

/// Returns the statements that set up and prove a session.
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
        format!("{set}; {SET_DURABLE_COMMIT}; {PROVE_PRIMARY}")
    }
}

fn address_of(server: &PgConnectOptions) -> String {
    match server.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", server.get_host(), server.get_port()),
    }
}

/// Waits for an answer no longer than `time`: a network that drops packets gives no error.
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
        format!("no answer within {}", human_duration(time)),
    ))
}

/// Returns one error for those of all servers.
fn combined(mut errors: Vec<(&PgConnectOptions, Error)>) -> Error {
    if errors.len() == 1
        && let Some((server, error)) = errors.pop()
    {
        return match error {
            Error::Io(error) => {
                let why = format!(
                    "cannot connect to Postgres at {}: {error}",
                    address_of(server)
                );
                Error::Io(std::io::Error::new(error.kind(), why))
            }
            error => error,
        };
    }
    let shares_sessions = |(_, error): &(&PgConnectOptions, Error)| {
        ConnectionRefusal::of(error)
            .is_some_and(|refusal| refusal.why == Unwritable::SharedSessions)
    };
    if let Some(found) = errors.iter().position(shares_sessions) {
        return errors.swap_remove(found).1;
    }
    let standbys: Option<Vec<String>> = errors
        .iter()
        .map(|(_, error)| {
            ConnectionRefusal::of(error)
                .filter(|refusal| refusal.why == Unwritable::Standby)
                .map(|refusal| refusal.server.clone())
        })
        .collect();
    if let Some(standbys) = standbys {
        return ConnectionRefusal {
            server: standbys.join(" and at "),
            why: Unwritable::Standby,
        }
        .into();
    }
    let each: Vec<String> = errors
        .iter()
        .map(|(server, error)| format!("{}: {}", address_of(server), message_of(error)))
        .collect();
    let why = format!("cannot connect to Postgres: {}", each.join("; "));
    Error::Io(std::io::Error::other(why))
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
        let standby = |server| refusal(server, Unwritable::Standby);
        let both = combined(
            servers
                .iter()
                .map(|server| (server, standby(server)))
                .collect(),
        );
        assert_eq!(Unwritable::of(&both), Some(Unwritable::Standby));
        assert!(message_of(&both).contains("at a:1 and at b:2 is a standby"));
        let one_unreachable = combined(vec![
            (&servers[0], standby(&servers[0])),
            (&servers[1], no_answer(Duration::from_secs(1))),
        ]);
        assert_eq!(
            Unwritable::of(&one_unreachable),
            None,
            "the primary may be unreachable"
        );
        assert!(message_of(&one_unreachable).contains("b:2: no answer within 1 s"));
    }
}
