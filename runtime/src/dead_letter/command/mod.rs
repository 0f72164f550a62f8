//! The commands over dead letters, the same for every service that has some.

mod discard;
mod list;
mod redrive;
mod show;

pub use discard::{DiscardArgs, discard};
pub use list::{ListArgs, list};
pub use redrive::{Redrive, RedriveArgs, Redriven, Rows, redrive};
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

/// The name of a run that begins now, as vouchers and states carry it.
pub(super) fn run_name(what: &str) -> String {
    let now = Timestamp::from_millis(chrono::Utc::now().timestamp_millis());
    format!("{what}/{now}")
}
