//! Everything that was found about an order. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use runtime::dead_letter::{DeadLetter, DeadLetterState, Origin};
use runtime::record::{Offset, Partition};
use schemas::{KeyForm, Timestamp};

use super::searched::SearchedTopic;
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
    /// The consumer group of each topic whose dead letters this command shows and redrives.
    pub(super) groups: BTreeMap<String, String>,
    /// The dead letter topics that were read, with the number of their records.
    pub(super) dead_letter_topics: Vec<(String, u64)>,
    /// The rows of the vouchers table; `None` if no database is set, or if it could not be read.
    pub(super) rows: Option<Vec<VoucherRow>>,
    /// The order as the ingress has it; `None` if the ingress does not have it, or was not asked.
    pub(super) ingress: Option<IngressOrder>,
    /// Positions at which another record is than the one that a row, a voucher or a dead letter names.
    pub(super) replaced: BTreeSet<Origin>,
    /// What could not be read. The rest is shown nevertheless.
    pub(super) gaps: Vec<Gap>,
}

/// A topic or a table that could not be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) what: String,
    pub(super) why: String,
}

/// An order as the ingress has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct IngressOrder {
    pub(super) status: String,
    /// Grows by one with each change, and is part of each order status.
    pub(super) version: i64,
    pub(super) created_at: Timestamp,
    pub(super) sent_at: Option<Timestamp>,
    pub(super) updated_at: Timestamp,
}

impl IngressOrder {
    /// Returns when the order changed: one time for each version, the newest last.
    pub(super) fn changes(&self) -> Vec<Timestamp> {
        let mut times = vec![self.created_at];
        times.extend(self.sent_at);
        times.push(self.updated_at);
        times.dedup();
        times
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

/// The role of a voucher record among those of the same campaign and order.
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
    /// The position of the voucher record; `None` in a row that an earlier version wrote.
    pub(super) record: Option<(Partition, Offset)>,
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
    /// Distinguishes vouchers from echoes. The voucher of a campaign is the record that its row
    /// names, or else the first one.
    pub(super) fn mark_echoes(&mut self) {
        self.vouchers
            .sort_by_key(|record| (record.at.partition, record.at.offset));
        let mut first = BTreeMap::new();
        for (number, record) in self.vouchers.iter().enumerate() {
            let Some(campaign) = campaign_of(record) else {
                continue;
            };
            let position = Some((record.at.partition, record.at.offset));
            let mut rows = self.rows.iter().flatten();
            if rows.any(|row| row.record == position && row.voucher.campaign == campaign) {
                first.insert(campaign, number);
            } else {
                first.entry(campaign).or_insert(number);
            }
        }
        for (number, record) in self.vouchers.iter_mut().enumerate() {
            record.role = match campaign_of(record) {
                None => Role::Unreadable,
                Some(campaign) if first.get(&campaign) == Some(&number) => Role::Voucher,
                Some(_) => Role::Echo,
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
            || self.ingress.is_some()
    }

    /// Returns whether there is a row without a voucher record of the same campaign.
    pub(super) fn lacks_record_of_row(&self) -> bool {
        let mut rows = self.rows.iter().flatten();
        rows.any(|row| !self.has_voucher_of(&row.voucher.campaign))
    }

    /// Returns whether there is a voucher record without a row of the same campaign.
    pub(super) fn lacks_row_of_record(&self) -> bool {
        let Some(rows) = &self.rows else {
            return false;
        };
        self.vouchers.iter().any(|record| match &record.voucher {
            Ok(voucher) => !rows
                .iter()
                .any(|row| row.voucher.campaign == voucher.campaign),
            Err(_) => false,
        })
    }

    fn has_voucher_of(&self, campaign: &str) -> bool {
        let mut readable = self
            .vouchers
            .iter()
            .filter_map(|record| record.voucher.as_ref().ok());
        readable.any(|voucher| voucher.campaign == campaign)
    }

    /// Returns whether the record of this version, or of a later one, was found.
    pub(super) fn has_version(&self, version: i64) -> bool {
        self.statuses.iter().any(|status| {
            let found = status.explanation.field("version");
            let found = found.and_then(|found| found.parse::<i64>().ok());
            found >= Some(version)
        })
    }

    /// Returns the positions of the voucher records that rows name.
    pub(super) fn row_positions(&self) -> BTreeSet<(Partition, Offset)> {
        let rows = self.rows.iter().flatten();
        rows.filter_map(|row| row.record).collect()
    }

    /// Returns the positions in this topic that voucher records name as their sources.
    pub(super) fn voucher_sources(&self, topic: &str) -> BTreeSet<(Partition, Offset)> {
        let sources = self.vouchers.iter().filter_map(|voucher| {
            let source: Origin = voucher.source.as_ref()?.parse().ok()?;
            Some(source)
        });
        positions_in(topic, sources)
    }

    /// Returns the positions in this topic whose records became dead letters.
    pub(super) fn dead_letter_sources(&self, topic: &str) -> BTreeSet<(Partition, Offset)> {
        let dead_letters = self.dead_letters.iter();
        let origins = dead_letters.map(|(dead_letter, _)| dead_letter.id.origin.clone());
        positions_in(topic, origins)
    }

    /// Returns the positions in this topic that vouchers and dead letters of the order came from.
    pub(super) fn sources(&self, topic: &str) -> BTreeSet<(Partition, Offset)> {
        let mut sources = self.voucher_sources(topic);
        sources.extend(self.dead_letter_sources(topic));
        sources
    }

    /// Returns the error for an order about which nothing was found. All partitions of the order
    /// statuses are read by then, unless `--no-scan` left some out.
    pub(super) fn not_found(&self) -> String {
        let SearchedTopic {
            name,
            partitions,
            since,
            ..
        } = &self.order_status;
        let vouchers = &self.vouchers_topic;
        if self.order_status.left_out || vouchers.left_out {
            return format!(
                "order {} is not in what --no-scan reads of {name} and {}, nor in the dead letter \
                 topics; without it older offsets and other partitions are read too{}",
                self.order_id,
                vouchers.name,
                self.gaps_at_the_end()
            );
        }
        let (since, advice) = match since {
            Some(since) => (
                format!(" from {} on", since.time),
                "; without --since everything is read",
            ),
            None if vouchers.was_read_whole() => (String::new(), ""),
            None => (
                String::new(),
                "; --all-partitions also finds vouchers that another partitioner placed",
            ),
        };
        format!(
            "order {} is in none of the {partitions} partitions of {name}{since}, nor in {}{since} \
             or the dead letter topics{advice}{}",
            self.order_id,
            vouchers.name,
            self.gaps_at_the_end()
        )
    }

    /// Returns what could not be read, as the end of a sentence.
    fn gaps_at_the_end(&self) -> String {
        self.gap_note()
            .map_or_else(String::new, |gaps| format!("; {gaps}"))
    }

    /// Returns whether the service of this environment has a dead letter in its list. Those of the first
    /// released version name no group, and belong to every group.
    pub(super) fn owns(&self, dead_letter: &DeadLetter) -> bool {
        let own = self.groups.get(&dead_letter.id.origin.topic);
        let group = dead_letter.group.as_ref();
        group.is_none_or(|group| Some(group) == own)
    }

    /// Returns what could not be read, as part of a sentence; `None` if everything was read.
    pub(super) fn gap_note(&self) -> Option<String> {
        let gaps: Vec<_> = self.gaps.iter().map(ToString::to_string).collect();
        (!gaps.is_empty()).then(|| gaps.join("; "))
    }
}

fn positions_in(
    topic: &str,
    origins: impl Iterator<Item = Origin>,
) -> BTreeSet<(Partition, Offset)> {
    let own = origins.filter(|origin| origin.topic == topic);
    own.map(|origin| (origin.partition, origin.offset))
        .collect()
}

fn campaign_of(record: &VoucherRecord) -> Option<String> {
    let voucher = record.voucher.as_ref().ok()?;
    Some(voucher.campaign.clone())
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

    fn roles(trace: &OrderTrace) -> Vec<Role> {
        trace.vouchers.iter().map(|record| record.role).collect()
    }

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
        for (offset, record) in (0..).zip(&mut trace.vouchers) {
            record.at.offset = offset;
        }
        trace.mark_echoes();
        let expected = [
            Role::Unreadable,
            Role::Voucher,
            Role::Voucher,
            Role::Echo,
            Role::Echo,
        ];
        assert_eq!(roles(&trace), expected);
        // The order in which they were read does not matter.
        trace.vouchers.reverse();
        trace.mark_echoes();
        assert_eq!(roles(&trace), expected);
    }

    #[test]
    fn the_record_that_a_row_names_is_the_voucher() {
        let mut trace = OrderTrace {
            vouchers: vec![voucher("a"), voucher("a")],
            rows: Some(vec![row("a", Some((0, 9)))]),
            ..OrderTrace::default()
        };
        trace.vouchers[1].at.offset = 9;
        trace.mark_echoes();
        assert_eq!(roles(&trace), [Role::Echo, Role::Voucher]);
        // If the row names no record, or one that was not found, the first record is the voucher.
        for named in [None, Some((0, 7))] {
            trace.rows = Some(vec![row("a", named)]);
            trace.mark_echoes();
            assert_eq!(roles(&trace), [Role::Voucher, Role::Echo]);
        }
    }

    #[test]
    fn a_row_without_its_record_and_a_record_without_its_row_are_noticed() {
        let mut trace = OrderTrace {
            vouchers: vec![voucher("a")],
            ..OrderTrace::default()
        };
        assert!(!trace.lacks_record_of_row());
        assert!(!trace.lacks_row_of_record(), "the table was not read");
        trace.rows = Some(vec![row("b", None)]);
        assert!(trace.lacks_record_of_row() && trace.lacks_row_of_record());
        trace.rows = Some(vec![row("a", None), row("a", Some((0, 1)))]);
        assert!(!trace.lacks_record_of_row() && !trace.lacks_row_of_record());
    }

    #[test]
    fn a_version_is_found_in_its_record_or_a_later_one() {
        let mut trace = OrderTrace::default();
        assert!(!trace.has_version(1));
        trace.statuses.push(StatusRecord {
            at: RecordPosition::default(),
            key: KeyForm::Plain,
            is_misplaced: false,
            explanation: Explanation {
                verdict: "skipped",
                reason: None,
                message: String::new(),
                fields: vec![("version", "2".to_owned())],
            },
        });
        assert!(trace.has_version(1) && trace.has_version(2) && !trace.has_version(3));
    }

    #[test]
    fn an_order_changes_once_for_each_version() {
        let at = Timestamp::from_millis;
        let mut order = IngressOrder {
            status: "PENDING".to_owned(),
            version: 1,
            created_at: at(1),
            sent_at: None,
            updated_at: at(1),
        };
        assert_eq!(order.changes(), [at(1)]);
        (order.sent_at, order.updated_at) = (Some(at(2)), at(2));
        assert_eq!(order.changes(), [at(1), at(2)]);
        order.updated_at = at(3);
        assert_eq!(order.changes(), [at(1), at(2), at(3)]);
    }

    #[test]
    fn an_order_is_found_by_any_trace_of_it() {
        let mut trace = OrderTrace::default();
        assert!(!trace.is_found());
        trace.rows = Some(Vec::new());
        assert!(!trace.is_found());
        trace.rows = Some(vec![VoucherRow::default()]);
        assert!(trace.is_found());
        trace.rows = None;
        trace.ingress = Some(IngressOrder {
            status: "PENDING".to_owned(),
            version: 1,
            created_at: Timestamp::from_millis(1),
            sent_at: None,
            updated_at: Timestamp::from_millis(1),
        });
        assert!(trace.is_found());
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

    #[test]
    fn an_order_that_is_not_found_is_only_not_in_what_was_read() {
        let mut trace = OrderTrace {
            order_id: "94".to_owned(),
            ..OrderTrace::default()
        };
        trace.order_status.name = "order-status".to_owned();
        trace.order_status.partitions = 12;
        trace.vouchers_topic.name = "vouchers".to_owned();
        let whole = trace.not_found();
        assert!(whole.contains("in none of the 12 partitions"), "{whole}");
        for (statuses, vouchers) in [(true, false), (false, true), (true, true)] {
            trace.order_status.left_out = statuses;
            trace.vouchers_topic.left_out = vouchers;
            assert_eq!(
                trace.not_found(),
                "order 94 is not in what --no-scan reads of order-status and vouchers, nor in the \
                 dead letter topics; without it older offsets and other partitions are read too"
            );
        }
        trace.gaps.push(Gap {
            what: "the vouchers' table".to_owned(),
            why: "the server is away".to_owned(),
        });
        let not_found = trace.not_found();
        assert!(
            not_found.ends_with("because the server is away"),
            "{not_found}"
        );
    }
}
