use std::collections::BTreeSet;

use super::recorder::{builder, register};
use super::*;

/// Metrics with a label whose values are only known once they occur: a task once the topics exist, a
/// partition once it is assigned or blocked, a client once it was refused.
const NOT_FROM_START: &[&str] = &[
    // Registered with its values.
    BUILD_INFO,
    CONSUMER_LAG_RECORDS,
    // Registered at the start with the group and the topic of the settings.
    CONSUMER_LAG_SECONDS,
    PROCESSOR_CIRCUIT_OPEN,
    PROCESSOR_PARTITIONS,
    PROCESSOR_BLOCKED,
    PROCESSOR_BLOCKED_OFFSET,
    SINK_CIRCUIT_OPEN,
    SINK_PARTITIONS,
    SINK_BLOCKED,
    SINK_BLOCKED_OFFSET,
    KAFKA_CALLS_GIVEN_UP,
    // Registered with the routes of the API.
    HTTP_REQUESTS,
    HTTP_REQUEST_SECONDS,
    RATE_LIMITED,
    CONSOLE_REQUESTS,
    // Registered by what watches the topic or the file.
    TOPIC_GUARANTEED_RETENTION_SECONDS,
    KEYS_FILE_STALE,
];

/// Returns what a service shows right after its start.
fn shown(service: &'static str) -> String {
    let recorder = builder().unwrap().build_recorder();
    let handle = recorder.handle();
    ::metrics::with_local_recorder(&recorder, || register(service));
    let mut text = handle.render();
    process::write(&mut text);
    text
}

fn names_after<'a>(text: &'a str, start: &str) -> BTreeSet<&'a str> {
    let lines = text.lines().filter_map(|line| line.strip_prefix(start));
    lines.filter_map(|rest| rest.split(' ').next()).collect()
}

#[test]
fn names_are_unique_and_have_the_prefix_and_only_counters_end_in_total() {
    let names: BTreeSet<_> = ALL.iter().map(|metric| metric.name).collect();
    assert_eq!(names.len(), ALL.len());
    for metric in ALL {
        let name = metric.name;
        let total = name.ends_with("_total");
        assert_eq!(total, metric.kind == Kind::Counter, "{name}");
        let has_prefix = name.starts_with("checkout_") || name.starts_with("process_");
        assert!(has_prefix, "{name}");
    }
}

#[test]
fn every_metric_belongs_to_services_that_exist() {
    for metric in ALL {
        assert!(!metric.services().is_empty(), "{}", metric.name);
        for service in metric.services {
            assert!(SERVICES.contains(service), "{}: {service}", metric.name);
        }
    }
}

#[test]
fn the_metrics_that_do_not_exist_from_the_start_are_few_and_listed() {
    let open = ALL.iter().filter(|metric| !metric.is_complete_from_start());
    let open: BTreeSet<_> = open.map(|metric| metric.name).collect();
    assert_eq!(open, NOT_FROM_START.iter().copied().collect());
}

#[test]
fn a_service_shows_its_metrics_from_the_start_and_no_others() {
    for service in SERVICES {
        let expected = ALL.iter().filter(|metric| {
            metric.is_of(service) && (metric.is_complete_from_start() || metric.name == BUILD_INFO)
        });
        let expected: BTreeSet<_> = expected.map(|metric| metric.name).collect();
        let shown = shown(service);
        assert_eq!(names_after(&shown, "# TYPE "), expected, "{service}");
        assert_eq!(names_after(&shown, "# HELP "), expected, "{service}");
    }
}

#[test]
fn every_value_of_a_known_label_is_there_at_0() {
    let shown = shown("processor");
    for line in [
        "checkout_processor_transactions_total{outcome=\"unknown\"} 0",
        "checkout_processor_dead_letters_total{reason=\"invalid_json\"} 0",
        "checkout_processor_fenced_total 0",
        "checkout_kafka_calls_abandoned 0",
        "checkout_retries_total{class=\"registry\"} 0",
        "checkout_batch_records_count{service=\"processor\"} 0",
        "checkout_order_to_voucher_seconds_bucket{le=\"0.005\"} 0",
    ] {
        assert!(shown.lines().any(|one| one == line), "{line} in {shown}");
    }
    assert!(!shown.contains("service=\"sink\""), "{shown}");
}

#[test]
fn the_build_is_shown_with_its_version() {
    let shown = shown("sink");
    let start = format!(
        "checkout_build_info{{service=\"sink\",version=\"{}\",revision=\"",
        env!("CARGO_PKG_VERSION")
    );
    let is_it = |line: &str| line.starts_with(&start) && line.ends_with(" 1");
    assert!(shown.lines().any(is_it), "{shown}");
}

#[test]
fn the_process_is_shown_with_a_description_and_fractions_of_its_cpu_time() {
    let shown = shown("console");
    let value = |name: &str| {
        let line = shown.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.trim().parse::<f64>().ok())
    };
    assert!(value("process_threads ").is_some_and(|threads| threads >= 1.0));
    assert!(value("process_resident_memory_bytes ").is_some_and(|bytes| bytes > 1e6));
    assert!(value("process_cpu_seconds_total ").is_some_and(|seconds| seconds >= 0.0));
    assert!(shown.contains("# TYPE process_cpu_seconds_total counter\n"));
}
