//! The sink: a full topic drained into an empty table, into a full one, and a second time.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use end_to_end::system::{STOP, TestSystem, ready};
use schemas::{VOUCHER_AVSC, ValueFormat};
use sqlx::{Connection as _, PgConnection};
use stack::ServiceCommand;

use crate::awaited::{Awaited, RowWatch};
use crate::figure::{Figure, Target, percentile};
use crate::hop;
use crate::orders;
use crate::rig::{self, DRAIN_TIMEOUT, Rig, Run, micros_each, per_second};
use crate::unnest::{self, Rows};
use crate::vouchers::VoucherIssuer;

const LEG: &str = "sink";

/// The sink's default number of tasks, each with a connection.
const TASKS: usize = 2;

/// The measurements of the sink or of its limit, run by run.
#[derive(Default)]
struct Runs {
    speed: Vec<f64>,
    cpu: Vec<f64>,
    postgres: Vec<f64>,
    kafka: Vec<f64>,
    memory: Vec<f64>,
}

/// Measures vouchers without rows, with few and with many other rows in the table; and a replay.
///
/// # Errors
/// When a run does not end.
pub async fn drain(rig: &Rig) -> Result<Vec<Figure>> {
    let count = rig.records(1_000_000);
    let (system, _) = rig.system(true).await?;
    write_vouchers(rig, &system, count, orders::id).await?;
    let rows = Rows::new(count)?;
    // Creates the table.
    ready(system.sink_command("first").await?)
        .await?
        .kill()
        .await?;

    let mut figures = Vec::new();
    let mut first_writes = Vec::new();
    for there in [0, rig.records(1_000_000)] {
        let (mut sink, mut limit) = (Runs::default(), Runs::default());
        for number in 0..rig.runs() {
            fill(&system, there).await?;
            let postgres = rig::postgres_cpu(&system)?;
            let written = rows.write(&system.vouchers_url, TASKS).await?;
            limit.speed.push(per_second(count, written.wall));
            limit.cpu.push(micros_each(written.cpu, count));
            let used = rig::postgres_cpu(&system)?.saturating_sub(postgres);
            limit.postgres.push(micros_each(used, count));

            fill(&system, there).await?;
            let name = format!("{there}-{number}");
            sink.take(write_rows(&system, &name, count, orders::id).await?, count);
        }
        let case = if there == 0 {
            "drain, empty table".to_owned()
        } else {
            format!("drain, {there} rows there")
        };
        let figure = |what, unit, runs: &[f64]| Figure::new(LEG, &case, what, unit, runs);
        figures.extend([
            figure("rows/s", "", &sink.speed)
                .beside(&sink.speed, &limit.speed)
                .should(Target::RatioAtLeast(0.9)),
            figure("client CPU per row", "us", &sink.cpu)
                .beside(&sink.cpu, &limit.cpu)
                .should(Target::AtMost(1.8)),
            figure("Postgres CPU per row", "us", &sink.postgres)
                .beside(&sink.postgres, &limit.postgres),
            figure("Kafka CPU per row", "us", &sink.kafka),
            figure("peak RSS", "MiB", &sink.memory),
        ]);
        if there == 0 {
            first_writes = sink.speed;
        }
    }
    let mut replay = Runs::default();
    for number in 0..rig.runs() {
        replay.take(run(&system, &format!("replay-{number}")).await?, count);
    }
    let figure = |what, unit, runs: &[f64]| Figure::new(LEG, "replay", what, unit, runs);
    figures.extend([
        figure("rows/s, beside first writes", "", &replay.speed)
            .beside(&replay.speed, &first_writes)
            .should(Target::RatioAtLeast(4.0)),
        figure("client CPU per row", "us", &replay.cpu),
        figure("Postgres CPU per row", "us", &replay.postgres),
        figure("Kafka CPU per row", "us", &replay.kafka),
    ]);
    Ok(figures)
}

/// Fills the vouchers topic.
pub(super) async fn write_vouchers(
    rig: &Rig,
    system: &TestSystem,
    count: u32,
    id: fn(u32) -> String,
) -> Result<()> {
    let subject = format!("{}-value", system.topics.vouchers);
    let schema_id = rig.backends.register_schema(&subject, VOUCHER_AVSC).await?;
    let (issuer, schema_id) = (VoucherIssuer::new()?, u32::try_from(schema_id)?);
    let value = |number, order_id: &str, value: &mut Vec<u8>| {
        Ok(issuer
            .voucher(number, order_id)
            .write(ValueFormat::Avro(schema_id), value)?)
    };
    rig::write(system, &system.topics.vouchers, count, id, value).await
}

impl Runs {
    fn take(&mut self, run: Run, count: u32) {
        self.speed.push(per_second(count, run.wall));
        self.cpu.push(micros_each(run.usage.cpu, count));
        self.postgres.push(micros_each(run.postgres_cpu, count));
        self.kafka.push(micros_each(run.kafka_cpu, count));
        self.memory.push(run.usage.peak_mib);
    }
}

/// Drains the vouchers topic, none of whose `count` orders has a row, until all have.
pub(super) async fn write_rows(
    system: &TestSystem,
    name: &str,
    count: u32,
    id: fn(u32) -> String,
) -> Result<Run> {
    // The rows of a partition are written in order, and these are in all partitions.
    let last: Vec<String> = (count.saturating_sub(100)..count).map(id).collect();
    let (command, _) = command(system, name).await?;
    rig::run_until(system, command, rows_are_there(system, &last)).await
}

async fn rows_are_there(system: &TestSystem, ids: &[String]) -> Result<()> {
    let mut connection = PgConnection::connect(&system.vouchers_url).await?;
    // With the statistics of an empty table the whole table would be scanned.
    sqlx::raw_sql("SET enable_seqscan = off")
        .execute(&mut connection)
        .await?;
    let begun = Instant::now();
    for id in ids {
        while !is_there(&mut connection, id).await? {
            ensure!(
                begun.elapsed() < DRAIN_TIMEOUT,
                "the row of {id} did not arrive"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    Ok(connection.close().await?)
}

async fn is_there(connection: &mut PgConnection, id: &str) -> Result<bool> {
    let row = sqlx::query_scalar(
        "SELECT EXISTS (
             SELECT FROM vouchers WHERE campaign = 'order-reward' AND order_id = $1)",
    )
    .bind(id)
    .fetch_one(connection)
    .await?;
    Ok(row)
}

/// Drains the topic with a new group until everything is committed.
pub(super) async fn run(system: &TestSystem, name: &str) -> Result<Run> {
    let (command, group) = command(system, name).await?;
    rig::drain(system, command, &group, &system.topics.vouchers).await
}

/// Returns the sink's command and its group.
async fn command(system: &TestSystem, name: &str) -> Result<(ServiceCommand, String)> {
    let group = format!("sink-{name}-{}", system.name);
    let command = system
        .sink_command("bench")
        .await?
        .env("SINK_GROUP", &group)
        .env("SINK_TASKS", TASKS.to_string());
    Ok((command, group))
}

/// Leaves `count` other rows in the table: earlier vouchers, with ids in order of time.
async fn fill(system: &TestSystem, count: u32) -> Result<()> {
    system.execute_on_vouchers("TRUNCATE vouchers").await?;
    if count > 0 {
        system
            .execute_on_vouchers(&format!(
                "INSERT INTO vouchers (campaign, order_id, code, amount, currency, issued_at)
             SELECT 'order-reward', lpad(to_hex(number), 8, '0') || '-0000-7000-8000-000000000000',
                    upper(left(md5(number::text), 19)), 5, 'EUR', '2026-01-01'
             FROM generate_series(1, {count}) AS number"
            ))
            .await?;
    }
    system
        .execute_on_vouchers("VACUUM ANALYZE vouchers")
        .await?;
    system.execute_on_vouchers("CHECKPOINT").await
}

/// Measures the time from the writing of a voucher record to its visible row, at 500 vouchers a second.
///
/// # Errors
/// When a row does not arrive.
pub async fn latency(rig: &Rig) -> Result<Vec<Figure>> {
    const PACE: u32 = 500;
    let count = PACE * if rig.quick { 5 } else { 20 };
    let (system, _) = rig.system(true).await?;
    let subject = format!("{}-value", system.topics.vouchers);
    let id = u32::try_from(rig.backends.register_schema(&subject, VOUCHER_AVSC).await?)?;
    let sink = ready(system.sink_command("bench").await?).await?;
    let (mut medians, mut p99s) = (Vec::new(), Vec::new());
    let (mut insert_medians, mut insert_p99s) = (Vec::new(), Vec::new());
    let mut rows = RowWatch::watch(&system).await?;
    // The first run is a warm-up: connections, schemas and plans.
    for run in 0..=u32::try_from(rig.runs())? {
        let numbers = run * count..(run + 1) * count;
        let awaited = Awaited::default();
        let (brokers, topic) = (system.brokers().to_owned(), system.topics.vouchers.clone());
        let (issuer, sent) = (VoucherIssuer::new()?, awaited.clone());
        let writer = tokio::task::spawn_blocking(move || {
            let value = |number, order_id: &str, out: &mut Vec<u8>| {
                Ok(issuer
                    .voucher(number, order_id)
                    .write(ValueFormat::Avro(id), out)?)
            };
            hop::write(&brokers, &topic, numbers, PACE, &sent, |_| true, value)
        });
        let millis = rows.read(&awaited, count as usize).await?;
        writer.await??;
        let inserts = unnest::single_rows(&system.vouchers_url, 300).await?;
        if run > 0 {
            medians.push(percentile(&millis, 50));
            p99s.push(percentile(&millis, 99));
            insert_medians.push(percentile(&inserts, 50));
            insert_p99s.push(percentile(&inserts, 99));
        }
    }
    sink.terminate(STOP).await?;
    let figure = |what, runs: &[f64]| Figure::new(LEG, "500 vouchers/s", what, "ms", runs);
    Ok(vec![
        figure("record to row, p50", &medians)
            .beside(&medians, &insert_medians)
            .should(Target::AtMost(2.5)),
        figure("record to row, p99", &p99s)
            .beside(&p99s, &insert_p99s)
            .should(Target::AtMost(7.0)),
    ])
}
