//! What was found of an order. Nothing is decided here but which voucher record is an echo.

use std::collections::BTreeSet;
use std::fmt;

use runtime::dead_letter::{DeadLetter, Origin, State};
use runtime::kafka::partition_of;
use runtime::record::{Offset, Partition};
use schemas::KeyForm;

use crate::explainer::Explanation;

/// All that is known of an order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Story {
    pub(super) order_id: String,
    pub(super) order_status: Topic,
    pub(super) vouchers_topic: Topic,
    pub(super) statuses: Vec<Status>,
    pub(super) vouchers: Vec<VoucherRecord>,
    /// Of the order statuses, then of the vouchers.
    pub(super) letters: Vec<(DeadLetter, Option<State>)>,
    /// None: no database was named, or it could not be asked.
    pub(super) rows: Option<Vec<VoucherFields>>,
    /// What could not be looked at. The rest is told all the same.
    pub(super) gaps: Vec<Gap>,
}

/// Something that could not be looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) what: String,
    pub(super) why: String,
}

/// A topic, where the key belongs in it, and where it was looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Topic {
    pub(super) name: String,
    pub(super) partitions: i32,
    /// Of the id's own bytes, by the common partitioner.
    pub(super) home: Partition,
    pub(super) read: BTreeSet<Partition>,
}

impl Topic {
    /// Where the order's key belongs.
    pub(super) fn new(name: &str, partitions: i32, order_id: &str) -> Option<Self> {
        Some(Self {
            name: name.to_owned(),
            partitions,
            home: partition_of(order_id.as_bytes(), partitions)?,
            read: BTreeSet::new(),
        })
    }

    /// Where the common partitioner puts the order's key in each form whose bytes are known: not in a
    /// registry's framing, which begins with a schema id.
    pub(super) fn homes(&self, order_id: &str) -> BTreeSet<Partition> {
        let keys = KeyForm::ALL
            .into_iter()
            .filter_map(|form| form.bytes(order_id));
        keys.filter_map(|key| partition_of(&key, self.partitions))
            .collect()
    }

    pub(super) fn unread(&self) -> BTreeSet<Partition> {
        (0..self.partitions)
            .filter(|partition| !self.read.contains(partition))
            .collect()
    }

    pub(super) fn was_read_whole(&self) -> bool {
        self.unread().is_empty()
    }
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
    /// The form of its key.
    pub(super) key: KeyForm,
    /// Whether it is elsewhere than the common partitioner puts its key.
    pub(super) is_astray: bool,
    pub(super) told: Explanation,
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

    /// The partitions of the order statuses that vouchers and dead letters of the order came from.
    pub(super) fn sources(&self) -> BTreeSet<Partition> {
        let topic = &self.order_status.name;
        let vouchers = self.vouchers.iter().filter_map(|voucher| {
            let source: Origin = voucher.source.as_ref()?.parse().ok()?;
            (source.topic == *topic).then_some(source.partition)
        });
        let letters = self.letters.iter().filter_map(|(letter, _)| {
            let origin = &letter.identity.origin;
            (origin.topic == *topic).then_some(origin.partition)
        });
        vouchers.chain(letters).collect()
    }

    /// The sentence for an order that nothing is known of. All partitions of the order statuses were
    /// looked at then.
    pub(super) fn not_found(&self) -> String {
        let Topic {
            name, partitions, ..
        } = &self.order_status;
        let vouchers = &self.vouchers_topic;
        let advice = match vouchers.was_read_whole() {
            true => "",
            false => "; --all-partitions looks for vouchers that another partitioner placed",
        };
        format!(
            "order {} is in none of the {partitions} partitions of {name}, nor in {} or the dead \
             letters{advice}{}",
            self.order_id,
            vouchers.name,
            self.gaps_in_words()
                .map_or_else(String::new, |gaps| format!("; {gaps}"))
        )
    }

    /// What could not be looked at, in one sentence.
    pub(super) fn gaps_in_words(&self) -> Option<String> {
        let gaps: Vec<_> = self.gaps.iter().map(ToString::to_string).collect();
        (!gaps.is_empty()).then(|| gaps.join("; "))
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not looked at: {}, because {}", self.what, self.why)
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

    #[test]
    fn a_key_of_each_form_has_a_partition_of_its_own() {
        let topic = Topic::new("order-status", 12, "94").unwrap();
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
        assert_eq!(Topic::new("order-status", 0, "94"), None);
    }

    #[test]
    fn what_could_not_be_looked_at_is_told_with_the_reason() {
        let mut story = Story {
            order_id: "94".to_owned(),
            ..Story::default()
        };
        assert_eq!(story.gaps_in_words(), None);
        story.gaps.push(Gap {
            what: "the vouchers' table".to_owned(),
            why: "the server is away".to_owned(),
        });
        let gap = "not looked at: the vouchers' table, because the server is away";
        assert_eq!(story.gaps_in_words().as_deref(), Some(gap));
        assert!(story.not_found().ends_with(gap));
    }
}
