//! What numbers say.

use super::super::super::testing::{Address, PROCESSOR, PRODUCER, Rounds, SINK};
use super::super::super::{NodeId, Severity};
use super::{healthy, only, texts, warnings};
use crate::scrape::Service;

const OTHER_PRODUCER: Address = (Service::Producer, "127.0.0.1:54323");

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
    let lag = |seconds: u32, partitions: u32| {
        format!(
            "checkout_processor_partitions{{task=\"0\"}} {partitions}\n\
             checkout_consumer_lag_seconds{{group=\"g\",topic=\"order-status\"}} {seconds}\n\
             checkout_consumer_lag_records{{group=\"g\",topic=\"order-status\",partition=\"0\"}} 12345\n"
        )
    };
    let mut rounds = Rounds::default();
    let mut round = |seconds, partitions| {
        rounds
            .ready(PRODUCER, "checkout_producer_relay_active 1\n")
            .ready(SINK, "");
        rounds.ready(PROCESSOR, &lag(seconds, partitions));
        texts(&mut rounds)
    };
    assert_eq!(round(30, 4), [""; 0]);
    assert_eq!(round(200, 0), [""; 0], "it waits for something else");
    assert_eq!(
        round(200, 4),
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
