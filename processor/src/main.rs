//! The `processor` binary.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    runtime::command_line::run(processor::cli::Cli::run)
}
