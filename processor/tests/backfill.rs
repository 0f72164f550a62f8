//! Whatever way the records of a topic are read, they earn the same vouchers.

#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeMap;

use processor::backfill::orders::{By, Orders};
use processor::backfill::preview::{Preview, sum, time_of};
use processor::evaluate::{Evaluation, Evaluator};
use processor::rule::Rule;
use processor::signing_keys::SigningKeys;
use proptest::prelude::*;
use runtime::record::OwnedRecord;
use runtime::registry::{Lookup, SchemaSource};
use schemas::{Malformed, OrderStatusPlan, Reason, SchemaId, Timestamp, ValueFormat};

struct NoSchemas;

impl SchemaSource for NoSchemas {
    type Plan = OrderStatusPlan;

    fn lookup(&mut self, _: SchemaId) -> Lookup<'_, OrderStatusPlan> {
        Lookup::Bad(Malformed::new(Reason::RegistryNotConfigured, "none"))
    }
}

fn evaluator() -> Evaluator {
    let rule = Rule {
        campaign: "order-reward".to_owned(),
        min_total: "100".parse().unwrap(),
        amount: "5.05".parse().unwrap(),
        currency: "EUR".parse().unwrap(),
        valid_days: Some(30),
        sent_from: None,
        sent_until: Some(Timestamp::parse_rfc3339("2026-05-01T00:00:50Z").unwrap()),
    };
    // Two keys, so that a voucher that took another time would have another code.
    let keys = "- AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n\
                2026-05-01T00:00:30Z HwECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let keys = SigningKeys::parse(keys).unwrap();
    Evaluator::new(rule, keys, "EUR".parse().unwrap()).unwrap()
}

/// The steps of one order as a writer that follows the design tells them: what is fixed when it is
/// sent stays, and every later record carries `sent_at`.
fn order(id: usize, total: u32, sent_second: u32, length: usize) -> Vec<OwnedRecord> {
    let sent_at = format!(r#","sent_at":"2026-05-01T00:00:{sent_second:02}Z""#);
    let steps = [
        ("PENDING", ""),
        ("SENT", sent_at.as_str()),
        ("SENT", &sent_at),
        ("DELIVERED", &sent_at),
    ];
    steps[..length]
        .iter()
        .map(|(status, sent)| OwnedRecord {
            timestamp_millis: Some(1_800_000_000_000),
            key: Some(format!("o{id}").into_bytes()),
            value: Some(
                format!(r#"{{"order_id":"o{id}","status":"{status}","total":"{total}.00"{sent}}}"#)
                    .into_bytes(),
            ),
            ..OwnedRecord::default()
        })
        .collect()
}

/// Orders whose records are interleaved, with a few that cannot be used.
fn topic() -> impl Strategy<Value = Vec<OwnedRecord>> {
    let orders = prop::collection::vec((90..110_u32, 0..60_u32, 1..=4_usize), 1..12);
    let places = prop::collection::vec(any::<prop::sample::Index>(), 0..64);
    (orders, places, 0..4_usize).prop_map(|(orders, places, bad)| {
        let mut queues: Vec<Vec<OwnedRecord>> = orders
            .into_iter()
            .enumerate()
            .map(|(id, (total, second, length))| order(id, total, second, length))
            .chain((0..bad).map(|id| {
                vec![OwnedRecord {
                    key: Some(format!("bad{id}").into_bytes()),
                    value: Some(b"{".to_vec()),
                    ..OwnedRecord::default()
                }]
            }))
            .collect();
        let mut places = places.into_iter();
        let mut records = Vec::new();
        while !queues.is_empty() {
            let at = places.next().map_or(0, |place| place.index(queues.len()));
            records.push(queues[at].remove(0));
            if queues[at].is_empty() {
                queues.remove(at);
            }
        }
        for (offset, record) in records.iter_mut().enumerate() {
            record.offset = i64::try_from(offset).unwrap();
        }
        records
    })
}

type Vouchers = BTreeMap<String, String>;

/// Takes the records into the vouchers topic's view: the first record of an identity counts.
fn read(evaluator: &Evaluator, records: &[OwnedRecord], vouchers: &mut Vouchers) -> Preview {
    let mut preview = Preview::default();
    for record in records {
        let decoded = evaluator.decode(record, &mut NoSchemas);
        let time = time_of(record, &decoded);
        let outcome = evaluator.decide(decoded, record);
        preview.note(record, time, &outcome);
        if let Evaluation::Voucher(issued) = outcome {
            assert_eq!(time, Some(issued.sent_at));
            let voucher = evaluator.voucher(&issued);
            let mut text = Vec::new();
            voucher.write(ValueFormat::Json, &mut text).unwrap();
            vouchers
                .entry(issued.order_id.into_owned())
                .or_insert_with(|| String::from_utf8(text).unwrap());
        }
    }
    preview
}

proptest! {
    #[test]
    fn any_split_read_in_any_order_gives_the_vouchers_of_the_live_flow(
        records in topic(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
        backwards in any::<bool>(),
    ) {
        let evaluator = evaluator();
        let mut live = Vouchers::new();
        let whole = read(&evaluator, &records, &mut live);

        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(records.len() + 1)).collect();
        cuts.extend([0, records.len()]);
        cuts.sort_unstable();
        let mut parts: Vec<&[OwnedRecord]> =
            cuts.windows(2).map(|ends| &records[ends[0]..ends[1]]).collect();
        if backwards {
            parts.reverse();
        }
        let mut again = Vouchers::new();
        let mut together = Preview::default();
        for part in parts {
            together.add(read(&evaluator, part, &mut again));
        }
        prop_assert_eq!(&again, &live);
        prop_assert_eq!(together, whole);
    }

    #[test]
    fn compaction_to_any_state_takes_no_voucher_away(
        records in topic(),
        eaten in prop::collection::vec(any::<bool>(), 64),
    ) {
        let evaluator = evaluator();
        let mut live = Vouchers::new();
        read(&evaluator, &records, &mut live);

        // The last record of a key always stays.
        let left: Vec<OwnedRecord> = records
            .iter()
            .enumerate()
            .filter(|(at, record)| {
                let last = !records[at + 1..].iter().any(|later| later.key == record.key);
                last || !eaten[at % eaten.len()]
            })
            .map(|(_, record)| record.clone())
            .collect();
        let mut backfilled = Vouchers::new();
        read(&evaluator, &left, &mut backfilled);
        prop_assert_eq!(backfilled, live);
    }

    #[test]
    fn a_preview_counts_each_order_once_and_its_money_exactly(records in topic()) {
        let evaluator = evaluator();
        let mut live = Vouchers::new();
        let mut preview = read(&evaluator, &records, &mut live);
        let mut orders = Orders::default();
        for record in &records {
            if let Evaluation::Voucher(issued) = evaluator.evaluate(record, &mut NoSchemas)
                && orders.is_new(&issued.order_id, By::Asked).unwrap()
            {
                preview.note_voucher(issued.sent_at);
            }
        }
        let asked = orders.counts().unwrap().asked;
        prop_assert_eq!(preview.total().records.records(), records.len() as u64);
        prop_assert_eq!(asked, live.len() as u64);
        prop_assert_eq!(preview.total().vouchers, asked);
        let cents = i64::try_from(live.len()).unwrap() * 505;
        prop_assert_eq!(
            sum(asked, evaluator.rule().amount),
            Some(rust_decimal::Decimal::new(cents, 2))
        );
    }
}
