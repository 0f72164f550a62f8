//! The relay: a backlog of the outbox published, compared with librdkafka producing the same records.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use end_to_end::system::{STOP, TestSystem, ready};
use sqlx::{Connection, PgConnection};

use super::ingress::{self, Load, fill_outbox};
use crate::figure::{Figure, Target, percentile};
use crate::rig::{self, Rig, micros_each, per_second};
use crate::usage;

const LEG: &str = "relay";

const DRAIN_TIMEOUT: Duration = Duration::from_secs(300);

/// Measures an outbox that filled while the relay was not running.
///
/// # Errors
/// When it does not drain.
pub async fn backlog(rig: &Rig) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for count in [1_000, rig.records(1_000_000)] {
        let (mut speed, mut cpu, mut limit) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rig.runs() {
            let (system, format) = rig.system(true).await?;
            // The producer creates the table; it is filled while the producer is stopped.
            ready(system.producer_command("first").await?)
                .await?
                .terminate(STOP)
                .await?;
            fill_outbox(&system, count).await?;
            let producer = ready(system.producer_command("bench").await?).await?;
            let begun = Instant::now();
            published(&system).await?;
            speed.push(per_second(count, begun.elapsed()));
            cpu.push(micros_each(usage::of(producer.pid())?.cpu, count));
            producer.terminate(STOP).await?;

            let begun = Instant::now();
            rig::write_orders(&system, count, format).await?;
            limit.push(per_second(count, begun.elapsed()));
        }
        let case = format!("backlog of {count}");
        let figure = |what, unit, runs: &[f64]| Figure::new(LEG, &case, what, unit, runs);
        let rows = figure("rows/s", "", &speed).beside(&speed, &limit);
        figures.push(if count == 1_000 {
            // Most of it is drained before the producer is ready.
            rows
        } else {
            rows.should(Target::AtLeast(40_000.0))
        });
        figures.push(figure("CPU per row, the start included", "us", &cpu));
    }
    Ok(figures)
}

/// Waits until every current row of the outbox has been published.
pub(super) async fn published(system: &TestSystem) -> Result<()> {
    let begun = Instant::now();
    let mut connection = PgConnection::connect(&system.orders_url).await?;
    let last: Option<i64> = sqlx::query_scalar("SELECT max(id) FROM outbox")
        .fetch_one(&mut connection)
        .await?;
    // Each query starts at the last one's result, to skip the deleted rows.
    let mut first: Option<i64> = Some(i64::MIN);
    while first.is_some() {
        ensure!(begun.elapsed() < DRAIN_TIMEOUT, "the outbox did not drain");
        tokio::time::sleep(Duration::from_millis(5)).await;
        first = sqlx::query_scalar("SELECT min(id) FROM outbox WHERE id BETWEEN $1 AND $2")
            .bind(first)
            .bind(last)
            .fetch_one(&mut connection)
            .await?;
    }
    connection.close().await?;
    Ok(())
}

/// Measures a backlog that drains while orders come at half the speed of the ingress.
///
/// # Errors
/// When it does not drain, or an order is not accepted.
pub async fn beside_the_ingress(rig: &Rig) -> Result<Vec<Figure>> {
    const CONNECTIONS: u32 = 64;
    let count = rig.records(1_000_000);
    let (mut speed, mut alone, mut beside) = (Vec::new(), Runs::default(), Runs::default());
    for _ in 0..rig.runs() {
        let (system, _) = rig.system(true).await?;
        let producer = ready(system.producer_command("bench").await?).await?;
        let address = producer.http_addr();
        let each = rig.records(500);
        let full = ingress::create(address, CONNECTIONS, each, None).await?;
        let pace = (per_second(CONNECTIONS * each, full.wall) / 2.0) as u32;
        // About as long as the backlog takes.
        let each = pace * if rig.quick { 2 } else { 10 } / CONNECTIONS;
        alone.take(&ingress::create(address, CONNECTIONS, each, Some(pace)).await?);
        fill_outbox(&system, count).await?;
        let begun = Instant::now();
        let (load, drained) = tokio::join!(
            ingress::create(address, CONNECTIONS, each, Some(pace)),
            async {
                published(&system).await?;
                anyhow::Ok(begun.elapsed())
            }
        );
        beside.take(&load?);
        speed.push(per_second(count, drained?));
        producer.terminate(STOP).await?;
    }
    let case = format!("backlog of {count}, the ingress at half its speed");
    let figure = |what, unit, runs: &[f64]| Figure::new(LEG, &case, what, unit, runs);
    Ok(vec![
        figure("rows/s", "", &speed).should(Target::AtLeast(40_000.0)),
        figure(
            "creates/s, beside those without a backlog",
            "",
            &beside.speed,
        )
        .beside(&beside.speed, &alone.speed)
        .should(Target::RatioAtLeast(0.8)),
        figure(
            "answer, p99, beside that without a backlog",
            "ms",
            &beside.p99,
        )
        .beside(&beside.p99, &alone.p99),
    ])
}

/// The results of a load, run by run.
#[derive(Default)]
struct Runs {
    speed: Vec<f64>,
    p99: Vec<f64>,
}

impl Runs {
    fn take(&mut self, load: &Load) {
        self.speed
            .push(load.millis.len() as f64 / load.wall.as_secs_f64());
        self.p99.push(percentile(&load.millis, 99));
    }
}
