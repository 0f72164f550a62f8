//! Searches the topics for an order.
//!
//! The databases say where the order's records are, so only the offsets near them are read. Whole
//! partitions are read if they are short, if the databases have nothing about the order, and if a flag
//! asks for it.
//!
//! | module | contents |
//! |---|---|
//! | here | the sequence of the search, and how far it goes |
//! | `vouchers` | the vouchers: by their rows, or by the times of the order |
//! | `statuses` | the order statuses: by the vouchers and dead letters that name them, or by times |
//! | `dead_letters` | the dead letters, which are always read completely |
//! | `reading` | reads parts of a topic |

mod dead_letters;
mod reading;
mod statuses;
mod vouchers;

use std::collections::BTreeSet;

use runtime::dead_letter::DeadLetterTopic;
use runtime::kafka::{KafkaSettings, TopicRange};
use runtime::lifecycle::Failure;
use runtime::record::{InputRecord, Offset, Partition};
use runtime::registry::SchemaCache;
use runtime::trace_context::{TRACEPARENT, TraceParent};
use schemas::{Timestamp, VoucherPlan};

use super::anchor::newest;
use super::searched::{How, SearchedTopic, Since};
use super::spans::Parts;
use super::trace::{Gap, OrderTrace, RecordPosition};
use crate::explainer::Explainer;

/// How much earlier than the ingress's time of a change its record may be stamped, because the clocks
/// of two instances of the producer, or of the broker, differ. `check` warns of a larger difference.
const CLOCK_TOLERANCE_MILLIS: i64 = 5_000;

/// The topics to search, and how their records are read.
pub(super) struct Search {
    pub(super) kafka: KafkaSettings,
    pub(super) group: String,
    pub(super) order_status: String,
    pub(super) vouchers: String,
    /// The dead letters of the order statuses, and of the vouchers.
    pub(super) dead_letter_topics: [DeadLetterTopic; 2],
    pub(super) explainer: Explainer,
    pub(super) voucher_schemas: SchemaCache<VoucherPlan>,
    pub(super) reach: Reach,
}

/// How far the search goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reach {
    /// Reads all partitions from beginning to end.
    pub(super) all_partitions: bool,
    /// Reads the partitions of the order's key from beginning to end.
    pub(super) scan: bool,
    /// Reads no whole partitions unless they are short.
    pub(super) no_scan: bool,
    /// Reads nothing from before this time.
    pub(super) since: Option<Timestamp>,
    /// How many offsets of a topic are read near the known records.
    pub(super) nearby: u64,
}

impl Reach {
    /// Returns whether whole partitions are read even if the order's records are known.
    const fn is_wide(&self) -> bool {
        self.all_partitions || self.scan || self.since.is_some()
    }

    /// Returns whether these partitions are read completely in any case.
    fn is_short(&self, topic: &SearchedTopic, partitions: &BTreeSet<Partition>) -> bool {
        topic.offsets(partitions) <= self.nearby
    }

    /// Returns whether the partitions in which the order is not likely to be are read too. Notes in the
    /// topic if only `--no-scan` prevents that.
    fn reads_all(&self, topic: &mut SearchedTopic, may_be_elsewhere: bool) -> bool {
        if self.all_partitions || !may_be_elsewhere {
            return self.all_partitions;
        }
        let is_allowed = !self.no_scan || self.is_short(topic, &topic.all());
        topic.left_out |= !is_allowed;
        is_allowed
    }

    /// Returns how whole partitions are searched.
    fn how(&self) -> How {
        self.since.map_or(How::Whole, How::Since)
    }
}

impl Search {
    /// Adds everything that the topics hold about the order to what the databases know of it.
    /// Blocks its thread.
    ///
    /// # Errors
    /// Exit code 1 when the order statuses cannot be read. Another topic that cannot be read is a
    /// gap of the trace.
    pub(super) fn run(mut self, mut trace: OrderTrace) -> Result<OrderTrace, Failure> {
        let topics = self.dead_letter_topics.clone();
        let order_id = trace.order_id.clone();
        let order_id = order_id.as_str();
        // Each of these topics takes several round trips to the broker, and needs nothing of the
        // others.
        std::thread::scope(|scope| {
            let threads = topics
                .each_ref()
                .map(|topic| scope.spawn(move || dead_letters::find(topic, order_id)));
            trace.order_status = self.open(&self.order_status, order_id)?;
            trace.vouchers_topic.name.clone_from(&self.vouchers);
            trace.groups = topics
                .iter()
                .map(|topic| (topic.source().to_owned(), topic.owner().group.clone()))
                .collect();
            if let Err(failure) = self.find_vouchers(&mut trace) {
                trace.gaps.push(gap(&self.vouchers, &failure));
            }
            for (topic, thread) in topics.iter().zip(threads) {
                let found = thread.join().unwrap_or_else(|_| {
                    Err(Failure::failed("the thread that reads it has panicked"))
                });
                match found {
                    Ok(found) => {
                        let records = found.records_read;
                        trace.dead_letter_topics.push((topic.name(), records));
                        trace.dead_letters.extend(found.dead_letters);
                    }
                    Err(failure) => trace.gaps.push(gap(&topic.name(), &failure)),
                }
            }
            self.find_statuses(&mut trace)?;
            Ok(trace)
        })
    }

    /// Looks up which offsets a topic holds, and where the search begins.
    fn open(&self, name: &str, order_id: &str) -> Result<SearchedTopic, Failure> {
        let whole = TopicRange::whole(&self.kafka, name)?;
        let since = match self.reach.since {
            Some(time) => {
                let offsets = whole.offsets_for_times(&self.kafka, &[time.as_millis()])?;
                let offsets = offsets.into_iter().next().unwrap_or_default();
                Some(Since { time, offsets })
            }
            None => None,
        };
        let topic = SearchedTopic::new(whole, order_id)
            .ok_or_else(|| Failure::failed(format!("{name} has no partitions")))?;
        Ok(SearchedTopic { since, ..topic })
    }

    /// Returns what is read of these partitions when nothing says where the order's records are:
    /// everything, or with `--no-scan` the newest offsets of long partitions.
    fn unguided(&self, topic: &mut SearchedTopic, partitions: &BTreeSet<Partition>) -> Parts {
        let rest = topic.rest(partitions);
        if self.reach.no_scan && !self.is_short(topic, partitions) {
            topic.how.insert(How::Newest);
            topic.left_out = true;
            return newest(rest, self.reach.nearby);
        }
        topic.how.insert(self.reach.how());
        rest
    }

    /// Returns whether these partitions are read completely in any case.
    fn is_short(&self, topic: &SearchedTopic, partitions: &BTreeSet<Partition>) -> bool {
        self.reach.is_short(topic, partitions)
    }

    /// Returns where records that are not older than these times begin in the partition of the order's
    /// key. A record's timestamp may be earlier than the time by [`CLOCK_TOLERANCE_MILLIS`].
    fn starts(&self, topic: &SearchedTopic, times: &[Timestamp]) -> Result<Vec<Offset>, Failure> {
        let millis: Vec<_> = times
            .iter()
            .map(|time| time.as_millis().saturating_sub(CLOCK_TOLERANCE_MILLIS))
            .collect();
        let found = topic.home_range().offsets_for_times(&self.kafka, &millis)?;
        let starts = found.iter().filter_map(|offsets| offsets.get(&topic.home));
        Ok(starts.copied().collect())
    }
}

fn gap(what: &str, why: &Failure) -> Gap {
    Gap {
        what: what.to_owned(),
        why: why.to_string(),
    }
}

fn at(record: &impl InputRecord) -> RecordPosition {
    RecordPosition {
        partition: record.partition(),
        offset: record.offset(),
        written: record
            .timestamp_millis()
            .map(|millis| Timestamp::from_millis(millis).to_string()),
        trace_id: record
            .header(TRACEPARENT)
            .and_then(|value| TraceParent::parse(&value))
            .map(TraceParent::trace_id),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::searched::tests::topic_from;

    /// A topic of four partitions with 100 offsets each.
    fn topic() -> SearchedTopic {
        topic_from(0)
    }

    #[test]
    fn without_a_scan_the_other_partitions_of_a_long_topic_are_left_out_and_that_is_noted() {
        let no_scan = Reach {
            all_partitions: false,
            scan: false,
            no_scan: true,
            since: None,
            nearby: 399,
        };
        assert!(no_scan.is_short(&topic(), &[0, 1].into()));
        let scan = Reach {
            no_scan: false,
            ..no_scan
        };
        let of_a_short_topic = Reach {
            nearby: 400,
            ..no_scan
        };
        let all_partitions = Reach {
            all_partitions: true,
            ..scan
        };
        for (reach, may_be_elsewhere, reads_all, left_out) in [
            (no_scan, true, false, true),
            (no_scan, false, false, false),
            (of_a_short_topic, true, true, false),
            (scan, true, true, false),
            (scan, false, false, false),
            (all_partitions, false, true, false),
        ] {
            let mut topic = topic();
            let answer = reach.reads_all(&mut topic, may_be_elsewhere);
            assert_eq!(
                (answer, topic.left_out),
                (reads_all, left_out),
                "{reach:?}, {may_be_elsewhere}"
            );
        }
    }
}
