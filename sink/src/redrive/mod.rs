//! `sink redrive`: evaluates the dead letters of the vouchers again, from their original bytes.
//!
//! The row is written first, through the live loop's decoder and statement, then the outcome, in
//! one Kafka transaction with the audit record if an audit is kept. A redrive that is killed between
//! the two is repeated by the next run; writing the row again has no effect. A preview does the same,
//! and rolls every statement back.

mod dry_run;
mod redriver;

use clap::Args;
use runtime::dead_letter::command::{OwnerFlags as _, RedriveArgs, redrive};
use runtime::lifecycle::{Failure, Shutdown};
use runtime::registry::{Registry, SchemaCache};
use runtime::service::SharedSettings;

use crate::settings::{DatabaseSettings, GroupSettings};
use crate::target::{Database, VouchersTable};
use dry_run::DryRun;
use redriver::Redriver;

/// What `sink redrive` reads from flags and environment variables.
#[derive(Debug, Clone, Args)]
pub struct RedriveSettings {
    /// Which dead letters are redriven, and how.
    #[command(flatten)]
    pub redrive: RedriveArgs,
    /// Brokers, schema registry and topics.
    #[command(flatten)]
    pub shared: SharedSettings,
    /// The database of the vouchers table.
    #[command(flatten)]
    pub database: DatabaseSettings,
    /// The consumer group whose dead letters are redriven.
    #[command(flatten)]
    pub group: GroupSettings,
}

/// Redrives the dead letters, and prints their outcomes.
///
/// # Errors
/// Exit code 2 for wrong settings; 1 when the broker, the registry or the database does not answer,
/// which does not count as an attempt on the dead letters.
pub async fn run(settings: RedriveSettings, shutdown: Shutdown) -> Result<(), Failure> {
    let audit = settings
        .redrive
        .open_audit("sink", &settings.shared.topics)?;
    let database = Database::new(&settings.database.database_url)?;
    let registry = Registry::of(&settings.shared.registry)?;
    let schemas = SchemaCache::for_command(registry);
    let dead_letters = settings
        .group
        .dead_letter_topic(settings.shared.kafka, &settings.shared.topics);
    if settings.redrive.dry_run {
        let table = DryRun::of(VouchersTable::for_dry_run(database)?);
        let redriver = Redriver::of_preview(schemas, table);
        redrive(dead_letters, settings.redrive, audit, redriver, shutdown).await
    } else {
        let redriver = Redriver::new(schemas, VouchersTable::new(database)?);
        redrive(dead_letters, settings.redrive, audit, redriver, shutdown).await
    }
}
