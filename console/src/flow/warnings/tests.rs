//! Warnings, from the texts that the services answer.

use runtime::kafka::Cause;

use super::super::testing::{Address, OTHER_PROCESSOR, PROCESSOR, PRODUCER, Rounds, SINK};
use super::super::{Flow, NodeId, Severity, Warning};
use super::help;
use crate::scrape::Service;

const OTHER_PRODUCER: Address = (Service::Producer, "127.0.0.1:54323");

const KAFKA: &str = "Kafka at k:9092 does not answer: k:9092/bootstrap: Connect to ipv4#10.0.0.9:9092 \
                     failed: Connection refused (after 1ms in state CONNECT); start the brokers, or \
                     correct KAFKA_BOOTSTRAP_SERVERS and KAFKA_PROPERTIES";

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
    let refused = "connection refused (os error 111)";
    let mut rounds = Rounds::default();
    rounds.not_ready(
        PRODUCER,
        &parts(&[
            (
                "postgres",
                &format!("not ready: Postgres does not answer: {refused}"),
            ),
            ("relay", "degraded: Postgres: connection refused"),
        ]),
        "",
    );
    rounds.ready(PROCESSOR, "").not_ready(
        SINK,
        &parts(&[
            (
                "postgres",
                &format!("not ready: the database does not answer: {refused}"),
            ),
            ("task-0", &not_ready("waiting for the database: refused")),
        ]),
        "",
    );
    let warning = only(&mut rounds);
    assert_eq!(warning.node, NodeId::Postgres);
    let expected =
        format!("Postgres does not answer: {refused}. It concerns the ingress and the sink.");
    assert_eq!(warning.text, expected);
}

#[test]
fn two_databases_are_two_causes() {
    let mut rounds = Rounds::default();
    let of_producer = ("postgres", "not ready: Postgres does not answer: refused");
    let of_sink = (
        "postgres",
        "not ready: the database takes no writes: disk full",
    );
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

#[test]
fn dead_letters_of_the_last_minute_are_named_by_reason() {
    let dead = |json: u32, total: u32| {
        format!(
            "checkout_processor_dead_letters_total{{reason=\"invalid_json\"}} {json}\n\
             checkout_processor_dead_letters_total{{reason=\"invalid_total\"}} {total}\n"
        )
    };
    let mut rounds = Rounds::default();
    for (json, total) in [(500, 0), (500, 0), (510, 2)] {
        rounds
            .ready(PRODUCER, "checkout_producer_relay_active 1\n")
            .ready(SINK, "");
        rounds.ready(PROCESSOR, &dead(json, total)).end_round();
    }
    let warning = only(&mut rounds);
    assert_eq!(warning.severity, Severity::Warning);
    assert_eq!(warning.node, NodeId::OrderStatusDeadLetters);
    assert_eq!(
        warning.text,
        "12 order statuses became dead letters in the last minute: invalid_json 10, invalid_total 2."
    );
}

#[test]
fn open_dead_letters_are_said_calmly_and_last_until_they_are_closed() {
    let mut rounds = Rounds::default();
    rounds.open.set(Service::Processor, 1004);
    rounds.open.set(Service::Sink, 1);
    // What is only worth knowing comes before them.
    rounds.ready(PRODUCER, "checkout_producer_relay_active 1\n");
    rounds.ready(PROCESSOR, "").ready(SINK, "").end_round();
    rounds.ready(
        PRODUCER,
        "checkout_producer_relay_active 1\n\
         checkout_producer_rate_limited_total{api_key_id=\"shop-a\"} 2\n",
    );
    rounds.ready(PROCESSOR, "").ready(SINK, "");
    let all = warnings(&mut rounds);
    assert!(all.iter().all(|warning| warning.severity == Severity::Info));
    let texts: Vec<_> = all.iter().map(|warning| &*warning.text).collect();
    assert_eq!(
        texts[1..],
        [
            "1,004 dead letters of the processor are open.",
            "1 dead letter of the sink is open.",
        ]
    );
    assert_eq!(all[1].node, NodeId::OrderStatusDeadLetters);
    assert_eq!(all[2].node, NodeId::VoucherDeadLetters);

    rounds.open.set(Service::Processor, 0);
    rounds.open.set(Service::Sink, 0);
    assert_eq!(warnings(&mut rounds).len(), 1);
}

#[test]
fn new_dead_letters_and_open_ones_have_one_line() {
    let mut rounds = Rounds::default();
    rounds.open.set(Service::Processor, 7);
    for count in [5, 7] {
        rounds.ready(PRODUCER, "checkout_producer_relay_active 1\n");
        let dead =
            format!("checkout_processor_dead_letters_total{{reason=\"invalid_json\"}} {count}\n");
        rounds.ready(PROCESSOR, &dead).ready(SINK, "").end_round();
    }
    let warning = only(&mut rounds);
    assert_eq!(warning.severity, Severity::Warning);
    assert!(warning.text.contains("in the last minute"));
    // A minute later they are still open.
    rounds.wait(61);
    healthy(&mut rounds);
    let warning = only(&mut rounds);
    assert_eq!(warning.severity, Severity::Info);
    assert_eq!(warning.text, "7 dead letters of the processor are open.");
}

#[test]
fn rows_that_differ_are_critical_when_they_come_and_stay_a_warning() {
    let differing =
        |count: u32| format!("checkout_sink_rows_total{{outcome=\"different\"}} {count}\n");
    let mut rounds = Rounds::default();
    let mut round = |count| {
        rounds
            .ready(PRODUCER, "checkout_producer_relay_active 1\n")
            .ready(PROCESSOR, "");
        rounds.ready(SINK, &differing(count));
        only(&mut rounds)
    };
    let old = round(2);
    assert_eq!(old.severity, Severity::Warning);
    assert!(
        old.text
            .starts_with("2 vouchers have a row with another code")
    );
    let new = round(3);
    assert_eq!(new.severity, Severity::Critical);
    assert!(
        new.text
            .starts_with("1 voucher has a row with another code")
    );
}

#[test]
fn an_outbox_that_grows_and_nobody_who_publishes_are_told_apart() {
    let course = |is_active: bool| -> Vec<String> {
        let mut rounds = Rounds::default();
        for second in 0..60 {
            let rows = 100 + 50 * second;
            let active = u8::from(is_active);
            let metrics = format!(
                "checkout_producer_relay_active {active}\ncheckout_producer_outbox_rows {rows}\n"
            );
            rounds.ready(PRODUCER, &metrics);
            rounds.ready(PROCESSOR, "").ready(SINK, "").end_round();
        }
        texts(&mut rounds)
    };
    assert_eq!(
        course(true),
        ["The outbox grows: 3,050 events wait to be published, 2,950 more than 59 s ago."]
    );
    let nobody = course(false);
    assert_eq!(nobody.len(), 1, "{nobody:?}");
    assert!(nobody[0].starts_with("No instance of the ingress publishes"));
}

#[test]
fn a_lag_of_more_than_half_a_minute_is_a_warning() {
    let lag = |seconds: u32| {
        format!(
            "checkout_consumer_lag_seconds{{group=\"g\",topic=\"order-status\"}} {seconds}\n\
             checkout_consumer_lag_records{{group=\"g\",topic=\"order-status\",partition=\"0\"}} 12345\n"
        )
    };
    let mut rounds = Rounds::default();
    let mut round = |seconds| {
        rounds
            .ready(PRODUCER, "checkout_producer_relay_active 1\n")
            .ready(SINK, "");
        rounds.ready(PROCESSOR, &lag(seconds));
        texts(&mut rounds)
    };
    assert_eq!(round(30), [""; 0]);
    assert_eq!(
        round(200),
        ["The processor is 3 min 20 s behind: 12,345 records wait."]
    );
}

#[test]
fn what_passes_by_itself_is_said_only_when_it_lasts() {
    let mut rounds = Rounds::default();
    let mut round = || {
        healthy(&mut rounds);
        rounds.ready(
            OTHER_PRODUCER,
            "checkout_producer_locked_changes 5\ncheckout_kafka_calls_abandoned 2\ncheckout_producer_api_keys 3\n",
        );
        rounds.ready(
            (Service::Producer, "127.0.0.1:54324"),
            "checkout_producer_api_keys 4\n",
        );
        texts(&mut rounds)
    };
    for _ in 0..10 {
        assert_eq!(round(), [""; 0]);
    }
    for _ in 10..30 {
        assert_eq!(round().len(), 2);
    }
    let all = round();
    assert_eq!(
        all,
        [
            "The ingress waits for 2 calls of its Kafka client that have not returned.",
            "5 changes of orders wait because another session of the database holds locks on orders.",
            "The instances of the ingress have different numbers of API keys: one of them cannot use \
             its API_KEYS_FILE, and its log says why.",
        ]
    );
}

#[test]
fn refused_clients_and_full_connections_are_counted_over_the_last_minute() {
    let mut rounds = Rounds::default();
    for (refused, full, fenced) in [(5, 0, 1), (17, 2, 4)] {
        let producer = format!(
            "checkout_producer_relay_active 1\ncheckout_http_connections_full_total {full}\n\
             checkout_producer_rate_limited_total{{api_key_id=\"shop-a\"}} {refused}\n"
        );
        let processor = format!("checkout_processor_fenced_total {fenced}\n");
        rounds.ready(PRODUCER, &producer).ready(SINK, "");
        rounds.ready(PROCESSOR, &processor).end_round();
    }
    let all = warnings(&mut rounds);
    let severities: Vec<_> = all.iter().map(|warning| warning.severity).collect();
    assert_eq!(
        severities,
        [Severity::Warning, Severity::Warning, Severity::Info]
    );
    assert!(all[0].text.contains("were open 2 times"), "{}", all[0].text);
    assert!(all[1].text.contains("replaced in its group 3 times"));
    assert_eq!(
        all[2].text,
        "12 requests were refused in the last minute because the rate of their client was used up: \
         shop-a 12."
    );
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
