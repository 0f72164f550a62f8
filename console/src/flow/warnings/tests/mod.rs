//! Warnings, from the texts that the services answer.

mod figures;
mod readiness;

use super::super::testing::{PROCESSOR, PRODUCER, Rounds, SINK};
use super::super::{Flow, NodeId, Warning};
use crate::scrape::Service;

/// All services answer and are ready.
fn healthy(rounds: &mut Rounds) -> &mut Rounds {
    rounds.ready(PRODUCER, "checkout_producer_relay_active 1\n");
    rounds.ready(PROCESSOR, "").ready(SINK, "")
}

fn warnings(rounds: &mut Rounds) -> Vec<Warning> {
    rounds.flow().warnings
}

fn texts(rounds: &mut Rounds) -> Vec<String> {
    warnings(rounds)
        .into_iter()
        .map(|warning| warning.text)
        .collect()
}

fn only(rounds: &mut Rounds) -> Warning {
    let mut all = warnings(rounds);
    assert_eq!(all.len(), 1, "{all:#?}");
    all.remove(0)
}

fn parts(parts: &[(&str, &str)]) -> String {
    let parts: serde_json::Map<_, _> = parts
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).into()))
        .collect();
    serde_json::Value::Object(parts).to_string()
}

fn not_ready(sentence: &str) -> String {
    format!("not ready: {sentence}")
}

#[test]
fn nothing_is_wrong_while_everything_is_ready() {
    let mut rounds = Rounds::default();
    for _ in 0..70 {
        healthy(&mut rounds).end_round();
    }
    assert_eq!(texts(&mut rounds), [""; 0]);
}

#[test]
fn the_worst_comes_first_and_within_a_severity_the_order_of_the_path() {
    let mut rounds = Rounds::default();
    rounds.ready(PRODUCER, "checkout_producer_relay_active 1\n");
    rounds.not_ready(
        PROCESSOR,
        &parts(&[("task-0", &not_ready("waiting to abort: timed out"))]),
        "",
    );
    rounds.refused(SINK);
    let open = rounds.open;
    let flow = Flow::of(
        rounds.window(),
        &[Service::Processor, Service::Sink],
        open,
        chrono::DateTime::UNIX_EPOCH,
    );
    let nodes: Vec<_> = flow.warnings.iter().map(|warning| warning.node).collect();
    assert_eq!(nodes, [NodeId::Processor, NodeId::Sink, NodeId::Ingress]);
    assert_eq!(
        flow.warnings[2].text,
        "CONSOLE_PRODUCER_URLS is not set, so nothing is known of the ingress."
    );
}
