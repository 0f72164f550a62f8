//! The relay: a backlog of the outbox published, beside librdkafka producing the same records.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use end_to_end::shop::{STOP, ready};
use sqlx::{Connection, PgConnection};

use super::ingress::fill_outbox;
use crate::figure::{Figure, Target};
use crate::rig::{self, Rig, micros_each, per_second};
use crate::usage;

const LEG: &str = "relay";

/// An outbox that filled while the relay was away.
///
/// # Errors
/// When it does not drain.
pub async fn backlog(rig: &Rig) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for count in [1_000, rig.records(1_000_000)] {
        let (mut speed, mut cpu, mut limit) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rig.runs() {
            let (shop, format) = rig.shop(true).await?;
            // Made by the producer, filled while it is away.
            ready(shop.producer_command("first").await?)
                .await?
                .terminate(STOP)
                .await?;
            fill_outbox(&shop, count).await?;
            let producer = ready(shop.producer_command("bench").await?).await?;
            let begun = Instant::now();
            let mut connection = PgConnection::connect(&shop.orders_url).await?;
            loop {
                let there: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM outbox)")
                    .fetch_one(&mut connection)
                    .await?;
                if !there {
                    break;
                }
                ensure!(
                    begun.elapsed() < Duration::from_secs(300),
                    "the outbox did not drain"
                );
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            speed.push(per_second(count, begun.elapsed()));
            cpu.push(micros_each(usage::of(producer.pid())?.cpu, count));
            connection.close().await?;
            producer.terminate(STOP).await?;

            let begun = Instant::now();
            rig::write_orders(&shop, count, format).await?;
            limit.push(per_second(count, begun.elapsed()));
        }
        let case = format!("backlog of {count}");
        let figure = |what, unit, runs: &[f64]| Figure::new(LEG, &case, what, unit, runs);
        let rows = figure("rows/s", "", &speed).beside(&speed, &limit);
        figures.push(if count == 1_000 {
            // Most of it is drained before the producer is seen to be ready.
            rows
        } else {
            rows.should(Target::AtLeast(40_000.0))
        });
        figures.push(figure("CPU per row, the start included", "us", &cpu));
    }
    Ok(figures)
}
