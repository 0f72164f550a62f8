//! Apache Kafka: one or more KRaft nodes, each broker and controller in one process.

mod distribution;
mod node;
mod readiness;
pub(crate) mod tools;

use std::path::Path;

use anyhow::{Context, Result, bail};
use futures::future::try_join_all;
use rustix::process::Signal;

use super::directory::Directory;
use super::options::Options;
use super::origin::Origin;
use crate::process::{Backend, Program};
use node::Node;

pub(crate) use distribution::Distribution;

/// The running brokers.
#[derive(Debug)]
pub(super) struct Kafka {
    /// At least one.
    pub(super) brokers: Vec<Backend>,
    /// `host:port` of each broker, separated by commas.
    pub(super) bootstrap_servers: String,
    /// Their ports are reserved as long as the brokers run.
    _nodes: Vec<Node>,
}

impl Kafka {
    /// Starts the brokers, or waits for the user's own Kafka.
    pub(super) async fn start(
        origin: &Origin<Distribution>,
        directory: &Directory,
        options: &Options,
    ) -> Result<Self> {
        let step = options.progress.step("Kafka");
        let kafka = match origin {
            Origin::Given(servers) => {
                let asked = servers.clone();
                let is_ready = move || readiness::answers(asked.clone());
                Self {
                    brokers: vec![Backend::new("Kafka", None, is_ready)],
                    bootstrap_servers: servers.clone(),
                    _nodes: Vec::new(),
                }
            }
            Origin::Installed(distribution) => {
                let nodes = node::reserve(options.brokers, options.ports.kafka)?;
                Self {
                    brokers: prepare(distribution, directory, &nodes, options).await?,
                    bootstrap_servers: node::bootstrap_servers(&nodes),
                    _nodes: nodes,
                }
            }
        };
        // All at once: a cluster is ready when most of its controllers are.
        try_join_all(kafka.brokers.iter().map(Backend::start)).await?;
        step.done(&format!("Kafka            {}", kafka.bootstrap_servers));
        Ok(kafka)
    }
}

/// Prepares the brokers of a cluster, with their data below `directory/kafka`.
async fn prepare(
    distribution: &Distribution,
    directory: &Directory,
    nodes: &[Node],
    options: &Options,
) -> Result<Vec<Backend>> {
    let folder = directory.path().join("kafka");
    let kept = formatted_nodes(&folder)?;
    if kept != 0 && kept != nodes.len() {
        bail!(
            "{} has the data of {kept} brokers: start as many again, or omit --keep for a clean \
             start",
            folder.display()
        );
    }
    let heap = match nodes {
        [_] => "-Xmx512m",
        _ => "-Xmx384m",
    };
    let cluster = node::cluster_id();
    let prepared = nodes.iter().map(async |node| {
        // Only the first one has them: an address is listened on once.
        let listeners = match node.id {
            1 => options.listeners.as_slice(),
            _ => &[],
        };
        let folder = folder.join(node.id.to_string());
        std::fs::create_dir_all(&folder)?;
        let (data, more) = (folder.join("data"), &options.broker_settings);
        let settings = folder.join("server.properties");
        std::fs::write(
            &settings,
            node::properties(node, nodes, &data, listeners, more),
        )
        .with_context(|| format!("{} cannot be written", settings.display()))?;
        if kept == 0 {
            distribution.format(&settings, &cluster).await?;
        }
        let (name, log) = match nodes {
            [_] => ("Kafka".to_owned(), "kafka".to_owned()),
            _ => (
                format!("Kafka's broker {}", node.id),
                format!("kafka-{}", node.id),
            ),
        };
        let distribution = distribution.clone();
        let program = Program {
            command: Box::new(move || distribution.broker(&settings, heap)),
            stop: Signal::TERM,
            log: directory.log(&log),
        };
        let (address, id) = (node.broker.address(), node.id.into());
        let is_ready = move || readiness::is_in_sync(address.clone(), id);
        Ok(Backend::new(name, Some(program), is_ready))
    });
    try_join_all(prepared).await
}

/// Counts the nodes whose data a folder has.
fn formatted_nodes(folder: &Path) -> Result<usize> {
    let nodes = match std::fs::read_dir(folder) {
        Ok(nodes) => nodes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(error) => {
            return Err(error).with_context(|| format!("{} cannot be read", folder.display()));
        }
    };
    Ok(nodes
        .flatten()
        .filter(|node| node.path().join("data/meta.properties").is_file())
        .count())
}
