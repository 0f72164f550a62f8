//! Runs a backfill: a live loop on each thread, over a share of the partitions.

use std::sync::Arc;
use std::time::Duration;

use runtime::audit::Action;
use runtime::circuit_breaker::CircuitBreakerSettings;
use runtime::clock::MonotonicClock;
use runtime::flow::FlowObserver;
use runtime::health::Health;
use runtime::lifecycle::{Failure, Shutdown};
use runtime::registry::{KnownSchemas, Registry, SchemaCache, value_format};
use runtime::replay::{Totals, replay};
use runtime::stepping::drive;
use schemas::VOUCHER_AVSC;

use super::admission::{begin, check, preview};
use super::log::RangeLog;
use super::plan::Plan;
use super::report::{AlreadyDone, BackfillReport};
use super::settings::BackfillSettings;
use super::start::Start;
use crate::batch::{Batch, Tally, Topics};
use crate::evaluate::SharedEvaluator;
use crate::limits::BatchLimits;
use crate::ports::Observer;
use crate::task::{self, Guarantee, Ports, Task};

/// Runs the backfill, and prints its result.
pub(super) async fn run(settings: BackfillSettings, shutdown: Shutdown) -> Result<(), Failure> {
    let evaluator = Arc::new(settings.rule.evaluator(settings.keys.signing_keys()?)?);
    let audit = settings
        .audit
        .open("processor", &settings.shared.topics, None)?;
    let registry = Registry::of(&settings.shared.registry)?;
    let topics = Topics::of(&settings.shared.topics);
    let plan = Plan::of(&settings, &evaluator, true);
    // A run that is already done needs neither checks nor a registry.
    if let Some(name) = &settings.backfill.name
        && let Start::AlreadyDone { range, at } = preview(&settings, &plan).await?
    {
        return AlreadyDone::new(name, range, at).print(settings.json);
    }
    let (rule, keys) = (evaluator.rule(), Some(evaluator.keys()));
    check(&settings, rule, keys, registry.as_ref(), &shutdown).await?;
    let format = tokio::select! {
        format = value_format(registry.as_ref(), &topics.vouchers, VOUCHER_AVSC, |why| {
            tracing::warn!("waiting for the registry: {why}");
        }) => format,
        () = shutdown.requested() => return Err(stopped(None)),
    };

    let name = match &settings.backfill.name {
        Some(name) => name.clone(),
        None => chrono::Utc::now().format("%Y%m%dT%H%M%S%.3fZ").to_string(),
    };
    let group = settings.group(&name);
    let begun = match begin(&settings, &group, &plan).await? {
        Start::Run(run) => run,
        Start::AlreadyDone { range, at } => {
            return AlreadyDone::new(&name, range, at).print(settings.json);
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

    let audit = audit.map(|audit| {
        audit.of(Action {
            run: name.clone(),
            run_number: Some(plan.run),
            command: "backfill",
            group: settings.backfill.processor_group.clone(),
            what: settings.range_in_words(),
        })
    });
    let totals = Totals::default();
    let known = KnownSchemas::default();
    let health = Health::new();
    let live = settings.live_flow();
    let replayed = replay(&begun.range, &settings.replay, &live, &shutdown, |share| {
        let (progress, shutdown) = (share.progress.clone(), shutdown.clone());
        let transactional_id = format!("{group}/{}", share.number);
        let schemas = SchemaCache::new(
            registry.clone(),
            known.clone(),
            health.ready_part(format!("registry-{}", share.number)),
        );
        let log = RangeLog::new(
            &settings.shared.kafka,
            &group,
            &transactional_id,
            plan.clone(),
            share,
        )?;
        let batch = Batch::new(topics.clone(), format)
            .of_run(&name)
            .of_group(&settings.backfill.processor_group)
            .audited(audit.clone());
        let ports = Ports {
            log,
            schemas,
            clock: MonotonicClock::new(),
            observer: totals.clone(),
        };
        let task_settings = task::Settings {
            guarantee: Guarantee::ExactlyOnce,
            evaluator: SharedEvaluator::clone(&evaluator),
            batch: if plan.dead_letters {
                batch
            } else {
                batch.without_dead_letters()
            },
            limits: BatchLimits::default(),
            breaker: CircuitBreakerSettings::NEVER,
            transactional_id,
        };
        let task = Task::new(ports, task_settings);
        Ok(move || drive(task, || progress.is_done(), &shutdown))
    })
    .await?;
    let report = BackfillReport {
        name: name.clone(),
        range: begun.range,
        resumed: begun.resumed,
        dead_letters: plan.dead_letters,
        tally: totals.tally(),
        left_out: replayed.left_out,
        took: replayed.took,
        pacing: replayed.pacing,
        complete: replayed.is_complete,
    };
    let printed = report.print(settings.json);
    match replayed.failure {
        Some(failure) => Err(failure),
        None if report.complete => printed,
        None => Err(stopped(Some(&name))),
    }
}

fn stopped(name: Option<&str>) -> Failure {
    Failure::interrupted(match name {
        None => "stopped before the start".to_owned(),
        Some(name) => format!(
            "stopped before the end; what was committed is kept, and the same command with --name \
             {name} continues"
        ),
    })
}

impl Observer for Totals<Tally> {
    fn flow(&mut self) -> &mut dyn FlowObserver {
        self
    }

    fn committed<'a>(&mut self, tallies: impl Iterator<Item = &'a Tally>, _: Duration) {
        self.update(|total| tallies.for_each(|tally| total.add(tally)));
    }
}
