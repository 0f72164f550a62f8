//! How each place of the path is.

use runtime::settings::dead_letters_of;

use super::edges::whole;
use super::recent::Recent;
use super::text::{by_count, bytes, counted, number, seconds};
use super::{Figure, Instance, Node, NodeId, NodeKind, State};
use crate::scrape::{Counter, Found, Gauge, Service};

/// The names of the topics, where no metric says others.
const ORDER_STATUS: &str = "order-status";
const VOUCHERS: &str = "vouchers";

/// Returns the nodes in the order of the path. `services` are those whose instances are known to the
/// console.
pub(super) fn nodes(recent: &Recent<'_>, services: &[Service]) -> Vec<Node> {
    let order_status = topic(recent, Service::Processor, ORDER_STATUS);
    let vouchers = topic(recent, Service::Sink, VOUCHERS);
    let service = |service, label| service_node(recent, services, service, label);
    let mut all = vec![
        Node {
            figures: ingress_figures(recent),
            ..service(Service::Producer, "Ingress")
        },
        Node {
            figures: outbox_figures(recent),
            ..node(
                NodeId::Outbox,
                "Outbox",
                NodeKind::Table,
                said(
                    recent,
                    Service::Producer,
                    &["postgres", "backlog", "relay", "vacuum"],
                ),
            )
        },
        topic_node(
            recent,
            NodeId::OrderStatus,
            &order_status,
            Service::Processor,
        ),
        Node {
            figures: processor_figures(recent),
            ..service(Service::Processor, "Processor")
        },
        dead_letters_node(
            recent,
            NodeId::OrderStatusDeadLetters,
            &order_status,
            Service::Processor,
        ),
        topic_node(recent, NodeId::Vouchers, &vouchers, Service::Sink),
        Node {
            figures: sink_figures(recent),
            ..service(Service::Sink, "Sink")
        },
        Node {
            figures: table_figures(recent),
            ..node(
                NodeId::Postgres,
                "Postgres",
                NodeKind::Table,
                said(recent, Service::Sink, &["postgres"]),
            )
        },
        dead_letters_node(recent, NodeId::VoucherDeadLetters, &vouchers, Service::Sink),
    ];
    for node in &mut all {
        let source = node.id.source();
        // What was within the last minute is not now.
        if !recent.has_data(source) {
            node.figures.clear();
            node.no_data_since = recent.no_data_since(source);
        }
    }
    all
}

type Condition = (State, Option<String>);

fn node(id: NodeId, label: &str, kind: NodeKind, (state, sentence): Condition) -> Node {
    Node {
        id,
        label: label.to_owned(),
        kind,
        state,
        sentence,
        instances: Vec::new(),
        figures: Vec::new(),
        no_data_since: None,
    }
}

/// Returns the node of a service, which is as its worst instance is.
fn service_node(
    recent: &Recent<'_>,
    services: &[Service],
    service: Service,
    label: &'static str,
) -> Node {
    let mut instances: Vec<_> = recent.window.found(service).map(instance).collect();
    // The worst first, and a stable order otherwise: a page is read while it changes.
    instances.sort_by(|one, other| (other.state, &one.address).cmp(&(one.state, &other.address)));
    let condition = match &*instances {
        [] if !services.contains(&service) => {
            let sentence = format!("{} is not set", service.variable());
            (State::Unknown, Some(sentence))
        }
        [] => (State::Unknown, None),
        [only] => (only.state, only.sentence.clone()),
        [worst, ..] => {
            let count = instances
                .iter()
                .filter(|instance| instance.state == worst.state)
                .count();
            let sentence = worst.sentence.as_ref().map(|sentence| {
                format!(
                    "{count} of {} instances: {}: {sentence}",
                    instances.len(),
                    worst.address
                )
            });
            (worst.state, sentence)
        }
    };
    Node {
        instances,
        ..node(NodeId::of(service), label, NodeKind::Service, condition)
    }
}

fn instance(found: &Found) -> Instance {
    Instance {
        address: found.address.to_string(),
        state: found.status.state,
        sentence: found.status.sentence.clone(),
        parts: found.status.parts.clone(),
    }
}

/// Returns what a service's instances say of something beside them, by these parts of theirs: the worst
/// of it. Nobody is asked but the services, so it is unknown while none of them answers.
fn said(recent: &Recent<'_>, service: Service, names: &[&str]) -> Condition {
    let found = recent.window.found(service);
    let parts = found
        .flat_map(|found| &found.status.parts)
        .filter(|part| names.contains(&&*part.name));
    let mut worst: Condition = (State::Unknown, None);
    for part in parts {
        if part.state > worst.0 {
            worst = (part.state, part.sentence.clone());
        }
    }
    worst
}

/// Returns a topic's name, as the metrics of its consumer have it.
fn topic(recent: &Recent<'_>, consumer: Service, usual: &str) -> String {
    let mut found = recent.window.found(consumer);
    found
        .find_map(|found| found.details.topic.clone())
        .unwrap_or_else(|| usual.to_owned())
}

/// Returns the node of a topic: whether its consumer reaches the brokers, and reads every partition.
fn topic_node(recent: &Recent<'_>, id: NodeId, name: &str, consumer: Service) -> Node {
    let (mut state, mut sentence) = said(recent, consumer, &["kafka"]);
    let found = recent.window.found(consumer);
    let blocked: usize = found.map(|found| found.details.blocked.len()).sum();
    if blocked > 0 && state < State::Degraded {
        let partitions = counted(blocked as u64, "partition");
        state = State::Degraded;
        sentence = Some(format!("blocked: {partitions}"));
    }
    Node {
        figures: figures([
            (
                "partitions read",
                gauge(recent, consumer, Gauge::Partitions),
            ),
            (
                "records waiting",
                gauge(recent, consumer, Gauge::LagRecords),
            ),
        ]),
        ..node(id, name, NodeKind::Topic, (state, sentence))
    }
}

/// Returns the node of a topic of dead letters, which is worth a look while dead letters come.
fn dead_letters_node(recent: &Recent<'_>, id: NodeId, topic: &str, writer: Service) -> Node {
    let lately = recent.labelled(writer, |numbers| &numbers.dead_letters);
    let since_start = recent
        .window
        .latest(writer)
        .map(|numbers| numbers.dead_letters.total())
        .reduce(u64::saturating_add);
    let condition = match (since_start, lately.total()) {
        (None, _) => (State::Unknown, None),
        (Some(_), 0) => (State::Ready, None),
        (Some(_), count) => {
            let sentence = format!(
                "{} in the last minute: {}",
                counted(count, "dead letter"),
                by_count(&lately.by_count())
            );
            (State::Degraded, Some(sentence))
        }
    };
    Node {
        figures: figures([("since the last start", since_start.map(number))]),
        ..node(
            id,
            &dead_letters_of(topic),
            NodeKind::DeadLetters,
            condition,
        )
    }
}

fn ingress_figures(recent: &Recent<'_>) -> Vec<Figure> {
    let service = Service::Producer;
    let spool = recent.sum(service, Gauge::SpoolBytes).map(whole);
    // Without API_KEYS_FILE there are none.
    let keys = recent.max(service, Gauge::ApiKeys).map(whole);
    figures([
        (
            "open connections",
            gauge(recent, service, Gauge::Connections),
        ),
        (
            "changes in the last minute",
            lately(recent, service, Counter::OrderChanges),
        ),
        (
            "changes that wait for a lock",
            gauge(recent, service, Gauge::LockedChanges).filter(|count| count != "0"),
        ),
        (
            "bulk results not read yet",
            spool.filter(|size| *size > 0).map(bytes),
        ),
        ("API keys", keys.filter(|keys| *keys > 0).map(number)),
    ])
}

fn outbox_figures(recent: &Recent<'_>) -> Vec<Figure> {
    let of = |gauge| recent.max(Service::Producer, gauge);
    figures([
        (
            "events waiting",
            of(Gauge::OutboxRows).map(whole).map(number),
        ),
        ("age of the oldest", of(Gauge::OutboxOldest).map(seconds)),
        (
            "deleted rows not vacuumed",
            of(Gauge::OutboxDeadRows).map(whole).map(number),
        ),
        (
            "active relays",
            gauge(recent, Service::Producer, Gauge::RelayActive),
        ),
    ])
}

fn processor_figures(recent: &Recent<'_>) -> Vec<Figure> {
    let of = |counter| lately(recent, Service::Processor, counter);
    figures([
        ("vouchers in the last minute", of(Counter::Vouchers)),
        ("skipped in the last minute", of(Counter::Skipped)),
        (
            "transactions aborted in the last minute",
            of(Counter::Aborted),
        ),
    ])
}

fn sink_figures(recent: &Recent<'_>) -> Vec<Figure> {
    let of = |counter| lately(recent, Service::Sink, counter);
    figures([
        ("rows written in the last minute", of(Counter::Inserted)),
        ("duplicates in the last minute", of(Counter::Existing)),
        (
            "statements repeated in the last minute",
            of(Counter::WriteErrors),
        ),
    ])
}

fn table_figures(recent: &Recent<'_>) -> Vec<Figure> {
    let different = recent
        .window
        .latest(Service::Sink)
        .map(|numbers| numbers.counter(Counter::Different))
        .reduce(u64::saturating_add);
    figures([
        (
            "rows written in the last minute",
            lately(recent, Service::Sink, Counter::Inserted),
        ),
        ("rows that differ", different.map(number)),
    ])
}

fn lately(recent: &Recent<'_>, service: Service, counter: Counter) -> Option<String> {
    recent.increase(service, counter).map(number)
}

fn gauge(recent: &Recent<'_>, service: Service, gauge: Gauge) -> Option<String> {
    recent.sum(service, gauge).map(whole).map(number)
}

/// Leaves out what is not known.
fn figures(all: impl IntoIterator<Item = (&'static str, Option<String>)>) -> Vec<Figure> {
    all.into_iter()
        .filter_map(|(label, value)| {
            Some(Figure {
                label,
                value: value?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{OTHER_PROCESSOR, PROCESSOR, PRODUCER, Rounds, SINK};
    use super::*;
    use crate::scrape::examples;

    fn of(rounds: &mut Rounds, id: NodeId) -> Node {
        let nodes = rounds.flow().nodes;
        nodes.into_iter().find(|node| node.id == id).unwrap()
    }

    fn condition(rounds: &mut Rounds, id: NodeId) -> (State, Option<String>) {
        let node = of(rounds, id);
        (node.state, node.sentence)
    }

    fn figure(node: &Node, label: &str) -> Option<String> {
        let mut figures = node.figures.iter();
        figures
            .find(|figure| figure.label == label)
            .map(|figure| figure.value.clone())
    }

    const DOWN: &str = r#"{"kafka":"not ready: Kafka at k:9092 does not answer: refused","task-0":"not ready: joining the group"}"#;

    #[test]
    fn a_service_is_as_its_worst_instance_is() {
        let mut rounds = Rounds::default();
        rounds.ready(PROCESSOR, "").ready(OTHER_PROCESSOR, "");
        assert_eq!(
            condition(&mut rounds, NodeId::Processor),
            (State::Ready, None)
        );
        rounds.ready(PROCESSOR, "").not_ready(
            OTHER_PROCESSOR,
            r#"{"task-0":"not ready: joining the group"}"#,
            "",
        );
        let node = of(&mut rounds, NodeId::Processor);
        assert_eq!(node.state, State::NotReady);
        assert_eq!(
            node.sentence.as_deref(),
            Some("1 of 2 instances: 10.0.0.2:9464: task-0: joining the group")
        );
        assert_eq!(node.instances[0].address, OTHER_PROCESSOR.1);
        assert_eq!(node.instances[1].state, State::Ready);
    }

    #[test]
    fn an_instance_that_is_away_says_why_and_leaves_what_it_says_unknown() {
        let mut rounds = Rounds::default();
        rounds.refused(SINK);
        let refused = Some("connection refused".to_owned());
        let sink = condition(&mut rounds, NodeId::Sink);
        assert_eq!(sink, (State::Unreachable, refused));
        for id in [
            NodeId::Vouchers,
            NodeId::Postgres,
            NodeId::VoucherDeadLetters,
        ] {
            assert_eq!(condition(&mut rounds, id), (State::Unknown, None), "{id:?}");
        }
    }

    #[test]
    fn a_service_whose_addresses_are_not_set_is_unknown_and_says_so() {
        let mut rounds = Rounds::default();
        rounds.ready(PROCESSOR, "");
        let recent = Recent::of(rounds.window());
        let nodes = nodes(&recent, &[Service::Processor]);
        let sentence = nodes[6].sentence.as_deref();
        assert_eq!(nodes[6].state, State::Unknown);
        assert_eq!(sentence, Some("CONSOLE_SINK_URLS is not set"));
    }

    #[test]
    fn topics_and_tables_are_as_the_services_say() {
        let mut rounds = Rounds::default();
        rounds.not_ready(PROCESSOR, DOWN, "");
        rounds.not_ready(
            SINK,
            r#"{"kafka":"ready","postgres":"not ready: Postgres does not answer: refused; start it, or correct DATABASE_URL"}"#,
            "",
        );
        rounds.degraded(
            PRODUCER,
            r#"{"postgres":"ready","backlog":"ready","relay":"degraded: waiting for Kafka"}"#,
            "",
        );
        let mut check = |id, state, sentence: Option<&str>| {
            let expected = (state, sentence.map(str::to_owned));
            assert_eq!(condition(&mut rounds, id), expected, "{id:?}");
        };
        let kafka = "Kafka at k:9092 does not answer: refused";
        check(NodeId::OrderStatus, State::NotReady, Some(kafka));
        check(NodeId::Vouchers, State::Ready, None);
        let database = "Postgres does not answer: refused; start it, or correct DATABASE_URL";
        check(NodeId::Postgres, State::NotReady, Some(database));
        check(NodeId::Outbox, State::Degraded, Some("waiting for Kafka"));
    }

    #[test]
    fn a_topic_has_the_name_that_its_consumer_says_and_counts_blocked_partitions() {
        let mut rounds = Rounds::default();
        rounds.ready(
            PROCESSOR,
            "checkout_consumer_lag_seconds{group=\"g\",topic=\"may-status\"} 0\n\
             checkout_processor_partition_blocked{topic=\"may-status\",partition=\"3\",reason=\"unreadable\"} 1\n",
        );
        let topic = of(&mut rounds, NodeId::OrderStatus);
        assert_eq!(topic.label, "may-status");
        assert_eq!(topic.state, State::Degraded);
        assert_eq!(topic.sentence.as_deref(), Some("blocked: 1 partition"));
        let dead_letters = of(&mut rounds, NodeId::OrderStatusDeadLetters);
        assert_eq!(dead_letters.label, "may-status.dlq");
    }

    #[test]
    fn dead_letters_are_worth_a_look_while_they_come() {
        let dead = |count| {
            format!("checkout_processor_dead_letters_total{{reason=\"invalid_json\"}} {count}\n")
        };
        let id = NodeId::OrderStatusDeadLetters;
        let mut rounds = Rounds::default();
        rounds.ready(PROCESSOR, &dead(5));
        let node = of(&mut rounds, id);
        assert_eq!(node.state, State::Ready);
        assert_eq!(figure(&node, "since the last start").as_deref(), Some("5"));
        rounds.ready(PROCESSOR, &dead(7));
        let sentence = "2 dead letters in the last minute: invalid_json 2".to_owned();
        let expected = (State::Degraded, Some(sentence));
        assert_eq!(condition(&mut rounds, id), expected);
    }

    #[test]
    fn figures_are_those_of_the_examples_and_none_is_invented() {
        let mut rounds = Rounds::default();
        rounds.ready(PRODUCER, examples::PRODUCER);
        let ingress = of(&mut rounds, NodeId::Ingress);
        assert_eq!(figure(&ingress, "open connections").as_deref(), Some("3"));
        assert_eq!(figure(&ingress, "changes in the last minute"), None);
        let outbox = of(&mut rounds, NodeId::Outbox);
        assert_eq!(figure(&outbox, "events waiting").as_deref(), Some("4"));
        assert_eq!(
            figure(&outbox, "age of the oldest").as_deref(),
            Some("0.5 s")
        );
        let sink = of(&mut rounds, NodeId::Sink);
        assert!(sink.figures.is_empty());
    }
}
