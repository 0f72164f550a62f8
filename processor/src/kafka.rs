//! The ports over librdkafka: thin, because what is in here the simulator does not see.

use std::sync::Arc;
use std::time::Duration;

use runtime::kafka::rdkafka::ClientConfig;
use runtime::kafka::{
    AssignmentChange, CommitError, FetchedRecord, Finisher, GroupOffsets, KafkaSettings, Outgoing,
    Polled, Producers, Reach, Refused, Subscription, TransactionError, Unfinished,
};
use runtime::lifecycle::Failure;
use runtime::record::Positions;

use crate::batch::Topics;
use crate::ports::Log;
use crate::task::Guarantee;

/// How long a record may wait for room in the producer's queue.
const ROOM: Duration = Duration::from_secs(5);

/// A task's clients.
pub struct KafkaLog {
    settings: KafkaSettings,
    consumer_config: ClientConfig,
    producer_configs: Vec<ClientConfig>,
    /// None without transactions.
    reach: Option<Reach>,
    topic: String,
    subscription: Subscription,
    producers: Producers,
    /// From the first backlog on.
    finisher: Option<Finisher>,
}

impl KafkaLog {
    /// Joins the group. `transactional_id` begins the names of both producers' ids. `member` is this task's stable name: a restart within the session timeout
    /// takes its partitions back without a rebalance.
    ///
    /// # Errors
    /// Exit code 2 for settings that can't work.
    pub fn new(
        settings: &KafkaSettings,
        topics: &Topics,
        group: &str,
        member: &str,
        guarantee: Guarantee,
        transactional_id: &str,
    ) -> Result<Self, Failure> {
        let mut consumer_config = settings.consumer(group)?;
        consumer_config.set("group.instance.id", member);
        let producer_configs = match guarantee {
            Guarantee::ExactlyOnce => vec![
                settings.transactional_producer(transactional_id)?,
                settings.transactional_producer(&format!("{transactional_id}/turn"))?,
            ],
            Guarantee::AtLeastOnce => vec![settings.producer()?],
        };
        let reach = (guarantee == Guarantee::ExactlyOnce).then(|| Reach {
            group: group.to_owned(),
            source: topics.source.clone(),
            topics: vec![topics.vouchers.clone(), topics.dead_letters.clone()],
        });
        Ok(Self {
            subscription: Subscription::join(&consumer_config, &topics.source)?,
            producers: producers(settings, &producer_configs, reach.as_ref())?,
            finisher: None,
            settings: settings.clone(),
            consumer_config,
            producer_configs,
            reach,
            topic: topics.source.clone(),
        })
    }
}

impl KafkaLog {
    /// With the generation of now, not one that was kept: after a rebalance that would be refused.
    fn group_offsets(&self, positions: &Positions) -> Result<GroupOffsets, TransactionError> {
        let offsets = self
            .subscription
            .list(positions)
            .map_err(|error| TransactionError::Fatal(error.to_string()))?;
        let group = self.subscription.group_metadata().ok_or_else(|| {
            TransactionError::Abortable("this consumer is in no group".to_owned())
        })?;
        Ok(GroupOffsets { offsets, group })
    }
}

fn producers(
    settings: &KafkaSettings,
    configs: &[ClientConfig],
    reach: Option<&Reach>,
) -> Result<Producers, Failure> {
    let producers = Producers::new(configs)?;
    match reach {
        Some(reach) => producers.aborting_leftovers(settings, reach.clone()),
        None => Ok(producers),
    }
}

impl Log for KafkaLog {
    type Record<'a> = FetchedRecord<'a>;

    fn open_producer(&mut self) -> Result<(), Failure> {
        self.finisher = None;
        self.producers = producers(&self.settings, &self.producer_configs, self.reach.as_ref())?;
        Ok(())
    }

    fn open_consumer(&mut self) -> Result<(), Failure> {
        self.subscription = Subscription::join(&self.consumer_config, &self.topic)?;
        Ok(())
    }

    fn init(&mut self, timeout: Duration) -> Result<(), TransactionError> {
        self.producers.init(timeout)
    }

    fn poll(&mut self, timeout: Duration) -> Polled<Self::Record<'_>> {
        self.subscription.poll(timeout)
    }

    fn take_changes(&mut self) -> Vec<AssignmentChange> {
        self.subscription.take_changes()
    }

    fn keep_alive(&mut self, time: Duration) {
        self.subscription.keep_alive(time);
    }

    fn rewind(&mut self, timeout: Duration) -> Result<(), String> {
        self.subscription
            .rewind(timeout)
            .map(|_| ())
            .map_err(|error| error.to_string())
    }

    fn positions(&mut self) -> Positions {
        self.subscription.positions()
    }

    fn commit_offsets(&mut self, positions: &Positions) -> Result<(), CommitError> {
        self.subscription.commit(positions)
    }

    fn begin(&mut self) -> Result<(), TransactionError> {
        self.producers.begin()
    }

    fn send(&mut self, record: &Outgoing<'_>) -> Result<(), TransactionError> {
        self.producers.current().send(record, ROOM)
    }

    fn drain(&mut self, timeout: Duration) -> Result<(), TransactionError> {
        self.producers.current().drain(timeout)
    }

    fn take_refused(&mut self) -> Vec<Refused> {
        self.producers.current().take_refused()
    }

    fn send_offsets(
        &mut self,
        positions: &Positions,
        timeout: Duration,
    ) -> Result<(), TransactionError> {
        let GroupOffsets { offsets, group } = self.group_offsets(positions)?;
        self.producers
            .current()
            .send_offsets(&offsets, &group, timeout)
    }

    fn commit(&mut self, timeout: Duration) -> Result<(), TransactionError> {
        self.producers.current().commit(timeout)
    }

    fn abort(&mut self, timeout: Duration) -> Result<(), TransactionError> {
        self.producers.current().abort(timeout)
    }

    fn finish_beside(&mut self, positions: &Positions, timeout: Duration) -> bool {
        // Whatever is wrong is told by the call that is made instead.
        let Ok(offsets) = self.group_offsets(positions) else {
            return false;
        };
        if self.finisher.is_none() {
            self.finisher = Finisher::start();
        }
        let producer = Arc::clone(self.producers.current());
        self.finisher
            .as_ref()
            .is_some_and(|finisher| finisher.begin(producer, offsets, timeout))
    }

    fn poll_finish(&mut self, timeout: Duration) -> Option<Result<(), Unfinished>> {
        self.finisher.as_ref()?.poll(timeout)
    }

    fn poll_at_hand(&mut self) -> Polled<Self::Record<'_>> {
        self.subscription.poll_at_hand()
    }
}
