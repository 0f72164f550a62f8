//! Errors that mean that a database takes no writes at all, and messages for errors of Postgres.

use std::fmt;

use sqlx::Error;

/// Why a database answers but refuses every write. It lasts until a person or a failover ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unwritable {
    /// The server is in recovery.
    Standby,
    /// Transactions are read-only (`default_transaction_read_only`).
    ReadOnly,
    /// The server's disk is full.
    DiskFull,
    /// The role has no right to write the tables.
    NoRights,
    /// The tables are missing, or belong to another version.
    NoTables,
    /// A pooler shares sessions between clients.
    SharedSessions,
}

impl Unwritable {
    /// Returns why every write fails, if `error` means that: by SQLSTATE (appendix A of the manual), or
    /// the [`ConnectionRefusal`] of a new connection.
    pub fn of(error: &Error) -> Option<Self> {
        if let Some(refusal) = ConnectionRefusal::of(error) {
            return Some(refusal.why);
        }
        let Error::Database(error) = error else {
            return None;
        };
        match error.code()?.as_ref() {
            "25006" => Some(Self::ReadOnly),
            "53100" => Some(Self::DiskFull),
            "42501" => Some(Self::NoRights),
            "42P01" | "42703" => Some(Self::NoTables),
            _ => None,
        }
    }

    /// Returns a clause for clients, which does not name the server.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standby => "the database server is a standby",
            Self::ReadOnly => "the database is read-only",
            Self::DiskFull => "the database server's disk is full",
            Self::NoRights => "the service may not write to the database",
            Self::NoTables => "tables are missing in the database",
            Self::SharedSessions => "the database is behind a pooler in transaction mode",
        }
    }
}

/// A connection that was refused because it must not or cannot be written through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionRefusal {
    /// The server as `host:port`; several, joined, when none of them is the primary.
    pub server: String,
    /// Why.
    pub why: Unwritable,
}

impl ConnectionRefusal {
    /// Returns the refusal that `error` wraps, if any.
    pub fn of(error: &Error) -> Option<&Self> {
        match error {
            Error::Configuration(source) => source.downcast_ref(),
            _ => None,
        }
    }
}

impl fmt::Display for ConnectionRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server = &self.server;
        match self.why {
            Unwritable::Standby => write!(
                f,
                "the server at {server} is a standby (it is in recovery); name the primary in \
                 DATABASE_URL"
            ),
            Unwritable::ReadOnly => write!(
                f,
                "the database at {server} is read-only (default_transaction_read_only is on)"
            ),
            Unwritable::SharedSessions => write!(
                f,
                "the pooler at {server} shares sessions between clients (transaction or statement \
                 mode); use session mode (pool_mode=session) or name the server itself in DATABASE_URL"
            ),
            other => write!(f, "{} at {server}", other.as_str()),
        }
    }
}

impl std::error::Error for ConnectionRefusal {}

impl From<ConnectionRefusal> for Error {
    fn from(refusal: ConnectionRefusal) -> Self {
        Self::Configuration(Box::new(refusal))
    }
}

/// Returns a message about an error for logs and `/readyz`. Of the server's errors it contains only
/// message and SQLSTATE: the detail may contain a row's values.
pub fn message_of(error: &Error) -> String {
    match error {
        Error::Database(error) => match error.code() {
            Some(code) => format!("{} (SQLSTATE {code})", error.message()),
            None => error.message().to_owned(),
        },
        Error::Configuration(source) => source.to_string(),
        Error::Io(error) => error.to_string(),
        Error::PoolTimedOut => {
            "no connection within the timeout: the database does not answer, or all connections are \
             in use"
                .to_owned()
        }
        _ => error.to_string(),
    }
}

/// Returns what `/readyz` says while a database does not answer or takes no writes, with what to do.
pub fn outage_sentence(error: &Error) -> String {
    let message = message_of(error);
    if Unwritable::of(error).is_some() {
        return format!("Postgres takes no writes: {message}; the command check says what to do");
    }
    format!("Postgres does not answer: {message}; start it, or correct DATABASE_URL")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Database, Timeouts};
    use super::*;
    use crate::settings::Secret;

    #[tokio::test]
    async fn a_server_that_refuses_connections_is_named() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let timeouts = Timeouts {
            statement: "5s",
            lock: "4s",
        };
        let url = Secret::new(format!("postgres://u:hunter2@{address}/d"));
        let database = Database::new(&url, "test", timeouts).unwrap();
        let error = database.connect(Duration::from_secs(5)).await.unwrap_err();
        let message = message_of(&error);
        assert!(
            message.starts_with(&format!("cannot connect to Postgres at {address}: "))
                && message.contains("refused"),
            "{message}"
        );
        let sentence = outage_sentence(&error);
        let expected = "Postgres does not answer: cannot connect to Postgres at ";
        assert!(sentence.starts_with(expected), "{sentence}");
        let advice = "; start it, or correct DATABASE_URL";
        assert!(sentence.ends_with(advice), "{sentence}");
        assert!(message_of(&Error::PoolTimedOut).contains("does not answer"));
    }

    #[test]
    fn a_database_that_answers_and_takes_no_writes_is_no_database_that_is_away() {
        let refusal = ConnectionRefusal {
            server: "db:5432".to_owned(),
            why: Unwritable::DiskFull,
        };
        assert_eq!(
            outage_sentence(&refusal.into()),
            "Postgres takes no writes: the database server's disk is full at db:5432; the command check \
             says what to do"
        );
    }
}
