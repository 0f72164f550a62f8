//! The real thing: threads, each a live loop of its own over a share of the partitions.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use runtime::circuit_breaker::{CircuitBreaker, CircuitBreakerSettings};
use runtime::clock::MonotonicClock;
use runtime::health::Health;
use runtime::lifecycle::{Failure, Shutdown};
use runtime::registry::{KnownSchemas, Registry, SchemaCache};
use runtime::replay::{Pace, Share, Shown};
use runtime::stepping::drive;
use schemas::{OrderStatusPlan, VOUCHER_AVSC};
use tokio::task::JoinSet;

use super::begin::{Begun, begin, foresee, refuse};
use super::log::RangeLog;
use super::plan::Plan;
use super::report::{AlreadyDone, Done};
use super::settings::BackfillSettings;
use crate::batch::{Batch, Tally, Topics, VoucherFormat};
use crate::evaluate::SharedEvaluator;
use crate::ports::{Observer, TransactionEnd};
use crate::task::{BatchBounds, Guarantee, Task, TaskSettings};

/// See the module.
pub(super) async fn run(settings: BackfillSettings, shutdown: Shutdown) -> Result<(), Failure> {
    let evaluator = Arc::new(settings.rule.evaluator(settings.keys.signing_keys()?)?);
    let registry = Registry::of(&settings.registry)?;
    let topics = Topics::of(&settings.topics);
    let plan = Plan::of(&settings, &evaluator, true);
    // What is done already is refused by nothing, and waits for nobody.
    if let Some(name) = &settings.backfill.name
        && let Begun::AlreadyDone { range, at } = foresee(&settings, &plan).await?
    {
        let already = AlreadyDone {
            name: name.clone(),
            range,
            at,
            dry_run: false,
        };
        return already.print(settings.json);
    }
    let keys = Some(evaluator.keys());
    refuse(
        &settings,
        evaluator.rule(),
        keys,
        registry.as_ref(),
        &shutdown,
    )
    .await?;
    let format = tokio::select! {
        format = voucher_format(registry.as_ref(), &topics.vouchers) => format,
        () = shutdown.requested() => return Err(stopped(None)),
    };

    let name = match &settings.backfill.name {
        Some(name) => name.clone(),
        None => chrono::Utc::now().format("%Y%m%dT%H%M%S%.3fZ").to_string(),
    };
    let group = settings.group(&name);
    let begun = match begin(&settings, &group, &plan).await? {
        Begun::Run(begun) => begun,
        Begun::AlreadyDone { range, at } => {
            let already = AlreadyDone {
                name,
                range,
                at,
                dry_run: false,
            };
            return already.print(settings.json);
        }
    };
    let plan = begun.plan;
    tracing::info!(
        name,
        run = plan.run,
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
            OrderStatusPlan::compile_with,
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
        left_out: shares.iter().map(|share| share.records_left_out()).sum(),
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
