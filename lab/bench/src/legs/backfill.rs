//! Backfill: a whole topic evaluated again, while nothing is written.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::processor::bare_drain;
use crate::figure::{Figure, Target};
use crate::rig::{self, Rig, micros_each, per_second};
use crate::usage;

const LEG: &str = "backfill";

/// Measures `processor backfill --dry-run --rate max` over a topic of orders, one in five eligible.
///
/// # Errors
/// When a run fails, or does not read everything.
pub async fn dry_run(rig: &Rig) -> Result<Vec<Figure>> {
    let count = rig.records(2_000_000);
    let mut figures = Vec::new();
    for (name, avro) in [("Avro", true), ("JSON", false)] {
        let (system, format) = rig.system(avro).await?;
        rig::write_orders(&system, count, format).await?;
        let (mut cpu, mut speed, mut memory) = (Vec::new(), Vec::new(), Vec::new());
        let (mut bare_cpu, mut bare_speed) = (Vec::new(), Vec::new());
        let mut per_core = Vec::new();
        for _ in 0..rig.runs() {
            let bare = bare_drain(&system, count).await?;
            bare_cpu.push(micros_each(bare.cpu, count));
            bare_speed.push(per_second(count, bare.wall));

            let (begun, before) = (Instant::now(), ended_children()?);
            let mut child = system
                .start_processor(&["backfill", "--dry-run", "--json", "--rate", "max"], &[])
                .await?;
            let pid = child.id().context("it ended at once")?;
            let mut peak: f64 = 0.0;
            while child.try_wait()?.is_none() {
                peak = peak.max(usage::of(pid).map_or(0.0, |usage| usage.peak_mib));
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let (wall, used) = (begun.elapsed(), ended_children()? - before);
            let output = child.wait_with_output().await?;
            let result: Value = serde_json::from_slice(&output.stdout)
                .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
            ensure!(
                result["records"] == count,
                "it read {} records",
                result["records"]
            );
            cpu.push(micros_each(used, count));
            speed.push(per_second(count, wall));
            per_core.push(per_second(count, used));
            memory.push(peak);
        }
        let case = format!("dry run, {name}");
        let figure = |what, unit, runs: &[f64]| Figure::new(LEG, &case, what, unit, runs);
        figures.extend([
            figure("CPU per record", "us", &cpu).beside(&cpu, &bare_cpu),
            figure("records/s", "", &speed).beside(&speed, &bare_speed),
            figure("records/s of CPU", "", &per_core).should(Target::AtLeast(700_000.0)),
            figure("peak RSS", "MiB", &memory),
        ]);
    }
    Ok(figures)
}

/// Returns the CPU time of the children that have ended, including their start.
fn ended_children() -> Result<Duration> {
    Ok(usage::of(std::process::id())?.children_cpu)
}
