//! What `processor backfill` reads from flags and environment variables.

use std::path::PathBuf;

use clap::{Args, FromArgMatches};
use runtime::command_line::without_empty_variables;
use runtime::kafka::{KafkaSettings, RangeSettings};
use runtime::lifecycle::Failure;
use runtime::registry::RegistrySettings;
use runtime::settings::{Secret, TopicSettings, whole};
use runtime::telemetry::LogSettings;

use crate::campaign_history::HistoryFlags;
use crate::settings::{KeySettings, RuleSettings, group};

/// All settings of `processor backfill`.
#[derive(Debug, Clone, Args)]
pub struct BackfillSettings {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub range: RangeSettings,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub backfill: Backfill,
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
    pub history: HistoryFlags,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub log: LogSettings,

    /// Write nothing; say what would be written.
    #[arg(long)]
    pub dry_run: bool,

    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,

    /// With --dry-run: list the vouchers to issue in this file, .csv or .jsonl.
    #[arg(long, requires = "dry_run", value_parser = listing_file)]
    pub output: Option<PathBuf>,

    /// With --output: show the codes, which are as good as money.
    #[arg(long, requires = "output")]
    pub reveal: bool,

    /// With --dry-run: the sink's database; tells which of the vouchers are there already.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<Secret>,
}

/// How the range is replayed.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Backfill")]
pub struct Backfill {
    /// Its name, in the header source.run of its vouchers. The same name and settings go on where
    /// they were interrupted; when they are done, another range begins anew [default: made from the
    /// time].
    #[arg(long, value_parser = name)]
    pub name: Option<String>,

    /// Write the records that can't be used to the dead letter topic; else they are counted alone.
    #[arg(long)]
    pub dead_letters: bool,

    /// At most so many records a second, all threads together.
    #[arg(long, value_parser = whole::<u32>(1..=u32::MAX.into(), "records"))]
    pub rate: Option<u32>,

    /// How many threads share the partitions.
    #[arg(long, default_value = "2", value_parser = whole::<u16>(1..=64, "threads"))]
    pub threads: u16,

    /// The live consumer group, beside which this stands.
    #[arg(long, env = "PROCESSOR_GROUP", default_value = "processor", value_parser = group)]
    pub processor_group: String,
}

impl BackfillSettings {
    /// Today's rule and defaults: what the environment says without the flags of this command.
    ///
    /// # Errors
    /// Exit code 2 for a variable that can't be read.
    pub fn todays() -> Result<RuleSettings, Failure> {
        let command =
            RuleSettings::augment_args(clap::Command::new("processor").no_binary_name(true));
        without_empty_variables(command)
            .try_get_matches_from(std::iter::empty::<&str>())
            .and_then(|matches| RuleSettings::from_arg_matches(&matches))
            .map_err(Failure::bad_setting)
    }

    /// The group under which the progress of `name` is kept.
    pub fn group(&self, name: &str) -> String {
        format!("{}/backfill/{name}", self.backfill.processor_group)
    }
}

fn name(text: &str) -> Result<String, String> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if text.is_empty() || text.len() > 64 || !text.bytes().all(legal) {
        return Err("1 to 64 letters, digits, '.', '_' or '-'".to_owned());
    }
    Ok(text.to_owned())
}

fn listing_file(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("csv" | "jsonl") => Ok(path),
        _ => Err("a file that ends in .csv or .jsonl".to_owned()),
    }
}
