//! `sink run`: wires the parts and watches over them.

use std::time::Duration;

use runtime::circuit_breaker::CircuitBreaker;
use runtime::clock::MonotonicClock;
use runtime::health::{self, Health, Part};
use runtime::kafka::BrokerProbe;
use runtime::lifecycle::{Failure, Shutdown, Supervisor};
use runtime::registry::{KnownSchemas, Registry, SchemaCache};
use runtime::stepping::{DRAIN, drive};
use runtime::{http, metrics, preflight};
use schemas::VoucherPlan;

use crate::kafka::{KafkaDeadLetters, KafkaSource};
use crate::observer::TaskObserver;
use crate::postgres::{Database, DatabaseProbe, PostgresTable, migrate};
use crate::settings::RunSettings;
use crate::task::{Ports, Task};

/// Health and metrics, unless HTTP_ADDR says otherwise.
const DEFAULT_PORT: u16 = 9465;

/// Runs until shutdown.
///
/// # Errors
/// Exit code 2 for settings, 1 for everything that a person has to mend.
pub async fn run(settings: RunSettings, shutdown: Shutdown) -> Result<(), Failure> {
    settings.kafka.check()?;
    let database = Database::new(&settings.database.database_url)?;
    let registry = Registry::of(&settings.registry)?;
    let recorder = metrics::install("sink")?;
    let health = Health::new();
    // Before anybody can ask whether we are ready.
    let postgres = health.part("postgres", "connecting");
    let mut supervisor = Supervisor::new(shutdown.clone());

    let listener = http::bind(settings.http.address(DEFAULT_PORT)).await?;
    let routes = health::routes(health.clone(), recorder, shutdown.clone());
    supervisor.last_task("http", |shutdown| {
        http::serve(listener, routes, http::ConnectionLimits::HEALTH, shutdown)
    });
    let probe = BrokerProbe::new(
        &settings.kafka,
        &settings.topics.vouchers_topic,
        health.part("kafka", "connecting"),
        true,
    )?;
    let probe_shutdown = shutdown.clone();
    supervisor.thread("broker-probe", move || {
        probe.run(&probe_shutdown);
        Ok(())
    })?;
    tracing::info!(
        group = settings.flow.sink_group,
        tasks = settings.flow.tasks,
        "sink started"
    );
    let flow = Flow {
        settings,
        database,
        registry,
        schemas: KnownSchemas::default(),
        health,
        postgres,
    };
    supervisor.task("flow", flow.run(shutdown));
    supervisor.run(DRAIN + Duration::from_secs(3)).await
}

/// The tasks, and what they wait for before they start.
struct Flow {
    settings: RunSettings,
    database: Database,
    registry: Option<Registry>,
    schemas: KnownSchemas<VoucherPlan>,
    health: Health,
    /// What `/readyz` says of the database.
    postgres: Part,
}

impl Flow {
    async fn run(self, shutdown: Shutdown) -> Result<(), Failure> {
        let topics = &self.settings.topics;
        let names = vec![topics.vouchers_topic.clone(), topics.voucher_dead_letters()];
        let ((), ()) = tokio::try_join!(
            preflight::topics_exist(&self.settings.kafka, names, &shutdown),
            migrate(&self.database, &self.postgres, &shutdown),
        )?;
        if shutdown.is_requested() {
            return Ok(());
        }
        let mut parts = Supervisor::new(shutdown.clone());
        let probe = DatabaseProbe::new(self.database.clone(), self.postgres.clone());
        let probe_shutdown = shutdown.clone();
        parts.task("database-probe", async move {
            probe.run(probe_shutdown).await;
            Ok(())
        });
        for number in 0..self.settings.flow.tasks {
            let task = self.task(number)?;
            let shutdown = shutdown.clone();
            parts.thread(format!("task-{number}"), move || {
                drive(task, || false, &shutdown)
            })?;
        }
        parts.run(DRAIN).await
    }

    fn task(&self, number: u16) -> Result<LiveTask, Failure> {
        let RunSettings {
            kafka,
            topics,
            flow,
            breaker,
            ..
        } = &self.settings;
        let registry_part = self.health.part(format!("registry-{number}"), "starting");
        let part = self
            .health
            .part(format!("task-{number}"), "joining the group");
        let ports = Ports {
            source: KafkaSource::join(kafka, &topics.vouchers_topic, &flow.sink_group, number)?,
            table: PostgresTable::new(self.database.clone())?,
            dead_letters: KafkaDeadLetters::new(
                kafka,
                topics.voucher_dead_letters(),
                &flow.sink_group,
            )?,
            schemas: SchemaCache::new(
                self.registry.clone(),
                VoucherPlan::compile_with,
                self.schemas.clone(),
                registry_part,
            ),
            clock: MonotonicClock::new(),
            observer: TaskObserver::new(number, part),
        };
        Ok(Task::new(
            ports,
            topics.vouchers_topic.clone(),
            CircuitBreaker::new(breaker),
        ))
    }
}

type LiveTask = Task<
    KafkaSource,
    PostgresTable,
    KafkaDeadLetters,
    SchemaCache<VoucherPlan>,
    MonotonicClock,
    TaskObserver,
>;
