//! Why a command ends, and with which exit code.

use std::fmt;
use std::process::ExitCode;

use schemas::printable;

use super::signals;
use crate::output::eprint_line;

/// Why a command ends early, and with which exit code.
///
/// The message is written for a person: what is wrong, where, and what to do.
#[derive(Debug)]
pub struct Failure {
    pub(super) code: u8,
    pub(super) message: String,
}

impl Failure {
    /// Returns the failure of work: exit code 1.
    pub fn failed(message: impl fmt::Display) -> Self {
        Self {
            code: 1,
            message: message.to_string(),
        }
    }

    /// Returns the failure for a wrong setting: exit code 2. The message says what to write instead.
    pub fn bad_setting(message: impl fmt::Display) -> Self {
        Self {
            code: 2,
            message: message.to_string(),
        }
    }

    /// Returns the failure of work that a signal stopped before its end: exit code 130 or 143.
    pub fn interrupted(message: impl fmt::Display) -> Self {
        Self {
            code: signals::exit_code(),
            message: message.to_string(),
        }
    }

    /// Ends the command without a message.
    pub(crate) const fn silent(code: u8) -> Self {
        Self {
            code,
            message: String::new(),
        }
    }

    /// Returns the exit code that the process ends with.
    pub const fn code(&self) -> u8 {
        self.code
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// Prints the failure's message as `error: ...`, if it has one, and returns its exit code.
pub fn exit(failure: &Failure) -> ExitCode {
    // Line by line, with unprintable characters escaped: the message may quote foreign data.
    for (at, line) in failure.message.lines().enumerate() {
        let start = if at == 0 { "error: " } else { "" };
        eprint_line(&format!("{start}{}", printable(line)));
    }
    ExitCode::from(failure.code)
}
