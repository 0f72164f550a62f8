//! `check` of each service finds and names what is wrong, and `--fix` creates what is missing.

use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use end_to_end::system::{SIGNING_KEY, START, STOP, TestSystem, binaries};
use end_to_end::topic::NewRecord;
use end_to_end::wait;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use serde_json::Value;

/// The result of a `check`.
#[derive(Debug)]
struct Checked {
    code: i32,
    json: Value,
}

impl Checked {
    /// Returns the level of the verdict on `subject`, and its finding and advice.
    #[track_caller]
    fn verdict(&self, subject: &str) -> (&str, String) {
        let mut verdicts = self.json["verdicts"].as_array().into_iter().flatten();
        let Some(verdict) = verdicts.find(|verdict| verdict["subject"] == subject) else {
            panic!("nothing is said of {subject}: {:#}", self.json);
        };
        let text = |name: &str| verdict[name].as_str().unwrap_or_default();
        let sentence = format!("{}; {}", text("finding"), text("advice"));
        (text("level"), sentence)
    }

    #[track_caller]
    fn fails(&self, subject: &str, words: &[&str]) {
        assert_eq!(self.code, 1, "{:#}", self.json);
        let (level, sentence) = self.verdict(subject);
        assert_eq!(level, "fail", "{subject}: {sentence}");
        for word in words {
            assert!(
                sentence.contains(word),
                "{subject}: no {word:?} in {sentence}"
            );
        }
    }

    #[track_caller]
    fn is_fine(&self) {
        assert_eq!(self.code, 0, "{:#}", self.json);
        assert_eq!(self.json["ok"], true);
    }

    fn made(&self) -> Vec<&str> {
        let made = self.json["made"].as_array().into_iter().flatten();
        made.filter_map(Value::as_str).collect()
    }
}

/// Runs `SERVICE check --json` on this system, with additional arguments and variables.
async fn check(
    system: &TestSystem,
    service: &str,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> Result<Checked> {
    let binaries = binaries().await?;
    let (binary, database) = match service {
        "producer" => (&binaries.producer, &system.orders_url),
        "processor" => (&binaries.processor, &system.orders_url),
        _ => (&binaries.sink, &system.vouchers_url),
    };
    let run = tokio::process::Command::new(binary)
        .args(["check", "--json"])
        .args(arguments)
        .env_clear()
        .env("KAFKA_BOOTSTRAP_SERVERS", system.brokers())
        .env("SCHEMA_REGISTRY_URL", system.backends.schema_registry_url())
        .env("ORDER_STATUS_TOPIC", &system.topics.order_status)
        .env("VOUCHERS_TOPIC", &system.topics.vouchers)
        .env("PROCESSOR_GROUP", system.processor_group())
        .env("SINK_GROUP", system.sink_group())
        .env("VOUCHER_SIGNING_KEY", SIGNING_KEY)
        .env("DATABASE_URL", database)
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(40), run)
        .await
        .with_context(|| format!("{service} check {arguments:?} still runs"))??;
    let said = String::from_utf8_lossy(&output.stderr);
    Ok(Checked {
        code: output.status.code().unwrap_or(-1),
        json: serde_json::from_slice(&output.stdout).with_context(|| said.into_owned())?,
    })
}

#[tokio::test]
async fn what_is_missing_is_named_and_made_once() -> Result<()> {
    let system = TestSystem::open().await?;
    let (orders, vouchers) = (format!("o-{}", system.name), format!("v-{}", system.name));
    let names = [
        ("ORDER_STATUS_TOPIC", orders.as_str()),
        ("VOUCHERS_TOPIC", vouchers.as_str()),
    ];
    let found = check(&system, "processor", &[], &names).await?;
    let topics = [
        orders.clone(),
        vouchers.clone(),
        format!("{orders}.dlq"),
        format!("{vouchers}.dlq"),
    ];
    for topic in &topics {
        let words = [format!("no topic {topic} at"), "check --fix".to_owned()];
        found.fails(
            &format!("topic {topic}"),
            &words.each_ref().map(String::as_str),
        );
    }
    for topic in &topics[..2] {
        found.fails(&format!("schema {topic}-value"), &["not registered"]);
    }

    // `run` reports the same sentence.
    let command = system.processor_command("1").await?;
    let processor = command.env("VOUCHERS_TOPIC", &vouchers).start().await?;
    assert_eq!(processor.wait(START).await?.code(), Some(1));
    let log = std::fs::read_to_string(processor.log())?;
    let (_, sentence) = found.verdict(&format!("topic {vouchers}"));
    assert!(log.contains(&sentence), "no {sentence:?} in {log}");

    let fixed = check(&system, "processor", &["--fix", "--partitions=3"], &names).await?;
    fixed.is_fine();
    for what in [
        format!("topic {vouchers}.dlq"),
        format!("schema {orders}-value"),
    ] {
        assert!(fixed.made().contains(&what.as_str()), "{:?}", fixed.made());
    }
    let again = check(&system, "processor", &["--fix"], &names).await?;
    again.is_fine();
    assert_eq!(again.made(), Vec::<&str>::new());

    for service in ["sink", "producer"] {
        let found = check(&system, service, &[], &names).await?;
        found.fails("migrations", &["not applied yet: 1", "check --fix"]);
        let fixed = check(&system, service, &["--fix"], &names).await?;
        fixed.is_fine();
        assert!(fixed.made().contains(&"migration 1"), "{:?}", fixed.made());
        check(&system, service, &[], &names).await?.is_fine();
    }
    Ok(())
}

#[tokio::test]
async fn a_topic_that_would_lose_records_is_found() -> Result<()> {
    let system = TestSystem::open().await?;
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", system.brokers())
        .create()?;
    let topic = format!("deleting-{}", system.name);
    let new = NewTopic::new(&topic, 2, TopicReplication::Fixed(1)).set("cleanup.policy", "delete");
    let created = admin.create_topics([&new], &AdminOptions::new()).await?;
    assert!(created.iter().all(Result::is_ok), "{created:?}");
    let subject = format!("topic {topic}");

    let as_orders = [("ORDER_STATUS_TOPIC", topic.as_str())];
    let found = check(&system, "processor", &[], &as_orders).await?;
    found.fails(
        &subject,
        &["cleanup.policy is delete", "cleanup.policy=compact"],
    );
    let as_vouchers = [("VOUCHERS_TOPIC", topic.as_str())];
    let found = check(&system, "sink", &[], &as_vouchers).await?;
    found.fails(&subject, &["retention.ms is 7 d", "retention.ms=-1"]);
    Ok(())
}

#[tokio::test]
async fn a_group_that_compaction_overtakes_and_a_rule_that_changed_are_found() -> Result<()> {
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
    let group = format!("group {}", system.processor_group());
    let found = check(&system, "processor", &[], &[]).await?;
    found.is_fine();
    assert!(found.verdict(&group).1.contains("has read all"));

    let other = [("VOUCHER_AMOUNT", "7.50")];
    let found = check(&system, "processor", &[], &other).await?;
    found.fails(
        "rule of order-reward",
        &["5.00 EUR by another rule", "7.50", "VOUCHER_CAMPAIGN"],
    );
    let renamed = [other[0], ("VOUCHER_CAMPAIGN", "spring-2027")];
    check(&system, "processor", &[], &renamed).await?.is_fine();

    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let eight_days = 8 * 24 * 3_600_000;
    let old = NewRecord {
        timestamp_millis: Some(i64::try_from(now)? - eight_days),
        ..NewRecord::new("17", order)
    };
    system.write_orders(vec![old]).await?;
    // A static member stays in the group until its session expires.
    let found = wait::until(
        "the stopped processor to leave its group",
        || async { check(&system, "processor", &[], &[]).await },
        |found| {
            found
                .as_ref()
                .is_ok_and(|found| found.verdict(&group).1.contains("no active member"))
        },
    )
    .await?;
    found.fails(
        &group,
        &["unread for 8 d", "(7 d)", "start it", "no active member"],
    );
    Ok(())
}

#[tokio::test]
async fn what_does_not_answer_is_named() -> Result<()> {
    let system = TestSystem::open().await?;
    let away = [
        ("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1"),
        ("SCHEMA_REGISTRY_URL", "http://127.0.0.1:1"),
        ("DATABASE_URL", "postgres://nobody:hunter2@127.0.0.1:1/none"),
    ];
    let found = check(&system, "sink", &[], &away).await?;
    found.fails(
        "Kafka",
        &[
            "cannot connect to Kafka at 127.0.0.1:1",
            "KAFKA_BOOTSTRAP_SERVERS",
        ],
    );
    found.fails("Postgres", &["cannot connect", "DATABASE_URL"]);
    let schema = format!("schema {}-value", system.topics.vouchers);
    found.fails(
        &schema,
        &[
            "request to the schema registry failed",
            "SCHEMA_REGISTRY_URL",
        ],
    );
    assert!(!found.json.to_string().contains("hunter2"));
    Ok(())
}
