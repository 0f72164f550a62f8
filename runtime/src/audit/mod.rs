//! The audit: who ran a command, why, and how much it did, written in the same Kafka transaction as
//! its effect. See `docs/adr/0042`.
//!
//! | module | contents |
//! |---|---|
//! | `settings` | `AUDIT_TOPIC`, `--by` and `--why` |
//! | `trail` | the audit records of one run |
//!
//! Each transaction of a run has one audit record, whose numbers are those of this transaction
//! alone. An aborted transaction takes its audit record with it, so the numbers of a run are the
//! sums over its committed records, however often it was killed and continued.

mod settings;
mod trail;

pub use settings::{AuditSettings, AuditTopic};
pub use trail::{Action, Audit, AuditCounts, AuditTrail, Phase};

use schemas::Timestamp;

/// Returns the name of a run that begins now, as vouchers, states of dead letters and audit records
/// carry it.
pub fn run_name(command: &str) -> String {
    let now = Timestamp::from_millis(chrono::Utc::now().timestamp_millis());
    format!("{command}/{now}")
}
