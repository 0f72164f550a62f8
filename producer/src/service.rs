//! `producer run`: wires the parts and watches over them.

use std::sync::Arc;
use std::time::Duration;

use runtime::backoff::Backoff;
use runtime::health::{self, Health};
use runtime::lifecycle::{Failure, Shutdown, Supervisor};
use runtime::postgres::{Database, MigrationError};
use runtime::registry::Registry;
use runtime::{http as listener, metrics};

use crate::database;
use crate::http::auth::{KeyFile, Keys};
use crate::http::{Access, Api, Limits, router};
use crate::ingress::{Gate, Ingress, Queue, Upkeep, VacuumWatch, Wakeup, Writer};
use crate::relay::{self, RelaySettings, SharedLowWater};
use crate::settings::RunSettings;

/// The most changes that wait or are being written: a few dozen full groups.
const QUEUE: usize = 16_384;

/// A stop waits this long: the listener drains its requests, then the writers what they left.
const DRAIN: Duration = Duration::from_secs(20);

/// Settings that were found to be right, without a runtime and without connecting anywhere.
#[derive(Debug)]
pub struct Checked {
    settings: RunSettings,
    database: Database,
    keys: Option<KeyFile>,
    registry: Option<Registry>,
}

impl Checked {
    /// Checks the settings.
    ///
    /// # Errors
    /// Exit code 2, saying what to write instead.
    pub fn new(settings: RunSettings) -> Result<Self, Failure> {
        settings.kafka.check()?;
        Ok(Self {
            database: database::database(&settings.database.database_url)?,
            keys: settings.api_keys()?,
            registry: Registry::of(&settings.registry)?,
            settings,
        })
    }

    /// How long a SIGTERM is announced before it is acted on.
    pub const fn shutdown_delay(&self) -> Duration {
        Duration::from_secs(self.settings.ingress.http_shutdown_delay)
    }
}

/// Runs until shutdown.
///
/// HTTP answers from the start on; a database that is down is waited for, and until it is there
/// orders are answered 503.
///
/// # Errors
/// Exit code 1 for everything that a person has to mend.
pub async fn run(checked: Checked, shutdown: Shutdown) -> Result<(), Failure> {
    let Checked {
        settings,
        database,
        keys,
        registry,
    } = checked;
    let recorder = metrics::install("producer")?;
    let health = Health::new();
    // Before anybody can ask: without parts the service would be ready.
    let postgres = health.part("postgres", "connecting");
    let backlog = health.part("backlog", "not measured yet");
    let mut supervisor = Supervisor::new(shutdown.clone());

    let gate = Arc::new(Gate::default());
    let queue = Queue::new(QUEUE);
    let ingress = Ingress::new(Arc::clone(&queue), Arc::clone(&gate));
    let pool = database::pool(&database, settings.database.database_pool);
    let wakeup = Wakeup::default();
    let low_water = SharedLowWater::default();

    let api = Api::new(
        ingress.clone(),
        pool.clone(),
        settings.ingress.order_default_currency,
        limits(&settings),
        shutdown.clone(),
    );
    let keys = keys.map(|file| {
        let (known, reload) = file.watched();
        supervisor.task("api-keys", reload.run(shutdown.clone()));
        let rate = settings.access.key_rate();
        Keys { known, rate }
    });
    let access = Access {
        keys,
        old_routes_without_key: settings.access.old_routes_without_key,
    };
    let routes = router(
        api,
        &access,
        health::routes(health.clone(), recorder, shutdown.clone()),
    );
    let address = settings.address();
    let socket = listener::bind(address).await?;
    let http_shutdown = shutdown.clone();
    let connections = listener::ConnectionLimits {
        connections: settings.ingress.http_connections,
        idle: Duration::from_secs(settings.ingress.http_idle_timeout),
    };
    supervisor.task("http", async move {
        let served = listener::serve(socket, routes, connections, http_shutdown).await;
        // Only now is nobody left who could bring a change.
        ingress.close();
        served
    });

    let writers: Vec<Writer> = (0..settings.ingress.order_writers)
        .map(|_| {
            Writer::new(
                Arc::clone(&queue),
                Arc::clone(&gate),
                database.clone(),
                wakeup.clone(),
            )
        })
        .collect();
    for (number, writer) in writers.into_iter().enumerate() {
        supervisor.task(format!("writer-{number}"), writer.run());
    }
    supervisor.task(
        "wake-others",
        wakeup
            .clone()
            .tell_others(pool.clone(), low_water.clone(), shutdown.clone()),
    );
    relay::spawn(
        &mut supervisor,
        RelaySettings {
            kafka: settings.kafka,
            topic: settings.topics.order_status_topic,
            registry,
            database: database.clone(),
            outbox_name: settings.relay.outbox_name,
            low_water: low_water.clone(),
        },
        wakeup.relay(),
        health.part("relay", "starting"),
    )?;

    let vacuum = VacuumWatch::new(pool.clone(), health.ready_part("vacuum"));
    supervisor.task("vacuum", vacuum.run(shutdown.clone()));

    let upkeep = Upkeep::new(
        database.clone(),
        pool,
        gate,
        (low_water, settings.ingress.outbox_limit),
        (postgres, backlog),
    );
    supervisor.task("upkeep", async move {
        if migrated(&database, &upkeep, &shutdown).await? {
            upkeep.run(shutdown).await?;
        }
        Ok(())
    });
    tracing::info!(%address, "producer started");
    supervisor.run(DRAIN).await
}

/// Brings the schema up to date, waiting for a database that is away. False when it was time to
/// stop before that.
async fn migrated(
    database: &Database,
    upkeep: &Upkeep,
    shutdown: &Shutdown,
) -> Result<bool, Failure> {
    let mut backoff = Backoff::outside();
    loop {
        let tried = tokio::select! {
            tried = database::migrate(database) => tried,
            () = shutdown.requested() => return Ok(false),
        };
        match tried {
            Ok(()) => return Ok(true),
            Err(MigrationError::Incompatible(why)) => {
                return Err(Failure::failed(format!(
                    "this version can't work with the database: {why}; run the version that made \
                     its tables, or a newer one"
                )));
            }
            Err(MigrationError::Database(error)) => upkeep.tell_outdated(&error),
        }
        tokio::select! {
            () = tokio::time::sleep(backoff.next_pause()) => {}
            () = shutdown.requested() => return Ok(false),
        }
    }
}

fn limits(settings: &RunSettings) -> Limits {
    let request_time = settings.ingress.timeout();
    Limits {
        body: settings.ingress.http_body_limit,
        bulk: settings.ingress.http_bulk_limit,
        spool: settings.ingress.http_bulk_spool_limit,
        // Whoever sends slowly hears that the body was slow, not that we were.
        body_time: request_time / 2,
        request_time,
        requests: settings.ingress.http_concurrency,
    }
}
