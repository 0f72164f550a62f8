//! What is wrong, the worst first, and each cause once.
//!
//! | module | what it looks at |
//! |---|---|
//! | `readiness` | instances that give no answer, and parts that are not ready |
//! | `faults` | which part of an instance is a cause, and which only suffers from another |
//! | `figures` | numbers: dead letters, lag, an outbox that grows |
//! | `help` | the sections of the documentation |

mod faults;
mod figures;
mod help;
mod readiness;
#[cfg(test)]
mod tests;

use super::recent::Recent;
use super::{NodeId, OpenDeadLetters, Severity, Warning};
use crate::scrape::Service;

/// Bounds the warnings of one flow. A cause is named once, so there are few.
const MAX_WARNINGS: usize = 50;

/// Returns the warnings: by severity, and within one by the order of the path; last of all that dead letters
/// are open, which lasts until somebody has time for them. `services` are those whose instances are known to
/// the console.
pub(super) fn warnings(
    recent: &Recent<'_>,
    services: &[Service],
    open: OpenDeadLetters,
) -> Vec<Warning> {
    if recent.window.is_empty() {
        return Vec::new();
    }
    let readiness = readiness::readiness(recent, services);
    let of_figures = figures::warnings(recent, &readiness);
    let mut all = readiness.warnings;
    all.extend(of_figures);
    all.sort_by_key(|warning| (warning.severity, warning.node));
    if all.len() > MAX_WARNINGS {
        let more = all.len() - MAX_WARNINGS;
        all.truncate(MAX_WARNINGS);
        all.push(Warning {
            severity: Severity::Info,
            node: NodeId::Ingress,
            text: format!("There are {more} more warnings: see /readyz of the services."),
            help: Some(help::READY),
        });
    }
    all.extend(figures::open_dead_letters(recent, open));
    all
}
