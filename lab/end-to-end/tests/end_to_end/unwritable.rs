//! A database that answers and refuses writes: the services report the reason at once, and continue when it
//! accepts writes again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use end_to_end::backends::own_postgres;
use end_to_end::http::readiness;
use end_to_end::system::{START, TestSystem, ready};
use end_to_end::topic::{self, NewRecord};
use end_to_end::wait;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use stack::Service;

/// Far below the five seconds for which a change waits for a database that is down.
const AT_ONCE: Duration = Duration::from_secs(2);

/// A reason for which a database refuses writes.
struct Trouble {
    breaks: &'static [&'static str],
    mends: &'static [&'static str],
    /// What clients hear.
    detail: &'static str,
    /// What `/readyz` and `check` say.
    sentence: &'static str,
}

const TROUBLES: [Trouble; 3] = [
    Trouble {
        breaks: &["REVOKE INSERT ON orders FROM shop"],
        mends: &["GRANT INSERT ON orders TO shop"],
        detail: "may not write",
        sentence: "permission denied for table orders",
    },
    // Filling a disk would need a separate file system; a trigger raises the same error.
    Trouble {
        breaks: &[
            "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             RAISE EXCEPTION 'could not extend file: No space left on device'
             USING ERRCODE = '53100'; END $$",
            "CREATE TRIGGER no_room BEFORE INSERT ON outbox EXECUTE FUNCTION no_room()",
        ],
        mends: &["DROP FUNCTION no_room() CASCADE"],
        detail: "disk is full",
        sentence: "No space left on device",
    },
    Trouble {
        breaks: &[
            "ALTER SYSTEM SET default_transaction_read_only = on",
            "SELECT pg_reload_conf()",
        ],
        mends: &[
            "ALTER SYSTEM RESET default_transaction_read_only",
            "SELECT pg_reload_conf()",
        ],
        detail: "read-only",
        sentence: "is read-only",
    },
];

async fn execute(pool: &PgPool, statement: &str) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
        .execute(pool)
        .await
        .with_context(|| statement.to_owned())?;
    Ok(())
}

async fn place(producer: &Service, order_id: &str) -> Result<(u16, Value)> {
    let order = json!({"order_id": order_id, "total": "100.00"});
    let request = reqwest::Client::new().post(producer.url("/orders"));
    let answer = request.json(&order).send().await?;
    Ok((answer.status().as_u16(), answer.json().await?))
}

/// Checks that orders are refused at once with the reason, and that `/readyz` and `check` report it.
async fn is_refused(system: &TestSystem, producer: &Service, trouble: &Trouble) -> Result<()> {
    // An idle service may not have noticed the trouble yet, so a first write may still succeed.
    let refused = |answer: &Result<(Duration, u16, Value)>| {
        answer.as_ref().is_ok_and(|(_, code, _)| *code == 503)
    };
    let first = wait::until("an order to be refused", || timed_place(producer), refused).await?;
    let sentence = trouble.sentence;
    let told = |answer: &Result<(u16, Value)>| {
        answer.as_ref().is_ok_and(|(code, parts)| {
            *code == 503 && parts["parts"]["postgres"].to_string().contains(sentence)
        })
    };
    wait::until(sentence, || readiness(producer), told).await?;
    for (took, code, problem) in [first, timed_place(producer).await?] {
        assert_eq!(code, 503, "{problem}");
        assert!(took < AT_ONCE, "{took:?}: {problem}");
        let title = "The database takes no writes";
        assert_eq!(problem["title"], title, "{problem}");
        assert!(
            problem["detail"].to_string().contains(trouble.detail),
            "{problem}"
        );
    }
    let url = producer_url(system);
    let environment = [("DATABASE_URL", url.as_str())];
    let checked = system
        .run_service("producer", &["check"], &environment)
        .await?;
    assert_eq!(checked.code, 1, "{checked:?}");
    assert!(checked.stdout.contains(sentence), "{checked:?}");
    Ok(())
}

/// Places a new order; returns the time until the answer, and the answer.
async fn timed_place(producer: &Service) -> Result<(Duration, u16, Value)> {
    let begun = Instant::now();
    let (code, answer) = place(producer, &uuid::Uuid::now_v7().to_string()).await?;
    Ok((begun.elapsed(), code, answer))
}

/// Returns the URL for the role that owns the tables and may lose its rights to them.
fn producer_url(system: &TestSystem) -> String {
    system.orders_url.replacen("postgres@", "shop@", 1)
}

#[tokio::test]
async fn a_database_that_takes_no_writes_is_told_at_once_and_used_again_once_it_does() -> Result<()>
{
    let backends = own_postgres("unwritable", |_| {}).await;
    let system = TestSystem::on(Arc::new(backends), false).await?;
    let pool = system.orders();
    let database = system.orders_url.rsplit('/').next().context("a database")?;
    execute(pool, "CREATE ROLE shop LOGIN").await?;
    execute(
        pool,
        &format!("ALTER DATABASE \"{database}\" OWNER TO shop"),
    )
    .await?;
    let command = system.producer_command("1").await?;
    let producer = ready(command.env("DATABASE_URL", producer_url(&system))).await?;
    assert_eq!(place(&producer, "first").await?.0, 201);
    let url = producer_url(&system);
    let checked = system
        .run_service("producer", &["check"], &[("DATABASE_URL", &url)])
        .await?;
    assert!(checked.stdout.contains("accepts writes"), "{checked:?}");
    let probes: i64 =
        sqlx::query_scalar("SELECT count(*) FROM orders WHERE order_id LIKE '%probe'")
            .fetch_one(pool)
            .await?;
    assert_eq!(probes, 0, "what is tried is rolled back");

    for (number, trouble) in TROUBLES.iter().enumerate() {
        for statement in trouble.breaks {
            execute(pool, statement).await?;
        }
        is_refused(&system, &producer, trouble).await?;
        for statement in trouble.mends {
            execute(pool, statement).await?;
        }
        producer.wait_ready(START).await?;
        let (code, answer) = place(&producer, &format!("after-{number}")).await?;
        assert_eq!(code, 201, "{answer}");
    }
    Ok(())
}

/// No voucher becomes a dead letter meanwhile, and the waiting ones are written afterwards.
#[tokio::test]
async fn a_sink_whose_database_takes_no_writes_says_so_and_goes_on_once_it_does() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let pool = system.vouchers_database();
    let role = format!("sink_{}", system.name);
    let database = system
        .vouchers_url
        .rsplit('/')
        .next()
        .context("a database")?;
    execute(pool, &format!("CREATE ROLE {role} LOGIN")).await?;
    execute(
        pool,
        &format!("ALTER DATABASE \"{database}\" OWNER TO {role}"),
    )
    .await?;
    let url = system
        .vouchers_url
        .replacen("postgres@", &format!("{role}@"), 1);
    let command = system.sink_command("1").await?;
    let sink = ready(command.env("DATABASE_URL", &url)).await?;
    let _processor = system.processor().await?;

    for (written, trouble) in (1..).zip(sink_troubles(&role)) {
        for statement in &trouble.breaks {
            execute(pool, statement).await?;
        }
        let order = format!(r#"{{"order_id":"{written}","status":"SENT","total":100}}"#);
        system
            .write_orders(vec![NewRecord::new(written.to_string().as_str(), order)])
            .await?;
        let sentence = trouble.sentence;
        let says_so = |answer: &Result<(u16, Value)>| {
            answer
                .as_ref()
                .is_ok_and(|(code, parts)| *code == 503 && parts.to_string().contains(sentence))
        };
        wait::until(sentence, || readiness(&sink), says_so).await?;
        let environment = [("DATABASE_URL", url.as_str())];
        let checked = system.run_service("sink", &["check"], &environment).await?;
        assert_eq!(checked.code, 1, "{checked:?}");
        assert!(checked.stdout.contains(sentence), "{checked:?}");

        for statement in &trouble.mends {
            execute(pool, statement).await?;
        }
        sink.wait_ready(START).await?;
        wait::until(
            "the voucher's row",
            || async { system.vouchers().await.unwrap_or_default().len() },
            |rows| *rows == written,
        )
        .await;
    }
    let dead_letters = system.topics.vouchers_dead_letters();
    assert!(
        topic::read(system.brokers(), &dead_letters)
            .await?
            .is_empty()
    );
    Ok(())
}

/// A reason for which the sink's database refuses writes of the sink's role.
struct SinkTrouble {
    breaks: Vec<String>,
    mends: Vec<String>,
    /// What `/readyz` and `check` say.
    sentence: &'static str,
}

fn sink_troubles(role: &str) -> [SinkTrouble; 3] {
    // A role's setting applies to new sessions only, so the existing ones are ended.
    let sessions_end =
        format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'");
    [
        SinkTrouble {
            breaks: vec![format!("REVOKE INSERT ON vouchers FROM {role}")],
            mends: vec![format!("GRANT INSERT ON vouchers TO {role}")],
            sentence: "permission denied for table vouchers",
        },
        SinkTrouble {
            breaks: no_room_in("vouchers"),
            mends: vec!["DROP FUNCTION no_room() CASCADE".to_owned()],
            sentence: "No space left on device",
        },
        SinkTrouble {
            breaks: vec![
                format!("ALTER ROLE {role} SET default_transaction_read_only = on"),
                sessions_end.clone(),
            ],
            mends: vec![
                format!("ALTER ROLE {role} RESET default_transaction_read_only"),
                sessions_end,
            ],
            sentence: "is read-only",
        },
    ]
}

/// Returns statements that make inserts into a table fail with the server's error for a full disk. Filling
/// a real disk would need a separate file system.
fn no_room_in(table: &str) -> Vec<String> {
    vec![
        "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
         RAISE EXCEPTION 'could not extend file: No space left on device'
         USING ERRCODE = '53100'; END $$"
            .to_owned(),
        format!("CREATE TRIGGER no_room BEFORE INSERT ON {table} EXECUTE FUNCTION no_room()"),
    ]
}

/// The database must not count as down when readers use all connections of their pool.
#[tokio::test]
async fn readers_who_wait_do_not_close_the_gate_for_writers() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let producer = system.producer().await?;
    let mut locked = system.orders().begin().await?;
    sqlx::raw_sql("LOCK TABLE orders IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *locked)
        .await?;
    // One client for all requests: creating one takes longer than the service might be not ready.
    let http = reqwest::Client::new();
    let stop = AtomicBool::new(false);
    let reader = || async {
        let mut refused = 0;
        while !stop.load(Ordering::Relaxed) {
            let answer = http.get(producer.url("/orders?limit=1")).send().await;
            refused += usize::from(answer.is_ok_and(|answer| answer.status() == 503));
        }
        refused
    };
    let readers = futures::future::join_all((0..16).map(|_| reader()));
    let watch = async {
        // Longer than a change waits for a database that is down.
        let end = Instant::now() + Duration::from_secs(8);
        while Instant::now() < end {
            let answer = http.get(producer.url("/readyz")).send().await?;
            if answer.status() != 200 {
                stop.store(true, Ordering::Relaxed);
                anyhow::bail!("not ready: {}", answer.text().await?);
            }
            let _ = wait::happens_within(Duration::from_millis(50), || false).await;
        }
        stop.store(true, Ordering::Relaxed);
        Ok(())
    };
    let (refused, watched) = futures::join!(readers, watch);
    watched?;
    assert!(refused.iter().sum::<usize>() > 0, "no reader had to wait");
    locked.rollback().await?;
    assert_eq!(place(&producer, "17").await?.0, 201);
    Ok(())
}

#[tokio::test]
async fn an_older_version_works_with_a_newer_schema_down_to_its_minimum() -> Result<()> {
    let system = TestSystem::open_json().await?;
    for (service, pool, table) in [
        ("producer", system.orders(), "producer_migrations"),
        ("sink", system.vouchers_database(), "sink_migrations"),
    ] {
        let start = async || match service {
            "producer" => system.producer_command("old").await?.start().await,
            _ => system.sink_command("old").await?.start().await,
        };
        let running = start().await?;
        running.wait_ready(START).await?;
        running.terminate(START).await?;
        let newer = format!(
            "INSERT INTO {table} (version, description, success, checksum, execution_time)
             VALUES (9, 'of the next version', true, '\\x00', 1)"
        );
        execute(pool, &newer).await?;
        let running = start().await?;
        running.wait_ready(START).await?;
        running.terminate(START).await?;
        let url = match service {
            "producer" => &system.orders_url,
            _ => &system.vouchers_url,
        };
        let environment = [("DATABASE_URL", url.as_str())];
        let checked = system
            .run_service(service, &["check"], &environment)
            .await?;
        assert!(
            checked.stdout.contains("9 are newer than this version"),
            "{checked:?}"
        );

        execute(
            pool,
            &format!("COMMENT ON TABLE {table} IS 'minimum_version=9'"),
        )
        .await?;
        let ended = start().await?.wait(START).await?;
        assert_eq!(ended.code(), Some(1));
        let checked = system
            .run_service(service, &["check"], &environment)
            .await?;
        assert!(checked.stdout.contains("knows migration 9"), "{checked:?}");
    }
    Ok(())
}
