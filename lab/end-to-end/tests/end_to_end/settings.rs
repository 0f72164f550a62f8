//! Settings that are wrong: exit code 2 and what to write instead, before anything is connected to.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use end_to_end::shop::{SIGNING_KEY, Shop, binaries};

/// `processor` with these arguments and variables alone: its exit code and what it said.
async fn processor(arguments: &[&str], environment: &[(&str, &str)]) -> Result<(i32, String)> {
    let run = tokio::process::Command::new(&binaries().await?.processor)
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(30), run)
        .await
        .with_context(|| format!("{arguments:?} {environment:?} still runs"))??;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok((output.status.code().unwrap_or(-1), said))
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
            &["isolation.level", "can't be set"],
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
        (
            "VOUCHER_AMOUNT",
            "0",
            &["voucher-amount", "more than nothing"],
        ),
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
            "",
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
            &["voucher-valid-days", "1..=3650"],
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
        ("PROCESSOR_TASKS", "0", &["--tasks", "1..=64"]),
        ("HTTP_ADDR", "9464", &["http-addr"]),
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
    let shop = Shop::open().await?;
    let missing = format!("nobody-made-{}", shop.name);
    let command = shop.processor_command("1").await?;
    let processor = command.env("ORDER_STATUS_TOPIC", &missing).start().await?;
    let ended = processor.wait(end_to_end::shop::START).await?;
    assert_eq!(ended.code(), Some(1));
    let log = std::fs::read_to_string(processor.log())?;
    let said = log.lines().last().unwrap_or_default();
    assert!(
        said.contains(&missing) && said.contains(&format!("{missing}.dlq")),
        "{log}"
    );
    Ok(())
}
