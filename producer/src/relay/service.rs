//! Starts the relay: waits for its prerequisites, starts its thread, and wakes it when there are new
//! rows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use runtime::health::{Part, starting};
use runtime::kafka::KafkaSettings;
use runtime::lifecycle::{Failure, Shutdown, Supervisor};
use runtime::postgres::Database;
use runtime::preflight;
use runtime::registry::{Registry, value_format};
use runtime::stepping::drive;
use runtime::traces::Tracer;
use schemas::{ORDER_STATUS_AVSC, ValueFormat};
use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::ReadLimits;
use super::limits::PREREQUISITE_PAUSE;
use super::observer::RelayObserver;
use super::outbox_name::OutboxName;
use super::outbox_postgres::PostgresOutbox;
use super::shared_low_water::SharedLowWater;
use super::task::{Ports, Relay, Settings};
use super::timer::WakeableTimer;
use super::topic_kafka::KafkaTopic;

/// The channel on which instances notify each other of new rows.
pub const CHANNEL: &str = "outbox";

/// The settings of the relay as a part of the service.
#[derive(Debug, Clone)]
pub struct RelaySettings {
    /// How to reach the brokers.
    pub kafka: KafkaSettings,
    /// The order status topic.
    pub topic: String,
    /// With a registry values are written as Avro, without one as JSON.
    pub registry: Option<Registry>,
    /// The outbox's database. The connection must not go through a pooler that shares sessions, because
    /// the lock belongs to a session.
    pub database: Database,
    /// Distinguishes the outbox from others that are published to the same topic.
    pub outbox_name: Option<OutboxName>,
    /// Notified once the database has the tables that this version needs.
    pub migrated: Arc<Notify>,
    /// The low-water mark, for the other readers of the outbox.
    pub low_water: SharedLowWater,
    /// Records spans of sampled rows.
    pub tracer: Tracer,
}

/// Starts the relay as a part of the service. `wake` is notified when this instance has committed rows.
///
/// The relay waits for whatever is missing outside (broker, topic, registry, schema, database,
/// migrations) and says so in `part`, as degraded: the ingress accepts orders all the same.
///
/// Must be called within a Tokio runtime.
///
/// # Errors
/// Exit code 2 for Kafka settings that cannot work; 1 when no thread can be started.
pub fn spawn(
    supervisor: &mut Supervisor,
    settings: RelaySettings,
    wake: Arc<Notify>,
    part: Part,
) -> Result<(), Failure> {
    part.degraded(starting::STARTING);
    let outbox = settings.outbox_name.as_ref();
    let topic = KafkaTopic::new(&settings.kafka, &settings.topic, outbox)?;
    let runtime = Handle::current();
    let shutdown = supervisor.shutdown().clone();
    supervisor.task(
        "relay-wake-up",
        listen(
            settings.database.clone(),
            Arc::clone(&wake),
            settings.low_water.clone(),
            shutdown.clone(),
        ),
    );
    supervisor.thread("relay", move || {
        wait_for_topic(&settings, &part, &shutdown);
        let Some(format) = runtime.block_on(format(&settings, &part, &shutdown)) else {
            return Ok(());
        };
        part.degraded("waiting for the tables of the outbox");
        runtime.block_on(async {
            tokio::select! {
                () = settings.migrated.notified() => {}
                () = shutdown.requested() => {}
            }
        });
        let timer = WakeableTimer::new(runtime.clone(), wake, shutdown.clone());
        let observer = RelayObserver::new(part, settings.low_water).tracing(
            settings.tracer,
            timer.clock(),
            &settings.topic,
        );
        let ports = Ports {
            outbox: PostgresOutbox::new(runtime, settings.database),
            topic,
            timer,
            observer,
        };
        let task_settings = Settings {
            topic: settings.topic,
            format,
            limits: ReadLimits::default(),
        };
        drive(Relay::new(ports, task_settings), || false, &shutdown)
    })
}

/// Waits until the topic exists. The relay does not create it, because its configuration is part of
/// what the service guarantees.
fn wait_for_topic(settings: &RelaySettings, part: &Part, shutdown: &Shutdown) {
    part.degraded(starting::WAITING_FOR_KAFKA);
    while let Err(failure) =
        preflight::topics_exist_blocking(&settings.kafka, &[&settings.topic], shutdown)
    {
        part.degraded(failure.to_string());
        let until = Instant::now() + PREREQUISITE_PAUSE;
        while Instant::now() < until && !shutdown.is_requested() {
            std::thread::sleep(Duration::from_millis(50));
        }
        if shutdown.is_requested() {
            return;
        }
    }
}

/// Looks up the format of values. Never registers a schema. Returns `None` when a stop is requested.
async fn format(settings: &RelaySettings, part: &Part, shutdown: &Shutdown) -> Option<ValueFormat> {
    if shutdown.is_requested() {
        return None;
    }
    let registry = settings.registry.as_ref();
    if registry.is_some() {
        part.degraded(starting::ASKING_FOR_SCHEMA_ID);
    }
    let format = value_format(registry, &settings.topic, ORDER_STATUS_AVSC, |why| {
        part.degraded(why);
    });
    tokio::select! {
        format = format => Some(format),
        () = shutdown.requested() => None,
    }
}

/// Listens for other instances' rows. Notifications may be lost: the relay polls as well.
async fn listen(
    database: Database,
    wake: Arc<Notify>,
    low_water: SharedLowWater,
    shutdown: Shutdown,
) -> Result<(), Failure> {
    let options = PgPoolOptions::new()
        .max_connections(1)
        .max_lifetime(None)
        .idle_timeout(None);
    let pool = database.pool(options);
    let listening = async {
        loop {
            database.repoint(&pool);
            if let Err(error) = forward(&pool, &wake, &low_water).await {
                tracing::debug!(%error, "not listening for other instances' rows; polling");
            }
            tokio::time::sleep(PREREQUISITE_PAUSE).await;
        }
    };
    tokio::select! {
        () = listening => {}
        () = shutdown.requested() => {}
    }
    Ok(())
}

async fn forward(
    pool: &sqlx::PgPool,
    wake: &Notify,
    low_water: &SharedLowWater,
) -> sqlx::Result<()> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.eager_reconnect(false);
    listener.listen(CHANNEL).await?;
    while let Some(notification) = listener.try_recv().await? {
        // A number is the low-water mark of the publishing instance. Any other payload announces new
        // rows.
        match notification.payload().parse() {
            Ok(mark) => low_water.heard(mark),
            Err(_) => wake.notify_one(),
        }
    }
    Ok(())
}
