//! `processor redrive`: evaluates the dead letters of the order statuses again, from their original
//! bytes.
//!
//! ```text
//! order-status.dlq ───▶ open and selected? ──▶ the live loop's evaluation ──▶ one transaction:
//! order-status.dlq.state ──┘                    (current code and rule)         vouchers
//!                                                                               order-status.dlq.state
//!                                                                               audit record
//! ```
//! Nothing is written to `order-status`: an old status would replace a newer one of its key.

mod redriver;

use clap::Args;
use runtime::dead_letter::command::{RedriveArgs, redrive};
use runtime::lifecycle::{Failure, Shutdown};
use runtime::registry::{Registry, value_format_for_command};
use runtime::service::SharedSettings;
use runtime::settings::Secret;
use schemas::VOUCHER_AVSC;

use crate::backfill::table::VouchersTable;
use crate::batch::Topics;
use crate::campaign_history::{self, Compared, HistoryFlags};
use crate::settings::{GroupSettings, KeySettings, RuleSettings};
use redriver::Redriver;

/// What `processor redrive` reads from flags and environment variables.
#[derive(Debug, Clone, Args)]
pub struct RedriveSettings {
    /// Which dead letters are redriven, and how.
    #[command(flatten)]
    pub redrive: RedriveArgs,
    /// Brokers, schema registry and topics.
    #[command(flatten)]
    pub shared: SharedSettings,
    /// The campaign's rule.
    #[command(flatten)]
    pub rule: RuleSettings,
    /// The keys that sign the voucher codes.
    #[command(flatten)]
    pub keys: KeySettings,
    /// The consumer group whose dead letters are redriven.
    #[command(flatten)]
    pub group: GroupSettings,
    /// Whether the rule and the keys are compared with earlier vouchers.
    #[command(flatten)]
    pub history: HistoryFlags,
    /// With --dry-run: URL of the sink's database. If set, the vouchers are compared with its rows.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<Secret>,
}

/// Redrives the dead letters, and prints their outcomes.
///
/// # Errors
/// Exit code 2 for wrong settings, and for a rule or a key that differs from those of the
/// campaign's earlier vouchers; 1 when the broker or the registry does not answer, which does not count
/// as an attempt on the dead letters.
pub async fn run(settings: RedriveSettings, shutdown: Shutdown) -> Result<(), Failure> {
    let audit = settings
        .redrive
        .open_audit("processor", &settings.shared.topics)?;
    let evaluator = settings.rule.evaluator(settings.keys.signing_keys()?)?;
    let registry = Registry::of(&settings.shared.registry)?;
    let topics = Topics::of(&settings.shared.topics);
    let compared = Compared {
        kafka: &settings.shared.kafka,
        registry: registry.as_ref(),
        topic: &topics.vouchers,
        group: &settings.group.processor_group,
        rule: evaluator.rule(),
        keys: Some(evaluator.keys()),
    };
    campaign_history::require_same(compared, &settings.history).await?;
    let format =
        value_format_for_command(registry.as_ref(), &topics.vouchers, VOUCHER_AVSC).await?;
    let campaign = evaluator.rule().campaign.clone();
    let mut redriver = Redriver::new(
        evaluator,
        settings.rule.order_default_currency,
        registry,
        topics,
        format,
    );
    if let Some(url) = &settings.database_url
        && settings.redrive.dry_run
    {
        redriver = redriver.with_table(VouchersTable::new(url, &campaign, 1)?);
    }
    let dead_letters =
        settings
            .group
            .dead_letter_topic(settings.shared.kafka, &settings.shared.topics, &campaign);
    redrive(dead_letters, settings.redrive, audit, redriver, shutdown).await
}
