//! What tracing costs a processor when no order is sampled. The start, which builds the exporter, is left
//! out: it is paid once.

use anyhow::{Result, ensure};
use end_to_end::collector::Collector;

use super::processor;
use crate::figure::{Figure, Target};
use crate::rig::{self, Rig, micros_each, per_second};

const LEG: &str = "traces";

/// More rounds than other legs have: the difference is smaller than what two runs differ by.
const ROUNDS: usize = 7;

/// Whether there is a collector, and the sampler of the processor. The others are compared with the first.
const CASES: [(&str, Option<&str>); 3] = [
    ("no collector", None),
    ("a collector, sampling off", Some("always_off")),
    (
        "a collector, nothing sampled",
        Some("parentbased_always_off"),
    ),
];

/// Measures drains with a collector beside one without, in turns. No record has a `traceparent`, so none is
/// sampled.
///
/// # Errors
/// When a run does not end, or something is sampled.
pub async fn run(rig: &Rig) -> Result<Vec<Figure>> {
    let count = rig.records(2_000_000);
    let (system, format) = rig.system(true).await?;
    rig::write_orders(&system, count, format).await?;
    let collector = Collector::open().await?;
    let mut turns: [Turns; CASES.len()] = Default::default();
    // The first round is a warm-up: the broker's code is compiled.
    for round in 0..=ROUNDS {
        for ((_, sampler), turns) in CASES.into_iter().zip(&mut turns) {
            let name = sampler.unwrap_or("none").replace('_', "-");
            let group = format!("traces-{name}-{round}-{}", system.name);
            let mut command = processor::command(&system, "exactly_once", &group).await?;
            if let Some(sampler) = sampler {
                command = collector.of(command).env("OTEL_TRACES_SAMPLER", sampler);
            }
            let run = rig::drain(&system, command, &group, &system.topics.order_status).await?;
            if round > 0 {
                turns.cpu.push(micros_each(run.cpu_since_ready, count));
                turns.speed.push(per_second(count, run.wall));
            }
        }
    }
    ensure!(collector.spans().is_empty(), "something was sampled");
    let [without, ..] = &turns;
    let mut figures = Vec::new();
    for ((case, sampler), turns) in CASES.into_iter().zip(&turns) {
        let figure = |what, unit, runs: &[f64], limit: &[f64]| {
            let case = format!("drain, Avro, exactly once, {case}");
            let figure = Figure::new(LEG, case, what, unit, runs);
            match sampler {
                None => figure,
                Some(_) => figure.beside(runs, limit),
            }
        };
        let cpu = figure(
            "CPU per record, without the start",
            "us",
            &turns.cpu,
            &without.cpu,
        );
        figures.extend([
            match sampler {
                Some("always_off") => cpu.should(Target::RatioAtMost(1.01)),
                _ => cpu,
            },
            figure("records/s", "", &turns.speed, &without.speed),
        ]);
    }
    Ok(figures)
}

/// What was measured in each round.
#[derive(Debug, Default)]
struct Turns {
    cpu: Vec<f64>,
    speed: Vec<f64>,
}
