//! What a topic holds: whether two programs have written the same records, in whatever order.

use std::hash::{DefaultHasher, Hash, Hasher};

use anyhow::{Result, ensure};
use end_to_end::topic;
use rdkafka::Message;
use rdkafka::message::Headers;

/// The committed records of a topic, with their keys, values and headers, whatever their order and
/// partitions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Contents {
    /// The number of records.
    pub records: u64,
    /// The wrapping sum of the hashes of the records.
    digest: u64,
}

impl Contents {
    /// Reads a topic to its end.
    ///
    /// # Errors
    /// When the end is not reached.
    pub async fn of(brokers: &str, topic: &str) -> Result<Self> {
        let (brokers, name) = (brokers.to_owned(), topic.to_owned());
        tokio::task::spawn_blocking(move || {
            let mut contents = Self::default();
            topic::visit_blocking(&brokers, &name, |record| contents.add(record))?;
            Ok(contents)
        })
        .await?
    }

    fn add(&mut self, record: &impl Message) {
        let mut hasher = DefaultHasher::new();
        (record.key(), record.payload()).hash(&mut hasher);
        if let Some(headers) = record.headers() {
            for header in headers.iter() {
                (header.key, header.value).hash(&mut hasher);
            }
        }
        self.records += 1;
        self.digest = self.digest.wrapping_add(hasher.finish());
    }

    /// Fails unless `other` are the same records.
    ///
    /// # Errors
    /// Says whether their number or the records differ.
    pub fn check_same(self, other: Self) -> Result<()> {
        ensure!(
            self.records == other.records,
            "{} records were written, not {}",
            other.records,
            self.records
        );
        ensure!(
            self.digest == other.digest,
            "{} records were written, as expected, but not the same ones",
            other.records
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::Timestamp;
    use rdkafka::message::{Header, OwnedHeaders, OwnedMessage};

    use super::*;

    fn record(key: &str, value: &str, header: &str) -> OwnedMessage {
        let headers = OwnedHeaders::new().insert(Header {
            key: "voucher.rule",
            value: Some(header),
        });
        OwnedMessage::new(
            Some(value.as_bytes().to_vec()),
            Some(key.as_bytes().to_vec()),
            "vouchers".to_owned(),
            Timestamp::NotAvailable,
            0,
            0,
            Some(headers),
        )
    }

    fn contents(records: &[OwnedMessage]) -> Contents {
        let mut contents = Contents::default();
        for record in records {
            contents.add(record);
        }
        contents
    }

    #[test]
    fn the_same_records_in_another_order_are_the_same() {
        let (a, b) = (record("17", "5.00", "1"), record("18", "5.00", "1"));
        let other = contents(&[b.clone(), a.clone()]);
        contents(&[a, b]).check_same(other).unwrap();
    }

    #[test]
    fn fewer_records_and_other_records_are_refused() {
        let (a, b) = (record("17", "5.00", "1"), record("18", "5.00", "1"));
        let both = contents(&[a.clone(), b.clone()]);
        let refused = |other: &[OwnedMessage]| {
            let error = both.check_same(contents(other)).unwrap_err();
            error.to_string()
        };
        assert_eq!(
            refused(std::slice::from_ref(&a)),
            "1 records were written, not 2"
        );
        for other in [
            a.clone(),
            record("19", "5.00", "1"),
            record("18", "6.00", "1"),
            record("18", "5.00", "2"),
        ] {
            let error = refused(&[a.clone(), other]);
            assert!(error.ends_with("not the same ones"), "{error}");
        }
    }
}
