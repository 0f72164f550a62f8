//! Two campaigns share a dead letter topic, and a topic may be deleted and created again: an outcome closes
//! one dead letter for one campaign, and no other.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use apache_avro::types::Value as Avro;
use end_to_end::backends::own_registry;
use end_to_end::command::Answer;
use end_to_end::system::{TestSystem, ready};
use end_to_end::topic::{self, NewRecord};
use end_to_end::wait;
use serde_json::{Value, json};

use crate::dead_letters::{bury, letter};
use crate::record::{encode, framed};
use crate::redrive::PROBE;

/// Times of sending on both sides of [`CHANGE`].
const MAY: &str = "2026-05-01T12:00:00Z";
const JULY: &str = "2026-07-01T12:00:00Z";

const SCHEMA: &str = r#"{"type":"record","name":"OrderStatus","fields":[
    {"name":"order_id","type":"string"},
    {"name":"status","type":"string"},
    {"name":"total","type":"int"},
    {"name":"sent_at","type":"string"}]}"#;

/// Returns an order in Avro with [`SCHEMA`] under this id.
fn avro(key: &str, sent_at: &str, id: u32) -> Result<NewRecord> {
    let fields = [
        ("order_id", Avro::String(key.to_owned())),
        ("status", Avro::String("SENT".to_owned())),
        ("total", Avro::Int(100)),
        ("sent_at", Avro::String(sent_at.to_owned())),
    ];
    let fields = fields.map(|(name, value)| (name.to_owned(), value));
    let body = encode(SCHEMA, Avro::Record(fields.into()))?;
    Ok(NewRecord::new(key, framed(id, &body)))
}

/// Returns an order that was sent in May, whose id is the offset of its dead letter.
fn sent(offset: i64, total: &str) -> String {
    json!({"order_id": offset, "status": "SENT", "total": total, "sent_at": MAY}).to_string()
}

/// When the first campaign ends and the second begins. docs/planned-changes.md advises a second group with
/// its own campaign to change the amount.
const CHANGE: &str = "2026-06-01T00:00:00Z";

/// The settings of one of the two campaigns.
struct Campaign {
    group: String,
    variables: Vec<(&'static str, &'static str)>,
}

impl Campaign {
    fn first(system: &TestSystem) -> Self {
        Self {
            group: system.processor_group(),
            variables: vec![("VOUCHER_SENT_UNTIL", CHANGE)],
        }
    }

    fn second(system: &TestSystem) -> Self {
        Self {
            group: format!("second-{}", system.name),
            variables: vec![
                ("VOUCHER_CAMPAIGN", "second"),
                ("VOUCHER_AMOUNT", "7.50"),
                ("VOUCHER_SENT_FROM", CHANGE),
            ],
        }
    }

    fn environment(&self) -> Vec<(&str, &str)> {
        let group = ("PROCESSOR_GROUP", self.group.as_str());
        self.variables.iter().copied().chain([group]).collect()
    }

    async fn command(&self, system: &TestSystem, arguments: &[&str]) -> Result<Answer> {
        system.run_processor(arguments, &self.environment()).await
    }

    async fn json(&self, system: &TestSystem, arguments: &[&str]) -> Result<Value> {
        let arguments = [arguments, &["--json"]].concat();
        self.command(system, &arguments).await?.json()
    }

    async fn processor(&self, system: &TestSystem) -> Result<stack::Service> {
        let mut command = system.processor_command(&self.group).await?;
        for (name, value) in self.environment() {
            command = command.env(name, value);
        }
        ready(command).await
    }
}

/// Returns the number of vouchers by campaign and order.
async fn issued(system: &TestSystem) -> Result<BTreeMap<(String, String), usize>> {
    let mut issued = BTreeMap::new();
    for record in system.voucher_records().await? {
        let voucher = crate::voucher::read(system, &record)?;
        let identity = (voucher.campaign, voucher.order_id);
        *issued.entry(identity).or_default() += 1;
    }
    Ok(issued)
}

fn vouchers(expected: &[(&str, &str)]) -> BTreeMap<(String, String), usize> {
    let owned = |(campaign, id): &(&str, &str)| ((*campaign).to_owned(), (*id).to_owned());
    expected.iter().map(|one| (owned(one), 1)).collect()
}

#[tokio::test]
async fn what_one_campaigns_redrive_closes_stays_open_for_the_other() -> Result<()> {
    let backends = Arc::new(own_registry("shared-dead-letters").await);
    let system = TestSystem::on(Arc::clone(&backends), true).await?;
    let (first, second) = (Campaign::first(&system), Campaign::second(&system));
    let _running = (
        first.processor(&system).await?,
        second.processor(&system).await?,
    );
    let id = u32::try_from(backends.register_schema("probe", PROBE).await?)? + 1;

    // 17 was sent during the first campaign, 18 during the second; neither can be read yet.
    system
        .write_orders(vec![avro("17", MAY, id)?, avro("18", JULY, id)?])
        .await?;
    for group in [&first.group, &second.group] {
        system.caught_up(group, &system.topics.order_status).await;
    }
    assert_eq!(
        system.dead_letters().await?.len(),
        4,
        "each campaign has its own"
    );
    for (campaign, other) in [(&first, &second), (&second, &first)] {
        let listed = campaign.json(&system, &["dead-letters"]).await?;
        assert_eq!(
            (&listed["open"], &listed["all"], &listed["repeats"]),
            (&json!(2), &json!(2), &json!(0))
        );
        assert_eq!(
            listed["of_other_groups"],
            json!({ other.group.as_str(): 2 })
        );
    }

    assert_eq!(
        u32::try_from(backends.register_schema("late", SCHEMA).await?)?,
        id
    );
    for (campaign, so_far) in [
        (&first, vec![("order-reward", "17")]),
        (&second, vec![("order-reward", "17"), ("second", "18")]),
    ] {
        let redriven = campaign.json(&system, &["redrive"]).await?;
        assert_eq!(
            redriven["outcomes"],
            json!({"voucher": 1, "skipped: campaign_dates": 1})
        );
        assert_eq!(issued(&system).await?, vouchers(&so_far));
    }
    for campaign in [&first, &second] {
        let listed = campaign.json(&system, &["dead-letters"]).await?;
        assert_eq!((&listed["open"], &listed["all"]), (&json!(0), &json!(2)));
        let again = campaign.json(&system, &["redrive"]).await?;
        assert_eq!(again["outcomes"], json!({}));
    }
    Ok(())
}

#[tokio::test]
async fn a_discard_and_the_settings_of_another_campaign_close_nothing_of_this_one() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let (first, second) = (Campaign::first(&system), Campaign::second(&system));
    // Dead letters of the first released version, which did not name their group, belong to every group.
    let letters = (1..=2).map(|offset| letter(&system, offset, "x", sent(offset, "100")));
    bury(&system, letters.collect()).await?;
    let discard = ["dead-letters", "discard", "--key", "1", "--note", "a test"];
    assert_eq!(
        second.json(&system, &discard).await?["discarded"],
        json!([place(&system, 1)])
    );

    // The second campaign's settings with the first one's group.
    let mut mixed = second.variables.clone();
    mixed.push(("PROCESSOR_GROUP", first.group.as_str()));
    let mixed = system.run_processor(&["redrive", "--json"], &mixed).await?;
    assert_eq!(
        mixed.json()?["outcomes"],
        json!({"skipped: campaign_dates": 2}),
        "both were sent before it"
    );
    let redriven = first.json(&system, &["redrive"]).await?;
    assert_eq!(redriven["outcomes"], json!({"voucher": 2}));
    let expected = vouchers(&[("order-reward", "1"), ("order-reward", "2")]);
    assert_eq!(issued(&system).await?, expected);
    Ok(())
}

fn place(system: &TestSystem, offset: i64) -> String {
    format!("{}/0/{offset}", system.topics.order_status)
}

fn states_topic(system: &TestSystem) -> String {
    format!("{}.state", system.topics.order_status_dead_letters())
}

/// Returns a state as the first released version wrote it.
fn released(system: &TestSystem, offset: i64, outcome: &Value) -> NewRecord {
    let mut state = json!({"attempts": 2, "at": "2099-01-01T00:00:00Z", "run": "redrive/x"});
    if let (Value::Object(state), Value::Object(outcome)) = (&mut state, outcome) {
        state.extend(outcome.clone());
    }
    NewRecord::new(place(system, offset), state.to_string())
}

#[tokio::test]
async fn states_of_the_released_version_close_what_they_were_decided_on() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let letters = (1..=5).map(|offset| letter(&system, offset, "x", sent(offset, "100")));
    bury(&system, letters.collect()).await?;
    let states = vec![
        released(
            &system,
            1,
            &json!({"outcome": "voucher", "campaign": "order-reward"}),
        ),
        released(
            &system,
            2,
            &json!({"outcome": "skipped", "reason": "campaign_dates", "message": "x"}),
        ),
        released(
            &system,
            3,
            &json!({"outcome": "skipped", "reason": "status", "message": "x"}),
        ),
        released(&system, 4, &json!({"outcome": "discarded", "note": "x"})),
        released(
            &system,
            5,
            &json!({"outcome": "failed", "reason": "y", "message": "x"}),
        ),
    ];
    topic::write(system.brokers(), &states_topic(&system), states).await?;

    // The state of 2 does not say which campaign skipped it, so it closes nothing.
    let (first, second) = (Campaign::first(&system), Campaign::second(&system));
    for (campaign, open) in [(&first, ["2", "5"].as_slice()), (&second, &["1", "2", "5"])] {
        let listed = campaign.json(&system, &["dead-letters"]).await?;
        let letters = listed["letters"].as_array().context("letters")?;
        let keys = letters.iter().map(|letter| letter["key"]["text"].as_str());
        assert_eq!(keys.flatten().collect::<Vec<_>>(), open);
    }
    let redriven = first.json(&system, &["redrive"]).await?;
    assert_eq!(redriven["outcomes"], json!({"voucher": 2}));
    assert_eq!(
        redriven["letters"][1]["attempts"], 3,
        "the failed one's go on"
    );
    Ok(())
}

#[tokio::test]
async fn dead_letters_of_a_topic_that_was_made_anew_are_letters_of_their_own() -> Result<()> {
    let system = TestSystem::open_json().await?;
    // The same partitions and offsets with other records: one record of each pair is from the deleted
    // topic.
    let other = |offset: i64| letter(&system, offset, "x", sent(offset, "250"));
    bury(
        &system,
        vec![
            letter(&system, 1, "x", sent(1, "100")),
            letter(&system, 2, "x", "{"),
        ],
    )
    .await?;
    let before = system
        .run_processor(&["redrive", "--json"], &[])
        .await?
        .json()?;
    assert_eq!(
        before["outcomes"],
        json!({"voucher": 1, "failed: invalid_json": 1})
    );
    bury(&system, vec![other(1), other(2), other(2)]).await?;

    let listed = system
        .run_processor(&["dead-letters", "--json"], &[])
        .await?
        .json()?;
    assert_eq!(
        (&listed["open"], &listed["all"], &listed["repeats"]),
        (&json!(3), &json!(4), &json!(1))
    );
    let names: Vec<_> = listed["letters"]
        .as_array()
        .context("letters")?
        .iter()
        .filter_map(|letter| letter["letter"].as_str())
        .collect();
    assert!(names.iter().all(|name| name.contains('@')), "{names:?}");
    let ambiguous = system
        .run_processor(&["dead-letters", "show", "0/2"], &[])
        .await?;
    assert_eq!(ambiguous.code, 1);
    for name in &names[..1] {
        assert!(ambiguous.stderr.contains(name), "{}", ambiguous.stderr);
        let show = ["dead-letters", "show", name, "--json"];
        let shown = system.run_processor(&show, &[]).await?.json()?;
        assert_eq!(shown["original"]["value"], json!({"text": "{"}));
    }

    let redriven = system
        .run_processor(&["redrive", "--json"], &[])
        .await?
        .json()?;
    assert_eq!(
        redriven["outcomes"],
        json!({"voucher": 2, "failed: invalid_json": 1})
    );
    let again = system
        .run_processor(&["redrive", "--json"], &[])
        .await?
        .json()?;
    assert_eq!(again["outcomes"], json!({"failed: invalid_json": 1}));
    Ok(())
}
#[tokio::test]
async fn another_groups_open_transaction_hides_no_state() -> Result<()> {
    use rdkafka::ClientConfig;
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

    let system = TestSystem::open_json().await?;
    bury(&system, vec![letter(&system, 1, "x", sent(1, "100"))]).await?;
    // A redrive of another group that was killed while it wrote.
    let wait = wait::DEADLINE;
    let killed: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", system.brokers())
        .set(
            "transactional.id",
            format!("killed-{}/redrive", system.name),
        )
        .set("transaction.timeout.ms", "10000")
        .create()?;
    killed.init_transactions(wait)?;
    killed.begin_transaction()?;
    let states = states_topic(&system);
    let record = BaseRecord::to(&states)
        .key("t/0/1@0011223344556677/killed")
        .payload("{}");
    killed.send(record).map_err(|(error, _)| error)?;
    killed.flush(wait)?;

    let redriven = system
        .run_processor(&["redrive", "--json"], &[])
        .await?
        .json()?;
    assert_eq!(redriven["outcomes"], json!({"voucher": 1}));
    drop(killed);
    let again = system
        .run_processor(&["redrive", "--json"], &[])
        .await?
        .json()?;
    assert_eq!(again["outcomes"], json!({}));
    assert_eq!(issued(&system).await?, vouchers(&[("order-reward", "1")]));
    Ok(())
}
