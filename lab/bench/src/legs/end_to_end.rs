//! The latency of the whole system, at a steady rate.

use std::time::{Duration, Instant};

use anyhow::Result;
use end_to_end::system::{STOP, TestSystem, ready};
use stack::Service;

use super::{ingress, relay};
use crate::awaited::{Awaited, RowWatch};
use crate::client::Client;
use crate::figure::{Figure, Target, percentile};
use crate::rig::{self, Rig};
use crate::usage;

const LEG: &str = "end to end";

/// The number of connections that share the rate: enough that no request waits for another.
const CONNECTIONS: u32 = 16;

/// What shares the cores with the load, in the order of [`Services::cpu`].
const PARTS: [&str; 5] = [
    "cores in use, by the producer",
    "cores in use, by the processor",
    "cores in use, by the sink",
    "cores in use, by Postgres",
    "cores in use, by Kafka",
];

/// Measures the time from the start of the PATCH to `SENT` until a SELECT sees the voucher's row.
///
/// # Errors
/// When a voucher does not arrive.
pub async fn run(rig: &Rig) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (guarantee, p50, p99) in [("exactly_once", 12.0, 40.0), ("at_least_once", 6.6, 15.0)] {
        let (system, _) = rig.system(true).await?;
        let services = Services::start(&system, guarantee).await?;
        for pace in [100, 500] {
            let seconds = if rig.quick { 5 } else { 30 };
            let (mut medians, mut p99s, mut cores) = (Vec::new(), Vec::new(), Vec::new());
            let mut parts: [Vec<f64>; PARTS.len()] = Default::default();
            // The first run is a warm-up: connections, schemas and plans.
            for number in 0..=rig.runs() {
                let paced = measure(&system, &services, pace, pace * seconds).await?;
                if number > 0 {
                    medians.push(percentile(&paced.millis, 50));
                    p99s.push(percentile(&paced.millis, 99));
                    cores.push(paced.cores);
                    for (runs, cores) in parts.iter_mut().zip(paced.parts) {
                        runs.push(cores);
                    }
                }
            }
            let case = format!("{}, {pace}/s", guarantee.replace('_', " "));
            let figure = |what, unit, runs: &[f64]| Figure::new(LEG, &case, what, unit, runs);
            figures.extend([
                figure("PATCH to row, p50", "ms", &medians).should(Target::AtMost(p50)),
                figure("PATCH to row, p99", "ms", &p99s).should(Target::AtMost(p99)),
                figure("cores in use, by everything", "", &cores),
            ]);
            let parts = PARTS.into_iter().zip(&parts);
            figures.extend(parts.map(|(what, runs)| figure(what, "", runs)));
        }
        services.stop().await?;
    }
    Ok(figures)
}

/// The services of one flow.
pub(super) struct Services {
    producer: Service,
    processor: Service,
    sink: Service,
}

impl Services {
    /// Starts the services and waits until they are ready.
    pub(super) async fn start(system: &TestSystem, guarantee: &str) -> Result<Self> {
        let processor = system
            .processor_command("bench")
            .await?
            .env("PROCESSING_GUARANTEE", guarantee);
        Ok(Self {
            producer: ready(system.producer_command("bench").await?).await?,
            processor: ready(processor).await?,
            sink: ready(system.sink_command("bench").await?).await?,
        })
    }

    /// Returns the CPU time so far of each of [`PARTS`].
    fn cpu(&self, system: &TestSystem) -> Result<[Duration; PARTS.len()]> {
        Ok([
            usage::of(self.producer.pid())?.cpu,
            usage::of(self.processor.pid())?.cpu,
            usage::of(self.sink.pid())?.cpu,
            rig::postgres_cpu(system)?,
            rig::kafka_cpu(system)?,
        ])
    }

    /// Stops the services.
    pub(super) async fn stop(self) -> Result<()> {
        for service in [self.sink, self.processor, self.producer] {
            service.terminate(STOP).await?;
        }
        Ok(())
    }
}

/// The result of orders at a steady rate.
pub(super) struct Paced {
    /// The milliseconds of each order.
    pub millis: Vec<f64>,
    /// The number of cores that were busy meanwhile.
    pub cores: f64,
    /// The number of cores that each of [`PARTS`] kept busy.
    parts: [f64; PARTS.len()],
}

/// Sends `count` orders, `pace` of them a second.
pub(super) async fn measure(
    system: &TestSystem,
    services: &Services,
    pace: u32,
    count: u32,
) -> Result<Paced> {
    let address = services.producer.http_addr();
    let placed = ingress::create(address, CONNECTIONS, count.div_ceil(CONNECTIONS), None).await?;
    let total: usize = placed.ids.iter().map(Vec::len).sum();
    // The creations must have been processed before the measurement.
    relay::published(system).await?;
    system
        .caught_up(&system.processor_group(), &system.topics.order_status)
        .await;
    let awaited = Awaited::default();
    let mut rows = RowWatch::watch(system).await?;
    let before = services.cpu(system)?;
    let (begun, busy) = (Instant::now(), usage::of_the_machine()?);
    let senders: Vec<_> = placed
        .ids
        .into_iter()
        .zip(0..)
        .map(|(ids, lane)| {
            let (address, awaited) = (address.to_owned(), awaited.clone());
            tokio::spawn(async move {
                let mut client = Client::connect(&address).await?;
                for (id, turn) in ids.into_iter().zip(0_u32..) {
                    let place = turn * CONNECTIONS + lane;
                    let due = begun + Duration::from_secs(1) * place / pace;
                    tokio::time::sleep_until(due.into()).await;
                    let path = format!("/orders/{id}");
                    awaited.sent(id);
                    client.send("PATCH", &path, r#"{"status":"SENT"}"#).await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    let millis = rows.read(&awaited, total).await?;
    for sender in senders {
        sender.await??;
    }
    let (busy, wall) = (
        usage::of_the_machine()?.saturating_sub(busy),
        begun.elapsed(),
    );
    let after = services.cpu(system)?;
    let cores = |used: Duration| used.as_secs_f64() / wall.as_secs_f64();
    Ok(Paced {
        millis,
        cores: cores(busy),
        parts: std::array::from_fn(|part| cores(after[part].saturating_sub(before[part]))),
    })
}
