//! What was found of an order. Nothing is decided here but which voucher record is an echo.

use std::collections::BTreeSet;

use runtime::dead_letter::{Letter, State};
use runtime::record::{Offset, Partition};

use crate::told::Told;

/// All that is known of an order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Story {
    pub(super) order_id: String,
    pub(super) order_status: Topic,
    pub(super) vouchers_topic: Topic,
    pub(super) statuses: Vec<Status>,
    pub(super) vouchers: Vec<VoucherRecord>,
    pub(super) letters: Vec<(Letter, Option<State>)>,
    /// None: no database was named.
    pub(super) rows: Option<Vec<VoucherFields>>,
}

/// A topic, and where the key belongs in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Topic {
    pub(super) name: String,
    pub(super) partitions: usize,
    /// By the common partitioner.
    pub(super) home: Partition,
}

/// Where a record is, and when it was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct At {
    pub(super) partition: Partition,
    pub(super) offset: Offset,
    pub(super) written: Option<String>,
}

/// One record of the order statuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) at: At,
    pub(super) told: Told,
}

/// One record of the vouchers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct VoucherRecord {
    pub(super) at: At,
    /// The order status that it was issued for, `topic/partition/offset`.
    pub(super) source: Option<String>,
    /// The backfill or redrive that issued it.
    pub(super) run: Option<String>,
    /// Or why it can't be read.
    pub(super) voucher: Result<VoucherFields, String>,
    pub(super) role: Role,
}

/// What a record of the vouchers is among those of its identity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Role {
    /// The first: the voucher.
    #[default]
    Voucher,
    /// A later one, ignored by every consumer.
    Echo,
    /// It can't be read.
    Unreadable,
}

/// A voucher's fields, of a record or of a row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct VoucherFields {
    pub(super) campaign: String,
    pub(super) code: String,
    /// With its currency.
    pub(super) amount: String,
    pub(super) issued_at: String,
    pub(super) expires_at: Option<String>,
}

impl Story {
    /// Tells the vouchers from their echoes: of each campaign the first is the voucher.
    pub(super) fn tell_echoes(&mut self) {
        let mut seen = BTreeSet::new();
        for record in &mut self.vouchers {
            record.role = match &record.voucher {
                Err(_) => Role::Unreadable,
                Ok(voucher) if seen.insert(voucher.campaign.clone()) => Role::Voucher,
                Ok(_) => Role::Echo,
            };
        }
    }

    pub(super) fn is_found(&self) -> bool {
        let has_rows = self.rows.as_ref().is_some_and(|rows| !rows.is_empty());
        !self.statuses.is_empty()
            || !self.vouchers.is_empty()
            || !self.letters.is_empty()
            || has_rows
    }

    /// The campaigns that rows are asked for: today's, and those that have vouchers.
    pub(super) fn campaigns(&self, today: &str) -> Vec<String> {
        let with_vouchers = self.vouchers.iter().filter_map(|record| {
            let voucher = record.voucher.as_ref().ok()?;
            Some(voucher.campaign.clone())
        });
        let all: BTreeSet<_> = std::iter::once(today.to_owned())
            .chain(with_vouchers)
            .collect();
        all.into_iter().collect()
    }

    /// The sentence for an order that nothing is known of.
    pub(super) fn not_found(&self, all_partitions: bool) -> String {
        let Topic {
            name,
            partitions,
            home,
        } = &self.order_status;
        let (looked, advice) = if all_partitions {
            (
                format!("in any of the {partitions} partitions of {name}"),
                "",
            )
        } else {
            (
                format!("in partition {home} of {name}, where its key belongs"),
                "; --all-partitions looks for records that another partitioner placed",
            )
        };
        format!(
            "order {} is not {looked}, nor in {} or the dead letters{advice}",
            self.order_id, self.vouchers_topic.name
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voucher(campaign: &str) -> VoucherRecord {
        VoucherRecord {
            at: At::default(),
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
        let mut story = Story {
            vouchers: vec![
                unreadable,
                voucher("a"),
                voucher("b"),
                voucher("a"),
                voucher("a"),
            ],
            ..Story::default()
        };
        story.tell_echoes();
        let roles: Vec<_> = story.vouchers.iter().map(|record| record.role).collect();
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
        assert_eq!(story.campaigns("b"), ["a", "b"]);
        assert_eq!(story.campaigns("c"), ["a", "b", "c"]);
    }

    #[test]
    fn an_order_is_found_by_any_trace_of_it() {
        let mut story = Story::default();
        assert!(!story.is_found());
        story.rows = Some(Vec::new());
        assert!(!story.is_found());
        story.rows = Some(vec![VoucherFields::default()]);
        assert!(story.is_found());
    }
}
