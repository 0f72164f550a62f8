//! Names of properties of librdkafka and of Kafka's Java client: aliases, and those that cannot be set.
//! A property that is in none of these tables is passed to librdkafka.

/// Aliases: another name of a property, and the name that the services use.
///
/// librdkafka applies properties in the order in which they are set, and the wrapper keeps them in a
/// hash table. With two names of one property, chance would decide which value wins.
pub(super) const ALIASES: &[(&str, &str)] = &[
    ("auto.commit.enable", "enable.auto.commit"),
    ("compression.codec", "compression.type"),
    ("delivery.timeout.ms", "message.timeout.ms"),
    ("fetch.message.max.bytes", "max.partition.fetch.bytes"),
    ("max.in.flight.requests.per.connection", "max.in.flight"),
    ("message.send.max.retries", "retries"),
    ("metadata.broker.list", "bootstrap.servers"),
    ("queue.buffering.max.ms", "linger.ms"),
    ("request.required.acks", "acks"),
    (
        "sasl.oauthbearer.client.credentials.client.id",
        "sasl.oauthbearer.client.id",
    ),
    (
        "sasl.oauthbearer.client.credentials.client.secret",
        "sasl.oauthbearer.client.secret",
    ),
    ("sasl.mechanisms", "sasl.mechanism"),
];

/// Returns the name that the services use for the property `name`.
pub(in crate::kafka::config) fn canonical(name: &str) -> &str {
    ALIASES
        .iter()
        .find(|(alias, _)| *alias == name)
        .map_or(name, |(_, canonical)| canonical)
}

/// Returns why the property of this canonical name cannot be set, and what to do instead.
pub(super) fn why_refused(name: &str) -> Option<&'static str> {
    // An entry that ends in a dot or an underscore is a prefix.
    let is_prefix = |listed: &str| listed.ends_with(['.', '_']) && name.starts_with(listed);
    REFUSED
        .iter()
        .find(|(names, _)| {
            names
                .iter()
                .any(|listed| *listed == name || is_prefix(listed))
        })
        .map(|(_, why)| *why)
}

/// What to use instead of a mechanism that this build does not have.
macro_rules! mechanisms {
    () => {
        "use sasl.mechanism=SCRAM-SHA-512 (or SCRAM-SHA-256, PLAIN) with sasl.username and \
         sasl.password, or a client certificate (security.protocol=SSL, ssl.certificate.location, \
         ssl.key.location)"
    };
}

pub(super) const NO_OAUTH: &str = concat!("OAuth (OIDC) is not in this build; ", mechanisms!());

pub(super) const NO_KERBEROS: &str =
    concat!("Kerberos (GSSAPI) is not in this build; ", mechanisms!());

pub(super) const NO_AWS_IAM: &str = concat!(
    "AWS_MSK_IAM is a mechanism of AWS's Java library and is not in this build; on Amazon MSK ",
    mechanisms!()
);

const OFFSETS: &str = "offsets are committed only after the work is durable";

const NEW_PROTOCOL: &str =
    "the services need the classic group protocol; leave it out (docs/adr/0004)";

const UNUSED: &str = "it has no effect in the services; leave it out";

const NOT_JAVA: &str =
    "it is a property of Kafka's Java client, which the services do not need; leave it out";

const CODE: &str = "it makes the client run code that is not the service's; leave it out";

const METRICS: &str = "the services have their own metrics, see /metrics; leave it out";

/// Properties that cannot be set, with the reason: first those of librdkafka that a guarantee depends on,
/// then those without effect, then those of Kafka's Java client.
const REFUSED: &[(&[&str], &str)] = &[
    (&["bootstrap.servers"], "set KAFKA_BOOTSTRAP_SERVERS"),
    (&["group.id"], "set PROCESSOR_GROUP or SINK_GROUP"),
    (
        &["group.instance.id", "transactional.id"],
        "set PROCESSOR_INSTANCE_ID (processor) or OUTBOX_NAME (producer); a sink generates its own",
    ),
    (
        &[
            "enable.auto.commit",
            "auto.commit.interval.ms",
            "enable.auto.offset.store",
            "offset.store.",
        ],
        OFFSETS,
    ),
    (
        &["auto.offset.reset"],
        "a client that chooses an offset would skip records or read them twice",
    ),
    (&["isolation.level"], "aborted records must never be read"),
    (
        &["enable.idempotence", "queuing.strategy"],
        "a retry must not write a record twice, or out of order",
    ),
    (
        &["enable.gapless.guarantee"],
        "a record that fails aborts its transaction anyway; leave it out",
    ),
    (&["acks"], "an acknowledged record must survive a broker"),
    (
        &["partitioner", "partitioner.class"],
        "every writer of a key must choose the same partition (murmur2_random)",
    ),
    (
        &["enable.partition.eof"],
        "the services need to know where a partition ends",
    ),
    (
        &["check.crcs"],
        "a damaged batch must not be read as orders",
    ),
    (
        &[
            "group.protocol",
            "group.protocol.type",
            "group.remote.assignor",
        ],
        NEW_PROTOCOL,
    ),
    (
        &["partition.assignment.strategy"],
        "the services rebalance cooperatively",
    ),
    (
        &["allow.auto.create.topics"],
        "only check --fix creates topics, with their configuration",
    ),
    (
        &["topic.blacklist"],
        "the client would ignore topics; leave it out",
    ),
    (
        &["message.max.bytes", "max.request.size"],
        "max.message.bytes of each topic decides which records fit",
    ),
    (
        &["delivery.report.only.error"],
        "the services wait until each record is acknowledged",
    ),
    (
        &[
            "api.version.request",
            "api.version.fallback.ms",
            "broker.version.fallback",
        ],
        "the services need a broker of Kafka 0.11 or later (transactions, headers); leave it out",
    ),
    (
        &[
            "sasl.oauthbearer.",
            "enable.sasl.oauthbearer.unsecure.jwt",
            "https.ca.",
        ],
        NO_OAUTH,
    ),
    (&["sasl.kerberos."], NO_KERBEROS),
    (
        &["plugin.library.paths", "ssl.engine.", "interceptor.classes"],
        CODE,
    ),
    (
        &["log_level"],
        "set RUST_LOG, such as RUST_LOG=info,runtime=debug",
    ),
    (
        &[
            "internal.termination.signal",
            "enabled_events",
            "log.queue",
            "test.mock.",
            "ut_",
        ],
        "it is for programs written with librdkafka, and would break the services",
    ),
    (
        &["statistics.interval.ms", "metric.reporters", "metrics."],
        METRICS,
    ),
    (
        &[
            "consume.callback.max.messages",
            "enable.random.seed",
            "produce.offset.report",
            "reconnect.backoff.jitter.ms",
            "socket.blocking.max.ms",
            "topic.metadata.refresh.fast.cnt",
            "metadata.request.timeout.ms",
        ],
        UNUSED,
    ),
    // Kafka's Java client.
    (
        &["ssl.truststore.location"],
        "write ssl.ca.location=FILE, the certificates of the authority as PEM (keytool -exportcert -rfc)",
    ),
    (
        &["ssl.truststore.certificates"],
        "write ssl.ca.location=FILE, or ssl.ca.pem with the certificates themselves",
    ),
    (
        &["ssl.truststore.password", "ssl.truststore.type"],
        "leave it out: ssl.ca.location=FILE names certificates as PEM, which have no password",
    ),
    (
        &["ssl.keystore.certificate.chain"],
        "write ssl.certificate.location=FILE, or ssl.certificate.pem with the certificates themselves",
    ),
    (
        &["ssl.keystore.key"],
        "write ssl.key.location=FILE, or ssl.key.pem with the key itself",
    ),
    (
        &["ssl.keystore.type"],
        "leave it out: ssl.keystore.location=FILE is PKCS#12; as PEM write ssl.certificate.location and \
         ssl.key.location",
    ),
    (
        &["sasl.jaas.config"],
        "write its parts: sasl.mechanism, sasl.username and sasl.password",
    ),
    (
        &["sasl.client.callback.handler.class", "sasl.login."],
        concat!(
            "login classes are those of Kafka's Java client; ",
            mechanisms!()
        ),
    ),
    (&["fetch.max.wait.ms"], "write fetch.wait.max.ms"),
    (
        &["buffer.memory"],
        "write queue.buffering.max.kbytes, in KiB",
    ),
    (&["send.buffer.bytes"], "write socket.send.buffer.bytes"),
    (
        &["receive.buffer.bytes"],
        "write socket.receive.buffer.bytes",
    ),
    (
        &["socket.connection.setup.timeout.max.ms"],
        "write socket.connection.setup.timeout.ms",
    ),
    (
        &[
            "compression.gzip.level",
            "compression.lz4.level",
            "compression.zstd.level",
        ],
        "write compression.level",
    ),
    (
        &[
            "key.serializer",
            "value.serializer",
            "key.deserializer",
            "value.deserializer",
        ],
        "the services have their own formats; leave it out",
    ),
    (
        &["schema.registry.", "basic.auth."],
        "set SCHEMA_REGISTRY_URL",
    ),
    (
        &[
            "auto.include.jmx.reporter",
            "default.api.timeout.ms",
            "exclude.internal.topics",
            "max.block.ms",
            "max.poll.records",
            "security.providers",
            "ssl.enabled.protocols",
            "ssl.keymanager.algorithm",
            "ssl.protocol",
            "ssl.provider",
            "ssl.secure.random.implementation",
            "ssl.trustmanager.algorithm",
        ],
        NOT_JAVA,
    ),
];
