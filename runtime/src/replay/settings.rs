//! The flags of a backfill that both services have.

use clap::Args;

use super::Rate;
use crate::progress::ProgressSettings;
use crate::settings::whole;

/// How a range is replayed.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Backfill")]
pub struct ReplaySettings {
    /// Write the records that cannot be used to the dead letter topic. Without this flag they are
    /// only counted.
    #[arg(long)]
    pub dead_letters: bool,

    /// Maximum number of records per second, all threads together; max sets no limit. Without this
    /// flag the backfill is as fast as it can be without holding up the live flow.
    #[arg(long, value_parser = Rate::parse)]
    pub rate: Option<Rate>,

    /// Number of threads that share the partitions.
    #[arg(long, default_value = "2", value_parser = whole::<u16>(1..=64, "threads"))]
    pub threads: u16,

    /// How progress is reported.
    #[command(flatten)]
    pub progress: ProgressSettings,
}
