//! Invalid settings: the services end with exit code 2 and say what to write instead, before they connect
//! to anything.

use anyhow::{Context, Result};
use end_to_end::command::run_alone;
use end_to_end::system::{SIGNING_KEY, TestSystem};

/// Runs `processor` with only these arguments and variables; returns its exit code and output.
async fn processor(arguments: &[&str], environment: &[(&str, &str)]) -> Result<(i32, String)> {
    service("processor", arguments, environment).await
}

/// Runs a service with only these arguments and variables; returns its exit code and output.
async fn service(
    name: &str,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> Result<(i32, String)> {
    let answer = run_alone(name, arguments, environment)
        .await
        .with_context(|| format!("{name} {arguments:?} {environment:?}"))?;
    Ok((answer.code, answer.stderr))
}

#[tokio::test]
async fn a_wrong_setting_ends_with_code_2_and_says_what_to_write() -> Result<()> {
    let short_key = "c2hvcnQ=";
    let wrong: &[(&str, &str, &[&str])] = &[
        (
            "VOUCHER_SIGNING_KEY",
            short_key,
            &["at least 32 bytes", "has 5", "openssl rand"],
        ),
        (
            "VOUCHER_SIGNING_KEY",
            "hunter2!",
            &["base64", "openssl rand"],
        ),
        (
            "VOUCHER_SIGNING_KEYS_FILE",
            "/nowhere/keys",
            &["VOUCHER_SIGNING_KEY"],
        ),
        (
            "KAFKA_PROPERTIES",
            "hunter2",
            &["KAFKA_PROPERTIES", "name=value"],
        ),
        (
            "KAFKA_PROPERTIES",
            "no.such.property=hunter2",
            &["no.such.property"],
        ),
        (
            "KAFKA_PROPERTIES",
            "isolation.level=read_uncommitted",
            &["isolation.level", "cannot be set"],
        ),
        (
            "KAFKA_PROPERTIES",
            "group.id=mine",
            &["group.id", "PROCESSOR_GROUP"],
        ),
        (
            "KAFKA_PROPERTIES",
            "security.protocol=hunter2",
            &["security.protocol"],
        ),
        (
            "KAFKA_PROPERTIES_FILE",
            "/nowhere/properties",
            &["KAFKA_PROPERTIES_FILE", "/nowhere/properties"],
        ),
        (
            "SCHEMA_REGISTRY_URL",
            "localhost:8081",
            &["SCHEMA_REGISTRY_URL", "http://host:port"],
        ),
        (
            "ORDER_STATUS_TOPIC",
            "orders/status",
            &["order-status-topic", "letters, digits"],
        ),
        (
            "VOUCHER_MIN_TOTAL",
            "100,00",
            &["voucher-min-total", "100.00"],
        ),
        (
            "VOUCHER_MIN_TOTAL",
            "-1",
            &["voucher-min-total", "not negative"],
        ),
        ("VOUCHER_AMOUNT", "0", &["voucher-amount", "above zero"]),
        (
            "VOUCHER_AMOUNT",
            "1e400",
            &["voucher-amount", "below 10^15"],
        ),
        ("VOUCHER_AMOUNT", "0.0000000001", &["VOUCHER_AMOUNT"]),
        (
            "VOUCHER_CURRENCY",
            "EURO",
            &["voucher-currency", "three letters such as EUR"],
        ),
        (
            "ORDER_DEFAULT_CURRENCY",
            "€",
            &["order-default-currency", "three letters such as EUR"],
        ),
        (
            "VOUCHER_CAMPAIGN",
            "Spring 2027",
            &["voucher-campaign", "spring-2027"],
        ),
        (
            "VOUCHER_VALID_DAYS",
            "0",
            &["voucher-valid-days", "days from 1 to 3650"],
        ),
        ("VOUCHER_VALID_DAYS", "thirty", &["voucher-valid-days"]),
        (
            "VOUCHER_SENT_FROM",
            "2026-12-01",
            &["voucher-sent-from", "2026-12-01T00:00:00Z"],
        ),
        (
            "VOUCHER_SENT_UNTIL",
            "tomorrow",
            &["voucher-sent-until", "2026-12-01T00:00:00Z"],
        ),
        (
            "DEAD_LETTER_LIMIT",
            "50",
            &["dead-letter-limit", "a share from 0 to 1"],
        ),
        (
            "PROCESSING_GUARANTEE",
            "exactly-once",
            &["exactly_once", "at_least_once"],
        ),
        (
            "PROCESSOR_INSTANCE_ID",
            "a/b",
            &["processor-instance-id", "letters, digits"],
        ),
        (
            "PROCESSOR_TASKS",
            "0",
            &["PROCESSOR_TASKS", "tasks from 1 to 64"],
        ),
        ("HTTP_ADDR", "9464", &["http-addr", "127.0.0.1:8080"]),
        (
            "KAFKA_BOOTSTRAP_SERVERS",
            "kafka://a:9092",
            &["kafka-1:9092,kafka-2:9092"],
        ),
        (
            "KAFKA_PROPERTIES",
            "sasl.mechanism=OAUTHBEARER",
            &["OIDC", "SCRAM-SHA-512"],
        ),
        (
            "KAFKA_PROPERTIES",
            "ssl.truststore.location=/t.jks",
            &["ssl.ca.location"],
        ),
        (
            "KAFKA_PROPERTIES",
            "session.timeout.ms=20000,max.poll.interval.ms=10000",
            &["max.poll.interval.ms"],
        ),
        ("VOUCHER_AMOUT", "10", &["write VOUCHER_AMOUNT"]),
        (
            "RUST_LOG",
            "info,processor=loud",
            &["rust-log", "info,sink=debug"],
        ),
    ];
    for (name, value, expected) in wrong {
        let mut environment = vec![("VOUCHER_SIGNING_KEY", SIGNING_KEY)];
        environment.retain(|(other, _)| other != name);
        environment.push((name, value));
        let (code, said) = processor(&["run"], &environment).await?;
        assert_eq!(code, 2, "{name}={value}: {said}");
        for part in *expected {
            assert!(said.contains(part), "{name}={value}: no {part:?} in {said}");
        }
        for secret in [SIGNING_KEY, "hunter2", short_key] {
            assert!(!said.contains(secret), "{name}: a secret is shown: {said}");
        }
    }

    let (code, said) = processor(&["run"], &[]).await?;
    assert_eq!(code, 2);
    for part in ["VOUCHER_SIGNING_KEY", "openssl rand -base64 32"] {
        assert!(said.contains(part), "{said}");
    }
    let key = [("VOUCHER_SIGNING_KEY", SIGNING_KEY)];
    let campaign = [
        "run",
        "--voucher-sent-from=2027-01-01T00:00:00Z",
        "--voucher-sent-until=2027-01-01T00:00:00Z",
    ];
    let (code, said) = processor(&campaign, &key).await?;
    assert_eq!(code, 2);
    assert!(said.contains("VOUCHER_SENT_UNTIL") && said.contains("must be after"));
    for arguments in [["run", "--vouchers=5"].as_slice(), &["walk"], &[]] {
        let (code, said) = processor(arguments, &key).await?;
        assert_eq!(code, 2, "{said}");
        assert!(said.contains("Usage:"), "{said}");
    }
    Ok(())
}

/// The URL of a database that no command connects to.
const DATABASE: &str = "postgres://u:hunter2@h/d";

#[tokio::test]
async fn the_other_services_refuse_what_they_could_not_do() -> Result<()> {
    let wrong: &[(&str, &str, &str, &str)] = &[
        ("producer", "DATABASE_URL", "", "--database-url"),
        ("sink", "DATABASE_URL", "", "--database-url"),
        (
            "sink",
            "DATABASE_URI",
            "postgres://h/d",
            "write DATABASE_URL",
        ),
        (
            "sink",
            "DATABASE_URL",
            "mysql://u:hunter2@h/d",
            "postgres://",
        ),
        (
            "sink",
            "DATABASE_URL",
            "postgres://u:hunter2@h/d?sslmode=on",
            "verify-full",
        ),
        (
            "producer",
            "DATABASE_URL",
            "postgres://u:hunter2@h/d?channel_binding=require",
            "leave channel_binding out",
        ),
        (
            "producer",
            "DATABASE_URL",
            "postgres://u:hunter2@h/d?sslmode=verify-full&sslrootcert=/nowhere",
            "sslrootcert: cannot read",
        ),
        ("sink", "PGSSLMODE", "verify_full", "PGSSLMODE"),
        ("sink", "SINK_TASKS", "two", "tasks from 1 to 64"),
        ("sink", "SINK_TASKS", "-1", "tasks from 1 to 64"),
        (
            "producer",
            "DATABASE_POOL",
            "1",
            "connections from 2 to 1000",
        ),
        ("producer", "HTTP_TIMEOUT", "10s", "seconds from 1 to 3600"),
        ("producer", "HTTP_TIMEOUT", "0", "seconds from 1 to 3600"),
        ("producer", "HTTP_BODY_LIMIT", "1MiB", "bytes from 1024"),
        ("producer", "HTTP_BULK_LIMIT", "0", "bytes, at least 1024"),
        (
            "producer",
            "HTTP_BULK_SPOOL_LIMIT",
            "-1",
            "bytes, at least 0",
        ),
        ("producer", "OUTBOX_LIMIT", "0", "events, at least 1"),
        ("producer", "OLD_ROUTES_WITHOUT_KEY", "yes", "true, false"),
        ("producer", "API_KEY_RATE", "10", "--api-keys-file"),
        ("producer", "OUTBOX_NAME", "a/b", "letters, digits"),
        (
            "console",
            "CONSOLE_KEYS_FILE",
            "",
            "nobody may use the console",
        ),
        (
            "console",
            "CONSOLE_KEYS_FILE",
            "/nowhere/keys",
            "cannot read /nowhere/keys",
        ),
        (
            "console",
            "CONSOLE_KEY_FILE",
            "/nowhere/keys",
            "write CONSOLE_KEYS_FILE",
        ),
        (
            "console",
            "CONSOLE_WITHOUT_KEYS",
            "admin",
            "viewer, operator",
        ),
        ("console", "CONSOLE_HTTP_ADDR", "9466", "127.0.0.1:8080"),
        (
            "console",
            "CONSOLE_SINK_URLS",
            "http://u:hunter2@h",
            "a user or password in the URL is not supported",
        ),
        (
            "console",
            "CONSOLE_TRACE_URL",
            "javascript:alert({trace_id})",
            "write a URL such as https://",
        ),
        (
            "console",
            "CONSOLE_ORDERS_KEY_FILE",
            "/nowhere/key",
            "--console-orders-url",
        ),
    ];
    for (name, variable, value, expected) in wrong {
        let mut environment = vec![("DATABASE_URL", DATABASE)];
        if variable.starts_with("DATABASE_UR") {
            environment.clear();
        }
        environment.push((variable, value));
        let (code, said) = service(name, &["run"], &environment).await?;
        assert_eq!(code, 2, "{name} {variable}={value}: {said}");
        assert!(said.contains(expected), "{variable}={value}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    Ok(())
}

/// `FOO=` in a Compose file means an unset variable.
#[tokio::test]
async fn an_empty_variable_counts_as_unset() -> Result<()> {
    for (name, missing) in [
        ("processor", "VOUCHER_SIGNING_KEY is not set"),
        ("producer", "--database-url"),
        ("sink", "--database-url"),
        ("console", "CONSOLE_KEYS_FILE"),
    ] {
        let (code, help) = service(name, &["run", "--help"], &[]).await?;
        assert_eq!((code, help.as_str()), (0, ""));
        let empty: Vec<_> = VARIABLES.iter().map(|variable| (*variable, "")).collect();
        let (code, said) = service(name, &["run"], &empty).await?;
        assert_eq!(code, 2, "{said}");
        assert!(said.contains(missing), "{name}: {said}");
    }
    Ok(())
}

/// Variables of all services.
const VARIABLES: &[&str] = &[
    "API_KEYS_FILE",
    "API_KEY_BURST",
    "API_KEY_RATE",
    "CHECKOUT_CONFIG",
    "CONSOLE_HOSTS",
    "CONSOLE_HTTP_ADDR",
    "CONSOLE_KEYS_FILE",
    "CONSOLE_ORDERS_URL",
    "CONSOLE_SINK_URLS",
    "CONSOLE_TRACE_URL",
    "CONSOLE_WITHOUT_KEYS",
    "DATABASE_POOL",
    "DATABASE_URL",
    "DEAD_LETTER_LIMIT",
    "HTTP_ADDR",
    "HTTP_TIMEOUT",
    "KAFKA_BOOTSTRAP_SERVERS",
    "KAFKA_PROPERTIES",
    "KAFKA_PROPERTIES_FILE",
    "LOG_FORMAT",
    "OLD_ROUTES_WITHOUT_KEY",
    "ORDER_DEFAULT_CURRENCY",
    "ORDER_STATUS_TOPIC",
    "OUTBOX_LIMIT",
    "OUTBOX_NAME",
    "PROCESSING_GUARANTEE",
    "PROCESSOR_GROUP",
    "PROCESSOR_INSTANCE_ID",
    "PROCESSOR_TASKS",
    "RUST_LOG",
    "SCHEMA_REGISTRY_URL",
    "SINK_GROUP",
    "SINK_TASKS",
    "VOUCHERS_TOPIC",
    "VOUCHER_AMOUNT",
    "VOUCHER_CAMPAIGN",
    "VOUCHER_SENT_FROM",
    "VOUCHER_SIGNING_KEY",
    "VOUCHER_SIGNING_KEYS_FILE",
    "VOUCHER_VALID_DAYS",
];

#[tokio::test]
async fn a_code_is_verified_without_asking_anybody() -> Result<()> {
    for (typed, code) in [
        ("A527-R3XF-YDHK-X2AD", 0),
        ("a527 r3xf ydhk x2ad", 0),
        ("A527-R3XF-YDHK-X2AE", 1),
        ("A527", 1),
        ("", 1),
    ] {
        let (ended, said) = processor(&["verify", typed], &[]).await?;
        assert_eq!(ended, code, "{typed}: {said}");
    }
    Ok(())
}

#[tokio::test]
async fn a_topic_that_is_missing_is_named_with_code_1() -> Result<()> {
    let system = TestSystem::open().await?;
    let missing = format!("nobody-made-{}", system.name);
    let command = system.processor_command("1").await?;
    let processor = command.env("ORDER_STATUS_TOPIC", &missing).start().await?;
    let ended = processor.wait(end_to_end::system::START).await?;
    assert_eq!(ended.code(), Some(1));
    let log = std::fs::read_to_string(processor.log())?;
    let said = log.lines().last().unwrap_or_default();
    assert!(
        said.contains(&missing) && said.contains(&format!("{missing}.dlq")),
        "{log}"
    );
    Ok(())
}
