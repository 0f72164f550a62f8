//! Begins a run of a named backfill: checks what would refuse it, reads what is stored under its
//! name, and stores its plan.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use runtime::kafka::{
    GroupOffsets, KafkaSettings, Producer, Right, TopicRange, TransactionError, is_refusal,
    retry_until,
};
use runtime::lifecycle::{Failure, Shutdown, blocking};
use runtime::preflight;
use runtime::record::Partition;
use runtime::registry::Registry;

use super::COMMAND;
use super::offsets::{BackfillOffsets, StoredOffset};
use super::plan::Plan;
use super::settings::BackfillSettings;
use super::start::{Run, Start};
use crate::batch::Topics;
use crate::campaign_history::{self, Compared};
use crate::rule::Rule;
use crate::signing_keys::SigningKeys;

/// How long one call may wait for the broker.
const SLICE: Duration = Duration::from_secs(2);

/// How long a call is repeated until the broker answers.
const PATIENCE: Duration = Duration::from_secs(60);

/// Checks that the topics exist, that of audit records included, and that the vouchers would not
/// differ from the campaign's earlier ones. A preview checks the same, to report that the backfill
/// would be refused.
///
/// # Errors
/// Exit code 1 for a missing topic; see [`campaign_history::require_same`].
pub(super) async fn check(
    settings: &BackfillSettings,
    rule: &Rule,
    keys: Option<&SigningKeys>,
    registry: Option<&Registry>,
    shutdown: &Shutdown,
) -> Result<(), Failure> {
    let topics = Topics::of(&settings.shared.topics);
    let mut required = topics.names();
    required.extend(settings.audit.topic.audit_topic.clone());
    preflight::topics_exist(&settings.shared.kafka, required, shutdown).await?;
    let compared = Compared {
        kafka: &settings.shared.kafka,
        registry,
        topic: &topics.vouchers,
        group: &settings.backfill.processor_group,
        rule,
        keys,
    };
    campaign_history::require_same(compared, &settings.history).await
}

/// Continues the interrupted run of the name, or stores the plan of a new one. Takes over the first
/// transactional id before it reads the offsets: of two processes that begin at once, the second
/// reads the plan of the first.
///
/// # Errors
/// See [`Start::of`]; exit code 1 when the broker does not answer.
pub(super) async fn begin(
    settings: &BackfillSettings,
    group: &str,
    plan: &Plan,
) -> Result<Start, Failure> {
    let asked = resolve(settings).await?;
    let (settings, group, plan) = (settings.clone(), group.to_owned(), plan.clone());
    blocking(COMMAND, move || {
        let offsets = BackfillOffsets::open(&settings.shared.kafka, &group, &asked.topic)?;
        let config = settings
            .shared
            .kafka
            .transactional_producer(&format!("{group}/0"))?;
        let producer = Producer::new(&config)?;
        until_answered(|| producer.init(SLICE))?;
        let stored = read(&offsets, &settings.shared.kafka, &group, &asked.topic)?;
        let start = Start::of(&plan, &settings.range, &asked, &stored)?;
        if let Start::Run(run) = &start
            && !run.resumed
        {
            store(&offsets, &producer, run)?;
        }
        Ok(start)
    })
    .await
}

/// Returns what [`begin`] would begin, without taking over or storing anything. A backfill without
/// a name begins a new one.
///
/// # Errors
/// As [`begin`].
pub(super) async fn preview(settings: &BackfillSettings, plan: &Plan) -> Result<Start, Failure> {
    let asked = resolve(settings).await?;
    let Some(name) = &settings.backfill.name else {
        return Ok(Start::Run(Run::new(plan.clone(), asked)));
    };
    let (settings, group, plan) = (settings.clone(), settings.group(name), plan.clone());
    blocking(COMMAND, move || {
        let offsets = BackfillOffsets::open(&settings.shared.kafka, &group, &asked.topic)?;
        let stored = read(&offsets, &settings.shared.kafka, &group, &asked.topic)?;
        Start::of(&plan, &settings.range, &asked, &stored)
    })
    .await
}

async fn resolve(settings: &BackfillSettings) -> Result<TopicRange, Failure> {
    let topic = &settings.shared.topics.order_status_topic;
    settings.range.resolve(&settings.shared.kafka, topic).await
}

/// Reads what is stored for all partitions of the topic: an earlier run may have read others.
fn read(
    offsets: &BackfillOffsets,
    kafka: &KafkaSettings,
    group: &str,
    topic: &str,
) -> Result<BTreeMap<Partition, StoredOffset>, Failure> {
    let whole = TopicRange::whole(kafka, topic)?;
    until_answered(|| {
        offsets
            .read(whole.spans.keys().copied(), SLICE)
            .map_err(|error| match is_refusal(&error) {
                true => {
                    TransactionError::Fatal(kafka.refusal(Right::read_group(group)).to_string())
                }
                false => TransactionError::Retriable(error.to_string()),
            })
    })
}

/// Commits the first offsets of a run, with its plan.
fn store(offsets: &BackfillOffsets, producer: &Producer, run: &Run) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::failed(format!("cannot commit the backfill's offsets: {error}"))
    };
    let list = offsets
        .list(&run.plan, &run.range, &run.done)
        .map_err(|error| failed(&error))?;
    let group = offsets
        .group()
        .ok_or_else(|| failed(&"the client has no group"))?;
    if list.count() == 0 {
        return Ok(());
    }
    producer.begin().map_err(|error| failed(&error))?;
    let offsets = GroupOffsets::new(list, group);
    until_answered(|| producer.send_offsets(offsets.clone(), SLICE))?;
    until_answered(|| producer.commit(SLICE))
}

fn until_answered<T>(call: impl FnMut() -> Result<T, TransactionError>) -> Result<T, Failure> {
    retry_until(Instant::now() + PATIENCE, call)
        .map_err(|error| Failure::failed(format!("the backfill's offsets: {error}")))
}
