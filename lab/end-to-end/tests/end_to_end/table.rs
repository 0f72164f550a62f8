//! Tables of records with their expected outcomes. All records are written at once, and every outcome is
//! checked.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use apache_avro::types::Value;
use end_to_end::http::metric;
use end_to_end::system::{SIGNING_KEY_ID, TestSystem};
use end_to_end::topic::{NewRecord, Record};
use end_to_end::wait;
use stack::Service;

use crate::record::{self, Field, ID, WriterSchemas, as_avro, as_json, framed, with_key};
use crate::voucher;

/// The timestamp of the records: 2026-05-01T12:00:00Z.
pub(crate) const WRITTEN_AT: (i64, &str) = (1_777_636_800_000, "2026-05-01T12:00:00Z");

/// The header that names a record's case. Readers of order statuses ignore it.
const CASE: &str = "case";

/// The expected outcome of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// A voucher of the default campaign, issued at this time.
    Voucher(&'static str),
    /// A skip with this reason.
    Skip(&'static str),
    /// A dead letter with this reason, whose message contains this text.
    Dead(&'static str, &'static str),
}

/// A voucher, issued when the record was written.
pub(crate) const VOUCHER: Expected = Expected::Voucher(WRITTEN_AT.1);

/// Expects a dead letter with any message.
pub(crate) const fn dead(reason: &'static str) -> Expected {
    Expected::Dead(reason, "")
}

/// One record, in every format that can represent its fields.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    name: String,
    key: Option<Vec<u8>>,
    content: Content,
    headers: Vec<(String, Option<Vec<u8>>)>,
    timestamp_millis: i64,
    expected: Expected,
}

#[derive(Debug, Clone)]
enum Content {
    Fields(Vec<Field>),
    /// A text in which [`ID`](crate::record::ID) stands for the key.
    Text(String),
    /// The bytes of the value.
    Value(Option<Vec<u8>>),
    /// A writer's schema and a record in which [`ID`](crate::record::ID) stands for the key.
    Avro(String, Value),
    /// A writer's schema and the bytes after the framing.
    Framed(String, Vec<u8>),
}

impl Case {
    fn new(name: impl Into<String>, content: Content, expected: Expected) -> Self {
        Self {
            name: name.into(),
            key: None,
            content,
            headers: Vec::new(),
            timestamp_millis: WRITTEN_AT.0,
            expected,
        }
    }

    /// Creates a case of these fields, in JSON and in Avro if both can represent them.
    pub(crate) fn fields(name: impl Into<String>, fields: Vec<Field>, expected: Expected) -> Self {
        Self::new(name, Content::Fields(fields), expected)
    }

    /// Creates a case of a typed value; [`ID`](crate::record::ID) stands for the key.
    pub(crate) fn text(name: impl Into<String>, text: &str, expected: Expected) -> Self {
        Self::new(name, Content::Text(text.to_owned()), expected)
    }

    /// Creates a case of any bytes.
    pub(crate) fn bytes(
        name: impl Into<String>,
        value: impl Into<Vec<u8>>,
        expected: Expected,
    ) -> Self {
        Self::new(name, Content::Value(Some(value.into())), expected)
    }

    pub(crate) fn tombstone(name: impl Into<String>) -> Self {
        Self::new(name, Content::Value(None), Expected::Skip("tombstone"))
    }

    /// Creates a case of a record of a writer's schema; [`ID`](crate::record::ID) stands for the key.
    pub(crate) fn avro(
        name: impl Into<String>,
        schema: impl Into<String>,
        value: Value,
        expected: Expected,
    ) -> Self {
        Self::new(name, Content::Avro(schema.into(), value), expected)
    }

    /// Creates a case of any bytes, framed with the id of a writer's schema.
    pub(crate) fn framed(
        name: impl Into<String>,
        schema: impl Into<String>,
        body: Vec<u8>,
        expected: Expected,
    ) -> Self {
        Self::new(name, Content::Framed(schema.into(), body), expected)
    }

    /// Sets the key, instead of a generated one.
    pub(crate) fn key(self, key: impl Into<Vec<u8>>) -> Self {
        Self {
            key: Some(key.into()),
            ..self
        }
    }

    pub(crate) fn header(mut self, name: &str, value: Option<&[u8]>) -> Self {
        self.headers
            .push((name.to_owned(), value.map(<[u8]>::to_vec)));
        self
    }

    pub(crate) fn written_at(self, timestamp_millis: i64) -> Self {
        Self {
            timestamp_millis,
            ..self
        }
    }
}

/// A case in one format.
struct Written {
    name: String,
    record: NewRecord,
    expected: Expected,
}

/// Encodes a case in each format. The order of the fields varies from case to case, because it must not
/// matter.
async fn encode(
    case: Case,
    number: usize,
    schemas: &mut WriterSchemas<'_>,
    has_registry: bool,
) -> Result<Vec<Written>> {
    let made_up = (1000 + number).to_string();
    let key = case.key.clone().unwrap_or_else(|| made_up.clone().into());
    let id = String::from_utf8_lossy(&key).into_owned();
    let mut values = Vec::new();
    let mut frame = async |schema: &str, body: &[u8]| -> Result<Vec<u8>> {
        Ok(framed(schemas.id(schema).await?, body))
    };
    match case.content {
        Content::Fields(mut fields) => {
            let by = number % fields.len();
            fields.rotate_left(by);
            if let Some(json) = as_json(&fields, &id) {
                values.push(("JSON", Some(json)));
            }
            if let Some((schema, body)) = as_avro(&fields, &id)? {
                values.push(("Avro", Some(frame(&schema, &body).await?)));
            }
        }
        Content::Text(text) => {
            values.push(("text", Some(text.replace(ID, &id).into())));
        }
        Content::Value(value) => values.push(("as it is", value)),
        Content::Avro(schema, value) => {
            let body = record::encode(&schema, with_key(value, &id))?;
            values.push(("Avro", Some(frame(&schema, &body).await?)));
        }
        Content::Framed(schema, body) => {
            values.push(("Avro", Some(frame(&schema, &body).await?)));
        }
    }
    let records = values.into_iter().map(|(format, value)| {
        let name = format!("{} ({format})", case.name);
        let mut headers = vec![(CASE.to_owned(), Some(name.clone().into_bytes()))];
        headers.extend(case.headers.clone());
        let is_avro = matches!(value.as_deref(), Some([0, _, _, _, _, ..]));
        Written {
            record: NewRecord {
                key: Some(key.clone()),
                value,
                headers,
                timestamp_millis: Some(case.timestamp_millis),
                partition: None,
            },
            name,
            expected: if is_avro && !has_registry {
                Expected::Dead("registry_not_configured", "SCHEMA_REGISTRY_URL")
            } else {
                case.expected
            },
        }
    });
    Ok(records.collect())
}

/// Writes the cases to a system whose processor has read nothing else, and checks every outcome.
pub(crate) async fn check(
    system: &TestSystem,
    processor: &Service,
    cases: Vec<Case>,
) -> Result<()> {
    let mut schemas = WriterSchemas::new(system);
    let mut written = BTreeMap::new();
    for (number, case) in cases.into_iter().enumerate() {
        for one in encode(case, number, &mut schemas, system.has_registry()).await? {
            let name = one.name.clone();
            assert!(
                written.insert(one.name.clone(), one).is_none(),
                "two cases are named {name}"
            );
        }
    }
    let records = written.values().map(|one| one.record.clone()).collect();
    system.write_orders(records).await?;
    system
        .caught_up(&system.processor_group(), &system.topics.order_status)
        .await;

    let inputs = system.order_records().await?;
    assert_eq!(inputs.len(), written.len());
    let mut outcomes = Outcomes::of(system).await?;
    let mut wrong = Vec::new();
    for input in &inputs {
        let name = input.header(CASE).context("each has its case")?;
        let one = &written[&name];
        if let Err(error) = outcomes.take(system, input, one.expected) {
            wrong.push(format!("{name}: {error:#}"));
        }
    }
    assert!(wrong.is_empty(), "{:#?}", wrong);
    assert!(
        outcomes.is_empty(),
        "vouchers or letters of no record: {:?} {:?}",
        outcomes.vouchers.keys(),
        outcomes.letters.keys()
    );
    check_counts(processor, written.values().map(|one| one.expected)).await
}

type Position = (i32, i64);

/// The vouchers and dead letters of the processor, by the position of their source record.
struct Outcomes {
    vouchers: BTreeMap<Position, Vec<Record>>,
    letters: BTreeMap<Position, Vec<Record>>,
}

impl Outcomes {
    async fn of(system: &TestSystem) -> Result<Self> {
        let by_source = |records: Vec<Record>, prefix: &str| -> Result<_> {
            let mut found = BTreeMap::<Position, Vec<Record>>::new();
            for record in records {
                let header = |name: &str| {
                    let name = format!("{prefix}.{name}");
                    record.header(&name).with_context(|| name.clone())
                };
                assert_eq!(header("topic")?, system.topics.order_status);
                let position = (header("partition")?.parse()?, header("offset")?.parse()?);
                found.entry(position).or_default().push(record);
            }
            Ok(found)
        };
        Ok(Self {
            vouchers: by_source(system.voucher_records().await?, "source")?,
            letters: by_source(system.dead_letters().await?, "dlq")?,
        })
    }

    fn is_empty(&self) -> bool {
        self.vouchers.is_empty() && self.letters.is_empty()
    }

    /// Removes the outcome of `input`, and compares it with the expected one.
    fn take(&mut self, system: &TestSystem, input: &Record, expected: Expected) -> Result<()> {
        let position = (input.partition, input.offset);
        let vouchers = self.vouchers.remove(&position).unwrap_or_default();
        let letters = self.letters.remove(&position).unwrap_or_default();
        match (expected, &vouchers[..], &letters[..]) {
            (Expected::Voucher(issued_at), [voucher], []) => {
                check_voucher(system, input, voucher, issued_at)
            }
            (Expected::Dead(reason, says), [], [letter]) => {
                check_letter(system, input, letter, reason, says)
            }
            (Expected::Skip(_), [], []) => Ok(()),
            _ => {
                let reasons: Vec<_> = letters
                    .iter()
                    .map(|letter| (letter.header("dlq.reason"), letter.header("dlq.message")))
                    .collect();
                anyhow::bail!(
                    "expected {expected:?}, there are {} vouchers and the letters {reasons:?}",
                    vouchers.len()
                )
            }
        }
    }
}

fn check_voucher(
    system: &TestSystem,
    input: &Record,
    record: &Record,
    issued_at: &str,
) -> Result<()> {
    anyhow::ensure!(record.key == input.key, "another key: {record:?}");
    anyhow::ensure!(
        record.partition == input.partition,
        "another partition than the order's"
    );
    let voucher = voucher::read(system, record)?;
    let seen = (
        voucher.campaign.as_str(),
        voucher.order_id.as_bytes(),
        voucher.amount.to_string(),
        voucher.currency.as_str(),
        voucher.issued_at.as_str(),
        voucher.expires_at.as_deref(),
    );
    let key = input.key.as_deref().unwrap_or_default();
    let amount = if system.has_registry() {
        "5.000000000"
    } else {
        "5.00"
    };
    let expected = (
        "order-reward",
        key,
        amount.to_owned(),
        "EUR",
        issued_at,
        None,
    );
    anyhow::ensure!(seen == expected, "{seen:?} is not {expected:?}");
    let mut names: Vec<_> = record.headers.iter().map(|(name, _)| name).collect();
    names.retain(|name| *name != "traceparent");
    let expected = [
        "source.topic",
        "source.partition",
        "source.offset",
        "voucher.rule",
        "voucher.key-id",
    ];
    anyhow::ensure!(names == expected, "headers {names:?}");
    anyhow::ensure!(record.header("voucher.key-id").as_deref() == Some(SIGNING_KEY_ID));
    let trace = |record: &Record| {
        let parent = record.header("traceparent")?;
        Some(parent.split('-').nth(1)?.to_owned())
    };
    anyhow::ensure!(trace(record) == trace(input), "another trace");
    Ok(())
}

/// Checks that a dead letter has the original's bytes, and then the headers with reason and source.
fn check_letter(
    system: &TestSystem,
    input: &Record,
    letter: &Record,
    reason: &str,
    says: &str,
) -> Result<()> {
    anyhow::ensure!(letter.key == input.key, "another key: {:?}", letter.key);
    anyhow::ensure!(letter.value == input.value, "another value");
    let (kept, added) = letter
        .headers
        .split_at_checked(input.headers.len())
        .context("headers are missing")?;
    anyhow::ensure!(kept == input.headers, "other headers: {kept:?}");
    let message = letter.header("dlq.message").unwrap_or_default();
    let timestamp = input.timestamp_millis.context("it has a timestamp")?;
    let expected = [
        ("dlq.reason", reason.to_owned()),
        ("dlq.message", message.clone()),
        ("dlq.topic", system.topics.order_status.clone()),
        ("dlq.partition", input.partition.to_string()),
        ("dlq.offset", input.offset.to_string()),
        ("dlq.timestamp", timestamp.to_string()),
        ("dlq.service", "processor".to_owned()),
        ("dlq.attempts", "1".to_owned()),
        ("dlq.group", system.processor_group()),
    ]
    .map(|(name, value)| (name.to_owned(), Some(value.into_bytes())));
    anyhow::ensure!(
        added == expected,
        "expected {reason}, there is {:?}: {message}",
        letter.header("dlq.reason")
    );
    anyhow::ensure!(
        (1..=1024).contains(&message.len()) && !message.contains(char::is_control),
        "no sentence: {message:?}"
    );
    anyhow::ensure!(message.contains(says), "{message:?} does not say {says:?}");
    anyhow::ensure!(
        letter.timestamp_millis > Some(timestamp),
        "the letter's own timestamp is the time of its writing"
    );
    Ok(())
}

/// Checks the counters, because a skip leaves no record.
async fn check_counts(processor: &Service, all: impl Iterator<Item = Expected>) -> Result<()> {
    let mut expected = BTreeMap::<(&str, String), u64>::new();
    let mut count = |metric, label: &str, value: &str| {
        *expected
            .entry((metric, format!("{label}=\"{value}\"")))
            .or_default() += 1;
    };
    for outcome in all {
        match outcome {
            Expected::Voucher(_) => count("checkout_processor_records_total", "outcome", "voucher"),
            Expected::Skip(reason) => {
                count("checkout_processor_records_total", "outcome", "skipped");
                count("checkout_processor_skipped_total", "reason", reason);
            }
            Expected::Dead(reason, _) => {
                count("checkout_processor_records_total", "outcome", "dead_letter");
                count("checkout_processor_dead_letters_total", "reason", reason);
            }
        }
    }
    let counted = || async {
        let mut counted = BTreeMap::new();
        for (name, labels) in expected.keys() {
            let value = metric(processor, name, labels).await.unwrap_or_default();
            counted.insert((*name, labels.clone()), value);
        }
        counted
    };
    let all = |counts: &BTreeMap<(&str, String), u64>| -> u64 { counts.values().sum() };
    // A transaction is counted only after its commit.
    let counted = wait::until("all outcomes to be counted", counted, |counted| {
        all(counted) >= all(&expected)
    })
    .await;
    assert_eq!(counted, expected);
    Ok(())
}
