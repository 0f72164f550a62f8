//! Who did what, why and how much: one audit record in the transaction of each effect.

use std::collections::BTreeSet;

use anyhow::Result;
use end_to_end::command::Answer;
use end_to_end::system::TestSystem;
use end_to_end::topic::{self, NewRecord, Record};
use end_to_end::wait;
use serde_json::{Value, json};

use crate::dead_letters::{bury, letter, sent};
use crate::load;
use crate::sink_redrive::voucher;

const WHO: [&str; 4] = ["--by", "ana", "--why", "a test"];

/// A flow with a topic of audit records.
struct Audited {
    system: TestSystem,
    topic: String,
}

impl Audited {
    /// Opens a flow whose audit topic is created by `check --fix`, as users create it.
    async fn open() -> Result<Self> {
        let system = TestSystem::open_json().await?;
        let topic = format!("audit-{}", system.name);
        let fix = ["check", "--fix", "--json"];
        let environment = [("AUDIT_TOPIC", topic.as_str())];
        let made = system.run_processor(&fix, &environment).await?.json()?;
        assert_eq!(made["made"], json!([format!("topic {topic}")]));
        Ok(Self { system, topic })
    }

    /// Runs `processor` with these arguments and the audit topic.
    async fn processor(&self, arguments: &[&str]) -> Result<Answer> {
        let environment = [("AUDIT_TOPIC", self.topic.as_str())];
        self.system.run_processor(arguments, &environment).await
    }

    /// Runs `sink` with these arguments and the audit topic.
    async fn sink(&self, arguments: &[&str]) -> Result<Answer> {
        let topic = ["--audit-topic", &self.topic];
        self.system.run_sink(&[arguments, &topic].concat()).await
    }

    /// Returns the committed audit records of a command, in order.
    async fn records(&self, command: &str) -> Result<Vec<Record>> {
        let mut records = topic::read(self.system.brokers(), &self.topic).await?;
        records.retain(|record| record.json()["command"] == command);
        Ok(records)
    }
}

/// Returns the sum of a field over audit records.
fn sum(records: &[Record], name: &str) -> u64 {
    let numbers = records.iter().map(|record| record.json()[name].as_u64());
    numbers.map(Option::unwrap_or_default).sum()
}

fn count(records: &[Record]) -> u64 {
    records.len() as u64
}

#[tokio::test]
async fn the_numbers_of_a_redrive_and_of_a_discard_are_the_sums_of_their_records() -> Result<()> {
    let audited = Audited::open().await?;
    let system = &audited.system;
    // More dead letters than one transaction holds, and some whose redrive fails, so that they stay open.
    let mut letters: Vec<_> = (0..1200)
        .map(|offset| letter(system, offset, "unknown_status", sent(offset, "100")))
        .collect();
    letters.extend((1200..1203).map(|offset| letter(system, offset, "invalid_json", "{")));
    bury(system, letters).await?;

    let redrive = [&["redrive", "--json"], WHO.as_slice()].concat();
    let redriven = audited.processor(&redrive).await?.json()?;
    let records = audited.records("redrive").await?;
    assert!(records.len() > 2, "{records:?}");
    for (part, record) in (1_u64..).zip(&records) {
        let value = record.json();
        assert_eq!(
            record.key_text(),
            redriven["run"].as_str().unwrap_or_default()
        );
        assert_eq!(value["run"], redriven["run"]);
        assert_eq!(
            (&value["by"], &value["why"]),
            (&json!("ana"), &json!("a test"))
        );
        assert_eq!(value["service"], "processor");
        assert_eq!(value["group"], system.processor_group());
        assert_eq!(value["what"], system.topics.order_status_dead_letters());
        assert_eq!(value["part"], part);
    }
    let vouchers = system.voucher_records().await?;
    assert_eq!(sum(&records, "vouchers"), count(&vouchers));
    assert_eq!(
        json!(sum(&records, "dead_letters_closed")),
        redriven["closed"]
    );
    assert_eq!(
        json!(sum(&records, "dead_letters_open")),
        redriven["still_open"]
    );
    assert_eq!(sum(&records, "records"), 1203);

    // `--note` serves as the reason, so `--why` is not needed.
    let hopeless = [
        "dead-letters",
        "discard",
        "--every",
        "--json",
        "--note",
        "cut off",
    ];
    let hopeless = [hopeless.as_slice(), &["--by", "ben"]].concat();
    let discarded = audited.processor(&hopeless).await?.json()?;
    let records = audited.records("dead-letters discard").await?;
    assert_eq!(records.len(), 1);
    let value = records[0].json();
    assert_eq!(
        (&value["by"], &value["why"]),
        (&json!("ben"), &json!("cut off"))
    );
    let names = discarded["discarded"].as_array().map(Vec::len);
    assert_eq!(
        names.map(|names| json!(names)),
        Some(value["dead_letters_closed"].clone())
    );
    let show = ["dead-letters", "show", "0/1200", "--json"];
    let shown = audited.processor(&show).await?.json()?;
    assert_eq!(shown["state"]["by"], "ben");
    let listed = audited
        .processor(&["dead-letters", "--all", "--reason", "invalid_json"])
        .await?;
    assert!(
        listed.stdout.contains("discarded: cut off (by ben)"),
        "{}",
        listed.stdout
    );
    Ok(())
}

#[tokio::test]
async fn the_records_of_a_backfill_that_is_killed_and_continued_sum_to_its_vouchers() -> Result<()>
{
    let audited = Audited::open().await?;
    let system = &audited.system;
    let orders = 12_000;
    system.write_orders(load::orders(0..orders)).await?;
    let bad = (0..7).map(|id| NewRecord::new(format!("bad-{id}"), "{"));
    system.write_orders(bad.collect()).await?;
    let arguments = [
        "backfill",
        "--name",
        "killed",
        "--json",
        "--rate",
        "3000",
        "--dead-letters",
        "--why",
        "vouchers of a day are missing",
        "--audit-topic",
        &audited.topic,
    ];
    let group = format!("{}/backfill/killed", system.processor_group());
    let people = ["ana", "ben", "cem"];
    for (kill, by) in (1..).zip(people) {
        let arguments = [arguments.as_slice(), &["--by", by]].concat();
        let mut backfill = system.start_processor(&arguments, &[]).await?;
        // Kills the backfill after a part of its work.
        let target = i64::from(orders) - 2000 * kill;
        let left = || async {
            topic::lag(system.brokers(), &group, &system.topics.order_status)
                .await
                .unwrap_or(i64::MAX)
        };
        wait::until("the backfill to get on", left, |left| *left <= target).await;
        assert!(backfill.try_wait()?.is_none(), "it ended before the kill");
        backfill.kill().await?;
    }
    let arguments = [arguments.as_slice(), &["--by", "dana"]].concat();
    let did = system.run_processor(&arguments, &[]).await?.json()?;
    assert_eq!(
        (&did["complete"], &did["resumed"]),
        (&json!(true), &json!(true))
    );

    load::assert_each_eligible_record_has_one_voucher_record(system).await?;
    let records = audited.records("backfill").await?;
    assert_eq!(
        sum(&records, "vouchers"),
        count(&system.voucher_records().await?)
    );
    assert_eq!(
        sum(&records, "dead_letters"),
        count(&system.dead_letters().await?)
    );
    assert_eq!(sum(&records, "records"), u64::from(orders) + 7);
    let by: BTreeSet<String> = records
        .iter()
        .map(|record| record.json()["by"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(
        by,
        BTreeSet::from(["ana", "ben", "cem", "dana"].map(str::to_owned))
    );
    for record in records {
        let value = record.json();
        assert_eq!(record.key_text(), "killed");
        assert_eq!(
            (&value["run"], &value["run_number"]),
            (&json!("killed"), &json!(1))
        );
        let what = format!("{} from earliest to latest", system.topics.order_status);
        assert_eq!(value["what"], what);
    }

    // A backfill that is done already has no effect, so it writes no audit record.
    let before = audited.records("backfill").await?.len();
    let again = system.run_processor(&arguments, &[]).await?.json()?;
    assert_eq!(again["already_done"], true);
    assert_eq!(audited.records("backfill").await?.len(), before);
    Ok(())
}

#[tokio::test]
async fn the_sinks_commands_are_recorded_with_their_rows() -> Result<()> {
    let audited = Audited::open().await?;
    let system = &audited.system;
    let _sink = system.sink().await?;
    for record in [
        voucher("1", "IMPORTED-CODE"),
        voucher("2", "IMPORTED-CODE"),
        voucher("3", "ANOTHER-CODE"),
    ] {
        topic::write(system.brokers(), &system.topics.vouchers, vec![record]).await?;
        system
            .caught_up(&system.sink_group(), &system.topics.vouchers)
            .await;
    }
    let free = "delete from vouchers where order_id = '1'";
    system.execute_on_vouchers(free).await?;
    let redrive = [&["redrive", "--json"], WHO.as_slice()].concat();
    let redriven = audited.sink(&redrive).await?.json()?;
    assert_eq!(redriven["outcomes"], json!({"row": 1}));
    let records = audited.records("redrive").await?;
    assert_eq!(records.len(), 1);
    let value = records[0].json();
    assert_eq!(value["service"], "sink");
    assert_eq!((&value["rows"], &value["vouchers"]), (&json!(1), &json!(0)));
    assert_eq!(value["dead_letters_closed"], 1);

    // A second database gets the rows of the vouchers that came first with their codes: orders 1 and 3.
    let second = system
        .backends
        .create_database(&format!("second_{}", system.name))
        .await?;
    let backfill = ["backfill", "--json", "--database-url", &second];
    let did = audited
        .sink(&[&backfill, WHO.as_slice()].concat())
        .await?
        .json()?;
    assert_eq!(did["inserted"], 2);
    let records = audited.records("backfill").await?;
    let values: Vec<Value> = records.iter().map(Record::json).collect();
    let phases: Vec<_> = values.iter().map(|value| &value["phase"]).collect();
    assert_eq!(phases, [&json!("begin"), &json!("end")]);
    assert_eq!(values[0]["rows"], 0);
    assert_eq!(values[1]["rows"], did["inserted"]);
    assert_eq!(values[1]["records"], did["records"]);
    assert_eq!(values[0]["run"], values[1]["run"]);
    Ok(())
}

#[tokio::test]
async fn codes_are_revealed_only_after_that_is_recorded() -> Result<()> {
    let audited = Audited::open().await?;
    let system = &audited.system;
    let order = sent(17, "100");
    system
        .write_orders(vec![NewRecord::new("17", order)])
        .await?;
    let _processor = system.processor().await?;
    let _sink = system.sink().await?;
    system.settled().await;
    let code = system.vouchers_of("17").await?.remove(0).code;

    let masked = audited.processor(&["explain", "17"]).await?;
    assert_eq!(masked.code, 0, "{}", masked.stderr);
    assert!(audited.records("explain --reveal").await?.is_empty());
    let reveal = [&["explain", "17", "--reveal"], WHO.as_slice()].concat();
    let revealed = audited.processor(&reveal).await?;
    assert!(revealed.stdout.contains(&code), "{}", revealed.stdout);
    let records = audited.records("explain --reveal").await?;
    assert_eq!(records.len(), 1);
    let value = records[0].json();
    assert_eq!(
        (&value["what"], &value["by"]),
        (&json!("order 17"), &json!("ana"))
    );

    let missing = [("AUDIT_TOPIC", "nowhere")];
    let refused = system.run_processor(&reveal, &missing).await?;
    assert_eq!(refused.code, 1);
    assert_eq!(refused.stdout, "", "nothing is shown");

    // Writing codes to a file is recorded as well.
    let listing = format!("codes-{}.csv", system.name);
    let listing = system.backends.directory().join(listing);
    let listing = listing.to_string_lossy();
    let dry = ["backfill", "--dry-run", "--output", &listing, "--reveal"];
    let dry = [dry.as_slice(), &WHO].concat();
    assert_eq!(system.run_processor(&dry, &missing).await?.code, 1);
    assert!(!std::fs::exists(&*listing)?, "no code is listed");
    assert_eq!(audited.processor(&dry).await?.code, 0);
    assert!(std::fs::read_to_string(&*listing)?.contains(&code));
    assert_eq!(
        audited.records("backfill --dry-run --reveal").await?.len(),
        1
    );

    let not_json = NewRecord::new("18", "{");
    topic::write(system.brokers(), &system.topics.vouchers, vec![not_json]).await?;
    system
        .caught_up(&system.sink_group(), &system.topics.vouchers)
        .await;
    let listed = system.run_sink(&["dead-letters", "--json"]).await?.json()?;
    let place = listed["letters"][0]["letter"].as_str().unwrap_or_default();
    let show = [&["dead-letters", "show", place, "--reveal"], WHO.as_slice()].concat();
    assert_eq!(audited.sink(&show).await?.code, 0);
    let records = audited.records("dead-letters show --reveal").await?;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].json()["service"], "sink");
    Ok(())
}

#[tokio::test]
async fn a_missing_topic_or_an_unknown_person_is_told_before_anything_is_written() -> Result<()> {
    let audited = Audited::open().await?;
    let system = &audited.system;
    bury(
        system,
        vec![letter(system, 1, "unknown_status", sent(1, "100"))],
    )
    .await?;
    system
        .write_orders(vec![NewRecord::new("2", sent(2, "100"))])
        .await?;
    let redrive: &[&str] = &["redrive"];
    let discard: &[&str] = &["dead-letters", "discard", "--every", "--note", "a test"];
    let backfill: &[&str] = &["backfill", "--name", "missing"];
    for command in [redrive, discard, backfill] {
        let arguments = [command, &WHO].concat();
        let missing = [("AUDIT_TOPIC", "nowhere")];
        let refused = system.run_processor(&arguments, &missing).await?;
        assert_eq!(refused.code, 1, "{command:?}: {}", refused.stderr);
        for said in ["no topic nowhere", "check --fix"] {
            assert!(refused.stderr.contains(said), "{}", refused.stderr);
        }
        let other = [("AUDIT_TOPIC", system.topics.vouchers.as_str())];
        let refused = system.run_processor(&arguments, &other).await?;
        assert_eq!(refused.code, 2, "{command:?}: {}", refused.stderr);
        assert!(
            refused.stderr.contains("AUDIT_TOPIC is"),
            "{}",
            refused.stderr
        );

        // The environment of these commands names no user.
        let nobody = [command, &["--why", "a test"]].concat();
        let refused = audited.processor(&nobody).await?;
        assert_eq!(refused.code, 2, "{command:?}: {}", refused.stderr);
        assert!(refused.stderr.contains("--by NAME"), "{}", refused.stderr);
    }
    for command in [redrive, backfill] {
        let refused = audited
            .processor(&[command, &["--by", "ana"]].concat())
            .await?;
        assert_eq!(refused.code, 2, "{command:?}: {}", refused.stderr);
        assert!(refused.stderr.contains("--why TEXT"), "{}", refused.stderr);
    }
    let refused = system
        .run_sink(&[&["backfill", "--audit-topic", "nowhere"], WHO.as_slice()].concat())
        .await?;
    assert_eq!(refused.code, 1, "{}", refused.stderr);
    let is_missing: bool = sqlx::query_scalar("select to_regclass('vouchers') is null")
        .fetch_one(system.vouchers_database())
        .await?;
    assert!(is_missing, "not even the table is created");

    // Previews have no effect, so they need no name.
    for command in [redrive, discard, backfill] {
        let dry = [command, &["--dry-run"]].concat();
        let answer = audited.processor(&dry).await?;
        assert_eq!(answer.code, 0, "{command:?}: {}", answer.stderr);
    }
    assert!(system.voucher_records().await?.is_empty());
    let states = format!("{}.state", system.topics.order_status_dead_letters());
    assert!(topic::read(system.brokers(), &states).await?.is_empty());
    assert!(
        topic::read(system.brokers(), &audited.topic)
            .await?
            .is_empty()
    );
    Ok(())
}

#[tokio::test]
async fn without_a_topic_nothing_is_recorded_and_states_are_as_they_were() -> Result<()> {
    let audited = Audited::open().await?;
    let system = &audited.system;
    bury(
        system,
        vec![letter(system, 1, "unknown_status", sent(1, "100"))],
    )
    .await?;
    system
        .write_orders(vec![NewRecord::new("2", sent(2, "100"))])
        .await?;
    for command in [["redrive", "--json"], ["backfill", "--json"]] {
        let arguments = [command.as_slice(), &WHO].concat();
        let answer = system.run_processor(&arguments, &[]).await?;
        assert_eq!(answer.code, 0, "{command:?}: {}", answer.stderr);
    }
    assert_eq!(system.voucher_records().await?.len(), 2);
    let states = format!("{}.state", system.topics.order_status_dead_letters());
    let states = topic::read(system.brokers(), &states).await?;
    assert_eq!(states.len(), 1);
    assert_eq!(states[0].json().get("by"), None);
    assert!(
        topic::read(system.brokers(), &audited.topic)
            .await?
            .is_empty()
    );
    Ok(())
}
