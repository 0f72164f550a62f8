//! The processor beside a Kafka Streams application that does the same work, in turns.
//!
//! In the figures of Kafka Streams the limit is checkout's figure of the same round.

use std::ops::Range;

use anyhow::{Context, Result, ensure};
use end_to_end::system::{STOP, TestSystem, ready};
use stack::{ServiceCommand, Topics};

use super::processor;
use crate::contents::Contents;
use crate::figure::{Figure, percentile};
use crate::orders;
use crate::peer::{KafkaStreams, Preset};
use crate::rig::{self, Rig, Run, micros_each, per_second};

const LEG: &str = "beside streams";

/// The contenders, which take turns. Checkout is the first in each round, because the others are compared
/// with it.
pub const CONTENDERS: [Contender; 3] = [
    Contender::Checkout,
    Contender::Streams(Preset::Default),
    Contender::Streams(Preset::Tuned),
];

/// A program that turns orders into vouchers, exactly once.
#[derive(Debug, Clone, Copy)]
pub enum Contender {
    /// The processor with its default settings, one task.
    Checkout,
    /// Kafka Streams with these settings.
    Streams(Preset),
}

impl Contender {
    const fn name(self) -> &'static str {
        match self {
            Self::Checkout => "checkout",
            Self::Streams(Preset::Default) => "Kafka Streams default",
            Self::Streams(Preset::Tuned) => "Kafka Streams tuned",
        }
    }

    async fn command(
        self,
        streams: &KafkaStreams,
        system: &TestSystem,
        group: &str,
    ) -> Result<ServiceCommand> {
        match self {
            Self::Checkout => processor::command(system, "exactly_once", group).await,
            Self::Streams(preset) => streams.command(preset, system, group).await,
        }
    }

    /// Reads all order statuses of a flow, with a new group, into a new topic of vouchers. Returns what
    /// it used and what it wrote.
    ///
    /// # Errors
    /// When it does not read all of them.
    pub async fn drain(
        self,
        streams: &KafkaStreams,
        system: &TestSystem,
        round: usize,
    ) -> Result<(Run, Contents)> {
        let name = format!("{}-{round}-{}", self.name(), system.name).replace(' ', "-");
        let topics = Topics {
            vouchers: format!("vouchers-{name}"),
            ..system.topics.clone()
        };
        system.backends.create_topics(&topics).await?;
        let command = self
            .command(streams, system, &name)
            .await?
            .env("VOUCHERS_TOPIC", &topics.vouchers);
        let run = rig::drain(system, command, &name, &topics.order_status).await?;
        let written = Contents::of(system.brokers(), &topics.vouchers).await?;
        Ok((run, written))
    }

    /// Measures the milliseconds from the writing of each eligible order until its voucher can be read.
    async fn latency(self, streams: &KafkaStreams, rig: &Rig) -> Result<Vec<f64>> {
        // A flow of its own: nothing that was written for another turn is read in this one.
        let (system, format) = rig.system(false).await?;
        let group = system.processor_group();
        let service = ready(self.command(streams, &system, &group).await?).await?;
        let (orders, vouchers) = (&system.topics.order_status, &system.topics.vouchers);
        let hop = |numbers: Range<u32>| {
            processor::hop(system.brokers(), orders, vouchers, numbers, format)
        };
        let count = processor::paced(rig);
        // A warm-up: connections, and a new JVM compiles the code.
        hop(0..count).await?;
        let millis = hop(count..2 * count).await?;
        service.terminate(STOP).await?;
        Ok(millis)
    }
}

/// Measures checkout and Kafka Streams on the same JSON orders, one in five eligible: a full topic
/// drained, and a thousand orders a second.
///
/// # Errors
/// When a run does not end, or the two do not write the same vouchers.
pub async fn run(rig: &Rig) -> Result<Vec<Figure>> {
    let streams = KafkaStreams::build().await?;
    let mut figures = drain(rig, &streams).await?;
    figures.extend(latency(rig, &streams).await?);
    Ok(figures)
}

async fn drain(rig: &Rig, streams: &KafkaStreams) -> Result<Vec<Figure>> {
    let count = rig.records(2_000_000);
    let eligible = (0..count).filter(|number| orders::is_eligible(*number));
    let expected = u64::try_from(eligible.count())?;
    let (system, format) = rig.system(false).await?;
    rig::write_orders(&system, count, format).await?;
    let mut turns: [Vec<_>; CONTENDERS.len()] = Default::default();
    // The first round is a warm-up: the brokers' code is compiled.
    for round in 0..=rig.runs() {
        let mut of_checkout: Option<Contents> = None;
        for (contender, turns) in CONTENDERS.into_iter().zip(&mut turns) {
            let (run, written) = contender
                .drain(streams, &system, round)
                .await
                .context(contender.name())?;
            let vouchers = written.records;
            ensure!(
                vouchers == expected,
                "{} wrote {vouchers} vouchers of {expected} eligible orders",
                contender.name()
            );
            // A contender that does less or other work is not compared.
            let of_checkout = *of_checkout.get_or_insert(written);
            of_checkout.check_same(written).context(contender.name())?;
            if round > 0 {
                turns.push([
                    micros_each(run.usage.cpu, count),
                    micros_each(run.cpu_since_ready, count),
                    per_second(count, run.wall),
                    micros_each(run.kafka_cpu, count),
                    run.usage.peak_mib,
                ]);
            }
        }
    }
    let names = [
        ("CPU per record", "us"),
        ("CPU per record, without the start", "us"),
        ("records/s", ""),
        ("Kafka CPU per record", "us"),
        ("peak RSS", "MiB"),
    ];
    let case = format!("drain, JSON, {}", brokers(rig));
    Ok(figures(&case, names, &turns))
}

async fn latency(rig: &Rig, streams: &KafkaStreams) -> Result<Vec<Figure>> {
    let mut turns: [Vec<_>; CONTENDERS.len()] = Default::default();
    for _ in 0..rig.runs() {
        for (contender, turns) in CONTENDERS.into_iter().zip(&mut turns) {
            let millis = contender.latency(streams, rig).await;
            let millis = millis.context(contender.name())?;
            turns.push([percentile(&millis, 50), percentile(&millis, 99)]);
        }
    }
    let names = [
        ("record to voucher, p50", "ms"),
        ("record to voucher, p99", "ms"),
    ];
    let case = format!("{} orders/s, JSON, {}", processor::PACE, brokers(rig));
    Ok(figures(&case, names, &turns))
}

fn brokers(rig: &Rig) -> String {
    match rig.backends.brokers().len() {
        1 => "1 broker".to_owned(),
        count => format!("{count} brokers"),
    }
}

/// Returns the figures of all contenders. `turns` has what each one measured in each round, in the order
/// of `names`.
fn figures<const FIGURES: usize>(
    case: &str,
    names: [(&'static str, &'static str); FIGURES],
    turns: &[Vec<[f64; FIGURES]>; CONTENDERS.len()],
) -> Vec<Figure> {
    let [of_checkout, ..] = turns;
    let mut figures = Vec::new();
    for (contender, turns) in CONTENDERS.into_iter().zip(turns) {
        let case = format!("{case}, {}", contender.name());
        for (index, (what, unit)) in names.into_iter().enumerate() {
            let rounds = |turns: &[[f64; FIGURES]]| -> Vec<f64> {
                turns.iter().map(|turn| turn[index]).collect()
            };
            let figure = Figure::new(LEG, &case, what, unit, &rounds(turns));
            figures.push(match contender {
                Contender::Checkout => figure,
                Contender::Streams(_) => figure.beside(&rounds(turns), &rounds(of_checkout)),
            });
        }
    }
    figures
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_contender_is_divided_by_checkout_in_the_same_round() {
        let turns = [
            vec![[1.0, 10.0], [1.0, 20.0], [2.0, 10.0]],
            vec![[6.0, 20.0], [6.0, 40.0], [12.0, 20.0]],
            vec![[5.0, 10.0], [5.0, 20.0], [10.0, 10.0]],
        ];
        let names = [("CPU per record", "us"), ("peak RSS", "MiB")];
        let seen: Vec<_> = figures("drain", names, &turns)
            .into_iter()
            .map(|figure| (figure.case, figure.what, figure.measured, figure.ratio))
            .collect();
        let expected = [
            ("drain, checkout", "CPU per record", 1.0, None),
            ("drain, checkout", "peak RSS", 10.0, None),
            (
                "drain, Kafka Streams default",
                "CPU per record",
                6.0,
                Some(6.0),
            ),
            ("drain, Kafka Streams default", "peak RSS", 20.0, Some(2.0)),
            (
                "drain, Kafka Streams tuned",
                "CPU per record",
                5.0,
                Some(5.0),
            ),
            ("drain, Kafka Streams tuned", "peak RSS", 10.0, Some(1.0)),
        ];
        let expected =
            expected.map(|(case, what, measured, ratio)| (case.to_owned(), what, measured, ratio));
        assert_eq!(seen, expected);
    }
}
