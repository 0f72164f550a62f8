//! `processor explain ORDER_ID`: every record of an order, its verdict, and what came of it.
//!
//! | module | what is in it |
//! |---|---|
//! | here | settings, and the way from the order id to its story |
//! | `search` | reading the topics |
//! | `table` | reading the vouchers' table |
//! | `story` | what was found: pure |
//! | `show` | the story as text and as JSON: pure |

mod search;
mod show;
mod story;
mod table;

use clap::Args;
use runtime::dead_letter::{DeadLetterTopic, Owner};
use runtime::kafka::KafkaSettings;
use runtime::lifecycle::Failure;
use runtime::output;
use runtime::registry::{Registry, RegistrySettings, SchemaCache};
use runtime::settings::{Secret, TopicSettings};
use runtime::telemetry::LogSettings;
use schemas::{OrderId, VoucherPlan};

use crate::explainer::Explainer;
use crate::settings::{GroupSettings, RuleSettings, group};
use search::Search;
use story::Gap;

/// What `processor explain` reads from flags and environment variables.
#[derive(Debug, Clone, Args)]
pub struct ExplainSettings {
    /// The order's id.
    #[arg(value_parser = order_id)]
    pub order_id: String,

    /// Look in every partition, also for records that another partitioner placed.
    #[arg(long)]
    pub all_partitions: bool,

    /// Voucher codes as well.
    #[arg(long)]
    pub reveal: bool,

    /// JSON for machines.
    #[arg(long)]
    pub json: bool,

    /// The sink's Postgres, to show the voucher's row as well.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<Secret>,

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
    pub group: GroupSettings,

    /// The consumer group of `sink run`, whose dead letters are told too.
    #[arg(long, env = "SINK_GROUP", default_value = "sink", value_parser = group)]
    pub sink_group: String,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub log: LogSettings,
}

fn order_id(text: &str) -> Result<String, String> {
    OrderId::new(text)
        .map(|id| id.as_str().to_owned())
        .map_err(|error| error.to_string())
}

/// Prints the order's story.
///
/// # Errors
/// Exit code 1 when the order is not to be found, or something could not be looked at, after all that
/// was found is printed; 2 for settings.
pub async fn run(settings: ExplainSettings) -> Result<(), Failure> {
    let registry = Registry::of(&settings.registry)?;
    let database = settings
        .database_url
        .as_ref()
        .map(table::database)
        .transpose()?;
    let topics = &settings.topics;
    let search = Search {
        shelves: [
            DeadLetterTopic::new(
                settings.kafka.clone(),
                topics.order_status_topic.clone(),
                settings.group.owner(&settings.rule.voucher_campaign),
            ),
            DeadLetterTopic::new(
                settings.kafka.clone(),
                topics.vouchers_topic.clone(),
                Owner {
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
        voucher_schemas: SchemaCache::of_command(registry, VoucherPlan::compile_with),
        all_partitions: settings.all_partitions,
    };
    let order_id = settings.order_id.clone();
    let mut story = tokio::task::spawn_blocking(move || search.run(&order_id))
        .await
        .map_err(|error| Failure::failed(format!("explain: {error}")))??;
    if let Some(options) = database {
        let campaigns = story.campaigns(&settings.rule.voucher_campaign);
        match table::rows(&options, &story.order_id, &campaigns).await {
            Ok(rows) => story.rows = Some(rows),
            Err(why) => story.gaps.push(Gap {
                what: "the vouchers' table".to_owned(),
                why,
            }),
        }
    }
    if settings.json {
        output::print_line(&format!("{:#}", story.json(settings.reveal)))?;
    } else if story.is_found() {
        output::print(&story.text(settings.reveal))?;
    }
    match story.gaps_in_words() {
        _ if !story.is_found() => Err(Failure::failed(story.not_found())),
        Some(gaps) => Err(Failure::failed(format!("the story is not whole: {gaps}"))),
        None => Ok(()),
    }
}
