//! Real services on a local stack, and topics full of known records.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use end_to_end::backends::own_backends_with;
use end_to_end::system::{START, STOP, TestSystem};
use end_to_end::topic::{self, NewRecord};
use schemas::{ORDER_STATUS_AVSC, ValueFormat};
use stack::{Backend, Backends, ServiceCommand};

use crate::drain::Progress;
use crate::orders;
use crate::usage::{self, Usage};

/// The number of records that are written at a time.
const CHUNK: u32 = 100_000;

/// How long a drain may take.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(300);

/// The stack, and the amount of work.
#[derive(Clone)]
pub struct Rig {
    /// Kafka, the registry and Postgres.
    pub backends: Arc<Backends>,
    /// Whether a tenth of the records is used.
    pub quick: bool,
}

impl Rig {
    /// Starts the stack with this number of brokers.
    pub async fn start(quick: bool, brokers: u8) -> Self {
        let backends = own_backends_with("bench", |options| options.brokers = brokers).await;
        Self {
            backends: Arc::new(backends),
            quick,
        }
    }

    /// Returns `full`, or a tenth of it.
    pub const fn records(&self, full: u32) -> u32 {
        if self.quick { full / 10 } else { full }
    }

    /// Returns how often each leg and its limit are measured.
    pub const fn runs(&self) -> usize {
        3
    }

    /// Creates a flow, in Avro or JSON; returns it and the format of its orders.
    ///
    /// # Errors
    /// When topics, schemas or databases cannot be created.
    pub async fn system(&self, avro: bool) -> Result<(TestSystem, ValueFormat)> {
        let system = TestSystem::on(Arc::clone(&self.backends), avro).await?;
        let format = if avro {
            let subject = format!("{}-value", system.topics.order_status);
            let id = self.backends.register_schema(&subject, ORDER_STATUS_AVSC);
            ValueFormat::Avro(id.await?.try_into()?)
        } else {
            ValueFormat::Json
        };
        Ok((system, format))
    }
}

/// Writes `count` orders to the order status topic.
///
/// # Errors
/// When one is not acknowledged.
pub async fn write_orders(system: &TestSystem, count: u32, format: ValueFormat) -> Result<()> {
    write(
        system,
        &system.topics.order_status,
        count,
        orders::id,
        |number, id, value| {
            orders::write(number, id, format, value)?;
            Ok(())
        },
    )
    .await
}

/// Writes `count` records: `id` returns a record's key, and `value` appends its value.
///
/// # Errors
/// When one is not acknowledged.
pub async fn write(
    system: &TestSystem,
    to: &str,
    count: u32,
    id: fn(u32) -> String,
    value: impl Fn(u32, &str, &mut Vec<u8>) -> Result<()>,
) -> Result<()> {
    for first in (0..count).step_by(CHUNK as usize) {
        let records = (first..count.min(first + CHUNK)).map(|number| {
            let id = id(number);
            let mut bytes = Vec::new();
            value(number, &id, &mut bytes)?;
            Ok(NewRecord::new(id, bytes))
        });
        topic::write(system.brokers(), to, records.collect::<Result<_>>()?).await?;
    }
    Ok(())
}

/// What a service used for a topic.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// The time from ready to the end.
    pub wall: Duration,
    /// What it used, including its start.
    pub usage: Usage,
    /// What it used since it was ready.
    pub cpu_since_ready: Duration,
    /// What Postgres used meanwhile.
    pub postgres_cpu: Duration,
    /// What all brokers used meanwhile.
    pub kafka_cpu: Duration,
}

/// Runs a service until its group has read `topic` to its end.
///
/// # Errors
/// When it does not.
pub async fn drain(
    system: &TestSystem,
    command: ServiceCommand,
    group: &str,
    topic: &str,
) -> Result<Run> {
    let (brokers, group) = (system.brokers().to_owned(), group.to_owned());
    let topic = topic.to_owned();
    let watch = move || Progress::of(&brokers, &group, &topic);
    let progress = tokio::task::spawn_blocking(watch).await??;
    let end = async move {
        tokio::task::spawn_blocking(move || progress.wait_for_the_end(DRAIN_TIMEOUT)).await?
    };
    run_until(system, command, end).await
}

/// Starts a service and runs it until `end` returns.
///
/// # Errors
/// When `end` fails.
pub async fn run_until(
    system: &TestSystem,
    command: ServiceCommand,
    end: impl Future<Output = Result<()>>,
) -> Result<Run> {
    let (postgres, kafka) = (postgres_cpu(system)?, kafka_cpu(system)?);
    let service = command.start().await?;
    service.wait_ready(START).await?;
    let (begun, at_ready) = (Instant::now(), usage::of(service.pid())?.cpu);
    end.await
        .with_context(|| format!("the log: {}", service.log().display()))?;
    let (wall, usage) = (begun.elapsed(), usage::of(service.pid())?);
    let run = Run {
        wall,
        usage,
        cpu_since_ready: usage.cpu.saturating_sub(at_ready),
        postgres_cpu: postgres_cpu(system)?.saturating_sub(postgres),
        kafka_cpu: kafka_cpu(system)?.saturating_sub(kafka),
    };
    service.terminate(STOP).await?;
    Ok(run)
}

/// Returns the CPU time of Postgres and its backends; zero if it is external.
///
/// # Errors
/// When it does not run.
pub fn postgres_cpu(system: &TestSystem) -> Result<Duration> {
    backend_cpu(system.backends.postgres())
}

/// Returns the CPU time of all brokers; zero if they are external.
///
/// # Errors
/// When one does not run.
pub fn kafka_cpu(system: &TestSystem) -> Result<Duration> {
    system.backends.brokers().iter().map(backend_cpu).sum()
}

fn backend_cpu(backend: &Backend) -> Result<Duration> {
    match backend.pid() {
        Some(pid) => usage::of_family(pid),
        None => Ok(Duration::ZERO),
    }
}

/// Returns the microseconds for each of `count`.
pub fn micros_each(time: Duration, count: u32) -> f64 {
    time.as_secs_f64() * 1e6 / f64::from(count)
}

/// Returns how many of `count` there were a second.
pub fn per_second(count: u32, time: Duration) -> f64 {
    f64::from(count) / time.as_secs_f64()
}
