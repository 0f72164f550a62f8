//! Records that a row, a voucher or a dead letter names, but that are no longer at their positions. Pure.

use std::collections::BTreeSet;
use std::fmt;

use runtime::dead_letter::Origin;
use runtime::record::{Offset, Partition};

use super::searched::SearchedTopic;
use super::trace::{OrderTrace, RecordPosition};

/// A record that a row, a voucher or a dead letter names, but that is not at its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MissingRecord {
    pub(super) at: Origin,
    pub(super) why: WhyMissing,
}

/// Why a record is not at its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WhyMissing {
    /// Compaction or retention has removed it.
    Removed,
    /// The topic was deleted and created again.
    Replaced,
}

impl WhyMissing {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Removed => "removed",
            Self::Replaced => "replaced",
        }
    }
}

impl fmt::Display for MissingRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.why {
            WhyMissing::Removed => write!(
                f,
                "{} is no longer in the topic: compaction or retention has removed it",
                self.at
            ),
            WhyMissing::Replaced => write!(
                f,
                "{} is not a record of this order: the topic was deleted and created again, or is \
                 another topic than it was",
                self.at
            ),
        }
    }
}

impl OrderTrace {
    /// Returns the records that rows, vouchers and dead letters name, but that are not at their
    /// positions. Positions that were not searched are left out.
    pub(super) fn missing(&self) -> Vec<MissingRecord> {
        let vouchers = self.vouchers.iter().map(|record| &record.at);
        let vouchers = self.missing_in(&self.vouchers_topic, &self.row_positions(), vouchers);
        let statuses = self.statuses.iter().map(|status| &status.at);
        let sources = self.sources(&self.order_status.name);
        let statuses = self.missing_in(&self.order_status, &sources, statuses);
        vouchers.into_iter().chain(statuses).collect()
    }

    fn missing_in<'a>(
        &self,
        topic: &SearchedTopic,
        named: &BTreeSet<(Partition, Offset)>,
        found: impl Iterator<Item = &'a RecordPosition>,
    ) -> Vec<MissingRecord> {
        let found: BTreeSet<_> = found.map(|at| (at.partition, at.offset)).collect();
        let missing = named.difference(&found).filter_map(|&(partition, offset)| {
            let at = Origin {
                topic: topic.name.clone(),
                partition,
                offset,
            };
            let why = if self.replaced.contains(&at) || topic.is_behind(partition, offset) {
                WhyMissing::Replaced
            } else if topic.was_looked_at(partition, offset) {
                WhyMissing::Removed
            } else {
                return None;
            };
            Some(MissingRecord { at, why })
        });
        missing.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use runtime::kafka::Span;

    use super::super::trace::{Role, VoucherFields, VoucherRecord, VoucherRow};
    use super::*;

    fn row(campaign: &str, record: Option<(Partition, Offset)>) -> VoucherRow {
        VoucherRow {
            voucher: VoucherFields {
                campaign: campaign.to_owned(),
                ..VoucherFields::default()
            },
            record,
            ..VoucherRow::default()
        }
    }

    #[test]
    fn a_record_that_is_missing_was_removed_or_replaced() {
        let mut trace = OrderTrace {
            rows: Some(vec![
                row("a", Some((0, 5))),
                row("b", Some((0, 6))),
                row("c", Some((0, 100))),
                row("d", Some((0, 50))),
                row("e", Some((0, 4))),
            ]),
            vouchers: vec![VoucherRecord {
                at: RecordPosition {
                    offset: 4,
                    ..RecordPosition::default()
                },
                source: None,
                run: None,
                voucher: Ok(VoucherFields::default()),
                role: Role::default(),
            }],
            vouchers_topic: SearchedTopic {
                name: "vouchers".to_owned(),
                held: BTreeMap::from([(0, Span { from: 0, to: 100 })]),
                ..SearchedTopic::default()
            },
            ..OrderTrace::default()
        };
        trace.vouchers_topic.note_read(0, Span { from: 0, to: 10 });
        trace.replaced.insert("vouchers/0/6".parse().unwrap());
        let missing: Vec<_> = trace
            .missing()
            .iter()
            .map(|missing| (missing.at.offset, missing.why))
            .collect();
        assert_eq!(
            missing,
            [
                (5, WhyMissing::Removed),
                (6, WhyMissing::Replaced),
                (100, WhyMissing::Replaced)
            ]
        );
    }
}
