//! The commands `dead-letters` and `redrive`, which are the same for every service.

mod discard;
mod expected;
mod list;
mod redrive;
mod settings;
mod show;

pub use discard::{DiscardArgs, discard};
pub use expected::Expected;
pub use list::{ListArgs, list};
pub use redrive::{Redrive, RedriveArgs, Redriven, redrive};
pub use settings::{DeadLettersSettings, OwnerFlags, ReaderFlags};
pub use show::{Reading, ShowArgs, show};

use schemas::Timestamp;

use super::DeadLetterTopic;
use crate::audit::{Action, Audit, AuditTrail};
use crate::lifecycle::Failure;
use crate::output::{print, print_line};

pub(super) fn print_json(value: &serde_json::Value) -> Result<(), Failure> {
    print_line(&format!("{value:#}"))
}

pub(super) fn time(millis: Option<i64>) -> Option<String> {
    millis.map(|millis| Timestamp::from_millis(millis).to_string())
}

/// Begins the audit records of a run on dead letters of `topic`, or on what `what` names.
pub(super) fn trail(
    audit: Option<Audit>,
    command: &'static str,
    run: &str,
    topic: &DeadLetterTopic,
    what: String,
) -> Option<AuditTrail> {
    let action = Action {
        run: run.to_owned(),
        run_number: None,
        command,
        group: topic.owner().group.clone(),
        what,
    };
    audit.map(|audit| audit.of(action))
}
