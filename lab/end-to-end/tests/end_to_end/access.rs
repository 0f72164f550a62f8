//! Who gets in: TLS, SASL and client certificates, each service with no more rights than it needs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use end_to_end::shop::{START, Shop, own_secured_backends, readiness, ready};
use end_to_end::wait;
use serde_json::json;
use stack::{Backends, Listener, Port, ServiceCommand};

const PRODUCER_PASSWORD: &str = "producer-secret";
const PROCESSOR_PASSWORD: &str = "processor-secret";

/// The rights of each service, as docs/operations.md lists them: resource, name, operations.
fn rights(shop: &Shop) -> Vec<(&'static str, Vec<String>)> {
    let topic = |name: &str, operation: &str| {
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
    };
    let group = |name: String| {
        vec![
            "--group".to_owned(),
            name,
            "--operation".to_owned(),
            "Read".to_owned(),
        ]
    };
    let transactions = |prefix: String| {
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
    };
    let topics = &shop.topics;
    vec![
        ("User:producer", topic(&topics.order_status, "Write")),
        (
            "User:producer",
            transactions(format!("{}/relay", topics.order_status)),
        ),
        ("User:processor", topic(&topics.order_status, "Read")),
        ("User:processor", group(shop.processor_group())),
        ("User:processor", topic(&topics.vouchers, "Write")),
        (
            "User:processor",
            topic(&topics.order_status_dead_letters(), "Write"),
        ),
        (
            "User:processor",
            transactions(format!("{}/", shop.processor_group())),
        ),
        ("User:CN=sink", topic(&topics.vouchers, "Read")),
        ("User:CN=sink", group(shop.sink_group())),
        (
            "User:CN=sink",
            topic(&topics.vouchers_dead_letters(), "Write"),
        ),
    ]
}

/// A certificate authority, the broker's certificate and the sink's, all for this test alone.
struct Certificates {
    folder: PathBuf,
}

impl Certificates {
    fn make(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let this = Self {
            folder: folder.to_owned(),
        };
        this.openssl("req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.pem")?;
        std::fs::write(folder.join("broker.ext"), "subjectAltName=IP:127.0.0.1\n")?;
        for name in ["broker", "sink"] {
            this.openssl(&format!(
                "req -newkey rsa:2048 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr"
            ))?;
            let extension = if name == "broker" {
                "-extfile broker.ext"
            } else {
                ""
            };
            this.openssl(&format!(
                "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out {name}.pem {extension}"
            ))?;
        }
        let key = std::fs::read(folder.join("broker.key"))?;
        let certificate = std::fs::read(folder.join("broker.pem"))?;
        std::fs::write(folder.join("broker.both"), [key, certificate].concat())?;
        Ok(this)
    }

    fn openssl(&self, arguments: &str) -> Result<()> {
        let output = Command::new("openssl")
            .args(arguments.split_whitespace())
            .current_dir(&self.folder)
            .output()
            .context("openssl is needed for this test")?;
        ensure!(
            output.status.success(),
            "openssl {arguments}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }
}

/// A broker that lets everybody do everything on its plain address, and on the two others only
/// those whom it knows what they were granted.
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

async fn tool(shop: &Shop, name: &str, arguments: Vec<String>) -> Result<()> {
    let output = shop.backends.run_tool(name, arguments, b"").await?;
    ensure!(
        output.status.success(),
        "{name}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

#[tokio::test]
async fn each_service_works_over_tls_with_its_own_rights_and_no_others() -> Result<()> {
    let folder =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("access-{}", std::process::id()));
    let certificates = Certificates::make(&folder)?;
    let (sasl, tls) = (Port::free()?, Port::free()?);
    let backends = Arc::new(secured(&certificates, &sasl, &tls).await);
    let shop = Shop::on(backends, true).await?;
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
    tool(&shop, "kafka-configs", user.map(str::to_owned).to_vec()).await?;

    let authority = certificates.path("ca.pem");
    let by_password = |command: ServiceCommand, mechanism: &str, user: &str, password: &str| {
        command.env("KAFKA_BOOTSTRAP_SERVERS", sasl.address()).env(
            "KAFKA_PROPERTIES",
            format!(
                "security.protocol=SASL_SSL,ssl.ca.location={authority},sasl.mechanism={mechanism},\
                 sasl.username={user},sasl.password={password}"
            ),
        )
    };
    let producer = shop.producer_command("1").await?;
    let producer = by_password(producer, "PLAIN", "producer", PRODUCER_PASSWORD);
    let processor = shop.processor_command("1").await?;
    let processor = by_password(processor, "SCRAM-SHA-512", "processor", PROCESSOR_PASSWORD);
    let properties = folder.join("sink.properties");
    std::fs::write(
        &properties,
        format!(
            "security.protocol=SSL\nssl.ca.location={authority}\n# The sink has a certificate.\n\
             ssl.certificate.location={}\nssl.key.location={}\n",
            certificates.path("sink.pem"),
            certificates.path("sink.key")
        ),
    )?;
    let sink = shop
        .sink_command("1")
        .await?
        .env("KAFKA_BOOTSTRAP_SERVERS", tls.address())
        .env("KAFKA_PROPERTIES_FILE", properties.display().to_string());

    // Without rights it waits, says for what, and goes on by itself when they are there.
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

    for (principal, right) in rights(&shop) {
        let mut arguments = vec![
            "--add".to_owned(),
            "--allow-principal".to_owned(),
            principal.to_owned(),
        ];
        arguments.extend(right);
        tool(&shop, "kafka-acls", arguments).await?;
    }
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
    shop.write_orders(vec![end_to_end::topic::NewRecord::new("bad", "{}")])
        .await?;
    wait::until(
        "the voucher over secured connections",
        || async { shop.vouchers().await.unwrap_or_default() },
        |rows| rows.len() == 1,
    )
    .await;
    shop.settled().await;
    assert_eq!(
        shop.dead_letters().await?.len(),
        1,
        "it may write dead letters"
    );
    for service in [&producer, &processor, &sink] {
        let log = std::fs::read_to_string(service.log())?;
        for secret in [
            PRODUCER_PASSWORD,
            PROCESSOR_PASSWORD,
            end_to_end::shop::SIGNING_KEY,
        ] {
            assert!(
                !log.contains(secret),
                "{}: a secret is in the log",
                service.name()
            );
        }
    }
    let _ = std::fs::remove_dir_all(&folder);
    Ok(())
}
