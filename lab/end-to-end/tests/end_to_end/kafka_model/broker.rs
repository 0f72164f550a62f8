//! Plays a history on a real Kafka, with the clients that the services use.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use end_to_end::wait::DEADLINE;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerGroupMetadata};
use rdkafka::error::KafkaError;
use rdkafka::error::RDKafkaErrorCode::OperationTimedOut;
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};
use runtime::kafka::{
    GroupConsumer as _, GroupOffsets, KafkaSettings, Outgoing, Polled, Producer, Subscription,
};
use runtime::record::{InputRecord, Positions};

use super::script::{self, Kafka, Name, Step, Topic};

const SLICE: Duration = Duration::from_millis(100);

/// Longer than any request takes whose answer no transaction holds back.
const ANSWER: Duration = Duration::from_secs(3);

struct Member {
    subscription: Subscription,
    /// The group's metadata as of the join, which a paused process would still believe.
    known: Arc<ConsumerGroupMetadata>,
    fatal: bool,
}

/// A real broker, with topics for one history.
pub(super) struct RealBroker {
    settings: KafkaSettings,
    transaction: Duration,
    name: String,
    producers: BTreeMap<Name, Producer>,
    members: BTreeMap<Name, Member>,
}

impl RealBroker {
    /// Creates the topics of a history. `transaction` is the transaction timeout.
    pub(super) async fn open(brokers: &str, transaction: Duration) -> Result<Self> {
        let one = Self {
            settings: KafkaSettings {
                kafka_bootstrap_servers: brokers.to_owned(),
                kafka_properties: None,
                kafka_properties_file: None,
            },
            transaction,
            name: format!("{:012x}", rand::random::<u64>() >> 16),
            producers: BTreeMap::new(),
            members: BTreeMap::new(),
        };
        let admin: AdminClient<DefaultClientContext> = one.client().create()?;
        let (statuses, vouchers) = (one.topic(Topic::Statuses), one.topic(Topic::Vouchers));
        // One segment for each record, because the cleaner does not compact the active segment.
        let statuses = NewTopic::new(&statuses, 1, TopicReplication::Fixed(1))
            .set("cleanup.policy", "compact")
            .set("segment.ms", "1")
            .set("min.cleanable.dirty.ratio", "0");
        let vouchers = NewTopic::new(&vouchers, 1, TopicReplication::Fixed(1));
        for created in admin
            .create_topics([&statuses, &vouchers], &AdminOptions::new())
            .await?
        {
            created.map_err(|(topic, code)| anyhow!("{topic}: {code}"))?;
        }
        Ok(one)
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.settings.kafka_bootstrap_servers);
        config
    }

    fn topic(&self, topic: Topic) -> String {
        format!("{topic:?}-{}", self.name).to_lowercase()
    }

    fn group(&self, topic: Topic) -> String {
        format!("group-{}", self.topic(topic))
    }

    fn init(&mut self, name: Name, id: &str) -> Result<String> {
        let id = format!("{}/{id}", self.name);
        let mut config = self.settings.transactional_producer(&id)?;
        // The settings accept only a shorter timeout from users, so it is set here.
        for timeout in ["transaction.timeout.ms", "message.timeout.ms"] {
            config.set(timeout, self.transaction.as_millis().to_string());
        }
        let producer = Producer::new(&config)?;
        let answer = producer.init(DEADLINE);
        self.producers.insert(name, producer);
        Ok(script::word(answer))
    }

    fn send(
        &self,
        producer: &Producer,
        topic: Topic,
        key: Option<&str>,
        value: &str,
    ) -> Result<String> {
        let topic = self.topic(topic);
        let record = Outgoing {
            topic: &topic,
            key: key.map(str::as_bytes),
            value: Some(value.as_bytes()),
            headers: &[],
        };
        let sent = producer.send(&record, DEADLINE);
        Ok(script::word(sent.and_then(|()| producer.drain(DEADLINE))))
    }

    /// Joins a group, and polls all members, as services do, until the new one has its assignment, which
    /// may be empty.
    fn join(&mut self, name: Name, topic: Topic, instance: &str) -> Result<String> {
        let mut config = self.settings.consumer(&self.group(topic))?;
        config.set("group.instance.id", instance);
        let mut new = Subscription::join(&config, &self.topic(topic))?;
        let end = Instant::now() + DEADLINE;
        while new.take_changes().is_empty() {
            if Instant::now() > end {
                bail!("{name} is assigned nothing");
            }
            new.keep_alive(SLICE);
            for member in self.members.values_mut() {
                member.fatal |= matches!(member.subscription.poll(SLICE), Polled::Fatal(_));
            }
        }
        let member = Member {
            known: Arc::new(new.group_metadata().context("no group")?),
            subscription: new,
            fatal: false,
        };
        self.members.insert(name, member);
        Ok("done".to_owned())
    }

    fn polls_fatal(&mut self, name: Name) -> String {
        let member = script::known(&mut self.members, name);
        let end = Instant::now() + DEADLINE;
        while !member.fatal && Instant::now() < end {
            member.fatal = matches!(member.subscription.poll(SLICE), Polled::Fatal(_));
        }
        (if member.fatal { "done" } else { "goes on" }).to_owned()
    }

    fn polls(&mut self, name: Name, expected: &str) -> String {
        let subscription = &mut script::known(&mut self.members, name).subscription;
        let mut records = Vec::new();
        eventually(expected, || {
            if let Polled::Record(read) = subscription.poll(SLICE) {
                records.push(script::line(read.offset(), read.key(), read.value()));
            }
            let position = subscription.positions().get(&0).copied();
            Ok(script::lines(records.clone(), position.unwrap_or(-1)))
        })
    }

    fn read(&self, topic: Topic, isolation: &str) -> Result<String> {
        let topic = self.topic(topic);
        let consumer: BaseConsumer = self
            .client()
            .set("group.id", "reader")
            .set("isolation.level", isolation)
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .create()?;
        let mut from_start = TopicPartitionList::new();
        from_start.add_partition_offset(&topic, 0, Offset::Beginning)?;
        consumer.assign(&from_start)?;
        let mut records = Vec::new();
        let end = Instant::now() + DEADLINE;
        while Instant::now() < end {
            match consumer.poll(SLICE) {
                None => {}
                Some(Ok(read)) => {
                    records.push(script::line(read.offset(), read.key(), read.payload()));
                }
                Some(Err(KafkaError::PartitionEOF(_))) => {
                    let position = consumer.position()?;
                    let position = position.find_partition(&topic, 0).context("no position")?;
                    // A client that has received nothing has no position yet.
                    let position = position.offset().to_raw().unwrap_or(0).max(0);
                    return Ok(script::lines(records, position));
                }
                Some(Err(error)) => return Err(error.into()),
            }
        }
        bail!("no end of {topic}")
    }

    fn offset(&self, topic: Topic) -> Result<String> {
        let consumer: BaseConsumer = self.settings.consumer(&self.group(topic))?.create()?;
        let mut asked = TopicPartitionList::new();
        asked.add_partition(&self.topic(topic), 0);
        let stable = match consumer.committed_offsets(asked, ANSWER) {
            Err(error) if error.rdkafka_error_code() == Some(OperationTimedOut) => None,
            told => match &told?.elements()[0] {
                one if one.error().is_err() => None,
                one => Some(one.offset().to_raw().map_or(0, |offset| offset.max(0))),
            },
        };
        Ok(script::offset(stable))
    }

    /// Waits until the broker has written the marker of an abort.
    fn time_out(&self) -> Result<String> {
        let observer: BaseConsumer = self.client().create()?;
        let topic = self.topic(Topic::Vouchers);
        let high = || observer.fetch_watermarks(&topic, 0, DEADLINE);
        let before = high()?.1;
        Ok(eventually("done", || {
            Ok(if high()?.1 > before { "done" } else { "open" }.to_owned())
        }))
    }

    fn try_play(&mut self, step: &Step, expected: &str) -> Result<String> {
        Ok(match *step {
            Step::Init(name, id) => self.init(name, id)?,
            Step::Begin(name) => script::word(self.producers[name].begin()),
            Step::Send(name, topic, key, value) => {
                self.send(&self.producers[name], topic, key, value)?
            }
            Step::Offsets(producer, member, offset) => {
                let member = &self.members[member];
                let offsets = member.subscription.list(&Positions::from([(0, offset)]))?;
                let producer = &self.producers[producer];
                let offsets = GroupOffsets {
                    offsets,
                    group: Arc::clone(&member.known),
                };
                script::word(producer.send_offsets(offsets, DEADLINE))
            }
            Step::Commit(name) => script::word(self.producers[name].commit(DEADLINE)),
            Step::Abort(name) => script::word(self.producers[name].abort(DEADLINE)),
            Step::TimeOut => self.time_out()?,
            Step::Append(topic, key, value) => {
                let producer = Producer::new(&self.settings.producer()?)?;
                self.send(&producer, topic, key, value)?
            }
            Step::Join(name, topic, instance) => self.join(name, topic, instance)?,
            Step::PollsFatal(name) => self.polls_fatal(name),
            Step::Polls(name) => self.polls(name, expected),
            Step::CommitOffset(name, offset) => {
                let member = &mut script::known(&mut self.members, name).subscription;
                script::commit_word(member.commit_offsets(&Positions::from([(0, offset)])))
            }
            Step::Read(topic) => eventually(expected, || self.read(topic, "read_committed")),
            Step::ReadUncommitted(topic) | Step::Compact(topic) => {
                eventually(expected, || self.read(topic, "read_uncommitted"))
            }
            Step::Offset(topic) => eventually(expected, || self.offset(topic)),
        })
    }
}

/// Calls `look` until it returns `expected` or the deadline passes; returns its last result.
fn eventually(expected: &str, mut look: impl FnMut() -> Result<String>) -> String {
    let end = Instant::now() + DEADLINE;
    loop {
        let seen = look().unwrap_or_else(|error| format!("{error:#}"));
        if seen == expected || Instant::now() > end {
            return seen;
        }
    }
}

impl Kafka for RealBroker {
    fn play(&mut self, step: &Step, expected: &str) -> String {
        self.try_play(step, expected)
            .unwrap_or_else(|error| format!("{error:#}"))
    }
}
