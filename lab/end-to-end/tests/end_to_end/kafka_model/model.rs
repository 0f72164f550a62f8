//! Plays a history on the simulator's model, with the clients that its ports use.

use std::collections::BTreeMap;
use std::time::Duration;

use runtime::kafka::{Outgoing, Polled, TRANSACTION_TIMEOUT};
use runtime::record::{InputRecord, Positions};
use simulator::clients::consumer::Consumer;
use simulator::clients::producer::{Answer, Producer};
use simulator::random::Random;
use simulator::world::World;
use simulator::world::kafka::{Broker, ORDER_STATUS, TOPICS, VOUCHERS};

use super::script::{self, Kafka, Name, Step, Topic};

/// More polls than a history needs, because the model's polls sometimes return nothing although records are
/// left.
const POLLS: usize = 100;
const A_WHILE: Duration = Duration::from_millis(10);

const fn number(topic: Topic) -> usize {
    match topic {
        Topic::Statuses => ORDER_STATUS,
        Topic::Vouchers => VOUCHERS,
    }
}

/// The model without faults.
pub(super) struct Model {
    world: World,
    producers: BTreeMap<Name, Producer>,
    members: BTreeMap<Name, Consumer>,
}

impl Model {
    pub(super) fn new() -> Self {
        Self {
            world: World::new(Random::new(1), Broker::new(1), None),
            producers: BTreeMap::new(),
            members: BTreeMap::new(),
        }
    }

    fn producer(&mut self, name: Name) -> (&mut World, &mut Producer) {
        (&mut self.world, script::known(&mut self.producers, name))
    }

    fn member(&mut self, name: Name) -> (&mut World, &mut Consumer) {
        (&mut self.world, script::known(&mut self.members, name))
    }

    fn append(&mut self, topic: Topic, key: Option<&str>, value: &str) -> Answer {
        let process = self.world.start_process();
        let mut producer = Producer::new(process, String::new());
        producer.in_transactions = false;
        send(&mut self.world, &mut producer, topic, key, value)
    }

    fn offsets(&mut self, producer: Name, member: Name, offset: i64) -> Answer {
        let producer = script::known(&mut self.producers, producer);
        let member = &self.members[member];
        let offsets = member.offsets(&self.world, &Positions::from([(0, offset)]));
        producer.send_offsets(&mut self.world, offsets, A_WHILE)
    }

    fn read(&self, topic: Topic, committed: bool) -> String {
        let log = self.world.broker.log(number(topic), 0);
        let (mut records, mut next) = (Vec::new(), 0);
        let read = |from| match committed {
            true => log.read(from),
            false => log.read_uncommitted(from),
        };
        while let Some((offset, record)) = read(next) {
            next = offset + 1;
            records.push(script::line(
                offset,
                record.key.as_deref(),
                record.value.as_deref(),
            ));
        }
        let end = if committed {
            log.stable_end()
        } else {
            log.end()
        };
        script::lines(records, next.max(end))
    }

    fn polls(&mut self, name: Name) -> String {
        let (world, member) = self.member(name);
        let mut records = Vec::new();
        for _ in 0..POLLS {
            if let Polled::Record(read) = member.poll(world, A_WHILE) {
                records.push(script::line(read.offset(), read.key(), read.value()));
            }
        }
        let position = member.positions().get(&0).copied();
        script::lines(records, position.unwrap_or(-1))
    }
}

fn send(
    world: &mut World,
    producer: &mut Producer,
    topic: Topic,
    key: Option<&str>,
    value: &str,
) -> Answer {
    let record = Outgoing {
        topic: TOPICS[number(topic)],
        key: key.map(str::as_bytes),
        value: Some(value.as_bytes()),
        headers: &[],
    };
    producer.send(world, &record)?;
    producer.drain(world, A_WHILE)
}

impl Kafka for Model {
    fn play(&mut self, step: &Step, _expected: &str) -> String {
        match *step {
            Step::Init(name, id) => {
                let process = self.world.start_process();
                self.producers
                    .insert(name, Producer::new(process, id.to_owned()));
                let (world, producer) = self.producer(name);
                script::word(producer.init(world, A_WHILE))
            }
            Step::Begin(name) => script::word(self.producer(name).1.begin()),
            Step::Send(name, topic, key, value) => {
                let (world, producer) = self.producer(name);
                script::word(send(world, producer, topic, key, value))
            }
            Step::Offsets(producer, member, offset) => {
                script::word(self.offsets(producer, member, offset))
            }
            Step::Commit(name) => {
                let (world, producer) = self.producer(name);
                script::word(producer.end(world, true, A_WHILE))
            }
            Step::Abort(name) => {
                let (world, producer) = self.producer(name);
                script::word(producer.end(world, false, A_WHILE))
            }
            Step::TimeOut => {
                let then = self.world.now + TRANSACTION_TIMEOUT + Duration::from_secs(1);
                self.world.advance(then);
                "done".to_owned()
            }
            Step::Append(topic, key, value) => script::word(self.append(topic, key, value)),
            Step::Join(name, topic, instance) => {
                let process = self.world.start_process();
                let consumer = Consumer::new(process, number(topic), instance.to_owned());
                self.members.insert(name, consumer);
                let (world, member) = self.member(name);
                match member.poll(world, A_WHILE) {
                    Polled::Fatal(why) => why,
                    Polled::Nothing | Polled::Record(_) => "done".to_owned(),
                }
            }
            Step::PollsFatal(name) => {
                let (world, member) = self.member(name);
                match member.poll(world, A_WHILE) {
                    Polled::Fatal(_) => "done".to_owned(),
                    Polled::Nothing | Polled::Record(_) => "goes on".to_owned(),
                }
            }
            Step::Polls(name) => self.polls(name),
            Step::CommitOffset(name, offset) => {
                let (world, member) = self.member(name);
                script::commit_word(member.commit(world, &Positions::from([(0, offset)])))
            }
            Step::Read(topic) => self.read(topic, true),
            Step::ReadUncommitted(topic) => self.read(topic, false),
            Step::Offset(topic) => {
                script::offset(self.world.broker.groups[number(topic)].stable_offset(0))
            }
            Step::Compact(topic) => {
                self.world.broker.log_mut(number(topic), 0).compact();
                self.read(topic, false)
            }
        }
    }
}
