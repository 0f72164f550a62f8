//! The processor: a full topic drained, and one order at a time.

use anyhow::Result;
use end_to_end::system::{STOP, TestSystem, ready};
use schemas::ValueFormat;
use stack::ServiceCommand;

use crate::awaited::Awaited;
use crate::drain;
use crate::figure::{Figure, Target, percentile};
use crate::hop;
use crate::orders;
use crate::rig::{self, Rig, micros_each, per_second};

const LEG: &str = "processor";

/// The orders a second of [`latency`].
pub(super) const PACE: u32 = 1_000;

/// Measures a topic of orders, one in five eligible, read by a new group.
///
/// # Errors
/// When a run does not end.
pub async fn drain(rig: &Rig) -> Result<Vec<Figure>> {
    let count = rig.records(2_000_000);
    let mut figures = Vec::new();
    for (name, avro, cpu_ratio) in [("Avro", true, 2.0), ("JSON", false, 2.8)] {
        let (system, format) = rig.system(avro).await?;
        rig::write_orders(&system, count, format).await?;
        // A warm-up: the broker's code is compiled.
        let group = system.processor_group();
        let warming = command(&system, "exactly_once", &group).await?;
        rig::drain(&system, warming, &group, &system.topics.order_status).await?;
        // With two tasks, one reads while the other commits.
        for (guarantee, tasks) in [
            ("exactly_once", 1),
            ("exactly_once", 2),
            ("at_least_once", 1),
        ] {
            let exactly_once = guarantee == "exactly_once";
            let (mut cpu, mut speed, mut memory) = (Vec::new(), Vec::new(), Vec::new());
            let mut kafka = Vec::new();
            let (mut bare_cpu, mut bare_speed) = (Vec::new(), Vec::new());
            let mut bare_kafka = Vec::new();
            for number in 0..rig.runs() {
                let before = rig::kafka_cpu(&system)?;
                let bare = bare_drain(&system, count).await?;
                let used = rig::kafka_cpu(&system)?.saturating_sub(before);
                bare_kafka.push(micros_each(used, count));
                bare_cpu.push(micros_each(bare.cpu, count));
                bare_speed.push(per_second(count, bare.wall));
                let group = format!("processor-{guarantee}-{tasks}-{number}-{}", system.name);
                let command = command(&system, guarantee, &group)
                    .await?
                    .env("PROCESSOR_TASKS", tasks.to_string());
                let run = rig::drain(&system, command, &group, &system.topics.order_status).await?;
                cpu.push(micros_each(run.usage.cpu, count));
                kafka.push(micros_each(run.kafka_cpu, count));
                speed.push(per_second(count, run.wall));
                memory.push(run.usage.peak_mib);
            }
            let mut case = format!("drain, {name}, {}", guarantee.replace('_', " "));
            if tasks > 1 {
                case.push_str(&format!(", {tasks} tasks"));
            }
            let figure = |what, unit, runs: &[f64]| Figure::new(LEG, &case, what, unit, runs);
            let cpu_figure = figure("CPU per record", "us", &cpu).beside(&cpu, &bare_cpu);
            let speed_figure = figure("records/s", "", &speed).beside(&speed, &bare_speed);
            figures.extend(if exactly_once {
                [
                    cpu_figure.should(Target::RatioAtMost(cpu_ratio)),
                    speed_figure.should(Target::RatioAtLeast(1.0 / 1.5)),
                ]
            } else {
                [cpu_figure, speed_figure]
            });
            figures.extend([
                figure("Kafka CPU per record", "us", &kafka).beside(&kafka, &bare_kafka),
                figure("peak RSS", "MiB", &memory),
            ]);
        }
    }
    Ok(figures)
}

/// Measures the limit of every reader of the topic.
pub(super) async fn bare_drain(system: &TestSystem, count: u32) -> Result<drain::Drained> {
    let (brokers, topic) = (
        system.brokers().to_owned(),
        system.topics.order_status.clone(),
    );
    tokio::task::spawn_blocking(move || drain::bare(&brokers, &topic, count.into())).await?
}

/// Returns the processor's command, in this group.
pub(super) async fn command(
    system: &TestSystem,
    guarantee: &str,
    group: &str,
) -> Result<ServiceCommand> {
    Ok(system
        .processor_command("bench")
        .await?
        .env("PROCESSOR_GROUP", group)
        .env("PROCESSING_GUARANTEE", guarantee))
}

/// Measures the time from the writing of a record until its voucher can be read, at a thousand orders a
/// second.
///
/// # Errors
/// When a voucher does not arrive.
pub async fn latency(rig: &Rig) -> Result<Vec<Figure>> {
    let count = paced(rig);
    let mut figures = Vec::new();
    for guarantee in ["exactly_once", "at_least_once"] {
        let (system, format) = rig.system(true).await?;
        let (beside, _) = rig.system(true).await?;
        let group = system.processor_group();
        let processor = ready(command(&system, guarantee, &group).await?).await?;
        let (mut medians, mut p99s) = (Vec::new(), Vec::new());
        let (mut bare_medians, mut bare_p99s) = (Vec::new(), Vec::new());
        // The first run is a warm-up: connections, schemas and code.
        for number in 0..=u32::try_from(rig.runs())? {
            let (brokers, input) = (system.brokers(), &system.topics.order_status);
            let numbers = number * count..(number + 1) * count;
            let vouchers = &system.topics.vouchers;
            let ours = hop(brokers, input, vouchers, numbers.clone(), format).await?;
            let topic = &beside.topics.vouchers;
            let bare = hop(brokers, topic, topic, numbers, format).await?;
            let transactions = {
                let (brokers, topic) = (brokers.to_owned(), topic.clone());
                let work = move || hop::transactions(&brokers, &topic, 200);
                tokio::task::spawn_blocking(work).await??
            };
            if number > 0 {
                medians.push(percentile(&ours, 50));
                p99s.push(percentile(&ours, 99));
                let transaction = |percent| match guarantee {
                    "exactly_once" => percentile(&transactions, percent),
                    _ => 0.0,
                };
                bare_medians.push(percentile(&bare, 50) + transaction(50));
                bare_p99s.push(percentile(&bare, 99) + transaction(99));
            }
        }
        processor.terminate(STOP).await?;
        let case = format!("{PACE} orders/s, {}", guarantee.replace('_', " "));
        let figure = |what, runs: &[f64]| Figure::new(LEG, &case, what, "ms", runs);
        let median = figure("record to voucher, p50", &medians).beside(&medians, &bare_medians);
        let p99 = figure("record to voucher, p99", &p99s).beside(&p99s, &bare_p99s);
        figures.extend(if guarantee == "exactly_once" {
            [
                median.should(Target::RatioAtMost(2.0)),
                p99.should(Target::RatioAtMost(1.5)),
            ]
        } else {
            [
                median.should(Target::AtMost(2.0)),
                p99.should(Target::AtMost(6.0)),
            ]
        });
    }
    Ok(figures)
}

/// Returns the number of orders of each run of [`latency`].
pub(super) const fn paced(rig: &Rig) -> u32 {
    PACE * if rig.quick { 5 } else { 20 }
}

/// Writes orders to one topic, [`PACE`] a second, and reads the eligible ones from another, or the same;
/// returns the milliseconds of each.
pub(super) async fn hop(
    brokers: &str,
    to: &str,
    from: &str,
    numbers: std::ops::Range<u32>,
    format: ValueFormat,
) -> Result<Vec<f64>> {
    let eligible = |number: &u32| orders::is_eligible(*number);
    let total = numbers.clone().filter(eligible).count();
    let (brokers, to, from) = (brokers.to_owned(), to.to_owned(), from.to_owned());
    tokio::task::spawn_blocking(move || {
        let reader = hop::Reader::at_the_end(&brokers, &from)?;
        let awaited = Awaited::default();
        let (writers_brokers, writers) = (brokers, awaited.clone());
        let writer = std::thread::spawn(move || {
            hop::write(
                &writers_brokers,
                &to,
                numbers,
                PACE,
                &writers,
                orders::is_eligible,
                |number, id, out| Ok(orders::write(number, id, format, out)?),
            )
        });
        let millis = reader.read(&awaited, total)?;
        writer
            .join()
            .map_err(|_| anyhow::anyhow!("the writer panicked"))??;
        Ok(millis)
    })
    .await?
}
