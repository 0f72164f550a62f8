//! `processor backfill`: a part of the order statuses once more, beside the live group.
//!
//! ```text
//! TopicRange ──split──▶ RangeLog ──poll──▶ the live loop (task) ──▶ one transaction:
//! (resolved once,       (the loop's port   evaluate, batch            vouchers (source.run)
//!  kept in a Plan)       over a range)                                order-status.dlq, if asked for
//!                                                                     offsets of GROUP/backfill/NAME
//! ```
//!
//! | module | what is in it |
//! |---|---|
//! | [`settings`] | flags and variables |
//! | [`plan`] | what a run of this name does, kept with its offsets: pure |
//! | [`start`] | what a start comes to, by what is kept under its name: pure |
//! | `begin` | what would be refused, and writing down what is begun |
//! | [`ledger`] | the offsets of this name, and the plan beside them, in Kafka |
//! | [`log`] | the loop's port over a range instead of a group's partitions |
//! | [`mod@run`] | threads, each a loop of its own over a share of the partitions |
//! | [`preview`] | what the evaluation of a range amounts to: pure |
//! | [`dry_run`] | reads a range into a preview, writes nothing |
//! | [`existing`] | which of the vouchers the table has |
//! | [`listing`] | the vouchers of a dry run, one a line |
//! | [`report`] | the result, as text or JSON |
//!
//! The loop is the live one, with its transactions, retries and recoveries. What a killed backfill
//! left is continued where its last committed transaction ended: each thread's transactional id is
//! `GROUP/backfill/NAME/n` with the same partitions at every start, and taking it over ends what a
//! predecessor left open, before the offsets are asked for.

mod begin;
pub mod dry_run;
pub mod existing;
pub mod ledger;
pub mod listing;
pub mod log;
pub mod orders;
pub mod plan;
pub mod preview;
pub mod report;
pub mod run;
pub mod settings;
pub mod start;

use runtime::kafka::{KafkaSettings, TopicRange};
use runtime::lifecycle::{Failure, Shutdown};

pub use settings::BackfillSettings;

/// Does it, or says what it would do.
///
/// # Errors
/// Exit code 2 for settings, also those that differ from the ones that this name began with; 1 when it
/// can't go on; 130 or 143 when a signal stopped it before its end.
pub async fn run(settings: BackfillSettings, shutdown: Shutdown) -> Result<(), Failure> {
    settings.kafka.check()?;
    if settings.dry_run {
        dry_run::run(settings, shutdown).await
    } else {
        run::run(settings, shutdown).await
    }
}

/// The range that the settings name, as it is now.
async fn resolve(settings: &BackfillSettings) -> Result<TopicRange, Failure> {
    let (kafka, topic, range): (KafkaSettings, _, _) = (
        settings.kafka.clone(),
        settings.topics.order_status_topic.clone(),
        settings.range.clone(),
    );
    blocking(move || {
        let chosen = range.chosen();
        TopicRange::resolve(&kafka, &topic, &range.from, &range.to, chosen.as_ref())
    })
    .await
}

/// Off the async threads: a Kafka client's calls block.
async fn blocking<T: Send + 'static>(
    body: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(body)
        .await
        .map_err(|error| Failure::failed(format!("backfill: {error}")))?
}
