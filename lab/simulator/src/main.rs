//! Runs seeds on all cores, or one with its whole schedule.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use simulator::many::{self, Seeds};
use simulator::mutation::Mutation;
use simulator::run::{Schedule, Simulator};

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
    match arguments.seed {
        Some(seed) => one(seed, &arguments),
        None => all(&arguments),
    }
}

fn one(seed: u64, arguments: &Arguments) -> ExitCode {
    let schedule = if arguments.trace {
        Schedule::All
    } else {
        Schedule::Last
    };
    let (verdict, events) = Simulator::new().run(seed, arguments.mutation, schedule);
    if arguments.trace || verdict.is_err() {
        // Whoever reads may stop reading.
        let mut out = std::io::stdout().lock();
        for event in events {
            if writeln!(out, "{event}").is_err() {
                break;
            }
        }
    }
    match verdict {
        Ok(done) => {
            say(format_args!(
                "seed {seed}: every invariant holds; {} order statuses, {} faults",
                done.records, done.met.faults
            ));
            ExitCode::SUCCESS
        }
        Err(what) => {
            say(format_args!("seed {seed}: {what}"));
            ExitCode::FAILURE
        }
    }
}

fn all(arguments: &Arguments) -> ExitCode {
    let seeds = Seeds {
        from: arguments.from,
        count: arguments.seeds,
        mutation: arguments.mutation,
    };
    let outcome = many::run(&seeds);
    say(format_args!("{outcome}"));
    let Some(seed) = outcome.broken else {
        return ExitCode::SUCCESS;
    };
    // The same again, this time with its schedule.
    let code = one(seed, arguments);
    say(format_args!(
        "the whole schedule: cargo run -p simulator -- --seed {seed} --trace"
    ));
    code
}

fn say(line: std::fmt::Arguments<'_>) {
    // Nobody listens: nothing is lost.
    let _ = writeln!(std::io::stdout(), "{line}");
}
