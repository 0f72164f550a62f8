//! What a service did within the last minute, over all of its instances.

#![allow(
    clippy::float_arithmetic,
    reason = "rates, durations and gauges; no money is in them"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::latency::percentile;
use crate::scrape::{Buckets, Counter, Gauge, Histogram, Labelled, Numbers, Service, Step, Window};

/// The time over which rates are taken. A little longer, so that a round that is late by some
/// milliseconds does not drop the tenth second.
const RATE_WINDOW: Duration = Duration::from_millis(10_500);

/// How much later than asked for the first round of a time may be.
const TOLERANCE: Duration = Duration::from_millis(1500);

/// How old the last numbers of a service may be: a busy instance misses a round now and then.
const ONE_ROUND_MISSED: Duration = Duration::from_millis(1500);

/// The rounds of the last minute, service by service.
pub(super) struct Recent<'a> {
    pub(super) window: &'a Window,
    /// In the order of [`Service::ALL`].
    steps: [Vec<Step<'a>>; Service::ALL.len()],
}

/// The percentiles of a duration, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Latency {
    pub(super) p50: Option<f64>,
    pub(super) p99: Option<f64>,
}

impl<'a> Recent<'a> {
    pub(super) fn of(window: &'a Window) -> Self {
        Self {
            window,
            steps: Service::ALL.map(|service| window.steps(service)),
        }
    }

    /// Returns whether an instance of a service gave numbers in one of the last two rounds. What it did within
    /// the last minute is no current figure while none does.
    pub(super) fn has_data(&self, service: Service) -> bool {
        let since = self.window.now().saturating_sub(ONE_ROUND_MISSED);
        let mut rounds = self.window.rounds(service, since);
        rounds.any(|(_, numbers)| !numbers.is_empty())
    }

    /// Returns when an instance of a service last gave numbers, while none does.
    pub(super) fn no_data_since(&self, service: Service) -> Option<DateTime<Utc>> {
        self.window
            .answered(service)
            .filter(|_| !self.has_data(service))
    }

    fn steps(&self, service: Service) -> &[Step<'a>] {
        &self.steps[service as usize]
    }

    /// Returns how many events a second several counters of a service have together; `None` while no
    /// instance has two readings.
    pub(super) fn rate(&self, service: Service, counters: &[Counter]) -> Option<f64> {
        let since = self.window.now().saturating_sub(RATE_WINDOW);
        let mut instances = BTreeMap::<&str, (u64, Duration)>::new();
        for step in self.steps(service) {
            if step.begin >= since {
                let (count, time) = instances.entry(step.address).or_default();
                *count = count.saturating_add(increase(step, counters));
                *time += step.end.saturating_sub(step.begin);
            }
        }
        // Each instance over its own time: one that was just started is not diluted.
        let rates = instances.into_values().map(|(count, time)| {
            let seconds = time.as_secs_f64();
            (seconds > 0.0).then(|| count as f64 / seconds)
        });
        sum(rates).map(rounded)
    }

    /// Returns how many events a counter of a service had within the last minute; `None` while no
    /// instance has two readings.
    pub(super) fn increase(&self, service: Service, counter: Counter) -> Option<u64> {
        let steps = self.steps(service);
        let total = steps.iter().fold(0_u64, |total, step| {
            total.saturating_add(step.increase(counter))
        });
        (!steps.is_empty()).then_some(total)
    }

    /// Returns what a service counted by label within the last minute.
    pub(super) fn labelled(
        &self,
        service: Service,
        part: impl Fn(&Numbers) -> &Labelled,
    ) -> Labelled {
        let mut total = Labelled::default();
        for (before, now) in self.steps(service).iter().filter_map(|step| step.numbers()) {
            total.add_increase(before.map(&part), part(now));
        }
        total
    }

    /// Returns the percentiles of a duration within the last minute; none without an observation.
    pub(super) fn latency(&self, service: Service, histogram: Histogram) -> Latency {
        let mut buckets = Buckets::default();
        for (before, now) in self.steps(service).iter().filter_map(|step| step.numbers()) {
            let before = before.map(|before| before.histogram(histogram));
            buckets.add_increase(before, now.histogram(histogram));
        }
        let millis = |share| percentile(&buckets, share).map(|seconds| rounded(seconds * 1e3));
        Latency {
            p50: millis(0.5),
            p99: millis(0.99),
        }
    }

    /// Returns the sum of a gauge over the instances of a service; `None` when none has it.
    pub(super) fn sum(&self, service: Service, gauge: Gauge) -> Option<f64> {
        let numbers = self.window.latest(service);
        sum(numbers.map(|numbers| numbers.gauge(gauge)))
    }

    /// Returns the greatest value of a gauge among the instances of a service: for what all of them
    /// measure of the same database, and for ages.
    pub(super) fn max(&self, service: Service, gauge: Gauge) -> Option<f64> {
        let numbers = self.window.latest(service);
        max(numbers.map(|numbers| numbers.gauge(gauge)))
    }

    /// Returns by how many seconds a consumer is behind: that of its instances with partitions which is
    /// furthest behind, because others may wait since they were started and hold nobody up. Without such
    /// an instance the least is what is sure.
    pub(super) fn lag(&self, service: Service) -> Option<f64> {
        let owners = self.window.latest(service);
        let owners = owners.filter(|numbers| numbers.gauge(Gauge::Partitions) > Some(0.0));
        max(owners.map(|numbers| numbers.gauge(Gauge::LagSeconds))).or_else(|| {
            min(self
                .window
                .latest(service)
                .map(|numbers| numbers.gauge(Gauge::LagSeconds)))
        })
    }

    /// Returns whether something was true of the instances that answered in every round of the last
    /// `time`; false while there are no rounds for as long.
    pub(super) fn lasts(
        &self,
        service: Service,
        time: Duration,
        holds: impl Fn(&[&Numbers]) -> bool,
    ) -> bool {
        let Some(since) = self.window.now().checked_sub(time) else {
            return false;
        };
        let mut rounds = self.window.rounds(service, since).peekable();
        let is_covered = rounds
            .peek()
            .is_some_and(|(at, _)| *at <= since + TOLERANCE);
        is_covered && rounds.all(|(_, numbers)| holds(&numbers))
    }

    /// Returns a gauge's greatest value in each round, oldest first. Rounds without it are left out.
    pub(super) fn course(&self, service: Service, gauge: Gauge) -> Vec<(Duration, f64)> {
        let rounds = self.window.rounds(service, Duration::ZERO);
        rounds
            .filter_map(|(at, numbers)| {
                let greatest = max(numbers.iter().map(|numbers| numbers.gauge(gauge)))?;
                Some((at, greatest))
            })
            .collect()
    }
}

fn increase(step: &Step<'_>, counters: &[Counter]) -> u64 {
    counters.iter().fold(0, |total: u64, counter| {
        total.saturating_add(step.increase(*counter))
    })
}

/// Returns the sum of the values that are known; `None` when none is.
pub(super) fn sum(values: impl IntoIterator<Item = Option<f64>>) -> Option<f64> {
    values
        .into_iter()
        .flatten()
        .reduce(|total, value| total + value)
}

fn max(values: impl IntoIterator<Item = Option<f64>>) -> Option<f64> {
    values.into_iter().flatten().reduce(f64::max)
}

fn min(values: impl IntoIterator<Item = Option<f64>>) -> Option<f64> {
    values.into_iter().flatten().reduce(f64::min)
}

/// Rounds to two decimals, which is more than a person reads.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::super::testing::{OTHER_PROCESSOR, PROCESSOR, Rounds, SINK};
    use super::*;

    fn vouchers(count: u64) -> String {
        format!("checkout_processor_records_total{{outcome=\"voucher\"}} {count}\n")
    }

    fn rate(rounds: &mut Rounds) -> Option<f64> {
        let recent = Recent::of(rounds.window());
        recent.rate(Service::Processor, &[Counter::Vouchers])
    }

    #[test]
    fn a_rate_needs_two_readings() {
        let mut rounds = Rounds::default();
        rounds.ready(PROCESSOR, &vouchers(500));
        assert_eq!(rate(&mut rounds), None);
        rounds.ready(PROCESSOR, &vouchers(520));
        assert_eq!(rate(&mut rounds), Some(20.0));
    }

    #[test]
    fn a_rate_is_that_of_the_last_ten_seconds_over_all_instances() {
        let mut rounds = Rounds::default();
        for second in 0..30_u64 {
            // 1,000 a second at first, and 5 a second within the last 10.
            let count = second.min(19) * 1000 + second.saturating_sub(19) * 5;
            rounds.ready(PROCESSOR, &vouchers(count));
            rounds.ready(OTHER_PROCESSOR, &vouchers(2 * second));
            rounds.end_round();
        }
        assert_eq!(rate(&mut rounds), Some(7.0));
    }

    #[test]
    fn an_instance_that_was_started_again_counts_from_0() {
        let mut rounds = Rounds::default();
        rounds.ready(PROCESSOR, &vouchers(500)).end_round();
        rounds.ready(PROCESSOR, &vouchers(510)).end_round();
        rounds.ready(PROCESSOR, &vouchers(4));
        assert_eq!(rate(&mut rounds), Some(7.0));
    }

    #[test]
    fn an_instance_that_was_away_for_longer_than_ten_seconds_has_no_rate_yet() {
        let mut rounds = Rounds::default();
        rounds.ready(PROCESSOR, &vouchers(500)).end_round();
        rounds.wait(20);
        rounds.ready(PROCESSOR, &vouchers(9500));
        assert_eq!(rate(&mut rounds), None);
        let recent = Recent::of(rounds.window());
        let increase = recent.increase(Service::Processor, Counter::Vouchers);
        assert_eq!(increase, Some(9000));
    }

    #[test]
    fn an_instance_that_stopped_slows_down_to_0() {
        let mut rounds = Rounds::default();
        rounds.ready(PROCESSOR, &vouchers(0)).end_round();
        rounds.ready(PROCESSOR, &vouchers(10)).end_round();
        rounds.refused(PROCESSOR);
        assert_eq!(rate(&mut rounds), Some(5.0));
    }

    #[test]
    fn a_latency_is_that_of_the_last_minute_over_all_instances() {
        let transactions = |fast: u64, all: u64| {
            format!(
                "checkout_processor_transaction_seconds_bucket{{le=\"0.01\"}} {fast}\n\
                 checkout_processor_transaction_seconds_bucket{{le=\"0.02\"}} {all}\n\
                 checkout_processor_transaction_seconds_bucket{{le=\"+Inf\"}} {all}\n"
            )
        };
        let latency = |rounds: &mut Rounds| {
            let recent = Recent::of(rounds.window());
            recent.latency(Service::Processor, Histogram::Transaction)
        };
        let mut rounds = Rounds::default();
        // What was before the window began does not count.
        rounds
            .ready(PROCESSOR, &transactions(0, 1_000_000))
            .end_round();
        assert_eq!(latency(&mut rounds), Latency::default());
        rounds.ready(PROCESSOR, &transactions(50, 1_000_050));
        rounds
            .ready(OTHER_PROCESSOR, &transactions(0, 0))
            .end_round();
        rounds.ready(PROCESSOR, &transactions(50, 1_000_050));
        rounds.ready(OTHER_PROCESSOR, &transactions(0, 50));
        let expected = Latency {
            p50: Some(10.0),
            p99: Some(19.8),
        };
        assert_eq!(latency(&mut rounds), expected);
    }

    #[test]
    fn gauges_are_those_of_the_instances_that_answered_last() {
        let mut rounds = Rounds::default();
        rounds.ready(PROCESSOR, "checkout_processor_partitions{task=\"0\"} 6\n");
        rounds.ready(
            OTHER_PROCESSOR,
            "checkout_processor_partitions{task=\"0\"} 5\n",
        );
        let partitions = |rounds: &mut Rounds| {
            let recent = Recent::of(rounds.window());
            (
                recent.sum(Service::Processor, Gauge::Partitions),
                recent.max(Service::Processor, Gauge::Partitions),
            )
        };
        assert_eq!(partitions(&mut rounds), (Some(11.0), Some(6.0)));
        rounds.refused(PROCESSOR).refused(OTHER_PROCESSOR);
        assert_eq!(partitions(&mut rounds), (None, None));
    }

    #[test]
    fn what_lasts_holds_in_every_round() {
        let paused = |open: u64| format!("checkout_sink_circuit_open{{task=\"0\"}} {open}\n");
        let mut rounds = Rounds::default();
        let lasts = |rounds: &mut Rounds| {
            let recent = Recent::of(rounds.window());
            let is_open = |numbers: &Numbers| numbers.gauge(Gauge::CircuitsOpen) > Some(0.0);
            recent.lasts(Service::Sink, Duration::from_secs(5), |numbers| {
                numbers.iter().any(|numbers| is_open(numbers))
            })
        };
        for _ in 0..5 {
            rounds.ready(SINK, &paused(1));
            assert!(!lasts(&mut rounds));
        }
        rounds.ready(SINK, &paused(1));
        assert!(lasts(&mut rounds));
        rounds.ready(SINK, &paused(0));
        assert!(!lasts(&mut rounds));
    }
}
