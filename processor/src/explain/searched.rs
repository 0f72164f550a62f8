//! A topic, and how it was searched for an order. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use runtime::kafka::{Span, Times, TopicRange, partition_of};
use runtime::record::{Offset, Partition, Positions};
use schemas::{KeyForm, Timestamp};

use super::spans::{Parts, Spans};

/// A topic, the partition to which the order's key belongs, and what was read of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SearchedTopic {
    pub(super) name: String,
    pub(super) partitions: i32,
    /// The partition of the id's own bytes, by Kafka's default partitioner.
    pub(super) home: Partition,
    /// What each partition held when the search began.
    pub(super) held: BTreeMap<Partition, Span>,
    /// Where the search begins with `--since`.
    pub(super) since: Option<Since>,
    /// What was read. An empty partition has an entry without offsets.
    pub(super) read: BTreeMap<Partition, Spans>,
    /// What led to the parts that were read.
    pub(super) how: BTreeSet<How>,
    /// Whether `--no-scan` left out offsets that a search without it reads.
    pub(super) left_out: bool,
    pub(super) records_read: u64,
}

/// The time from which on a topic is searched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Since {
    pub(super) time: Timestamp,
    /// The first offset of each partition whose record is not before the time.
    pub(super) offsets: Positions,
}

/// What led to the parts of a topic that were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum How {
    /// The position of the voucher record in its row.
    Row,
    /// The position of the order status in a voucher record.
    Voucher,
    /// The position of the original in a dead letter.
    DeadLetter,
    /// The times at which the order changed at the ingress.
    Times,
    /// `--since`.
    Since(Timestamp),
    /// `--no-scan`: nothing is known, and the newest offsets were read.
    Newest,
    /// Partitions were read from their beginning to their end.
    Whole,
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Row => f.write_str("by the row"),
            Self::Voucher => f.write_str("by the voucher record"),
            Self::DeadLetter => f.write_str("by the dead letter"),
            Self::Times => f.write_str("by the order's times"),
            Self::Since(time) => write!(f, "from {time}"),
            Self::Newest => f.write_str("in the newest offsets"),
            Self::Whole => f.write_str("whole partitions"),
        }
    }
}

impl SearchedTopic {
    /// Refers to everything that a topic holds; `None` when it has no partitions.
    pub(super) fn new(whole: TopicRange, order_id: &str) -> Option<Self> {
        let partitions = i32::try_from(whole.spans.len()).ok()?;
        Some(Self {
            partitions,
            home: partition_of(order_id.as_bytes(), partitions)?,
            name: whole.topic,
            held: whole.spans,
            ..Self::default()
        })
    }

    /// Returns the range of the order's own partition, by Kafka's default partitioner.
    pub(super) fn home_range(&self) -> TopicRange {
        let mut spans = self.held.clone();
        spans.retain(|partition, _| *partition == self.home);
        self.range(spans)
    }

    /// Returns these spans as a range of this topic.
    pub(super) fn range(&self, spans: BTreeMap<Partition, Span>) -> TopicRange {
        TopicRange {
            topic: self.name.clone(),
            spans,
            times: Times::default(),
        }
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

    /// Returns all partitions.
    pub(super) fn all(&self) -> BTreeSet<Partition> {
        self.held.keys().copied().collect()
    }

    /// Returns what a complete search reads of a partition.
    fn to_search(&self, partition: Partition) -> Option<Span> {
        let held = *self.held.get(&partition)?;
        let since = self.since.as_ref();
        let from = since.and_then(|since| since.offsets.get(&partition));
        Some(Span {
            from: from.map_or(held.from, |from| held.from.max(*from)),
            to: held.to,
        })
    }

    /// Returns the number of offsets that a complete search of these partitions reads.
    pub(super) fn offsets(&self, partitions: &BTreeSet<Partition>) -> u64 {
        let spans = partitions.iter().filter_map(|one| self.to_search(*one));
        spans.map(Span::offsets).sum()
    }

    /// Returns what a complete search of these partitions still has to read. The newest records come
    /// first: the known positions are rather at the beginning of an order's records than at their end.
    pub(super) fn rest(&self, partitions: &BTreeSet<Partition>) -> Parts {
        let rest = partitions.iter().filter_map(|partition| {
            let whole = self.to_search(*partition)?;
            let mut missing = match self.read.get(partition) {
                Some(read) => read.missing_in(whole),
                None => Spans::default().missing_in(whole),
            };
            missing.reverse();
            Some((*partition, missing))
        });
        rest.collect()
    }

    /// Returns what was not read of a partition from an offset on.
    pub(super) fn rest_behind(&self, partition: Partition, from: Offset) -> Parts {
        let Some(held) = self.held.get(&partition) else {
            return Parts::new();
        };
        let behind = Span { from, to: held.to };
        let missing = match self.read.get(&partition) {
            Some(read) => read.missing_in(behind),
            None => Spans::default().missing_in(behind),
        };
        Parts::from([(partition, missing)])
    }

    /// Notes that these partitions are searched.
    pub(super) fn note_searched(&mut self, partitions: impl IntoIterator<Item = Partition>) {
        for partition in partitions {
            self.read.entry(partition).or_default();
        }
    }

    /// Notes that a part of a partition was read.
    pub(super) fn note_read(&mut self, partition: Partition, span: Span) {
        self.read.entry(partition).or_default().insert(span);
    }

    /// Returns the partitions of which something was read, or which are empty.
    pub(super) fn partitions_read(&self) -> BTreeSet<Partition> {
        self.read.keys().copied().collect()
    }

    /// Returns whether a partition was read from its beginning to its end.
    fn is_whole(&self, partition: Partition) -> bool {
        let whole = self.held.get(&partition);
        let read = self.read.get(&partition);
        whole
            .zip(read)
            .is_some_and(|(whole, read)| read.missing_in(*whole).is_empty())
    }

    /// Returns whether all partitions were read from their beginning to their end.
    pub(super) fn was_read_whole(&self) -> bool {
        (0..self.partitions).all(|partition| self.is_whole(partition))
    }

    /// Returns whether every partition in which a key of this order is expected was read from its
    /// beginning to its end.
    pub(super) fn is_complete(&self, order_id: &str) -> bool {
        !self.held.is_empty()
            && self
                .homes(order_id)
                .into_iter()
                .all(|one| self.is_whole(one))
    }

    /// Returns whether the topic holds this offset, with or without a record.
    pub(super) fn holds(&self, partition: Partition, offset: Offset) -> bool {
        let held = self.held.get(&partition);
        held.is_some_and(|held| (held.from..held.to).contains(&offset))
    }

    /// Returns whether the partition ends before this offset, or does not exist.
    pub(super) fn is_behind(&self, partition: Partition, offset: Offset) -> bool {
        let held = self.held.get(&partition);
        !self.held.is_empty() && held.is_none_or(|held| offset >= held.to)
    }

    /// Returns whether an offset was read, or is no longer held.
    pub(super) fn was_looked_at(&self, partition: Partition, offset: Offset) -> bool {
        let Some(held) = self.held.get(&partition) else {
            return false;
        };
        let one = Span {
            from: offset,
            to: offset.saturating_add(1),
        };
        let read = self.read.get(&partition);
        offset < held.from || read.is_some_and(|read| read.missing_in(one).is_empty())
    }

    /// Returns a sentence about a search that was not complete.
    pub(super) fn note(&self, order_id: &str) -> Option<String> {
        if self.read.is_empty() || self.is_complete(order_id) {
            return None;
        }
        let read: u64 = self.read.values().map(Spans::offsets).sum();
        let held = self.held.iter();
        let held: u64 = held
            .filter(|(partition, _)| self.read.contains_key(partition))
            .map(|(_, span)| span.offsets())
            .sum();
        let how: Vec<_> = self.how.iter().map(ToString::to_string).collect();
        let partitions: Vec<_> = self.read.keys().map(ToString::to_string).collect();
        let advice = match &self.since {
            Some(_) => "without --since everything is read",
            None => "--scan reads the partitions of its key from beginning to end",
        };
        Some(format!(
            "{} was searched {}: {read} of the {held} offsets of partition{} {}. The order may have \
             more records there; {advice}",
            self.name,
            how.join(" and "),
            if partitions.len() == 1 { "" } else { "s" },
            partitions.join(", ")
        ))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Returns a topic of four partitions, each with the offsets from `from` to 100.
    pub(in super::super) fn topic_from(from: Offset) -> SearchedTopic {
        let whole = TopicRange {
            topic: "order-status".to_owned(),
            spans: (0..4)
                .map(|partition| (partition, Span { from, to: 100 }))
                .collect(),
            times: Times::default(),
        };
        SearchedTopic::new(whole, "94").unwrap()
    }

    fn topic() -> SearchedTopic {
        topic_from(10)
    }

    #[test]
    fn a_key_of_each_form_has_a_partition_of_its_own() {
        let topic = topic();
        let homes = topic.homes("94");
        assert!(homes.contains(&topic.home));
        for key in [
            &b"94"[..],
            b"\"94\"",
            b"\x0494",
            &94_i32.to_be_bytes(),
            &94_i64.to_be_bytes(),
        ] {
            assert!(homes.contains(&partition_of(key, 4).unwrap()), "{key:?}");
        }
        let empty = TopicRange {
            topic: "order-status".to_owned(),
            spans: BTreeMap::new(),
            times: Times::default(),
        };
        assert_eq!(SearchedTopic::new(empty, "94"), None);
    }

    #[test]
    fn the_rest_is_what_was_not_read_and_its_newest_part_comes_first() {
        let mut topic = topic();
        topic.note_read(1, Span { from: 40, to: 60 });
        let rest = topic.rest(&[0, 1].into());
        let span = |from, to| Span { from, to };
        let expected = Parts::from([
            (0, vec![span(10, 100)]),
            (1, vec![span(60, 100), span(10, 40)]),
        ]);
        assert_eq!(rest, expected);
        let behind = topic.rest_behind(1, 50);
        assert_eq!(behind, Parts::from([(1, vec![span(60, 100)])]));
        assert!(topic.was_looked_at(1, 40) && topic.was_looked_at(1, 9));
        assert!(!topic.was_looked_at(1, 60) && !topic.was_looked_at(0, 40));
    }

    #[test]
    fn a_search_is_complete_when_every_partition_of_the_key_was_read_whole() {
        let mut topic = topic();
        assert!(!topic.is_complete("94"));
        for partition in topic.homes("94") {
            topic.note_read(partition, Span { from: 20, to: 100 });
        }
        assert!(!topic.is_complete("94"));
        for partition in topic.homes("94") {
            topic.note_read(partition, Span { from: 0, to: 20 });
        }
        assert!(topic.is_complete("94"));
        assert_eq!(topic.note("94"), None);
        for partition in topic.all() {
            topic.note_read(partition, Span { from: 0, to: 100 });
        }
        assert!(topic.was_read_whole());
    }

    #[test]
    fn a_bounded_search_is_not_complete_and_says_what_it_read() {
        let mut topic = topic();
        let time = Timestamp::from_millis(1_800_000_000_000);
        topic.since = Some(Since {
            time,
            offsets: (0..4).map(|partition| (partition, 70)).collect(),
        });
        assert_eq!(topic.offsets(&[0, 1].into()), 60);
        for (partition, spans) in topic.rest(&topic.all()) {
            for span in spans {
                topic.note_read(partition, span);
            }
        }
        topic.how.insert(How::Since(time));
        assert!(topic.rest(&topic.all()).values().all(Vec::is_empty));
        let note = topic.note("94").unwrap();
        assert!(
            note.contains("searched from 2027-01-15T08:00:00Z: 120 of the 360 offsets"),
            "{note}"
        );
        assert!(
            note.ends_with("without --since everything is read"),
            "{note}"
        );
    }
}
