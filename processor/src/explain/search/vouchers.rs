//! Searches the vouchers of an order: at the positions that its rows name, or from the time at which it
//! was sent according to the ingress.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use runtime::dead_letter::Origin;
use runtime::lifecycle::Failure;
use runtime::record::{InputRecord as _, OwnedRecord};
use runtime::registry::SchemaCache;
use runtime::value;
use schemas::{KeyForm, Voucher, VoucherPlan};

use super::reading::read;
use super::{Search, at};
use crate::batch::headers;
use crate::explain::anchor::{Anchor, near};
use crate::explain::searched::{How, SearchedTopic};
use crate::explain::spans::Parts;
use crate::explain::trace::{OrderTrace, Role, VoucherFields, VoucherRecord};
use crate::rule::money;

/// When reading ends before everything is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    /// Never.
    End,
    /// When the voucher record of every row was found.
    RecordsOfRows,
}

impl Search {
    /// Finds the order's vouchers. The processor writes them under the order id's own bytes. Imported
    /// vouchers may have another form of the key.
    pub(super) fn find_vouchers(&mut self, trace: &mut OrderTrace) -> Result<(), Failure> {
        let mut topic = self.open(&self.vouchers, &trace.order_id)?;
        let found = self.search_vouchers(&mut topic, trace);
        trace.vouchers_topic = topic;
        trace.mark_echoes();
        found
    }

    fn search_vouchers(
        &mut self,
        topic: &mut SearchedTopic,
        trace: &mut OrderTrace,
    ) -> Result<(), Failure> {
        let expected = match self.reach.all_partitions {
            true => topic.all(),
            false => topic.homes(&trace.order_id),
        };
        let anchors = match self.reach.is_wide() || self.is_short(topic, &expected) {
            true => BTreeSet::new(),
            false => self.voucher_anchors(topic, trace)?,
        };
        if anchors.is_empty() {
            let parts = self.unguided(topic, &expected);
            return self.read_vouchers(topic, trace, &parts, Until::End);
        }
        let parts = near(&topic.held, &anchors, self.reach.nearby);
        self.read_vouchers(topic, trace, &parts, Until::End)?;
        // A row proves that a record was written, but it is neither at the row's position nor near the
        // order's times.
        if trace.lacks_record_of_row() {
            let parts = self.unguided(topic, &expected);
            self.read_vouchers(topic, trace, &parts, Until::RecordsOfRows)?;
        }
        Ok(())
    }

    /// Returns the known positions of the order's vouchers; empty if none is known.
    fn voucher_anchors(
        &self,
        topic: &mut SearchedTopic,
        trace: &OrderTrace,
    ) -> Result<BTreeSet<Anchor>, Failure> {
        // Records before that of the row do not matter: the row was made from the first one.
        let of_rows: BTreeSet<_> = trace
            .row_positions()
            .into_iter()
            .filter(|(partition, offset)| topic.holds(*partition, *offset))
            .map(|(partition, offset)| Anchor::From(partition, offset))
            .collect();
        if !of_rows.is_empty() {
            topic.how.insert(How::Row);
            return Ok(of_rows);
        }
        let Some(ingress) = &trace.ingress else {
            return Ok(BTreeSet::new());
        };
        topic.how.insert(How::Times);
        // A voucher is written after the order status that earned it.
        let earliest = ingress.sent_at.unwrap_or(ingress.created_at);
        let starts = self.starts(topic, &[earliest])?;
        Ok(starts
            .into_iter()
            .map(|offset| Anchor::From(topic.home, offset))
            .collect())
    }

    fn read_vouchers(
        &mut self,
        topic: &mut SearchedTopic,
        trace: &mut OrderTrace,
        parts: &Parts,
        until: Until,
    ) -> Result<(), Failure> {
        let Self {
            kafka,
            group,
            voucher_schemas,
            ..
        } = self;
        let (name, named) = (topic.name.clone(), trace.row_positions());
        read(kafka, group, topic, parts, |record, _| {
            let key = record.key().unwrap_or_default();
            let position = (record.partition(), record.offset());
            if KeyForm::of(key, &trace.order_id).is_some() {
                let found = voucher(voucher_schemas, &OwnedRecord::of(record))?;
                trace.vouchers.push(found);
                if until == Until::RecordsOfRows && !trace.lacks_record_of_row() {
                    return Ok(ControlFlow::Break(()));
                }
            } else if named.contains(&position) {
                trace.replaced.insert(Origin {
                    topic: name.clone(),
                    partition: position.0,
                    offset: position.1,
                });
            }
            Ok(ControlFlow::Continue(()))
        })
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

fn fields_of(voucher: Voucher<'_>) -> VoucherFields {
    VoucherFields {
        campaign: voucher.campaign.into_owned(),
        amount: money(voucher.amount, voucher.currency),
        issued_at: voucher.issued_at.to_string(),
        expires_at: voucher.expires_at.map(|at| at.to_string()),
        code: voucher.code.into_owned(),
    }
}
