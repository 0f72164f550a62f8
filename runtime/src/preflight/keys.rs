//! The keys that others write: whether they can be an order's, and lie where Kafka's own clients
//! would put them.

use schemas::OrderId;

use super::cluster::TopicFacts;
use super::verdict::Verdict;
use crate::kafka::partition_of;
use crate::record::{OwnedRecord, Partition};
use crate::wording::count;

/// Judges the newest records of `topic`.
pub fn keys(topic: &TopicFacts, newest: &[OwnedRecord]) -> Verdict {
    let subject = format!("keys of {}", topic.name);
    let records = newest.len();
    if records == 0 {
        return Verdict::ok(subject, "no records yet");
    }
    let partitions = Partition::try_from(topic.partitions.len()).unwrap_or(Partition::MAX);
    let unusable = newest.iter().filter(|record| !is_order_id(record)).count();
    if unusable > 0 {
        return Verdict::warn(
            subject,
            format!(
                "{unusable} of the newest {} with a key that is no order id: dead letters",
                count(records, "record")
            ),
            "write 1 to 128 bytes of UTF-8 without control characters as the key (console \
             producer: --reader-property parse.key=true)",
        );
    }
    let astray = newest.iter().find(|record| {
        let key = record.key.as_deref().unwrap_or_default();
        partition_of(key, partitions) != Some(record.partition)
    });
    if let Some(record) = astray {
        return Verdict::warn(
            subject,
            format!(
                "the key at partition {} offset {} lies elsewhere than Kafka's own clients put it: \
                 two writers of one order write to two partitions, and the order of its statuses \
                 is lost",
                record.partition, record.offset
            ),
            "set partitioner=murmur2_random in that writer (librdkafka's default is another), and \
             never add partitions to this topic",
        );
    }
    Verdict::ok(
        subject,
        format!("fine in the newest {}", count(records, "record")),
    )
}

fn is_order_id(record: &OwnedRecord) -> bool {
    record
        .key
        .as_deref()
        .and_then(|key| std::str::from_utf8(key).ok())
        .is_some_and(|key| OrderId::new(key).is_ok())
}

#[cfg(test)]
mod tests {
    use super::super::cluster::PartitionFacts;
    use super::super::verdict::Level;
    use super::*;

    fn level(key: Option<&[u8]>, partition: Partition) -> Level {
        let one = PartitionFacts {
            has_leader: true,
            replicas: 1,
            in_sync: 1,
        };
        let topic = TopicFacts {
            name: "order-status".to_owned(),
            partitions: vec![one; 12],
            config: Ok([].into()),
        };
        let record = OwnedRecord {
            partition,
            key: key.map(<[u8]>::to_vec),
            ..OwnedRecord::default()
        };
        keys(&topic, &[record]).level
    }

    #[test]
    fn a_key_is_an_order_id_in_the_partition_of_the_common_partitioner() {
        let home = partition_of(b"17", 12).unwrap();
        assert_eq!(level(Some(b"17"), home), Level::Ok);
        assert_eq!(level(Some(b"17"), (home + 1) % 12), Level::Warn);
        assert_eq!(level(None, 0), Level::Warn);
        assert_eq!(level(Some(b"a\tb"), 0), Level::Warn);
        assert_eq!(level(Some(&[b'a'; 129]), 0), Level::Warn);
        assert_eq!(level(Some(b"\xff"), 0), Level::Warn);
    }
}
