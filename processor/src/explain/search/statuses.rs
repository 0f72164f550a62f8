//! Searches the statuses of an order: at the positions that its vouchers and dead letters name, and from
//! the times at which the ingress changed it.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use runtime::dead_letter::Origin;
use runtime::kafka::partition_of;
use runtime::lifecycle::Failure;
use runtime::record::{InputRecord as _, Offset, Partition};
use schemas::KeyForm;

use super::reading::read;
use super::{Search, at};
use crate::explain::anchor::{Anchor, near, newest};
use crate::explain::searched::{How, SearchedTopic};
use crate::explain::spans::Parts;
use crate::explain::trace::{OrderTrace, StatusRecord};

impl Search {
    /// Finds the order's statuses.
    pub(super) fn find_statuses(&mut self, trace: &mut OrderTrace) -> Result<(), Failure> {
        let sources = trace.sources(&self.order_status);
        let mut topic = std::mem::take(&mut trace.order_status);
        // Records may have been written, and have become vouchers, since the topic was opened.
        if sources
            .iter()
            .any(|(partition, offset)| topic.is_behind(*partition, *offset))
        {
            topic = self.open(&self.order_status, &trace.order_id)?;
        }
        let found = self.search_statuses(&mut topic, trace, &sources);
        trace.order_status = topic;
        trace
            .statuses
            .sort_by_key(|status| (status.at.partition, status.at.offset));
        found
    }

    fn search_statuses(
        &mut self,
        topic: &mut SearchedTopic,
        trace: &mut OrderTrace,
        sources: &BTreeSet<(Partition, Offset)>,
    ) -> Result<(), Failure> {
        let mut likely = topic.homes(&trace.order_id);
        likely.extend(sources.iter().map(|(partition, _)| *partition));
        likely.retain(|partition| topic.held.contains_key(partition));
        let is_short = self.is_short(topic, &likely);
        if !self.reach.is_wide() && !is_short && self.read_near(topic, trace, sources)? {
            return Ok(());
        }
        self.read_whole(topic, trace, sources, &likely)
    }

    /// Reads near the known positions and times. Returns whether that is enough. It is not if none is
    /// known, or if no status is found and a known position belongs to a topic that was replaced.
    fn read_near(
        &mut self,
        topic: &mut SearchedTopic,
        trace: &mut OrderTrace,
        sources: &BTreeSet<(Partition, Offset)>,
    ) -> Result<bool, Failure> {
        let mut anchors = BTreeSet::new();
        for (how, named) in [
            (How::Voucher, trace.voucher_sources(&topic.name)),
            (How::DeadLetter, trace.dead_letter_sources(&topic.name)),
        ] {
            for (partition, offset) in named {
                if topic.holds(partition, offset) {
                    topic.how.insert(how);
                    anchors.insert(Anchor::At(partition, offset));
                }
            }
        }
        let mut last_change = None;
        if let Some(ingress) = &trace.ingress {
            topic.how.insert(How::Times);
            let starts = self.starts(topic, &ingress.changes())?;
            last_change = starts.last().map(|start| (ingress.version, *start));
            anchors.extend(starts.into_iter().map(|at| Anchor::From(topic.home, at)));
        }
        if anchors.is_empty() {
            return Ok(false);
        }
        let parts = near(&topic.held, &anchors, self.reach.nearby);
        self.read_statuses(topic, trace, sources, &parts, |_| false)?;
        // The relay publishes every change of the ingress, possibly late: the record of the newest change
        // is after the change's time, unless it is not published yet.
        if let Some((version, start)) = last_change
            && !trace.has_version(version)
        {
            let behind = topic.rest_behind(topic.home, start);
            let parts = match self.reach.no_scan {
                true => newest(behind, self.reach.nearby),
                false => behind,
            };
            let is_found = |trace: &OrderTrace| trace.has_version(version);
            self.read_statuses(topic, trace, sources, &parts, is_found)?;
        }
        let is_replaced = |(partition, offset): &(Partition, Offset)| {
            topic.is_behind(*partition, *offset)
                || trace.replaced.contains(&Origin {
                    topic: topic.name.clone(),
                    partition: *partition,
                    offset: *offset,
                })
        };
        Ok(!trace.statuses.is_empty() || !sources.iter().any(is_replaced))
    }

    /// Reads the partitions in which the order is likely to be. Reads all others too when nothing was
    /// found, or when a key in a registry's framing was found: the partition of such a key depends on
    /// a schema id. With `--no-scan` that is done only in a short topic.
    fn read_whole(
        &mut self,
        topic: &mut SearchedTopic,
        trace: &mut OrderTrace,
        sources: &BTreeSet<(Partition, Offset)>,
        likely: &BTreeSet<Partition>,
    ) -> Result<(), Failure> {
        let parts = self.unguided(topic, likely);
        let sees_framed = self.read_statuses(topic, trace, sources, &parts, |_| false)?;
        let may_be_elsewhere = sees_framed || trace.statuses.is_empty();
        if self.reach.reads_all(topic, may_be_elsewhere) {
            let parts = topic.rest(&topic.all());
            self.read_statuses(topic, trace, sources, &parts, |_| false)?;
        }
        Ok(())
    }

    /// Reads the order's statuses from these parts, until `is_enough`. Returns whether any record has
    /// a key in a registry's framing.
    fn read_statuses(
        &mut self,
        topic: &mut SearchedTopic,
        trace: &mut OrderTrace,
        sources: &BTreeSet<(Partition, Offset)>,
        parts: &Parts,
        is_enough: impl Fn(&OrderTrace) -> bool,
    ) -> Result<bool, Failure> {
        let Self {
            kafka,
            group,
            explainer,
            ..
        } = self;
        let name = topic.name.clone();
        let mut sees_framed = false;
        read(kafka, group, topic, parts, |record, partitions| {
            let key = record.key().unwrap_or_default();
            let position = (record.partition(), record.offset());
            sees_framed |= KeyForm::is_framed(key);
            if let Some(form) = KeyForm::of(key, &trace.order_id) {
                trace.statuses.push(StatusRecord {
                    at: at(record),
                    key: form,
                    is_misplaced: partition_of(key, partitions) != Some(record.partition()),
                    explanation: explainer.explain(record)?,
                });
                if is_enough(&*trace) {
                    return Ok(ControlFlow::Break(()));
                }
            } else if sources.contains(&position) {
                trace.replaced.insert(Origin {
                    topic: name.clone(),
                    partition: position.0,
                    offset: position.1,
                });
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(sees_framed)
    }
}
