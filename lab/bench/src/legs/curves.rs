//! What a record, a row and an order cost as the amount of work grows.

use anyhow::Result;
use end_to_end::system::ready;

use super::processor::command;
use super::sink;
use crate::figure::Figure;
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
