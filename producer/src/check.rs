//! `producer check`: the dependencies of the producer.

use clap::Args;
use runtime::lifecycle::Failure;
use runtime::preflight::{Check, CheckFlags, DatabaseSchema};
use runtime::provision::{self, Subject};
use runtime::service::SharedSettings;

use crate::database;
use crate::settings::DatabaseSettings;
use crate::store;

/// Settings of `producer check`.
#[derive(Debug, Clone, Args)]
pub struct CheckSettings {
    /// `--fix` and `--json`.
    #[command(flatten)]
    pub check: CheckFlags,
    /// The database of the orders.
    #[command(flatten)]
    pub database: DatabaseSettings,
    /// Brokers, schema registry and topics.
    #[command(flatten)]
    pub shared: SharedSettings,
}

/// Checks the dependencies and prints the report.
///
/// # Errors
/// Exit code 1 when a check failed, 2 for settings.
pub async fn run(settings: CheckSettings) -> Result<(), Failure> {
    let database = database::database(&settings.database.database_url)?;
    let SharedSettings { kafka, topics, .. } = &settings.shared;
    let mut plans = provision::topic_plans(topics, provision::PARTITIONS);
    // The dead letters of order statuses belong to the processor.
    plans.retain(|plan| plan.name == topics.order_status_topic);
    let schema = DatabaseSchema {
        service: "producer",
        migrations: database::MIGRATIONS,
        writes: store::WRITES,
    };
    let mut check = Check::new(&settings.shared, settings.check)?;

    check.topics(&plans).await;
    check.clients(None, Some(&kafka.transactional_producer("check")?));
    check.schemas(&[Subject::order_status(topics)]).await;
    check.database(&database, &schema).await;
    check.finish()
}
