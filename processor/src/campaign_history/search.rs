//! Reads the vouchers from the newest to the oldest, in spans of growing length, until the rule and the
//! keys can be judged.

use runtime::kafka::{KafkaSettings, Span, TopicRange};
use runtime::lifecycle::{Failure, blocking};
use runtime::record::InputRecord;
use runtime::registry::SchemaCache;
use runtime::value;
use schemas::{Voucher, VoucherPlan};

use super::Compared;
use super::evidence::Evidence;
use super::judgement::{Fields, Judgement};

/// The offsets of each partition that are read first. The vouchers of a running campaign are there.
const FIRST: i64 = 200;

/// By how many times further back each span reaches than the one before, so that few spans are read.
const GROWTH: i64 = 10;

/// How far back vouchers are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// To the beginning of the topic.
    Everything,
    /// At most this number of offsets of each partition.
    Newest(i64),
}

/// Reads vouchers, and judges the rule and the keys by them.
pub(super) struct Search {
    kafka: KafkaSettings,
    topic: String,
    group: String,
    depth: Depth,
    evidence: Evidence,
    schemas: SchemaCache<VoucherPlan>,
}

impl Search {
    /// Reads nothing yet. Must be called within a Tokio runtime.
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
            schemas: SchemaCache::for_command(registry.cloned()),
        }
    }

    /// Reads until the rule and the keys can be judged.
    pub(super) async fn run(self) -> Result<Judgement, Failure> {
        blocking("the campaign's vouchers", move || self.read()).await
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
                    "reading older vouchers, to find the campaign's rule and keys"
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

    /// Reads the offsets behind open transactions: only after these have ended is it certain that there
    /// is no voucher.
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
            evidence.note(record, || fields(record, schemas))
        })
    }
}

/// Returns the offsets of each partition that are more than `reached` and at most `next` before its
/// end.
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

/// Returns the fields of a voucher; `None` if it cannot be read.
fn fields(
    record: &impl InputRecord,
    schemas: &mut SchemaCache<VoucherPlan>,
) -> Result<Option<Fields>, Failure> {
    let decoded = value::decode(record, schemas, |bytes, format| {
        Voucher::read(record.key(), bytes, format).map(fields_of)
    });
    Ok(decoded.settled()?.unwrap_or_default())
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
