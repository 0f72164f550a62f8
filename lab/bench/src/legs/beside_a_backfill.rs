//! The live flow beside a backfill: how long an order takes, and how fast the backfill is meanwhile.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use end_to_end::system::TestSystem;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};

use super::end_to_end::{Services, measure as measure_latency};
use crate::figure::{Figure, Target, percentile};
use crate::rig::{self, Rig};

const LEG: &str = "beside a backfill";

/// Live orders a second.
const PACE: u32 = 100;

/// How long a backfill runs before the orders are measured: it has found its rate by then.
const BEFORE: Duration = Duration::from_secs(10);

/// How the backfills are paced: the case, and the value of `--rate`.
const PACES: [(&str, Option<&str>); 3] = [
    ("a backfill gives way", None),
    ("a backfill at 50000 records/s", Some("50000")),
    ("a backfill at --rate max", Some("max")),
];

/// What was measured in the rounds of one case.
#[derive(Debug, Default)]
struct Rounds {
    p50: Vec<f64>,
    p99: Vec<f64>,
    records: Vec<f64>,
}

impl Rounds {
    fn add(&mut self, millis: &[f64]) {
        self.p50.push(percentile(millis, 50));
        self.p99.push(percentile(millis, 99));
    }
}

/// Measures the time from the PATCH to the row at 100 orders a second, alone and beside backfills of
/// the whole topic, in turns.
///
/// # Errors
/// When a voucher does not arrive, or a backfill fails.
pub async fn run(rig: &Rig) -> Result<Vec<Figure>> {
    let (system, format) = rig.system(true).await?;
    rig::write_orders(&system, rig.records(2_000_000), format).await?;
    let services = Services::start(&system, "exactly_once").await?;
    system.settled().await;
    let count = PACE * if rig.quick { 5 } else { 20 };
    let measure = || measure_latency(&system, &services, PACE, count);
    // A warm-up: connections, schemas and plans.
    measure().await?;
    let mut alone = Rounds::default();
    let mut beside: [Rounds; PACES.len()] = Default::default();
    for round in 0..rig.runs() {
        alone.add(&measure().await?.millis);
        for ((case, rate), rounds) in PACES.into_iter().zip(&mut beside) {
            let done = AtomicU64::new(0);
            let paced = tokio::select! {
                paced = async {
                    tokio::time::sleep(BEFORE).await;
                    let (begun, before) = (Instant::now(), done.load(Ordering::Relaxed));
                    let paced = measure().await?;
                    let read = done.load(Ordering::Relaxed) - before;
                    rounds.records.push(read as f64 / begun.elapsed().as_secs_f64());
                    anyhow::Ok(paced)
                } => paced.context(case)?,
                ended = backfills(&system, round, rate, &done) => {
                    ended.context(case)?;
                    anyhow::bail!("the backfills ended");
                }
            };
            rounds.add(&paced.millis);
            // The vouchers of the last backfill must not delay the next orders.
            system.settled().await;
        }
    }
    services.stop().await?;
    Ok(figures(&alone, &beside))
}

fn figures(alone: &Rounds, beside: &[Rounds]) -> Vec<Figure> {
    let figure = |case: &str, what, unit, runs: &[f64]| {
        Figure::new(LEG, format!("{PACE}/s, {case}"), what, unit, runs)
    };
    let mut figures = vec![
        figure("alone", "PATCH to row, p50", "ms", &alone.p50),
        figure("alone", "PATCH to row, p99", "ms", &alone.p99),
    ];
    for ((case, rate), rounds) in PACES.into_iter().zip(beside) {
        let longer: Vec<f64> = rounds
            .p99
            .iter()
            .zip(&alone.p99)
            .map(|(beside, alone)| beside - alone)
            .collect();
        let longer = figure(case, "p99, more than alone", "ms", &longer);
        figures.extend([
            figure(case, "PATCH to row, p50", "ms", &rounds.p50).beside(&rounds.p50, &alone.p50),
            figure(case, "PATCH to row, p99", "ms", &rounds.p99).beside(&rounds.p99, &alone.p99),
            match rate {
                None => longer.should(Target::AtMost(50.0)),
                Some(_) => longer,
            },
            figure(case, "records/s of the backfill", "", &rounds.records),
        ]);
    }
    figures
}

/// Runs one backfill of the whole topic after the other, for ever; `done` counts what they have read.
async fn backfills(
    system: &TestSystem,
    round: usize,
    rate: Option<&str>,
    done: &AtomicU64,
) -> Result<()> {
    for number in 0.. {
        let name = format!("bench-{round}-{}-{number}", rate.unwrap_or("gives-way"));
        let mut arguments = vec!["backfill", "--name", &name, "--progress", "json"];
        arguments.extend(rate.iter().flat_map(|rate| ["--rate", rate]));
        let before = done.load(Ordering::Relaxed);
        let mut child = system.start_processor(&arguments, &[]).await?;
        let log = child.stderr.take().context("its stderr is not piped")?;
        let mut lines = BufReader::new(log).lines();
        let mut said = String::new();
        while let Some(line) = lines.next_line().await? {
            match serde_json::from_str::<Value>(&line).map(|line| line["progress"]["done"].as_u64())
            {
                Ok(Some(read)) => done.store(before + read, Ordering::Relaxed),
                _ => said = line,
            }
        }
        let status = child.wait().await?;
        ensure!(status.success(), "{name} ended with {status}: {said}");
    }
    Ok(())
}
