//! What the services use while nothing happens.

use std::time::{Duration, Instant};

use anyhow::Result;
use end_to_end::system::{START, STOP, binaries};

use crate::figure::{Figure, Target};
use crate::rig::Rig;
use crate::usage;

const LEG: &str = "idle";

/// Measures memory and CPU of each idle service, the time until it is ready, and the size of its
/// binary.
///
/// # Errors
/// When one does not start.
pub async fn run(rig: &Rig) -> Result<Vec<Figure>> {
    let (system, _) = rig.system(true).await?;
    let watched = Duration::from_secs(if rig.quick { 5 } else { 30 });
    let binaries = binaries().await?;
    let mut figures = Vec::new();
    for (name, command, binary) in [
        (
            "producer",
            system.producer_command("idle").await?,
            &binaries.producer,
        ),
        (
            "processor",
            system.processor_command("idle").await?,
            &binaries.processor,
        ),
        ("sink", system.sink_command("idle").await?, &binaries.sink),
    ] {
        let figure = |what, unit, value| Figure::new(LEG, name, what, unit, &[value]);
        let begun = Instant::now();
        let service = command.start().await?;
        service.wait_ready(START).await?;
        let ready = begun.elapsed();
        // A service still works for a moment after its start.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let (begun, before) = (Instant::now(), usage::of(service.pid())?);
        tokio::time::sleep(watched).await;
        let after = usage::of(service.pid())?;
        let share = (after.cpu - before.cpu).as_secs_f64() / begun.elapsed().as_secs_f64();
        let size = std::fs::metadata(binary)?.len();
        figures.extend([
            figure("RSS", "MiB", after.mib).should(Target::AtMost(25.0)),
            figure("share of a core", "%", share * 100.0).should(Target::AtMost(0.5)),
            figure("start to ready", "ms", ready.as_secs_f64() * 1e3),
            figure("binary", "MiB", size as f64 / 1_048_576.0).should(Target::AtMost(20.0)),
        ]);
        service.terminate(STOP).await?;
    }
    Ok(figures)
}
