//! The database of a service: whether it accepts writes, its migrations, and its clock.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use sqlx::{Connection, Error};

use super::check_result::CheckResult;
use super::clock;
use crate::duration::human_duration;
use crate::postgres::{Applied, Database, Migrations, Unwritable, WriteProbe, list, message_of};

const TIMEOUT: Duration = Duration::from_secs(5);

const SUBJECT: &str = "Postgres";

/// The schema that a service expects in its database.
#[derive(Debug)]
pub struct DatabaseSchema<'a> {
    /// The name of the service, for advice.
    pub service: &'a str,
    /// Its migrations.
    pub migrations: Migrations,
    /// The statements that it must be allowed to run.
    pub writes: WriteProbe,
}

/// The answers of the database.
struct Facts {
    /// The clocks of this machine and of the database, at one moment.
    clocks: (SystemTime, SystemTime),
    applied: Applied,
    /// `None` while tables are missing.
    written: Option<Result<(), Error>>,
}

/// Checks the database. Nothing is written permanently.
pub(super) async fn check(database: &Database, schema: &DatabaseSchema<'_>) -> Vec<CheckResult> {
    let facts = match tokio::time::timeout(TIMEOUT * 2, fetch(database, schema)).await {
        Ok(Ok(facts)) => facts,
        Ok(Err(error)) => return vec![refused(&error)],
        Err(_) => {
            let why = format!("no answer within {}", human_duration(TIMEOUT * 2));
            return vec![unreachable(&why)];
        }
    };
    let (ours, theirs) = facts.clocks;
    vec![
        writable(facts.written.as_ref()),
        migrations(&facts.applied, schema),
        clock::against_source(SUBJECT, ours, theirs),
    ]
}

async fn fetch(database: &Database, schema: &DatabaseSchema<'_>) -> Result<Facts, Error> {
    database.prove_own_sessions(TIMEOUT).await?;
    let mut connection = database.connect(TIMEOUT).await?;
    let before = SystemTime::now();
    let theirs: DateTime<Utc> = sqlx::query_scalar("SELECT clock_timestamp()")
        .fetch_one(&mut connection)
        .await?;
    let clocks = clock::at_the_same_time(before, theirs.into(), SystemTime::now());
    let applied = Applied::read(&mut connection, schema.migrations.table).await?;
    let written = if applied.missing(&schema.migrations.migrator()).is_empty() {
        Some(schema.writes.run(&mut connection).await)
    } else {
        None
    };
    // The answers have arrived.
    let _ = connection.close().await;
    Ok(Facts {
        clocks,
        applied,
        written,
    })
}

/// Checks whether the database accepts the service's writes.
fn writable(written: Option<&Result<(), Error>>) -> CheckResult {
    match written {
        Some(Ok(())) => CheckResult::ok(
            SUBJECT,
            "accepts writes (tested in a transaction that was rolled back)",
        ),
        Some(Err(error)) => refused(error),
        None => CheckResult::ok(SUBJECT, "is a primary and not read-only"),
    }
}

/// Returns the result of a database that answers with an error, or not at all.
fn refused(error: &Error) -> CheckResult {
    let Some(why) = Unwritable::of(error) else {
        return unreachable(&message_of(error));
    };
    CheckResult::fail(
        SUBJECT,
        format!("does not accept writes: {}", message_of(error)),
        advice(why),
    )
}

fn advice(why: Unwritable) -> &'static str {
    match why {
        Unwritable::Standby => "set DATABASE_URL to the primary",
        Unwritable::ReadOnly => {
            "set default_transaction_read_only to off for the database and the role"
        }
        Unwritable::DiskFull => "free space on the disk of the server",
        Unwritable::NoRights => "grant the rights that docs/access-rights.md lists for Postgres",
        Unwritable::NoTables => {
            "restore the tables: their migrations are recorded as applied, so nothing creates them again"
        }
        Unwritable::SharedSessions => {
            "set pool_mode=session in the pooler, or set DATABASE_URL to the server itself"
        }
    }
}

fn unreachable(error: &str) -> CheckResult {
    let says_so = error.starts_with("cannot connect");
    let prefix = if says_so { "" } else { "cannot connect: " };
    CheckResult::fail(
        SUBJECT,
        format!("{prefix}{error}"),
        "start it, or correct DATABASE_URL (host, port, user, password, database, sslmode)",
    )
}

/// Checks whether the tables are those that this version was written for.
fn migrations(applied: &Applied, schema: &DatabaseSchema<'_>) -> CheckResult {
    let (service, migrator) = (schema.service, schema.migrations.migrator());
    let subject = "migrations";
    if let Err(why) = applied.check(&migrator) {
        return CheckResult::fail(
            subject,
            why,
            format!("run the version of the {service} that created them, or a newer one"),
        );
    }
    let missing = applied.missing(&migrator);
    if !missing.is_empty() {
        return CheckResult::fail(
            subject,
            format!("not applied yet: {}", list(&missing)),
            format!(
                "run {service} check --fix or {service} migrate; {service} run applies them too, \
                 unless MIGRATE is false"
            ),
        );
    }
    let newest = migrator.iter().map(|one| one.version).max();
    let finding = format!("all applied, up to {}", newest.unwrap_or_default());
    let newer = applied.newer(&migrator);
    if newer.is_empty() {
        CheckResult::ok(subject, finding)
    } else {
        CheckResult::ok(
            subject,
            format!(
                "{finding}; {} are newer than this version and compatible with it",
                list(&newer)
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::check_result::Level;
    use super::*;
    use crate::postgres::ConnectionRefusal;

    #[test]
    fn a_database_that_accepts_no_writes_fails_with_what_to_do() {
        let refusal = |why| -> Error {
            ConnectionRefusal {
                server: "db:5432".to_owned(),
                why,
            }
            .into()
        };
        let standby = refused(&refusal(Unwritable::Standby));
        assert_eq!(standby.level, Level::Fail);
        assert!(
            standby.finding.contains("db:5432 is a standby"),
            "{standby:?}"
        );
        assert!(standby.sentence().contains("to the primary"), "{standby:?}");
        let pooler = refused(&refusal(Unwritable::SharedSessions));
        assert!(
            pooler.sentence().contains("pool_mode=session"),
            "{pooler:?}"
        );
        let unreachable = refused(&Error::PoolTimedOut);
        assert!(
            unreachable.finding.starts_with("cannot connect"),
            "{unreachable:?}"
        );
        assert_eq!(writable(Some(&Ok(()))).level, Level::Ok);
    }
}
