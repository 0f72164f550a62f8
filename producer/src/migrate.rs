//! `producer migrate`: brings the schema up to date, for a job that runs before the services.

use clap::Args;
use runtime::lifecycle::Failure;
use runtime::postgres::MigrateTimeout;

use crate::database;
use crate::settings::DatabaseSettings;

/// Settings of `producer migrate`.
#[derive(Debug, Clone, Args)]
pub struct MigrateSettings {
    /// The database of the orders.
    #[command(flatten)]
    pub database: DatabaseSettings,
    /// How long the database is waited for.
    #[command(flatten)]
    pub timeout: MigrateTimeout,
}

/// Applies the missing migrations and prints which.
///
/// # Errors
/// Exit code 2 for settings; see [`run_command`](runtime::postgres::Migrations::run_command).
pub async fn run(settings: MigrateSettings) -> Result<(), Failure> {
    let database = database::database(&settings.database.database_url)?;
    database::MIGRATIONS
        .run_command(&database, settings.timeout)
        .await
}
