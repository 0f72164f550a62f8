//! `bench LEG`: measures one leg of the system, or all.

use std::process::ExitCode;

use anyhow::{Context, Result};
use bench::figure::{self, Figure};
use bench::legs::{
    backfill, beside_a_backfill, beside_streams, console, curves, decode, end_to_end, explain,
    idle, ingress, memory, processor, relay, sink, traces,
};
use bench::rig::Rig;
use clap::{Parser, ValueEnum};
use runtime::lifecycle::{self, Failure};
use runtime::output;

/// Measures legs of the system and their physical limits, on its own local stack.
#[derive(Debug, Parser)]
#[command(name = "bench", version)]
struct Arguments {
    /// What to measure.
    leg: Leg,

    /// Print the figures as JSON.
    #[arg(long)]
    json: bool,

    /// Use a tenth of the records: for a trial, not for results.
    #[arg(long)]
    quick: bool,

    /// Number of Kafka brokers; with three, everything is replicated. The targets are those of one
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=9))]
    brokers: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Leg {
    /// All legs but beside-streams, one after the other.
    All,
    /// From a record's bytes to the decision.
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
    /// A full topic evaluated again.
    Backfill,
    /// Orders over HTTP while a full topic is evaluated again.
    BesideABackfill,
    /// A full topic, and one record at a time, beside Kafka Streams. Needs a JDK.
    BesideStreams,
    /// What happened to one order of a long topic.
    Explain,
    /// A full topic, with tracing configured and nothing sampled.
    Traces,
    /// The services at rest.
    Idle,
    /// What an open page of the console costs the others.
    Console,
    /// The same work in growing amounts.
    Curves,
    /// Millions of records that wait for each service.
    Memory,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut figures = Vec::new();
    let measured = run(&arguments, &mut figures);
    // Figures that were measured before a leg failed are printed too.
    let printed = print(&arguments, &figures);
    match measured.and(printed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => match error.downcast_ref::<Failure>() {
            Some(failure) => lifecycle::exit(failure),
            None => {
                output::eprint_line(&format!("bench: {error:#}"));
                ExitCode::FAILURE
            }
        },
    }
}

fn print(arguments: &Arguments, figures: &[Figure]) -> Result<()> {
    if arguments.json {
        output::print_line(&serde_json::to_string_pretty(figures)?)?;
    } else {
        output::print(&figure::table(figures))?;
    }
    Ok(())
}

/// Adds figures, and prints them at once to stderr: all legs take most of an hour.
fn add(figures: &mut Vec<Figure>, new: Vec<Figure>) {
    output::eprint_line(&figure::table(&new));
    figures.extend(new);
}

/// Returns the legs that a leg stands for, in the order in which they are measured.
fn chosen(leg: Leg) -> Vec<Leg> {
    if leg != Leg::All {
        return vec![leg];
    }
    // Kafka Streams is no part of the system, and needs a JDK and Maven.
    let others = [Leg::All, Leg::BesideStreams];
    let legs = Leg::value_variants().iter().copied();
    legs.filter(|leg| !others.contains(leg)).collect()
}

fn run(arguments: &Arguments, figures: &mut Vec<Figure>) -> Result<()> {
    let mut legs = chosen(arguments.leg);
    if legs.contains(&Leg::Decode) {
        add(figures, decode::run(arguments.quick).context("decode")?);
    }
    legs.retain(|leg| *leg != Leg::Decode);
    if legs.is_empty() {
        return Ok(());
    }
    on_the_stack(arguments, &legs, figures)
}

#[tokio::main]
async fn on_the_stack(
    arguments: &Arguments,
    legs: &[Leg],
    figures: &mut Vec<Figure>,
) -> Result<()> {
    let rig = Rig::start(arguments.quick, arguments.brokers).await;
    for leg in legs {
        measure(*leg, &rig, figures).await?;
    }
    Ok(())
}

async fn measure(leg: Leg, rig: &Rig, figures: &mut Vec<Figure>) -> Result<()> {
    match leg {
        // One stands for the others, and one needs no stack.
        Leg::All | Leg::Decode => {}
        Leg::Processor => add(figures, processor::drain(rig).await.context("processor")?),
        Leg::Sink => add(figures, sink::drain(rig).await.context("sink")?),
        Leg::Latency => {
            add(figures, sink::latency(rig).await.context("sink")?);
            add(figures, processor::latency(rig).await.context("processor")?);
        }
        Leg::Ingress => add(figures, ingress::run(rig).await.context("ingress")?),
        Leg::Relay => {
            add(figures, relay::backlog(rig).await.context("relay")?);
            add(
                figures,
                relay::beside_the_ingress(rig).await.context("relay")?,
            );
        }
        Leg::EndToEnd => add(figures, end_to_end::run(rig).await.context("end to end")?),
        Leg::Backfill => add(figures, backfill::dry_run(rig).await.context("backfill")?),
        Leg::BesideABackfill => {
            let beside = beside_a_backfill::run(rig).await;
            add(figures, beside.context("beside a backfill")?);
        }
        Leg::BesideStreams => {
            let beside = beside_streams::run(rig).await;
            add(figures, beside.context("beside Kafka Streams")?);
        }
        Leg::Explain => add(figures, explain::run(rig).await.context("explain")?),
        Leg::Traces => add(figures, traces::run(rig).await.context("traces")?),
        Leg::Idle => add(figures, idle::run(rig).await.context("idle")?),
        Leg::Console => add(figures, console::run(rig).await.context("console")?),
        Leg::Curves => {
            add(figures, curves::processor(rig).await.context("processor")?);
            add(figures, curves::sink(rig).await.context("sink")?);
        }
        Leg::Memory => add(figures, memory::run(rig).await.context("memory")?),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_legs_but_kafka_streams_are_measured_in_their_order() {
        let mut legs = chosen(Leg::All);
        assert!(!legs.contains(&Leg::BesideStreams));
        let place = Leg::value_variants()
            .iter()
            .position(|leg| *leg == Leg::BesideStreams);
        legs.insert(0, Leg::All);
        legs.insert(place.unwrap(), Leg::BesideStreams);
        assert_eq!(legs, Leg::value_variants());
        assert_eq!(chosen(Leg::BesideStreams), [Leg::BesideStreams]);
    }
}
