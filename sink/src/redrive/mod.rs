//! `sink redrive`: the dead letters of the vouchers once more, from their original bytes.
//!
//! The row first, through the live loop's decoder and statement, then the outcome: killed between
//! the two, the next run writes the row again to no effect. A dry run does the same, and takes every
//! statement back.

mod redriver;
mod rehearsal;

use clap::Args;
use runtime::dead_letter::DeadLetterTopic;
use runtime::dead_letter::command::{Redrive, RedriveArgs, redrive};
use runtime::kafka::KafkaSettings;
use runtime::lifecycle::{Failure, Shutdown};
use runtime::registry::{Registry, RegistrySettings, SchemaCache};
use runtime::settings::TopicSettings;
use runtime::telemetry::LogSettings;
use schemas::VoucherPlan;

use crate::postgres::{Database, PostgresTable};
use crate::settings::{DatabaseSettings, GroupSettings};
use redriver::Redriver;
use rehearsal::Rehearsal;

/// What `sink redrive` reads from flags and environment variables.
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
    pub database: DatabaseSettings,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub group: GroupSettings,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub log: LogSettings,
}

/// Redrives, and prints what became of the letters.
///
/// # Errors
/// Exit code 2 for settings; 1 when broker, registry or database do not answer: that is no attempt.
pub async fn run(settings: RedriveSettings, shutdown: Shutdown) -> Result<(), Failure> {
    let database = Database::new(&settings.database.database_url)?;
    let registry = Registry::of(&settings.registry)?;
    let schemas = SchemaCache::of_command(registry, VoucherPlan::compile_with);
    if settings.redrive.dry_run {
        let table = Rehearsal::of(PostgresTable::for_rehearsal(database)?);
        each(settings, Redriver::new(schemas, table), shutdown).await
    } else {
        let table = PostgresTable::new(database)?;
        each(settings, Redriver::new(schemas, table), shutdown).await
    }
}

async fn each(
    settings: RedriveSettings,
    mut redriver: impl Redrive + Send + 'static,
    shutdown: Shutdown,
) -> Result<(), Failure> {
    let dead_letter_topic = DeadLetterTopic::new(
        settings.kafka,
        settings.topics.vouchers_topic,
        settings.group.owner(),
    );
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
