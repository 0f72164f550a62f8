//! `sink check`: the dependencies of the sink.

use clap::Args;
use runtime::audit::AuditTopic;
use runtime::lifecycle::Failure;
use runtime::preflight::{Check, CheckFlags, Group};
use runtime::provision::{self, Subject};
use runtime::service::SharedSettings;

use crate::settings::{DatabaseSettings, FlowSettings, GroupSettings};
use crate::target::{self, Database};

/// Settings of `sink check`: those of `sink run`.
#[derive(Debug, Clone, Args)]
pub struct CheckSettings {
    /// `--fix` and `--json`.
    #[command(flatten)]
    pub check: CheckFlags,
    /// The database of the vouchers.
    #[command(flatten)]
    pub database: DatabaseSettings,
    /// The consumer group.
    #[command(flatten)]
    pub group: GroupSettings,
    /// The tasks.
    #[command(flatten)]
    pub flow: FlowSettings,
    /// Brokers, schema registry and topics.
    #[command(flatten)]
    pub shared: SharedSettings,
    /// The topic of audit records.
    #[command(flatten)]
    pub audit: AuditTopic,
}

/// Checks the dependencies and prints the report.
///
/// # Errors
/// Exit code 1 when a check failed, 2 for settings.
pub async fn run(settings: CheckSettings) -> Result<(), Failure> {
    let database = Database::new(&settings.database.database_url)?;
    let SharedSettings { kafka, topics, .. } = &settings.shared;
    let group = &settings.group.sink_group;
    let mut plans = provision::topic_plans(topics, provision::PARTITIONS);
    plans.retain(|plan| plan.belongs_to(&topics.vouchers_topic));
    plans.extend(settings.audit.plan(topics)?);
    let mut check = Check::new(&settings.shared, settings.check)?;

    check.topics(&plans).await;
    check.clients(Some(&kafka.consumer(group)?), None);
    check
        .group(Group {
            name: group,
            topic: &topics.vouchers_topic,
            tasks: ("SINK_TASKS", settings.flow.tasks),
        })
        .await;
    check.schemas(&[Subject::voucher(topics)]).await;
    target::check(&mut check, &database).await;
    check.finish()
}
