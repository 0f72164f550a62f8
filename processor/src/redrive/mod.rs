//! `processor redrive`: the dead letters of the order statuses once more, from their original bytes.
//!
//! ```text
//! order-status.dlq ──▶ open? meant? ──▶ the live loop's evaluation ──▶ one transaction:
//! order-status.dlq.state ──┘             (today's code and rule)         vouchers
//!                                                                        order-status.dlq.state
//! ```
//! Nothing is written to `order-status`: an old status would overwrite a newer one of its key.

mod redriver;

use clap::Args;
use runtime::dead_letter::DeadLetterTopic;
use runtime::dead_letter::command::{RedriveArgs, redrive};
use runtime::kafka::KafkaSettings;
use runtime::lifecycle::{Failure, Shutdown};
use runtime::registry::{Registry, RegistrySettings};
use runtime::settings::{Secret, TopicSettings};
use runtime::telemetry::LogSettings;
use schemas::VOUCHER_AVSC;

use crate::backfill::existing::Table;
use crate::batch::{Topics, VoucherFormat};
use crate::campaign_history::{self, Compared, HistoryFlags};
use crate::settings::{GroupSettings, KeySettings, RuleSettings};
use redriver::Redriver;

/// What `processor redrive` reads from flags and environment variables.
#[derive(Debug, Clone, Args)]
pub struct RedriveSettings {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub redrive: RedriveArgs,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub kafka: KafkaSettings,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub registry: RegistrySettings,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub topics: TopicSettings,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub rule: RuleSettings,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub keys: KeySettings,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub group: GroupSettings,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub history: HistoryFlags,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub log: LogSettings,

    /// With --dry-run: the sink's database; tells which of the vouchers are there already.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<Secret>,
}

/// Redrives, and prints what became of the letters.
///
/// # Errors
/// Exit code 2 for settings, also for a rule or a key that the campaign's earlier vouchers were not
/// issued with; 1 when broker or registry do not answer: that is no attempt.
pub async fn run(settings: RedriveSettings, shutdown: Shutdown) -> Result<(), Failure> {
    let evaluator = settings.rule.evaluator(settings.keys.signing_keys()?)?;
    let registry = Registry::of(&settings.registry)?;
    let topics = Topics::of(&settings.topics);
    let compared = Compared {
        kafka: &settings.kafka,
        registry: registry.as_ref(),
        topic: &topics.vouchers,
        group: &settings.group.processor_group,
        rule: evaluator.rule(),
        keys: Some(evaluator.keys()),
    };
    campaign_history::refuse_another(compared, &settings.history).await?;
    let format = match &registry {
        None => VoucherFormat::Json,
        Some(registry) => VoucherFormat::Avro {
            schema_id: registry
                .id_within_patience(&format!("{}-value", topics.vouchers), VOUCHER_AVSC)
                .await?,
        },
    };
    let table = match &settings.database_url {
        Some(url) if settings.redrive.dry_run => {
            Some(Table::new(url, &evaluator.rule().campaign, 1)?)
        }
        _ => None,
    };
    let mut redriver = Redriver::new(
        evaluator,
        settings.rule.order_default_currency,
        registry,
        topics,
        format,
    );
    if let Some(table) = table {
        redriver = redriver.with_table(table);
    }
    let owner = settings.group.owner(&settings.rule.voucher_campaign);
    let dead_letter_topic =
        DeadLetterTopic::new(settings.kafka, settings.topics.order_status_topic, owner);
    tokio::task::spawn_blocking(move || {
        redrive(
            &dead_letter_topic,
            &settings.redrive,
            &mut redriver,
            &shutdown,
        )
    })
    .await
    .map_err(|error| Failure::failed(format!("redrive: {error}")))?
}
