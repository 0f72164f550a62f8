//! Reading what the topics have of an order.

use std::collections::BTreeSet;

use runtime::dead_letter::{DeadLetter, DeadLetterTopic, Owner};
use runtime::kafka::{FetchedRecord, KafkaSettings, TopicRange, partition_of};
use runtime::lifecycle::Failure;
use runtime::record::{InputRecord, OwnedRecord, Partition};
use runtime::registry::{SchemaCache, WaitsFor, settled};
use runtime::value::{self, Value};
use schemas::{KeyForm, Timestamp, Voucher, VoucherPlan};

use super::story::{At, Gap, Role, Status, Story, Topic, VoucherFields, VoucherRecord};
use crate::batch::headers;
use crate::explainer::Explainer;
use crate::rule::money;

/// Where to look, and what it takes to read what is found.
pub(super) struct Search {
    pub(super) kafka: KafkaSettings,
    pub(super) group: String,
    pub(super) order_status: String,
    pub(super) vouchers: String,
    /// The dead letters of the order statuses, and of the vouchers.
    pub(super) shelves: [DeadLetterTopic; 2],
    pub(super) explainer: Explainer,
    pub(super) voucher_schemas: SchemaCache<VoucherPlan>,
    pub(super) all_partitions: bool,
}

impl Search {
    /// All that the topics have of the order. Blocks its thread.
    ///
    /// # Errors
    /// Exit code 1 when the order statuses can't be read. What else can't be read is a gap of the
    /// story.
    pub(super) fn run(mut self, order_id: &str) -> Result<Story, Failure> {
        let mut story = Story {
            order_id: order_id.to_owned(),
            order_status: self.topic(&self.order_status, order_id)?,
            vouchers_topic: Topic {
                name: self.vouchers.clone(),
                ..Topic::default()
            },
            ..Story::default()
        };
        if let Err(failure) = self.find_vouchers(&mut story) {
            story.gaps.push(gap(&self.vouchers, &failure));
        }
        for dead_letter_topic in &self.shelves {
            if let Err(failure) = find_letters(dead_letter_topic, &mut story) {
                story
                    .gaps
                    .push(gap(&dead_letter_topic.dead_letters(), &failure));
            }
        }
        self.find_statuses(&mut story)?;
        Ok(story)
    }

    /// A topic, and where the order's key belongs in it.
    fn topic(&self, name: &str, order_id: &str) -> Result<Topic, Failure> {
        let range = TopicRange::whole(&self.kafka, name)?;
        i32::try_from(range.spans.len())
            .ok()
            .and_then(|partitions| Topic::new(name, partitions, order_id))
            .ok_or_else(|| Failure::failed(format!("{name} has no partitions")))
    }

    /// Reads the partitions where the key belongs in any of its forms, and those that the order's
    /// vouchers and dead letters came from. Reads all others too when nothing was found, or a key in a
    /// registry's framing: where the order's would lie depends on a schema id.
    fn find_statuses(&mut self, story: &mut Story) -> Result<(), Failure> {
        let mut likely = story.order_status.homes(&story.order_id);
        likely.extend(story.sources());
        let sees_framed = self.read_statuses(story, likely)?;
        if self.all_partitions || sees_framed || story.statuses.is_empty() {
            let others = story.order_status.unread();
            self.read_statuses(story, others)?;
        }
        story
            .statuses
            .sort_by_key(|status| (status.at.partition, status.at.offset));
        Ok(())
    }

    /// Takes the order's statuses from these partitions; says whether any record there has a key in a
    /// registry's framing.
    fn read_statuses(
        &mut self,
        story: &mut Story,
        partitions: BTreeSet<Partition>,
    ) -> Result<bool, Failure> {
        let (explainer, statuses, topic) = (
            &mut self.explainer,
            &mut story.statuses,
            &mut story.order_status,
        );
        let mut sees_framed = false;
        read(
            &self.kafka,
            &self.group,
            topic,
            partitions,
            |record, partitions| {
                let key = record.key().unwrap_or_default();
                sees_framed |= KeyForm::is_framed(key);
                if let Some(form) = KeyForm::of(key, &story.order_id) {
                    statuses.push(Status {
                        at: at(record),
                        key: form,
                        is_astray: partition_of(key, partitions) != Some(record.partition()),
                        told: explainer.tell(record)?,
                    });
                }
                Ok(())
            },
        )?;
        Ok(sees_framed)
    }

    /// Our processor writes vouchers under the order id's own bytes; whoever imports some may not.
    fn find_vouchers(&mut self, story: &mut Story) -> Result<(), Failure> {
        let mut topic = self.topic(&self.vouchers, &story.order_id)?;
        let partitions = match self.all_partitions {
            true => topic.unread(),
            false => topic.homes(&story.order_id),
        };
        let (schemas, vouchers) = (&mut self.voucher_schemas, &mut story.vouchers);
        read(
            &self.kafka,
            &self.group,
            &mut topic,
            partitions,
            |record, _| {
                let key = record.key().unwrap_or_default();
                if KeyForm::of(key, &story.order_id).is_some() {
                    vouchers.push(voucher(schemas, &OwnedRecord::of(record))?);
                }
                Ok(())
            },
        )?;
        story.vouchers_topic = topic;
        story.tell_echoes();
        Ok(())
    }
}

/// Calls `each` with every record of these partitions, and with how many the topic has.
fn read(
    kafka: &KafkaSettings,
    group: &str,
    topic: &mut Topic,
    partitions: BTreeSet<Partition>,
    mut each: impl FnMut(&FetchedRecord<'_>, i32) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let range = TopicRange::whole(kafka, &topic.name)?.only(&partitions);
    range.read(kafka, group, |record| each(record, topic.partitions))?;
    topic.read.extend(partitions);
    Ok(())
}

/// The order's dead letters of one topic, and what became of each for the group that wrote it.
fn find_letters(dead_letter_topic: &DeadLetterTopic, story: &mut Story) -> Result<(), Failure> {
    let mut states = dead_letter_topic.states()?;
    dead_letter_topic.each(|letter| {
        let Ok(letter) = letter else {
            return Ok(());
        };
        // Of every letter, see `States::find`: another order's may have had the same place.
        let owner = owner_of(&letter, dead_letter_topic.owner());
        let state = states.find(&letter, &owner).cloned();
        let key = letter.original.key.as_deref().unwrap_or_default();
        if KeyForm::of(key, &story.order_id).is_some() {
            story.letters.push((letter, state));
        }
        Ok(())
    })
}

fn gap(what: &str, why: &Failure) -> Gap {
    Gap {
        what: what.to_owned(),
        why: why.to_string(),
    }
}

/// A record of the vouchers, read as the sink reads it.
fn voucher(
    schemas: &mut SchemaCache<VoucherPlan>,
    record: &OwnedRecord,
) -> Result<VoucherRecord, Failure> {
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

/// An order's story is told for every group: what became of another group's letter is that group's
/// to say.
fn owner_of(letter: &DeadLetter, asking: &Owner) -> Owner {
    match &letter.group {
        Some(group) if *group != asking.group => Owner {
            group: group.clone(),
            campaign: None,
        },
        _ => asking.clone(),
    }
}

fn at(record: &impl InputRecord) -> At {
    At {
        partition: record.partition(),
        offset: record.offset(),
        written: record
            .timestamp_millis()
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
