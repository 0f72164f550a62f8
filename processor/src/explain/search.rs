//! Searches the topics for an order.

use std::collections::BTreeSet;

use runtime::dead_letter::{DeadLetter, DeadLetterOwner, DeadLetterTopic};
use runtime::kafka::{FetchedRecord, KafkaSettings, TopicRange, partition_of};
use runtime::lifecycle::Failure;
use runtime::record::{InputRecord, OwnedRecord, Partition};
use runtime::registry::SchemaCache;
use runtime::trace_context::{TRACEPARENT, TraceParent};
use runtime::value;
use schemas::{KeyForm, Timestamp, Voucher, VoucherPlan};

use super::trace::{
    Gap, OrderTrace, RecordPosition, Role, SearchedTopic, StatusRecord, VoucherFields,
    VoucherRecord,
};
use crate::batch::headers;
use crate::explainer::Explainer;
use crate::rule::money;

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
    pub(super) all_partitions: bool,
}

impl Search {
    /// Returns everything that the topics hold about the order. Blocks its thread.
    ///
    /// # Errors
    /// Exit code 1 when the order statuses cannot be read. Another topic that cannot be read is a
    /// gap of the trace.
    pub(super) fn run(mut self, order_id: &str) -> Result<OrderTrace, Failure> {
        let mut trace = OrderTrace {
            order_id: order_id.to_owned(),
            order_status: self.topic(&self.order_status, order_id)?,
            vouchers_topic: SearchedTopic {
                name: self.vouchers.clone(),
                ..SearchedTopic::default()
            },
            ..OrderTrace::default()
        };
        if let Err(failure) = self.find_vouchers(&mut trace) {
            trace.gaps.push(gap(&self.vouchers, &failure));
        }
        for dead_letter_topic in &self.dead_letter_topics {
            if let Err(failure) = find_dead_letters(dead_letter_topic, &mut trace) {
                trace.gaps.push(gap(&dead_letter_topic.name(), &failure));
            }
        }
        self.find_statuses(&mut trace)?;
        Ok(trace)
    }

    /// Refers to a topic, with the partition to which the order's key belongs.
    fn topic(&self, name: &str, order_id: &str) -> Result<SearchedTopic, Failure> {
        let range = TopicRange::whole(&self.kafka, name)?;
        i32::try_from(range.spans.len())
            .ok()
            .and_then(|partitions| SearchedTopic::new(name, partitions, order_id))
            .ok_or_else(|| Failure::failed(format!("{name} has no partitions")))
    }

    /// Reads the partitions to which the key belongs in any of its forms, and those that the
    /// order's vouchers and dead letters came from. Reads all others too when nothing was found, or
    /// when a key in a registry's framing was found: the partition of such a key depends on a
    /// schema id.
    fn find_statuses(&mut self, trace: &mut OrderTrace) -> Result<(), Failure> {
        let mut likely = trace.order_status.homes(&trace.order_id);
        likely.extend(trace.sources());
        let sees_framed = self.read_statuses(trace, likely)?;
        if self.all_partitions || sees_framed || trace.statuses.is_empty() {
            let others = trace.order_status.unread();
            self.read_statuses(trace, others)?;
        }
        trace
            .statuses
            .sort_by_key(|status| (status.at.partition, status.at.offset));
        Ok(())
    }

    /// Reads the order's statuses from these partitions. Returns whether any record has a key in a
    /// registry's framing.
    fn read_statuses(
        &mut self,
        trace: &mut OrderTrace,
        partitions: BTreeSet<Partition>,
    ) -> Result<bool, Failure> {
        let (explainer, statuses, topic) = (
            &mut self.explainer,
            &mut trace.statuses,
            &mut trace.order_status,
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
                if let Some(form) = KeyForm::of(key, &trace.order_id) {
                    statuses.push(StatusRecord {
                        at: at(record),
                        key: form,
                        is_misplaced: partition_of(key, partitions) != Some(record.partition()),
                        explanation: explainer.explain(record)?,
                    });
                }
                Ok(())
            },
        )?;
        Ok(sees_framed)
    }

    /// The processor writes vouchers under the order id's own bytes. Imported vouchers may have
    /// another form of the key.
    fn find_vouchers(&mut self, trace: &mut OrderTrace) -> Result<(), Failure> {
        let mut topic = self.topic(&self.vouchers, &trace.order_id)?;
        let partitions = match self.all_partitions {
            true => topic.unread(),
            false => topic.homes(&trace.order_id),
        };
        let (schemas, vouchers) = (&mut self.voucher_schemas, &mut trace.vouchers);
        read(
            &self.kafka,
            &self.group,
            &mut topic,
            partitions,
            |record, _| {
                let key = record.key().unwrap_or_default();
                if KeyForm::of(key, &trace.order_id).is_some() {
                    vouchers.push(voucher(schemas, &OwnedRecord::of(record))?);
                }
                Ok(())
            },
        )?;
        trace.vouchers_topic = topic;
        trace.mark_echoes();
        Ok(())
    }
}

/// Calls `each` with every record of these partitions and the number of partitions of the topic.
fn read(
    kafka: &KafkaSettings,
    group: &str,
    topic: &mut SearchedTopic,
    partitions: BTreeSet<Partition>,
    mut each: impl FnMut(&FetchedRecord<'_>, i32) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let range = TopicRange::whole(kafka, &topic.name)?.only(&partitions);
    range.read(kafka, group, |record| each(record, topic.partitions))?;
    topic.read.extend(partitions);
    Ok(())
}

/// Finds the order's dead letters in one topic, and how the group that wrote each resolved it.
fn find_dead_letters(
    dead_letter_topic: &DeadLetterTopic,
    trace: &mut OrderTrace,
) -> Result<(), Failure> {
    let mut states = dead_letter_topic.states()?;
    dead_letter_topic.for_each(|dead_letter| {
        let Ok(dead_letter) = dead_letter else {
            return Ok(());
        };
        // `DeadLetterStates::find` has to see every dead letter: that of another order may have had
        // the same origin.
        let owner = owner_of(&dead_letter, dead_letter_topic.owner());
        let state = states.find(&dead_letter, &owner).cloned();
        let key = dead_letter.original.key.as_deref().unwrap_or_default();
        if KeyForm::of(key, &trace.order_id).is_some() {
            trace.dead_letters.push((dead_letter, state));
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

/// Reads a record of the vouchers as the sink does.
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
    let decoded = value::decode(record, schemas, |bytes, format| {
        Voucher::read(record.key(), bytes, format).map(fields_of)
    });
    let voucher = match decoded.settled()? {
        Ok(Some(fields)) => Ok(fields),
        Ok(None) => Err("the value is null: it deletes no voucher".to_owned()),
        Err(malformed) => Err(malformed.message().to_owned()),
    };
    Ok(VoucherRecord {
        at: at(record),
        source: source(),
        run: text(headers::SOURCE_RUN),
        voucher,
        role: Role::default(),
    })
}

/// Returns whose state of the dead letter is shown. The trace covers all groups: a dead letter of
/// another group is resolved by that group.
fn owner_of(dead_letter: &DeadLetter, own: &DeadLetterOwner) -> DeadLetterOwner {
    match &dead_letter.group {
        Some(group) if *group != own.group => DeadLetterOwner {
            group: group.clone(),
            campaign: None,
        },
        _ => own.clone(),
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

fn fields_of(voucher: Voucher<'_>) -> VoucherFields {
    VoucherFields {
        campaign: voucher.campaign.into_owned(),
        amount: money(voucher.amount, voucher.currency),
        issued_at: voucher.issued_at.to_string(),
        expires_at: voucher.expires_at.map(|at| at.to_string()),
        code: voucher.code.into_owned(),
    }
}
