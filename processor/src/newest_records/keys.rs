//! Checks the forms of the keys, and whether the keys are in the partitions that Kafka's default
//! partitioner chooses.

use std::collections::BTreeMap;

use runtime::kafka::partition_of;
use runtime::preflight::CheckResult;
use runtime::record::Partition;
use schemas::KeyForm;

use super::Read;

pub(super) fn judge(topic: &str, partitions: usize, newest: &[Read<'_>]) -> CheckResult {
    let subject = format!("keys of {topic}");
    let records = newest.len();
    if records == 0 {
        return CheckResult::ok(subject, "no records among the newest offsets");
    }
    if let Some((finding, advice)) = other_forms(newest) {
        return CheckResult::warn(subject, finding, advice);
    }
    let partitions = Partition::try_from(partitions).unwrap_or(Partition::MAX);
    let misplaced = newest.iter().find(|read| {
        // A record without a key is reported as one that cannot be used.
        let key = read.record.key.as_deref();
        key.is_some_and(|key| partition_of(key, partitions) != Some(read.record.partition))
    });
    if let Some(read) = misplaced {
        return CheckResult::warn(
            subject,
            format!(
                "the key at {} is in another partition than Kafka's own clients choose: two writers of \
                 one order write to two partitions, and the sequence of its statuses is lost",
                read.place()
            ),
            "set partitioner=murmur2_random in that writer (librdkafka's default is another), and \
             never add partitions to this topic",
        );
    }
    CheckResult::ok(subject, format!("the newest {records} are fine"))
}

/// Returns the finding about keys that are not the order id's own bytes, and advice. Keys with
/// another id than their value are reported as records that cannot be used.
fn other_forms(newest: &[Read<'_>]) -> Option<(String, &'static str)> {
    let mut forms: BTreeMap<KeyForm, (usize, &Read<'_>)> = BTreeMap::new();
    for read in newest {
        if let (Ok(Some(order)), Some(key)) = (&read.order, &read.record.key)
            && let Some(form) = KeyForm::of(key, order.order_id.as_str())
        {
            forms.entry(form).or_insert((0, read)).0 += 1;
        }
    }
    forms.remove(&KeyForm::Plain);
    let (first, _) = forms.first_key_value()?;
    let examples = forms.iter().map(|(form, (count, read))| {
        let what = form.in_words();
        format!("{count} of them {what}, such as {}", read.place())
    });
    let finding = format!(
        "among the newest {} records are keys in another form than the order id's own bytes: {}; \
         they are accepted, but for Kafka they are different keys: they are compacted separately, and \
         may be in another partition than the order's other records",
        newest.len(),
        examples.collect::<Vec<_>>().join("; ")
    );
    Some((finding, first.advice()))
}

#[cfg(test)]
mod tests {
    use runtime::preflight::Level;
    use runtime::record::OwnedRecord;

    use super::super::read_json;
    use super::*;

    fn judged(key: &[u8], partition: Partition) -> CheckResult {
        let record = OwnedRecord {
            partition,
            offset: 41,
            key: Some(key.to_vec()),
            value: Some(br#"{"order_id":"17","status":"SENT","total":1}"#.to_vec()),
            ..OwnedRecord::default()
        };
        judge("order-status", 12, &read_json(&[record]))
    }

    #[test]
    fn a_plain_key_in_the_partition_of_the_default_partitioner_is_fine() {
        let home = partition_of(b"17", 12).unwrap();
        assert_eq!(judged(b"17", home).level, Level::Ok);
        assert_eq!(judged(b"17", (home + 1) % 12).level, Level::Warn);
        assert_eq!(judge("order-status", 12, &[]).level, Level::Ok);
    }

    #[test]
    fn another_form_is_reported_with_an_example_and_advice() {
        for (key, form) in [
            (&b"\"17\""[..], "a JSON string, in quotes"),
            (b"\0\0\0\0\x07\x0417", "framed by a schema registry"),
            (&17_i64.to_be_bytes(), "an integer of 8 bytes"),
        ] {
            let judged = judged(key, partition_of(key, 12).unwrap());
            assert_eq!(judged.level, Level::Warn);
            assert!(judged.finding.contains(form), "{judged:?}");
            assert!(judged.finding.contains("offset 41"), "{judged:?}");
            assert!(judged.advice.unwrap().contains("StringSerializer"));
        }
    }
}
