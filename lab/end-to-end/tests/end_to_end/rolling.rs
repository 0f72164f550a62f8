//! A rolling update of all three services under load, to the next version and back.
//!
//! The database schema is updated before the services: a migration that adds columns is applied while they
//! run. By default both versions are the binaries under test, so that the test covers the restarts and work
//! with a newer schema. With another version's binaries:
//!
//! ```sh
//! CHECKOUT_PREVIOUS_BIN_DIR=/path/to/release CHECKOUT_ROLLING_P99_MS=1000 \
//!     cargo test --test end_to_end rolling -- --nocapture
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use end_to_end::backends::three_brokers;
use end_to_end::system::{STOP, TestSystem, ready};
use end_to_end::wait;
use sqlx::PgPool;
use stack::{Service, ServiceCommand};

use crate::balancer::Balancer;
use crate::http_load::{HttpLoad, Seen};

/// Names a folder with `producer`, `processor` and `sink` of the version to begin with.
const PREVIOUS: &str = "CHECKOUT_PREVIOUS_BIN_DIR";

/// Sets the most that the 99th percentile of a latency may be, in milliseconds. A machine that runs
/// other tests at the same time promises none.
const MAX_P99: &str = "CHECKOUT_ROLLING_P99_MS";

/// Orders a second: as many as two cores with three brokers can handle, to meet every moment of a restart.
const ORDERS: u32 = 80;

/// The same while latencies are judged: a machine without a free core shows the times of its own queues.
const ORDERS_WHEN_JUDGED: u32 = 20;

/// The chart's `minReadySeconds`.
const MIN_READY: Duration = Duration::from_secs(5);

/// Longer than the balancer needs to notice that an instance is not ready.
const SHUTDOWN_DELAY: &str = "2";

/// Instances of each service.
const INSTANCES: [&str; 2] = ["a", "b"];

/// The migrations of the next version, each in a transaction of its own: a migration that holds the lock of
/// one table and waits for that of another could deadlock with a service that locks them in the opposite
/// order.
const EXPAND_ORDERS: [&str; 3] = [
    "ALTER TABLE orders ADD COLUMN of_the_next_version text",
    "ALTER TABLE outbox ADD COLUMN of_the_next_version text",
    "INSERT INTO producer_migrations (version, description, success, checksum, execution_time)
     VALUES (9001, 'of the next version', true, '\\x00', 1)",
];
const EXPAND_VOUCHERS: [&str; 2] = [
    "ALTER TABLE vouchers ADD COLUMN of_the_next_version text",
    "INSERT INTO sink_migrations (version, description, success, checksum, execution_time)
     VALUES (9001, 'of the next version', true, '\\x00', 1)",
];

/// A version of the services: a folder with its binaries, or those under test.
#[derive(Debug, Clone)]
struct Version {
    name: &'static str,
    folder: Option<PathBuf>,
}

impl Version {
    fn previous() -> Result<Self> {
        let folder = std::env::var_os(PREVIOUS).map(PathBuf::from);
        for service in ["producer", "processor", "sink"] {
            if let Some(folder) = &folder {
                let binary = folder.join(service);
                ensure!(binary.is_file(), "{PREVIOUS} has no {}", binary.display());
            }
        }
        Ok(Self {
            name: "previous",
            folder,
        })
    }

    const fn next() -> Self {
        Self {
            name: "next",
            folder: None,
        }
    }

    fn of(&self, command: ServiceCommand, service: &str) -> ServiceCommand {
        match &self.folder {
            Some(folder) => command.binary(&folder.join(service)),
            None => command,
        }
    }
}

/// All instances of the three services, and the balancer in front of the producers.
struct Fleet<'a> {
    system: &'a TestSystem,
    balancer: Arc<Balancer>,
    producers: Vec<Service>,
    processors: Vec<Service>,
    sinks: Vec<Service>,
    phases: Vec<Phase>,
    is_judged: bool,
}

/// A part of the update, which lasts until the next one begins.
struct Phase {
    name: String,
    began: SystemTime,
}

impl<'a> Fleet<'a> {
    async fn start(system: &'a TestSystem, version: &Version) -> Result<Self> {
        let mut fleet = Self {
            system,
            balancer: Arc::new(Balancer::new()?),
            producers: Vec::new(),
            processors: Vec::new(),
            sinks: Vec::new(),
            phases: Vec::new(),
            is_judged: std::env::var_os(MAX_P99).is_some(),
        };
        for instance in INSTANCES {
            // The first ones create the tables.
            let producer = fleet
                .producer(instance, version)
                .await?
                .env("MIGRATE", "true");
            let sink = fleet.sink(instance, version).await?.env("MIGRATE", "true");
            let processor = fleet.processor(instance, version).await?;
            let (producer, processor, sink) =
                tokio::try_join!(ready(producer), ready(processor), ready(sink))?;
            fleet.balancer.add(&producer.url("")).await;
            fleet.producers.push(producer);
            fleet.processors.push(processor);
            fleet.sinks.push(sink);
        }
        Ok(fleet)
    }

    /// Waits as long as a Kubernetes installation does before it stops the next instance, where latencies are
    /// judged.
    async fn settle(&self) {
        if self.is_judged {
            tokio::time::sleep(MIN_READY).await;
        }
    }

    fn begin(&mut self, phase: &str, instance: &str) {
        self.phases.push(Phase {
            name: format!("{phase} {instance}"),
            began: SystemTime::now(),
        });
    }

    async fn producer(&self, instance: &str, version: &Version) -> Result<ServiceCommand> {
        let name = format!("{instance}-{}", version.name);
        let command = self.system.producer_command(&name).await?;
        let command = command
            .env("HTTP_SHUTDOWN_DELAY", SHUTDOWN_DELAY)
            .env("MIGRATE", "false");
        Ok(version.of(command, "producer"))
    }

    /// Returns the command of a processor, which keeps its name over the update, because Kafka identifies
    /// it by that.
    async fn processor(&self, instance: &str, version: &Version) -> Result<ServiceCommand> {
        let command = self.system.processor_command(instance).await?;
        Ok(version.of(command, "processor"))
    }

    async fn sink(&self, instance: &str, version: &Version) -> Result<ServiceCommand> {
        let name = format!("{instance}-{}", version.name);
        let command = self.system.sink_command(&name).await?;
        Ok(version.of(command.env("MIGRATE", "false"), "sink"))
    }

    /// Starts each new producer before an old one is stopped.
    async fn roll_producers(&mut self, version: &Version) -> Result<()> {
        for (at, instance) in INSTANCES.into_iter().enumerate() {
            self.begin("start of producer", instance);
            let new = ready(self.producer(instance, version).await?).await?;
            self.balancer.add(&new.url("")).await;
            let old = std::mem::replace(&mut self.producers[at], new);
            self.begin("stop of producer", instance);
            stop(&old).await?;
            self.balancer.remove(&old.url(""));
        }
        Ok(())
    }

    /// Stops each processor before its successor, which has its name, is started. The next one is stopped
    /// once the successor has got its partitions back.
    async fn roll_processors(&mut self, version: &Version) -> Result<()> {
        for (at, instance) in INSTANCES.into_iter().enumerate() {
            self.begin("stop of processor", instance);
            stop(&self.processors[at]).await?;
            self.begin("start of processor", instance);
            let new = ready(self.processor(instance, version).await?).await?;
            has_partitions(&new).await;
            self.processors[at] = new;
            self.settle().await;
        }
        Ok(())
    }

    /// Stops each sink before its successor starts. Both together would be one member too many.
    async fn roll_sinks(&mut self, version: &Version) -> Result<()> {
        for (at, instance) in INSTANCES.into_iter().enumerate() {
            self.begin("stop of sink", instance);
            stop(&self.sinks[at]).await?;
            self.begin("start of sink", instance);
            self.sinks[at] = ready(self.sink(instance, version).await?).await?;
            self.settle().await;
        }
        Ok(())
    }
}

/// Waits until the log says that the processor has partitions: the first assignment of a member that joins a
/// group has none, until another one has given some up.
async fn has_partitions(processor: &Service) {
    let log = || async { std::fs::read_to_string(processor.log()).unwrap_or_default() };
    wait::until("partitions of the new processor", log, |log| {
        // The predecessor has written to the same file.
        let own = log.rsplit("processor started").next().unwrap_or_default();
        let mut assignments = own.split("assignment partitions={").skip(1);
        assignments.any(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
    })
    .await;
}

async fn stop(service: &Service) -> Result<()> {
    let status = service.terminate(STOP).await?;
    ensure!(status.success(), "{} ended with {status}", service.name());
    Ok(())
}

/// Brings both schemas to the next version beside the running services.
async fn expand(system: &TestSystem) -> Result<()> {
    for (service, url) in [
        ("producer", &system.orders_url),
        ("sink", &system.vouchers_url),
    ] {
        let environment = [("DATABASE_URL", url.as_str())];
        let migrated = system
            .run_service(service, &["migrate"], &environment)
            .await?;
        ensure!(migrated.code == 0, "{service} migrate: {migrated:?}");
    }
    for statement in EXPAND_ORDERS {
        sqlx::raw_sql(statement).execute(system.orders()).await?;
    }
    for statement in EXPAND_VOUCHERS {
        let pool = system.vouchers_database();
        sqlx::raw_sql(statement).execute(pool).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_rolling_update_and_its_rollback_show_no_error_and_lose_and_repeat_nothing() -> Result<()>
{
    let cluster = three_brokers().await;
    let system = TestSystem::on(cluster.backends(), true).await?;
    let (previous, next) = (Version::previous()?, Version::next());
    let mut fleet = Fleet::start(&system, &previous).await?;
    let orders = if fleet.is_judged {
        ORDERS_WHEN_JUDGED
    } else {
        ORDERS
    };
    let load = HttpLoad::start(Arc::clone(&fleet.balancer), orders);
    // The first transactions of brokers that have just started take seconds.
    load.goes_on(300).await;

    fleet.begin("migrations of", "the next version");
    expand(&system).await?;
    // Readers are updated before writers.
    fleet.roll_sinks(&next).await?;
    fleet.roll_processors(&next).await?;
    fleet.roll_producers(&next).await?;
    fleet.begin("before", "the rollback");
    load.goes_on(50).await;
    // The rollback, with the updated schema.
    fleet.roll_producers(&previous).await?;
    fleet.roll_processors(&previous).await?;
    fleet.roll_sinks(&previous).await?;
    fleet.begin("after", "the rollback");
    load.goes_on(50).await;

    let seen = load.stop().await?;
    judge(&system, &seen, &fleet.phases).await
}

async fn judge(system: &TestSystem, seen: &Seen, phases: &[Phase]) -> Result<()> {
    let few: Vec<_> = seen.wrong.iter().take(5).collect();
    assert!(
        seen.wrong.is_empty(),
        "{} of {} requests went wrong, such as {few:#?}",
        seen.wrong.len(),
        seen.times.len()
    );
    let pool = system.vouchers_database();
    let rows = || async { count(pool, "SELECT count(*) FROM vouchers").await };
    let expected = i64::try_from(seen.sent.len())?;
    wait::until("a row of each sent order", rows, |rows| {
        rows.as_ref().is_ok_and(|rows| *rows >= expected)
    })
    .await?;
    system.settled().await;

    let rows = system.vouchers().await?;
    let mut rows: Vec<_> = rows.into_iter().map(|row| row.order_id).collect();
    rows.sort_unstable();
    assert!(
        rows.iter().eq(&seen.sent),
        "the rows are not those of the {expected} sent orders: {} rows",
        rows.len()
    );
    let mut records = BTreeMap::<String, usize>::new();
    for record in system.voucher_records().await? {
        *records.entry(record.key_text()).or_default() += 1;
    }
    records.retain(|_, count| *count != 1);
    assert!(records.is_empty(), "written more than once: {records:?}");
    assert!(system.dead_letters().await?.is_empty());
    latencies(pool, seen, phases).await
}

/// Reports the latencies since the update began, as a whole and by phase, and judges them where a limit is
/// set.
async fn latencies(pool: &PgPool, seen: &Seen, phases: &[Phase]) -> Result<()> {
    let began = millis_of(phases.first().context("the update has phases")?)?;
    let mut rows: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT (extract(epoch FROM issued_at) * 1000)::bigint,
                (extract(epoch FROM created_at - issued_at) * 1000)::bigint
         FROM vouchers WHERE issued_at >= to_timestamp($1 / 1000.0)",
    )
    .bind(began)
    .fetch_all(pool)
    .await?;
    let mut lines = String::new();
    for (at, phase) in phases.iter().enumerate() {
        let from = millis_of(phase)?;
        let next = phases.get(at + 1).map(millis_of).transpose()?;
        let until = next.unwrap_or(i64::MAX);
        let sent = rows.iter().filter(|(at, _)| (from..until).contains(at));
        let times: Vec<_> = sent.map(|(_, time)| *time).collect();
        let longest = times.iter().max().copied().unwrap_or_default();
        let slow = times.iter().filter(|time| **time > 1000).count();
        writeln!(
            lines,
            "  after {:6} ms, {}: {} sent orders, {slow} took over 1 s, longest {longest} ms",
            from - began,
            phase.name,
            times.len()
        )?;
    }
    rows.sort_unstable_by_key(|(_, time)| *time);
    let row = rows.get(rows.len() * 99 / 100).map_or(0, |(_, time)| *time);
    let row = Duration::from_millis(u64::try_from(row)?);
    let request = seen.p99();
    println!(
        "rolling: {} requests, none failed; 99th percentile of a request {} ms, from the sent order to \
         the row {} ms\n{lines}",
        seen.times.len(),
        request.as_millis(),
        row.as_millis()
    );
    if let Ok(limit) = std::env::var(MAX_P99) {
        let limit = limit
            .parse::<u64>()
            .with_context(|| format!("{MAX_P99}={limit}"))?;
        let limit = Duration::from_millis(limit);
        assert!(request <= limit, "a request took {request:?}");
        assert!(row <= limit, "a row took {row:?}");
    }
    Ok(())
}

fn millis_of(phase: &Phase) -> Result<i64> {
    let since_epoch = phase.began.duration_since(UNIX_EPOCH)?;
    Ok(i64::try_from(since_epoch.as_millis())?)
}

async fn count(pool: &PgPool, query: &'static str) -> Result<i64> {
    Ok(sqlx::query_scalar(query).fetch_one(pool).await?)
}
