//! Real services on a local stack of their own, and topics full of known records.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use end_to_end::system::{self, STOP, TestSystem};
use end_to_end::topic::{self, NewRecord};
use schemas::ORDER_STATUS_AVSC;
use stack::{Backend, Backends, ServiceCommand};

use crate::drain::Progress;
use crate::orders::{self, Format};
use crate::usage::{self, Usage};

/// Records that are handed to the writer at a time.
const CHUNK: u32 = 100_000;

/// How long a drain may take.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// The stack, and how much is asked of it.
#[derive(Clone)]
pub struct Rig {
    /// Kafka, the registry and Postgres.
    pub backends: Arc<Backends>,
    /// A tenth of the records.
    pub quick: bool,
}

impl Rig {
    /// Starts the stack.
    pub async fn start(quick: bool) -> Self {
        Self {
            backends: Arc::new(system::own_backends("bench").await),
            quick,
        }
    }

    /// `full`, or a tenth of it.
    pub const fn records(&self, full: u32) -> u32 {
        if self.quick { full / 10 } else { full }
    }

    /// How often each leg and its limit are measured.
    pub const fn runs(&self) -> usize {
        3
    }

    /// A flow of its own, in Avro or JSON, and the format of its orders.
    ///
    /// # Errors
    /// When topics, schemas or databases can't be made.
    pub async fn system(&self, avro: bool) -> Result<(TestSystem, Format)> {
        let system = TestSystem::on(Arc::clone(&self.backends), avro).await?;
        let format = if avro {
            let subject = format!("{}-value", system.topics.order_status);
            let id = self.backends.register_schema(&subject, ORDER_STATUS_AVSC);
            Format::Avro {
                schema_id: id.await?.try_into()?,
            }
        } else {
            Format::Json
        };
        Ok((system, format))
    }
}

/// Writes `count` orders to the order status topic.
///
/// # Errors
/// When one is not acknowledged.
pub async fn write_orders(system: &TestSystem, count: u32, format: Format) -> Result<()> {
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

/// Writes `count` records, whose keys are `id`'s and of which `value` appends the value.
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

/// What a service took for a topic.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// From ready to the end.
    pub wall: Duration,
    /// What it used, its start included.
    pub usage: Usage,
    /// What it used since it was ready.
    pub cpu_since_ready: Duration,
    /// What Postgres used meanwhile.
    pub postgres_cpu: Duration,
    /// What the broker used meanwhile.
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
    let asked = move || Progress::of(&brokers, &group, &topic);
    let progress = tokio::task::spawn_blocking(asked).await??;
    let end = async move {
        tokio::task::spawn_blocking(move || progress.wait_for_the_end(PATIENCE)).await?
    };
    run_until(system, command, end).await
}

/// Runs a service from ready until `end` is there.
///
/// # Errors
/// When it does not get there.
pub async fn run_until(
    system: &TestSystem,
    command: ServiceCommand,
    end: impl Future<Output = Result<()>>,
) -> Result<Run> {
    let (postgres, kafka) = (postgres_cpu(system)?, kafka_cpu(system)?);
    let service = command.start().await?;
    service.wait_ready(system::START).await?;
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

/// CPU time of Postgres and its backends; zero of one that is not ours.
///
/// # Errors
/// When it does not live.
pub fn postgres_cpu(system: &TestSystem) -> Result<Duration> {
    backend_cpu(system.backends.postgres())
}

/// CPU time of the broker; zero of one that is not ours.
///
/// # Errors
/// When it does not live.
pub fn kafka_cpu(system: &TestSystem) -> Result<Duration> {
    backend_cpu(system.backends.kafka())
}

fn backend_cpu(backend: &Backend) -> Result<Duration> {
    match backend.pid() {
        Some(pid) => usage::of_family(pid),
        None => Ok(Duration::ZERO),
    }
}

/// Microseconds of each of `count`.
pub fn micros_each(time: Duration, count: u32) -> f64 {
    time.as_secs_f64() * 1e6 / f64::from(count)
}

/// So many of `count` a second.
pub fn per_second(count: u32, time: Duration) -> f64 {
    f64::from(count) / time.as_secs_f64()
}
