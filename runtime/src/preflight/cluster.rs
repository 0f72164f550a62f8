//! The facts about a Kafka cluster: fetched here, judged elsewhere.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::metadata::MetadataTopic;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};

use super::group::{GroupFacts, Unread};
use super::verdict::Verdict;
use crate::kafka::{First, KafkaSettings, TopicRange, first_records};
use crate::lifecycle::Failure;
use crate::record::{OwnedRecord, Partition, Positions};

const TIMEOUT: Duration = Duration::from_secs(10);

/// A cluster that does not answer its first question within this time is away.
const FIRST_ANSWER: Duration = Duration::from_secs(5);

/// Settings by name, as the brokers have them now.
pub type Config = BTreeMap<String, String>;

/// The brokers.
#[derive(Debug, Clone)]
pub struct BrokerFacts {
    /// How many there are.
    pub count: usize,
    /// The settings of one of them, or why they can't be read.
    pub config: Result<Config, String>,
}

/// A topic that exists.
#[derive(Debug, Clone)]
pub struct TopicFacts {
    /// Its name.
    pub name: String,
    /// Its partitions.
    pub partitions: Vec<PartitionFacts>,
    /// Its settings, or why they can't be read.
    pub config: Result<Config, String>,
}

/// One partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionFacts {
    /// Whether it has a leader, so that it can be written and read.
    pub has_leader: bool,
    /// On how many brokers it is.
    pub replicas: usize,
    /// How many of those are up to date.
    pub in_sync: usize,
}

/// Asks a cluster.
pub struct Cluster {
    settings: KafkaSettings,
    admin: AdminClient<DefaultClientContext>,
    client: Arc<BaseConsumer>,
}

impl Cluster {
    /// Builds the clients; does not connect yet.
    ///
    /// # Errors
    /// Exit code 2 for settings that can't work.
    pub fn new(settings: &KafkaSettings) -> Result<Self, Failure> {
        settings.check()?;
        let wrong = |error| Failure::bad_setting(format!("Kafka client: {error}"));
        let config = settings.observer()?;
        Ok(Self {
            settings: settings.clone(),
            admin: config.create().map_err(wrong)?,
            client: Arc::new(config.create().map_err(wrong)?),
        })
    }

    /// Where it was looked for.
    pub(super) fn servers(&self) -> &str {
        &self.settings.kafka_bootstrap_servers
    }

    /// The brokers, or the verdict that none of them answers.
    ///
    /// # Errors
    /// That verdict.
    pub async fn brokers(&self) -> Result<BrokerFacts, Verdict> {
        let brokers = blocking(&self.client, |client| {
            let metadata = client.fetch_metadata(None, FIRST_ANSWER)?;
            let ids = metadata.brokers().iter().map(|broker| broker.id());
            Ok(ids.collect::<Vec<_>>())
        })
        .await
        .map_err(|error| away(&self.settings, &error))?;
        let config = match brokers.first() {
            Some(id) => self.config(ResourceSpecifier::Broker(*id)).await,
            None => Err("there is none".to_owned()),
        };
        Ok(BrokerFacts {
            count: brokers.len(),
            config,
        })
    }

    /// A topic; `None` when there is none of this name.
    ///
    /// # Errors
    /// What the client says.
    pub async fn topic(&self, name: &str) -> Result<Option<TopicFacts>, String> {
        let owned = name.to_owned();
        let partitions = blocking(&self.client, move |client| {
            let metadata = client.fetch_metadata(Some(&owned), TIMEOUT)?;
            Ok(metadata.topics().first().and_then(existing))
        })
        .await?;
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
        let options = AdminOptions::new().request_timeout(Some(TIMEOUT));
        let answers = self
            .admin
            .describe_configs(&[of], &options)
            .await
            .map_err(|error| error.to_string())?;
        let resource = answers
            .into_iter()
            .next()
            .ok_or("no answer")?
            .map_err(|code| code.to_string())?;
        let entries = resource.entries.into_iter();
        Ok(entries
            .filter_map(|entry| Some((entry.name, entry.value?)))
            .collect())
    }

    /// How far a group has read a topic. Does not join the group.
    ///
    /// # Errors
    /// What the client says.
    pub async fn group(&self, group: &str, topic: &TopicFacts) -> Result<GroupFacts, String> {
        let config = self.settings.consumer(group);
        let member = client(config)?;
        let (name, partitions) = (topic.name.clone(), topic.partitions.len());
        let (settings, group) = (self.settings.clone(), group.to_owned());
        blocking(&Arc::new(member), move |member| {
            let groups = member.fetch_group_list(Some(&group), TIMEOUT)?;
            let members = groups.groups().first().map_or(0, |g| g.members().len());
            let mut asked = TopicPartitionList::new();
            for partition in 0..partition_count(partitions) {
                asked.add_partition(&name, partition);
            }
            let committed = member.committed_offsets(asked, TIMEOUT)?;
            let mut unread = Vec::new();
            for element in committed.elements() {
                let partition = element.partition();
                let (first, end) = member.fetch_watermarks(&name, partition, TIMEOUT)?;
                let committed = match element.offset() {
                    Offset::Offset(offset) => Some(offset),
                    _ => None,
                };
                unread.push(Unread {
                    partition,
                    committed,
                    first,
                    end,
                    oldest: First::End,
                });
            }
            let starts = unread.iter().filter(|unread| unread.records() > 0);
            let starts = starts
                .map(|unread| (unread.partition, unread.next()))
                .collect::<Positions>();
            let firsts = first_records(&settings, &group, &name, &starts, TIMEOUT);
            let mut firsts = match firsts {
                Ok(firsts) => firsts,
                // The same settings have made a client a moment ago.
                Err(failure) => return Err(KafkaError::ClientCreation(failure.to_string())),
            };
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
    }

    /// The newest committed records of a topic: those among the last `most` offsets of each
    /// partition.
    ///
    /// # Errors
    /// What the client says.
    pub async fn tail(&self, topic: &TopicFacts, most: usize) -> Result<Vec<OwnedRecord>, String> {
        let (settings, name) = (self.settings.clone(), topic.name.clone());
        let read = move || {
            let mut range = TopicRange::whole(&settings, &name)?;
            let most = i64::try_from(most).unwrap_or(i64::MAX);
            for span in range.spans.values_mut() {
                span.from = span.from.max(span.to.saturating_sub(most));
            }
            let mut records = Vec::new();
            range.read(&settings, "preflight", |record| {
                records.push(OwnedRecord::of(record));
                Ok(())
            })?;
            Ok(records)
        };
        tokio::task::spawn_blocking(read)
            .await
            .map_err(|error| error.to_string())?
            .map_err(|failure: Failure| failure.to_string())
    }
}

fn existing(topic: &MetadataTopic) -> Option<Vec<PartitionFacts>> {
    let unknown = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    if topic.error() == Some(unknown) {
        return None;
    }
    let partitions = topic.partitions().iter();
    Some(
        partitions
            .map(|partition| PartitionFacts {
                has_leader: partition.leader() >= 0,
                replicas: partition.replicas().len(),
                in_sync: partition.isr().len(),
            })
            .collect(),
    )
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

fn away(settings: &KafkaSettings, error: &str) -> Verdict {
    Verdict::fail(
        "Kafka",
        format!(
            "no broker answers at {}: {error}",
            settings.kafka_bootstrap_servers
        ),
        "start Kafka, or name its brokers in KAFKA_BOOTSTRAP_SERVERS (and what they ask for in \
         KAFKA_PROPERTIES)",
    )
}

/// librdkafka's questions block: they are asked on a thread that may.
async fn blocking<T: Send + 'static>(
    client: &Arc<BaseConsumer>,
    question: impl FnOnce(&BaseConsumer) -> Result<T, KafkaError> + Send + 'static,
) -> Result<T, String> {
    let client = Arc::clone(client);
    tokio::task::spawn_blocking(move || question(&client))
        .await
        .map_err(|error| error.to_string())?
        .map_err(|error| error.to_string())
}
