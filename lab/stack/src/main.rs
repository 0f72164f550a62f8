//! The program `stack`.

use std::process::ExitCode;

fn main() -> ExitCode {
    stack::main()
}
