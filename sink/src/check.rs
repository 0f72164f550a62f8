//! `sink check`: what must be right around it, and with `--fix`, making what is missing.

use clap::Args;
use runtime::kafka::KafkaSettings;
use runtime::lifecycle::Failure;
use runtime::preflight::{self, CheckFlags, Cluster, Expected, Reader, Report};
use runtime::provision;
use runtime::registry::{Registry, RegistrySettings};
use runtime::settings::TopicSettings;

use crate::postgres::{self, Database};
use crate::settings::{DatabaseSettings, FlowSettings};

/// What `sink check` reads from flags and environment variables: all that `sink run` does.
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
    pub flow: FlowSettings,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub check: CheckFlags,
}

/// Looks, and prints a table of verdicts or JSON.
///
/// # Errors
/// Exit code 1 when anything fails, 2 for settings.
pub async fn run(settings: CheckSettings) -> Result<(), Failure> {
    let database = Database::new(&settings.database.database_url)?;
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
    let CheckSettings {
        kafka,
        topics,
        flow,
        ..
    } = settings;
    let mut plans = provision::topic_plans(topics, provision::PARTITIONS);
    plans.retain(|plan| plan.belongs_to(&topics.vouchers_topic));
    let mut subjects = provision::subjects(topics).to_vec();
    subjects.retain(|(subject, _)| *subject == provision::subject_of(&topics.vouchers_topic));
    let (migrator, table) = (postgres::migrator(), postgres::MIGRATIONS_TABLE);
    let mut report = Report::default();
    if settings.check.fix {
        preflight::fix(&mut report, kafka, &plans, registry, &subjects).await;
        let pending = preflight::pending(database.inner(), &migrator, table).await;
        match postgres::migrate_once(database).await {
            Ok(()) => pending
                .iter()
                .for_each(|number| report.made(format!("migration {number}"))),
            Err(error) => report.add([preflight::refused("migrations", &error.to_string())]),
        }
    }
    let mut verdicts = Vec::new();
    if let Some(found) = preflight::kafka(cluster, &plans, &mut verdicts).await {
        let consumer = kafka.consumer(&flow.sink_group)?;
        verdicts.extend(preflight::clients(&found.brokers, Some(&consumer), None));
        let reader = Reader {
            group: &flow.sink_group,
            topic: &topics.vouchers_topic,
            tasks: ("SINK_TASKS", flow.tasks),
        };
        verdicts.extend(preflight::reader(cluster, &found, reader).await);
    }
    report.add(verdicts);
    report.add(preflight::registry(registry, &subjects).await);
    let expected = Expected {
        service: "sink",
        migrator: &migrator,
        table,
        writes: postgres::WRITES,
    };
    report.add(preflight::database(database.inner(), &expected).await);
    Ok(report)
}
