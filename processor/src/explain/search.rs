//! Reading what the topics have of an order.

use runtime::dead_letter::{Letter, Owner, Shelf};
use runtime::kafka::{KafkaSettings, TopicRange, partition_of};
use runtime::lifecycle::Failure;
use runtime::record::{InputRecord, OwnedRecord};
use runtime::registry::{SchemaCache, WaitsFor, settled};
use runtime::value::{self, Value};
use schemas::{Timestamp, Voucher, VoucherPlan};

use super::story::{At, Role, Status, Story, Topic, VoucherFields, VoucherRecord};
use crate::batch::headers;
use crate::rule::money;
use crate::told::Teller;

/// Where to look, and what it takes to read what is found.
pub(super) struct Search {
    pub(super) kafka: KafkaSettings,
    pub(super) group: String,
    pub(super) order_status: String,
    pub(super) vouchers: String,
    pub(super) shelf: Shelf,
    pub(super) teller: Teller,
    pub(super) voucher_schemas: SchemaCache<VoucherPlan>,
    pub(super) all_partitions: bool,
}

impl Search {
    /// All that the topics have of the order. Blocks its thread.
    ///
    /// # Errors
    /// Exit code 1 when broker or registry do not answer.
    pub(super) fn run(mut self, order_id: &str) -> Result<Story, Failure> {
        let mut story = Story {
            order_id: order_id.to_owned(),
            order_status: self.topic(&self.order_status, order_id)?,
            vouchers_topic: self.topic(&self.vouchers, order_id)?,
            ..Story::default()
        };
        self.read(&story.order_status, order_id, |search, record| {
            let told = search.teller.tell(record)?;
            story.statuses.push(Status {
                at: at(record),
                told,
            });
            Ok(())
        })?;
        self.read(&story.vouchers_topic, order_id, |search, record| {
            story.vouchers.push(search.voucher(record)?);
            Ok(())
        })?;
        story.tell_echoes();
        let mut states = self.shelf.states()?;
        self.shelf.each(|letter| {
            let Ok(letter) = letter else {
                return Ok(());
            };
            // Of every letter, see `States::find`: another order's may have had the same place.
            let owner = owner_of(&letter, self.shelf.owner());
            let state = states.find(&letter, &owner);
            if letter.original.key.as_deref() == Some(order_id.as_bytes()) {
                let state = state.cloned();
                story.letters.push((letter, state));
            }
            Ok(())
        })?;
        Ok(story)
    }

    fn topic(&self, name: &str, order_id: &str) -> Result<Topic, Failure> {
        let range = TopicRange::whole(&self.kafka, name)?;
        let home = i32::try_from(range.spans.len())
            .ok()
            .and_then(|count| partition_of(order_id.as_bytes(), count))
            .ok_or_else(|| Failure::failed(format!("{name} has no partitions")))?;
        Ok(Topic {
            name: name.to_owned(),
            partitions: range.spans.len(),
            home,
        })
    }

    /// Calls `each` with the order's records.
    fn read(
        &mut self,
        topic: &Topic,
        order_id: &str,
        mut each: impl FnMut(&mut Self, &OwnedRecord) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let (kafka, group) = (self.kafka.clone(), self.group.clone());
        let mut range = TopicRange::whole(&kafka, &topic.name)?;
        if !self.all_partitions {
            range = range.only(topic.home);
        }
        range.read(&kafka, &group, |record| {
            if record.key() == Some(order_id.as_bytes()) {
                each(self, &OwnedRecord::of(record))?;
            }
            Ok(())
        })
    }

    fn voucher(&mut self, record: &OwnedRecord) -> Result<VoucherRecord, Failure> {
        let text = |name| {
            let value = record.header(name)?;
            String::from_utf8(value).ok()
        };
        let source = || {
            Some(format!(
                "{}/{}/{}",
                text(headers::SOURCE_TOPIC)?,
                text(headers::SOURCE_PARTITION)?,
                text(headers::SOURCE_OFFSET)?
            ))
        };
        let schemas = &mut self.voucher_schemas;
        let mut read = || {
            value::read(record, schemas, |body| {
                Voucher::read(record.key(), body).map(fields_of)
            })
        };
        let voucher = settled(|| match read() {
            Ok(Value::Read(fields)) => Ok(Ok(fields)),
            Ok(Value::Tombstone) => Ok(Err("null: deletes no voucher".to_owned())),
            Ok(Value::Wait { schema_id }) => Err(WaitsFor { schema_id }),
            Err(malformed) => Ok(Err(malformed.message().to_owned())),
        })?;
        Ok(VoucherRecord {
            at: at(record),
            source: source(),
            run: text(headers::SOURCE_RUN),
            voucher,
            role: Role::default(),
        })
    }
}

/// An order's story is told for every group: what became of another group's letter is that group's
/// to say.
fn owner_of(letter: &Letter, asking: &Owner) -> Owner {
    match &letter.group {
        Some(group) if *group != asking.group => Owner {
            group: group.clone(),
            campaign: None,
        },
        _ => asking.clone(),
    }
}

fn at(record: &OwnedRecord) -> At {
    At {
        partition: record.partition,
        offset: record.offset,
        written: record
            .timestamp_millis
            .map(|millis| Timestamp::from_millis(millis).to_string()),
    }
}

fn fields_of(voucher: Voucher<'_>) -> VoucherFields {
    VoucherFields {
        campaign: voucher.campaign.into_owned(),
        amount: money(voucher.amount, voucher.currency),
        issued_at: voucher.issued_at.to_string(),
        expires_at: voucher.expires_at.map(|at| at.to_string()),
        code: voucher.code.into_owned(),
    }
}
