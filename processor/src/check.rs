//! `processor check`: the dependencies of the processor.

use std::time::SystemTime;

use clap::Args;
use runtime::audit::AuditTopic;
use runtime::lifecycle::Failure;
use runtime::preflight::{Check, CheckFlags, CheckResult, Group, newest_record};
use runtime::provision::{self, Subject};
use runtime::service::SharedSettings;

use crate::campaign_history::{self, Compared};
use crate::newest_records;
use crate::rule::Rule;
use crate::settings::{FlowSettings, GroupSettings, KeySettings, RuleSettings};
use crate::signing_keys::SigningKeys;
use crate::task::Guarantee;

/// Settings of `processor check`: those of `processor run`, but no signing key is required.
#[derive(Debug, Clone, Args)]
pub struct CheckSettings {
    /// `--fix` and `--json`.
    #[command(flatten)]
    pub check: CheckFlags,

    /// Partitions of created topics. They cannot be changed later.
    #[arg(long, default_value_t = provision::PARTITIONS, value_parser = clap::value_parser!(i32).range(1..=1000))]
    pub partitions: i32,

    /// The rule of the campaign.
    #[command(flatten)]
    pub rule: RuleSettings,
    /// The keys that sign voucher codes.
    #[command(flatten)]
    pub keys: KeySettings,
    /// The consumer group.
    #[command(flatten)]
    pub group: GroupSettings,
    /// The transactions and the tasks.
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
    let rule = settings.rule.rule()?;
    let keys = settings.keys.signing_keys_if_set()?;
    let SharedSettings { kafka, topics, .. } = &settings.shared;
    let group = &settings.group.processor_group;
    let mut plans = provision::topic_plans(topics, settings.partitions);
    plans.extend(settings.audit.plan(topics)?);
    let mut check = Check::new(&settings.shared, settings.check)?;

    check.topics(&plans).await;
    let producer = match settings.flow.processing_guarantee {
        Guarantee::ExactlyOnce => kafka.transactional_producer("check")?,
        Guarantee::AtLeastOnce => kafka.producer()?,
    };
    check.clients(Some(&kafka.consumer(group)?), Some(&producer));
    check
        .group(Group {
            name: group,
            topic: &topics.order_status_topic,
            tasks: ("PROCESSOR_TASKS", settings.flow.tasks),
        })
        .await;
    let newest_orders = newest_orders(&check, &settings, &rule).await;
    check.add(newest_orders);
    let history = history(&check, &settings, &rule, keys.as_ref()).await;
    check.add(history);
    check
        .schemas(&[Subject::order_status(topics), Subject::voucher(topics)])
        .await;
    check.add([signing_key(keys.as_ref())]);
    check.finish()
}

/// Checks keys, values and timestamps of the newest order statuses.
async fn newest_orders(check: &Check, settings: &CheckSettings, rule: &Rule) -> Vec<CheckResult> {
    let Some(topic) = check.topic(&settings.shared.topics.order_status_topic) else {
        return Vec::new();
    };
    let records = match check.newest_records(topic).await {
        Ok(records) => records,
        Err(error) => return vec![newest_records::unread(&topic.name, &error)],
    };
    let timestamps = records.iter().filter_map(|record| record.timestamp_millis);
    let clock = newest_record(&topic.name, SystemTime::now(), timestamps.max());
    let context = newest_records::Context {
        topic: topic.name.clone(),
        partitions: topic.partitions.len(),
        registry: check.registry().cloned(),
        rule: rule.clone(),
        default_currency: settings.rule.order_default_currency,
    };
    let mut results = newest_records::judge(context, records).await;
    results.extend(clock);
    results
}

/// Checks rule and keys against the campaign's earlier vouchers.
async fn history(
    check: &Check,
    settings: &CheckSettings,
    rule: &Rule,
    keys: Option<&SigningKeys>,
) -> Option<CheckResult> {
    let vouchers = check.topic(&settings.shared.topics.vouchers_topic)?;
    let result = campaign_history::judge(Compared {
        kafka: &settings.shared.kafka,
        registry: check.registry(),
        topic: &vouchers.name,
        group: &settings.group.processor_group,
        rule,
        keys,
    })
    .await;
    Some(result.unwrap_or_else(|error| newest_records::unread(&vouchers.name, &error)))
}

/// Warns of a missing signing key: without one, everything else can still be checked.
fn signing_key(keys: Option<&SigningKeys>) -> CheckResult {
    let subject = "signing key";
    match keys {
        Some(_) => CheckResult::ok(subject, "set, and long enough"),
        None => CheckResult::warn(
            subject,
            "VOUCHER_SIGNING_KEY is not set (nor VOUCHER_SIGNING_KEYS_FILE): run, backfill and \
             redrive end with exit code 2",
            "set the key that signed the vouchers of this campaign; create a first one with: openssl \
             rand -base64 32",
        ),
    }
}
