//! Requests for the group's committed offsets that do not block the loop.
//!
//! A coordinator may take seconds to answer: it is far away, throttled or restarting. The client gives
//! no answer at all while an open transaction holds back one of the offsets. So a request runs on a
//! thread of its own, and its answer counts only for partitions that are still assigned as they were
//! when it was sent.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};

use super::limits::{COMMITTED_OFFSETS_TIMEOUT, MAX_OPEN_REQUESTS, REQUEST_SINGLY_AFTER};
use super::rebalance::Assignment;
use crate::kafka::background_call::BackgroundCall;
use crate::kafka::partition_list;
use crate::record::Partition;

/// The committed offset of each partition, or why the coordinator did not return it.
pub(super) type OffsetResults = Vec<(Partition, KafkaResult<Offset>)>;

/// Requests the committed offsets of these partitions. A partition without one starts at its
/// beginning.
pub(super) fn request<C: ConsumerContext + 'static>(
    client: &Arc<BaseConsumer<C>>,
    topic: &str,
    partitions: impl IntoIterator<Item = Partition>,
) -> BackgroundCall<OffsetResults> {
    let client = Arc::clone(client);
    let list = partition_list(
        topic,
        partitions.into_iter().map(|one| (one, Offset::Invalid)),
    );
    BackgroundCall::start(move || {
        let committed = client.committed_offsets(list?, COMMITTED_OFFSETS_TIMEOUT)?;
        let elements = committed.elements();
        let offsets = elements.iter().map(|element| {
            let offset = element.error().map(|()| or_beginning(element.offset()));
            (element.partition(), offset)
        });
        Ok(offsets.collect())
    })
}

/// Returns the committed offset, or the beginning: the client returns an invalid offset for a partition
/// of which nothing is committed.
const fn or_beginning(offset: Offset) -> Offset {
    match offset {
        Offset::Offset(offset) => Offset::Offset(offset),
        _ => Offset::Beginning,
    }
}

/// A request that has no answer yet.
struct OpenRequest {
    sent: Instant,
    partitions: BTreeMap<Partition, Assignment>,
    call: BackgroundCall<OffsetResults>,
}

impl OpenRequest {
    fn covers(&self, partition: Partition, assignment: Assignment) -> bool {
        self.partitions.get(&partition) == Some(&assignment)
    }
}

/// What the coordinator returned since the last call of [`OffsetRequests::take_answers`].
#[derive(Default)]
pub(super) struct CommittedOffsets {
    /// Offsets, with the assignment that each was requested for.
    pub(super) offsets: Vec<(Partition, Assignment, Offset)>,
    /// The last error.
    pub(super) error: Option<KafkaError>,
}

/// The requests that have no answer yet, the newest first.
#[derive(Default)]
pub(super) struct OffsetRequests {
    open: Vec<OpenRequest>,
}

impl OffsetRequests {
    /// Sends one request for all partitions of `wanted` that no open request covers. When there are
    /// none, sends a request of its own for each partition whose answer is late. Returns whether
    /// anything was sent.
    pub(super) fn send<C: ConsumerContext + 'static>(
        &mut self,
        client: &Arc<BaseConsumer<C>>,
        topic: &str,
        wanted: &BTreeMap<Partition, Assignment>,
    ) -> bool {
        let now = Instant::now();
        let uncovered = self.uncovered(wanted);
        let requests = if uncovered.is_empty() {
            self.late(wanted, now)
        } else {
            vec![uncovered]
        };
        for partitions in &requests {
            let request = OpenRequest {
                sent: now,
                partitions: partitions.clone(),
                call: request(client, topic, partitions.keys().copied()),
            };
            self.open.insert(0, request);
        }
        !requests.is_empty()
    }

    fn uncovered(
        &self,
        wanted: &BTreeMap<Partition, Assignment>,
    ) -> BTreeMap<Partition, Assignment> {
        let mut uncovered = wanted.clone();
        uncovered.retain(|partition, assignment| {
            let mut open = self.open.iter();
            !open.any(|request| request.covers(*partition, *assignment))
        });
        uncovered
    }

    /// Returns the partitions whose answer is late, each for a request of its own: only requests for
    /// several partitions cover them, and one of these is old.
    fn late(
        &self,
        wanted: &BTreeMap<Partition, Assignment>,
        now: Instant,
    ) -> Vec<BTreeMap<Partition, Assignment>> {
        let is_late = |partition, assignment| {
            let open = self.open.iter();
            let mut covering = open.filter(|request| request.covers(partition, assignment));
            let is_old = |request: &OpenRequest| {
                now.saturating_duration_since(request.sent) >= REQUEST_SINGLY_AFTER
            };
            covering.clone().all(|request| request.partitions.len() > 1) && covering.any(is_old)
        };
        wanted
            .iter()
            .filter(|(partition, assignment)| is_late(**partition, **assignment))
            .map(|(partition, assignment)| BTreeMap::from([(*partition, *assignment)]))
            .take(MAX_OPEN_REQUESTS.saturating_sub(self.open.len()))
            .collect()
    }

    /// Takes the answers that have come. Waits up to `timeout` for the answer to the newest request.
    pub(super) fn take_answers(&mut self, mut timeout: Duration) -> CommittedOffsets {
        let mut answers = CommittedOffsets::default();
        self.open.retain(|request| {
            // Only the first request, which is the newest, is waited for.
            let answer = request.call.answer(std::mem::take(&mut timeout));
            if let Some(answer) = answer {
                answers.add(request, answer);
                return false;
            }
            true
        });
        answers
    }
}

impl CommittedOffsets {
    fn add(&mut self, request: &OpenRequest, answer: KafkaResult<OffsetResults>) {
        let results = match answer {
            Ok(results) => results,
            Err(error) => {
                self.error = Some(error);
                return;
            }
        };
        for (partition, offset) in results {
            match (offset, request.partitions.get(&partition)) {
                (Ok(offset), Some(assignment)) => {
                    self.offsets.push((partition, *assignment, offset));
                }
                (Err(error), _) => self.error = Some(error),
                (Ok(_), None) => {}
            }
        }
    }
}
