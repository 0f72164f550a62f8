//! The shell around the flow of a running service: metrics, health, the HTTP listener, the broker probe,
//! the supervised parts, and the notifications to systemd. It is the same for all services.
//!
//! A service creates a [`Service`], adds its health parts, then a listener and its other parts, and
//! supervises them until shutdown. Health parts come before the listener: a service without parts is ready.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::metrics::gauge;
use axum::Router;
use clap::Args;
use tokio::net::TcpListener;

use crate::group_lag::GroupLags;
use crate::health::{self, Health, NORMAL_START, starting};
use crate::http::{self, ConnectionLimits};
use crate::kafka::{BrokerProbe, KafkaSettings};
use crate::lifecycle::{Failure, Shutdown, Supervisor};
use crate::metrics::{self, Exposition, READY};
use crate::registry::RegistrySettings;
use crate::service_manager;
use crate::settings::TopicSettings;
use crate::stepping::{DRAIN, StateMachine, StopTogether, drive_with};
use crate::traces::Tracer;

/// How long the last spans may take to reach the collector. Shorter than the time that the last parts of
/// a service have to end.
const LAST_SPANS: Duration = Duration::from_millis(900);

/// How often the samples of the histograms are added up. Bounds their memory while nobody reads the
/// metrics.
const SAMPLES_PERIOD: Duration = Duration::from_secs(5);

/// Settings that the services share: how they reach Kafka and the schema registry, and which topics
/// they use.
#[derive(Debug, Clone, Args)]
pub struct SharedSettings {
    /// The brokers, and properties of the clients.
    #[command(flatten)]
    pub kafka: KafkaSettings,
    /// The schema registry, and how to authenticate with it.
    #[command(flatten)]
    pub registry: RegistrySettings,
    /// The names of the topics.
    #[command(flatten)]
    pub topics: TopicSettings,
}

/// A running service.
#[derive(Debug)]
pub struct Service {
    /// What the parts report about themselves, as `/readyz` shows it.
    pub health: Health,
    /// The parts.
    pub supervisor: Supervisor,
    /// The lags of the consumer groups that the service reads as.
    pub lags: GroupLags,
    /// Records spans of sampled orders, if the service has traces and a collector is configured.
    pub tracer: Tracer,
    metrics: Exposition,
}

impl Service {
    /// Installs the metrics of the service `name`, and returns a service without traces and other parts.
    /// Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// When the process has a metrics recorder already.
    pub fn new(name: &str, shutdown: Shutdown) -> Result<Self, Failure> {
        let metrics = metrics::install(name)?;
        let mut supervisor = Supervisor::new(shutdown);
        supervisor.last_task("metrics", |shutdown| {
            add_up_samples_until(shutdown, metrics.clone())
        });
        let health = Health::new();
        supervisor.last_task("readiness", |shutdown| {
            warn_of_slow_start_until(shutdown, health.clone())
        });
        Ok(Self {
            health,
            supervisor,
            lags: GroupLags::default(),
            tracer: Tracer::off(),
            metrics,
        })
    }

    /// Returns a [`new`](Self::new) service that records spans, if a collector is configured.
    ///
    /// # Errors
    /// When the process has a metrics recorder already. Exit code 2 for `OTEL_*` variables that cannot
    /// be followed.
    pub fn with_traces(name: &str, shutdown: Shutdown) -> Result<Self, Failure> {
        let mut service = Self::new(name, shutdown)?;
        service.tracer = Tracer::start(name)?;
        if service.tracer.is_on() {
            let tracer = service.tracer.clone();
            // Other parts record spans until they end.
            let export = |shutdown| export_until(shutdown, tracer);
            service.supervisor.last_task("traces", export);
        }
        Ok(service)
    }

    /// Returns the shutdown that the parts watch.
    pub fn shutdown(&self) -> Shutdown {
        self.supervisor.shutdown().clone()
    }

    /// Returns the routes `/livez`, `/readyz` and `/metrics`.
    pub fn routes(&self) -> Router {
        let (lags, metrics) = (self.lags.clone(), self.metrics.clone());
        let (health, ready) = (self.health.clone(), gauge!(READY));
        let render = move || {
            lags.update();
            ready.set(u8::from(health.is_ready()));
            metrics.render()
        };
        health::routes(self.health.clone(), render, self.shutdown())
    }

    /// Serves health and metrics. They answer until all other parts have ended, so that a shutdown
    /// can be watched.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn serve_health(&mut self, address: SocketAddr) -> Result<(), Failure> {
        let listener = http::bind(address, "HTTP_ADDR").await?;
        let routes = self.routes();
        self.supervisor.last_task("http", |shutdown| {
            http::serve(listener, routes, ConnectionLimits::HEALTH, shutdown)
        });
        self.report_to_service_manager();
        Ok(())
    }

    /// Serves an API until shutdown, then completes its open requests and calls `drained`.
    pub fn serve_api(
        &mut self,
        listener: TcpListener,
        routes: Router,
        limits: ConnectionLimits,
        drained: impl FnOnce() + Send + 'static,
    ) {
        let shutdown = self.shutdown();
        self.supervisor.task("http", async move {
            let served = http::serve(listener, routes, limits, shutdown).await;
            drained();
            served
        });
        self.report_to_service_manager();
    }

    /// Tells systemd that the service listens, and from then on that it works and when it stops. The last
    /// notification is sent before the service ends.
    fn report_to_service_manager(&mut self) {
        if service_manager::is_present() {
            self.supervisor
                .last_task("service-manager", service_manager::report);
        }
    }

    /// Asks the brokers for `topic` every two seconds. While they do not answer, the service is not
    /// ready.
    ///
    /// # Errors
    /// Exit code 2 for Kafka settings that cannot work; 1 when no thread can be started.
    pub fn probe_brokers(&mut self, kafka: &KafkaSettings, topic: &str) -> Result<(), Failure> {
        let part = self.health.part("kafka", starting::CONNECTING);
        let probe = BrokerProbe::new(kafka, topic, part)?;
        let shutdown = self.shutdown();
        self.supervisor.thread("broker-probe", move || {
            probe.run(&shutdown);
            Ok(())
        })
    }

    /// Adds the health parts of `count` tasks, so that the service is not ready before they run.
    pub fn expect_tasks(&self, count: u16) {
        for number in 0..count {
            self.health
                .part(format!("task-{number}"), starting::WAITING_FOR_TOPICS);
        }
    }

    /// Runs a service whose work is one flow, see [`run_tasks`].
    ///
    /// # Errors
    /// The first part's failure, or how many parts did not end in time.
    pub async fn run_flow(
        mut self,
        flow: impl Future<Output = Result<(), Failure>> + Send + 'static,
    ) -> Result<(), Failure> {
        self.supervisor.task("flow", flow);
        // The flow itself reports tasks that did not end within DRAIN, which takes it a little longer
        // than DRAIN.
        self.supervisor.run(DRAIN + Duration::from_secs(3)).await
    }
}

/// Bounds the memory of samples until all other parts have ended.
async fn add_up_samples_until(shutdown: Shutdown, metrics: Exposition) -> Result<(), Failure> {
    let mut ticks = tokio::time::interval(SAMPLES_PERIOD);
    loop {
        tokio::select! {
            _ = ticks.tick() => metrics.add_up_samples(),
            () = shutdown.requested() => return Ok(()),
        }
    }
}

/// Warns of the parts that are not ready after a normal start. It lasts as long as the service, because
/// the end of a part ends the others.
async fn warn_of_slow_start_until(shutdown: Shutdown, health: Health) -> Result<(), Failure> {
    tokio::select! {
        () = tokio::time::sleep(NORMAL_START) => health.warn_of_slow_start(),
        () = shutdown.requested() => {}
    }
    shutdown.requested().await;
    Ok(())
}

/// Waits until all other parts have ended, and exports the spans that they left. That blocks, so a
/// thread of its own does it.
async fn export_until(shutdown: Shutdown, tracer: Tracer) -> Result<(), Failure> {
    shutdown.requested().await;
    let exported = tokio::task::spawn_blocking(move || tracer.shut_down(LAST_SPANS));
    exported
        .await
        .map_err(|error| Failure::failed(format!("the last spans were not exported: {error}")))
}

/// Adds `count` tasks to the parts of a flow, each on its own thread, and runs them until shutdown.
///
/// # Errors
/// When a task cannot be made; the first part's failure; how many parts did not end in time.
pub async fn run_tasks<T: StateMachine + Send + 'static>(
    mut parts: Supervisor,
    count: u16,
    mut task: impl FnMut(u16) -> Result<T, Failure>,
) -> Result<(), Failure> {
    let together = Arc::new(StopTogether::new(usize::from(count)));
    for number in 0..count {
        let task = task(number)?;
        let shutdown = parts.shutdown().clone();
        let together = Arc::clone(&together);
        parts.thread(format!("task-{number}"), move || {
            drive_with(task, || false, &shutdown, &together)
        })?;
    }
    parts.run(DRAIN).await
}
