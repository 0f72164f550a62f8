//! The registry as companies run it: several addresses, users, tokens, a private authority, client
//! certificates.

use std::path::PathBuf;

use anyhow::Result;
use apache_avro::types::Value;
use end_to_end::certificates::Certificates;
use end_to_end::http::readiness;
use end_to_end::registry_proxy::{Protocol, RegistryProxy};
use end_to_end::system::{START, TestSystem, ready};
use end_to_end::topic::NewRecord;
use end_to_end::wait;
use serde_json::json;
use stack::{Port, Service};

use crate::record::{encode, framed};

/// A password that must be percent-encoded in a URL.
const PASSWORD: &str = "pa/ss+w@rd%41";

const BASIC: &str = "Basic bWU6cGEvc3Mrd0ByZCU0MQ==";

/// Environment variables of a service.
type Variables<'a> = [(&'a str, &'a str)];

/// Returns a record with a newly registered schema, which no process has cached.
async fn new_record(system: &TestSystem, key: &str) -> Result<NewRecord> {
    let schema = json!({"type": "record", "name": "OrderStatus", "fields": [
        {"name": "order_id", "type": "string"},
        {"name": "status", "type": "string"},
        {"name": "total", "type": "int"},
        {"name": format!("of_{key}"), "type": "null"}]})
    .to_string();
    let subject = format!("{key}-{}", system.name);
    let id = system.backends.register_schema(&subject, &schema).await?;
    let fields = [
        ("order_id".to_owned(), Value::String(key.to_owned())),
        ("status".to_owned(), Value::String("SENT".to_owned())),
        ("total".to_owned(), Value::Int(100)),
        (format!("of_{key}"), Value::Null),
    ];
    let body = encode(&schema, Value::Record(fields.into()))?;
    Ok(NewRecord::new(key, framed(u32::try_from(id)?, &body)))
}

async fn processor(
    system: &TestSystem,
    instance: &str,
    variables: &Variables<'_>,
) -> Result<Service> {
    let mut command = system.processor_command(instance).await?;
    for (name, value) in variables {
        command = command.env(name, *value);
    }
    ready(command).await
}

/// Writes an order with a new schema, and waits for its voucher.
async fn earns(system: &TestSystem, key: &str) -> Result<()> {
    system
        .write_orders(vec![new_record(system, key).await?])
        .await?;
    voucher(system, key).await;
    Ok(())
}

async fn voucher(system: &TestSystem, key: &str) {
    let has_voucher = || async {
        let vouchers = system.voucher_records().await.unwrap_or_default();
        let mut keys = vouchers.iter().filter_map(|voucher| voucher.key.as_deref());
        keys.any(|found| found == key.as_bytes())
    };
    wait::until(&format!("the voucher of {key}"), has_voucher, |there| {
        *there
    })
    .await;
}

/// Writes an order with a new schema, and waits until the processor says why it cannot be read.
async fn waits_because(system: &TestSystem, service: &Service, key: &str, why: &str) -> Result<()> {
    system
        .write_orders(vec![new_record(system, key).await?])
        .await?;
    let reason = || async {
        let (_, parts) = readiness(service).await.unwrap_or_default();
        parts["parts"]["registry-0"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let what = format!("the processor to wait because of {why}");
    wait::until(&what, reason, |reason| reason.contains(why)).await;
    Ok(())
}

/// Returns subject, level and sentence of each verdict of `processor check` on the registry and its
/// schemas.
async fn checked(
    system: &TestSystem,
    variables: &Variables<'_>,
) -> Result<Vec<(String, String, String)>> {
    let answer = system
        .run_processor(&["check", "--json"], variables)
        .await?;
    let json: serde_json::Value = serde_json::from_str(&answer.stdout)?;
    let verdicts = json["verdicts"].as_array().into_iter().flatten();
    let text = |verdict: &serde_json::Value, name: &str| {
        verdict[name].as_str().unwrap_or_default().to_owned()
    };
    Ok(verdicts
        .map(|verdict| {
            let finding = text(verdict, "finding");
            (text(verdict, "subject"), text(verdict, "level"), finding)
        })
        .filter(|(subject, ..)| subject.starts_with("registry") || subject.starts_with("schema"))
        .collect())
}

/// Asserts that `processor check` fails on the registry and gives this reason.
#[track_caller]
fn fails_because(found: &[(String, String, String)], why: &str) {
    assert!(!found.is_empty());
    for (subject, level, finding) in found {
        assert_eq!(level, "fail", "{subject}: {finding}");
        assert!(finding.contains(why), "{subject}: no {why} in {finding}");
        assert!(
            !finding.contains(PASSWORD) && !finding.contains("token-"),
            "{finding}"
        );
    }
}

#[track_caller]
fn all_is_well(found: &[(String, String, String)], url: &str) {
    assert!(found.iter().all(|(_, level, _)| level == "ok"), "{found:?}");
    let answers = format!("{url} answers");
    assert!(
        found.iter().any(|(_, _, finding)| *finding == answers),
        "{found:?}"
    );
}

fn no_secret_is_in_the_log(service: &Service) -> Result<()> {
    let log = std::fs::read_to_string(service.log())?;
    for secret in [PASSWORD, "pa%2Fss", &BASIC[6..], "token-"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    Ok(())
}

#[tokio::test]
async fn the_next_registry_of_a_list_is_asked() -> Result<()> {
    let system = TestSystem::open().await?;
    let nobody = Port::free()?;
    let first = RegistryProxy::open(system.backends.schema_registry_url(), Protocol::Plain).await?;
    let second =
        RegistryProxy::open(system.backends.schema_registry_url(), Protocol::Plain).await?;
    let away = format!("http://{}", nobody.address());
    let list = format!("{away},{}, {}", first.url(), second.url());
    let variables = [("SCHEMA_REGISTRY_URL", list.as_str())];
    let found = checked(&system, &variables).await?;
    let levels: Vec<_> = found
        .iter()
        .map(|(subject, level, _)| (subject.as_str(), level.as_str()))
        .collect();
    let expected = [
        ("registry 1", "warn"),
        ("registry 2", "ok"),
        ("registry 3", "ok"),
    ];
    assert_eq!(levels[..3], expected, "{found:?}");
    assert!(
        found[0].2.contains(&away) && found[0].2.contains("refused"),
        "{found:?}"
    );
    assert!(
        levels[3..].iter().all(|(_, level)| *level == "ok"),
        "{found:?}"
    );

    let processor = processor(&system, "1", &variables).await?;
    earns(&system, "by_first").await?;
    let before = (first.forwarded(), second.forwarded());
    assert!(before.0 > 0);
    drop(first);
    earns(&system, "by_second").await?;
    assert!(second.forwarded() > before.1);
    let (code, parts) = readiness(&processor).await?;
    assert_eq!(code, 200, "{parts}");
    Ok(())
}

#[tokio::test]
async fn a_user_and_a_password_of_any_characters_are_let_in() -> Result<()> {
    let system = TestSystem::open().await?;
    let proxy = RegistryProxy::open(system.backends.schema_registry_url(), Protocol::Plain).await?;
    proxy.accept(BASIC);
    let url = proxy.url();
    let with_user = |user: &str| url.replace("http://", &format!("http://{user}@"));

    // A URL with the unencoded password is refused with exit code 2 and says what to write.
    let raw = with_user(&format!("me:{PASSWORD}"));
    let refused = system
        .run_processor(&["run"], &[("SCHEMA_REGISTRY_URL", &raw)])
        .await?;
    assert_eq!(refused.code, 2);
    for part in [
        "SCHEMA_REGISTRY_URL",
        "%2F",
        "SCHEMA_REGISTRY_PASSWORD_FILE",
    ] {
        assert!(refused.stderr.contains(part), "{}", refused.stderr);
    }
    assert!(!refused.stderr.contains("pa/ss"), "{}", refused.stderr);

    let nobody = [("SCHEMA_REGISTRY_URL", url)];
    fails_because(
        &checked(&system, &nobody).await?,
        "set SCHEMA_REGISTRY_USERNAME",
    );
    let wrong = with_user("me:hunter2");
    let found = checked(&system, &[("SCHEMA_REGISTRY_URL", &wrong)]).await?;
    fails_because(
        &found,
        "it does not accept the user and password of SCHEMA_REGISTRY_URL",
    );
    assert!(!format!("{found:?}").contains("hunter2"));

    let encoded = with_user("me:pa%2Fss%2Bw%40rd%2541");
    let by_url = [("SCHEMA_REGISTRY_URL", encoded.as_str())];
    all_is_well(&checked(&system, &by_url).await?, url);
    let file = Certificates::make("registry-user")?;
    let file = file.folder().join("password");
    std::fs::write(&file, format!("{PASSWORD}\n"))?;
    let file = file.display().to_string();
    let by_file = [
        ("SCHEMA_REGISTRY_URL", url),
        ("SCHEMA_REGISTRY_USERNAME", "me"),
        ("SCHEMA_REGISTRY_PASSWORD_FILE", &file),
    ];
    all_is_well(&checked(&system, &by_file).await?, url);
    for (key, variables) in [("by_url", &by_url[..]), ("by_file", &by_file)] {
        let processor = processor(&system, key, variables).await?;
        earns(&system, key).await?;
        processor.terminate(START).await?;
        no_secret_is_in_the_log(&processor)?;
    }

    // The relay looks up the id of the schema that it writes.
    let producer = system.producer_command("1").await?;
    let producer = ready(producer.env("SCHEMA_REGISTRY_URL", &encoded)).await?;
    let order = json!({"order_id": "of-relay", "total": "100"});
    let placed = reqwest::Client::new()
        .post(producer.url("/orders"))
        .json(&order)
        .send();
    assert_eq!(placed.await?.status(), 201);
    let published = || async { system.order_records().await.unwrap_or_default() };
    let of_relay = |records: &Vec<end_to_end::topic::Record>| {
        let mut keys = records.iter().filter_map(|record| record.key.as_deref());
        keys.any(|key| key == b"of-relay")
    };
    wait::until("the relay's record", published, of_relay).await;
    no_secret_is_in_the_log(&producer)
}

#[tokio::test]
async fn a_token_is_read_again_when_its_file_changes() -> Result<()> {
    let system = TestSystem::open().await?;
    let proxy = RegistryProxy::open(system.backends.schema_registry_url(), Protocol::Plain).await?;
    proxy.accept("Bearer token-1");
    proxy.forbid("Bearer token-0");
    let folder = Certificates::make("registry-token")?;
    let file = folder.folder().join("token");
    let path = file.display().to_string();
    let variables = [
        ("SCHEMA_REGISTRY_URL", proxy.url()),
        ("SCHEMA_REGISTRY_TOKEN_FILE", &path),
    ];
    std::fs::write(&file, "token-0\n")?;
    fails_because(&checked(&system, &variables).await?, "403 Forbidden");
    std::fs::write(&file, "token-1\n")?;
    all_is_well(&checked(&system, &variables).await?, proxy.url());
    let by_variable = [
        ("SCHEMA_REGISTRY_URL", proxy.url()),
        ("SCHEMA_REGISTRY_TOKEN", "token-1"),
    ];
    all_is_well(&checked(&system, &by_variable).await?, proxy.url());

    let processor = processor(&system, "1", &variables).await?;
    earns(&system, "first").await?;
    proxy.accept("Bearer token-2");
    let why = "it does not accept SCHEMA_REGISTRY_TOKEN_FILE";
    waits_because(&system, &processor, "second", why).await?;
    std::fs::write(&file, "token-2\n")?;
    voucher(&system, "second").await;
    processor.wait_ready(START).await?;
    no_secret_is_in_the_log(&processor)
}

#[tokio::test]
async fn a_private_authority_and_client_certificates_are_believed() -> Result<()> {
    let system = TestSystem::open().await?;
    let certificates = Certificates::make("registry-tls")?;
    let path = |name: &str| certificates.path(name);
    let (ca, stranger, certificate) = (path("ca.pem"), path("stranger.pem"), path("sink.pem"));
    // cert-manager writes keys as PKCS #1.
    let key = certificates.traditional_key("sink")?;
    let registry = system.backends.schema_registry_url();
    let tls = RegistryProxy::open(registry, Protocol::Tls(&certificates)).await?;
    let mutual = RegistryProxy::open(registry, Protocol::MutualTls(&certificates)).await?;

    let url = ("SCHEMA_REGISTRY_URL", tls.url());
    fails_because(
        &checked(&system, &[url]).await?,
        "set SCHEMA_REGISTRY_CA_FILE",
    );
    let other = ("SCHEMA_REGISTRY_CA_FILE", stranger.as_str());
    fails_because(
        &checked(&system, &[url, other]).await?,
        "set SCHEMA_REGISTRY_CA_FILE",
    );
    let host = tls.url().replace("127.0.0.1", "localhost");
    let elsewhere = ("SCHEMA_REGISTRY_URL", host.as_str());
    let own = ("SCHEMA_REGISTRY_CA_FILE", ca.as_str());
    fails_because(
        &checked(&system, &[elsewhere, own]).await?,
        "another host's",
    );
    let plain = registry.replace("http://", "https://");
    let no_tls = [("SCHEMA_REGISTRY_URL", plain.as_str()), own];
    fails_because(&checked(&system, &no_tls).await?, "write http://");
    all_is_well(&checked(&system, &[url, own]).await?, tls.url());

    let asks = ("SCHEMA_REGISTRY_URL", mutual.url());
    fails_because(
        &checked(&system, &[asks, own]).await?,
        "SCHEMA_REGISTRY_CERTIFICATE_FILE",
    );
    let key = key.display().to_string();
    let identified = [
        asks,
        own,
        ("SCHEMA_REGISTRY_CERTIFICATE_FILE", certificate.as_str()),
        ("SCHEMA_REGISTRY_KEY_FILE", &key),
    ];
    all_is_well(&checked(&system, &identified).await?, mutual.url());
    let other_key = path("broker.key");
    let mut wrong = identified;
    wrong[3].1 = &other_key;
    let refused = system.run_processor(&["run"], &wrong).await?;
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(
        refused.stderr.contains("it is not the key of"),
        "{}",
        refused.stderr
    );

    for (instance, variables) in [("tls", &[url, own][..]), ("mutual", &identified)] {
        let processor = processor(&system, instance, variables).await?;
        earns(&system, instance).await?;
        processor.terminate(START).await?;
    }
    Ok(())
}

/// OpenSSL would ask for the passphrase on a terminal, so the setting is refused with exit code 2.
#[tokio::test]
async fn a_key_with_a_passphrase_is_refused_with_what_to_do() -> Result<()> {
    let system = TestSystem::open().await?;
    let certificates = Certificates::make("registry-passphrase")?;
    let key: PathBuf = certificates.encrypted_key("sink")?;
    let (certificate, key) = (certificates.path("sink.pem"), key.display().to_string());
    let variables = [
        ("SCHEMA_REGISTRY_URL", "https://127.0.0.1:9"),
        ("SCHEMA_REGISTRY_CERTIFICATE_FILE", &*certificate),
        ("SCHEMA_REGISTRY_KEY_FILE", &key),
    ];
    let refused = system.run_processor(&["run"], &variables).await?;
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(
        refused.stderr.contains("openssl pkey"),
        "{}",
        refused.stderr
    );
    Ok(())
}
