//! `explain` on long topics: the time of an answer when a row or the ingress knows the order, and when
//! nothing does.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use chrono::{DateTime, Utc};
use end_to_end::system::TestSystem;
use end_to_end::topic::{self, NewRecord};
use schemas::ValueFormat;

use super::{processor, sink};
use crate::figure::{Figure, Target};
use crate::orders;
use crate::rig::{self, Rig};

const LEG: &str = "explain";

/// The longest answer that a person who has pressed a button takes for immediate.
const MOST_MILLIS: f64 = 1_000.0;

/// `explain` searches an order from 5 s before its time on. Nothing is written for a little longer than
/// that before the order, because no live flow is as dense as the filling of the topic.
const QUIET: Duration = Duration::from_secs(6);

/// An order with a row, and one that only the ingress knows; both in the middle of the topic.
const SENT: &str = "an-order-that-was-sent";
const PLACED: &str = "an-order-that-was-placed";

/// Measures the command from its start to its end, on a topic of ten million orders, of which one in
/// five has a voucher and a row.
///
/// # Errors
/// When an answer is wrong.
pub async fn run(rig: &Rig) -> Result<Vec<Figure>> {
    let count = rig.records(10_000_000);
    let (system, format) = rig.system(true).await?;
    fill(&system, count / 2, orders::id, format).await?;
    tokio::time::sleep(QUIET).await;
    let placed_at = Utc::now();
    // Of these numbers the first order is eligible, and the second is pending.
    let records = [one(0, SENT, format)?, one(1, PLACED, format)?];
    topic::write(
        system.brokers(),
        &system.topics.order_status,
        records.into(),
    )
    .await?;
    fill(&system, count / 2, orders::scattered_id, format).await?;
    let group = system.processor_group();
    let command = processor::command(&system, "exactly_once", &group).await?;
    rig::drain(&system, command, &group, &system.topics.order_status).await?;
    sink::run(&system, "explain").await?;
    place(&system, placed_at).await?;

    let table = [("DATABASE_URL", system.vouchers_url.as_str())];
    let ingress = [("ORDERS_DATABASE_URL", system.orders_url.as_str())];
    let mut figures = Vec::new();
    for (known, order_id, environment) in [
        ("known by its row", SENT, table.as_slice()),
        ("known by the ingress", PLACED, &ingress),
        ("known by neither", SENT, &[]),
    ] {
        let (mut millis, mut records) = (Vec::new(), Vec::new());
        for _ in 0..rig.runs() {
            let begun = Instant::now();
            let answer = system
                .run_processor(&["explain", order_id, "--json"], environment)
                .await?;
            millis.push(begun.elapsed().as_secs_f64() * 1e3);
            let found = answer.json()?;
            let statuses = found["records"].as_array().map(Vec::len);
            ensure!(statuses == Some(1), "{known}: {found:#}");
            records.push(found["records_read"].as_f64().unwrap_or(f64::NAN));
        }
        let case = format!("{count} orders, {known}");
        let answer = Figure::new(LEG, &case, "answer", "ms", &millis);
        figures.push(match environment.is_empty() {
            true => answer,
            false => answer.should(Target::AtMost(MOST_MILLIS)),
        });
        figures.push(Figure::new(LEG, &case, "records read", "", &records));
    }
    Ok(figures)
}

async fn fill(
    system: &TestSystem,
    count: u32,
    id: fn(u32) -> String,
    format: ValueFormat,
) -> Result<()> {
    let value = |number, order_id: &str, value: &mut Vec<u8>| {
        orders::write(number, order_id, format, value)?;
        Ok(())
    };
    rig::write(system, &system.topics.order_status, count, id, value).await
}

fn one(number: u32, order_id: &str, format: ValueFormat) -> Result<NewRecord> {
    let mut value = Vec::new();
    orders::write(number, order_id, format, &mut value)?;
    Ok(NewRecord::new(order_id, value))
}

/// Leaves the placed order in the ingress's table, as if it had been published at once.
async fn place(system: &TestSystem, at: DateTime<Utc>) -> Result<()> {
    let database = [("DATABASE_URL", system.orders_url.as_str())];
    let made = system
        .run_service("producer", &["check", "--fix"], &database)
        .await?;
    ensure!(made.stdout.contains("migration 1"), "{made:?}");
    sqlx::query(
        "INSERT INTO orders (order_id, status, total, currency, products, version, created_at, updated_at)
         VALUES ($1, 'PENDING', 100.01, 'EUR', '[]', 2, $2, $2)",
    )
    .bind(PLACED)
    .bind(at)
    .execute(system.orders())
    .await?;
    Ok(())
}
