//! What a metric is described by.

use schemas::Reason;

/// The services that have metrics, by the names of their binaries.
pub const SERVICES: [&str; 4] = ["producer", "processor", "sink", "console"];

/// The kinds of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A number that only grows.
    Counter,
    /// A number that goes up and down.
    Gauge,
    /// A histogram of durations in seconds.
    Seconds,
    /// A histogram of numbers of records.
    Records,
}

/// One metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// The name in Prometheus.
    pub name: &'static str,
    /// The kind.
    pub kind: Kind,
    /// The services that have it. None: the service that the name begins with.
    pub services: &'static [&'static str],
    /// The labels of each of its series.
    pub labels: &'static [Label],
    /// The meaning, without the labels.
    pub help: &'static str,
}

/// A label of a metric.
#[derive(Debug, Clone, Copy)]
pub struct Label {
    /// The name.
    pub name: &'static str,
    /// The values.
    pub values: Values,
}

/// The values of a label.
#[derive(Debug, Clone, Copy)]
pub enum Values {
    /// These.
    Known(&'static [&'static str]),
    /// Every reason of a dead letter.
    Reasons,
    /// The service that has the metric.
    OwnService,
    /// Values that are only known once they occur, and what they are.
    Open(&'static str),
}

impl Values {
    /// Returns all values in `service`; `None` when they are only known once they occur.
    pub(super) fn known(self, service: &'static str) -> Option<Vec<&'static str>> {
        match self {
            Self::Known(values) => Some(values.to_vec()),
            Self::Reasons => Some(Reason::ALL.iter().map(|reason| reason.as_str()).collect()),
            Self::OwnService => Some(vec![service]),
            Self::Open(_) => None,
        }
    }

    /// Returns whether this may be a value.
    pub(super) fn has(self, value: &str) -> bool {
        match self {
            Self::Known(values) => values.contains(&value),
            Self::Reasons => Reason::ALL.iter().any(|reason| reason.as_str() == value),
            Self::OwnService => SERVICES.contains(&value),
            Self::Open(_) => true,
        }
    }
}

impl Metric {
    /// Returns the kind as Prometheus calls it.
    pub const fn kind_in_prometheus(&self) -> &'static str {
        match self.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Seconds | Kind::Records => "histogram",
        }
    }

    /// Returns the unit, which is a part of the name; empty for a plain number.
    pub fn unit(&self) -> &'static str {
        let units = ["seconds", "bytes", "records", "rows"];
        let is_in_name = |unit: &&str| self.name.split('_').any(|word| word == *unit);
        units.into_iter().find(is_in_name).unwrap_or_default()
    }

    /// Returns the names of the services that have this metric.
    pub fn services(&self) -> Vec<&'static str> {
        let has = |service: &&str| self.is_of(service);
        SERVICES.into_iter().filter(has).collect()
    }

    /// Returns whether a service has this metric.
    pub fn is_of(&self, service: &str) -> bool {
        if !self.services.is_empty() {
            return self.services.contains(&service);
        }
        let name = self.name.strip_prefix("checkout_");
        name.and_then(|name| name.strip_prefix(service))
            .is_some_and(|rest| rest.starts_with('_'))
    }

    /// Returns whether the values of every label are known, so that all series exist from the start.
    pub fn is_complete_from_start(&self) -> bool {
        let is_open = |label: &Label| matches!(label.values, Values::Open(_));
        !self.labels.iter().any(is_open)
    }

    /// Returns the meaning with the labels, as a service shows it.
    pub(super) fn description(&self) -> String {
        let labels: Vec<_> = self
            .labels
            .iter()
            .map(|label| format!("{} ({})", label.name, label.values_in_words()))
            .collect();
        if labels.is_empty() {
            return self.help.to_owned();
        }
        format!("{} Labels: {}.", self.help, labels.join(", "))
    }
}

impl Label {
    /// Returns the values, or what they are, for a person to read.
    pub fn values_in_words(&self) -> String {
        match self.values {
            Values::Known(values) => values.join(", "),
            Values::Reasons => "a reason of dead letters".to_owned(),
            Values::OwnService => "the service".to_owned(),
            Values::Open(what) => what.to_owned(),
        }
    }
}
