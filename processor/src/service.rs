//! `processor run`: wires the parts and watches over them.

use std::sync::Arc;
use std::time::Duration;

use runtime::circuit_breaker::CircuitBreaker;
use runtime::clock::MonotonicClock;
use runtime::health::{self, Health, Part};
use runtime::kafka::BrokerProbe;
use runtime::lifecycle::{Failure, Shutdown, Supervisor};
use runtime::registry::{KnownSchemas, Registry, SchemaCache};
use runtime::stepping::{DRAIN, drive};
use runtime::{http, metrics, preflight};
use schemas::{OrderStatusPlan, VOUCHER_AVSC};

use crate::batch::{Batch, Topics, VoucherFormat};
use crate::evaluate::SharedEvaluator;
use crate::kafka::KafkaLog;
use crate::observer::TaskObserver;
use crate::settings::RunSettings;
use crate::task::{BatchBounds, Task, TaskSettings};

/// Health and metrics, unless HTTP_ADDR says otherwise.
const DEFAULT_PORT: u16 = 9464;

/// Runs until shutdown.
///
/// # Errors
/// Exit code 2 for settings, 1 for everything that a person has to mend.
pub async fn run(settings: RunSettings, shutdown: Shutdown) -> Result<(), Failure> {
    let evaluator = Arc::new(settings.evaluator()?);
    settings.kafka.check()?;
    let instance = settings.flow.instance_id()?;
    let registry = Registry::of(&settings.registry)?;
    let recorder = metrics::install("processor")?;
    let health = Health::new();
    let mut supervisor = Supervisor::new(shutdown.clone());

    let listener = http::bind(settings.http.address(DEFAULT_PORT)).await?;
    let routes = health::routes(health.clone(), recorder, shutdown.clone());
    supervisor.last_task("http", |shutdown| {
        http::serve(listener, routes, http::ConnectionLimits::HEALTH, shutdown)
    });
    let probe = BrokerProbe::new(
        &settings.kafka,
        &settings.topics.order_status_topic,
        health.part("kafka", "connecting"),
        true,
    )?;
    let probe_shutdown = shutdown.clone();
    supervisor.thread("broker-probe", move || {
        probe.run(&probe_shutdown);
        Ok(())
    })?;
    tracing::info!(
        campaign = evaluator.rule().campaign,
        rule = evaluator.fingerprint(),
        instance,
        "processor started"
    );
    let flow = Flow {
        settings,
        evaluator,
        instance,
        registry,
        schemas: KnownSchemas::default(),
        health,
    };
    supervisor.task("flow", flow.run(shutdown));
    supervisor.run(DRAIN + Duration::from_secs(3)).await
}

/// The tasks, and what they wait for before they start.
struct Flow {
    settings: RunSettings,
    evaluator: SharedEvaluator,
    instance: String,
    registry: Option<Registry>,
    schemas: KnownSchemas<OrderStatusPlan>,
    health: Health,
}

impl Flow {
    async fn run(self, shutdown: Shutdown) -> Result<(), Failure> {
        let topics = Topics::of(&self.settings.topics);
        preflight::topics_exist(&self.settings.kafka, topics.names(), &shutdown).await?;
        let format = tokio::select! {
            format = self.voucher_format() => format,
            () = shutdown.requested() => return Ok(()),
        };
        let mut tasks = Supervisor::new(shutdown.clone());
        for number in 0..self.settings.flow.tasks {
            let task = self.task(number, &topics, format)?;
            let shutdown = shutdown.clone();
            tasks.thread(format!("task-{number}"), move || {
                drive(task, || false, &shutdown)
            })?;
        }
        tasks.run(DRAIN).await
    }

    /// With a registry vouchers are Avro, under the id of our own schema, which somebody registered.
    async fn voucher_format(&self) -> VoucherFormat {
        let Some(registry) = &self.registry else {
            return VoucherFormat::Json;
        };
        let subject = format!("{}-value", self.settings.topics.vouchers_topic);
        let part = self.health.part("voucher-schema", "asking the registry");
        let schema_id = registry
            .wait_for_id(&subject, VOUCHER_AVSC, |error| {
                part.not_ready(format!(
                    "the schema of {subject} can't be looked up: {error}"
                ));
            })
            .await;
        part.remove();
        VoucherFormat::Avro { schema_id }
    }

    fn task(
        &self,
        number: u16,
        topics: &Topics,
        format: VoucherFormat,
    ) -> Result<LiveTask, Failure> {
        let flow = &self.settings.flow;
        let transactional_id = format!("{}/{}/{number}", flow.processor_group, self.instance);
        let log = KafkaLog::new(
            &self.settings.kafka,
            topics,
            &flow.processor_group,
            &format!("{}-{number}", self.instance),
            flow.processing_guarantee,
            &transactional_id,
        )?;
        let registry_part = self.health.part(format!("registry-{number}"), "starting");
        let schemas = SchemaCache::new(
            self.registry.clone(),
            OrderStatusPlan::compile_with,
            self.schemas.clone(),
            registry_part,
        );
        let part: Part = self
            .health
            .part(format!("task-{number}"), "joining the group");
        Ok(Task::new(
            log,
            schemas,
            MonotonicClock::new(),
            TaskObserver::new(number, part),
            Arc::clone(&self.evaluator),
            CircuitBreaker::new(&self.settings.breaker),
            TaskSettings {
                guarantee: flow.processing_guarantee,
                topics: topics.clone(),
                format,
                transactional_id,
                bounds: BatchBounds::default(),
            },
        )
        .with_batch(Batch::new(topics.clone(), format).of_group(&flow.processor_group)))
    }
}

type LiveTask = Task<KafkaLog, SchemaCache<OrderStatusPlan>, MonotonicClock, TaskObserver>;
