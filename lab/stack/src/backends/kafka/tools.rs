//! Kafka's own command line tools.

use anyhow::{Result, bail};

/// The tools by the names of Kafka's shell scripts, and their classes (Kafka 4.3).
pub const TOOLS: &[(&str, &str)] = &[
    ("kafka-acls", "org.apache.kafka.tools.AclCommand"),
    ("kafka-configs", "kafka.admin.ConfigCommand"),
    (
        "kafka-console-consumer",
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
    ),
    (
        "kafka-console-producer",
        "org.apache.kafka.tools.ConsoleProducer",
    ),
    (
        "kafka-consumer-groups",
        "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    ),
    (
        "kafka-delete-records",
        "org.apache.kafka.tools.DeleteRecordsCommand",
    ),
    ("kafka-dump-log", "org.apache.kafka.tools.DumpLogSegments"),
    ("kafka-get-offsets", "org.apache.kafka.tools.GetOffsetShell"),
    (
        "kafka-leader-election",
        "org.apache.kafka.tools.LeaderElectionCommand",
    ),
    ("kafka-log-dirs", "org.apache.kafka.tools.LogDirsCommand"),
    (
        "kafka-producer-perf-test",
        "org.apache.kafka.tools.ProducerPerformance",
    ),
    (
        "kafka-reassign-partitions",
        "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
    ),
    ("kafka-topics", "org.apache.kafka.tools.TopicCommand"),
    (
        "kafka-transactions",
        "org.apache.kafka.tools.TransactionsCommand",
    ),
];

/// Returns the class of a tool, by the name of its script.
pub(crate) fn class(name: &str) -> Result<&'static str> {
    let wanted = name.trim_end_matches(".sh");
    match TOOLS.iter().find(|(tool, _)| *tool == wanted) {
        Some((_, class)) => Ok(class),
        None => {
            let names: Vec<_> = TOOLS.iter().map(|(tool, _)| *tool).collect();
            bail!("unknown tool {name}; the tools are {}", names.join(", "))
        }
    }
}

/// Adds the brokers' address to the arguments, unless they name one or the tool works on files.
pub(crate) fn with_bootstrap_server(
    name: &str,
    arguments: &[String],
    servers: &str,
) -> Vec<String> {
    let named = arguments.iter().any(|argument| {
        let option = argument.split('=').next().unwrap_or(argument);
        matches!(
            option,
            "--bootstrap-server" | "--bootstrap-controller" | "--help" | "--version"
        )
    });
    let mut all = Vec::new();
    if !named && !name.starts_with("kafka-dump-log") {
        all.extend(["--bootstrap-server".to_owned(), servers.to_owned()]);
    }
    all.extend_from_slice(arguments);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_is_found_by_its_scripts_name() {
        assert_eq!(
            class("kafka-topics").unwrap(),
            "org.apache.kafka.tools.TopicCommand"
        );
        assert_eq!(
            class("kafka-topics.sh").unwrap(),
            "org.apache.kafka.tools.TopicCommand"
        );
        assert!(
            class("kafka-nothing")
                .unwrap_err()
                .to_string()
                .contains("kafka-console-producer")
        );
    }

    #[test]
    fn the_brokers_address_is_added_once() {
        let arguments = |list: &[&str]| list.iter().map(|&s| s.to_owned()).collect::<Vec<_>>();
        assert_eq!(
            with_bootstrap_server("kafka-topics", &arguments(&["--list"]), "a:1"),
            arguments(&["--bootstrap-server", "a:1", "--list"])
        );
        for named in [
            &["--bootstrap-server", "b:2"][..],
            &["--bootstrap-server=b:2"],
        ] {
            assert_eq!(
                with_bootstrap_server("kafka-topics", &arguments(named), "a:1"),
                arguments(named)
            );
        }
    }
}
