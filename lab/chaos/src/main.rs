//! Injects faults, then prints the verdict. Exit code 1: something is lost or duplicated.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use chaos::{Length, Options};
use clap::Parser;
use runtime::{lifecycle, output};

/// Kills, stops and disconnects the real services, by seed, and compares what clients were promised
/// with what is there.
#[derive(Debug, Parser)]
struct Arguments {
    /// How long faults are injected.
    #[arg(long, conflicts_with = "faults", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    minutes: Option<u64>,

    /// The number of faults.
    #[arg(long, default_value = "40", value_parser = clap::value_parser!(u32).range(1..))]
    faults: u32,

    /// The number of Kafka brokers, 1 or 3. With 3 only brokers are faulted, and how long the flow
    /// stops is judged too.
    #[arg(long, default_value_t = 1, value_parser = brokers)]
    brokers: u8,

    /// Determines the faults [default: a random number].
    #[arg(long)]
    seed: Option<u64>,

    /// Inject no faults: compare again what a failed run has left in this folder
    /// (target/chaos/failed-SEED). The folder is not changed.
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["minutes", "faults", "brokers", "seed"])]
    judge: Option<PathBuf>,

    /// Print the verdict as one line of JSON.
    #[arg(long)]
    json: bool,
}

fn brokers(text: &str) -> Result<u8, String> {
    match text {
        "1" => Ok(1),
        "3" => Ok(3),
        _ => Err("expected 1 or 3".to_owned()),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(folder) = &arguments.judge {
        return match chaos::judge(folder).await {
            Ok(judgement) if arguments.json => print(&judgement.json(), judgement.holds()),
            Ok(judgement) => print(judgement.to_string().trim_end(), judgement.holds()),
            Err(error) => failed(&format!("{error:#}")),
        };
    }
    let length = match arguments.minutes {
        Some(minutes) => Length::For(Duration::from_secs(minutes * 60)),
        None => Length::Faults(arguments.faults),
    };
    let options = Options {
        length,
        brokers: arguments.brokers,
        // Short enough to be typed.
        seed: arguments
            .seed
            .unwrap_or_else(|| rand::random::<u64>() >> 40),
    };
    match chaos::run(&options).await {
        Ok(report) if arguments.json => print(&report.json(), report.holds()),
        Ok(report) => print(report.to_string().trim_end(), report.holds()),
        Err(error) => failed(&format!("{error:#}\nrepeat: {}", options.command())),
    }
}

fn print(text: &str, holds: bool) -> ExitCode {
    match output::print_line(text) {
        // A broken promise decides the exit code even if the verdict cannot be printed.
        _ if !holds => ExitCode::FAILURE,
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => lifecycle::exit(&failure),
    }
}

fn failed(why: &str) -> ExitCode {
    output::eprint_line(&format!("chaos: {why}"));
    ExitCode::FAILURE
}
