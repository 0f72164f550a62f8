//! A service's tables in Postgres, and Postgres's clock.

use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::clock;
use super::verdict::Verdict;

const TIMEOUT: Duration = Duration::from_secs(5);

/// A database that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DatabaseFacts {
    /// Its clock, and ours at that moment.
    clocks: (SystemTime, SystemTime),
    /// Whether it can be written: a standby can't.
    is_standby: bool,
    /// The service's migrations.
    migrations: MigrationFacts,
}

/// A service's migrations, by number, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct MigrationFacts {
    /// Those that this program knows.
    known: Vec<i64>,
    /// Those that were applied to the database.
    applied: Vec<i64>,
}

impl MigrationFacts {
    fn missing(&self) -> Vec<i64> {
        without(&self.known, &self.applied)
    }
}

fn without(some: &[i64], others: &[i64]) -> Vec<i64> {
    let missing = some.iter().filter(|number| !others.contains(number));
    missing.copied().collect()
}

/// Asks the database, whose migrations are told in `table`, and judges the answers.
pub async fn database(
    options: &PgConnectOptions,
    migrator: &Migrator,
    table: &str,
    service: &str,
) -> Vec<Verdict> {
    let asked = tokio::time::timeout(TIMEOUT, ask(options, migrator, table)).await;
    let facts = match asked {
        Ok(Ok(facts)) => facts,
        Ok(Err(error)) => return vec![absent(&error.to_string())],
        Err(_) => return vec![absent(&format!("no answer within {TIMEOUT:?}"))],
    };
    let (theirs, ours) = facts.clocks;
    vec![
        reached(&facts),
        migrations(&facts.migrations, service),
        clock::from_source("Postgres", ours, theirs),
    ]
}

/// The migrations that `--fix` would apply; none when the database does not answer.
pub async fn pending(options: &PgConnectOptions, migrator: &Migrator, table: &str) -> Vec<i64> {
    let asked = tokio::time::timeout(TIMEOUT, ask(options, migrator, table)).await;
    let facts = asked.ok().and_then(Result::ok);
    facts.map_or(Vec::new(), |facts| facts.migrations.missing())
}

async fn ask(
    options: &PgConnectOptions,
    migrator: &Migrator,
    table: &str,
) -> Result<DatabaseFacts, sqlx::Error> {
    let mut connection = PgConnection::connect_with(options).await?;
    // Two questions: the second one's way is short, whatever the connection cost.
    let is_standby = sqlx::query_scalar("SELECT pg_is_in_recovery()")
        .fetch_one(&mut connection)
        .await?;
    let theirs: DateTime<Utc> = sqlx::query_scalar("SELECT clock_timestamp()")
        .fetch_one(&mut connection)
        .await?;
    let clocks = (theirs.into(), SystemTime::now());
    let exists: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(table)
        .fetch_one(&mut connection)
        .await?;
    let applied = if exists {
        let question = format!("SELECT version FROM {table} WHERE success ORDER BY version");
        sqlx::query_scalar(AssertSqlSafe(question))
            .fetch_all(&mut connection)
            .await?
    } else {
        Vec::new()
    };
    connection.close().await?;
    Ok(DatabaseFacts {
        clocks,
        is_standby,
        migrations: MigrationFacts {
            known: migrator.iter().map(|migration| migration.version).collect(),
            applied,
        },
    })
}

/// Whether the database can be written.
fn reached(facts: &DatabaseFacts) -> Verdict {
    if facts.is_standby {
        return Verdict::fail(
            "Postgres",
            "it is a standby: nothing can be written",
            "name the primary in DATABASE_URL",
        );
    }
    Verdict::ok("Postgres", "it answers and can be written")
}

/// A database that does not answer.
fn absent(error: &str) -> Verdict {
    Verdict::fail(
        "Postgres",
        format!("it does not answer: {error}"),
        "start it, or see to DATABASE_URL (host, port, user, password, database, sslmode)",
    )
}

/// Whether the tables are those that this program was written for.
fn migrations(facts: &MigrationFacts, service: &str) -> Verdict {
    let subject = "migrations";
    let list = |numbers: &[i64]| {
        let words: Vec<_> = numbers.iter().map(ToString::to_string).collect();
        words.join(", ")
    };
    let newer = without(&facts.applied, &facts.known);
    if !newer.is_empty() {
        return Verdict::fail(
            subject,
            format!(
                "the database has {} which this version does not know",
                list(&newer)
            ),
            format!("run the version of the {service} that made them, or a newer one"),
        );
    }
    let missing = facts.missing();
    if !missing.is_empty() {
        return Verdict::fail(
            subject,
            format!("not applied yet: {}", list(&missing)),
            format!("{service} check --fix applies them (so does {service} run)"),
        );
    }
    let newest = facts.known.last().copied().unwrap_or_default();
    Verdict::ok(subject, format!("all applied, up to {newest}"))
}

#[cfg(test)]
mod tests {
    use super::super::verdict::Level;
    use super::*;

    #[test]
    fn a_standby_can_not_be_written() {
        let facts = |is_standby| DatabaseFacts {
            clocks: (SystemTime::now(), SystemTime::now()),
            is_standby,
            migrations: MigrationFacts::default(),
        };
        assert_eq!(reached(&facts(false)).level, Level::Ok);
        assert_eq!(reached(&facts(true)).level, Level::Fail);
    }

    #[test]
    fn migrations_are_all_applied_and_none_is_from_the_future() {
        let verdict = |applied: &[i64]| {
            let facts = MigrationFacts {
                known: vec![1, 2],
                applied: applied.to_vec(),
            };
            migrations(&facts, "sink")
        };
        assert_eq!(verdict(&[1, 2]).level, Level::Ok);
        let behind = verdict(&[1]);
        assert_eq!(behind.level, Level::Fail);
        assert!(behind.finding.ends_with(": 2"), "{behind:?}");
        assert!(behind.sentence().contains("sink check --fix"), "{behind:?}");
        let ahead = verdict(&[1, 2, 3]);
        assert_eq!(ahead.level, Level::Fail);
        assert!(ahead.finding.contains('3'), "{ahead:?}");
    }
}
