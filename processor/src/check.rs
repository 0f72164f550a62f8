//! `processor check`: what must be right around it, and with `--fix`, making what is missing.

use std::time::SystemTime;

use clap::Args;
use runtime::kafka::KafkaSettings;
use runtime::lifecycle::Failure;
use runtime::preflight::{self, CheckFlags, CheckResult, Cluster, Found, Reader, Report};
use runtime::provision;
use runtime::registry::{Registry, RegistrySettings};
use runtime::settings::TopicSettings;

use crate::campaign_history::{self, Compared};
use crate::newest;
use crate::rule::Rule;
use crate::settings::{FlowSettings, KeySettings, RuleSettings};
use crate::task::Guarantee;

/// What `processor check` reads from flags and environment variables: all that `processor run`
/// does, but it needs no key.
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
    pub rule: RuleSettings,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub keys: KeySettings,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub flow: FlowSettings,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub check: CheckFlags,

    /// Partitions of topics that are created: chosen once, a topic can't grow.
    #[arg(long, default_value_t = provision::PARTITIONS, value_parser = clap::value_parser!(i32).range(1..=1000))]
    pub partitions: i32,
}

/// Looks, and prints a table of verdicts or JSON.
///
/// # Errors
/// Exit code 1 when anything fails, 2 for settings.
pub async fn run(settings: CheckSettings) -> Result<(), Failure> {
    let rule = settings.rule.rule()?;
    let registry = Registry::of(&settings.registry)?;
    let cluster = Cluster::new(&settings.kafka)?;
    let json = settings.check.json;
    let report = look(&settings, &rule, registry.as_ref(), &cluster).await?;
    report.finish(json)
}

async fn look(
    settings: &CheckSettings,
    rule: &Rule,
    registry: Option<&Registry>,
    cluster: &Cluster,
) -> Result<Report, Failure> {
    let key = signing_key(&settings.keys)?;
    let plans = provision::topic_plans(&settings.topics, settings.partitions);
    let subjects = provision::subjects(&settings.topics);
    let mut report = Report::default();
    if settings.check.fix {
        preflight::fix(&mut report, &settings.kafka, &plans, registry, &subjects).await;
    }
    let mut verdicts = Vec::new();
    if let Some(found) = preflight::kafka(cluster, &plans, &mut verdicts).await {
        verdicts.extend(clients(settings, &found)?);
        let reader = Reader {
            group: &settings.flow.processor_group,
            topic: &settings.topics.order_status_topic,
            tasks: ("PROCESSOR_TASKS", settings.flow.tasks),
        };
        verdicts.extend(preflight::reader(cluster, &found, reader).await);
        verdicts.extend(orders(settings, cluster, registry, &found, rule).await);
        verdicts.extend(history(settings, registry, &found, rule).await?);
    }
    report.add(verdicts);
    report.add(preflight::registry(registry, &subjects).await);
    report.add([key]);
    Ok(report)
}

/// A wrong key is a wrong setting; without one nothing can be issued, but all else can be checked.
fn signing_key(keys: &KeySettings) -> Result<CheckResult, Failure> {
    if !has_key(keys) {
        return Ok(CheckResult::warn(
            "signing key",
            "VOUCHER_SIGNING_KEY is not set (nor VOUCHER_SIGNING_KEYS_FILE): run, backfill and \
             redrive end with exit code 2",
            "set the key that signed this campaign's vouchers; a first one: openssl rand -base64 32",
        ));
    }
    keys.signing_keys()?;
    Ok(CheckResult::ok("signing key", "set, and long enough"))
}

fn clients(settings: &CheckSettings, found: &Found) -> Result<Vec<CheckResult>, Failure> {
    let flow = &settings.flow;
    let consumer = settings.kafka.consumer(&flow.processor_group)?;
    let producer = match flow.processing_guarantee {
        Guarantee::ExactlyOnce => settings.kafka.transactional_producer("check")?,
        Guarantee::AtLeastOnce => settings.kafka.producer()?,
    };
    Ok(preflight::clients(
        &found.brokers,
        Some(&consumer),
        Some(&producer),
    ))
}

/// The newest order statuses: their keys, their values, and their times.
async fn orders(
    settings: &CheckSettings,
    cluster: &Cluster,
    registry: Option<&Registry>,
    found: &Found,
    rule: &Rule,
) -> Vec<CheckResult> {
    let Some(topic) = found.topic(&settings.topics.order_status_topic) else {
        return Vec::new();
    };
    match cluster.tail(topic).await {
        Ok(records) => {
            let latest = records
                .iter()
                .filter_map(|record| record.timestamp_millis)
                .max();
            let context = newest::Context {
                topic: topic.name.clone(),
                partitions: topic.partitions.len(),
                registry: registry.cloned(),
                rule: rule.clone(),
                default_currency: settings.rule.order_default_currency,
            };
            let mut verdicts = newest::judge(context, records).await;
            verdicts.extend(preflight::from_topic(
                &topic.name,
                SystemTime::now(),
                latest,
            ));
            verdicts
        }
        Err(error) => vec![newest::unread(&topic.name, &error)],
    }
}

async fn history(
    settings: &CheckSettings,
    registry: Option<&Registry>,
    found: &Found,
    rule: &Rule,
) -> Result<Option<CheckResult>, Failure> {
    let Some(vouchers) = found.topic(&settings.topics.vouchers_topic) else {
        return Ok(None);
    };
    let keys = match has_key(&settings.keys) {
        true => Some(settings.keys.signing_keys()?),
        false => None,
    };
    let judged = campaign_history::judge(Compared {
        kafka: &settings.kafka,
        registry,
        topic: &vouchers.name,
        group: &settings.flow.processor_group,
        rule,
        keys: keys.as_ref(),
    })
    .await;
    Ok(Some(judged.unwrap_or_else(|error| {
        newest::unread(&vouchers.name, &error)
    })))
}

const fn has_key(keys: &KeySettings) -> bool {
    keys.voucher_signing_key.is_some() || keys.voucher_signing_keys_file.is_some()
}
