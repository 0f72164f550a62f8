//! The command `migrate`, services that leave the migrations to it, and schemas that a version must refuse.

use anyhow::Result;
use end_to_end::command::Answer;
use end_to_end::http::readiness;
use end_to_end::system::{START, TestSystem};
use end_to_end::wait;
use serde_json::json;
use sqlx::{AssertSqlSafe, PgPool};
use stack::Service;

/// The services that have a database, and the migrations that each of them knows.
const SERVICES: [(&str, &str); 2] = [("producer", "1"), ("sink", "1, 2")];

async fn execute(pool: &PgPool, statement: &str) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
        .execute(pool)
        .await?;
    Ok(())
}

fn database<'a>(system: &'a TestSystem, service: &str) -> (&'a PgPool, &'a str) {
    match service {
        "producer" => (system.orders(), system.orders_url.as_str()),
        _ => (system.vouchers_database(), system.vouchers_url.as_str()),
    }
}

async fn migrate(system: &TestSystem, service: &str) -> Result<Answer> {
    let (_, url) = database(system, service);
    let environment = [("DATABASE_URL", url)];
    system
        .run_service(service, &["migrate"], &environment)
        .await
}

async fn start_without_migrations(system: &TestSystem, service: &str) -> Result<Service> {
    let command = match service {
        "producer" => system.producer_command("1").await?,
        _ => system.sink_command("1").await?,
    };
    command.env("MIGRATE", "false").start().await
}

#[tokio::test]
async fn a_service_that_may_not_migrate_waits_for_the_command_that_does() -> Result<()> {
    let system = TestSystem::open_json().await?;
    for (service, migrations) in SERVICES {
        let running = start_without_migrations(&system, service).await?;
        let postgres = || async {
            let ready = readiness(&running).await;
            ready.map_or_else(
                |error| error.to_string(),
                |(code, body)| format!("{code} {}", body["parts"]["postgres"]),
            )
        };
        let reason = format!("are not applied: {migrations}; apply them with its migrate command");
        wait::until("the reason in /readyz", postgres, |told| {
            told.starts_with("503") && told.contains(&reason)
        })
        .await;
        if service == "producer" {
            let order = json!({"order_id": "17", "total": 100});
            let http = reqwest::Client::new();
            let refused = http
                .post(running.url("/orders"))
                .json(&order)
                .send()
                .await?;
            assert_eq!(refused.status(), 503);
        }
        let (pool, _) = database(&system, service);
        let table = format!("{service}_migrations");
        let exists: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
            .bind(&table)
            .fetch_one(pool)
            .await?;
        assert!(!exists, "{service} has changed the schema");

        // Of two jobs at the same time one applies the migrations, and both succeed.
        let (one, other) = tokio::try_join!(migrate(&system, service), migrate(&system, service))?;
        assert_eq!((one.code, other.code), (0, 0), "{one:?} {other:?}");
        let applied = format!("Migrations applied: {migrations}.");
        assert!(
            [&one, &other]
                .iter()
                .any(|answer| answer.stdout.contains(&applied)),
            "{one:?} {other:?}"
        );
        running.wait_ready(START).await?;
        let again = migrate(&system, service).await?;
        assert_eq!(again.code, 0, "{again:?}");
        assert!(again.stdout.contains("applied before"), "{again:?}");
        running.terminate(START).await?;
    }
    Ok(())
}

#[tokio::test]
async fn migrate_waits_no_longer_for_a_database_than_it_is_told() -> Result<()> {
    let system = TestSystem::open_json().await?;
    for (service, _) in SERVICES {
        let environment = [
            ("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing"),
            ("MIGRATE_TIMEOUT", "1"),
        ];
        let gave_up = system
            .run_service(service, &["migrate"], &environment)
            .await?;
        assert_eq!(gave_up.code, 1, "{gave_up:?}");
        assert!(
            gave_up.stderr.contains("within 1 s (MIGRATE_TIMEOUT)"),
            "{gave_up:?}"
        );
    }
    Ok(())
}

/// Every write would wait behind a migration that waits in the queue of a table's lock.
#[tokio::test]
async fn a_migration_does_not_wait_long_for_the_lock_of_a_table() -> Result<()> {
    let system = TestSystem::open_json().await?;
    assert_eq!(migrate(&system, "sink").await?.code, 0);
    let (pool, url) = database(&system, "sink");
    for undo in [
        "ALTER TABLE vouchers DROP COLUMN record_partition, DROP COLUMN record_offset",
        "DELETE FROM sink_migrations WHERE version = 2",
    ] {
        execute(pool, undo).await?;
    }
    let mut dump = pool.begin().await?;
    sqlx::raw_sql("SELECT count(*) FROM vouchers")
        .execute(&mut *dump)
        .await?;
    let environment = [("DATABASE_URL", url), ("MIGRATE_TIMEOUT", "1")];
    let gave_up = system
        .run_service("sink", &["migrate"], &environment)
        .await?;
    assert_eq!(gave_up.code, 1, "{gave_up:?}");
    assert!(gave_up.stderr.contains("lock timeout"), "{gave_up:?}");

    dump.rollback().await?;
    let applied = migrate(&system, "sink").await?;
    assert!(
        applied.stdout.contains("Migrations applied: 2."),
        "{applied:?}"
    );
    Ok(())
}

#[tokio::test]
async fn neither_run_nor_migrate_works_with_a_migration_that_was_changed() -> Result<()> {
    let system = TestSystem::open_json().await?;
    for (service, _) in SERVICES {
        assert_eq!(migrate(&system, service).await?.code, 0);
        let (pool, _) = database(&system, service);
        let change =
            format!("UPDATE {service}_migrations SET checksum = '\\x00' WHERE version = 1");
        execute(pool, &change).await?;
        let refused = migrate(&system, service).await?;
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(
            refused
                .stderr
                .contains("migration 1 was changed after it was applied"),
            "{refused:?}"
        );
        let running = start_without_migrations(&system, service).await?;
        assert_eq!(running.wait(START).await?.code(), Some(1));
    }
    Ok(())
}

#[tokio::test]
async fn a_version_below_the_schemas_minimum_names_the_release_that_is_needed() -> Result<()> {
    let system = TestSystem::open_json().await?;
    for (service, _) in SERVICES {
        assert_eq!(migrate(&system, service).await?.code, 0);
        let (pool, _) = database(&system, service);
        // What a later release does: one migration expands, a later one contracts.
        let expand = format!(
            "INSERT INTO {service}_migrations (version, description, success, checksum, execution_time)
             VALUES (9, 'expand', true, '\\x09', 1)"
        );
        execute(pool, &expand).await?;
        let tolerated = migrate(&system, service).await?;
        assert_eq!(tolerated.code, 0, "{tolerated:?}");

        let contract =
            format!("COMMENT ON TABLE {service}_migrations IS 'minimum_version=9 release=9.1.0'");
        execute(pool, &contract).await?;
        let refused = migrate(&system, service).await?;
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(
            refused
                .stderr
                .contains("knows migration 9 (release 9.1.0 or newer)"),
            "{refused:?}"
        );
        let running = start_without_migrations(&system, service).await?;
        assert_eq!(running.wait(START).await?.code(), Some(1));
        let log = std::fs::read_to_string(running.log())?;
        assert!(log.contains("release 9.1.0 or newer"), "{log}");
    }
    Ok(())
}
