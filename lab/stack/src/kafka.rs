//! A real Apache Kafka: one KRaft node, broker and controller in one process.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::Engine;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use rustix::process::Signal;

use crate::backend::{Backend, Ready};
use crate::child::Child;
use crate::download::Cache;
use crate::java::{self, Duty};
use crate::ports::Port;
use crate::prerequisites::Java;

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

    fn broker(&self, settings: &Path) -> Command {
        let mut command = java::command(&self.java, "-Xmx512m", Duty::Load, &self.archive);
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

/// A broker on `port` with its data and log below `directory`; not started yet.
pub(crate) async fn prepare(
    distribution: &Distribution,
    directory: &Path,
    log: PathBuf,
    port: &Port,
    controller: &Port,
    listeners: &[Listener],
    more: &[(String, String)],
) -> Result<Backend> {
    let data = directory.join("data");
    std::fs::create_dir_all(directory)?;
    let settings = directory.join("server.properties");
    std::fs::write(
        &settings,
        properties(&data, port, controller, listeners, more),
    )
    .with_context(|| format!("{} can't be written", settings.display()))?;
    if !data.join("meta.properties").is_file() {
        format(distribution, &settings).await?;
    }
    let runs = distribution.clone();
    Ok(Backend::new(
        "Kafka",
        log,
        Ready::Kafka(port.address()),
        Signal::TERM,
        move || runs.broker(&settings),
    ))
}

fn properties(
    data: &Path,
    port: &Port,
    controller: &Port,
    listeners: &[Listener],
    more: &[(String, String)],
) -> String {
    let broker = port.address();
    let controller = controller.address();
    let (mut more_addresses, mut more_protocols) = (String::new(), String::new());
    for Listener {
        name,
        protocol,
        address,
    } in listeners
    {
        more_addresses.push_str(&format!(",{name}://{address}"));
        more_protocols.push_str(&format!(",{name}:{protocol}"));
    }
    let mut text = format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         listeners=PLAINTEXT://{broker},CONTROLLER://{controller}{more_addresses}\n\
         advertised.listeners=PLAINTEXT://{broker}{more_addresses}\n\
         controller.listener.names=CONTROLLER\n\
         controller.quorum.voters=1@{controller}\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT{more_protocols}\n\
         inter.broker.listener.name=PLAINTEXT\n\
         log.dirs={}\n",
        data.display()
    );
    for (name, value) in SETTINGS {
        text.push_str(&format!("{name}={value}\n"));
    }
    for (name, value) in more {
        text.push_str(&format!("{name}={value}\n"));
    }
    text
}

/// One node, so nothing can be replicated; everything else as near to the defaults as a quick
/// start allows.
const SETTINGS: &[(&str, &str)] = &[
    ("auto.create.topics.enable", "false"),
    ("default.replication.factor", "1"),
    ("min.insync.replicas", "1"),
    ("offsets.topic.replication.factor", "1"),
    ("offsets.topic.num.partitions", "4"),
    ("transaction.state.log.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
    ("transaction.state.log.num.partitions", "4"),
    ("share.coordinator.state.topic.replication.factor", "1"),
    ("share.coordinator.state.topic.min.isr", "1"),
    ("share.coordinator.state.topic.num.partitions", "1"),
    // The first member of a group doesn't wait three seconds for others.
    ("group.initial.rebalance.delay.ms", "0"),
    // A transaction whose owner died is aborted within a second of its timeout, not within ten.
    (
        "transaction.abort.timed.out.transaction.cleanup.interval.ms",
        "1000",
    ),
    // After a SIGKILL the new process may register once the old one's session has ended, which by
    // default takes nine seconds.
    ("broker.session.timeout.ms", "3000"),
    ("broker.heartbeat.interval.ms", "500"),
    // A lone broker that restarts leads the offsets' partitions twice in half a second, and Kafka
    // 4.3 must have loaded them before the second time (docs/reliability.md): kept short.
    ("offsets.topic.segment.bytes", "1048576"),
    ("log.roll.ms", "60000"),
    ("log.cleaner.delete.retention.ms", "30000"),
    // Two cores are enough for everything here.
    ("num.network.threads", "2"),
    ("num.io.threads", "4"),
];

async fn format(distribution: &Distribution, settings: &Path) -> Result<()> {
    let id: [u8; 16] = rand::random();
    let id = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(id);
    let mut command = distribution.tool("kafka.tools.StorageTool");
    // An id that begins with a dash is taken for an option.
    command
        .arg("format")
        .arg(format!("--cluster-id={id}"))
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
    let (port, controller) = (Port::free()?, Port::free()?);
    let settings = scratch.join("server.properties");
    std::fs::create_dir_all(scratch)?;
    std::fs::write(
        &settings,
        properties(&scratch.join("data"), &port, &controller, &[], &[]),
    )?;
    format(distribution, &settings).await?;
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
        while answers(&port.address()).await.is_err() && child.exit_status().is_none() {
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

/// Whether a broker answers and its group coordinator works.
pub(crate) async fn answers(servers: &str) -> Result<()> {
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
        // Asks the group's coordinator, which makes the broker create its offsets topic.
        let mut asked = TopicPartitionList::new();
        asked.add_partition_offset("stack-ready", 0, Offset::Invalid)?;
        consumer.committed_offsets(asked, Duration::from_secs(10))?;
        Ok(())
    })
    .await?
}
