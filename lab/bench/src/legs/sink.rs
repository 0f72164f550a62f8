//! The sink: a full topic drained into an empty table, into a full one, and once more.

use anyhow::Result;
use end_to_end::shop::{Shop, ready};
use schemas::VOUCHER_AVSC;

use crate::figure::{Figure, Target};
use crate::rig::{self, Rig, Run, micros_each, per_second};
use crate::unnest::Rows;
use crate::vouchers::Press;

const LEG: &str = "sink";

/// The sink's tasks by default, each with a connection.
const TASKS: usize = 2;

/// What was measured of the sink and of its limit, run by run.
#[derive(Default)]
struct Runs {
    speed: Vec<f64>,
    cpu: Vec<f64>,
    postgres: Vec<f64>,
    memory: Vec<f64>,
}

/// Vouchers of which no row is there, with few and with many other rows; and all of them again.
///
/// # Errors
/// When a run does not end.
pub async fn drain(rig: &Rig) -> Result<Vec<Figure>> {
    let count = rig.records(500_000);
    let (shop, _) = rig.shop(true).await?;
    let subject = format!("{}-value", shop.topics.vouchers);
    let id = rig.backends.register_schema(&subject, VOUCHER_AVSC).await?;
    let (press, id) = (Press::new()?, u32::try_from(id)?);
    rig::write(
        &shop,
        &shop.topics.vouchers,
        count,
        |number, order_id, value| {
            press.voucher(number, order_id).write_avro(id, value)?;
            Ok(())
        },
    )
    .await?;
    let rows = Rows::new(count)?;
    // Makes the table.
    ready(shop.sink_command("first").await?)
        .await?
        .kill()
        .await?;

    let mut figures = Vec::new();
    let mut first_writes = Vec::new();
    for there in [0, rig.records(1_000_000)] {
        let (mut sink, mut limit) = (Runs::default(), Runs::default());
        for number in 0..rig.runs() {
            fill(&shop, there).await?;
            let postgres = rig::postgres_cpu(&shop)?;
            let written = rows.write(&shop.vouchers_url, TASKS).await?;
            limit.speed.push(per_second(count, written.wall));
            limit.cpu.push(micros_each(written.cpu, count));
            let used = rig::postgres_cpu(&shop)?.saturating_sub(postgres);
            limit.postgres.push(micros_each(used, count));

            fill(&shop, there).await?;
            sink.take(run(&shop, &format!("{there}-{number}")).await?, count);
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
            figure("peak RSS", "MiB", &sink.memory),
        ]);
        if there == 0 {
            first_writes = sink.speed;
        }
    }
    let mut replay = Runs::default();
    for number in 0..rig.runs() {
        replay.take(run(&shop, &format!("replay-{number}")).await?, count);
    }
    let figure = |what, unit, runs: &[f64]| Figure::new(LEG, "replay", what, unit, runs);
    figures.extend([
        figure("rows/s, beside first writes", "", &replay.speed)
            .beside(&replay.speed, &first_writes)
            .should(Target::RatioAtLeast(4.0)),
        figure("client CPU per row", "us", &replay.cpu),
        figure("Postgres CPU per row", "us", &replay.postgres),
    ]);
    Ok(figures)
}

impl Runs {
    fn take(&mut self, run: Run, count: u32) {
        self.speed.push(per_second(count, run.wall));
        self.cpu.push(micros_each(run.usage.cpu, count));
        self.postgres.push(micros_each(run.postgres_cpu, count));
        self.memory.push(run.usage.peak_mib);
    }
}

async fn run(shop: &Shop, name: &str) -> Result<Run> {
    let group = format!("sink-{name}-{}", shop.name);
    let command = shop
        .sink_command("bench")
        .await?
        .env("SINK_GROUP", &group)
        .env("SINK_TASKS", TASKS.to_string());
    rig::drain(shop, command, &group, &shop.topics.vouchers).await
}

/// Leaves `count` rows that nobody asks for: earlier vouchers, ids in the order of time.
async fn fill(shop: &Shop, count: u32) -> Result<()> {
    shop.execute_on_vouchers("TRUNCATE vouchers").await?;
    if count > 0 {
        shop.execute_on_vouchers(&format!(
            "INSERT INTO vouchers (campaign, order_id, code, amount, currency, issued_at)
             SELECT 'order-reward', lpad(to_hex(number), 8, '0') || '-0000-7000-8000-000000000000',
                    upper(left(md5(number::text), 19)), 5, 'EUR', '2026-01-01'
             FROM generate_series(1, {count}) AS number"
        ))
        .await?;
    }
    shop.execute_on_vouchers("VACUUM ANALYZE vouchers").await?;
    shop.execute_on_vouchers("CHECKPOINT").await
}
