//! A service's tables in Postgres, and Postgres's clock.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use sqlx::migrate::Migrator;
use sqlx::{Connection, Error, PgConnection};

use super::check_result::CheckResult;
use super::clock;
use crate::postgres::{Applied, Database, Unwritable, WriteProbe, message_of};

const TIMEOUT: Duration = Duration::from_secs(5);

const SUBJECT: &str = "Postgres";

/// What a service expects of its database.
#[derive(Debug)]
pub struct Expected<'a> {
    /// The service's name, for advice.
    pub service: &'a str,
    /// The schema that this version knows.
    pub migrator: &'a Migrator,
    /// Where its migrations are told.
    pub table: &'a str,
    /// What it writes.
    pub writes: WriteProbe,
}

/// What the database answered.
struct Facts {
    /// Our clock and its, at one moment.
    clocks: (SystemTime, SystemTime),
    applied: Applied,
    /// `None` where the tables are not there yet.
    written: Option<Result<(), Error>>,
}

/// Asks the database and judges the answers. Nothing stays written.
pub async fn database(database: &Database, expected: &Expected<'_>) -> Vec<CheckResult> {
    let asked = tokio::time::timeout(TIMEOUT * 2, ask(database, expected)).await;
    let facts = match asked {
        Ok(Ok(facts)) => facts,
        Ok(Err(error)) => return vec![refused(&error, expected.service)],
        Err(_) => return vec![absent(&format!("no answer within {:?}", TIMEOUT * 2))],
    };
    let (ours, theirs) = facts.clocks;
    vec![
        writable(facts.written.as_ref(), expected.service),
        migrations(&facts.applied, expected),
        clock::from_source(SUBJECT, ours, theirs),
    ]
}

/// The migrations that `--fix` would apply; none when the database does not answer.
pub async fn pending(database: &Database, migrator: &Migrator, table: &str) -> Vec<i64> {
    let applied = async {
        let mut connection = database.connect(TIMEOUT).await.ok()?;
        let applied = Applied::read(&mut connection, table).await.ok()?;
        connection.close().await.ok()?;
        Some(applied.missing(migrator))
    };
    let answer = tokio::time::timeout(TIMEOUT * 2, applied).await;
    answer.ok().flatten().unwrap_or_default()
}

async fn ask(database: &Database, expected: &Expected<'_>) -> Result<Facts, Error> {
    database.prove_own_sessions(TIMEOUT).await?;
    let mut connection = database.connect(TIMEOUT).await?;
    let before = SystemTime::now();
    let theirs: DateTime<Utc> = sqlx::query_scalar("SELECT clock_timestamp()")
        .fetch_one(&mut connection)
        .await?;
    let clocks = clock::at_the_same_time(before, theirs.into(), SystemTime::now());
    let applied = Applied::read(&mut connection, expected.table).await?;
    let written = if applied.missing(expected.migrator).is_empty() {
        Some(expected.writes.run(&mut connection).await)
    } else {
        None
    };
    close(connection).await;
    Ok(Facts {
        clocks,
        applied,
        written,
    })
}

async fn close(connection: PgConnection) {
    // The answers are there.
    let _ = connection.close().await;
}

/// Whether the database takes the service's writes.
fn writable(written: Option<&Result<(), Error>>, service: &str) -> CheckResult {
    match written {
        Some(Ok(())) => CheckResult::ok(SUBJECT, "it takes writes (tried, and rolled back)"),
        Some(Err(error)) => refused(error, service),
        None => CheckResult::ok(SUBJECT, "it is a primary and not read-only"),
    }
}

/// A database that answers with an error, or not at all.
fn refused(error: &Error, service: &str) -> CheckResult {
    let Some(why) = Unwritable::of(error) else {
        return absent(&message_of(error));
    };
    CheckResult::fail(
        SUBJECT,
        format!("nothing can be written: {}", message_of(error)),
        advice(why, service),
    )
}

fn advice(why: Unwritable, service: &str) -> String {
    match why {
        Unwritable::Standby => "name the primary in DATABASE_URL".to_owned(),
        Unwritable::ReadOnly => {
            "set default_transaction_read_only to off for the database and the role".to_owned()
        }
        Unwritable::DiskFull => "make room on the server's disk".to_owned(),
        Unwritable::NoRights => "grant what docs/operations.md lists under Rights".to_owned(),
        Unwritable::NoTables => format!("restore the tables, or run {service} check --fix"),
        Unwritable::SharedSessions => {
            "set pool_mode=session in the pooler, or name the server itself in DATABASE_URL"
                .to_owned()
        }
    }
}

/// A database that does not answer.
fn absent(error: &str) -> CheckResult {
    CheckResult::fail(
        SUBJECT,
        format!("it does not answer: {error}"),
        "start it, or see to DATABASE_URL (host, port, user, password, database, sslmode)",
    )
}

/// Whether the tables are those that this program was written for.
fn migrations(applied: &Applied, expected: &Expected<'_>) -> CheckResult {
    let Expected {
        service, migrator, ..
    } = expected;
    let subject = "migrations";
    if let Err(why) = applied.check(migrator) {
        return CheckResult::fail(
            subject,
            why,
            format!("run the version of the {service} that made them, or a newer one"),
        );
    }
    let missing = applied.missing(migrator);
    if !missing.is_empty() {
        return CheckResult::fail(
            subject,
            format!("not applied yet: {}", list(&missing)),
            format!("{service} check --fix applies them (so does {service} run)"),
        );
    }
    let newest = migrator.iter().map(|one| one.version).max();
    let finding = format!("all applied, up to {}", newest.unwrap_or_default());
    let newer = applied.newer(migrator);
    if newer.is_empty() {
        CheckResult::ok(subject, finding)
    } else {
        CheckResult::ok(
            subject,
            format!(
                "{finding}; {} are newer than this version and serve it too",
                list(&newer)
            ),
        )
    }
}

fn list(numbers: &[i64]) -> String {
    let words: Vec<_> = numbers.iter().map(ToString::to_string).collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::check_result::Level;
    use super::*;
    use crate::postgres::Refusal;

    #[test]
    fn what_can_not_be_written_is_told_with_what_to_do() {
        let refusal = |why| -> Error {
            Refusal {
                server: "db:5432".to_owned(),
                why,
            }
            .into()
        };
        let standby = refused(&refusal(Unwritable::Standby), "sink");
        assert_eq!(standby.level, Level::Fail);
        assert!(
            standby.finding.contains("db:5432 is a standby"),
            "{standby:?}"
        );
        assert!(
            standby.sentence().contains("name the primary"),
            "{standby:?}"
        );
        let pooler = refused(&refusal(Unwritable::SharedSessions), "sink");
        assert!(
            pooler.sentence().contains("pool_mode=session"),
            "{pooler:?}"
        );
        let away = refused(&Error::PoolTimedOut, "sink");
        assert!(away.finding.starts_with("it does not answer"), "{away:?}");
        assert_eq!(writable(Some(&Ok(())), "sink").level, Level::Ok);
    }
}
