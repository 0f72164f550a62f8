//! Access to Postgres: verified TLS and passwords. Each service has only the rights that it needs.

use std::sync::Arc;

use anyhow::{Context, Result};
use end_to_end::backends::own_postgres;
use end_to_end::certificates::Certificates;
use end_to_end::http::readiness;
use end_to_end::system::{TestSystem, ready};
use end_to_end::wait;
use reqwest::Client;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use stack::{Service, ServiceCommand};

/// The page that documents the rights. This test grants exactly what the page says.
const DOCUMENT: &str = include_str!("../../../../docs/access-rights.md");

const PASSWORD: &str = "database-secret";

/// Returns the GRANT lines of a role.
fn grants_to(role: &str) -> Vec<&'static str> {
    let end = format!(" TO {role};");
    let lines = DOCUMENT.lines().map(str::trim);
    lines
        .filter(|line| line.starts_with("GRANT ") && line.ends_with(&end))
        .collect()
}

async fn execute(pool: &PgPool, statement: String) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(statement.clone()))
        .execute(pool)
        .await
        .context(statement)?;
    Ok(())
}

/// Returns the URL of a database for another role, over TLS.
fn url_of(url: &str, role: &str, options: &str) -> String {
    let own = format!("postgres://{role}:{PASSWORD}@");
    format!(
        "{}?{options}",
        url.replacen("postgres://postgres@", &own, 1)
    )
}

/// Creates the tables as their owner, and a role with the documented rights.
async fn tables_and_rights(system: &TestSystem, service: &str, authority: &str) -> Result<()> {
    let (pool, url) = match service {
        "producer" => (system.orders(), &system.orders_url),
        _ => (system.vouchers_database(), &system.vouchers_url),
    };
    let owner = format!("{service}_owner");
    let database = url.rsplit('/').next().unwrap_or_default();
    for role in [owner.as_str(), service] {
        execute(
            pool,
            format!("CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'"),
        )
        .await?;
    }
    execute(
        pool,
        format!("ALTER DATABASE \"{database}\" OWNER TO {owner}"),
    )
    .await?;
    let as_owner = url_of(url, &owner, authority);
    let environment = [("DATABASE_URL", as_owner.as_str())];
    let migrated = system.run_service(service, &["migrate"], &environment);
    let migrated = migrated.await?;
    assert_eq!(migrated.code, 0, "{migrated:?}");
    let grants = grants_to(service);
    assert!(
        !grants.is_empty(),
        "docs/access-rights.md grants {service} nothing"
    );
    for grant in grants {
        execute(pool, grant.to_owned()).await?;
    }
    Ok(())
}

/// Starts a service that cannot connect, and waits until `/readyz` gives the reason.
async fn says_while_it_waits(command: ServiceCommand, words: &str) -> Result<Service> {
    let service = command.start().await?;
    wait::until(
        words,
        || readiness(&service),
        |answer| {
            answer
                .as_ref()
                .is_ok_and(|(code, parts)| *code == 503 && parts.to_string().contains(words))
        },
    )
    .await?;
    Ok(service)
}

/// Sends a request whose idempotency key is derived from its path, so that each path is a request of its
/// own.
async fn post(producer: &Service, path: &str, body: Value) -> Result<reqwest::Response> {
    let request = Client::new().post(producer.url(path));
    let request = request.header("idempotency-key", format!("cart{}", path.replace('/', "-")));
    Ok(request.json(&body).send().await?)
}

#[tokio::test]
async fn each_service_works_over_verified_tls_with_the_rights_that_are_written_down() -> Result<()>
{
    let certificates = Certificates::make("postgres")?;
    let tls = certificates.of_postgres();
    let backends = own_postgres("database-rights", |options| {
        options.postgres_tls = Some(tls)
    });
    let backends = backends.await;
    let system = TestSystem::on(Arc::new(backends), false).await?;
    let by = |name: &str| {
        format!(
            "sslmode=verify-full&sslrootcert={}",
            certificates.path(name)
        )
    };
    let (authority, stranger) = (by("ca.pem"), by("stranger.pem"));
    for service in ["producer", "sink"] {
        tables_and_rights(&system, service, &authority).await?;
    }
    let producer = |options: &str| url_of(&system.orders_url, "producer", options);
    let sink = |options: &str| url_of(&system.vouchers_url, "sink", options);

    // A server with a certificate of another authority, and a connection without TLS: the services wait and
    // report the reason.
    let strange = system.sink_command("strange").await?;
    let strange = strange.env("DATABASE_URL", sink(&stranger));
    let plain = system.producer_command("plain").await?;
    let plain = plain.env("DATABASE_URL", producer("sslmode=disable"));
    let (strange, plain) = tokio::try_join!(
        says_while_it_waits(strange, "certificate verify failed"),
        says_while_it_waits(plain, "no encryption"),
    )?;

    let command = system.producer_command("1").await?;
    let ingress = ready(command.env("DATABASE_URL", producer(&authority))).await?;
    let command = system.sink_command("1").await?;
    let table = ready(command.env("DATABASE_URL", sink(&authority))).await?;
    let _processor = system.processor().await?;
    let order = json!({"order_id": "17", "total": "100.00"});
    for _ in 0..2 {
        let placed = post(&ingress, "/orders", order.clone()).await?;
        assert_eq!(placed.status(), 201, "{}", placed.text().await?);
    }
    let sent = Client::new().patch(ingress.url("/orders/17"));
    let sent = sent.json(&json!({"status": "SENT"})).send().await?;
    assert_eq!(sent.status(), 200, "{}", sent.text().await?);
    let old = json!({"total": 5, "products": [{"name": "shirt", "price": 5}]});
    let old = post(&ingress, "/order/create", old).await?;
    assert_eq!(old.status(), 200, "{}", old.text().await?);
    let listed = reqwest::get(ingress.url("/orders?status=SENT")).await?;
    assert_eq!(listed.json::<Value>().await?["orders"][0]["order_id"], "17");
    wait::until(
        "the voucher's row",
        || async { system.vouchers().await.unwrap_or_default() },
        |rows| rows.len() == 1,
    )
    .await;
    for service in [&ingress, &table, &strange, &plain] {
        let log = std::fs::read_to_string(service.log())?;
        assert!(!log.contains("permission denied"), "{log}");
        assert!(!log.contains(PASSWORD), "{}: a password", service.name());
    }

    // Everything else is refused.
    let refused = [
        (system.orders(), "producer", "DELETE FROM orders"),
        (system.orders(), "producer", "CREATE TABLE mine ()"),
        (system.vouchers_database(), "sink", "DELETE FROM vouchers"),
        (
            system.vouchers_database(),
            "sink",
            "UPDATE vouchers SET amount = 1",
        ),
    ];
    for (pool, role, statement) in refused {
        let tried = execute(pool, format!("SET ROLE {role}; {statement}")).await;
        let why = format!("{:#}", tried.err().context(statement)?);
        assert!(why.contains("permission denied"), "{why}");
    }
    Ok(())
}
