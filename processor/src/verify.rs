//! `processor verify CODE`: the form of a code, without asking anybody.

use std::process::ExitCode;

use runtime::lifecycle::{Failure, exit};
use runtime::output;

use crate::code::verify_form;

/// Says whether the code is well formed; exit code 1 when not.
pub fn run(typed: &str) -> ExitCode {
    let told = verify_form(typed)
        .map_err(|error| Failure::failed(format!("not a code of ours: {error}")))
        .and_then(|_| {
            output::print_line(
                "well formed: the check character fits (whether it was issued, only the vouchers table \
                 tells)",
            )
        });
    match told {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => exit(&failure),
    }
}
