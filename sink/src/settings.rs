//! The settings of `sink run`.

use clap::Args;
use runtime::circuit_breaker::CircuitBreakerSettings;
use runtime::dead_letter::DeadLetterOwner;
use runtime::lifecycle::{Failure, Failures};
use runtime::postgres::StartMigrations;
use runtime::registry::Registry;
use runtime::service::SharedSettings;
use runtime::settings::{HttpSettings, Secret, group_name, whole};

use crate::target::Database;

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

/// What the settings of `sink run` describe.
#[derive(Debug)]
pub struct Prepared {
    /// The database of the vouchers.
    pub database: Database,
    /// The schema registry, if there is one.
    pub registry: Option<Registry>,
}

impl RunSettings {
    /// Builds what the settings describe, without connecting to anything. Finds every error in the settings
    /// that can be found without a connection.
    ///
    /// # Errors
    /// Exit code 2 with everything that is wrong, saying what to write instead.
    pub fn prepare(&self) -> Result<Prepared, Failure> {
        let mut failures = Failures::default();
        failures.keep(self.shared.kafka.check());
        let database = failures.keep(Database::new(&self.database.database_url));
        let registry = failures.keep(Registry::of(&self.shared.registry));
        match (database, registry) {
            (Some(database), Some(registry)) if failures.is_empty() => {
                Ok(Prepared { database, registry })
            }
            _ => Err(failures.into()),
        }
    }
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
