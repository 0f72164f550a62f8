//! `producer run`: wires the API, the writers and the relay.

use std::sync::Arc;
use std::time::Duration;

use metrics::gauge;
use runtime::health::starting;
use runtime::http;
use runtime::lifecycle::{Failure, Shutdown};
use runtime::metrics::API_KEYS;
use runtime::service::Service;
use tokio::sync::Notify;

use crate::database;
use crate::http::auth::Keys;
use crate::http::{Access, Api, router};
use crate::ingress::{Gate, Ingress, Maintenance, Queue, VacuumWatch, Wakeup, Writer};
use crate::limits::{API_KEYS_PERIOD, MAX_QUEUED_CHANGES};
use crate::relay::{self, RelaySettings, SharedLowWater};
use crate::settings::{Prepared, RunSettings};

/// How long a stop may take: first the listener completes its requests, then the writers complete the
/// remaining changes.
const DRAIN: Duration = Duration::from_secs(20);

/// Runs until shutdown.
///
/// HTTP is served from the start. While the database is unavailable, orders are answered 503.
///
/// # Errors
/// Exit code 2 for settings, 1 for everything else that a person has to repair.
pub async fn run(settings: RunSettings, shutdown: Shutdown) -> Result<(), Failure> {
    let Prepared {
        database,
        api_keys,
        registry,
    } = settings.prepare()?;
    let address = settings.address();
    shutdown.announce_for(Duration::from_secs(settings.ingress.http_shutdown_delay));
    let mut service = Service::with_traces("producer", shutdown.clone())?;
    let postgres = service.health.part("postgres", starting::CONNECTING);
    let backlog = service.health.part("backlog", starting::NOT_MEASURED);

    let gate = Arc::new(Gate::default());
    let queue = Queue::new(MAX_QUEUED_CHANGES);
    let ingress = Ingress::new(Arc::clone(&queue), Arc::clone(&gate));
    let pool = database::pool(&database, settings.database.database_pool);
    let wakeup = Wakeup::default();
    let low_water = SharedLowWater::default();

    let api = Api::new(
        ingress.clone(),
        pool.clone(),
        settings.ingress.order_default_currency,
        settings.ingress.limits(),
        shutdown.clone(),
    );
    let keys = api_keys.map(|file| {
        let (known, reload) = file.watched();
        let counted = |keys: usize| gauge!(API_KEYS).set(keys as f64);
        service.supervisor.task(
            "api-keys",
            reload.run(API_KEYS_PERIOD, counted, shutdown.clone()),
        );
        let rate = settings.access.key_rate();
        Keys { known, rate }
    });
    let access = Access {
        keys,
        old_routes_without_key: settings.access.old_routes_without_key,
    };
    let routes = router(api, &access, service.routes(), service.tracer.clone());
    // Any request that is not answered yet may submit a change, so the writers run until the last
    // answer.
    let drained = move || ingress.close();
    let listener = http::bind(address, "HTTP_ADDR").await?;
    let limits = settings.ingress.connection_limits();
    service.serve_api(listener, routes, limits, drained);

    for number in 0..settings.ingress.order_writers {
        let writer = Writer::new(
            Arc::clone(&queue),
            Arc::clone(&gate),
            database.clone(),
            wakeup.clone(),
        )
        .tracing(service.tracer.clone());
        service
            .supervisor
            .task(format!("writer-{number}"), writer.run());
    }
    service.supervisor.task(
        "wake-others",
        wakeup
            .clone()
            .notify_others(pool.clone(), low_water.clone(), shutdown.clone()),
    );
    let vacuum = VacuumWatch::new(pool.clone(), service.health.ready_part("vacuum"));
    service
        .supervisor
        .task("vacuum", vacuum.run(shutdown.clone()));
    let maintenance = Maintenance::new(
        database.clone(),
        pool,
        gate,
        (low_water.clone(), settings.ingress.outbox_limit),
        (postgres, backlog),
    );
    let maintenance_database = database.clone();
    let missing_migrations = settings.migrations.missing();
    let migrated = Arc::<Notify>::default();
    let outbox_migrated = Arc::clone(&migrated);
    service.supervisor.task("maintenance", async move {
        let waiting = |error: &_| maintenance.report_outdated(error);
        let done = database::MIGRATIONS.apply_when_possible(
            &maintenance_database,
            missing_migrations,
            waiting,
            &shutdown,
        );
        if done.await? {
            outbox_migrated.notify_one();
            maintenance.run(shutdown).await?;
        }
        Ok(())
    });
    let relay_part = service.health.part("relay", starting::STARTING);
    relay::spawn(
        &mut service.supervisor,
        RelaySettings {
            kafka: settings.shared.kafka,
            topic: settings.shared.topics.order_status_topic,
            registry,
            database,
            outbox_name: settings.relay.outbox_name,
            migrated,
            low_water,
            tracer: service.tracer.clone(),
        },
        wakeup.relay(),
        relay_part,
    )?;
    tracing::info!(%address, "producer started");
    service.supervisor.run(DRAIN).await
}
