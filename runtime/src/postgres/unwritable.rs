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

/// Returns what `/readyz` says while a database does not answer, refuses, or takes no writes, with what to
/// do if the error shows that.
pub fn outage_sentence(error: &Error) -> String {
    let message = message_of(error);
    if Unwritable::of(error).is_some() {
        return format!(
            "Postgres takes no writes: {message}; run the command `check`, which says what to do"
        );
    }
    match error {
        Error::Database(refusal) => {
            // Classes 28 and 3D: the server does not know the user, the password or the database.
            let is_url_wrong = refusal
                .code()
                .is_some_and(|code| code.starts_with("28") || code.starts_with("3D"));
            let advice = match is_url_wrong {
                true => "; correct DATABASE_URL",
                false => "",
            };
            format!("Postgres refuses: {message}{advice}")
        }
        Error::PoolTimedOut => {
            "Postgres gives no connection within the timeout: it does not answer, or all \
                                connections are in use"
                .to_owned()
        }
        _ => format!("Postgres does not answer: {message}; start it, or correct DATABASE_URL"),
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::time::Duration;

    use sqlx::error::{DatabaseError, ErrorKind};

    use super::super::{Database, Timeouts};
    use super::*;
    use crate::settings::Secret;

    /// An error of the server: its SQLSTATE and its message.
    #[derive(Debug)]
    struct Answer(&'static str, &'static str);

    impl fmt::Display for Answer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.1)
        }
    }

    impl std::error::Error for Answer {}

    impl DatabaseError for Answer {
        fn message(&self) -> &str {
            self.1
        }

        fn code(&self) -> Option<Cow<'_, str>> {
            Some(self.0.into())
        }

        fn as_error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
            self
        }

        fn as_error_mut(&mut self) -> &mut (dyn std::error::Error + Send + Sync + 'static) {
            self
        }

        fn into_error(self: Box<Self>) -> Box<dyn std::error::Error + Send + Sync + 'static> {
            self
        }

        fn kind(&self) -> ErrorKind {
            ErrorKind::Other
        }
    }

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
            "Postgres takes no writes: the database server's disk is full at db:5432; run the command \
             `check`, which says what to do"
        );
    }

    #[test]
    fn a_server_that_answers_is_not_to_be_started() {
        for (code, message, sentence) in [
            (
                "53300",
                "sorry, too many clients already",
                "Postgres refuses: sorry, too many clients already (SQLSTATE 53300)",
            ),
            (
                "57014",
                "canceling statement due to statement timeout",
                "Postgres refuses: canceling statement due to statement timeout (SQLSTATE 57014)",
            ),
            (
                "55P03",
                "canceling statement due to lock timeout",
                "Postgres refuses: canceling statement due to lock timeout (SQLSTATE 55P03)",
            ),
            (
                "57P03",
                "the database system is starting up",
                "Postgres refuses: the database system is starting up (SQLSTATE 57P03)",
            ),
            (
                "28P01",
                "password authentication failed for user \"u\"",
                "Postgres refuses: password authentication failed for user \"u\" (SQLSTATE 28P01); \
                 correct DATABASE_URL",
            ),
            (
                "3D000",
                "database \"d\" does not exist",
                "Postgres refuses: database \"d\" does not exist (SQLSTATE 3D000); correct \
                 DATABASE_URL",
            ),
            (
                "53100",
                "No space left on device",
                "Postgres takes no writes: No space left on device (SQLSTATE 53100); run the command \
             `check`, which says what to do",
            ),
        ] {
            let error = Error::Database(Box::new(Answer(code, message)));
            assert_eq!(outage_sentence(&error), sentence);
        }
    }

    #[test]
    fn a_pool_without_a_connection_is_not_to_be_started() {
        assert_eq!(
            outage_sentence(&Error::PoolTimedOut),
            "Postgres gives no connection within the timeout: it does not answer, or all \
             connections are in use"
        );
    }

    #[test]
    fn a_server_that_does_not_answer_is_to_be_started() {
        let refused = std::io::Error::from(std::io::ErrorKind::TimedOut);
        for error in [
            Error::Io(refused),
            Error::Tls("no certificate".into()),
            Error::Configuration("no host".into()),
        ] {
            let sentence = outage_sentence(&error);
            assert!(
                sentence.starts_with("Postgres does not answer: ")
                    && sentence.ends_with("; start it, or correct DATABASE_URL"),
                "{sentence}"
            );
        }
    }
}
