//! Which part of an instance is a cause, and which only suffers from another.

use std::borrow::Cow;

use super::super::recent::Recent;
use super::super::{Part, State};
use crate::scrape::{Found, Service};

/// What a part does, by its name in `/readyz`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Whether the brokers answer.
    Kafka,
    /// Whether the database answers and takes writes.
    Postgres,
    /// Whether a schema is there that is waited for.
    Registry,
    /// A task.
    Task,
    /// Publishes the outbox.
    Relay,
    /// Whether the outbox is full.
    Backlog,
    /// Whether vacuum can remove deleted rows.
    Vacuum,
    /// One that this console does not know.
    Other,
}

impl Kind {
    fn of(name: &str) -> Self {
        let name = name.trim_end_matches(|character: char| character.is_ascii_digit());
        match name {
            "kafka" => Self::Kafka,
            "postgres" => Self::Postgres,
            "registry-" | "voucher-schema" => Self::Registry,
            "task-" => Self::Task,
            "relay" => Self::Relay,
            "backlog" => Self::Backlog,
            "vacuum" => Self::Vacuum,
            _ => Self::Other,
        }
    }
}

/// A part that is not ready or degraded, and does not suffer from another part of its instance.
#[derive(Debug, Clone)]
pub(super) struct Fault<'a> {
    pub(super) service: Service,
    /// The instance.
    pub(super) address: &'a str,
    pub(super) part: &'a str,
    pub(super) kind: Kind,
    pub(super) state: State,
    pub(super) sentence: Cow<'a, str>,
    /// Why a partition of the instance is blocked, as the metrics have it.
    pub(super) reason: Option<&'a str>,
}

/// Returns the faults of all instances that answer, in the order of the path.
pub(super) fn faults<'a>(recent: &Recent<'a>) -> Vec<Fault<'a>> {
    let window = recent.window;
    let found = Service::ALL
        .into_iter()
        .flat_map(move |service| window.found(service));
    found.flat_map(of_instance).collect()
}

fn of_instance(found: &Found) -> Vec<Fault<'_>> {
    let reason = found.details.blocked.first();
    let fault = |part, kind, state, sentence| Fault {
        service: found.service,
        address: &found.address,
        part,
        kind,
        state,
        sentence,
        reason: reason.map(|blocked| &*blocked.reason),
    };
    let parts = found.status.parts.iter();
    let bad: Vec<_> = parts.filter(|part| part.state > State::Ready).collect();
    let mut faults: Vec<_> = bad
        .iter()
        .filter(|part| !is_explained(part, &bad))
        .map(|part| {
            let sentence = part.sentence.as_deref().unwrap_or("it does not say why");
            let kind = Kind::of(&part.name);
            fault(
                part.name.as_str(),
                kind,
                part.state,
                Cow::Borrowed(sentence),
            )
        })
        .collect();
    // The metrics may know of a blocked partition before the part says so.
    let is_said = bad
        .iter()
        .any(|part| matches!(Kind::of(&part.name), Kind::Task | Kind::Kafka));
    if let (Some(blocked), false) = (reason, is_said) {
        let sentence = format!(
            "partition {} of {} is blocked: {}",
            blocked.partition, blocked.topic, blocked.reason
        );
        faults.push(fault("task", Kind::Task, State::NotReady, sentence.into()));
    }
    // Without such a part it is the instance itself: it shuts down, or gives no metrics.
    if bad.is_empty() && faults.is_empty() && found.status.state > State::Ready {
        let sentence = found.status.sentence.as_deref().unwrap_or_default();
        let state = found.status.state;
        faults.push(fault("", Kind::Other, state, Cow::Borrowed(sentence)));
    }
    faults.retain(|fault| fault.state < State::Unreachable);
    faults
}

/// Returns whether a part of an instance suffers from another one, which says the cause.
fn is_explained(part: &Part, bad: &[&Part]) -> bool {
    let is_down = |name: &str| {
        bad.iter()
            .any(|other| other.name == name && other.state == State::NotReady)
    };
    match Kind::of(&part.name) {
        Kind::Task => {
            let registry = part.name.replacen("task", "registry", 1);
            is_down("kafka") || is_down("postgres") || is_down(&registry)
        }
        Kind::Relay | Kind::Backlog | Kind::Vacuum => is_down("postgres"),
        _ => false,
    }
}
