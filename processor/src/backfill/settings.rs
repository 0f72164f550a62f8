//! What `processor backfill` reads from flags and environment variables.

use std::path::PathBuf;

use clap::Args;
use runtime::audit::AuditSettings;
use runtime::configuration::without_flags;
use runtime::kafka::RangeSettings;
use runtime::lifecycle::Failure;
use runtime::replay::{Beside, LiveGroup, ReplaySettings};
use runtime::service::SharedSettings;
use runtime::settings::{Secret, group_name, identifier};

use crate::campaign_history::HistoryFlags;
use crate::settings::{KeySettings, RuleSettings};

/// Characters of a backfill's name, which is a part of a consumer group and of transactional ids.
pub const MAX_NAME: usize = 64;

/// All settings of `processor backfill`.
#[derive(Debug, Clone, Args)]
pub struct BackfillSettings {
    /// The range of the order statuses that is read.
    #[command(flatten)]
    pub range: RangeSettings,
    /// The name of the backfill, and the live groups beside it.
    #[command(flatten)]
    pub backfill: Backfill,
    /// How the range is replayed.
    #[command(flatten)]
    pub replay: ReplaySettings,
    /// Brokers, schema registry and topics.
    #[command(flatten)]
    pub shared: SharedSettings,
    /// Who runs the backfill and why, and where that is recorded.
    #[command(flatten)]
    pub audit: AuditSettings,
    /// The campaign's rule.
    #[command(flatten)]
    pub rule: RuleSettings,
    /// The keys that sign the voucher codes.
    #[command(flatten)]
    pub keys: KeySettings,
    /// Whether the rule and the keys are compared with earlier vouchers.
    #[command(flatten)]
    pub history: HistoryFlags,
    /// Write nothing; show what would be written.
    #[arg(long)]
    pub dry_run: bool,

    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,

    /// With --dry-run: list the vouchers to issue in this file, .csv or .jsonl.
    #[arg(long, requires = "dry_run", value_parser = listing_file)]
    pub output: Option<PathBuf>,

    /// With --output: list the codes, which are as good as money.
    #[arg(long, requires = "output")]
    pub reveal: bool,

    /// With --dry-run: URL of the sink's database. If set, the vouchers are compared with its rows.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<Secret>,
}

/// The name of the backfill, and the live groups beside it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Backfill")]
pub struct Backfill {
    /// Name of the backfill, in the header source.run of its vouchers. A start with the same name
    /// and settings continues an interrupted run; after a completed run, another range begins a new
    /// one [default: made from the time].
    #[arg(long, value_parser = identifier(MAX_NAME))]
    pub name: Option<String>,

    /// The consumer group of `processor run`. Its offsets stay as they are, and without --rate the
    /// backfill gives way to it.
    #[arg(long, env = "PROCESSOR_GROUP", default_value = "processor", value_parser = group_name)]
    pub processor_group: String,

    /// The consumer group of `sink run`, to which the backfill gives way without --rate.
    #[arg(long, env = "SINK_GROUP", default_value = "sink", value_parser = group_name)]
    pub sink_group: String,
}

impl BackfillSettings {
    /// Returns the rule that variables and the configuration file set, without the flags of this
    /// command.
    ///
    /// # Errors
    /// Exit code 2 for a wrong value.
    pub fn current_rule() -> Result<RuleSettings, Failure> {
        without_flags("processor")
    }

    /// Returns the part of the order statuses that is read, for a person.
    pub fn range_in_words(&self) -> String {
        self.range.describe(&self.shared.topics.order_status_topic)
    }

    /// Returns the live flow that the backfill gives way to.
    pub fn live_flow(&self) -> Beside {
        let group = |group: &str, topic: &str| LiveGroup {
            group: group.to_owned(),
            topic: topic.to_owned(),
        };
        let (live, topics) = (&self.backfill, &self.shared.topics);
        Beside {
            kafka: self.shared.kafka.clone(),
            groups: vec![
                group(&live.processor_group, &topics.order_status_topic),
                group(&live.sink_group, &topics.vouchers_topic),
            ],
        }
    }

    /// Returns the group under which the progress of `name` is committed.
    pub fn group(&self, name: &str) -> String {
        format!("{}/backfill/{name}", self.backfill.processor_group)
    }
}

fn listing_file(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("csv" | "jsonl") => Ok(path),
        _ => Err("write a file name that ends in .csv or .jsonl".to_owned()),
    }
}
