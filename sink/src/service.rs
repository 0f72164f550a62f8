//! `sink run`: wires the parts and watches over them.

use std::time::{Duration, Instant};

use runtime::circuit_breaker::CircuitBreaker;
use runtime::clock::MonotonicClock;
use runtime::health::{self, Health};
use runtime::kafka::BrokerProbe;
use runtime::lifecycle::{Failure, Shutdown, Supervisor};
use runtime::registry::{KnownSchemas, Registry, SchemaCache};
use runtime::{http, metrics, preflight};
use schemas::VoucherPlan;
use tokio::runtime::Handle;

use crate::kafka::{KafkaDeadLetters, KafkaSource};
use crate::observer::TaskObserver;
use crate::postgres::{Database, DatabaseProbe, PostgresTable, connect_options, migrate};
use crate::settings::RunSettings;
use crate::task::{Ports, Step, Task};

/// Health and metrics, unless HTTP_ADDR says otherwise.
const DEFAULT_PORT: u16 = 9465;

/// A stop waits this long for the batches under way.
const DRAIN: Duration = Duration::from_secs(15);

/// Runs until shutdown.
///
/// # Errors
/// Exit code 2 for settings, 1 for everything that a person has to mend.
pub async fn run(settings: RunSettings, shutdown: Shutdown) -> Result<(), Failure> {
    settings.kafka.check()?;
    let database = Database::new(connect_options(&settings.database.database_url)?);
    let registry = Registry::of(&settings.registry)?;
    let recorder = metrics::install("sink")?;
    let health = Health::new();
    let mut supervisor = Supervisor::new(shutdown.clone());

    let listener = http::bind(settings.http.address(DEFAULT_PORT)).await?;
    supervisor.task(
        "http",
        http::serve(
            listener,
            health::routes(health.clone(), recorder),
            http::HEALTH_CONNECTIONS,
            shutdown.clone(),
        ),
    );
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
}

impl Flow {
    async fn run(self, shutdown: Shutdown) -> Result<(), Failure> {
        let postgres = self.health.part("postgres", "connecting");
        let ((), ()) = tokio::try_join!(
            self.check_topics(&shutdown),
            migrate(&self.database, &postgres, &shutdown),
        )?;
        if shutdown.is_requested() {
            return Ok(());
        }
        let mut parts = Supervisor::new(shutdown.clone());
        let probe = DatabaseProbe::new(self.database.clone(), postgres);
        let probe_shutdown = shutdown.clone();
        parts.task("database-probe", async move {
            probe.run(probe_shutdown).await;
            Ok(())
        });
        for number in 0..self.settings.flow.tasks {
            let task = self.task(number)?;
            let shutdown = shutdown.clone();
            parts.thread(format!("task-{number}"), move || drive(task, &shutdown))?;
        }
        parts.run(DRAIN).await
    }

    async fn check_topics(&self, shutdown: &Shutdown) -> Result<(), Failure> {
        let kafka = self.settings.kafka.clone();
        let topics = &self.settings.topics;
        let names = [topics.vouchers_topic.clone(), topics.voucher_dead_letters()];
        let shutdown = shutdown.clone();
        tokio::task::spawn_blocking(move || {
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            preflight::topics_exist(&kafka, &names, &shutdown)
        })
        .await
        .map_err(|error| Failure::failed(format!("preflight: {error}")))?
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
            source: KafkaSource::join(kafka, &topics.vouchers_topic, &flow.sink_group)?,
            table: PostgresTable::new(self.database.clone(), Handle::current()),
            dead_letters: KafkaDeadLetters::new(kafka, topics.voucher_dead_letters())?,
            schemas: SchemaCache::new(
                self.registry.clone(),
                VoucherPlan::compile,
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

/// Steps until shutdown, and then until the batch in hand is durable and committed (or the time for
/// that is over: what was not committed is done again at the next start, to no effect).
fn drive(mut task: LiveTask, shutdown: &Shutdown) -> Result<(), Failure> {
    let mut stop_by = None;
    loop {
        if shutdown.is_requested() {
            let stop_by = *stop_by.get_or_insert_with(|| Instant::now() + DRAIN);
            if task.is_idle() || Instant::now() >= stop_by {
                return Ok(());
            }
        }
        if let Step::Stop(failure) = task.step() {
            return Err(failure);
        }
    }
}
