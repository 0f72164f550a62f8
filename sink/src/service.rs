//! `sink run`: wires the ports and the tasks.

use runtime::clock::MonotonicClock;
use runtime::group_lag::GroupLag;
use runtime::health::{Health, Part, starting};
use runtime::kafka::Subscription;
use runtime::lifecycle::{Failure, Shutdown, Supervisor};
use runtime::preflight;
use runtime::registry::{KnownSchemas, Registry, SchemaCache};
use runtime::service::{Service, run_tasks};
use runtime::traces::{BatchTracer, Tracer};
use schemas::VoucherPlan;

use crate::kafka::{KafkaDeadLetters, join_group};
use crate::observer::TaskObserver;
use crate::settings::{Prepared, RunSettings};
use crate::target::{Database, DatabaseProbe, VouchersTable, migrate};
use crate::task::{self, Ports, Task};

/// The default port of health and metrics.
pub(crate) const DEFAULT_PORT: u16 = 9465;

/// Runs until shutdown.
///
/// # Errors
/// Exit code 2 for settings, 1 for everything else that a person has to repair.
pub async fn run(settings: RunSettings, shutdown: Shutdown) -> Result<(), Failure> {
    let Prepared { database, registry } = settings.prepare()?;
    let shared = &settings.shared;
    let mut service = Service::with_traces("sink", shutdown.clone())?;
    service.expect_tasks(settings.flow.tasks);
    let postgres = service.health.part("postgres", starting::CONNECTING);
    service.probe_brokers(&shared.kafka, &shared.topics.vouchers_topic)?;
    service
        .serve_health(settings.http.address(DEFAULT_PORT))
        .await?;
    tracing::info!(
        group = settings.group.sink_group,
        tasks = settings.flow.tasks,
        "sink started"
    );
    let lag = service.lags.add(
        &settings.group.sink_group,
        &settings.shared.topics.vouchers_topic,
    );
    let flow = Flow {
        settings,
        database,
        registry,
        schemas: KnownSchemas::default(),
        health: service.health.clone(),
        lag,
        tracer: service.tracer.clone(),
        postgres,
    };
    service.run_flow(flow.run(shutdown)).await
}

/// The tasks, and what they wait for before they start.
struct Flow {
    settings: RunSettings,
    database: Database,
    registry: Option<Registry>,
    schemas: KnownSchemas<VoucherPlan>,
    health: Health,
    lag: GroupLag,
    tracer: Tracer,
    /// The state of the database in `/readyz`.
    postgres: Part,
}

impl Flow {
    async fn run(self, shutdown: Shutdown) -> Result<(), Failure> {
        let shared = &self.settings.shared;
        let topics = &shared.topics;
        let names = vec![topics.vouchers_topic.clone(), topics.voucher_dead_letters()];
        let ((), ()) = tokio::try_join!(
            preflight::topics_exist(&shared.kafka, names, &shutdown),
            migrate(
                &self.database,
                self.settings.migrations.missing(),
                &self.postgres,
                &shutdown
            ),
        )?;
        if shutdown.is_requested() {
            return Ok(());
        }
        let mut parts = Supervisor::new(shutdown.clone());
        let probe = DatabaseProbe::new(self.database.clone(), self.postgres.clone());
        parts.task("database-probe", async move {
            probe.run(shutdown).await;
            Ok(())
        });
        run_tasks(parts, self.settings.flow.tasks, |number| self.task(number)).await
    }

    fn task(&self, number: u16) -> Result<LiveTask, Failure> {
        let shared = &self.settings.shared;
        let topic = &shared.topics.vouchers_topic;
        let group = &self.settings.group.sink_group;
        let registry_part = self
            .health
            .part(format!("registry-{number}"), starting::STARTING);
        let part = self
            .health
            .part(format!("task-{number}"), starting::JOINING_GROUP);
        let clock = MonotonicClock::new();
        let tracer = BatchTracer::new(self.tracer.clone(), clock, topic, group);
        let ports = Ports {
            source: join_group(&shared.kafka, topic, group, number)?,
            table: VouchersTable::new(self.database.clone())?,
            dead_letters: KafkaDeadLetters::new(
                &shared.kafka,
                shared.topics.voucher_dead_letters(),
                group,
            )?,
            schemas: SchemaCache::new(self.registry.clone(), self.schemas.clone(), registry_part),
            clock,
            observer: TaskObserver::new(number, part, self.lag.task()).tracing(tracer),
        };
        let settings = task::Settings {
            topic: topic.clone(),
            breaker: self.settings.breaker.clone(),
        };
        Ok(Task::new(ports, settings))
    }
}

type LiveTask = Task<
    Subscription,
    VouchersTable,
    KafkaDeadLetters,
    SchemaCache<VoucherPlan>,
    MonotonicClock,
    TaskObserver,
>;
