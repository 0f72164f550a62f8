//! The facts about a Kafka cluster. They are judged in the other files.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};

use super::check_result::CheckResult;
use super::connection::LastFailure;
use super::group::{GroupFacts, Unread};
use crate::backoff::Backoff;
use crate::duration::human_duration;
use crate::kafka::{
    FirstRecord, KafkaSettings, RangeEvent, RangeReader, Right, TopicRange, committed_offsets,
    first_records, is_refusal,
};
use crate::lifecycle::Failure;
use crate::record::{InputRecord as _, OwnedRecord, Partition, Positions};

const TIMEOUT: Duration = Duration::from_secs(10);

/// How long a group's coordinator may take to return its offsets.
const OFFSETS: Duration = TIMEOUT;

/// How long the partitions of a topic that was just created may be without a leader.
const LEADER_ELECTION: Duration = Duration::from_secs(5);

/// A cluster that does not answer the first request within this time is unavailable.
const FIRST_ANSWER: Duration = Duration::from_secs(5);

/// The newest offsets of each partition that are read, and bounds for all of them: a person waits
/// for the check, and the records may be large.
const TAIL_OFFSETS: i64 = 100;
const TAIL_TIME: Duration = Duration::from_secs(10);
const TAIL_BYTES: usize = 32 * 1024 * 1024;

/// Settings by name, as the brokers have them now.
pub(super) type Config = BTreeMap<String, String>;

/// The brokers.
#[derive(Debug, Clone)]
pub(super) struct BrokerFacts {
    /// Their number.
    pub(super) count: usize,
    /// The settings of one of them, or why they cannot be read.
    pub(super) config: Result<Config, String>,
}

/// A topic that exists.
#[derive(Debug, Clone)]
pub struct TopicFacts {
    /// Its name.
    pub name: String,
    /// Its partitions.
    pub partitions: Vec<PartitionFacts>,
    /// Its settings, or why they cannot be read.
    pub config: Result<Config, String>,
}

/// One partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionFacts {
    /// Whether it has a leader; without one it cannot be written or read.
    pub has_leader: bool,
    /// The number of brokers that have it.
    pub replicas: usize,
    /// The number of those that are up to date.
    pub in_sync: usize,
}

/// Requests facts from a cluster.
pub(super) struct Cluster {
    settings: KafkaSettings,
    admin: AdminClient<DefaultClientContext>,
    client: Arc<BaseConsumer<LastFailure>>,
}

impl Cluster {
    /// Builds the clients; does not connect yet.
    ///
    /// # Errors
    /// Exit code 2 for settings that cannot work.
    pub(super) fn new(settings: &KafkaSettings) -> Result<Self, Failure> {
        settings.check()?;
        let wrong = |error| Failure::bad_setting(format!("Kafka client: {error}"));
        let config = settings.observer()?;
        Ok(Self {
            settings: settings.clone(),
            admin: config.create().map_err(wrong)?,
            client: Arc::new(
                config
                    .create_with_context(LastFailure::default())
                    .map_err(wrong)?,
            ),
        })
    }

    pub(super) const fn settings(&self) -> &KafkaSettings {
        &self.settings
    }

    /// Returns the brokers.
    ///
    /// # Errors
    /// The result that none of them answers.
    pub(super) async fn brokers(&self) -> Result<BrokerFacts, CheckResult> {
        let brokers = request(&self.client, |client| {
            let metadata = client.fetch_metadata(None, FIRST_ANSWER)?;
            let ids = metadata.brokers().iter().map(|broker| broker.id());
            Ok(ids.collect::<Vec<_>>())
        })
        .await
        .map_err(|error| match error {
            Unanswered::Refused(_) => {
                unreachable(&self.settings, "this user may not list the brokers")
            }
            Unanswered::Other(why) => {
                let cause = self.client.context().take_cause();
                unreachable(&self.settings, &cause.unwrap_or(why))
            }
        })?;
        let config = match brokers.first() {
            Some(id) => self.config(ResourceSpecifier::Broker(*id)).await,
            None => Err("the cluster reports no broker".to_owned()),
        };
        Ok(BrokerFacts {
            count: brokers.len(),
            config,
        })
    }

    /// Returns a topic, or `None` when it does not exist.
    ///
    /// # Errors
    /// The result that the request was refused or failed.
    pub(super) async fn topic(&self, name: &str) -> Result<Option<TopicFacts>, CheckResult> {
        let owned = name.to_owned();
        let partitions = request(&self.client, move |client| {
            let metadata = client.fetch_metadata(Some(&owned), TIMEOUT)?;
            metadata.topics().first().map_or(Ok(None), existing)
        })
        .await
        .map_err(|error| self.no_answer(Right::describe_topic(name), &error))?;
        let Some(partitions) = partitions else {
            return Ok(None);
        };
        Ok(Some(TopicFacts {
            name: name.to_owned(),
            partitions,
            config: self.config(ResourceSpecifier::Topic(name)).await,
        }))
    }

    async fn config(&self, of: ResourceSpecifier<'_>) -> Result<Config, String> {
        config_of(&self.admin, of).await
    }

    /// Returns how far a group has read a topic. Does not join the group.
    ///
    /// # Errors
    /// The result that the request was refused or failed.
    pub(super) async fn group(
        &self,
        group: &str,
        topic: &TopicFacts,
    ) -> Result<GroupFacts, CheckResult> {
        let right = Right::describe_group(group);
        let config = self.settings.consumer(group);
        let member =
            client(config).map_err(|why| self.no_answer(right, &Unanswered::Other(why)))?;
        let (name, partitions) = (topic.name.clone(), topic.partitions.len());
        let (settings, group) = (self.settings.clone(), group.to_owned());
        request(&Arc::new(member), move |member| {
            let groups = member.fetch_group_list(Some(&group), TIMEOUT)?;
            let members = groups.groups().first().map_or(0, |g| g.members().len());
            let mut wanted = TopicPartitionList::new();
            for partition in 0..partition_count(partitions) {
                wanted.add_partition(&name, partition);
            }
            let committed = committed_offsets(member, wanted, OFFSETS)?;
            let mut unread = Vec::new();
            for element in committed.elements() {
                let partition = element.partition();
                let (first, end) = log_range(member, &name, partition)?;
                let committed = match element.offset() {
                    Offset::Offset(offset) => Some(offset),
                    _ => None,
                };
                unread.push(Unread {
                    partition,
                    committed,
                    first,
                    end,
                    oldest: FirstRecord::End,
                });
            }
            let starts = unread.iter().filter(|unread| unread.offsets() > 0);
            let starts = starts
                .map(|unread| (unread.partition, unread.next()))
                .collect::<Positions>();
            let firsts = first_records(&settings, &group, &name, &starts, TIMEOUT);
            let mut firsts = match firsts {
                Ok(firsts) => firsts,
                // The same settings have built a client a moment ago.
                Err(failure) => return Err(KafkaError::ClientCreation(failure.to_string())),
            };
            if firsts.values().any(FirstRecord::is_refused) {
                let refusal = RDKafkaErrorCode::TopicAuthorizationFailed;
                return Err(KafkaError::MessageConsumption(refusal));
            }
            for unread in &mut unread {
                if let Some(first) = firsts.remove(&unread.partition) {
                    unread.oldest = first;
                }
            }
            Ok(GroupFacts {
                group,
                topic: name,
                members,
                unread,
            })
        })
        .await
        .map_err(|error| match error {
            Unanswered::Refused(RDKafkaErrorCode::TopicAuthorizationFailed) => {
                self.no_answer(Right::read_topic(&topic.name), &error)
            }
            _ => self.no_answer(right, &error),
        })
    }

    /// Returns the result of a request that needs `right` and was not answered.
    fn no_answer(&self, right: Right<'_>, error: &Unanswered) -> CheckResult {
        let subject = right.resource_in_words();
        match error {
            Unanswered::Refused(_) => {
                let (finding, advice) = self.settings.refusal_and_advice(right);
                CheckResult::fail(subject, finding, advice)
            }
            Unanswered::Other(why) => CheckResult::fail(
                subject,
                format!("request to Kafka failed: {why}"),
                "check the logs of the brokers",
            ),
        }
    }

    /// Returns the newest committed records of a topic: those among the last `TAIL_OFFSETS` offsets of
    /// each partition, as many as arrive within `TAIL_TIME` and `TAIL_BYTES`.
    ///
    /// # Errors
    /// The client's error, or that there are records and none arrived in time.
    pub(super) async fn tail(&self, topic: &TopicFacts) -> Result<Vec<OwnedRecord>, String> {
        let (settings, name) = (self.settings.clone(), topic.name.clone());
        let read = move || {
            let mut range = TopicRange::whole(&settings, &name)?;
            for span in range.spans.values_mut() {
                span.from = span.from.max(span.to.saturating_sub(TAIL_OFFSETS));
            }
            newest_of(&settings, &range)
        };
        tokio::task::spawn_blocking(read)
            .await
            .map_err(|error| error.to_string())?
            .map_err(|failure: Failure| failure.to_string())
    }
}

/// Returns the settings of a topic or a broker.
///
/// # Errors
/// Why the brokers did not return them.
pub(super) async fn config_of<C: ClientContext>(
    admin: &AdminClient<C>,
    of: ResourceSpecifier<'_>,
) -> Result<Config, String> {
    let options = AdminOptions::new().request_timeout(Some(TIMEOUT));
    let answers = admin
        .describe_configs(&[of], &options)
        .await
        .map_err(|error| error.to_string())?;
    let resource = answers
        .into_iter()
        .next()
        .ok_or("no answer")?
        .map_err(|code| code.to_string())?;
    // rdkafka drops the error of the resource; every topic and broker has settings.
    if resource.entries.is_empty() {
        return Err("the brokers refused the request (DescribeConfigs)".to_owned());
    }
    let entries = resource.entries.into_iter();
    Ok(entries
        .filter_map(|entry| Some((entry.name, entry.value?)))
        .collect())
}

fn newest_of(settings: &KafkaSettings, range: &TopicRange) -> Result<Vec<OwnedRecord>, Failure> {
    let mut reader = RangeReader::open(settings, "preflight", range)?;
    let deadline = Instant::now() + TAIL_TIME;
    let (mut records, mut bytes) = (Vec::new(), 0);
    while bytes < TAIL_BYTES {
        match reader.next(Duration::from_millis(100))? {
            RangeEvent::Record(record) => {
                bytes += record.value().map_or(0, <[u8]>::len);
                records.push(OwnedRecord::of(&record));
            }
            RangeEvent::Done => break,
            RangeEvent::Nothing if Instant::now() >= deadline && records.is_empty() => {
                return Err(Failure::failed(format!(
                    "none of the newest records arrived within {}",
                    human_duration(TAIL_TIME)
                )));
            }
            RangeEvent::Nothing | RangeEvent::PartitionDone(_) => {}
        }
        if Instant::now() >= deadline {
            break;
        }
    }
    Ok(records)
}

fn existing(topic: &MetadataTopic) -> Result<Option<Vec<PartitionFacts>>, KafkaError> {
    match topic.error() {
        Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) => return Ok(None),
        Some(error @ RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED) => {
            return Err(KafkaError::MetadataFetch(error.into()));
        }
        // An error of some partitions, whose leaders and replicas are checked.
        Some(_) | None => {}
    }
    let partitions = topic.partitions().iter();
    Ok(Some(
        partitions
            .map(|partition| PartitionFacts {
                has_leader: partition.leader() >= 0,
                replicas: partition.replicas().len(),
                in_sync: partition.isr().len(),
            })
            .collect(),
    ))
}

fn partition_count(partitions: usize) -> Partition {
    Partition::try_from(partitions).unwrap_or(Partition::MAX)
}

fn client(config: Result<rdkafka::ClientConfig, Failure>) -> Result<BaseConsumer, String> {
    config
        .map_err(|failure| failure.to_string())?
        .create()
        .map_err(|error| error.to_string())
}

fn unreachable(settings: &KafkaSettings, error: &str) -> CheckResult {
    CheckResult::fail(
        "Kafka",
        format!(
            "cannot connect to Kafka at {}: {error}",
            settings.kafka_bootstrap_servers
        ),
        "start Kafka, or correct KAFKA_BOOTSTRAP_SERVERS; TLS and authentication are set in \
         KAFKA_PROPERTIES",
    )
}

/// Why a request was not answered.
enum Unanswered {
    /// This user may not make it.
    Refused(RDKafkaErrorCode),
    /// The client's error.
    Other(String),
}

/// Returns the first offset of a partition's log, and the offset after its last committed record. Asks
/// again while the partition has no leader, as one that `check --fix` has just created. Blocks its thread.
fn log_range<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    topic: &str,
    partition: Partition,
) -> Result<(i64, i64), KafkaError> {
    let give_up = Instant::now() + LEADER_ELECTION;
    let mut backoff = Backoff::outside();
    loop {
        match client.fetch_watermarks(topic, partition, TIMEOUT) {
            Err(error) if is_leader_missing(&error) && Instant::now() < give_up => {
                std::thread::sleep(backoff.next_pause());
            }
            answer => return answer,
        }
    }
}

fn is_leader_missing(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::LeaderNotAvailable
                | RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownPartition
        )
    )
}

/// Makes a request on a thread that may block, as librdkafka's requests do.
async fn request<T: Send + 'static, C: ConsumerContext + 'static>(
    client: &Arc<BaseConsumer<C>>,
    call: impl FnOnce(&BaseConsumer<C>) -> Result<T, KafkaError> + Send + 'static,
) -> Result<T, Unanswered> {
    let client = Arc::clone(client);
    match tokio::task::spawn_blocking(move || call(&client)).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(match error.rdkafka_error_code() {
            Some(code) if is_refusal(&error) => Unanswered::Refused(code),
            _ => Unanswered::Other(error.to_string()),
        }),
        Err(error) => Err(Unanswered::Other(error.to_string())),
    }
}
