//! `processor run`: wires the ports and the tasks.

use std::sync::Arc;

use runtime::clock::MonotonicClock;
use runtime::group_lag::GroupLag;
use runtime::health::{Health, starting};
use runtime::lifecycle::{Failure, Shutdown, Supervisor};
use runtime::preflight;
use runtime::registry::{KnownSchemas, Registry, SchemaCache, value_format};
use runtime::service::{Service, run_tasks};
use runtime::traces::{BatchTracer, Tracer};
use schemas::{OrderStatusPlan, VOUCHER_AVSC, ValueFormat};

use crate::batch::{Batch, Topics};
use crate::evaluate::SharedEvaluator;
use crate::kafka::KafkaLog;
use crate::limits::BatchLimits;
use crate::observer::TaskObserver;
use crate::settings::{Prepared, RunSettings};
use crate::task::{self, Ports, Task};

/// The default port of health and metrics.
pub(crate) const DEFAULT_PORT: u16 = 9464;

/// Runs until shutdown.
///
/// # Errors
/// Exit code 2 for settings, 1 for everything else that a person has to repair.
pub async fn run(settings: RunSettings, shutdown: Shutdown) -> Result<(), Failure> {
    let Prepared {
        evaluator,
        instance,
        registry,
    } = settings.prepare()?;
    let evaluator = Arc::new(evaluator);
    let shared = &settings.shared;
    let mut service = Service::with_traces("processor", shutdown.clone())?;
    service.expect_tasks(settings.flow.tasks);
    service.probe_brokers(&shared.kafka, &shared.topics.order_status_topic)?;
    service.supervisor.task(
        "retention",
        preflight::watch_retention(
            shared.kafka.clone(),
            shared.topics.order_status_topic.clone(),
            shutdown.clone(),
        ),
    );
    service
        .serve_health(settings.http.address(DEFAULT_PORT))
        .await?;
    tracing::info!(
        campaign = evaluator.rule().campaign,
        rule = evaluator.fingerprint(),
        instance,
        "processor started"
    );
    let lag = service.lags.add(
        &settings.group.processor_group,
        &settings.shared.topics.order_status_topic,
    );
    let flow = Flow {
        settings,
        evaluator,
        instance,
        registry,
        schemas: KnownSchemas::default(),
        health: service.health.clone(),
        lag,
        tracer: service.tracer.clone(),
    };
    service.run_flow(flow.run(shutdown)).await
}

/// The tasks, and what they wait for before they start.
struct Flow {
    settings: RunSettings,
    evaluator: SharedEvaluator,
    instance: String,
    registry: Option<Registry>,
    schemas: KnownSchemas<OrderStatusPlan>,
    health: Health,
    lag: GroupLag,
    tracer: Tracer,
}

impl Flow {
    async fn run(self, shutdown: Shutdown) -> Result<(), Failure> {
        let shared = &self.settings.shared;
        let topics = Topics::of(&shared.topics);
        preflight::topics_exist(&shared.kafka, topics.names(), &shutdown).await?;
        let format = tokio::select! {
            format = self.voucher_format() => format,
            () = shutdown.requested() => return Ok(()),
        };
        run_tasks(
            Supervisor::new(shutdown),
            self.settings.flow.tasks,
            |number| self.task(number, &topics, format),
        )
        .await
    }

    /// Returns the format of vouchers: Avro with the id of the registered schema, or JSON without a
    /// registry. Waits until the registry answers.
    async fn voucher_format(&self) -> ValueFormat {
        let part = self
            .health
            .part("voucher-schema", starting::ASKING_REGISTRY);
        let topic = &self.settings.shared.topics.vouchers_topic;
        let registry = self.registry.as_ref();
        let format = value_format(registry, topic, VOUCHER_AVSC, |why| part.not_ready(why)).await;
        part.remove();
        format
    }

    fn task(&self, number: u16, topics: &Topics, format: ValueFormat) -> Result<LiveTask, Failure> {
        let guarantee = self.settings.flow.processing_guarantee;
        let group = &self.settings.group.processor_group;
        let transactional_id = format!("{group}/{}/{number}", self.instance);
        let log = KafkaLog::new(
            &self.settings.shared.kafka,
            topics,
            group,
            (&self.instance, number),
            guarantee,
            &transactional_id,
        )?;
        let registry_part = self
            .health
            .part(format!("registry-{number}"), starting::STARTING);
        let schemas = SchemaCache::new(self.registry.clone(), self.schemas.clone(), registry_part);
        let part = self
            .health
            .part(format!("task-{number}"), starting::JOINING_GROUP);
        let clock = MonotonicClock::new();
        let tracer = BatchTracer::new(self.tracer.clone(), clock, &topics.source, group);
        let ports = Ports {
            log,
            schemas,
            clock,
            observer: TaskObserver::new(number, part, self.lag.task())
                .tracing(tracer, &topics.vouchers),
        };
        let settings = task::Settings {
            guarantee,
            evaluator: Arc::clone(&self.evaluator),
            batch: Batch::new(topics.clone(), format).of_group(group),
            limits: BatchLimits::default(),
            breaker: self.settings.breaker.clone(),
            transactional_id,
        };
        Ok(Task::new(ports, settings))
    }
}

type LiveTask = Task<KafkaLog, SchemaCache<OrderStatusPlan>, MonotonicClock, TaskObserver>;
