//! What `sink run` reads from flags and environment variables.

use clap::Args;
use runtime::circuit_breaker::CircuitBreakerSettings;
use runtime::dead_letter::Owner;
use runtime::kafka::KafkaSettings;
use runtime::registry::RegistrySettings;
use runtime::settings::{HttpSettings, Secret, TopicSettings, whole};
use runtime::telemetry::LogSettings;

/// All settings of `sink run`.
#[derive(Debug, Clone, Args)]
pub struct RunSettings {
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
    pub flow: FlowSettings,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub breaker: CircuitBreakerSettings,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub http: HttpSettings,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub log: LogSettings,
}

/// Where the vouchers go.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Database")]
pub struct DatabaseSettings {
    /// Postgres, such as postgres://user:password@host:5432/database?sslmode=verify-full.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Secret,
}

/// How records flow.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Flow")]
pub struct FlowSettings {
    /// The consumer group.
    #[arg(long, env = "SINK_GROUP", default_value = "sink", value_parser = group)]
    pub sink_group: String,

    /// How many tasks share the partitions in this process, each with its own thread and its own
    /// connection to the database.
    #[arg(long, env = "SINK_TASKS", value_name = "SINK_TASKS", default_value = "2", value_parser = whole::<u16>(1..=64, "tasks"))]
    pub tasks: u16,
}

/// Whose offsets and transactional ids a command stands beside.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Flow")]
pub struct GroupSettings {
    /// The consumer group of `sink run`, whose dead letters these are.
    #[arg(long, env = "SINK_GROUP", default_value = "sink", value_parser = group)]
    pub sink_group: String,
}

impl GroupSettings {
    /// Whose dead letters a command is about: those of every campaign's vouchers.
    pub fn owner(&self) -> Owner {
        Owner {
            group: self.sink_group.clone(),
            campaign: None,
        }
    }
}

pub(crate) fn group(name: &str) -> Result<String, String> {
    if name.is_empty() || name.len() > 249 || name.chars().any(char::is_control) {
        return Err("a group is 1 to 249 bytes without control characters".to_owned());
    }
    Ok(name.to_owned())
}
