//! What a record, a row and an order cost as the amount of work grows.

use std::time::Duration;

use anyhow::Result;
use end_to_end::system::{STOP, TestSystem, ready};

use super::end_to_end::measure as measure_latency;
use super::processor::command;
use super::sink;
use crate::figure::{Figure, percentile};
use crate::orders;
use crate::rig::{self, Rig, micros_each, per_second};

const LEG: &str = "curve";

/// Measures the processor over topics of ten thousand to ten million records, once each: exactly once,
/// Avro, without the service's start, which would dominate the first one.
///
/// # Errors
/// When a run does not end.
pub async fn processor(rig: &Rig) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for count in [10_000, 100_000, 1_000_000, 10_000_000].map(|count| rig.records(count)) {
        let (system, format) = rig.system(true).await?;
        rig::write_orders(&system, count, format).await?;
        let group = system.processor_group();
        let service = command(&system, "exactly_once", &group).await?;
        let run = rig::drain(&system, service, &group, &system.topics.order_status).await?;
        let case = format!("processor, {count} records");
        let figure = |what, unit, value| Figure::new(LEG, &case, what, unit, &[value]);
        figures.extend([
            figure(
                "CPU per record, without the start",
                "us",
                micros_each(run.cpu_since_ready, count),
            ),
            figure("records/s", "", per_second(count, run.wall)),
            figure("peak RSS", "MiB", run.usage.peak_mib),
        ]);
    }
    Ok(figures)
}

/// Measures the sink as its table grows, with order ids in order of time and in random order.
///
/// # Errors
/// When a run does not end.
pub async fn sink(rig: &Rig) -> Result<Vec<Figure>> {
    let count = rig.records(200_000);
    let mut figures = Vec::new();
    // The existing rows have ids of the same kind, which are earlier in time.
    for (name, id, there_id) in [
        (
            "in time order",
            orders::id as fn(u32) -> String,
            "lpad(to_hex(number), 8, '0') || '-0000-7000-8000-000000000000'",
        ),
        ("scattered", orders::scattered_id, "md5(number::text)"),
    ] {
        let (system, _) = rig.system(true).await?;
        sink::write_vouchers(rig, &system, count, id).await?;
        ready(system.sink_command("first").await?)
            .await?
            .kill()
            .await?;
        let mut there = 0;
        for wanted in [0, 1_000_000, 10_000_000].map(|wanted| rig.records(wanted)) {
            let fill = format!(
                "DELETE FROM vouchers WHERE issued_at >= '2026-05-01';
                 INSERT INTO vouchers (campaign, order_id, code, amount, currency, issued_at)
                 SELECT 'order-reward', {there_id}, upper(left(md5('code' || number), 19)),
                        5, 'EUR', '2026-01-01'
                 FROM generate_series({there} + 1, {wanted}) AS number"
            );
            for statement in fill.split(';') {
                system.execute_on_vouchers(statement).await?;
            }
            system
                .execute_on_vouchers("VACUUM ANALYZE vouchers")
                .await?;
            system.execute_on_vouchers("CHECKPOINT").await?;
            there = wanted;
            let run = sink::write_rows(&system, &format!("curve-{there}"), count, id).await?;
            let case = format!("sink, {there} rows there, ids {name}");
            let figure = |what, unit, value| Figure::new(LEG, &case, what, unit, &[value]);
            figures.extend([
                figure("rows/s", "", per_second(count, run.wall)),
                figure(
                    "Postgres CPU per row",
                    "us",
                    micros_each(run.postgres_cpu, count),
                ),
            ]);
        }
    }
    Ok(figures)
}

/// Measures the time from the PATCH to the row at 100 orders a second, alone and while backfills of
/// the topic run beside the processor: unlimited, and with a rate limit.
///
/// # Errors
/// When a voucher does not arrive.
pub async fn latency_beside_a_backfill(rig: &Rig) -> Result<Vec<Figure>> {
    const PACE: u32 = 100;
    let (system, format) = rig.system(true).await?;
    rig::write_orders(&system, rig.records(2_000_000), format).await?;
    let producer = ready(system.producer_command("bench").await?).await?;
    let processor = ready(system.processor_command("bench").await?).await?;
    let sink = ready(system.sink_command("bench").await?).await?;
    system.settled().await;
    let count = PACE * if rig.quick { 5 } else { 20 };
    let measure = || measure_latency(&system, producer.http_addr(), PACE, count);
    // A warm-up: connections, schemas and plans.
    measure().await?;
    let alone = measure().await?;
    let mut figures = Vec::new();
    for (name, pace) in [
        ("a backfill runs", None),
        ("a backfill runs at 50000 records/s", Some("50000")),
    ] {
        let beside = tokio::select! {
            paced = async {
                // The backfill is running by then.
                tokio::time::sleep(Duration::from_secs(1)).await;
                measure().await
            } => paced?,
            ended = backfills(&system, pace) => {
                ended?;
                anyhow::bail!("the backfills ended");
            }
        };
        let case = format!("end to end, {PACE}/s, exactly once, while {name}");
        for (what, percent) in [
            ("PATCH to row, p50, beside that alone", 50),
            ("PATCH to row, p99, beside that alone", 99),
        ] {
            let (beside, alone) = (
                percentile(&beside.millis, percent),
                percentile(&alone.millis, percent),
            );
            figures
                .push(Figure::new(LEG, &case, what, "ms", &[beside]).beside(&[beside], &[alone]));
        }
    }
    for service in [sink, processor, producer] {
        service.terminate(STOP).await?;
    }
    Ok(figures)
}

/// Runs one backfill of the whole topic after the other, for ever.
async fn backfills(system: &TestSystem, rate: Option<&str>) -> Result<()> {
    for number in 0.. {
        let name = format!("bench-{number}-{}", rate.unwrap_or("unpaced"));
        let mut arguments = vec!["backfill", "--name", &name];
        arguments.extend(rate.iter().flat_map(|rate| ["--rate", rate]));
        system
            .start_processor(&arguments, &[])
            .await?
            .wait()
            .await?;
    }
    Ok(())
}
