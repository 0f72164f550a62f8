//! What readiness says.

use runtime::health::starting;
use runtime::kafka::Cause;

use super::super::super::testing::{OTHER_PROCESSOR, PROCESSOR, PRODUCER, Rounds, SINK};
use super::super::super::{NodeId, Severity};
use super::super::help;
use super::{healthy, not_ready, only, parts, warnings};

const KAFKA: &str = "Kafka at k:9092 does not answer: k:9092/bootstrap: Connect to ipv4#10.0.0.9:9092 \
                     failed: Connection refused (after 1ms in state CONNECT); start the brokers, or \
                     correct KAFKA_BOOTSTRAP_SERVERS and KAFKA_PROPERTIES";

#[test]
fn brokers_that_are_away_are_named_once_with_everybody_concerned() {
    let mut rounds = Rounds::default();
    let consumer = parts(&[
        ("kafka", &not_ready(KAFKA)),
        ("registry-0", "ready"),
        ("task-0", &not_ready("waiting for the broker: timed out")),
    ]);
    for _ in 0..20 {
        let producer = parts(&[
            ("postgres", "ready"),
            ("relay", "degraded: the broker did not commit within 60s"),
        ]);
        rounds.degraded(
            PRODUCER,
            &producer,
            "checkout_producer_relay_active 0\ncheckout_producer_outbox_rows 900\n",
        );
        rounds.not_ready(PROCESSOR, &consumer, "");
        rounds.not_ready(SINK, &consumer, "");
        rounds.end_round();
    }
    let warning = only(&mut rounds);
    assert_eq!(warning.severity, Severity::Critical);
    assert_eq!(warning.node, NodeId::OrderStatus);
    assert_eq!(
        warning.text,
        "Kafka at k:9092 does not answer: k:9092/bootstrap: Connect to ipv4#10.0.0.9:9092 failed: \
         Connection refused; start the brokers, or correct KAFKA_BOOTSTRAP_SERVERS and \
         KAFKA_PROPERTIES. It concerns the ingress, the processor and the sink."
    );
    assert_eq!(warning.help, Some(help::DOWN));
}

#[test]
fn a_database_that_two_services_have_is_named_once() {
    let away = "Postgres does not answer: connection refused (os error 111); start it, or correct \
                DATABASE_URL";
    let mut rounds = Rounds::default();
    rounds.not_ready(
        PRODUCER,
        &parts(&[
            ("postgres", &not_ready(away)),
            ("relay", "degraded: Postgres: connection refused"),
        ]),
        "",
    );
    rounds.ready(PROCESSOR, "").not_ready(
        SINK,
        &parts(&[
            ("postgres", &not_ready(away)),
            ("task-0", &not_ready("waiting for the database: refused")),
        ]),
        "",
    );
    let warning = only(&mut rounds);
    assert_eq!(warning.node, NodeId::Postgres);
    let expected = format!("{away}. It concerns the ingress and the sink.");
    assert_eq!(warning.text, expected);
}

#[test]
fn two_databases_are_two_causes() {
    let mut rounds = Rounds::default();
    let of_producer = ("postgres", "not ready: Postgres does not answer: refused");
    let of_sink = ("postgres", "not ready: Postgres takes no writes: disk full");
    rounds.not_ready(PRODUCER, &parts(&[of_producer]), "");
    rounds.ready(PROCESSOR, "");
    rounds.not_ready(SINK, &parts(&[of_sink]), "");
    let all = warnings(&mut rounds);
    assert_eq!(all.len(), 2, "{all:#?}");
    assert_eq!(
        (all[0].node, all[1].node),
        (NodeId::Outbox, NodeId::Postgres)
    );
    assert_eq!(all[1].help, Some(help::REFUSED_WRITES));
}

#[test]
fn what_a_database_says_is_said_of_postgres() {
    let mut rounds = Rounds::default();
    let refused = ("postgres", "not ready: a write does not succeed: time-out");
    rounds.not_ready(PRODUCER, &parts(&[refused]), "");
    rounds.ready(PROCESSOR, "").ready(SINK, "");
    assert_eq!(
        only(&mut rounds).text,
        "Postgres: a write does not succeed: time-out. It concerns the ingress."
    );
}

#[test]
fn an_instance_that_is_away_is_critical_if_it_is_the_only_one() {
    let mut rounds = Rounds::default();
    healthy(&mut rounds).refused(OTHER_PROCESSOR);
    let warning = only(&mut rounds);
    assert_eq!(warning.severity, Severity::Warning);
    assert_eq!(
        warning.text,
        "The processor cannot be reached at 10.0.0.2:9464: connection refused. Start or restart it (processor \
         run), or correct CONSOLE_PROCESSOR_URLS."
    );
    rounds.ready(PRODUCER, "checkout_producer_relay_active 1\n");
    rounds
        .ready(SINK, "")
        .refused(PROCESSOR)
        .refused(OTHER_PROCESSOR);
    let warning = only(&mut rounds);
    assert_eq!(warning.severity, Severity::Critical);
    assert!(warning.text.contains("10.0.0.1:9464 and 10.0.0.2:9464"));
}

#[test]
fn an_open_circuit_is_named_once_although_part_and_metric_say_it() {
    let why = "612 of the last 1000 records are dead letters (invalid_json 612)";
    let mut rounds = Rounds::default();
    healthy(&mut rounds).end_round();
    let paused = |number: u32| not_ready(&format!("paused: {why}; task {number}"));
    let paused = parts(&[("task-0", &paused(0)), ("task-1", &paused(1))]);
    rounds
        .ready(PRODUCER, "checkout_producer_relay_active 1\n")
        .ready(SINK, "");
    rounds.not_ready(
        PROCESSOR,
        &paused,
        "checkout_processor_circuit_open{task=\"0\"} 1\n",
    );
    let warning = only(&mut rounds);
    assert_eq!(
        warning.text,
        format!("The processor is paused: {why}; task 0")
    );
    assert_eq!(warning.help, Some(help::CIRCUIT));
    healthy(&mut rounds);
    rounds.ready(
        OTHER_PROCESSOR,
        "checkout_processor_circuit_open{task=\"0\"} 1\n",
    );
    assert_eq!(only(&mut rounds).help, Some(help::CIRCUIT));
}

#[test]
fn a_blocked_partition_is_named_by_its_sentence_and_leads_to_its_section() {
    let sentence =
        "partition 3 of order-status is not read: the group's offset 500 is not in its log";
    let blocked = "checkout_processor_partition_blocked{topic=\"order-status\",partition=\"3\",reason=\"out_of_range\"} 1\n";
    let mut rounds = Rounds::default();
    healthy(&mut rounds).not_ready(
        OTHER_PROCESSOR,
        &parts(&[("task-0", &not_ready(sentence))]),
        blocked,
    );
    let warning = only(&mut rounds);
    assert_eq!(
        warning.text,
        format!("The processor is not ready (task-0 of 10.0.0.2:9464): {sentence}")
    );
    assert_eq!(warning.severity, Severity::Critical);
    assert_eq!(warning.help, Some(help::OUT_OF_RANGE));
    // The metric alone is enough.
    healthy(&mut rounds).ready(OTHER_PROCESSOR, blocked);
    let text = only(&mut rounds).text;
    assert!(
        text.ends_with("partition 3 of order-status is blocked: out_of_range"),
        "{text}"
    );
}

#[test]
fn whatever_blocks_a_partition_the_warning_leads_to_a_section() {
    for reason in Cause::NAMES {
        let blocked = format!(
            "checkout_sink_partition_blocked{{topic=\"vouchers\",partition=\"3\",reason=\"{reason}\"}} 1\n"
        );
        let mut rounds = Rounds::default();
        rounds.ready(PRODUCER, "checkout_producer_relay_active 1\n");
        rounds.ready(PROCESSOR, "").ready(SINK, &blocked);
        let warning = only(&mut rounds);
        assert!(warning.text.ends_with(reason), "{}", warning.text);
        assert!(warning.help.is_some(), "{}", warning.text);
    }
}

#[test]
fn tasks_that_say_the_same_have_one_warning() {
    let why = not_ready("cannot read the group's offsets: not authorized");
    let mut rounds = Rounds::default();
    rounds
        .ready(PRODUCER, "checkout_producer_relay_active 1\n")
        .ready(SINK, "");
    rounds.not_ready(PROCESSOR, &parts(&[("task-0", &why), ("task-1", &why)]), "");
    let text = only(&mut rounds).text;
    assert!(text.starts_with("The processor is not ready (task-0 and task-1): cannot read"));
}

#[test]
fn a_service_that_starts_is_no_failure() {
    let mut rounds = Rounds::default();
    rounds
        .ready(PRODUCER, "checkout_producer_relay_active 1\n")
        .ready(SINK, "");
    let starting = [
        ("kafka", "not ready: connecting"),
        ("task-0", "not ready: waiting for topics"),
    ];
    rounds.not_ready(PROCESSOR, &parts(&starting), "");
    let warning = only(&mut rounds);
    assert_eq!(warning.severity, Severity::Warning);
    assert_eq!(
        warning.text,
        "The processor is starting (kafka: connecting)."
    );
}

#[test]
fn whatever_a_start_waits_for_is_no_failure() {
    for sentence in starting::ALL {
        let mut rounds = Rounds::default();
        rounds
            .ready(PRODUCER, "checkout_producer_relay_active 1\n")
            .ready(SINK, "");
        rounds.not_ready(PROCESSOR, &parts(&[("task-0", &not_ready(sentence))]), "");
        let warning = only(&mut rounds);
        assert_eq!(warning.severity, Severity::Warning);
        assert_eq!(
            warning.text,
            format!("The processor is starting (task-0: {sentence}).")
        );
    }
}

#[test]
fn the_parts_of_the_producer_lead_to_the_outbox() {
    let mut rounds = Rounds::default();
    rounds.ready(PROCESSOR, "").ready(SINK, "").degraded(
        PRODUCER,
        &parts(&[
            (
                "backlog",
                "degraded: cannot count the events that wait: time-out",
            ),
            (
                "relay",
                "degraded: another outbox has this name: set OUTBOX_NAME",
            ),
            ("vacuum", "degraded: session 7 of app holds vacuum back"),
        ]),
        "",
    );
    let all = warnings(&mut rounds);
    assert!(all.iter().all(|warning| warning.node == NodeId::Outbox));
    let helps: Vec<_> = all.iter().map(|warning| warning.help).collect();
    assert_eq!(helps, [Some(help::TWO_DATABASES), None, Some(help::VACUUM)]);
    // Nobody publishes; with another instance that does, it is less urgent.
    assert_eq!(all[0].severity, Severity::Critical);
}
