//! The ingress: orders created and sent over HTTP, compared with the same writes to Postgres in groups.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use end_to_end::system::{STOP, TestSystem, ready};
use futures::future::try_join_all;
use serde::Deserialize;
use sqlx::{Connection, PgConnection};

use crate::client::Client;
use crate::figure::{Figure, Target, percentile};
use crate::orders;
use crate::rig::{self, Rig, micros_each, per_second};
use crate::usage;

const LEG: &str = "ingress";

/// The default number of writers, each with a connection.
const WRITERS: usize = 3;

/// Measures creations and status changes at 1 to 64 connections.
///
/// # Errors
/// When a request is not answered with success.
pub async fn run(rig: &Rig) -> Result<Vec<Figure>> {
    let (system, _) = rig.system(true).await?;
    let producer = ready(system.producer_command("bench").await?).await?;
    let address = producer.http_addr().to_owned();
    let mut figures = Vec::new();
    for connections in [1_u32, 8, 64] {
        let each = rig.records(match connections {
            1 => 2_000,
            8 => 1_000,
            _ => 500,
        });
        let count = connections * each;
        let mut created = Runs::default();
        let mut changed = Runs::default();
        let (mut limit_creates, mut limit_changes) = (Vec::new(), Vec::new());
        for _ in 0..rig.runs() {
            let before = Used::now(&system, producer.pid())?;
            let load = create(&address, connections, each, None).await?;
            created.take(&load, &before, &Used::now(&system, producer.pid())?, count);
            let ids = load.ids;

            let before = Used::now(&system, producer.pid())?;
            let load = change(&address, &ids).await?;
            changed.take(&load, &before, &Used::now(&system, producer.pid())?, count);

            let group = usize::try_from(connections)?.div_ceil(WRITERS);
            let (creates, changes) = limit(&system, count, group, connections == 1).await?;
            limit_creates.push(per_second(count, creates));
            limit_changes.push(per_second(count, changes));
        }
        for (name, runs, limits, old) in [
            ("creates", created, limit_creates, 938.0),
            ("status changes", changed, limit_changes, 614.0),
        ] {
            let case = format!("{name}, {connections} connections");
            let figure = |what, unit, runs: &[f64]| Figure::new(LEG, &case, what, unit, runs);
            let speed = figure("requests/s", "", &runs.speed).beside(&runs.speed, &limits);
            let slowest = figure("answer, p99", "ms", &runs.p99);
            if connections == 64 {
                let times: Vec<f64> = runs.speed.iter().map(|speed| speed / old).collect();
                figures.extend([
                    speed.should(Target::RatioAtLeast(0.6)),
                    slowest.should(Target::AtMost(50.0)),
                    figure("times the old system's requests/s", "x", &times)
                        .should(Target::AtLeast(10.0)),
                ]);
            } else {
                figures.extend([speed, slowest]);
            }
            figures.push(figure("CPU per request", "us", &runs.cpu));
            if connections == 64 {
                figures.extend([
                    figure("Postgres CPU per request", "us", &runs.postgres),
                    figure("Kafka CPU per request", "us", &runs.kafka),
                    figure("CPU per request of the load itself", "us", &runs.load),
                ]);
            }
        }
    }
    let memory = usage::of(producer.pid())?.peak_mib;
    figures.push(Figure::new(
        LEG,
        "all of this",
        "peak RSS",
        "MiB",
        &[memory],
    ));
    producer.terminate(STOP).await?;
    Ok(figures)
}

/// The CPU time so far of all processes that share the cores.
struct Used {
    ingress: Duration,
    postgres: Duration,
    kafka: Duration,
    load: Duration,
}

impl Used {
    fn now(system: &TestSystem, producer: u32) -> Result<Self> {
        Ok(Self {
            ingress: usage::of(producer)?.cpu,
            postgres: rig::postgres_cpu(system)?,
            kafka: rig::kafka_cpu(system)?,
            load: usage::own_cpu(),
        })
    }
}

#[derive(Default)]
struct Runs {
    speed: Vec<f64>,
    p99: Vec<f64>,
    cpu: Vec<f64>,
    postgres: Vec<f64>,
    kafka: Vec<f64>,
    load: Vec<f64>,
}

impl Runs {
    fn take(&mut self, load: &Load, before: &Used, after: &Used, count: u32) {
        let each = |after: Duration, before| micros_each(after.saturating_sub(before), count);
        self.speed.push(per_second(count, load.wall));
        self.p99.push(percentile(&load.millis, 99));
        self.cpu.push(each(after.ingress, before.ingress));
        self.postgres.push(each(after.postgres, before.postgres));
        self.kafka.push(each(after.kafka, before.kafka));
        self.load.push(each(after.load, before.load));
    }
}

/// The result of a load.
pub struct Load {
    /// The time from the first request to the last answer.
    pub wall: Duration,
    /// The milliseconds of each answer.
    pub millis: Vec<f64>,
    /// The ids of the orders, by connection.
    pub ids: Vec<Vec<String>>,
}

#[derive(Deserialize)]
struct Created {
    order_id: String,
}

/// Creates `each` eligible orders on each of `connections` connections, one after the other: `pace`
/// of them a second in all, or as fast as they are answered.
///
/// # Errors
/// When one is not created.
pub async fn create(address: &str, connections: u32, each: u32, pace: Option<u32>) -> Result<Load> {
    let begun = Instant::now();
    let work = (0..connections).map(|lane| {
        let address = address.to_owned();
        tokio::spawn(async move {
            let mut client = Client::connect(&address).await?;
            let (mut millis, mut ids) = (Vec::new(), Vec::new());
            for turn in 0..each {
                if let Some(pace) = pace {
                    let place = turn * connections + lane;
                    let due = begun + Duration::from_secs(1) * place / pace;
                    tokio::time::sleep_until(due.into()).await;
                }
                let sent = Instant::now();
                let body = client
                    .send("POST", "/orders", r#"{"total":"149.90","currency":"EUR","products":[{"name":"shirt","price":"149.90"}]}"#)
                    .await?;
                millis.push(sent.elapsed().as_secs_f64() * 1e3);
                ids.push(serde_json::from_slice::<Created>(body).context("POST /orders")?.order_id);
            }
            anyhow::Ok((millis, ids))
        })
    });
    let done = try_join_all(work)
        .await?
        .into_iter()
        .collect::<Result<Vec<_>>>()?;
    let wall = begun.elapsed();
    let (millis, ids): (Vec<_>, Vec<_>) = done.into_iter().unzip();
    Ok(Load {
        wall,
        millis: millis.concat(),
        ids,
    })
}

/// Changes the status of each connection's orders to `SENT`.
async fn change(address: &str, ids: &[Vec<String>]) -> Result<Load> {
    let begun = Instant::now();
    let work = ids.iter().map(|ids| {
        let (address, ids) = (address.to_owned(), ids.clone());
        tokio::spawn(async move {
            let mut client = Client::connect(&address).await?;
            let mut millis = Vec::new();
            for id in ids {
                let sent = Instant::now();
                client
                    .send("PATCH", &format!("/orders/{id}"), r#"{"status":"SENT"}"#)
                    .await?;
                millis.push(sent.elapsed().as_secs_f64() * 1e3);
            }
            anyhow::Ok(millis)
        })
    });
    let millis = try_join_all(work)
        .await?
        .into_iter()
        .collect::<Result<Vec<_>>>()?;
    Ok(Load {
        wall: begun.elapsed(),
        millis: millis.concat(),
        ids: Vec::new(),
    })
}

/// Measures the limit: the same rows in tables of the same form, `group` rows per transaction.
async fn limit(
    system: &TestSystem,
    count: u32,
    group: usize,
    alone: bool,
) -> Result<(Duration, Duration)> {
    let mut setup = PgConnection::connect(&system.orders_url).await?;
    sqlx::raw_sql(
        "DROP TABLE IF EXISTS limit_orders, limit_outbox;
         CREATE TABLE limit_orders (LIKE orders INCLUDING ALL);
         CREATE TABLE limit_outbox (LIKE outbox INCLUDING ALL);",
    )
    .execute(&mut setup)
    .await?;
    setup.close().await?;
    let writers = if alone { 1 } else { WRITERS };
    // Other ids, in order of time.
    let ids: Vec<String> = (0..count).map(orders::id).collect();
    let mut took = [Duration::ZERO; 2];
    for (statement, took) in [
        "WITH new AS (
             INSERT INTO limit_orders (order_id, status, total, currency, products, version, created_at, updated_at)
             SELECT id, 'PENDING', 149.90, 'EUR', '[{\"name\":\"shirt\",\"price\":\"149.90\"}]', 1, $2, $2
             FROM unnest($1::text[]) AS id
             ON CONFLICT (order_id) DO NOTHING
             RETURNING *)
         INSERT INTO limit_outbox (order_id, version, status, total, currency, occurred_at)
         SELECT order_id, version, status, total, currency, updated_at FROM new",
        "WITH changed AS (
             UPDATE limit_orders SET status = 'SENT', version = version + 1, sent_at = $2, updated_at = $2
             WHERE order_id = ANY($1)
             RETURNING *)
         INSERT INTO limit_outbox (order_id, version, status, total, currency, occurred_at, sent_at)
         SELECT order_id, version, status, total, currency, updated_at, sent_at FROM changed",
    ]
    .into_iter()
    .zip(&mut took)
    {
        let begun = Instant::now();
        try_join_all((0..writers).map(|writer| {
            let ids = &ids;
            async move {
                let mut connection = PgConnection::connect(&system.orders_url).await?;
                for group in ids.chunks(group).skip(writer).step_by(writers) {
                    sqlx::query(statement)
                        .bind(group)
                        .bind(DateTime::<Utc>::from(std::time::SystemTime::now()))
                        .execute(&mut connection)
                        .await?;
                }
                connection.close().await?;
                anyhow::Ok(())
            }
        }))
        .await?;
        *took = begun.elapsed();
    }
    Ok((took[0], took[1]))
}

/// Fills the outbox with `count` rows.
///
/// # Errors
/// When Postgres refuses a statement.
pub async fn fill_outbox(system: &TestSystem, count: u32) -> Result<()> {
    let mut connection = PgConnection::connect(&system.orders_url).await?;
    sqlx::query(
        "INSERT INTO outbox (order_id, version, status, total, currency, occurred_at)
         SELECT lpad(to_hex(number), 8, '0') || '-0000-7000-8000-000000000000', 1, 'PENDING', 149.90, 'EUR', now()
         FROM generate_series(1, $1) AS number",
    )
    .bind(i64::from(count))
    .execute(&mut connection)
    .await?;
    connection.close().await?;
    Ok(())
}
