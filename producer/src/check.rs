//! `producer check`: what must be right around it, and with `--fix`, making what is missing.

use clap::Args;
use runtime::kafka::KafkaSettings;
use runtime::lifecycle::Failure;
use runtime::postgres::Database;
use runtime::preflight::{self, CheckFlags, Cluster, Expected, Report};
use runtime::provision;
use runtime::registry::{Registry, RegistrySettings};
use runtime::settings::TopicSettings;

use crate::database;
use crate::settings::DatabaseSettings;

/// What `producer check` reads from flags and environment variables.
#[derive(Debug, Clone, Args)]
pub struct CheckSettings {
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
    pub check: CheckFlags,
}

/// Looks, and prints a table of verdicts or JSON.
///
/// # Errors
/// Exit code 1 when anything fails, 2 for settings.
pub async fn run(settings: CheckSettings) -> Result<(), Failure> {
    let database = database::database(&settings.database.database_url)?;
    let registry = Registry::of(&settings.registry)?;
    let cluster = Cluster::new(&settings.kafka)?;
    let json = settings.check.json;
    let report = look(&settings, &database, registry.as_ref(), &cluster).await?;
    report.finish(json)
}

async fn look(
    settings: &CheckSettings,
    database: &Database,
    registry: Option<&Registry>,
    cluster: &Cluster,
) -> Result<Report, Failure> {
    let CheckSettings { kafka, topics, .. } = settings;
    let topic = &topics.order_status_topic;
    let mut plans = provision::topic_plans(topics, provision::PARTITIONS);
    // Dead letters of the order statuses are the processor's.
    plans.retain(|plan| plan.name == *topic);
    let mut subjects = provision::subjects(topics).to_vec();
    subjects.retain(|(subject, _)| *subject == provision::subject_of(topic));
    let (migrator, table) = (database::migrator(), database::MIGRATIONS_TABLE);
    let mut report = Report::default();
    if settings.check.fix {
        preflight::fix(&mut report, kafka, &plans, registry, &subjects).await;
        let pending = preflight::pending(database, &migrator, table).await;
        match database::migrate(database).await {
            Ok(()) => pending
                .iter()
                .for_each(|number| report.made(format!("migration {number}"))),
            Err(error) => report.add([preflight::refused("migrations", &error.to_string())]),
        }
    }
    let mut verdicts = Vec::new();
    if let Some(found) = preflight::kafka(cluster, &plans, &mut verdicts).await {
        let producer = kafka.transactional_producer("check")?;
        verdicts.extend(preflight::clients(&found.brokers, None, Some(&producer)));
    }
    report.add(verdicts);
    report.add(preflight::registry(registry, &subjects).await);
    let expected = Expected {
        service: "producer",
        migrator: &migrator,
        table,
        writes: database::WRITES,
    };
    report.add(preflight::database(database, &expected).await);
    Ok(report)
}
