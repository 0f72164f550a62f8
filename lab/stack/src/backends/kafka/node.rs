//! The nodes of the cluster: how many, where they listen, and their `server.properties`.

use std::path::Path;

use anyhow::{Context, Result, bail};
use base64::Engine;

use crate::backends::options::Listener;
use crate::process::Port;

/// One node: a broker and a controller in one process.
#[derive(Debug)]
pub(super) struct Node {
    /// From 1 on.
    pub(super) id: u8,
    pub(super) broker: Port,
    pub(super) controller: Port,
}

/// Reserves the ports of a cluster: `first` and those after it for the brokers, or free ones.
///
/// # Errors
/// When the cluster has no broker, or a port is in use.
pub(super) fn reserve(brokers: u8, first: Option<u16>) -> Result<Vec<Node>> {
    if brokers == 0 {
        bail!("Kafka needs at least one broker");
    }
    (1..=brokers)
        .map(|id| {
            let number = first
                .map(|first| {
                    first
                        .checked_add(u16::from(id) - 1)
                        .with_context(|| format!("there are no {brokers} ports from {first} on"))
                })
                .transpose()?;
            Ok(Node {
                id,
                broker: Port::fixed_or_free(number)?,
                controller: Port::free()?,
            })
        })
        .collect()
}

/// Returns `host:port` of all brokers.
pub(super) fn bootstrap_servers(nodes: &[Node]) -> String {
    let addresses: Vec<_> = nodes.iter().map(|node| node.broker.address()).collect();
    addresses.join(",")
}

/// Returns a random id of a cluster.
pub(super) fn cluster_id() -> String {
    let id: [u8; 16] = rand::random();
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(id)
}

/// Returns the `server.properties` of one of the `nodes`; those in `more` come last and win.
pub(super) fn properties(
    node: &Node,
    nodes: &[Node],
    data: &Path,
    listeners: &[Listener],
    more: &[(String, String)],
) -> String {
    let broker = node.broker.address();
    let controller = node.controller.address();
    let voters: Vec<_> = nodes
        .iter()
        .map(|node| format!("{}@{}", node.id, node.controller.address()))
        .collect();
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
         node.id={}\n\
         listeners=PLAINTEXT://{broker},CONTROLLER://{controller}{more_addresses}\n\
         advertised.listeners=PLAINTEXT://{broker}{more_addresses}\n\
         controller.listener.names=CONTROLLER\n\
         controller.quorum.voters={}\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT{more_protocols}\n\
         inter.broker.listener.name=PLAINTEXT\n\
         log.dirs={}\n",
        node.id,
        voters.join(","),
        data.display()
    );
    for name in REPLICATION_FACTORS {
        text.push_str(&format!("{name}={}\n", replicas(nodes.len())));
    }
    for name in MIN_IN_SYNC_REPLICAS {
        text.push_str(&format!("{name}={}\n", min_in_sync(nodes.len())));
    }
    let several = if nodes.len() > 1 { SEVERAL } else { ALONE };
    for (name, value) in several.iter().chain(SETTINGS) {
        text.push_str(&format!("{name}={value}\n"));
    }
    for (name, value) in more {
        text.push_str(&format!("{name}={value}\n"));
    }
    text
}

/// Returns the replication factor: the number of brokers, and at most the usual three.
fn replicas(brokers: usize) -> usize {
    brokers.min(3)
}

/// Lets one broker fail.
fn min_in_sync(brokers: usize) -> usize {
    replicas(brokers).saturating_sub(1).max(1)
}

/// Our topics use the broker's defaults; the internal ones have settings of their own.
const REPLICATION_FACTORS: &[&str] = &[
    "default.replication.factor",
    "offsets.topic.replication.factor",
    "transaction.state.log.replication.factor",
    "share.coordinator.state.topic.replication.factor",
];
const MIN_IN_SYNC_REPLICAS: &[&str] = &[
    "min.insync.replicas",
    "transaction.state.log.min.isr",
    "share.coordinator.state.topic.min.isr",
];

/// As near to the defaults as a quick start allows.
const SETTINGS: &[(&str, &str)] = &[
    ("auto.create.topics.enable", "false"),
    ("share.coordinator.state.topic.num.partitions", "1"),
    // The first member of a group doesn't wait three seconds for others.
    ("group.initial.rebalance.delay.ms", "0"),
    // A transaction whose owner died is aborted within a second of its timeout, not within ten.
    (
        "transaction.abort.timed.out.transaction.cleanup.interval.ms",
        "1000",
    ),
    ("broker.heartbeat.interval.ms", "500"),
    // A lone broker that restarts leads the offsets' partitions twice in half a second, and Kafka
    // 4.3 must have loaded them before the second time (docs/reliability-history.md): kept short.
    ("offsets.topic.segment.bytes", "1048576"),
    ("log.roll.ms", "60000"),
    ("log.cleaner.delete.retention.ms", "30000"),
    // Two cores are enough for everything here.
    ("num.network.threads", "2"),
    ("num.io.threads", "4"),
];

const ALONE: &[(&str, &str)] = &[
    ("offsets.topic.num.partitions", "4"),
    ("transaction.state.log.num.partitions", "4"),
    // After a SIGKILL the new process cannot register before the old one's session has ended, by
    // default after nine seconds.
    ("broker.session.timeout.ms", "3000"),
];

const SEVERAL: &[(&str, &str)] = &[
    // Each of three brokers leads the same number.
    ("offsets.topic.num.partitions", "6"),
    ("transaction.state.log.num.partitions", "6"),
    // Leaders move when the session of a broker ends. Shorter than the nine seconds of the default,
    // and long enough that a busy machine doesn't move them all the time.
    ("broker.session.timeout.ms", "6000"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(brokers: u8) -> String {
        let nodes = reserve(brokers, None).unwrap();
        properties(&nodes[0], &nodes, Path::new("/data"), &[], &[])
    }

    fn value<'a>(settings: &'a str, name: &str) -> Vec<&'a str> {
        settings
            .lines()
            .filter_map(|line| line.strip_prefix(name)?.strip_prefix('='))
            .collect()
    }

    #[test]
    fn three_brokers_replicate_everything_and_one_of_them_may_be_away() {
        let three = settings(3);
        for name in REPLICATION_FACTORS {
            assert_eq!(value(&three, name), ["3"], "{name}");
        }
        for name in MIN_IN_SYNC_REPLICAS {
            assert_eq!(value(&three, name), ["2"], "{name}");
        }
        let voters = value(&three, "controller.quorum.voters")[0];
        assert_eq!(voters.split(',').count(), 3, "{voters}");
    }

    #[test]
    fn a_lone_broker_replicates_nothing() {
        let one = settings(1);
        for name in REPLICATION_FACTORS.iter().chain(MIN_IN_SYNC_REPLICAS) {
            assert_eq!(value(&one, name), ["1"], "{name}");
        }
        assert!(reserve(0, None).is_err());
    }

    #[test]
    fn a_given_port_is_the_first_of_the_brokers() {
        // The port after a free one may be taken: then another pair is.
        let (number, nodes) = (0..20)
            .find_map(|_| {
                let free = Port::free().unwrap();
                let number = free.number();
                drop(free);
                Some((number, reserve(2, Some(number)).ok()?))
            })
            .unwrap();
        assert_eq!(
            bootstrap_servers(&nodes),
            format!("127.0.0.1:{number},127.0.0.1:{}", number + 1)
        );
    }
}
