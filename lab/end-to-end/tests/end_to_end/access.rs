//! Access to Kafka: TLS, SASL and client certificates. Each service has only the rights that it needs.

use std::sync::Arc;

use anyhow::{Result, ensure};
use end_to_end::backends::own_secured_backends;
use end_to_end::certificates::Certificates;
use end_to_end::http::readiness;
use end_to_end::system::{START, TestSystem, ready};
use end_to_end::topic::NewRecord;
use end_to_end::wait;
use serde_json::json;
use stack::{Backends, Listener, Port, ServiceCommand};

use crate::redrive::{PROBE, SCHEMA, late};
use crate::sink_redrive::voucher;

const PRODUCER_PASSWORD: &str = "producer-secret";
const PROCESSOR_PASSWORD: &str = "processor-secret";

fn topic(name: &str, operation: &str) -> Vec<String> {
    [
        "--topic",
        name,
        "--operation",
        operation,
        "--operation",
        "Describe",
    ]
    .map(str::to_owned)
    .to_vec()
}

fn group(name: &str) -> Vec<String> {
    ["--group", name, "--operation", "Read"]
        .map(str::to_owned)
        .to_vec()
}

fn transactions(prefix: String) -> Vec<String> {
    [
        "--transactional-id",
        &prefix,
        "--resource-pattern-type",
        "prefixed",
        "--operation",
        "Write",
        "--operation",
        "Describe",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// Returns the rights of each service, as docs/access-rights.md lists them: resource, name, operations.
fn rights(system: &TestSystem) -> Vec<(&'static str, Vec<String>)> {
    let topics = &system.topics;
    vec![
        ("User:producer", topic(&topics.order_status, "Write")),
        (
            "User:producer",
            transactions(format!("{}/relay", topics.order_status)),
        ),
        ("User:processor", topic(&topics.order_status, "Read")),
        ("User:processor", group(&system.processor_group())),
        ("User:processor", topic(&topics.vouchers, "Write")),
        (
            "User:processor",
            topic(&topics.order_status_dead_letters(), "Write"),
        ),
        (
            "User:processor",
            transactions(format!("{}/", system.processor_group())),
        ),
        ("User:CN=sink", topic(&topics.vouchers, "Read")),
        ("User:CN=sink", group(&system.sink_group())),
        (
            "User:CN=sink",
            topic(&topics.vouchers_dead_letters(), "Write"),
        ),
    ]
}

/// Returns the rights that `redrive` needs in addition.
fn redrive_rights(system: &TestSystem) -> Vec<(&'static str, Vec<String>)> {
    let topics = &system.topics;
    let letters = [
        ("User:processor", topics.order_status_dead_letters()),
        ("User:CN=sink", topics.vouchers_dead_letters()),
    ];
    let mut rights = vec![
        (
            "User:CN=sink",
            transactions(format!("{}/redrive", system.sink_group())),
        ),
        // `redrive` reads the campaign's earlier vouchers to compare their rule and key.
        ("User:processor", topic(&topics.vouchers, "Read")),
    ];
    for (user, topic_name) in letters {
        rights.push((user, topic(&topic_name, "Read")));
        let state = format!("{topic_name}.state");
        rights.push((user, topic(&state, "Read")));
        rights.push((user, topic(&state, "Write")));
    }
    rights
}

/// Starts a broker that allows every operation on its plaintext address. On its SASL and TLS addresses it
/// authenticates clients and allows only what they were granted.
async fn secured(certificates: &Certificates, sasl: &Port, tls: &Port) -> Backends {
    let listener = |name, protocol, port: &Port| Listener {
        name,
        protocol,
        address: port.address(),
    };
    let plain = format!(
        "org.apache.kafka.common.security.plain.PlainLoginModule required user_producer=\"{PRODUCER_PASSWORD}\";"
    );
    let settings = [
        (
            "authorizer.class.name",
            "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        ),
        ("super.users", "User:ANONYMOUS"),
        ("ssl.keystore.type", "PEM"),
        ("ssl.keystore.location", &certificates.path("broker.both")),
        ("ssl.truststore.type", "PEM"),
        ("ssl.truststore.location", &certificates.path("ca.pem")),
        ("listener.name.mutual.ssl.client.auth", "required"),
        ("sasl.enabled.mechanisms", "PLAIN,SCRAM-SHA-512"),
        ("listener.name.secure.plain.sasl.jaas.config", &plain),
        (
            "listener.name.secure.scram-sha-512.sasl.jaas.config",
            "org.apache.kafka.common.security.scram.ScramLoginModule required;",
        ),
    ];
    own_secured_backends(
        "access",
        vec![
            listener("SECURE", "SASL_SSL", sasl),
            listener("MUTUAL", "SSL", tls),
        ],
        settings
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
    )
    .await
}

async fn tool(system: &TestSystem, name: &str, arguments: Vec<String>) -> Result<()> {
    let output = system.backends.run_tool(name, arguments, b"").await?;
    ensure!(
        output.status.success(),
        "{name}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

async fn grant(system: &TestSystem, rights: Vec<(&'static str, Vec<String>)>) -> Result<()> {
    for (principal, right) in rights {
        let grant = ["--add", "--allow-principal", principal].map(str::to_owned);
        tool(system, "kafka-acls", [grant.to_vec(), right].concat()).await?;
    }
    Ok(())
}

#[tokio::test]
async fn each_service_works_over_tls_with_its_own_rights_and_no_others() -> Result<()> {
    let certificates = Certificates::make("access")?;
    let (sasl, tls) = (Port::free()?, Port::free()?);
    let backends = Arc::new(secured(&certificates, &sasl, &tls).await);
    let system = TestSystem::on(backends, true).await?;
    let password = format!("SCRAM-SHA-512=[password={PROCESSOR_PASSWORD}]");
    let user = [
        "--alter",
        "--add-config",
        &password,
        "--entity-type",
        "users",
        "--entity-name",
        "processor",
    ];
    tool(&system, "kafka-configs", user.map(str::to_owned).to_vec()).await?;

    let authority = certificates.path("ca.pem");
    let properties_of = |mechanism: &str, user: &str, password: &str| {
        format!(
            "security.protocol=SASL_SSL,ssl.ca.location={authority},sasl.mechanism={mechanism},\
             sasl.username={user},sasl.password={password}"
        )
    };
    let by_password = |command: ServiceCommand, mechanism: &str, user: &str, password: &str| {
        command
            .env("KAFKA_BOOTSTRAP_SERVERS", sasl.address())
            .env("KAFKA_PROPERTIES", properties_of(mechanism, user, password))
    };
    let producer = system.producer_command("1").await?;
    let producer = by_password(producer, "PLAIN", "producer", PRODUCER_PASSWORD);
    let processor = system.processor_command("1").await?;
    let processor = by_password(processor, "SCRAM-SHA-512", "processor", PROCESSOR_PASSWORD);
    let properties = certificates.folder().join("sink.properties");
    std::fs::write(
        &properties,
        format!(
            "security.protocol=SSL\nssl.ca.location={authority}\n# The sink has a certificate.\n\
             ssl.certificate.location={}\nssl.key.location={}\n",
            certificates.path("sink.pem"),
            certificates.path("sink.key")
        ),
    )?;
    let sink = system
        .sink_command("1")
        .await?
        .env("KAFKA_BOOTSTRAP_SERVERS", tls.address())
        .env("KAFKA_PROPERTIES_FILE", properties.display().to_string());

    // Without its rights the processor waits, reports which one is missing, and continues once they are
    // granted.
    let processor = processor.start().await?;
    wait::until(
        "the processor to say what it may not",
        || readiness(&processor),
        |answer| {
            answer.as_ref().is_ok_and(|(code, parts)| {
                *code == 503 && parts.to_string().contains("authorization failed")
            })
        },
    )
    .await?;

    grant(&system, rights(&system)).await?;
    let producer = ready(producer).await?;
    processor.wait_ready(START).await?;
    let sink = ready(sink).await?;
    let http = reqwest::Client::new();
    for (order, total) in [("eligible", "100.00"), ("below", "99.99")] {
        let body = json!({"order_id": order, "total": total});
        let placed = http
            .post(producer.url("/orders"))
            .json(&body)
            .send()
            .await?;
        assert_eq!(placed.status(), 201);
        let sent = http.patch(producer.url(&format!("/orders/{order}")));
        let sent = sent.json(&json!({"status": "SENT"})).send().await?;
        assert_eq!(sent.status(), 200);
    }
    system
        .write_orders(vec![NewRecord::new("bad", "{}")])
        .await?;
    wait::until(
        "the voucher over secured connections",
        || async { system.vouchers().await.unwrap_or_default() },
        |rows| rows.len() == 1,
    )
    .await;
    system.settled().await;
    assert_eq!(
        system.dead_letters().await?.len(),
        1,
        "it may write dead letters"
    );

    // One dead letter whose redrive succeeds (a voucher or a row), and one whose redrive fails again.
    let id = u32::try_from(system.backends.register_schema("probe", PROBE).await?)? + 1;
    system.write_orders(vec![late("late", 100, id)?]).await?;
    system
        .caught_up(&system.processor_group(), &system.topics.order_status)
        .await;
    assert_eq!(system.dead_letters().await?.len(), 2);
    let registered = system.backends.register_schema("late", SCHEMA).await?;
    assert_eq!(u32::try_from(registered)?, id);
    let imported = [
        voucher("1", "IMPORTED-CODE"),
        voucher("2", "IMPORTED-CODE"),
        NewRecord::new("3", "{"),
    ];
    for record in imported {
        end_to_end::topic::write(system.brokers(), &system.topics.vouchers, vec![record]).await?;
        system.settled().await;
    }
    system
        .execute_on_vouchers("delete from vouchers where order_id = '1'")
        .await?;
    grant(&system, redrive_rights(&system)).await?;
    let own = properties_of("SCRAM-SHA-512", "processor", PROCESSOR_PASSWORD);
    let environment = [
        ("KAFKA_BOOTSTRAP_SERVERS", &*sasl.address()),
        ("KAFKA_PROPERTIES", &own),
    ];
    let redriven = system.run_processor(&["redrive", "--json"], &environment);
    let outcomes = redriven.await?.json()?["outcomes"].clone();
    assert_eq!(outcomes["voucher"], 1, "{outcomes}");
    assert_eq!(outcomes.as_object().map(|all| all.len()), Some(2));
    let properties = properties.display().to_string();
    let environment = [
        ("KAFKA_BOOTSTRAP_SERVERS", &*tls.address()),
        ("KAFKA_PROPERTIES_FILE", &properties),
        ("DATABASE_URL", &system.vouchers_url),
    ];
    let redriven = system.run_service("sink", &["redrive", "--json"], &environment);
    let outcomes = redriven.await?.json()?["outcomes"].clone();
    assert_eq!(outcomes, json!({"failed: invalid_json": 1, "row": 1}));

    for service in [&producer, &processor, &sink] {
        let log = std::fs::read_to_string(service.log())?;
        for secret in [
            PRODUCER_PASSWORD,
            PROCESSOR_PASSWORD,
            end_to_end::system::SIGNING_KEY,
        ] {
            assert!(
                !log.contains(secret),
                "{}: a secret is in the log",
                service.name()
            );
        }
    }
    Ok(())
}
