use std::collections::BTreeSet;

use super::names::{ALIASES, canonical, why_refused};
use super::*;

fn variable(text: &str) -> Result<Vec<(String, String)>, String> {
    UserProperties::parse(&PropertiesSource::Variable(Secret::new(text)))
        .map(|properties| {
            let pairs = properties.0.into_iter();
            pairs
                .map(|(name, value)| (name, value.reveal().to_owned()))
                .collect()
        })
        .map_err(|failure| failure.to_string())
}

#[test]
fn properties_are_pairs_and_an_escaped_comma_is_a_comma() {
    assert_eq!(
        variable(
            r"security.protocol=SASL_SSL, sasl.mechanism=PLAIN,sasl.username=u,sasl.password=a=b\,c,"
        )
        .unwrap()
        .last(),
        Some(&("sasl.password".to_owned(), "a=b,c".to_owned()))
    );
}

#[test]
fn a_file_may_hold_comments() {
    let text = "\u{feff}# the cluster\r\nclient.rack=a\r\n\r\nclient.id = b\r\n";
    let properties = UserProperties::parse(&PropertiesSource::File(Secret::new(text))).unwrap();
    assert_eq!(properties.get("client.rack"), Some("a"));
    assert_eq!(properties.get("client.id"), Some("b"));
}

#[test]
fn a_property_has_one_name_whichever_alias_is_written() {
    let read = variable("delivery.timeout.ms=5000,compression.codec=zstd").unwrap();
    let names: Vec<_> = read.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["message.timeout.ms", "compression.type"]);
    for twice in [
        "message.timeout.ms=5000,delivery.timeout.ms=6000",
        "compression.codec=lz4,compression.type=lz4",
        "linger.ms=1,linger.ms=2",
    ] {
        let message = variable(twice).unwrap_err();
        assert!(message.contains("is set twice"), "{twice}: {message}");
    }
    for (alias, name) in ALIASES {
        if why_refused(name).is_some() {
            let message = variable(&format!("{alias}=1")).unwrap_err();
            assert!(message.contains("cannot be set here"), "{alias}: {message}");
        }
    }
}

/// Texts that are refused, and what each message has to contain.
const REFUSED: &[(&str, &[&str])] = &[
    ("hunter2", &["name=value"]),
    ("a=b,hunter2", &["name=value", r"\,"]),
    ("client.rack=", &["client.rack has no value"]),
    ("partitioner=random", &["same partition"]),
    ("acks=1", &["acks cannot be set", "survive a broker"]),
    (
        "request.required.acks=0",
        &["request.required.acks cannot be set"],
    ),
    ("metadata.broker.list=a:9092", &["KAFKA_BOOTSTRAP_SERVERS"]),
    (
        "auto.commit.enable=true",
        &["only after the work is durable"],
    ),
    (
        "offset.store.method=file",
        &["only after the work is durable"],
    ),
    ("allow.auto.create.topics=true", &["check --fix"]),
    ("enable.gapless.guarantee=true", &["leave it out"]),
    ("check.crcs=false", &["damaged"]),
    ("group.protocol=consumer", &["classic"]),
    ("group.remote.assignor=uniform", &["classic"]),
    ("message.max.bytes=1000", &["max.message.bytes"]),
    ("statistics.interval.ms=1000", &["/metrics"]),
    ("plugin.library.paths=monitoring", &["code"]),
    ("ssl.engine.location=/lib/e.so", &["code"]),
    ("test.mock.num.brokers=3", &["librdkafka"]),
    ("log_level=7", &["RUST_LOG"]),
    ("topic.blacklist=order.*", &["leave it out"]),
    // Mechanisms that this build does not have.
    ("sasl.mechanism=OAUTHBEARER", &["OIDC", "SCRAM-SHA-512"]),
    ("sasl.mechanisms=GSSAPI", &["Kerberos", "SCRAM-SHA-512"]),
    ("sasl.mechanism=AWS_MSK_IAM", &["MSK", "SCRAM-SHA-512"]),
    ("sasl.oauthbearer.method=oidc", &["OIDC", "SCRAM-SHA-512"]),
    (
        "sasl.oauthbearer.client.credentials.client.secret=hunter2",
        &["OIDC"],
    ),
    ("https.ca.location=/ca.pem", &["OIDC"]),
    (
        "sasl.kerberos.keytab=/keytab",
        &["Kerberos", "ssl.key.location"],
    ),
    ("sasl.mechanism=scram-sha-512", &["in capitals"]),
    ("security.protocol=TLS", &["SASL_SSL"]),
    (
        "security.protocol=SASL_SSL",
        &["sasl.mechanism: write PLAIN"],
    ),
    (
        "security.protocol=SASL_SSL,sasl.mechanism=PLAIN,sasl.username=u",
        &["sasl.password"],
    ),
    // librdkafka would ignore these.
    (
        "sasl.mechanism=PLAIN,sasl.username=u,sasl.password=hunter2",
        &["would not log in", "SASL_SSL"],
    ),
    (
        "security.protocol=SSL,sasl.username=u",
        &["sasl.username is set", "SASL_SSL"],
    ),
    ("ssl.ca.location=/ca.pem", &["would not use TLS"]),
    (
        "enable.ssl.certificate.verification=false",
        &["would not use TLS"],
    ),
    (
        "security.protocol=SSL,ssl.certificate.location=/c.pem",
        &["ssl.key.location"],
    ),
    (
        "security.protocol=ssl,ssl.key.pem=hunter2",
        &["ssl.certificate.location"],
    ),
    // Kafka's Java client.
    ("bootstrap.servers=a:9092", &["KAFKA_BOOTSTRAP_SERVERS"]),
    ("ssl.truststore.location=/t.jks", &["ssl.ca.location"]),
    ("ssl.truststore.type=PEM", &["ssl.ca.location"]),
    ("ssl.truststore.password=hunter2", &["ssl.ca.location"]),
    (
        "sasl.jaas.config=hunter2",
        &["sasl.username", "sasl.password"],
    ),
    ("sasl.login.callback.handler.class=x", &["SCRAM-SHA-512"]),
    ("key.serializer=x", &["leave it out"]),
    ("max.poll.records=500", &["Java", "leave it out"]),
    ("fetch.max.wait.ms=100", &["fetch.wait.max.ms"]),
    ("max.request.size=1", &["max.message.bytes"]),
    ("schema.registry.url=http://r", &["SCHEMA_REGISTRY_URL"]),
    // Bounds and combinations.
    ("transaction.timeout.ms=60000", &["1000 to 10000"]),
    (
        "delivery.timeout.ms=120000",
        &["message.timeout.ms", "10000"],
    ),
    ("topic.metadata.refresh.interval.ms=-1", &["never be read"]),
    ("fetch.wait.max.ms=300000", &["0 to 5000", "blocked"]),
    ("retry.backoff.max.ms=300000", &["abandoned"]),
    ("session.timeout.ms=80", &["heartbeat.interval.ms (100)"]),
    (
        "heartbeat.interval.ms=12000",
        &["session.timeout.ms (6000)"],
    ),
];

#[test]
fn properties_that_break_a_guarantee_or_have_no_effect_are_refused_with_a_hint() {
    for (text, expected) in REFUSED {
        let message = variable(text).expect_err(text);
        assert!(message.starts_with("KAFKA_PROPERTIES: "), "{message}");
        for part in *expected {
            assert!(message.contains(part), "{text}: no {part:?} in {message}");
        }
        assert!(!message.contains("hunter2"), "{message}");
    }
}

/// Properties that a user may set, by the names that the services use. The next release of librdkafka
/// may have new ones: each has to be in this list or in the table of those that cannot be set.
const FREE: &[&str] = &[
    "api.version.request.timeout.ms",
    "batch.num.messages",
    "batch.size",
    "broker.address.family",
    "broker.address.ttl",
    "builtin.features",
    "client.dns.lookup",
    "client.id",
    "client.rack",
    "compression.level",
    "compression.type",
    "connections.max.idle.ms",
    "coordinator.query.interval.ms",
    "debug",
    "enable.metrics.push",
    "enable.ssl.certificate.verification",
    "fetch.error.backoff.ms",
    "fetch.max.bytes",
    "fetch.min.bytes",
    "fetch.queue.backoff.ms",
    "fetch.wait.max.ms",
    "heartbeat.interval.ms",
    "linger.ms",
    "log.connection.close",
    "log.thread.name",
    "max.in.flight",
    "max.partition.fetch.bytes",
    "max.poll.interval.ms",
    "message.copy.max.bytes",
    "message.timeout.ms",
    "metadata.max.age.ms",
    "metadata.recovery.rebootstrap.trigger.ms",
    "metadata.recovery.strategy",
    "queue.buffering.backpressure.threshold",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "queued.max.messages.kbytes",
    "queued.min.messages",
    "receive.message.max.bytes",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "request.timeout.ms",
    "retries",
    "retry.backoff.max.ms",
    "retry.backoff.ms",
    "sasl.mechanism",
    "sasl.password",
    "sasl.username",
    "security.protocol",
    "session.timeout.ms",
    "socket.connection.setup.timeout.ms",
    "socket.keepalive.enable",
    "socket.max.fails",
    "socket.nagle.disable",
    "socket.receive.buffer.bytes",
    "socket.send.buffer.bytes",
    "socket.timeout.ms",
    "ssl.ca.certificate.stores",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.cipher.suites",
    "ssl.crl.location",
    "ssl.curves.list",
    "ssl.endpoint.identification.algorithm",
    "ssl.key.location",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "ssl.providers",
    "ssl.sigalgs.list",
    "sticky.partitioning.linger.ms",
    "topic.metadata.propagation.max.ms",
    "topic.metadata.refresh.fast.interval.ms",
    "topic.metadata.refresh.interval.ms",
    "topic.metadata.refresh.sparse",
    "transaction.timeout.ms",
];

/// Returns the documentation of the librdkafka that is built in, one property a line.
fn documentation() -> String {
    let output = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--offline", "--locked"])
        // Crates of other platforms may not have been downloaded.
        .arg("--filter-platform")
        .arg(format!("{}-unknown-linux-gnu", std::env::consts::ARCH))
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut packages = metadata["packages"].as_array().unwrap().iter();
    let sys = packages.find(|package| package["name"] == "rdkafka-sys");
    let manifest = sys.unwrap()["manifest_path"].as_str().unwrap();
    let folder = std::path::Path::new(manifest).parent().unwrap();
    std::fs::read_to_string(folder.join("librdkafka/CONFIGURATION.md")).unwrap()
}

#[test]
fn every_property_of_this_librdkafka_is_either_free_or_refused_by_one_name() {
    let documentation = documentation();
    let rows = documentation.lines().filter_map(|line| {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let name = *cells.first()?;
        let is_property = cells.len() >= 6 && name.contains(['.', '_']);
        // Callbacks and pointers cannot be set as text.
        (is_property || ["acks", "debug", "retries", "partitioner"].contains(&name))
            .then_some((name, line))
            .filter(|(_, line)| !line.contains("see dedicated API"))
    });
    let mut aliases = BTreeSet::new();
    let mut unknown = BTreeSet::new();
    let mut count = 0;
    for (name, line) in rows {
        count += 1;
        if let Some((_, rest)) = line.split_once("Alias for `") {
            aliases.insert((name, rest.split('`').next().unwrap()));
        }
        let free = FREE.contains(&canonical(name));
        if free == why_refused(canonical(name)).is_some() {
            unknown.insert(name);
        }
    }
    assert!(count > 150, "only {count} properties were found");
    assert!(unknown.is_empty(), "neither or both: {unknown:?}");
    // The services may use the name that librdkafka calls the alias.
    let ours: BTreeSet<_> = ALIASES.iter().copied().collect();
    for (alias, name) in aliases {
        assert!(
            ours.contains(&(alias, name)) || ours.contains(&(name, alias)),
            "{alias} is an alias for {name}"
        );
    }
}
