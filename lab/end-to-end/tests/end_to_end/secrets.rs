//! Secrets with recognizable values: neither in normal operation nor after faults does one appear in a log,
//! an answer, a metric, an error, a help text or a command line.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use end_to_end::backends::own_backends_with;
use end_to_end::certificates::Certificates;
use end_to_end::command::Answer;
use end_to_end::http::readiness;
use end_to_end::system::{TestSystem, ready};
use end_to_end::topic::{self, NewRecord};
use end_to_end::wait;
use reqwest::Client;
use serde_json::{Value, json};
use stack::{Listener, Port, Service, ServiceCommand};

use crate::sink_redrive::voucher;

/// "canary-signing-key-of-32-bytes-and-more" in base64.
const SIGNING_KEY: &str = "Y2FuYXJ5LXNpZ25pbmcta2V5LW9mLTMyLWJ5dGVzLWFuZC1tb3Jl";
const SIGNING_BYTES: &str = "canary-signing-key";
const DATABASE: &str = "canary-database-password";
const KAFKA: &str = "canary-kafka-password";
const API_KEY: &str = "canary-api-key-0123456789";
/// A wrong secret, which must not appear either: it may be the secret of another system.
const WRONG: &str = "canary-wrong-word";
const IMPORTED: &str = "CANARY-IMPORTED-CODE";

/// All collected output, with its source.
#[derive(Default)]
struct Said(Vec<(String, String)>);

impl Said {
    fn note(&mut self, source: impl Into<String>, text: impl Into<String>) {
        self.0.push((source.into(), text.into()));
    }

    fn answer(&mut self, source: &str, answer: Answer) -> i32 {
        self.note(source, answer.stdout + &answer.stderr);
        answer.code
    }

    /// Collects what a running service shows over HTTP and on its command line.
    async fn look_at(&mut self, service: &Service) -> Result<()> {
        for path in ["/metrics", "/readyz", "/livez", "/openapi.json"] {
            let text = reqwest::get(service.url(path)).await?.text().await?;
            self.note(format!("{} {path}", service.name()), text);
        }
        let line = std::fs::read(format!("/proc/{}/cmdline", service.pid()))?;
        let line = String::from_utf8_lossy(&line).into_owned();
        self.note(format!("{}'s command line", service.name()), line);
        self.log_of(service)
    }

    fn log_of(&mut self, service: &Service) -> Result<()> {
        let log = std::fs::read_to_string(service.log())?;
        assert!(!log.is_empty(), "{} logged nothing", service.name());
        self.note(format!("{}'s log", service.name()), log);
        Ok(())
    }

    fn holds_none_of(&self, secrets: &[&str]) {
        for (source, text) in &self.0 {
            for secret in secrets {
                if let Some(at) = text.find(secret) {
                    let around = text.get(at.saturating_sub(200)..at).unwrap_or_default();
                    panic!("{secret} is in {source}, after: {around}");
                }
            }
        }
    }
}

/// Starts a service that lacks something, and waits until `/readyz` gives the reason.
async fn waiting(command: ServiceCommand) -> Result<Service> {
    let service = command.start().await?;
    wait::until(
        "a reason for not being ready",
        || readiness(&service),
        |answer| {
            answer.as_ref().is_ok_and(|(code, parts)| {
                let parts = parts.to_string();
                *code == 503
                    && ["uthentication", "does not answer", "timed out", "refused"]
                        .iter()
                        .any(|word| parts.contains(word))
            })
        },
    )
    .await?;
    Ok(service)
}

#[tokio::test]
async fn no_secret_shows_whatever_goes_well_or_wrong() -> Result<()> {
    let certificates = Certificates::make("secrets")?;
    let port = Port::free()?;
    let sasl = Listener {
        name: "SECURE",
        protocol: "SASL_PLAINTEXT",
        address: port.address(),
    };
    let jaas = format!(
        "org.apache.kafka.common.security.plain.PlainLoginModule required user_checkout=\"{KAFKA}\";"
    );
    let settings = [
        ("sasl.enabled.mechanisms", "PLAIN"),
        ("listener.name.secure.plain.sasl.jaas.config", &jaas),
    ];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let backends = own_backends_with("secrets", |options| {
        options.listeners = vec![sasl];
        options.broker_settings = settings.to_vec();
        options.postgres_tls = Some(certificates.of_postgres());
    })
    .await;
    let system = TestSystem::on(Arc::new(backends), false).await?;
    let keys = PathBuf::from(certificates.path("api-keys"));
    std::fs::write(&keys, format!("{API_KEY}\n"))?;
    system
        .execute_on_vouchers(&format!(
            "CREATE ROLE checkout SUPERUSER LOGIN PASSWORD '{DATABASE}'"
        ))
        .await?;
    let with_password = |url: &str, password: &str| {
        let own = format!("postgres://checkout:{password}@");
        let tls = format!(
            "?sslmode=verify-full&sslrootcert={}",
            certificates.path("ca.pem")
        );
        url.replacen("postgres://postgres@", &own, 1) + &tls
    };
    let orders = with_password(&system.orders_url, DATABASE);
    let vouchers = with_password(&system.vouchers_url, DATABASE);
    let properties = |password: &str| {
        format!(
            "security.protocol=SASL_PLAINTEXT,sasl.mechanism=PLAIN,sasl.username=checkout,\
             sasl.password={password}"
        )
    };
    let secrets = [
        ("KAFKA_BOOTSTRAP_SERVERS", port.address()),
        ("KAFKA_PROPERTIES", properties(KAFKA)),
        ("VOUCHER_SIGNING_KEY", SIGNING_KEY.to_owned()),
        ("API_KEYS_FILE", keys.display().to_string()),
    ];
    let dress = |mut command: ServiceCommand, format: &str, database: &str| {
        for (name, value) in &secrets {
            command = command.env(name, value);
        }
        let command = command.env("LOG_FORMAT", format).env("RUST_LOG", "debug");
        command.env("DATABASE_URL", database)
    };
    let mut said = Said::default();

    // Normal operation, with unusable records.
    let producer = dress(system.producer_command("good").await?, "json", &orders);
    let processor = dress(system.processor_command("good").await?, "json", "");
    let sink = dress(system.sink_command("good").await?, "text", &vouchers);
    let (producer, processor, sink) =
        tokio::try_join!(ready(producer), ready(processor), ready(sink))?;
    let http = Client::new();
    for (key, status) in [(API_KEY, 201), (WRONG, 401)] {
        let order = json!({"order_id": "17", "total": 100});
        let request = http.post(producer.url("/orders")).bearer_auth(key);
        let answer = request.json(&order).send().await?;
        assert_eq!(answer.status(), status);
        said.note(
            format!("an answer {status}"),
            format!("{:?}", answer.headers()),
        );
        said.note(format!("an answer {status}"), answer.text().await?);
    }
    let sent = http.patch(producer.url("/orders/17")).bearer_auth(API_KEY);
    let sent = sent.json(&json!({"status": "SENT"})).send().await?;
    assert_eq!(sent.status(), 200);
    system
        .write_orders(vec![NewRecord::new("bad", "{}")])
        .await?;
    let row = wait::until(
        "the voucher",
        || async { system.vouchers_of("17").await.unwrap_or_default() },
        |rows| rows.len() == 1,
    )
    .await;
    let code = row.first().context("a row")?.code.clone();
    // A code that is taken, which Postgres quotes in its own message.
    let twice = [voucher("1", IMPORTED), voucher("2", IMPORTED)];
    let broken = NewRecord::new("3", format!(r#"{{"code":"{IMPORTED}","amount":"x"}}"#));
    for record in twice.into_iter().chain([broken]) {
        topic::write(system.brokers(), &system.topics.vouchers, vec![record]).await?;
        system
            .caught_up(&system.sink_group(), &system.topics.vouchers)
            .await;
    }
    let letters = topic::read(system.brokers(), &system.topics.vouchers_dead_letters()).await?;
    assert_eq!(letters.len(), 2);
    for letter in letters {
        let message = letter.header("dlq.message").context("a message")?;
        said.note("a letter's message", message);
    }
    for service in [&producer, &processor, &sink] {
        said.look_at(service).await?;
    }

    // Faults: wrong passwords and unreachable hosts.
    let nowhere = format!("postgres://checkout:{DATABASE}@127.0.0.1:1/nowhere");
    let wrong = with_password(&system.vouchers_url, WRONG);
    let unreachable = dress(system.producer_command("bad").await?, "text", &nowhere);
    let refused = dress(system.sink_command("bad").await?, "json", &wrong);
    let unknown = dress(system.processor_command("bad").await?, "text", "");
    let unknown = unknown.env("KAFKA_PROPERTIES", properties(WRONG));
    let (unreachable, refused, unknown) =
        tokio::try_join!(waiting(unreachable), waiting(refused), waiting(unknown))?;
    for service in [&unreachable, &refused, &unknown] {
        said.look_at(service).await?;
    }

    // Commands that succeed and fail, and invalid settings.
    let mut environment: Vec<(&str, &str)> = secrets
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    environment.push(("DATABASE_URL", &vouchers));
    for (service, arguments) in [
        ("producer", ["run", "--help"].as_slice()),
        ("producer", &["check", "--help"]),
        ("processor", &["run", "--help"]),
        ("processor", &["backfill", "--help"]),
        ("sink", &["run", "--help"]),
        ("producer", &["check"]),
        ("processor", &["check"]),
        ("processor", &["explain", "17"]),
        ("processor", &["dead-letters"]),
        ("processor", &["backfill", "--dry-run"]),
        ("sink", &["check", "--json"]),
        ("sink", &["dead-letters"]),
        ("sink", &["redrive", "--dry-run"]),
    ] {
        let answer = system.run_service(service, arguments, &environment).await?;
        said.answer(&format!("{service} {arguments:?}"), answer);
    }
    let wrong_properties = properties(WRONG);
    let no_property = format!("sasl.passwort={KAFKA}");
    let no_url = format!("postgres//checkout:{DATABASE}@h/d");
    let three_words = certificates.path("three-words");
    std::fs::write(&three_words, format!("system {API_KEY} {WRONG}\n"))?;
    for (service, command, name, value, code) in [
        ("sink", "check", "DATABASE_URL", &wrong, 1),
        ("sink", "check", "DATABASE_URL", &nowhere, 1),
        (
            "processor",
            "check",
            "KAFKA_PROPERTIES",
            &wrong_properties,
            1,
        ),
        ("processor", "run", "KAFKA_PROPERTIES", &no_property, 2),
        (
            "processor",
            "run",
            "VOUCHER_SIGNING_KEY",
            &WRONG.to_owned(),
            2,
        ),
        ("sink", "run", "DATABASE_URL", &no_url, 2),
        ("producer", "run", "API_KEYS_FILE", &three_words, 2),
        ("producer", "run", "HTTP_ADDR", &WRONG.to_owned(), 2),
    ] {
        let mut environment = environment.clone();
        environment.push((name, value));
        let answer = system
            .run_service(service, &[command], &environment)
            .await?;
        let source = format!("{service} {command} with a wrong {name}");
        if name == "HTTP_ADDR" {
            // This argument is no place for a secret, and clap repeats it.
            assert!(
                answer.stderr.contains(WRONG),
                "the search itself finds nothing"
            );
            assert_eq!(answer.code, code);
            continue;
        }
        let said_all = format!("{}{}", answer.stdout, answer.stderr);
        assert_eq!(said.answer(&source, answer), code, "{source}: {said_all}");
    }

    let all = [
        SIGNING_KEY,
        SIGNING_BYTES,
        DATABASE,
        KAFKA,
        API_KEY,
        WRONG,
        IMPORTED,
        &code,
    ];
    said.holds_none_of(&all);
    // Half of a code must not appear either.
    let half = code.get(..9).context("a code of four groups")?;
    said.holds_none_of(&[half]);
    // Codes are shown only with `--reveal`.
    let revealed = ["explain", "17", "--json", "--reveal"];
    let revealed = system
        .run_service("processor", &revealed, &environment)
        .await?;
    assert!(revealed.stdout.contains(&code), "{revealed:?}");
    let _: Value = serde_json::from_str(&revealed.stdout)?;
    Ok(())
}
