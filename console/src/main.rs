//! The `console` binary.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    runtime::command_line::run(console::cli::Cli::run)
}
