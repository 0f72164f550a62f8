//! `processor verify CODE`: checks the form of a code, offline.

use std::process::ExitCode;

use runtime::lifecycle::{Failure, exit};
use runtime::output;

use crate::code::verify_form;

/// Prints whether the code is well formed; exit code 1 when it is not.
pub fn run(typed: &str) -> ExitCode {
    let printed = verify_form(typed)
        .map_err(|error| Failure::failed(format!("not a voucher code: {error}")))
        .and_then(|_| {
            output::print_line(
                "well formed: the check character matches (only the vouchers table tells whether it was \
                 issued)",
            )
        });
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => exit(&failure),
    }
}
