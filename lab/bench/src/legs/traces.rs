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

/// Measures a drain with a collector beside one without, in turns. No record has a `traceparent`, so none is
/// sampled.
///
/// # Errors
/// When a run does not end, or something is sampled.
pub async fn run(rig: &Rig) -> Result<Vec<Figure>> {
    let count = rig.records(2_000_000);
    let (system, format) = rig.system(true).await?;
    rig::write_orders(&system, count, format).await?;
    let collector = Collector::open().await?;
    let (mut without, mut with) = (Turns::default(), Turns::default());
    // The first round is a warm-up: the broker's code is compiled.
    for round in 0..=ROUNDS {
        for (is_traced, turns) in [(false, &mut without), (true, &mut with)] {
            let group = format!("traces-{is_traced}-{round}-{}", system.name);
            let mut command = processor::command(&system, "exactly_once", &group).await?;
            if is_traced {
                command = collector.of(command);
            }
            let run = rig::drain(&system, command, &group, &system.topics.order_status).await?;
            if round > 0 {
                turns.cpu.push(micros_each(run.cpu_since_ready, count));
                turns.speed.push(per_second(count, run.wall));
            }
        }
    }
    ensure!(collector.spans().is_empty(), "something was sampled");
    let figure = |case, what, unit, runs: &[f64]| {
        Figure::new(
            LEG,
            format!("drain, Avro, exactly once, {case}"),
            what,
            unit,
            runs,
        )
    };
    let traced = "a collector, nothing sampled";
    Ok(vec![
        figure(
            "no collector",
            "CPU per record, without the start",
            "us",
            &without.cpu,
        ),
        figure("no collector", "records/s", "", &without.speed),
        figure(traced, "CPU per record, without the start", "us", &with.cpu)
            .beside(&with.cpu, &without.cpu)
            .should(Target::RatioAtMost(1.01)),
        figure(traced, "records/s", "", &with.speed).beside(&with.speed, &without.speed),
    ])
}

/// What was measured in each round.
#[derive(Debug, Default)]
struct Turns {
    cpu: Vec<f64>,
    speed: Vec<f64>,
}
