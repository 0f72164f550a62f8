//! Instances that give no answer, and parts that are not ready: each cause once.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::super::recent::Recent;
use super::super::text::{capitalized, list, the, without_times};
use super::super::{NodeId, Severity, State, Warning};
use super::faults::{Fault, Kind, faults};
use super::help;
use crate::scrape::{Found, Gauge, Service};

/// How many instances or tasks a sentence names.
const NAMED: usize = 3;

/// What readiness says.
pub(super) struct Readiness {
    /// The warnings about instances and their parts.
    pub(super) warnings: Vec<Warning>,
    /// Whether they say why the outbox may not be published.
    pub(super) explains_outbox: bool,
}

/// Looks at all instances and their parts.
pub(super) fn readiness(recent: &Recent<'_>, services: &[Service]) -> Readiness {
    let mut all: Vec<_> = Service::ALL
        .into_iter()
        .filter(|service| !services.contains(service))
        .map(not_set)
        .collect();
    for service in Service::ALL {
        all.extend(unreachable(recent, service));
    }
    let mut left = faults(recent);
    let mut producers = recent.window.found(Service::Producer);
    // An instance that gives no answer may be the one that publishes.
    let explains_outbox = producers.any(|found| found.status.state == State::Unreachable)
        || left.iter().any(explains_outbox);
    all.extend(kafka_away(&mut left));
    all.extend(postgres_away(&mut left));
    all.extend(starting(recent, &mut left));
    all.extend(others(recent, left));
    Readiness {
        warnings: all,
        explains_outbox,
    }
}

/// Returns whether a fault may keep the relay from publishing: it waits for the brokers and for the
/// outbox's database.
fn explains_outbox(fault: &Fault<'_>) -> bool {
    match fault.kind {
        Kind::Kafka => true,
        Kind::Vacuum => false,
        _ => fault.service == Service::Producer,
    }
}

fn not_set(service: Service) -> Warning {
    Warning {
        severity: Severity::Info,
        node: NodeId::of(service),
        text: format!(
            "{} is not set, so nothing is known of {}.",
            service.variable(),
            the(service)
        ),
        help: None,
    }
}

/// Returns a warning for each reason why instances of a service cannot be reached.
fn unreachable(recent: &Recent<'_>, service: Service) -> Vec<Warning> {
    let all: Vec<&Found> = recent.window.found(service).collect();
    let mut reasons = BTreeMap::<&str, Vec<&str>>::new();
    let away = all
        .iter()
        .filter(|found| found.status.state == State::Unreachable);
    for found in away.clone() {
        let why = found.status.sentence.as_deref().unwrap_or_default();
        reasons.entry(why).or_default().push(&found.address);
    }
    let severity = if away.count() == all.len() {
        Severity::Critical
    } else {
        Severity::Warning
    };
    let warning = |(why, addresses): (&str, Vec<&str>)| Warning {
        severity,
        node: NodeId::of(service),
        text: format!(
            "{} cannot be reached at {}: {why}. Start or restart it ({} run), or correct {}.",
            capitalized(the(service)),
            named(&addresses),
            service.name(),
            service.variable()
        ),
        help: None,
    };
    reasons.into_iter().map(warning).collect()
}

/// Returns one warning while the brokers do not answer, whoever says so.
fn kafka_away(faults: &mut Vec<Fault<'_>>) -> Option<Warning> {
    let says_so = |fault: &mut Fault<'_>| {
        fault.kind == Kind::Kafka && fault.sentence.starts_with("Kafka at ")
    };
    let mut away: Vec<_> = faults.extract_if(.., says_so).collect();
    let first = away.first()?.sentence.clone();
    // The relay has no probe of its own: it waits for the same brokers, unless it waits for Postgres.
    away.extend(faults.extract_if(.., |fault| {
        fault.kind == Kind::Relay && !fault.sentence.starts_with("Postgres")
    }));
    Some(Warning {
        severity: Severity::Critical,
        node: NodeId::OrderStatus,
        text: format!(
            "{}. It concerns {}.",
            without_times(&first),
            concerned(&away)
        ),
        help: Some(help::DOWN),
    })
}

/// Returns a warning for each database that does not answer or takes no writes. The ingress and the sink
/// may have one database, and then say the same of it.
fn postgres_away(faults: &mut Vec<Fault<'_>>) -> Vec<Warning> {
    let says_so =
        |fault: &mut Fault<'_>| fault.kind == Kind::Postgres && !is_starting(&fault.sentence);
    let mut databases = BTreeMap::<String, Vec<Fault<'_>>>::new();
    for fault in faults.extract_if(.., says_so) {
        databases
            .entry(database_says(&fault.sentence))
            .or_default()
            .push(fault);
    }
    let warning = |(says, faults): (String, Vec<Fault<'_>>)| Warning {
        severity: Severity::Critical,
        node: if faults.iter().any(|fault| fault.service == Service::Sink) {
            NodeId::Postgres
        } else {
            NodeId::Outbox
        },
        text: format!("{says}. It concerns {}.", concerned(&faults)),
        help: Some(if says.contains("takes no writes") {
            help::REFUSED_WRITES
        } else {
            help::DOWN
        }),
    };
    databases.into_iter().map(warning).collect()
}

/// Returns what a service says of its database as a sentence about Postgres.
fn database_says(sentence: &str) -> String {
    if sentence.starts_with("Postgres ") {
        sentence.to_owned()
    } else {
        format!("Postgres: {sentence}")
    }
}

/// Returns one warning for each service of which something starts.
fn starting(recent: &Recent<'_>, faults: &mut Vec<Fault<'_>>) -> Vec<Warning> {
    let mut services = BTreeMap::<Service, Vec<Fault<'_>>>::new();
    for fault in faults.extract_if(.., |fault| is_starting(&fault.sentence)) {
        services.entry(fault.service).or_default().push(fault);
    }
    let warning = |(service, faults): (Service, Vec<Fault<'_>>)| Warning {
        severity: Severity::Warning,
        node: NodeId::of(service),
        text: format!(
            "{} is starting ({}: {}).",
            capitalized(the(service)),
            places(recent, service, &faults),
            faults[0].sentence
        ),
        help: Some(help::READY),
    };
    services.into_iter().map(warning).collect()
}

fn is_starting(sentence: &str) -> bool {
    runtime::health::starting::ALL.contains(&sentence)
}

/// Returns a warning for each of the other causes. Tasks and instances that say the same have one.
fn others(recent: &Recent<'_>, faults: Vec<Fault<'_>>) -> Vec<Warning> {
    let mut causes = BTreeMap::<(Service, Kind, String), Vec<Fault<'_>>>::new();
    for fault in faults {
        let says = match paused(&fault.sentence) {
            // The numbers differ from task to task.
            Some(_) => String::new(),
            None => without_times(&fault.sentence),
        };
        causes
            .entry((fault.service, fault.kind, says))
            .or_default()
            .push(fault);
    }
    causes
        .into_values()
        .map(|faults| described(recent, &faults))
        .collect()
}

/// Returns the rest of a sentence that says that the circuit breaker has paused a task.
fn paused(sentence: &str) -> Option<&str> {
    sentence.strip_prefix("paused: ")
}

/// Returns the warning about faults that have one cause.
fn described(recent: &Recent<'_>, faults: &[Fault<'_>]) -> Warning {
    let Fault {
        service,
        kind,
        state,
        ref sentence,
        reason,
        ..
    } = faults[0];
    let name = capitalized(the(service));
    let sentence = without_times(sentence);
    let of_state = if state == State::NotReady {
        Severity::Critical
    } else {
        Severity::Warning
    };
    let at_service = |severity, says: &str, help| {
        let places = places(recent, service, faults);
        Warning {
            severity,
            node: NodeId::of(service),
            text: format!("{name} {says} ({places}): {sentence}"),
            help,
        }
    };
    let at = |severity, node, text, help| Warning {
        severity,
        node,
        text,
        help,
    };
    let says = if state == State::NotReady {
        "is not ready"
    } else {
        "is degraded"
    };
    match kind {
        Kind::Task => match paused(&sentence) {
            Some(why) => at(
                Severity::Critical,
                NodeId::of(service),
                format!("{name} is paused: {why}"),
                Some(help::CIRCUIT),
            ),
            None => at_service(of_state, says, Some(help_of_task(&sentence, reason))),
        },
        Kind::Kafka => at(
            of_state,
            topic_of(service),
            capitalized(&sentence),
            Some(help::DOWN),
        ),
        Kind::Relay => {
            // Another instance may publish.
            let is_published = recent.sum(Service::Producer, Gauge::RelayActive) > Some(0.0);
            at(
                if is_published {
                    Severity::Warning
                } else {
                    Severity::Critical
                },
                NodeId::Outbox,
                format!("Events are not published: {sentence}"),
                Some(if sentence.contains("OUTBOX_NAME") {
                    help::TWO_DATABASES
                } else {
                    help::WATCH
                }),
            )
        }
        Kind::Backlog if state == State::NotReady => at(
            Severity::Critical,
            NodeId::Outbox,
            format!("The ingress accepts no orders: {sentence}"),
            Some(help::WATCH),
        ),
        Kind::Backlog => at(of_state, NodeId::Outbox, capitalized(&sentence), None),
        Kind::Vacuum => at(
            of_state,
            NodeId::Outbox,
            capitalized(&sentence),
            Some(help::VACUUM),
        ),
        Kind::Registry => at_service(of_state, says, Some(help::DOWN)),
        Kind::Postgres | Kind::Other => at_service(of_state, says, Some(help::READY)),
    }
}

/// Returns the section on what a task says: on its blocked partition, or on the record that the broker
/// refuses.
fn help_of_task(sentence: &str, reason: Option<&str>) -> &'static str {
    let refuses = ["does not accept what", "is refused: "];
    if refuses.iter().any(|words| sentence.contains(words)) {
        return help::REFUSED_RECORD;
    }
    reason.map_or(help::READY, help::of_blocked)
}

const fn topic_of(consumer: Service) -> NodeId {
    match consumer {
        Service::Producer | Service::Processor => NodeId::OrderStatus,
        Service::Sink => NodeId::Vouchers,
    }
}

/// Returns the services that faults concern, for a sentence.
fn concerned(faults: &[Fault<'_>]) -> String {
    let is_concerned = |service: &Service| faults.iter().any(|fault| fault.service == *service);
    let services = Service::ALL.into_iter().filter(is_concerned);
    list(&services.map(the).collect::<Vec<_>>())
}

/// Returns the parts that faults are about, with their instances where there are several.
fn places(recent: &Recent<'_>, service: Service, faults: &[Fault<'_>]) -> String {
    let is_one = recent.window.found(service).count() == 1;
    let mut places: Vec<Cow<'_, str>> = Vec::new();
    for Fault { address, part, .. } in faults {
        places.push(match (is_one, part.is_empty()) {
            (true, false) => Cow::Borrowed(*part),
            (_, true) => Cow::Borrowed(*address),
            (false, false) => format!("{part} of {address}").into(),
        });
    }
    places.dedup();
    named(&places)
}

/// Returns a list that names a few.
fn named<T: AsRef<str>>(all: &[T]) -> String {
    if all.len() <= NAMED {
        return list(all);
    }
    let more = format!("{} more", all.len() - NAMED);
    let mut few: Vec<&str> = all[..NAMED].iter().map(|item| item.as_ref()).collect();
    few.push(&more);
    list(&few)
}
