//! The commands `dead-letters` and `redrive`, which are the same for every service.

mod discard;
mod expected;
mod list;
mod redrive;
mod settings;
mod show;

pub use discard::{DiscardArgs, discard};
pub use list::{ListArgs, list};
pub use redrive::{Redrive, RedriveArgs, Redriven, redrive};
pub use settings::{DeadLettersSettings, OwnerFlags, ReaderFlags};
pub use show::{Reading, ShowArgs, show};

use schemas::Timestamp;

use crate::lifecycle::Failure;
use crate::output::{print, print_line};

pub(super) fn print_json(value: &serde_json::Value) -> Result<(), Failure> {
    print_line(&format!("{value:#}"))
}

pub(super) fn time(millis: Option<i64>) -> Option<String> {
    millis.map(|millis| Timestamp::from_millis(millis).to_string())
}

/// Returns the name of a run that begins now, as vouchers and states carry it.
pub(super) fn run_name(command: &str) -> String {
    let now = Timestamp::from_millis(chrono::Utc::now().timestamp_millis());
    format!("{command}/{now}")
}
