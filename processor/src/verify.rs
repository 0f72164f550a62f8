//! `processor verify CODE`: the form of a code, without asking anybody.

use std::process::ExitCode;

use runtime::lifecycle::{Failure, exit};

use crate::code::verify_form;

/// Says whether the code is well formed; exit code 1 when not.
pub fn run(typed: &str) -> ExitCode {
    match verify_form(typed) {
        Ok(_) => {
            println!(
                "well formed: the check character fits (whether it was issued, only the vouchers table tells)"
            );
            ExitCode::SUCCESS
        }
        Err(error) => exit(&Failure::failed(format!("not a code of ours: {error}"))),
    }
}
