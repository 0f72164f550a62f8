//! From a record's bytes to the decision to skip it: the cost of nearly every record.

use std::hint::black_box;

use allocation_counter::measure;
use anyhow::{Context, Result, ensure};
use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use processor::evaluate::{Evaluation, Evaluator};
use processor::rule::{Rule, Verdict};
use processor::signing_keys::SigningKeys;
use runtime::record::OwnedRecord;
use runtime::registry::{Lookup, SchemaSource};
use rust_decimal::Decimal;
use schemas::{
    Currency, ORDER_STATUS_AVSC, OrderStatus, OrderStatusPlan, SchemaId, Timestamp, ValueFormat,
};

use crate::figure::{Figure, Target};
use crate::generic;
use crate::orders;
use crate::usage::thread_cpu;

/// The number of distinct records: enough to defeat branch prediction and the first-level cache.
const RECORDS: u32 = 2_000;

/// Bytes of the framing in front of an Avro record.
const FRAMING: usize = 5;

/// The schema of all records.
struct OneSchema(ValueFormat<OrderStatusPlan>);

impl SchemaSource for OneSchema {
    type Plan = OrderStatusPlan;

    fn lookup(&mut self, _: SchemaId) -> Lookup<'_, OrderStatusPlan> {
        Lookup::Known(&self.0)
    }
}

/// Records that are skipped, and their evaluator.
pub struct Skipped {
    evaluator: Evaluator,
    schemas: OneSchema,
    records: Vec<OwnedRecord>,
}

impl Skipped {
    /// Prepares records of this format.
    ///
    /// # Errors
    /// When our own schema or rule is invalid.
    pub fn new(format: ValueFormat) -> Result<Self> {
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
            SigningKeys::single(end_to_end::system::SIGNING_KEY).map_err(anyhow::Error::msg)?;
        let plan = OrderStatusPlan::compile(ORDER_STATUS_AVSC)?;
        let records = (0..).filter(|number| !orders::is_eligible(*number));
        Ok(Self {
            evaluator: Evaluator::new(rule, keys, Currency::EUR)?,
            schemas: OneSchema(ValueFormat::Avro(plan)),
            records: records
                .take(RECORDS as usize)
                .map(|number| record(number, format))
                .collect::<Result<_>>()?,
        })
    }

    /// Evaluates `count` records.
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
            let evaluation = evaluator.evaluate(black_box(record), schemas);
            ensure!(
                matches!(black_box(evaluation), Evaluation::Skip(_)),
                "a record was not skipped"
            );
        }
        Ok(())
    }

    /// Measures the limit: searches all bytes for one that does not occur.
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

    /// Measures the peer: the same decision from the library's generic value.
    fn judge_generic(&self, reader: &GenericDatumReader<'_>, count: u32) -> Result<()> {
        for record in self.records.iter().cycle().take(count as usize) {
            let (key, body) = parts(black_box(record))?;
            let order = generic::order_status(reader, key, body)?;
            let written_at = record.timestamp_millis.map(Timestamp::from_millis);
            let verdict = self.evaluator.rule().judge(&order, written_at);
            ensure!(
                matches!(black_box(verdict), Ok(Verdict::Skip(_))),
                "a record was not skipped"
            );
        }
        Ok(())
    }

    /// Measures only the reading of the generic value.
    fn read_generic(&self, reader: &GenericDatumReader<'_>, count: u32) -> Result<()> {
        for record in self.records.iter().cycle().take(count as usize) {
            let (_, body) = parts(black_box(record))?;
            black_box(generic::fields(reader, body)?);
        }
        Ok(())
    }

    /// Checks that decoder and peer read the same from every record.
    fn compare(&self, reader: &GenericDatumReader<'_>) -> Result<()> {
        let schema = &self.schemas.0;
        for record in &self.records {
            let (key, body) = parts(record)?;
            let ours = OrderStatus::read(Some(key), body, schema.as_ref(), Currency::EUR)
                .map_err(|malformed| anyhow::anyhow!("{}", malformed.message()))?;
            let theirs = generic::order_status(reader, key, body)?;
            ensure!(ours == theirs, "{ours:?} is not {theirs:?}");
        }
        Ok(())
    }
}

/// Returns a record's key, and its value without the framing.
fn parts(record: &OwnedRecord) -> Result<(&[u8], &[u8])> {
    let key = record.key.as_deref().context("a record without a key")?;
    let value = record.value.as_deref();
    let value = value.context("a record without a value")?;
    Ok((key, &value[FRAMING..]))
}

fn record(number: u32, format: ValueFormat) -> Result<OwnedRecord> {
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

/// Measures the leg.
///
/// # Errors
/// When a record is not evaluated as expected.
pub fn run(quick: bool) -> Result<Vec<Figure>> {
    let count: u32 = if quick { 200_000 } else { 2_000_000 };
    let schema = Schema::parse_str(ORDER_STATUS_AVSC)?;
    let reader = GenericDatumReader::builder(&schema).build()?;
    let mut figures = Vec::new();
    for (case, format, most) in [
        ("Avro", ValueFormat::Avro(1), 150.0),
        ("JSON", ValueFormat::Json, 350.0),
    ] {
        let mut skipped = Skipped::new(format)?;
        let bytes: usize = skipped
            .records
            .iter()
            .filter_map(|record| record.value.as_ref())
            .map(Vec::len)
            .sum();
        let (mut ours, mut limits) = (Vec::new(), Vec::new());
        let (mut generic, mut generic_reading) = (Vec::new(), Vec::new());
        if format != ValueFormat::Json {
            skipped.compare(&reader)?;
        }
        for _ in 0..5 {
            limits.push(nanoseconds(count, || skipped.read(count))?);
            ours.push(nanoseconds(count, || skipped.judge(count))?);
            if format != ValueFormat::Json {
                let few = count / 10;
                generic.push(nanoseconds(few, || skipped.judge_generic(&reader, few))?);
                generic_reading.push(nanoseconds(few, || skipped.read_generic(&reader, few))?);
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
            figures.extend([
                figure(
                    "the same verdict from apache-avro's generic value",
                    "ns",
                    &generic,
                )
                .beside(&generic, &ours)
                .should(Target::RatioAtLeast(10.0)),
                figure("of it reading the generic value", "ns", &generic_reading)
                    .beside(&generic_reading, &ours)
                    .should(Target::RatioAtLeast(10.0)),
            ]);
        }
    }
    Ok(figures)
}

/// Returns the CPU time of each of `count` records.
fn nanoseconds(count: u32, work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let begun = thread_cpu();
    work()?;
    Ok((thread_cpu() - begun).as_secs_f64() * 1e9 / f64::from(count))
}
