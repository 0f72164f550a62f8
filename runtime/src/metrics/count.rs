//! What a loop counts through its observer.
//!
//! A loop names the metric and the label's value where the event happens, and its observer passes them
//! on. So a new counter of a loop takes two places: the metric's line in `metrics!`, and the event. Looking
//! a counter up costs a fraction of a microsecond, so this is for events of a batch at most; what is counted
//! for each record is added up first.

use metrics::counter;

use super::{ALL, Metric, RETRIES};

/// An addition to a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// The name of the metric.
    pub metric: &'static str,
    /// A label and its value, for a metric with a label.
    pub label: Option<(&'static str, &'static str)>,
    /// How many are added.
    pub by: u64,
}

impl Count {
    /// Adds one to a metric without labels.
    pub const fn one(metric: &'static str) -> Self {
        Self {
            metric,
            label: None,
            by: 1,
        }
    }

    /// Adds one to the series of a metric whose label has this value.
    pub const fn one_of(metric: &'static str, label: &'static str, value: &'static str) -> Self {
        Self {
            metric,
            label: Some((label, value)),
            by: 1,
        }
    }

    /// Adds one to the retries of a class.
    pub const fn retry(class: RetryClass) -> Self {
        Self::one_of(RETRIES, "class", class.as_str())
    }

    /// Adds it to the metrics of the process.
    pub fn record(self) {
        debug_assert!(self.is_described(), "{self:?} is not in the table");
        match self.label {
            None => counter!(self.metric),
            Some((label, value)) => counter!(self.metric, label => value),
        }
        .increment(self.by);
    }

    /// Returns whether the table of metrics has this series, so that it exists from the start.
    fn is_described(self) -> bool {
        let is_it = |metric: &Metric| match self.label {
            None => metric.labels.is_empty(),
            Some((name, value)) => {
                matches!(metric.labels, [label] if label.name == name && label.values.has(value))
            }
        };
        ALL.iter()
            .any(|metric| metric.name == self.metric && is_it(metric))
    }
}

/// What stood in the way of an attempt that is made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryClass {
    /// A broker did not answer, or a transaction failed.
    Kafka,
    /// The database is away, or cannot do it right now.
    Postgres,
    /// The schema registry did not answer.
    Registry,
    /// A conflict with another transaction.
    Conflict,
    /// Values that the database refuses together; they are tried in smaller parts.
    Data,
    /// A record that the broker refuses for its content or its topic.
    Refused,
}

impl RetryClass {
    /// The names of all classes.
    pub const CLASSES: &'static [&'static str] = &[
        Self::Kafka.as_str(),
        Self::Postgres.as_str(),
        Self::Registry.as_str(),
        Self::Conflict.as_str(),
        Self::Data.as_str(),
        Self::Refused.as_str(),
    ];

    /// Returns the name, the value of the label `class`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kafka => "kafka",
            Self::Postgres => "postgres",
            Self::Registry => "registry",
            Self::Conflict => "conflict",
            Self::Data => "data",
            Self::Refused => "refused",
        }
    }
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;
    use crate::metrics::{PROCESSOR_FENCED, SINK_WRITE_ERRORS};

    #[test]
    fn a_series_that_the_table_does_not_have_is_found_out() {
        assert!(Count::one(PROCESSOR_FENCED).is_described());
        assert!(Count::one_of(SINK_WRITE_ERRORS, "cause", "data").is_described());
        assert!(!Count::one_of(SINK_WRITE_ERRORS, "cause", "date").is_described());
        assert!(!Count::one_of(SINK_WRITE_ERRORS, "class", "data").is_described());
        assert!(!Count::one(SINK_WRITE_ERRORS).is_described());
        assert!(!Count::one("checkout_unknown_total").is_described());
    }

    #[test]
    fn a_count_is_added_to_its_series() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let shown = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            Count::one(PROCESSOR_FENCED).record();
            for _ in 0..2 {
                Count::retry(RetryClass::Refused).record();
            }
        });
        let shown = shown.render();
        for line in [
            "checkout_processor_fenced_total 1\n",
            "checkout_retries_total{class=\"refused\"} 2\n",
        ] {
            assert!(shown.contains(line), "{line} in {shown}");
        }
    }
}
