//! `processor explain ORDER_ID`: every record of an order, the decision about it, and its voucher.
//!
//! | module | contents |
//! |---|---|
//! | here | the settings and the steps of the command |
//! | `search` | searches the topics |
//! | `table` | reads the vouchers table |
//! | `trace` | everything that was found about the order: pure |
//! | `show` | shows it as text or JSON: pure |

mod search;
mod show;
mod table;
mod trace;

use clap::Args;
use runtime::audit::{Action, Audit, AuditCounts, AuditSettings, run_name};
use runtime::dead_letter::{DeadLetterOwner, DeadLetterTopic};
use runtime::kafka::KafkaSettings;
use runtime::lifecycle::{Failure, blocking};
use runtime::output;
use runtime::registry::{Registry, RegistrySettings, SchemaCache};
use runtime::settings::{Secret, TopicSettings, group_name};
use schemas::OrderId;

use crate::explainer::Explainer;
use crate::settings::{GroupSettings, RuleSettings};
use search::Search;
use trace::Gap;

/// What `processor explain` reads from flags and environment variables.
#[derive(Debug, Clone, Args)]
pub struct ExplainSettings {
    /// The id of the order.
    #[arg(value_parser = order_id)]
    pub order_id: String,

    /// Read every partition, which also finds records that another partitioner placed.
    #[arg(long)]
    pub all_partitions: bool,

    /// Show voucher codes.
    #[arg(long)]
    pub reveal: bool,

    /// Print JSON.
    #[arg(long)]
    pub json: bool,

    /// URL of the sink's database. If set, the voucher's row is shown as well.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<Secret>,

    /// How to connect to Kafka.
    #[command(flatten)]
    pub kafka: KafkaSettings,
    /// The schema registry, if there is one.
    #[command(flatten)]
    pub registry: RegistrySettings,
    /// The names of the topics.
    #[command(flatten)]
    pub topics: TopicSettings,
    /// The campaign's rule, by which the records are explained.
    #[command(flatten)]
    pub rule: RuleSettings,
    /// Who reveals codes and why, and where that is recorded.
    #[command(flatten)]
    pub audit: AuditSettings,
    /// The consumer group of the processor.
    #[command(flatten)]
    pub group: GroupSettings,

    /// The consumer group of `sink run`, whose dead letters are shown as well.
    #[arg(long, env = "SINK_GROUP", default_value = "sink", value_parser = group_name)]
    pub sink_group: String,
}

fn order_id(text: &str) -> Result<String, String> {
    OrderId::new(text)
        .map(|id| id.as_str().to_owned())
        .map_err(|error| error.to_string())
}

/// Prints everything that is found about the order. That codes are revealed is recorded first, if an
/// audit is kept.
///
/// # Errors
/// Exit code 1 when nothing is found, or the audit record cannot be written, or, after printing what
/// was found, when a topic or the table could not be read; 2 for wrong settings.
pub async fn run(settings: ExplainSettings) -> Result<(), Failure> {
    let audit = match settings.reveal {
        true => settings.audit.open("processor", &settings.topics, None)?,
        false => None,
    };
    let registry = Registry::of(&settings.registry)?;
    let database = settings
        .database_url
        .as_ref()
        .map(table::database)
        .transpose()?;
    let topics = &settings.topics;
    let search = Search {
        dead_letter_topics: [
            settings.group.dead_letter_topic(
                settings.kafka.clone(),
                topics,
                &settings.rule.voucher_campaign,
            ),
            DeadLetterTopic::new(
                settings.kafka.clone(),
                topics.vouchers_topic.clone(),
                DeadLetterOwner {
                    group: settings.sink_group.clone(),
                    campaign: None,
                },
            ),
        ],
        kafka: settings.kafka.clone(),
        group: settings.group.processor_group.clone(),
        order_status: topics.order_status_topic.clone(),
        vouchers: topics.vouchers_topic.clone(),
        explainer: Explainer::new(
            settings.rule.rule()?,
            settings.rule.order_default_currency,
            registry.clone(),
        ),
        voucher_schemas: SchemaCache::for_command(registry),
        all_partitions: settings.all_partitions,
    };
    if let Some(audit) = audit {
        record_reveal(audit, &settings).await?;
    }
    let order_id = settings.order_id.clone();
    let mut trace = blocking("explain", move || search.run(&order_id)).await?;
    if let Some(options) = database {
        let campaigns = trace.campaigns(&settings.rule.voucher_campaign);
        match table::rows(&options, &trace.order_id, &campaigns).await {
            Ok(rows) => trace.rows = Some(rows),
            Err(why) => trace.gaps.push(Gap {
                what: "the vouchers' table".to_owned(),
                why,
            }),
        }
    }
    if settings.json {
        output::print_line(&format!("{:#}", trace.json(settings.reveal)))?;
    } else if trace.is_found() {
        output::print(&trace.text(settings.reveal))?;
    }
    match trace.gap_note() {
        _ if !trace.is_found() => Err(Failure::failed(trace.not_found())),
        Some(gaps) => Err(Failure::failed(format!(
            "the explanation is incomplete: {gaps}"
        ))),
        None => Ok(()),
    }
}

/// Records that the codes of the order are about to be shown.
async fn record_reveal(audit: Audit, settings: &ExplainSettings) -> Result<(), Failure> {
    let trail = audit.of(Action {
        run: run_name("reveal"),
        run_number: None,
        command: "explain --reveal",
        group: settings.group.processor_group.clone(),
        what: format!("order {}", settings.order_id),
    });
    trail
        .write(&settings.kafka, None, AuditCounts::default())
        .await
}
