//! The samples in `docs/check.md` are what the commands print: the same checks, in the same order, with the
//! same names and levels. What was found may differ.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use end_to_end::system::{SIGNING_KEY, STOP, TestSystem};
use end_to_end::topic::NewRecord;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;

const PAGE: &str = include_str!("../../../../docs/check.md");

const KEY: (&str, &str) = ("VOUCHER_SIGNING_KEY", SIGNING_KEY);

/// What the page says that a command prints.
fn sample(command: &str) -> Result<Vec<String>> {
    let begin = format!("```sh\n{command}\n```\n\n```text\n");
    let (_, after) = PAGE
        .split_once(&begin)
        .with_context(|| format!("docs/check.md has no sample of {command}"))?;
    let (text, _) = after.split_once("```").context("the sample has no end")?;
    Ok(text.lines().map(shape).collect())
}

/// The level and the name of a check, a mark for advice, and other lines as they are.
fn shape(line: &str) -> String {
    const LEVELS: [&str; 4] = ["ok    ", "warn  ", "FAIL  ", "made  "];
    let of_level = |level: &'static str| Some((level.trim_end(), line.strip_prefix(level)?));
    match LEVELS.into_iter().find_map(of_level) {
        Some((level, rest)) => {
            let (name, _) = rest.split_once("  ").unwrap_or((rest, ""));
            format!("{level} {name}")
        }
        None if line.trim_start().starts_with("-> ") => "->".to_owned(),
        None => line.to_owned(),
    }
}

/// What a command prints on this system, whose topics and groups get the names that the page has.
async fn printed(
    system: &TestSystem,
    service: &str,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> Result<Vec<String>> {
    let answer = system.run_service(service, arguments, environment).await?;
    let errors = answer.stderr.lines();
    let errors = errors.filter(|line| line.starts_with("error: "));
    let suffix = format!("-{}", system.name);
    let lines = answer.stdout.lines().chain(errors);
    Ok(lines
        .map(|line| shape(&line.replace(&suffix, "")))
        .collect())
}

#[tokio::test]
async fn before_the_first_start() -> Result<()> {
    let system = TestSystem::open().await?;
    let (orders, gifts) = (
        format!("orders-{}", system.name),
        format!("gifts-{}", system.name),
    );
    let environment = [
        ("ORDER_STATUS_TOPIC", orders.as_str()),
        ("VOUCHERS_TOPIC", gifts.as_str()),
        KEY,
    ];
    let command = "ORDER_STATUS_TOPIC=orders VOUCHERS_TOPIC=gifts processor check";
    for (command, arguments) in [
        (command.to_owned(), &["check"][..]),
        (format!("{command} --fix"), &["check", "--fix"]),
    ] {
        let printed = printed(&system, "processor", arguments, &environment).await?;
        assert_eq!(printed, sample(&command)?, "{command}");
    }
    Ok(())
}

#[tokio::test]
async fn the_sink_and_the_producer_verify_their_database() -> Result<()> {
    let system = TestSystem::open().await?;
    for (service, database, command) in [
        (
            "sink",
            &system.vouchers_url,
            "DATABASE_URL=\"$VOUCHERS_DATABASE_URL\" sink check",
        ),
        (
            "producer",
            &system.orders_url,
            "DATABASE_URL=\"$ORDERS_DATABASE_URL\" producer check",
        ),
    ] {
        let environment = [("DATABASE_URL", database.as_str())];
        let migrated = system
            .run_service(service, &["migrate"], &environment)
            .await?;
        assert_eq!(migrated.code, 0, "{migrated:?}");
        let printed = printed(&system, service, &["check"], &environment).await?;
        assert_eq!(printed, sample(command)?, "{command}");
    }
    let nobody = [
        ("KAFKA_BOOTSTRAP_SERVERS", "localhost:9"),
        ("DATABASE_URL", "postgres://u@localhost:9/d"),
    ];
    let command = nobody.map(|(name, value)| format!("{name}={value} "));
    let command = format!("{}sink check", command.concat());
    let printed = printed(&system, "sink", &["check"], &nobody).await?;
    assert_eq!(printed, sample(&command)?, "{command}");
    Ok(())
}

/// Sets a topic to these settings, and all others to the brokers' defaults.
async fn configure(system: &TestSystem, topic: &str, settings: &[(&str, &str)]) -> Result<()> {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", system.brokers())
        .create()?;
    let mut resource = AlterConfig::new(ResourceSpecifier::Topic(topic));
    for (name, value) in settings {
        resource = resource.set(name, value);
    }
    let altered = admin
        .alter_configs([&resource], &AdminOptions::new())
        .await?;
    assert!(altered.iter().all(Result::is_ok), "{altered:?}");
    Ok(())
}

#[tokio::test]
async fn while_it_runs() -> Result<()> {
    let system = TestSystem::open().await?;
    let processor = system.processor().await?;
    let order = r#"{"order_id":"17","status":"SENT","total":150}"#;
    system
        .write_orders(vec![NewRecord::new("17", order)])
        .await?;
    system
        .caught_up(&system.processor_group(), &system.topics.order_status)
        .await;
    processor.terminate(STOP).await?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let unread = NewRecord {
        timestamp_millis: Some(i64::try_from(now)? - 56_000),
        ..NewRecord::new("17", order)
    };
    system.write_orders(vec![unread]).await?;
    let orders = [
        ("cleanup.policy", "compact"),
        ("min.compaction.lag.ms", "30000"),
        ("delete.retention.ms", "604800000"),
    ];
    configure(&system, &system.topics.order_status, &orders).await?;
    let vouchers = [("retention.ms", "604800000")];
    configure(&system, &system.topics.vouchers, &vouchers).await?;

    let command = "processor check";
    let found = printed(&system, "processor", &["check"], &[KEY]).await?;
    assert_eq!(found, sample(command)?, "{command}");

    let command = "processor check --voucher-amount 7.50 | grep -A1 'rule of'";
    let arguments = ["check", "--voucher-amount", "7.50"];
    let found = printed(&system, "processor", &arguments, &[KEY]).await?;
    let rule = found.iter().position(|line| line.contains("rule of"));
    let rule = rule.with_context(|| format!("no rule: {found:?}"))?;
    assert_eq!(found[rule..rule + 2], sample(command)?, "{command}");
    Ok(())
}
