//! `processor backfill`: evaluates a part of the order statuses again, beside the live group.
//!
//! ```text
//! TopicRange ──split──▶ RangeLog ──poll──▶ the live loop (task) ──▶ one transaction:
//! (resolved once,       (the loop's port   evaluate, batch            vouchers (source.run)
//!  stored with a Plan)   over a range)                                order-status.dlq, if asked for
//!                                                                     offsets of GROUP/backfill/NAME
//!                                                                     audit record, if asked for
//! ```
//!
//! | module | contents |
//! |---|---|
//! | [`settings`] | flags and environment variables |
//! | [`plan`] | what a run does, stored with its offsets: pure |
//! | [`start`] | what a start does, depending on what is stored under its name: pure |
//! | `admission` | checks what would refuse a run, and begins it |
//! | [`offsets`] | the offsets of a named backfill, with the plan as their metadata |
//! | [`log`] | the loop's port over a range instead of a group's partitions |
//! | [`mod@run`] | runs a loop on each thread, over a share of the partitions |
//! | [`dry_run`] | evaluates a range without writing anything |
//! | [`preview`] | what a preview finds: records by outcome, and vouchers: pure |
//! | [`days`] | the counts of a preview by day, in bounded memory: pure |
//! | [`orders`] | the distinct eligible orders of a preview |
//! | [`previewed_voucher`] | a voucher that would be issued |
//! | [`table`] | compares previewed vouchers with the sink's table |
//! | [`listing`] | lists previewed vouchers in a file |
//! | [`report`], [`preview_report`] | the result of a backfill and of a preview, as text or JSON |
//!
//! The loop is the live one, with its transactions, retries and recovery. A backfill that was
//! killed is continued after its last committed transaction: each thread's transactional id is
//! `GROUP/backfill/NAME/n`, with the same partitions at every start. Taking it over ends the
//! transaction that a predecessor left open, before the offsets are read.

mod admission;
pub mod days;
pub mod dry_run;
pub mod listing;
pub mod log;
pub mod offsets;
pub mod orders;
pub mod plan;
pub mod preview;
pub mod preview_report;
pub mod previewed_voucher;
pub mod report;
pub mod run;
pub mod settings;
pub mod start;
pub mod table;

use runtime::lifecycle::{Failure, Shutdown};

pub use settings::BackfillSettings;

/// The name of the command in errors.
const COMMAND: &str = "backfill";

/// Runs the backfill, or shows what it would do.
///
/// # Errors
/// Exit code 2 for wrong settings, and for settings that differ from those of an interrupted run; 1
/// when it fails; 130 or 143 when a signal stopped it before its end.
pub async fn run(settings: BackfillSettings, shutdown: Shutdown) -> Result<(), Failure> {
    settings.shared.kafka.check()?;
    if settings.dry_run {
        dry_run::run(settings, shutdown).await
    } else {
        run::run(settings, shutdown).await
    }
}
