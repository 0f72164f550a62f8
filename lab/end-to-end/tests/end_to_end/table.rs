//! Tables of records with their outcomes: written in one go, and every outcome looked at.

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

/// When the records say that they were written: 2026-05-01T12:00:00Z.
pub(crate) const WRITTEN_AT: (i64, &str) = (1_777_636_800_000, "2026-05-01T12:00:00Z");

/// The header that names a record's case; readers of order statuses don't know it.
const CASE: &str = "case";

/// What becomes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    /// A voucher of the default campaign, issued at this time.
    Voucher(&'static str),
    /// Nothing, for this reason.
    Skip(&'static str),
    /// A dead letter: its reason, and a part of its message.
    Dead(&'static str, &'static str),
}

/// A voucher, issued when the record was written.
pub(crate) const VOUCHER: Expected = Expected::Voucher(WRITTEN_AT.1);

/// A dead letter, whatever its message.
pub(crate) const fn dead(reason: &'static str) -> Expected {
    Expected::Dead(reason, "")
}

/// One record, in every format that its fields are there in.
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
    /// As it is, but for [`ID`](crate::record::ID).
    Text(String),
    /// As it is.
    Value(Option<Vec<u8>>),
    /// A writer's schema and a record, but for [`ID`](crate::record::ID).
    Avro(String, Value),
    /// A writer's schema and what follows the framing.
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

    /// In JSON and in Avro, where both can say it.
    pub(crate) fn fields(name: impl Into<String>, fields: Vec<Field>, expected: Expected) -> Self {
        Self::new(name, Content::Fields(fields), expected)
    }

    /// A value that a person types; [`ID`](crate::record::ID) stands for the key.
    pub(crate) fn text(name: impl Into<String>, text: &str, expected: Expected) -> Self {
        Self::new(name, Content::Text(text.to_owned()), expected)
    }

    /// Any bytes.
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

    /// A record of a writer's schema; [`ID`](crate::record::ID) stands for the key.
    pub(crate) fn avro(
        name: impl Into<String>,
        schema: impl Into<String>,
        value: Value,
        expected: Expected,
    ) -> Self {
        Self::new(name, Content::Avro(schema.into(), value), expected)
    }

    /// Any bytes, framed under a writer's schema.
    pub(crate) fn framed(
        name: impl Into<String>,
        schema: impl Into<String>,
        body: Vec<u8>,
        expected: Expected,
    ) -> Self {
        Self::new(name, Content::Framed(schema.into(), body), expected)
    }

    /// Another key than one made up.
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

/// The records of a case. The fields' order differs from case to case: it must not matter.
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

/// Writes the cases to a system whose processor has seen nothing else, and looks at every outcome.
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

/// All that the processor wrote, by the record that it was written for.
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

    /// Takes out what was written for `input`, and compares it.
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

/// The original byte for byte, then why and where from.
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

/// What is skipped leaves no record: only the counters tell.
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
    // The last transaction is counted after it was committed.
    let counted = wait::until("all outcomes to be counted", counted, |counted| {
        all(counted) >= all(&expected)
    })
    .await;
    assert_eq!(counted, expected);
    Ok(())
}
