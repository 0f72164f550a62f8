//! The part of one scrape of one instance that is kept: the numbers from which the flow is made, not
//! the whole exposition.

use std::sync::Arc;

use runtime::metrics as names;

use super::counts::{Buckets, Labelled};
use super::exposition::{Series, series};
use super::metric::{
    COUNTERS, Counter, GAUGES, Gauge, HISTOGRAMS, Histogram, Service, counter_of, gauge_of,
    histogram_of,
};
use super::readiness::Status;

/// Bounds how many blocked partitions of one instance are named.
const MAX_BLOCKED: usize = 100;

/// The numbers of one instance at one time.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Numbers {
    counters: [u64; COUNTERS],
    /// `None` for a gauge that the instance does not have.
    gauges: [Option<f64>; GAUGES],
    histograms: [Buckets; HISTOGRAMS],
    /// Dead letters by reason.
    pub(crate) dead_letters: Labelled,
    /// Requests beyond the rate of their client, by client.
    pub(crate) rate_limited: Labelled,
}

/// Details that are only shown for the last scrape.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Details {
    /// The topic that a consumer reads.
    pub(crate) topic: Option<String>,
    /// Its blocked partitions.
    pub(crate) blocked: Vec<BlockedPartition>,
}

/// A partition that is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BlockedPartition {
    pub(crate) topic: String,
    /// A number, or `all`.
    pub(crate) partition: String,
    pub(crate) reason: String,
}

/// The result of one scrape of one instance.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    pub(crate) service: Service,
    /// Host and port.
    pub(crate) address: Arc<str>,
    pub(crate) status: Status,
    pub(crate) details: Details,
    pub(crate) reading: Reading,
}

/// The numbers of one instance, or why there are none.
#[derive(Debug, Clone)]
pub(crate) enum Reading {
    /// It answered.
    Numbers(Box<Numbers>),
    /// The connection was refused, so its counters will begin at 0 when it runs again.
    NotRunning,
    /// It gave no usable answer.
    Missing,
}

/// Reads an exposition of an instance of `service`.
///
/// # Errors
/// When the metrics are another service's.
pub(crate) fn read(service: Service, text: &str) -> Result<(Numbers, Details), String> {
    let (mut numbers, mut details) = (Numbers::default(), Details::default());
    let (mut is_ours, mut other) = (false, None);
    for series in series(text) {
        match Service::of_metric(series.name) {
            Some(owner) if owner == service => is_ours = true,
            Some(owner) => other = Some(owner),
            None => {}
        }
        numbers.add(&series);
        details.add(&series);
    }
    match other {
        // A service that has just started may have no metrics of its own yet.
        Some(other) if !is_ours => Err(format!(
            "these are the metrics of a {}, not of a {}",
            other.name(),
            service.name()
        )),
        _ => Ok((numbers, details)),
    }
}

impl Numbers {
    /// Returns a counter's value since the start of the instance.
    pub(crate) fn counter(&self, counter: Counter) -> u64 {
        self.counters[counter as usize]
    }

    /// Returns a gauge's value.
    pub(crate) fn gauge(&self, gauge: Gauge) -> Option<f64> {
        self.gauges[gauge as usize]
    }

    /// Returns the buckets of a histogram since the start of the instance.
    pub(crate) fn histogram(&self, histogram: Histogram) -> &Buckets {
        &self.histograms[histogram as usize]
    }

    /// Returns whether the instance was restarted after `before`: a counter or a histogram has become
    /// smaller.
    pub(crate) fn has_restarted_since(&self, before: &Self) -> bool {
        let mut counters = self.counters.iter().zip(&before.counters);
        let mut histograms = self.histograms.iter().zip(&before.histograms);
        counters.any(|(now, before)| now < before)
            || histograms.any(|(now, before)| now.total() < before.total())
    }

    fn add(&mut self, series: &Series<'_>) {
        if let Some(histogram) = histogram_of(series) {
            if let (Some(bound), Some(count)) = (series.bound(), series.count()) {
                self.histograms[histogram as usize].add(bound, count);
            }
            return;
        }
        if let Some(counter) = counter_of(series) {
            let counter = &mut self.counters[counter as usize];
            *counter = counter.saturating_add(series.count().unwrap_or_default());
            return;
        }
        if let (Some(gauge), Some(value)) = (gauge_of(series.name), series.number()) {
            self.add_gauge(gauge, value);
            return;
        }
        let (labelled, label) = match series.name {
            names::PROCESSOR_DEAD_LETTERS | names::SINK_DEAD_LETTERS => {
                (&mut self.dead_letters, "reason")
            }
            names::RATE_LIMITED => (&mut self.rate_limited, "api_key_id"),
            _ => return,
        };
        if let (Some(value), Some(count)) = (series.label(label), series.count()) {
            labelled.add(&value, count);
        }
    }

    /// Combines the series of one gauge, such as those of tasks or partitions: the maximum of ages, the
    /// sum of everything else.
    #[allow(
        clippy::float_arithmetic,
        reason = "the number is a gauge and no money"
    )]
    fn add_gauge(&mut self, gauge: Gauge, value: f64) {
        let known = &mut self.gauges[gauge as usize];
        *known = Some(match (*known, gauge) {
            (Some(known), Gauge::LagSeconds) => known.max(value),
            (Some(known), _) => known + value,
            (None, _) => value,
        });
    }
}

impl Details {
    fn add(&mut self, series: &Series<'_>) {
        match series.name {
            names::CONSUMER_LAG_SECONDS | names::CONSUMER_LAG_RECORDS if self.topic.is_none() => {
                self.topic = series.label("topic").map(Into::into);
            }
            names::PROCESSOR_BLOCKED | names::SINK_BLOCKED
                if series.count() == Some(1) && self.blocked.len() < MAX_BLOCKED =>
            {
                let label = |name| series.label(name).map(String::from).unwrap_or_default();
                self.blocked.push(BlockedPartition {
                    topic: label("topic"),
                    partition: label("partition"),
                    reason: label("reason"),
                });
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::examples::{PROCESSOR, PRODUCER, SINK};
    use super::*;

    #[test]
    fn the_numbers_of_a_producer_are_read() {
        let (numbers, details) = read(Service::Producer, PRODUCER).unwrap();
        assert_eq!(numbers.counter(Counter::OrderChanges), 1854);
        assert_eq!(numbers.counter(Counter::Published), 1850);
        assert_eq!(numbers.gauge(Gauge::OutboxRows), Some(4.0));
        assert_eq!(numbers.gauge(Gauge::OutboxOldest), Some(0.5));
        assert_eq!(numbers.gauge(Gauge::RelayActive), Some(1.0));
        assert_eq!(numbers.gauge(Gauge::LagRecords), None);
        assert_eq!(numbers.rate_limited.by_count(), [("shop, \"a\"", 12)]);
        assert_eq!(details, Details::default());
    }

    #[test]
    fn the_ingress_latency_is_that_of_requests_that_change_one_order() {
        let (numbers, _) = read(Service::Producer, PRODUCER).unwrap();
        // 1,000 placed and 850 changed. Bulk, lists and scrapes are left out.
        assert_eq!(numbers.histogram(Histogram::OrderRequests).total(), 1850);
        let buckets: Vec<_> = numbers.histogram(Histogram::OrderRequests).iter().collect();
        assert_eq!(buckets[0], (0.005, 900));
        assert_eq!(buckets[2], (f64::INFINITY, 1850));
    }

    #[test]
    fn the_numbers_of_a_processor_are_added_up_over_tasks_and_partitions() {
        let (numbers, details) = read(Service::Processor, PROCESSOR).unwrap();
        assert_eq!(numbers.counter(Counter::Vouchers), 553);
        assert_eq!(numbers.counter(Counter::Skipped), 1301);
        assert_eq!(numbers.counter(Counter::StatusDeadLetters), 3);
        assert_eq!(numbers.counter(Counter::Aborted), 3);
        assert_eq!(numbers.gauge(Gauge::Partitions), Some(12.0));
        assert_eq!(numbers.gauge(Gauge::LagRecords), Some(7.0));
        assert_eq!(numbers.gauge(Gauge::LagSeconds), Some(1.5));
        assert_eq!(numbers.gauge(Gauge::CircuitsOpen), Some(0.0));
        let reasons = numbers.dead_letters.by_count();
        assert_eq!(reasons, [("invalid_json", 2), ("invalid_total", 1)]);
        assert_eq!(details.topic.as_deref(), Some("order-status"));
        assert_eq!(
            details.blocked,
            [BlockedPartition {
                topic: "order-status".to_owned(),
                partition: "3".to_owned(),
                reason: "out_of_range".to_owned(),
            }]
        );
        assert_eq!(numbers.histogram(Histogram::OrderToVoucher).total(), 20);
        assert_eq!(numbers.histogram(Histogram::Transaction).total(), 40);
    }

    #[test]
    fn the_numbers_of_a_sink_are_read() {
        let (numbers, _) = read(Service::Sink, SINK).unwrap();
        assert_eq!(numbers.counter(Counter::Inserted), 553);
        assert_eq!(numbers.counter(Counter::Existing), 2);
        assert_eq!(numbers.counter(Counter::Different), 1);
        assert_eq!(numbers.counter(Counter::WriteErrors), 4);
        assert_eq!(numbers.histogram(Histogram::VoucherToRow).total(), 553);
        assert_eq!(numbers.histogram(Histogram::Batch).total(), 60);
    }

    #[test]
    fn metrics_of_another_service_are_refused_and_those_of_a_starting_one_are_not() {
        let why = read(Service::Sink, PROCESSOR).unwrap_err();
        assert!(why.contains("a processor, not of a sink"), "{why}");
        assert!(read(Service::Sink, "checkout_http_connections 1\n").is_ok());
    }

    #[test]
    fn a_counter_that_fell_says_that_the_instance_was_started_again() {
        let (before, _) = read(Service::Sink, SINK).unwrap();
        assert!(!before.has_restarted_since(&before));
        let (after, _) = read(
            Service::Sink,
            "checkout_sink_rows_total{outcome=\"inserted\"} 3\n",
        )
        .unwrap();
        assert!(after.has_restarted_since(&before));
        assert!(!before.has_restarted_since(&after));
    }
}
