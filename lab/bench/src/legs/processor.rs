//! The processor: a full topic drained, and one order at a time.

use anyhow::Result;
use end_to_end::shop::Shop;
use stack::ServiceCommand;

use crate::drain;
use crate::figure::{Figure, Target};
use crate::rig::{self, Rig, micros_each, per_second};

const LEG: &str = "processor";

/// A topic of orders, one in five eligible, read by a group that has read nothing yet.
///
/// # Errors
/// When a run does not end.
pub async fn drain(rig: &Rig) -> Result<Vec<Figure>> {
    let count = rig.records(2_000_000);
    let mut figures = Vec::new();
    for (name, avro, cpu_ratio) in [("Avro", true, 2.0), ("JSON", false, 2.8)] {
        let (shop, format) = rig.shop(avro).await?;
        rig::write_orders(&shop, count, format).await?;
        for guarantee in ["exactly_once", "at_least_once"] {
            let exactly_once = guarantee == "exactly_once";
            let (mut cpu, mut speed, mut memory) = (Vec::new(), Vec::new(), Vec::new());
            let (mut bare_cpu, mut bare_speed) = (Vec::new(), Vec::new());
            for number in 0..rig.runs() {
                let bare = bare_drain(&shop, count).await?;
                bare_cpu.push(micros_each(bare.cpu, count));
                bare_speed.push(per_second(count, bare.wall));
                let group = format!("processor-{guarantee}-{number}-{}", shop.name);
                let command = command(&shop, guarantee, &group).await?;
                let run = rig::drain(&shop, command, &group, &shop.topics.order_status).await?;
                cpu.push(micros_each(run.usage.cpu, count));
                speed.push(per_second(count, run.wall));
                memory.push(run.usage.peak_mib);
            }
            let case = format!("drain, {name}, {}", guarantee.replace('_', " "));
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
            figures.push(figure("peak RSS", "MiB", &memory));
        }
    }
    Ok(figures)
}

async fn bare_drain(shop: &Shop, count: u32) -> Result<drain::Drained> {
    let (brokers, topic) = (shop.brokers().to_owned(), shop.topics.order_status.clone());
    tokio::task::spawn_blocking(move || drain::bare(&brokers, &topic, count.into())).await?
}

async fn command(shop: &Shop, guarantee: &str, group: &str) -> Result<ServiceCommand> {
    Ok(shop
        .processor_command("bench")
        .await?
        .env("PROCESSOR_GROUP", group)
        .env("PROCESSING_GUARANTEE", guarantee))
}
