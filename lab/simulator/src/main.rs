//! Runs seeds on all cores, or one with its whole schedule.

use std::process::ExitCode;

use clap::Parser;
use runtime::lifecycle::{self, Failure};
use runtime::output;
use simulator::mutation::Mutation;
use simulator::run::Simulator;
use simulator::seeds::{self, Seeds};
use simulator::world::schedule::Keep;

/// The services' loops against a model of Kafka and Postgres, with faults by seed.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many seeds are run.
    #[arg(long, default_value = "10000")]
    seeds: u64,

    /// The first seed.
    #[arg(long, default_value = "0")]
    from: u64,

    /// Run this seed alone.
    #[arg(long)]
    seed: Option<u64>,

    /// With --seed: print the whole schedule.
    #[arg(long, requires = "seed")]
    trace: bool,

    /// Plant this bug, which must then be found.
    #[arg(long, value_enum)]
    mutation: Option<Mutation>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let verdict = match arguments.seed {
        Some(seed) => one(seed, &arguments),
        None => all(&arguments),
    };
    match verdict {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => lifecycle::exit(&failure),
    }
}

fn one(seed: u64, arguments: &Arguments) -> Result<(), Failure> {
    let keep = if arguments.trace {
        Keep::All
    } else {
        Keep::Last
    };
    let (verdict, events) = Simulator::new().run(seed, arguments.mutation, keep);
    if arguments.trace || verdict.is_err() {
        let schedule: String = events.iter().map(|event| format!("{event}\n")).collect();
        output::print(&schedule)?;
    }
    match verdict {
        Ok(done) => output::print_line(&format!(
            "seed {seed}: every invariant holds; {} order statuses, {} faults",
            done.records, done.met.faults
        )),
        Err(what) => {
            output::print_line(&format!("seed {seed}: {what}"))?;
            Err(Failure::failed("an invariant does not hold"))
        }
    }
}

fn all(arguments: &Arguments) -> Result<(), Failure> {
    let seeds = Seeds {
        from: arguments.from,
        count: arguments.seeds,
        mutation: arguments.mutation,
    };
    let report = seeds::run(&seeds);
    output::print_line(&report.to_string())?;
    let Some(seed) = report.broken else {
        return Ok(());
    };
    // The same again, this time with its schedule.
    let verdict = one(seed, arguments);
    output::print_line(&format!(
        "the whole schedule: cargo run --bin simulator -- --seed {seed} --trace"
    ))?;
    verdict
}
