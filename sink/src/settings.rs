//! The settings of `sink run`.

use clap::Args;
use runtime::circuit_breaker::CircuitBreakerSettings;
use runtime::dead_letter::DeadLetterOwner;
use runtime::postgres::StartMigrations;
use runtime::service::SharedSettings;
use runtime::settings::{HttpSettings, Secret, group_name, whole};

// The backfill command takes it by this name.

/// Settings of `sink run`.
#[derive(Debug, Clone, Args)]
pub struct RunSettings {
    /// The database of the vouchers.
    #[command(flatten)]
    pub database: DatabaseSettings,
    /// Whether the start changes the schema.
    #[command(flatten)]
    pub migrations: StartMigrations,
    /// The consumer group.
    #[command(flatten)]
    pub group: GroupSettings,
    /// The tasks.
    #[command(flatten)]
    pub flow: FlowSettings,
    /// When too many dead letters pause the flow.
    #[command(flatten)]
    pub breaker: CircuitBreakerSettings,
    /// The listener of health and metrics.
    #[command(flatten)]
    pub http: HttpSettings,
    /// Brokers, schema registry and topics.
    #[command(flatten)]
    pub shared: SharedSettings,
}

/// The database of the vouchers.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Postgres")]
pub struct DatabaseSettings {
    /// Database of the vouchers, postgres://user:password@host:5432/database?sslmode=verify-full.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Secret,
}

/// The consumer group of `sink run`.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Flow")]
pub struct GroupSettings {
    /// Consumer group of `sink run`.
    #[arg(long, env = "SINK_GROUP", default_value = "sink", value_parser = group_name)]
    pub sink_group: String,
}

impl GroupSettings {
    /// Returns the owner of the dead letters that belong to this group, of vouchers of any campaign.
    pub fn owner(&self) -> DeadLetterOwner {
        DeadLetterOwner {
            group: self.sink_group.clone(),
            campaign: None,
        }
    }
}

/// The tasks of `sink run`.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Flow")]
pub struct FlowSettings {
    /// Number of tasks that share the partitions in this process, each with its own thread and its own
    /// connection to the database.
    #[arg(long, env = "SINK_TASKS", value_name = "SINK_TASKS", default_value = "2", value_parser = whole::<u16>(1..=64, "tasks"))]
    pub tasks: u16,
}
