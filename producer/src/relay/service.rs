//! Wires the relay: what it waits for before it starts, its thread, its wake-ups, its end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use runtime::health::Part;
use runtime::kafka::KafkaSettings;
use runtime::lifecycle::{Failure, Shutdown, Supervisor};
use runtime::postgres::Database;
use runtime::preflight;
use runtime::registry::Registry;
use schemas::ORDER_STATUS_AVSC;
use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::observer::RelayObserver;
use super::outbox_name::OutboxName;
use super::outbox_postgres::PostgresOutbox;
use super::ports::{Log, Observer, Outbox, Timer};
use super::shared_low_water::SharedLowWater;
use super::timer::WakeableTimer;
use super::topic_kafka::KafkaTopic;
use super::{Format, Limits, Relay, Step};

/// A stop waits this long for the batch in hand; what is not finished then is done again by
/// whoever is active next.
pub const DRAIN: Duration = Duration::from_secs(10);

/// The channel on which instances hear of each other's rows.
pub const CHANNEL: &str = "outbox";

/// Between two looks for something that only a person can bring.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// What the relay needs to know.
#[derive(Debug, Clone)]
pub struct RelaySettings {
    /// Where the brokers are.
    pub kafka: KafkaSettings,
    /// Where order statuses go.
    pub topic: String,
    /// With a registry values are Avro, without they are JSON.
    pub registry: Option<Registry>,
    /// Where the outbox is. Not through a pooler that shares sessions: the lock is a session's.
    pub database: Database,
    /// How the outbox is told from others that are published to the same topic.
    pub outbox_name: Option<OutboxName>,
    /// How far the outbox was published; told to others by whoever publishes.
    pub low_water: SharedLowWater,
}

/// Starts the relay as a part of the service. `wake` is notified when rows were committed here.
///
/// Whatever is missing outside (broker, topic, registry, schema, database, migrations) is waited
/// for and told by `part`, as degraded: the ingress takes orders all the same.
///
/// Must be called within a Tokio runtime.
///
/// # Errors
/// Exit code 2 for Kafka settings that can't work; 1 when there is no thread to be had.
pub fn spawn(
    supervisor: &mut Supervisor,
    settings: RelaySettings,
    wake: Arc<Notify>,
    part: Part,
) -> Result<(), Failure> {
    part.degraded("starting");
    let outbox = settings.outbox_name.as_ref();
    let log = KafkaTopic::new(&settings.kafka, &settings.topic, outbox)?;
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
        let relay = Relay::new(
            (
                PostgresOutbox::new(runtime.clone(), settings.database),
                log,
                WakeableTimer::new(runtime, wake, shutdown.clone()),
                RelayObserver::new(part, settings.low_water),
            ),
            settings.topic,
            format,
            Limits::default(),
        );
        drive(relay, &shutdown);
        Ok(())
    })
}

/// Steps until shutdown, and then until nothing is half done or the time for that is over.
fn drive<O: Outbox, L: Log, C: Timer, W: Observer>(
    mut relay: Relay<O, L, C, W>,
    shutdown: &Shutdown,
) {
    let mut stop_by = None;
    loop {
        let step = relay.step();
        if shutdown.is_requested() {
            let stop_by = *stop_by.get_or_insert_with(|| Instant::now() + DRAIN);
            if step == Step::Resting || Instant::now() >= stop_by {
                relay.let_go();
                return;
            }
        }
    }
}

/// A topic that does not exist is a person's to create: its configuration is part of the promise.
fn wait_for_topic(settings: &RelaySettings, part: &Part, shutdown: &Shutdown) {
    part.degraded("waiting for Kafka");
    while let Err(failure) =
        preflight::topics_exist_blocking(&settings.kafka, &[&settings.topic], shutdown)
    {
        part.degraded(failure.to_string());
        let until = Instant::now() + LOOK_AGAIN;
        while Instant::now() < until && !shutdown.is_requested() {
            std::thread::sleep(Duration::from_millis(50));
        }
        if shutdown.is_requested() {
            return;
        }
    }
}

/// Our schema's id is looked up, never registered; `None` when it is time to stop.
async fn format(settings: &RelaySettings, part: &Part, shutdown: &Shutdown) -> Option<Format> {
    if shutdown.is_requested() {
        return None;
    }
    let Some(registry) = &settings.registry else {
        return Some(Format::Json);
    };
    let subject = format!("{}-value", settings.topic);
    part.degraded("asking the registry for the schema's id");
    let schema_id = registry.wait_for_id(&subject, ORDER_STATUS_AVSC, |error| {
        part.degraded(format!(
            "the schema of {subject} can't be looked up: {error}"
        ));
    });
    tokio::select! {
        schema_id = schema_id => Some(Format::Avro { schema_id }),
        () = shutdown.requested() => None,
    }
}

/// Hears of other instances' rows. Notifications may be lost: the relay polls as well.
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
            tokio::time::sleep(LOOK_AGAIN).await;
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
        // Either there are new rows, or it is the low-water mark of the instance that publishes.
        match notification.payload().parse() {
            Ok(mark) => low_water.heard(mark),
            Err(_) => wake.notify_one(),
        }
    }
    Ok(())
}
