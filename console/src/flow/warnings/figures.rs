//! What numbers say that no part of `/readyz` does.

#![allow(
    clippy::float_arithmetic,
    reason = "counts of rows and ages in seconds; no money is in them"
)]

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::edges::whole;
use super::super::recent::Recent;
use super::super::text::{by_count, capitalized, counted, number, seconds, the};
use super::super::{NodeId, OpenDeadLetters, Severity, Warning};
use super::help;
use super::readiness::Readiness;
use crate::scrape::{Counter, Gauge, Service};

/// A consumer that is further behind has a warning, in seconds.
const MAX_LAG: f64 = 30.0;

/// How long no relay may publish. A takeover needs a few seconds.
const TAKEOVER: Duration = Duration::from_secs(10);

/// How long something must last that comes and goes in normal operation.
const PASSING: Duration = Duration::from_secs(10);

/// How long instances may have different API keys. Each reads the file every few seconds.
const KEYS_PERIOD: Duration = Duration::from_secs(30);

/// An outbox with fewer rows is not said to grow: some events always wait.
const MIN_BACKLOG: f64 = 100.0;

/// How often a processor may be fenced in a minute. Its own repeated joins during an outage of a
/// coordinator count too.
const MAX_FENCED: u64 = 3;

/// Returns the warnings. What readiness explains is not said again.
pub(super) fn warnings(recent: &Recent<'_>, readiness: &Readiness) -> Vec<Warning> {
    let mut all = Vec::new();
    if !readiness.explains_outbox {
        all.extend(no_relay(recent).or_else(|| outbox_grows(recent)));
    }
    for service in [Service::Processor, Service::Sink] {
        let mut known = readiness.warnings.iter();
        let is_said = known.any(|warning| {
            warning.node == NodeId::of(service) && warning.help == Some(help::CIRCUIT)
        });
        if !is_said {
            all.extend(circuit_open(recent, service));
        }
        all.extend(dead_letters(recent, service));
        all.extend(behind(recent, service));
    }
    for service in Service::ALL {
        all.extend(calls_abandoned(recent, service));
    }
    all.extend(different_rows(recent));
    all.extend(fenced(recent));
    all.extend(locked_changes(recent));
    all.extend(api_keys(recent));
    all.extend(connections_full(recent));
    all.extend(rate_limited(recent));
    all
}

fn warning(
    severity: Severity,
    node: NodeId,
    text: impl Into<String>,
    help: &'static str,
) -> Warning {
    Warning {
        severity,
        node,
        text: text.into(),
        help: Some(help),
    }
}

/// Every instance stands by, and none publishes.
fn no_relay(recent: &Recent<'_>) -> Option<Warning> {
    let nobody_publishes = recent.lasts(Service::Producer, TAKEOVER, |numbers| {
        let mut active = numbers
            .iter()
            .map(|numbers| numbers.gauge(Gauge::RelayActive));
        !numbers.is_empty() && !active.any(|active| active > Some(0.0))
    });
    nobody_publishes.then(|| {
        warning(
            Severity::Critical,
            NodeId::Outbox,
            "No instance of the ingress publishes: orders are accepted, and their events wait in the \
             outbox.",
            help::WATCH,
        )
    })
}

/// The outbox has more rows now than in the middle of the known part of the last minute, and had more then
/// than at its beginning. Says nothing until 30 s are known.
fn outbox_grows(recent: &Recent<'_>) -> Option<Warning> {
    let course = recent.course(Service::Producer, Gauge::OutboxRows);
    let (&(begin, first), &(end, now)) = (course.first()?, course.last()?);
    let length = end.saturating_sub(begin);
    let &(_, middle) = course.iter().find(|(at, _)| *at >= begin + length / 2)?;
    let grows = now >= MIN_BACKLOG && first < middle && middle < now;
    (grows && length >= Duration::from_secs(30)).then(|| {
        warning(
            Severity::Warning,
            NodeId::Outbox,
            format!(
                "The outbox grows: {} events wait to be published, {} more than {} s ago.",
                number(whole(now)),
                number(whole(now - first)),
                length.as_secs()
            ),
            help::WATCH,
        )
    })
}

fn circuit_open(recent: &Recent<'_>, service: Service) -> Option<Warning> {
    let open = recent.sum(service, Gauge::CircuitsOpen)?;
    (open > 0.0).then(|| {
        warning(
            Severity::Critical,
            NodeId::of(service),
            format!(
                "{} is paused: too many of its last records are dead letters.",
                capitalized(the(service))
            ),
            help::CIRCUIT,
        )
    })
}

fn dead_letters(recent: &Recent<'_>, service: Service) -> Option<Warning> {
    let (node, one, several) = match service {
        Service::Producer => return None,
        Service::Processor => (
            NodeId::OrderStatusDeadLetters,
            "order status",
            "order statuses",
        ),
        Service::Sink => (NodeId::VoucherDeadLetters, "voucher", "vouchers"),
    };
    let lately = recent.labelled(service, |numbers| &numbers.dead_letters);
    let became = match lately.total() {
        0 => return None,
        1 => format!("1 {one} became a dead letter"),
        count => format!("{} {several} became dead letters", number(count)),
    };
    let reasons = by_count(&lately.by_count());
    Some(warning(
        Severity::Warning,
        node,
        format!("{became} in the last minute: {reasons}."),
        help::DEAD_LETTERS,
    ))
}

/// Returns what is said of dead letters that are open, unless a warning says that some have just come.
pub(super) fn open_dead_letters(recent: &Recent<'_>, open: OpenDeadLetters) -> Vec<Warning> {
    let standing = |service| {
        let count = open.of(service).filter(|count| *count > 0)?;
        let lately = recent.labelled(service, |numbers| &numbers.dead_letters);
        let verb = if count == 1 { "is" } else { "are" };
        (lately.total() == 0).then_some(Warning {
            severity: Severity::Info,
            node: NodeId::of_dead_letters(service)?,
            text: format!(
                "{} of {} {verb} open.",
                counted(count, "dead letter"),
                the(service)
            ),
            help: None,
        })
    };
    Service::ALL.into_iter().filter_map(standing).collect()
}

fn behind(recent: &Recent<'_>, service: Service) -> Option<Warning> {
    // A service without partitions waits for something, which its readiness says.
    recent
        .max(service, Gauge::Partitions)
        .filter(|owned| *owned > 0.0)?;
    let lag = recent.lag(service)?;
    let waiting = recent.sum(service, Gauge::LagRecords).map(whole);
    let waiting = waiting.map_or_else(String::new, |count| match count {
        1 => ": 1 record waits".to_owned(),
        count => format!(": {} records wait", number(count)),
    });
    (lag > MAX_LAG).then(|| {
        let (name, lag) = (capitalized(the(service)), seconds(lag));
        warning(
            Severity::Warning,
            NodeId::of(service),
            format!("{name} is {lag} behind{waiting}."),
            help::WATCH,
        )
    })
}

fn calls_abandoned(recent: &Recent<'_>, service: Service) -> Option<Warning> {
    let lasts = recent.lasts(service, PASSING, |numbers| {
        let mut abandoned = numbers
            .iter()
            .map(|numbers| numbers.gauge(Gauge::CallsAbandoned));
        abandoned.any(|abandoned| abandoned > Some(0.0))
    });
    let count = whole(recent.sum(service, Gauge::CallsAbandoned)?);
    (lasts && count > 0).then(|| {
        let consequence = match service {
            Service::Processor => " At five of one task it ends and must be started again.",
            Service::Producer | Service::Sink => "",
        };
        let calls = match count {
            1 => "1 call of its Kafka client that has".to_owned(),
            count => format!("{} calls of its Kafka client that have", number(count)),
        };
        let name = capitalized(the(service));
        warning(
            Severity::Warning,
            NodeId::of(service),
            format!("{name} waits for {calls} not returned.{consequence}"),
            help::WATCH,
        )
    })
}

/// Rows that differ stay different, so an earlier one is worth a warning too.
fn different_rows(recent: &Recent<'_>) -> Option<Warning> {
    let lately = recent.increase(Service::Sink, Counter::Different);
    let numbers = recent.window.latest(Service::Sink);
    let all = numbers
        .map(|numbers| numbers.counter(Counter::Different))
        .reduce(u64::saturating_add)?;
    let (severity, count, when) = match lately {
        Some(count) if count > 0 => (Severity::Critical, count, "in the last minute"),
        _ if all > 0 => (Severity::Warning, all, "since the sink's last start"),
        _ => return None,
    };
    let vouchers = counted(count, "voucher");
    let has = if count == 1 { "has" } else { "have" };
    Some(warning(
        severity,
        NodeId::Postgres,
        format!(
            "{vouchers} {has} a row with another code, amount or currency ({when}): two rules or two \
             keys are used under one campaign. The rows stay as they are."
        ),
        help::WATCH,
    ))
}

fn fenced(recent: &Recent<'_>) -> Option<Warning> {
    let count = recent.increase(Service::Processor, Counter::Fenced)?;
    (count >= MAX_FENCED).then(|| {
        warning(
            Severity::Warning,
            NodeId::Processor,
            format!(
                "The processor was replaced in its group {} times in the last minute: two instances may \
                 have one PROCESSOR_INSTANCE_ID.",
                number(count)
            ),
            help::TWO_INSTANCES,
        )
    })
}

fn locked_changes(recent: &Recent<'_>) -> Option<Warning> {
    let lasts = recent.lasts(Service::Producer, PASSING, |numbers| {
        let mut locked = numbers
            .iter()
            .map(|numbers| numbers.gauge(Gauge::LockedChanges));
        locked.any(|locked| locked > Some(0.0))
    });
    let count = whole(recent.sum(Service::Producer, Gauge::LockedChanges)?);
    (lasts && count > 0).then(|| {
        let changes = match count {
            1 => "1 change of an order waits".to_owned(),
            count => format!("{} changes of orders wait", number(count)),
        };
        warning(
            Severity::Warning,
            NodeId::Ingress,
            format!("{changes} because another session of the database holds locks on orders."),
            help::LOCKED_ORDERS,
        )
    })
}

/// An instance that cannot use the file keeps the keys that it has, and only its log says so. What can
/// be seen is that the instances differ.
fn api_keys(recent: &Recent<'_>) -> Option<Warning> {
    let differ = recent.lasts(Service::Producer, KEYS_PERIOD, |numbers| {
        let counts = numbers
            .iter()
            .filter_map(|numbers| numbers.gauge(Gauge::ApiKeys));
        counts.map(whole).collect::<BTreeSet<_>>().len() > 1
    });
    differ.then(|| {
        warning(
            Severity::Warning,
            NodeId::Ingress,
            "The instances of the ingress have different numbers of API keys: one of them cannot use its \
             API_KEYS_FILE, and its log says why.",
            help::API_KEYS,
        )
    })
}

fn connections_full(recent: &Recent<'_>) -> Option<Warning> {
    let count = recent.increase(Service::Producer, Counter::ConnectionsFull)?;
    (count > 0).then(|| {
        warning(
            Severity::Warning,
            NodeId::Ingress,
            format!(
                "As many connections as HTTP_CONNECTIONS were open {} in the last minute, and others \
                 waited.",
                counted(count, "time")
            ),
            help::WATCH,
        )
    })
}

fn rate_limited(recent: &Recent<'_>) -> Option<Warning> {
    let lately = recent.labelled(Service::Producer, |numbers| &numbers.rate_limited);
    let refused = match lately.total() {
        0 => return None,
        1 => "1 request was".to_owned(),
        count => format!("{} requests were", number(count)),
    };
    let clients = by_count(&lately.by_count());
    Some(warning(
        Severity::Info,
        NodeId::Ingress,
        format!(
            "{refused} refused in the last minute because the rate of their client was used up: {clients}."
        ),
        help::RATE,
    ))
}
