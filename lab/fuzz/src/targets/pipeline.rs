//! A record through all services, without Kafka and Postgres: the processor's evaluation and batch, the
//! dead letter and its redrive, the sink's decision and batch; and the same body in every framing.

use std::convert::Infallible;
use std::sync::LazyLock;

use processor::batch::{Batch, Topics};
use processor::evaluate::{Evaluation, Evaluator};
use processor::rule::Rule;
use processor::signing_keys::SigningKeys;
use runtime::dead_letter::Extent;
use runtime::kafka::Outgoing;
use runtime::record::{InputRecord, OwnedRecord};
use runtime::registry::{Lookup, SchemaSource};
use runtime::trace_context::TRACEPARENT;
use schemas::{
    Currency, Malformed, ORDER_STATUS_AVSC, OrderStatusPlan, Reason, SchemaId, VOUCHER_AVSC,
    ValueFormat, VoucherPlan,
};
use sink::columns::Columns;
use sink::decide::{Decision, decide};

use super::dead_letter::{record, round_trip};
use super::json::key_of;
use crate::script::Script;
use crate::sound;

/// The registry knows the Avro schema of each topic under this number, as an id of any kind.
const SCHEMA_ID: u32 = 1;

/// The registry knows a JSON Schema under this number.
const JSON_SCHEMA_ID: u32 = 2;

const GUID: [u8; 16] = [7; 16];

static EVALUATOR: LazyLock<Evaluator> = LazyLock::new(|| {
    let rule = Rule {
        campaign: "order-reward".to_owned(),
        min_total: 100.into(),
        amount: 5.into(),
        currency: Currency::EUR,
        valid_days: Some(30),
        sent_from: None,
        sent_until: None,
    };
    let keys = SigningKeys::single("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
    Evaluator::new(rule, keys.expect("a key"), Currency::EUR).expect("an amount that fits")
});

struct Known<P: 'static>(&'static Schemas<P>);

struct Schemas<P> {
    avro: ValueFormat<P>,
    json: ValueFormat<P>,
}

impl<P> Schemas<P> {
    fn new(compiled: Result<P, Malformed>) -> Self {
        Self {
            avro: ValueFormat::Avro(compiled.expect("our schema")),
            json: ValueFormat::Json,
        }
    }
}

impl<P> SchemaSource for Known<P> {
    type Plan = P;

    fn lookup(&mut self, id: SchemaId) -> Lookup<'_, P> {
        let number = match id {
            SchemaId::Id(id) => u64::from(id),
            SchemaId::GlobalId(id) | SchemaId::ContentId(id) => id,
            SchemaId::Guid(GUID) => u64::from(SCHEMA_ID),
            SchemaId::Guid(_) => 0,
        };
        match u32::try_from(number) {
            Ok(SCHEMA_ID) => Lookup::Known(&self.0.avro),
            Ok(JSON_SCHEMA_ID) => Lookup::Known(&self.0.json),
            _ => Lookup::Bad(Malformed::new(
                Reason::UnknownSchema,
                format!("{id} is unknown"),
            )),
        }
    }
}

static ORDER_STATUSES: LazyLock<Schemas<OrderStatusPlan>> =
    LazyLock::new(|| Schemas::new(OrderStatusPlan::compile(ORDER_STATUS_AVSC)));

static VOUCHERS: LazyLock<Schemas<VoucherPlan>> =
    LazyLock::new(|| Schemas::new(VoucherPlan::compile(VOUCHER_AVSC)));

/// Reads headers, position and whether the value is null from a script; the rest is the value.
pub(crate) fn pipeline(input: &[u8]) {
    let mut script = Script::new(input);
    let mut taken = record(&mut script);
    let is_null = script.below(16) == 15;
    let format = match script.below(2) {
        0 => ValueFormat::Json,
        _ => ValueFormat::Avro(SCHEMA_ID),
    };
    let value = script.rest();
    taken.key = taken
        .key
        .filter(|key| !key.is_empty())
        .or_else(|| Some(key_of(value)));
    taken.value = (!is_null).then(|| value.to_vec());

    processed(&taken, format);
    // The same bytes on the other topic.
    sunk(&taken);
    for schema_id in [SCHEMA_ID, JSON_SCHEMA_ID] {
        in_every_framing(&taken, schema_id);
    }
}

/// Asserts that a body has one outcome, wherever its schema's id is.
fn in_every_framing(record: &OwnedRecord, schema_id: u32) {
    let body = record.value.as_deref().unwrap_or_default();
    let framed = |framing: &[u8]| OwnedRecord {
        value: Some([framing, body].concat()),
        headers: Vec::new(),
        ..record.clone()
    };
    let short = framed(&[&[0], schema_id.to_be_bytes().as_slice()].concat());
    let expected = outcome(&short);
    let long = framed(&[&[0], u64::from(schema_id).to_be_bytes().as_slice()].concat());
    assert_eq!(outcome(&long), expected);

    let mut bare = framed(&[]);
    if !is_undecided(&bare) {
        return;
    }
    for (name, id) in [
        (
            "__value_schema_id",
            [&[0], schema_id.to_be_bytes().as_slice()].concat(),
        ),
        (
            "apicurio.value.globalId",
            u64::from(schema_id).to_be_bytes().to_vec(),
        ),
        (
            "apicurio.value.contentId",
            u64::from(schema_id).to_be_bytes().to_vec(),
        ),
        ("__value_schema_id", [&[1], GUID.as_slice()].concat()),
    ] {
        let is_guid = id.len() == GUID.len() + 1;
        if is_guid && schema_id != SCHEMA_ID {
            continue;
        }
        bare.headers = vec![(name.to_owned(), Some(id))];
        assert_eq!(outcome(&bare), expected, "{name}");
    }
}

/// Returns whether the bytes of a value do not settle what it is.
fn is_undecided(record: &OwnedRecord) -> bool {
    matches!(evaluate(record), Evaluation::Dead(malformed) if malformed.reason().is_unparsable())
}

/// Returns the outcome of a record, and of a fault the reason alone.
fn outcome(record: &OwnedRecord) -> String {
    match evaluate(record) {
        Evaluation::Dead(malformed) => malformed.reason().to_string(),
        other => format!("{other:?}"),
    }
}

fn processed(record: &OwnedRecord, format: ValueFormat) {
    let topics = Topics {
        source: "order-status".to_owned(),
        vouchers: "vouchers".to_owned(),
        dead_letters: "order-status.dlq".to_owned(),
    };
    let mut batch = Batch::new(topics, format);
    match evaluate(record) {
        Evaluation::Wait { .. } => panic!("this registry always answers"),
        Evaluation::Skip(skip) => batch.skip(record, skip),
        Evaluation::Dead(malformed) => {
            sound::refusal(&malformed);
            batch.add_dead_letter(record, &malformed, Extent::Whole);
            // A redrive of the original gives the same fault.
            match evaluate(&round_trip(record, &malformed).original) {
                Evaluation::Dead(again) => assert_eq!(again, malformed),
                other => panic!("{malformed} was {other:?} once it was redriven"),
            }
        }
        Evaluation::Voucher(issued) => batch.issue(record, &issued, &EVALUATOR),
    }
    let Ok(()) = batch.each_output(|output| {
        if output.topic == "vouchers" {
            voucher(output, record);
        } else {
            assert_eq!((output.key, output.value), (record.key(), record.value()));
        }
        Ok::<(), Infallible>(())
    });
}

fn evaluate(record: &OwnedRecord) -> Evaluation<'_> {
    EVALUATOR.evaluate(record, &mut Known(&*ORDER_STATUSES))
}

/// Asserts that the sink takes what the processor writes, and that headers are printable.
fn voucher(output: &Outgoing<'_>, source: &OwnedRecord) {
    for (name, value) in output.headers {
        sound::one_line(name);
        sound::one_line(std::str::from_utf8(value.unwrap_or_default()).expect("UTF-8"));
    }
    let headers = output.headers.iter();
    let written = OwnedRecord {
        partition: source.partition,
        offset: source.offset,
        timestamp_millis: source.timestamp_millis,
        key: output.key.map(<[u8]>::to_vec),
        value: output.value.map(<[u8]>::to_vec),
        headers: headers
            .map(|(name, value)| ((*name).to_owned(), value.map(<[u8]>::to_vec)))
            .collect(),
    };
    assert_eq!(sunk(&written), Decision::Row);
}

fn sunk(record: &OwnedRecord) -> Decision {
    let mut batch = sink::batch::Batch::default();
    let decision = decide(record, &mut Known(&*VOUCHERS), &mut batch);
    if decision == Decision::Row {
        let mut columns = Columns::default();
        columns.fill(&batch, 0..1);
        let trace = batch.traceparent(0);
        assert!(trace.is_empty() || trace.len() == 55, "{trace:?}");
        assert!(trace.is_empty() || record.header(TRACEPARENT).is_some());
        // Postgres cannot store this character in a text.
        for text in [batch.campaign(0), batch.order_id(0), batch.code(0), trace] {
            assert!(!text.contains('\0'), "{text:?}");
        }
    }
    decision
}
