//! The real thing: threads, each a live loop of its own over a share of the partitions.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use runtime::circuit_breaker::{CircuitBreaker, CircuitBreakerSettings};
use runtime::clock::MonotonicClock;
use runtime::health::Health;
use runtime::kafka::{GroupOffsets, Producer, TopicRange, TransactionError};
use runtime::lifecycle::{Failure, Shutdown};
use runtime::preflight;
use runtime::record::Positions;
use runtime::registry::{KnownSchemas, Registry, SchemaCache};
use runtime::replay::{Pace, Share, Shown};
use runtime::stepping::drive;
use schemas::{OrderStatusPlan, VOUCHER_AVSC};
use tokio::task::JoinSet;

use super::ledger::Ledger;
use super::log::RangeLog;
use super::plan::Plan;
use super::report::Done;
use super::settings::BackfillSettings;
use super::{blocking, resolve};
use crate::batch::{Batch, Tally, Topics, VoucherFormat};
use crate::campaign_history::{self, Compared};
use crate::evaluate::SharedEvaluator;
use crate::ports::{Observer, TransactionEnd};
use crate::task::{BatchBounds, Guarantee, Task, TaskSettings};

/// One question to the broker, and how long it is asked again.
const SLICE: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(60);

/// See the module.
pub(super) async fn run(settings: BackfillSettings, shutdown: Shutdown) -> Result<(), Failure> {
    let evaluator =
        Arc::new(settings.evaluator(settings.rule.rule()?, settings.keys.signing_keys()?)?);
    let registry = Registry::of(&settings.registry)?;
    let topics = Topics::of(&settings.topics);
    preflight::topics_exist(&settings.kafka, topics.names(), &shutdown).await?;
    let compared = Compared {
        kafka: &settings.kafka,
        registry: registry.as_ref(),
        topic: &topics.vouchers,
        group: &settings.backfill.processor_group,
        rule: evaluator.rule(),
        keys: Some(evaluator.keys()),
    };
    campaign_history::refuse_another(compared, &settings.history).await?;
    let format = tokio::select! {
        format = voucher_format(registry.as_ref(), &topics.vouchers) => format,
        () = shutdown.requested() => return Err(stopped(None)),
    };

    let name = match &settings.backfill.name {
        Some(name) => name.clone(),
        None => chrono::Utc::now().format("%Y%m%dT%H%M%SZ").to_string(),
    };
    let group = settings.group(&name);
    let plan = Plan::of(&settings, &evaluator);
    let begun = begin(&settings, &group, &plan).await?;
    tracing::info!(
        name,
        offsets = begun.range.offsets(),
        done = begun.range.offsets() - begun.range.after(&begun.done).offsets(),
        resumed = begun.resumed,
        "backfill"
    );

    let started = Instant::now();
    let totals = Totals::default();
    let pace = Arc::new(Pace::new(settings.backfill.rate));
    let known = KnownSchemas::default();
    let health = Health::new();
    let mut threads = JoinSet::new();
    let mut shares = Vec::new();
    for (number, part) in begun
        .range
        .split(usize::from(plan.threads))
        .into_iter()
        .enumerate()
    {
        let share = Arc::new(Share::default());
        let transactional_id = format!("{group}/{number}");
        let log = RangeLog::new(
            &settings.kafka,
            &group,
            &transactional_id,
            plan.clone(),
            part,
            Arc::clone(&pace),
            Arc::clone(&share),
        )?;
        let schemas = SchemaCache::new(
            registry.clone(),
            OrderStatusPlan::compile,
            known.clone(),
            health.ready_part(format!("registry-{number}")),
        );
        let batch = Batch::new(topics.clone(), format)
            .of_run(&name)
            .of_group(&settings.backfill.processor_group);
        let task = Task::new(
            log,
            schemas,
            MonotonicClock::new(),
            totals.clone(),
            SharedEvaluator::clone(&evaluator),
            // Bad records are the past's; nobody waits for them to become good.
            CircuitBreaker::new(&CircuitBreakerSettings {
                dead_letter_limit: 1000,
                accept_dead_letters: true,
            }),
            TaskSettings {
                guarantee: Guarantee::ExactlyOnce,
                topics: topics.clone(),
                format,
                transactional_id,
                bounds: BatchBounds::default(),
            },
        )
        .with_batch(if plan.dead_letters {
            batch
        } else {
            batch.without_dead_letters()
        });
        shares.push(Arc::clone(&share));
        let shutdown = shutdown.clone();
        threads.spawn_blocking(move || drive(task, || share.is_done(), &shutdown));
    }
    let shown = Shown::start(begun.range.offsets(), shares.clone());
    let mut first_failure = None;
    while let Some(ended) = threads.join_next().await {
        let ended = ended.map_err(|error| Failure::failed(format!("backfill: {error}")));
        if let Err(failure) = ended.and_then(|result| result) {
            first_failure.get_or_insert(failure);
            shutdown.request();
        }
    }
    drop(shown);
    let done = Done {
        name: name.clone(),
        range: begun.range,
        resumed: begun.resumed,
        dead_letters: plan.dead_letters,
        tally: totals.tally(),
        took: started.elapsed(),
        complete: shares.iter().all(|share| share.is_done()),
    };
    let printed = done.print(settings.json);
    match first_failure {
        Some(failure) => Err(failure),
        None if done.complete => printed,
        None => Err(stopped(Some(&name))),
    }
}

fn stopped(name: Option<&str>) -> Failure {
    Failure::interrupted(match name {
        None => "stopped before the start".to_owned(),
        Some(name) => format!(
            "stopped before the end; nothing is lost: the same command with --name {name} goes on"
        ),
    })
}

async fn voucher_format(registry: Option<&Registry>, topic: &str) -> VoucherFormat {
    let Some(registry) = registry else {
        return VoucherFormat::Json;
    };
    let subject = format!("{topic}-value");
    let schema_id = registry
        .wait_for_id(&subject, VOUCHER_AVSC, |error| {
            tracing::warn!(%error, subject, "waiting for the registry");
        })
        .await;
    VoucherFormat::Avro { schema_id }
}

/// What this name does, and how far it is.
struct Begun {
    range: TopicRange,
    done: Positions,
    resumed: bool,
}

/// Goes on with what the name began, or writes down what it will do. The first transactional id is
/// taken over before the offsets are asked for: of two that begin at once, the second sees the
/// first's plan.
async fn begin(settings: &BackfillSettings, group: &str, plan: &Plan) -> Result<Begun, Failure> {
    let (kafka, topic) = (
        settings.kafka.clone(),
        settings.topics.order_status_topic.clone(),
    );
    let asked = resolve(settings).await?;
    let (group, plan) = (group.to_owned(), plan.clone());
    blocking(move || {
        let whole = TopicRange::whole(&kafka, &topic)?;
        let ledger = Ledger::open(&kafka, &group, &topic)?;
        let config = kafka.transactional_producer(&format!("{group}/0"))?;
        let producer = Producer::new(&config)?;
        patiently(|| producer.init(SLICE))?;
        let kept = patiently(|| {
            ledger
                .read(whole.spans.keys().copied(), SLICE)
                .map_err(|error| TransactionError::Retriable(error.to_string()))
        })?;
        if kept.is_empty() {
            let froms: Positions = asked
                .spans
                .iter()
                .map(|(partition, span)| (*partition, span.from))
                .collect();
            write_down(&ledger, &producer, &plan, &asked, &froms)?;
            return Ok(Begun {
                range: asked,
                done: froms,
                resumed: false,
            });
        }
        let mut begun = Begun {
            range: TopicRange {
                topic,
                spans: std::collections::BTreeMap::new(),
            },
            done: Positions::new(),
            resumed: true,
        };
        for (partition, kept) in kept {
            let Some((before, span)) = kept.note else {
                return Err(Failure::bad_setting(format!(
                    "the group {group} has offsets that no backfill wrote; choose another --name"
                )));
            };
            let differences = plan.differences(&before);
            if !differences.is_empty() {
                return Err(Failure::bad_setting(format!(
                    "a backfill of this name began with other settings: {}; repeat them, or choose \
                     another --name",
                    differences.join(", ")
                )));
            }
            begun.range.spans.insert(partition, span);
            begun.done.insert(partition, kept.next);
        }
        Ok(begun)
    })
    .await
}

fn write_down(
    ledger: &Ledger,
    producer: &Producer,
    plan: &Plan,
    range: &TopicRange,
    froms: &Positions,
) -> Result<(), Failure> {
    let refused = |error: &dyn std::fmt::Display| {
        Failure::failed(format!("the backfill's offsets can't be written: {error}"))
    };
    let list = ledger
        .list(plan, range, froms)
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

/// Adds up what is durable; says why it stands still, once.
#[derive(Debug, Clone, Default)]
struct Totals {
    tally: Arc<Mutex<Tally>>,
    standing: Option<String>,
}

impl Totals {
    fn tally(&self) -> Tally {
        self.tally
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Observer for Totals {
    fn committed<'a>(&mut self, tallies: impl Iterator<Item = &'a Tally>, _: Duration) {
        let mut total = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        for tally in tallies {
            total.add(tally);
        }
    }

    fn transaction_ended(&mut self, _: TransactionEnd) {}

    fn fenced(&mut self) {}

    fn assigned(&mut self, _: usize) {}

    fn flowing(&mut self) {
        self.standing = None;
    }

    fn standing(&mut self, reason: &str) {
        if self.standing.as_deref() != Some(reason) {
            tracing::warn!(reason, "waiting");
            self.standing = Some(reason.to_owned());
        }
    }

    fn circuit(&mut self, _: bool) {}
}
