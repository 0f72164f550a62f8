//! Everything that was found about an order. Pure.

use std::collections::BTreeSet;
use std::fmt;

use runtime::dead_letter::{DeadLetter, DeadLetterState, Origin};
use runtime::kafka::partition_of;
use runtime::record::{Offset, Partition};
use schemas::KeyForm;

use crate::explainer::Explanation;

/// Everything that was found about an order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct OrderTrace {
    pub(super) order_id: String,
    pub(super) order_status: SearchedTopic,
    pub(super) vouchers_topic: SearchedTopic,
    pub(super) statuses: Vec<StatusRecord>,
    pub(super) vouchers: Vec<VoucherRecord>,
    /// The dead letters of the order statuses, then those of the vouchers.
    pub(super) dead_letters: Vec<(DeadLetter, Option<DeadLetterState>)>,
    /// The rows of the vouchers table; none when no database was named, or it could not be read.
    pub(super) rows: Option<Vec<VoucherRow>>,
    /// What could not be read. The rest is shown nevertheless.
    pub(super) gaps: Vec<Gap>,
}

/// A topic or a table that could not be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) what: String,
    pub(super) why: String,
}

/// A topic, the partition to which the key belongs, and the partitions that were read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SearchedTopic {
    pub(super) name: String,
    pub(super) partitions: i32,
    /// The partition of the id's own bytes, by Kafka's default partitioner.
    pub(super) home: Partition,
    pub(super) read: BTreeSet<Partition>,
}

impl SearchedTopic {
    /// Refers to a topic; `None` when it has no partitions.
    pub(super) fn new(name: &str, partitions: i32, order_id: &str) -> Option<Self> {
        Some(Self {
            name: name.to_owned(),
            partitions,
            home: partition_of(order_id.as_bytes(), partitions)?,
            read: BTreeSet::new(),
        })
    }

    /// Returns the partitions of the order's key in every form whose bytes are known. A key in a
    /// registry's framing is not among them, because it begins with a schema id.
    pub(super) fn homes(&self, order_id: &str) -> BTreeSet<Partition> {
        let keys = KeyForm::ALL
            .into_iter()
            .filter_map(|form| form.bytes(order_id));
        keys.filter_map(|key| partition_of(&key, self.partitions))
            .collect()
    }

    /// Returns the partitions that were not read.
    pub(super) fn unread(&self) -> BTreeSet<Partition> {
        (0..self.partitions)
            .filter(|partition| !self.read.contains(partition))
            .collect()
    }

    /// Returns whether all partitions were read.
    pub(super) fn was_read_whole(&self) -> bool {
        self.unread().is_empty()
    }
}

/// The position of a record, when it was written, and the trace that it is a part of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RecordPosition {
    pub(super) partition: Partition,
    pub(super) offset: Offset,
    pub(super) written: Option<String>,
    pub(super) trace_id: Option<String>,
}

/// A record of the order statuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StatusRecord {
    pub(super) at: RecordPosition,
    /// The form of its key.
    pub(super) key: KeyForm,
    /// Whether it is in another partition than the one that Kafka's default partitioner chooses.
    pub(super) is_misplaced: bool,
    pub(super) explanation: Explanation,
}

/// A record of the vouchers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct VoucherRecord {
    pub(super) at: RecordPosition,
    /// The order status that it was issued for, as `topic/partition/offset`.
    pub(super) source: Option<String>,
    /// The backfill or redrive that issued it.
    pub(super) run: Option<String>,
    /// The voucher, or why it cannot be read.
    pub(super) voucher: Result<VoucherFields, String>,
    pub(super) role: Role,
}

/// What a record of the vouchers is among those of the same campaign and order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Role {
    /// The first record is the voucher.
    #[default]
    Voucher,
    /// A later record, which consumers ignore.
    Echo,
    /// The record cannot be read.
    Unreadable,
}

/// A row of the vouchers table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct VoucherRow {
    pub(super) voucher: VoucherFields,
    /// When the row was written.
    pub(super) created_at: String,
}

/// The fields of a voucher, from a record or from a row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct VoucherFields {
    pub(super) campaign: String,
    pub(super) code: String,
    /// The amount with its currency.
    pub(super) amount: String,
    pub(super) issued_at: String,
    pub(super) expires_at: Option<String>,
}

impl OrderTrace {
    /// Distinguishes vouchers from echoes: the first record of each campaign is the voucher.
    pub(super) fn mark_echoes(&mut self) {
        let mut seen = BTreeSet::new();
        for record in &mut self.vouchers {
            record.role = match &record.voucher {
                Err(_) => Role::Unreadable,
                Ok(voucher) if seen.insert(voucher.campaign.clone()) => Role::Voucher,
                Ok(_) => Role::Echo,
            };
        }
    }

    /// Returns whether anything was found about the order.
    pub(super) fn is_found(&self) -> bool {
        let has_rows = self.rows.as_ref().is_some_and(|rows| !rows.is_empty());
        !self.statuses.is_empty()
            || !self.vouchers.is_empty()
            || !self.dead_letters.is_empty()
            || has_rows
    }

    /// Returns the campaigns whose rows are read: the current one, and those that have vouchers.
    pub(super) fn campaigns(&self, current: &str) -> Vec<String> {
        let with_vouchers = self.vouchers.iter().filter_map(|record| {
            let voucher = record.voucher.as_ref().ok()?;
            Some(voucher.campaign.clone())
        });
        let all: BTreeSet<_> = std::iter::once(current.to_owned())
            .chain(with_vouchers)
            .collect();
        all.into_iter().collect()
    }

    /// Returns the partitions of the order statuses that vouchers and dead letters of the order
    /// came from.
    pub(super) fn sources(&self) -> BTreeSet<Partition> {
        let topic = &self.order_status.name;
        let vouchers = self.vouchers.iter().filter_map(|voucher| {
            let source: Origin = voucher.source.as_ref()?.parse().ok()?;
            (source.topic == *topic).then_some(source.partition)
        });
        let dead_letters = self.dead_letters.iter().filter_map(|(dead_letter, _)| {
            let origin = &dead_letter.id.origin;
            (origin.topic == *topic).then_some(origin.partition)
        });
        vouchers.chain(dead_letters).collect()
    }

    /// Returns the error for an order about which nothing was found. All partitions of the order
    /// statuses are read by then.
    pub(super) fn not_found(&self) -> String {
        let SearchedTopic {
            name, partitions, ..
        } = &self.order_status;
        let vouchers = &self.vouchers_topic;
        let advice = match vouchers.was_read_whole() {
            true => "",
            false => "; --all-partitions also finds vouchers that another partitioner placed",
        };
        format!(
            "order {} is in none of the {partitions} partitions of {name}, nor in {} or the dead \
             letter topics{advice}{}",
            self.order_id,
            vouchers.name,
            self.gap_note()
                .map_or_else(String::new, |gaps| format!("; {gaps}"))
        )
    }

    /// Returns what could not be read as part of a sentence; none when everything was read.
    pub(super) fn gap_note(&self) -> Option<String> {
        let gaps: Vec<_> = self.gaps.iter().map(ToString::to_string).collect();
        (!gaps.is_empty()).then(|| gaps.join("; "))
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not read: {}, because {}", self.what, self.why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voucher(campaign: &str) -> VoucherRecord {
        VoucherRecord {
            at: RecordPosition::default(),
            source: None,
            run: None,
            voucher: Ok(VoucherFields {
                campaign: campaign.to_owned(),
                ..VoucherFields::default()
            }),
            role: Role::default(),
        }
    }

    #[test]
    fn of_each_campaign_the_first_record_is_the_voucher_and_later_ones_are_echoes() {
        let unreadable = VoucherRecord {
            voucher: Err("no JSON".to_owned()),
            ..voucher("")
        };
        let mut trace = OrderTrace {
            vouchers: vec![
                unreadable,
                voucher("a"),
                voucher("b"),
                voucher("a"),
                voucher("a"),
            ],
            ..OrderTrace::default()
        };
        trace.mark_echoes();
        let roles: Vec<_> = trace.vouchers.iter().map(|record| record.role).collect();
        assert_eq!(
            roles,
            [
                Role::Unreadable,
                Role::Voucher,
                Role::Voucher,
                Role::Echo,
                Role::Echo
            ]
        );
        assert_eq!(trace.campaigns("b"), ["a", "b"]);
        assert_eq!(trace.campaigns("c"), ["a", "b", "c"]);
    }

    #[test]
    fn an_order_is_found_by_any_trace_of_it() {
        let mut trace = OrderTrace::default();
        assert!(!trace.is_found());
        trace.rows = Some(Vec::new());
        assert!(!trace.is_found());
        trace.rows = Some(vec![VoucherRow::default()]);
        assert!(trace.is_found());
    }

    #[test]
    fn a_key_of_each_form_has_a_partition_of_its_own() {
        let topic = SearchedTopic::new("order-status", 12, "94").unwrap();
        let homes = topic.homes("94");
        assert!(homes.contains(&topic.home));
        for key in [
            &b"94"[..],
            b"\"94\"",
            b"\x0494",
            &94_i32.to_be_bytes(),
            &94_i64.to_be_bytes(),
        ] {
            assert!(homes.contains(&partition_of(key, 12).unwrap()), "{key:?}");
        }
        assert_eq!(SearchedTopic::new("order-status", 0, "94"), None);
    }

    #[test]
    fn a_gap_is_reported_with_its_reason() {
        let mut trace = OrderTrace {
            order_id: "94".to_owned(),
            ..OrderTrace::default()
        };
        assert_eq!(trace.gap_note(), None);
        trace.gaps.push(Gap {
            what: "the vouchers' table".to_owned(),
            why: "the server is away".to_owned(),
        });
        let gap = "not read: the vouchers' table, because the server is away";
        assert_eq!(trace.gap_note().as_deref(), Some(gap));
        assert!(trace.not_found().ends_with(gap));
    }
}
