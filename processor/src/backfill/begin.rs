//! How a backfill begins: what would be refused, and what is done under its name already.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use runtime::kafka::{
    GroupOffsets, KafkaSettings, Producer, Right, TopicRange, TransactionError, is_refusal,
};
use runtime::lifecycle::{Failure, Shutdown};
use runtime::preflight;
use runtime::record::{Partition, Positions};
use runtime::registry::Registry;

use super::ledger::{Kept, Ledger};
use super::plan::Plan;
use super::settings::BackfillSettings;
use super::start::Start;
use super::{blocking, resolve};
use crate::batch::Topics;
use crate::campaign_history::{self, Compared};
use crate::rule::Rule;
use crate::signing_keys::SigningKeys;

/// One question to the broker, and how long it is asked again.
const SLICE: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(60);

/// Ends a backfill that would write to no topic, or vouchers that differ from the campaign's earlier
/// ones. A dry run asks the same, to tell what the backfill would say.
///
/// # Errors
/// Exit code 1 for a topic that is missing; see [`campaign_history::refuse_another`].
pub(super) async fn refuse(
    settings: &BackfillSettings,
    rule: &Rule,
    keys: Option<&SigningKeys>,
    registry: Option<&Registry>,
    shutdown: &Shutdown,
) -> Result<(), Failure> {
    let topics = Topics::of(&settings.topics);
    preflight::topics_exist(&settings.kafka, topics.names(), shutdown).await?;
    let compared = Compared {
        kafka: &settings.kafka,
        registry,
        topic: &topics.vouchers,
        group: &settings.backfill.processor_group,
        rule,
        keys,
    };
    campaign_history::refuse_another(compared, &settings.history).await
}

/// What a name begins with.
pub(super) enum Begun {
    /// This is to be done.
    Run(Run),
    /// Nothing is: see [`Start::AlreadyDone`].
    AlreadyDone {
        /// What was read.
        range: TopicRange,
        /// When it ended.
        at: Option<i64>,
    },
}

/// A run of a name, and how far it is.
pub(super) struct Run {
    /// What it does.
    pub(super) plan: Plan,
    /// All that it reads.
    pub(super) range: TopicRange,
    /// What of it is done.
    pub(super) done: Positions,
    /// Whether an earlier start did a part of it.
    pub(super) resumed: bool,
}

impl Begun {
    fn of(start: Start) -> Self {
        match start {
            Start::AlreadyDone { range, at } => Self::AlreadyDone { range, at },
            Start::Resumed { plan, range, done } => Self::Run(Run {
                plan,
                range,
                done,
                resumed: true,
            }),
            Start::New { plan, range } => Self::Run(Run {
                plan,
                done: range
                    .spans
                    .iter()
                    .map(|(at, span)| (*at, span.from))
                    .collect(),
                range,
                resumed: false,
            }),
        }
    }
}

/// Goes on with what the name began, or writes down what it will do. The first transactional id is
/// taken over before the offsets are asked for: of two that begin at once, the second sees the
/// first's plan.
///
/// # Errors
/// See [`Start::of`]; exit code 1 when the broker does not answer.
pub(super) async fn begin(
    settings: &BackfillSettings,
    group: &str,
    plan: &Plan,
) -> Result<Begun, Failure> {
    let asked = resolve(settings).await?;
    let (settings, group, plan) = (settings.clone(), group.to_owned(), plan.clone());
    blocking(move || {
        let ledger = Ledger::open(&settings.kafka, &group, &asked.topic)?;
        let config = settings
            .kafka
            .transactional_producer(&format!("{group}/0"))?;
        let producer = Producer::new(&config)?;
        patiently(|| producer.init(SLICE))?;
        let kept = read(&ledger, &settings.kafka, &group, &asked.topic)?;
        let start = Start::of(&plan, &settings.range, &asked, &kept)?;
        let begun = Begun::of(start);
        if let Begun::Run(run) = &begun
            && !run.resumed
        {
            write_down(&ledger, &producer, run)?;
        }
        Ok(begun)
    })
    .await
}

/// What [`begin`] would begin, and no more: nothing is taken over or written. A backfill without a
/// name begins anew.
///
/// # Errors
/// As [`begin`].
pub(super) async fn foresee(settings: &BackfillSettings, plan: &Plan) -> Result<Begun, Failure> {
    let asked = resolve(settings).await?;
    let Some(name) = &settings.backfill.name else {
        let plan = plan.clone();
        return Ok(Begun::of(Start::New { plan, range: asked }));
    };
    let (settings, group, plan) = (settings.clone(), settings.group(name), plan.clone());
    blocking(move || {
        let ledger = Ledger::open(&settings.kafka, &group, &asked.topic)?;
        let kept = read(&ledger, &settings.kafka, &group, &asked.topic)?;
        let start = Start::of(&plan, &settings.range, &asked, &kept)?;
        Ok(Begun::of(start))
    })
    .await
}

/// All that is kept: an earlier run may have had other partitions.
fn read(
    ledger: &Ledger,
    kafka: &KafkaSettings,
    group: &str,
    topic: &str,
) -> Result<BTreeMap<Partition, Kept>, Failure> {
    let whole = TopicRange::whole(kafka, topic)?;
    patiently(|| {
        ledger
            .read(whole.spans.keys().copied(), SLICE)
            .map_err(|error| match is_refusal(&error) {
                true => {
                    TransactionError::Fatal(kafka.refusal(Right::read_group(group)).to_string())
                }
                false => TransactionError::Retriable(error.to_string()),
            })
    })
}

fn write_down(ledger: &Ledger, producer: &Producer, run: &Run) -> Result<(), Failure> {
    let refused = |error: &dyn std::fmt::Display| {
        Failure::failed(format!("the backfill's offsets can't be written: {error}"))
    };
    let list = ledger
        .list(&run.plan, &run.range, &run.done)
        .map_err(|error| refused(&error))?;
    let group = ledger
        .group()
        .ok_or_else(|| refused(&"there is no group"))?;
    if list.count() == 0 {
        return Ok(());
    }
    producer.begin().map_err(|error| refused(&error))?;
    let offsets = GroupOffsets::new(list, group);
    patiently(|| producer.send_offsets(offsets.clone(), SLICE))?;
    patiently(|| producer.commit(SLICE))
}

/// The same call until it answers, or a person would have given up.
fn patiently<T>(mut call: impl FnMut() -> Result<T, TransactionError>) -> Result<T, Failure> {
    let give_up = Instant::now() + PATIENCE;
    loop {
        match call() {
            Ok(answer) => return Ok(answer),
            Err(TransactionError::Retriable(why)) if Instant::now() < give_up => {
                tracing::debug!(why, "asking Kafka again");
            }
            Err(error) => {
                return Err(Failure::failed(format!("the backfill's offsets: {error}")));
            }
        }
    }
}
