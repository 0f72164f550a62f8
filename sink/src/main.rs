//! The `sink` binary.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    runtime::command_line::run(sink::cli::Cli::run)
}
