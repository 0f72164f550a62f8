//! From a record's bytes to the verdict that it earns nothing: what nearly every record costs.

use std::hint::black_box;

use allocation_counter::measure;
use anyhow::{Context, Result, ensure};
use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use processor::evaluate::{Evaluator, Outcome};
use processor::rule::Rule;
use processor::signing_keys::SigningKeys;
use runtime::record::OwnedRecord;
use runtime::registry::{Lookup, SchemaSource};
use rust_decimal::Decimal;
use schemas::{Currency, ORDER_STATUS_AVSC, OrderStatusPlan};

use crate::figure::{Figure, Target};
use crate::orders::{self, Format};
use crate::usage::thread_cpu;

/// Distinct records, so that no branch is learned by heart: more than the core's first cache.
const RECORDS: u32 = 2_000;

/// Bytes of the framing before an Avro record.
const FRAMING: usize = 5;

/// The schema that all records were written with.
struct OneSchema(OrderStatusPlan);

impl SchemaSource for OneSchema {
    type Plan = OrderStatusPlan;

    fn lookup(&mut self, _: u32) -> Lookup<'_, OrderStatusPlan> {
        Lookup::Known(&self.0)
    }
}

/// Records that earn nothing, and what judges them.
pub struct Skipped {
    evaluator: Evaluator,
    schemas: OneSchema,
    records: Vec<OwnedRecord>,
}

impl Skipped {
    /// Of this format.
    ///
    /// # Errors
    /// When the contract's own schema or rule does not work.
    pub fn new(format: Format) -> Result<Self> {
        let rule = Rule {
            campaign: "order-reward".to_owned(),
            min_total: Decimal::ONE_HUNDRED,
            amount: Decimal::new(500, 2),
            currency: Currency::EUR,
            valid_days: None,
            sent_from: None,
            sent_until: None,
        };
        let keys =
            SigningKeys::single(end_to_end::shop::SIGNING_KEY).map_err(anyhow::Error::msg)?;
        let plan = OrderStatusPlan::compile(ORDER_STATUS_AVSC)?;
        let records = (0..).filter(|number| !orders::is_eligible(*number));
        Ok(Self {
            evaluator: Evaluator::new(rule, keys, Currency::EUR)?,
            schemas: OneSchema(plan),
            records: records
                .take(RECORDS as usize)
                .map(|number| record(number, format))
                .collect::<Result<_>>()?,
        })
    }

    /// Judges `count` records.
    ///
    /// # Errors
    /// When one is not skipped.
    pub fn judge(&mut self, count: u32) -> Result<()> {
        let Self {
            evaluator,
            schemas,
            records,
        } = self;
        for record in records.iter().cycle().take(count as usize) {
            let outcome = evaluator.evaluate(black_box(record), schemas);
            ensure!(
                matches!(black_box(outcome), Outcome::Skip(_)),
                "a record was not skipped"
            );
        }
        Ok(())
    }

    /// The limit: looks at each byte, for one that is not there.
    fn read(&self, count: u32) -> Result<()> {
        for record in self.records.iter().cycle().take(count as usize) {
            let (Some(key), Some(value)) = (&record.key, &record.value) else {
                anyhow::bail!("a record without a key or value");
            };
            black_box(memchr::memchr(0xff, black_box(key)));
            black_box(memchr::memchr(0xff, black_box(value)));
        }
        Ok(())
    }

    /// The library's generic value, and of it the three fields that the rule needs.
    fn judge_generic(&self, schema: &Schema, count: u32) -> Result<()> {
        let reader = GenericDatumReader::builder(schema).build()?;
        for record in self.records.iter().cycle().take(count as usize) {
            let value = record
                .value
                .as_deref()
                .context("a record without a value")?;
            let value = reader.read_value(&mut black_box(&value[FRAMING..]))?;
            let Value::Record(fields) = black_box(value) else {
                anyhow::bail!("the value is no record");
            };
            let sent = fields
                .iter()
                .any(|(name, value)| name == "status" && *value == Value::String("SENT".into()));
            black_box(sent);
        }
        Ok(())
    }
}

fn record(number: u32, format: Format) -> Result<OwnedRecord> {
    let order_id = orders::id(number);
    let mut value = Vec::new();
    orders::write(number, &order_id, format, &mut value)?;
    Ok(OwnedRecord {
        offset: i64::from(number),
        timestamp_millis: Some(1_777_593_600_000),
        key: Some(order_id.into_bytes()),
        value: Some(value),
        ..OwnedRecord::default()
    })
}

/// The leg.
///
/// # Errors
/// When a record is not judged as it should be.
pub fn run(quick: bool) -> Result<Vec<Figure>> {
    let count: u32 = if quick { 200_000 } else { 2_000_000 };
    let schema = Schema::parse_str(ORDER_STATUS_AVSC)?;
    let mut figures = Vec::new();
    for (case, format, most) in [
        ("Avro", Format::Avro { schema_id: 1 }, 150.0),
        ("JSON", Format::Json, 350.0),
    ] {
        let mut skipped = Skipped::new(format)?;
        let bytes: usize = skipped
            .records
            .iter()
            .filter_map(|record| record.value.as_ref())
            .map(Vec::len)
            .sum();
        let (mut ours, mut limits, mut generic) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..5 {
            limits.push(nanoseconds(count, || skipped.read(count))?);
            ours.push(nanoseconds(count, || skipped.judge(count))?);
            if format != Format::Json {
                let few = count / 10;
                generic.push(nanoseconds(few, || skipped.judge_generic(&schema, few))?);
            }
        }
        let mut judged = Ok(());
        let allocations = measure(|| judged = skipped.judge(RECORDS));
        judged?;
        let case = format!("{case}, {} B", bytes / RECORDS as usize);
        let figure = |what, unit, runs: &[f64]| Figure::new("decode", &case, what, unit, runs);
        figures.push(
            figure("CPU per skipped record", "ns", &ours)
                .beside(&ours, &limits)
                .should(Target::AtMost(most)),
        );
        let allocated = allocations.count_total as f64 / f64::from(RECORDS);
        figures.push(
            figure("allocations per skipped record", "", &[allocated]).should(Target::AtMost(0.0)),
        );
        if !generic.is_empty() {
            figures.push(
                figure("apache-avro's generic value beside it", "ns", &generic)
                    .beside(&generic, &ours)
                    .should(Target::RatioAtLeast(10.0)),
            );
        }
    }
    Ok(figures)
}

/// CPU time of each of `count` records.
fn nanoseconds(count: u32, work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let begun = thread_cpu();
    work()?;
    Ok((thread_cpu() - begun).as_secs_f64() * 1e9 / f64::from(count))
}
