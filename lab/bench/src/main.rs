//! `bench LEG`: measures, and tells.

use std::process::ExitCode;

use anyhow::{Context, Result};
use bench::figure::{self, Figure};
use bench::legs::{
    backfill, curves, decode, end_to_end, idle, ingress, memory, processor, relay, sink,
};
use bench::rig::Rig;
use clap::{Parser, ValueEnum};
use runtime::lifecycle::{self, Failure};
use runtime::output;

/// Measures legs of the system beside their limits, on a local stack of its own.
#[derive(Debug, Parser)]
#[command(name = "bench", version)]
struct Arguments {
    /// What to measure.
    leg: Leg,

    /// The figures as JSON on stdout.
    #[arg(long)]
    json: bool,

    /// A tenth of the records: to try, not to tell.
    #[arg(long)]
    quick: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Leg {
    /// All of them, one after the other.
    All,
    /// From a record's bytes to its verdict.
    Decode,
    /// A full topic through the processor.
    Processor,
    /// A full topic through the sink.
    Sink,
    /// Processor and sink, one record at a time.
    Latency,
    /// Orders over HTTP.
    Ingress,
    /// A full outbox.
    Relay,
    /// From the HTTP request to the voucher's row.
    EndToEnd,
    /// A full topic judged again.
    Backfill,
    /// The services at rest.
    Idle,
    /// The same work from little to much.
    Curves,
    /// Millions of records that wait for each service.
    Memory,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut figures = Vec::new();
    let outcome = run(&arguments, &mut figures);
    // What was measured before a leg failed is told too.
    let told = tell(&arguments, &figures);
    match outcome.and(told) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => match error.downcast_ref::<Failure>() {
            Some(failure) => lifecycle::exit(failure),
            None => {
                output::complain(&format!("bench: {error:#}"));
                ExitCode::FAILURE
            }
        },
    }
}

fn tell(arguments: &Arguments, figures: &[Figure]) -> Result<()> {
    if arguments.json {
        output::print_line(&serde_json::to_string_pretty(figures)?)?;
    } else {
        output::print(&figure::table(figures))?;
    }
    Ok(())
}

/// Takes figures in, and tells them at once on stderr: all legs take most of an hour.
fn keep(figures: &mut Vec<Figure>, new: Vec<Figure>) {
    output::complain(&figure::table(&new));
    figures.extend(new);
}

fn run(arguments: &Arguments, figures: &mut Vec<Figure>) -> Result<()> {
    let wanted = |leg| arguments.leg == Leg::All || arguments.leg == leg;
    if wanted(Leg::Decode) {
        keep(figures, decode::run(arguments.quick).context("decode")?);
    }
    if arguments.leg != Leg::Decode {
        on_the_stack(arguments, wanted, figures)?;
    }
    Ok(())
}

#[tokio::main]
async fn on_the_stack(
    arguments: &Arguments,
    wanted: impl Fn(Leg) -> bool,
    figures: &mut Vec<Figure>,
) -> Result<()> {
    let rig = Rig::start(arguments.quick).await;
    if wanted(Leg::Processor) {
        keep(figures, processor::drain(&rig).await.context("processor")?);
    }
    if wanted(Leg::Sink) {
        keep(figures, sink::drain(&rig).await.context("sink")?);
    }
    if wanted(Leg::Latency) {
        keep(figures, sink::latency(&rig).await.context("sink")?);
        keep(
            figures,
            processor::latency(&rig).await.context("processor")?,
        );
    }
    if wanted(Leg::Ingress) {
        keep(figures, ingress::run(&rig).await.context("ingress")?);
    }
    if wanted(Leg::Relay) {
        keep(figures, relay::backlog(&rig).await.context("relay")?);
        keep(
            figures,
            relay::beside_the_ingress(&rig).await.context("relay")?,
        );
    }
    if wanted(Leg::EndToEnd) {
        keep(figures, end_to_end::run(&rig).await.context("end to end")?);
    }
    if wanted(Leg::Backfill) {
        keep(figures, backfill::dry_run(&rig).await.context("backfill")?);
    }
    if wanted(Leg::Idle) {
        keep(figures, idle::run(&rig).await.context("idle")?);
    }
    if wanted(Leg::Curves) {
        keep(figures, curves::processor(&rig).await.context("processor")?);
        keep(figures, curves::sink(&rig).await.context("sink")?);
        let latency = curves::latency_beside_a_backfill(&rig).await;
        keep(figures, latency.context("beside a backfill")?);
    }
    if wanted(Leg::Memory) {
        keep(figures, memory::run(&rig).await.context("memory")?);
    }
    Ok(())
}
