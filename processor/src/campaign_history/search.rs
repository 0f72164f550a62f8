//! Reads the vouchers backwards, in spans that grow, until enough is known.

use runtime::kafka::{KafkaSettings, Span, TopicRange};
use runtime::lifecycle::Failure;
use runtime::record::InputRecord;
use runtime::registry::{SchemaCache, WaitsFor, settled};
use runtime::value::{self, Value};
use schemas::{Voucher, VoucherPlan};

use super::Compared;
use super::evidence::{Evidence, Fields, Judgement};

/// So many offsets of each partition are read first; a campaign that is running is found there.
const FIRST: i64 = 200;

/// Each span is so many times longer than the one behind it, so that few are read.
const GROWTH: i64 = 10;

/// How far back vouchers are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// To the beginning of the topic, unless enough is known before.
    Everything,
    /// So many offsets of each partition at most.
    Newest(i64),
}

/// See the module.
pub(super) struct Search {
    kafka: KafkaSettings,
    topic: String,
    group: String,
    depth: Depth,
    evidence: Evidence,
    schemas: SchemaCache<VoucherPlan>,
}

impl Search {
    /// Within a Tokio runtime; reads nothing yet.
    pub(super) fn new(compared: Compared<'_>, depth: Depth) -> Self {
        let Compared {
            kafka,
            registry,
            topic,
            group,
            rule,
            keys,
        } = compared;
        Self {
            kafka: kafka.clone(),
            topic: topic.to_owned(),
            group: group.to_owned(),
            depth,
            evidence: Evidence::new(rule, keys, chrono::Utc::now().into()),
            schemas: SchemaCache::of_command(registry.cloned(), VoucherPlan::compile_with),
        }
    }

    /// Reads until enough is known, off the async threads.
    pub(super) async fn run(self) -> Result<Judgement, Failure> {
        tokio::task::spawn_blocking(move || self.read())
            .await
            .map_err(|error| Failure::failed(format!("the campaign's vouchers: {error}")))?
    }

    fn read(mut self) -> Result<Judgement, Failure> {
        let whole = TopicRange::whole(&self.kafka, &self.topic)?;
        let mut reached = 0;
        let mut next = FIRST;
        loop {
            let part = part_of(&whole, reached, next);
            if next > FIRST {
                tracing::info!(
                    offsets = part.offsets(),
                    of = whole.offsets(),
                    "reading older vouchers, to know the campaign's rule and keys"
                );
            }
            self.read_part(&part)?;
            let complete = part.spans.iter().all(|(partition, span)| {
                let whole = whole.spans.get(partition);
                whole.is_none_or(|whole| span.from <= whole.from)
            });
            let judgement = self.evidence.judge(complete);
            let is_deep_enough = matches!(self.depth, Depth::Newest(most) if next >= most);
            if complete && self.depth == Depth::Everything && !self.evidence.found_all() {
                self.read_undecided(&whole)?;
                return Ok(self.evidence.judge(true));
            }
            if complete || is_deep_enough || !matches!(judgement, Judgement::Open { .. }) {
                return Ok(judgement);
            }
            (reached, next) = (next, next.saturating_mul(GROWTH));
            if let Depth::Newest(most) = self.depth {
                next = next.min(most);
            }
        }
    }

    /// What lies behind open transactions: before it is said that there is no voucher, they have to
    /// end.
    fn read_undecided(&mut self, decided: &TopicRange) -> Result<(), Failure> {
        let mut rest = TopicRange::undecided_too(&self.kafka, &self.topic)?;
        for (partition, span) in &mut rest.spans {
            let read_to = decided
                .spans
                .get(partition)
                .map_or(span.from, |span| span.to);
            span.from = read_to.clamp(span.from, span.to);
        }
        self.read_part(&rest)
    }

    fn read_part(&mut self, part: &TopicRange) -> Result<(), Failure> {
        let Self {
            kafka,
            group,
            evidence,
            schemas,
            ..
        } = self;
        part.read(kafka, group, |record| {
            evidence.take(record, || fields(record, schemas))
        })
    }
}

/// Of each partition the offsets that are more than `reached` and at most `next` before the end.
fn part_of(whole: &TopicRange, reached: i64, next: i64) -> TopicRange {
    let mut part = whole.clone();
    for span in part.spans.values_mut() {
        let back = |offsets: i64| span.to.saturating_sub(offsets).max(span.from);
        *span = Span {
            from: back(next),
            to: back(reached),
        };
    }
    part
}

/// None: it can't be read.
fn fields(
    record: &impl InputRecord,
    schemas: &mut SchemaCache<VoucherPlan>,
) -> Result<Option<Fields>, Failure> {
    settled(|| {
        let read = value::read(record, schemas, |body| {
            Voucher::read(record.key(), body).map(fields_of)
        });
        match read {
            Ok(Value::Read(fields)) => Ok(Some(fields)),
            Ok(Value::Tombstone) | Err(_) => Ok(None),
            Ok(Value::Wait { schema_id }) => Err(WaitsFor { schema_id }),
        }
    })
}

fn fields_of(voucher: Voucher<'_>) -> Fields {
    Fields {
        campaign: voucher.campaign.into_owned(),
        amount: voucher.amount,
        currency: voucher.currency,
        issued_at: voucher.issued_at,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use runtime::kafka::Times;

    use super::*;

    #[test]
    fn spans_that_grow_backwards_cover_every_offset_once() {
        let span = |from, to| Span { from, to };
        let whole = TopicRange {
            topic: "vouchers".to_owned(),
            spans: BTreeMap::from([(0, span(0, 5_000)), (1, span(90, 150)), (2, span(7, 7))]),
            times: Times::default(),
        };
        let spans = |reached, next| {
            let part = part_of(&whole, reached, next);
            part.spans.into_values().collect::<Vec<_>>()
        };
        assert_eq!(
            spans(0, 200),
            [span(4_800, 5_000), span(90, 150), span(7, 7)]
        );
        assert_eq!(
            spans(200, 2_000),
            [span(3_000, 4_800), span(90, 90), span(7, 7)]
        );
        assert_eq!(
            spans(2_000, 20_000),
            [span(0, 3_000), span(90, 90), span(7, 7)]
        );
    }
}
