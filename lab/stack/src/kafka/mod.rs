//! A real Apache Kafka: one or more KRaft nodes, each broker and controller in one process.

mod node;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::Engine;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::metadata::Metadata;
use rdkafka::{Offset, TopicPartitionList};
use rustix::process::Signal;

use crate::backend::{Backend, Ready};
use crate::child::Child;
use crate::download::Cache;
use crate::java::{self, Duty};
use crate::prerequisites::Java;

pub(crate) use node::{Node, bootstrap_servers, reserve};

/// Kafka's jars and the Java that runs them.
#[derive(Clone, Debug)]
pub(crate) struct Distribution {
    java: Java,
    classpath: String,
    archive: PathBuf,
}

impl Distribution {
    /// From the cache; downloaded first when it isn't there.
    pub(crate) async fn get(cache: &Cache) -> Result<Self> {
        let java = Java::find()?;
        let jars = cache.kafka().await?;
        let mut files: Vec<String> = std::fs::read_dir(&jars)
            .with_context(|| format!("{} can't be read", jars.display()))?
            .flatten()
            .map(|entry| entry.path().to_string_lossy().into_owned())
            .filter(|file| file.ends_with(".jar"))
            .collect();
        // An archive of classes belongs to one class path, to the byte.
        files.sort();
        let archive = java::archive(jars.parent().unwrap_or(&jars), &java);
        Ok(Self {
            java,
            classpath: files.join(":"),
            archive,
        })
    }

    /// Whether the archive of loaded classes is still to be written.
    pub(crate) fn wants_archive(&self) -> bool {
        !self.archive.is_file()
    }

    /// `java ... CLASS`, for Kafka's own tools: quiet, logs to stderr.
    pub(crate) fn tool(&self, class: &str) -> Command {
        let mut command = java::command(&self.java, "-Xmx256m", Duty::Brief, &self.archive);
        command.arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=error");
        command.args(["-cp", &self.classpath, class]);
        command
    }

    fn broker(&self, settings: &Path, heap: &str) -> Command {
        let mut command = java::command(&self.java, heap, Duty::Load, &self.archive);
        self.run_broker(&mut command, settings);
        command
    }

    fn run_broker(&self, command: &mut Command, settings: &Path) {
        command.args([
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=info",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
            "-cp",
            &self.classpath,
            "kafka.Kafka",
        ]);
        command.arg(settings);
    }
}

/// One more address that the broker listens on, for tests of who gets in.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Its name in the broker's settings, upper case.
    pub name: &'static str,
    /// SASL_PLAINTEXT, SSL or SASL_SSL; how is said in the broker's settings.
    pub protocol: &'static str,
    /// Host and port.
    pub address: String,
}

/// The brokers of a cluster with their data below `directory/kafka`; not started yet.
pub(crate) async fn prepare(
    distribution: &Distribution,
    directory: &Path,
    nodes: &[Node],
    listeners: &[Listener],
    more: &[(String, String)],
) -> Result<Vec<Backend>> {
    let folder = directory.join("kafka");
    let kept = formatted(&folder)?;
    if kept != 0 && kept != nodes.len() {
        bail!(
            "{} has the data of {kept} brokers: start as many again, or leave --keep out for a \
             clean start",
            folder.display()
        );
    }
    let heap = if nodes.len() > 1 {
        "-Xmx384m"
    } else {
        "-Xmx512m"
    };
    let cluster = cluster_id();
    let prepared = nodes.iter().map(async |node| {
        // The first one alone, so that a name and an address is listened on once.
        let listeners = if node.id == 1 { listeners } else { &[] };
        let folder = folder.join(node.id.to_string());
        let data = folder.join("data");
        std::fs::create_dir_all(&folder)?;
        let settings = folder.join("server.properties");
        std::fs::write(
            &settings,
            node::properties(node, nodes, &data, listeners, more),
        )
        .with_context(|| format!("{} can't be written", settings.display()))?;
        if kept == 0 {
            format(distribution, &settings, &cluster).await?;
        }
        let (name, log) = match nodes {
            [_] => ("Kafka".to_owned(), "kafka.log".to_owned()),
            _ => (
                format!("Kafka's broker {}", node.id),
                format!("kafka-{}.log", node.id),
            ),
        };
        let runs = distribution.clone();
        Ok(Backend::new(
            name,
            directory.join("logs").join(log),
            Ready::Broker {
                address: node.broker.address(),
                id: node.id.into(),
            },
            Signal::TERM,
            move || runs.broker(&settings, heap),
        ))
    });
    futures::future::try_join_all(prepared).await
}

/// How many brokers' data a folder has.
fn formatted(folder: &Path) -> Result<usize> {
    let nodes = match std::fs::read_dir(folder) {
        Ok(nodes) => nodes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(error) => {
            return Err(error).with_context(|| format!("{} can't be read", folder.display()));
        }
    };
    Ok(nodes
        .flatten()
        .filter(|node| node.path().join("data/meta.properties").is_file())
        .count())
}

fn cluster_id() -> String {
    let id: [u8; 16] = rand::random();
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(id)
}

async fn format(distribution: &Distribution, settings: &Path, cluster: &str) -> Result<()> {
    let mut command = distribution.tool("kafka.tools.StorageTool");
    // An id that begins with a dash is taken for an option.
    command
        .arg("format")
        .arg(format!("--cluster-id={cluster}"))
        .arg("--config")
        .arg(settings);
    let output = crate::tool::output(command, &[]).await?;
    if !output.status.success() {
        bail!(
            "Kafka's storage could not be prepared: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

/// Runs a broker once, so that the next ones start from an archive of the classes that it loaded.
pub(crate) async fn write_archive(distribution: &Distribution, scratch: &Path) -> Result<()> {
    let nodes = reserve(1, None)?;
    let [node] = nodes.as_slice() else {
        bail!("one broker was asked for");
    };
    let settings = scratch.join("server.properties");
    std::fs::create_dir_all(scratch)?;
    std::fs::write(
        &settings,
        node::properties(node, &nodes, &scratch.join("data"), &[], &[]),
    )?;
    format(distribution, &settings, &cluster_id()).await?;
    let mut command = java::command(
        &distribution.java,
        "-Xmx512m",
        Duty::Load,
        &distribution.archive,
    );
    java::write_archive_at_exit(&mut command, &distribution.archive);
    distribution.run_broker(&mut command, &settings);
    command
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    let child = Child::spawn(command).await?;
    let deadline = Duration::from_secs(60);
    let answers = async {
        while answers(&node.broker.address()).await.is_err() && child.exit_status().is_none() {
            crate::download::pause().await;
        }
    };
    tokio::time::timeout(deadline, answers).await?;
    child.signal(Signal::TERM)?;
    child
        .wait_for(deadline)
        .await?
        .context("the broker didn't stop")?;
    Ok(())
}

/// Whether Kafka answers and its group coordinator works.
pub(crate) async fn answers(servers: &str) -> Result<()> {
    ask(servers, |_| Ok(())).await
}

/// Whether this broker answers, has a working group coordinator in its cluster, and is in sync in
/// every partition of which it has a replica.
pub(crate) async fn is_in_sync(address: &str, id: i32) -> Result<()> {
    ask(address, move |metadata| {
        if metadata.brokers().iter().all(|broker| broker.id() != id) {
            bail!("broker {id} has not registered yet");
        }
        let behind = metadata
            .topics()
            .iter()
            .flat_map(|topic| topic.partitions())
            .filter(|partition| {
                partition.replicas().contains(&id) && !partition.isr().contains(&id)
            })
            .count();
        if behind > 0 {
            bail!("broker {id} is not in sync in {behind} partitions yet");
        }
        Ok(())
    })
    .await
}

async fn ask(
    servers: &str,
    judge: impl FnOnce(&Metadata) -> Result<()> + Send + 'static,
) -> Result<()> {
    let servers = servers.to_owned();
    tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", servers)
            .set("group.id", "stack-ready")
            .set("log_level", "0")
            // A broker that is starting refuses connections: the next try comes soon.
            .set("reconnect.backoff.ms", "20")
            .set("reconnect.backoff.max.ms", "50")
            .create()?;
        let metadata = consumer.fetch_metadata(None, Duration::from_secs(2))?;
        if metadata.brokers().is_empty() {
            bail!("no broker has registered yet");
        }
        judge(&metadata)?;
        // Asks the group's coordinator, which makes the broker create its offsets topic.
        let mut asked = TopicPartitionList::new();
        asked.add_partition_offset("stack-ready", 0, Offset::Invalid)?;
        consumer.committed_offsets(asked, Duration::from_secs(10))?;
        Ok(())
    })
    .await?
}
