//! The fault of one order is answered for that order alone: the other orders of its group, and those of
//! other groups, are written meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use end_to_end::http::metric;
use end_to_end::system::{TestSystem, ready};
use end_to_end::wait;
use reqwest::Client;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use stack::Service;

/// The answers to the lines of a bulk request, by order: the status, and the last part of the problem's
/// type.
type Answers = BTreeMap<String, (u64, String)>;

async fn bulk(producer: &Service, ids: &[String], line: impl Fn(&str) -> Value) -> Result<Answers> {
    let body: String = ids.iter().map(|id| format!("{}\n", line(id))).collect();
    let answer = Client::new()
        .post(producer.url("/orders/bulk"))
        .header("content-type", "application/x-ndjson")
        .body(body)
        .send()
        .await?
        .error_for_status()?;
    let text = answer.text().await?;
    let mut answers = Answers::new();
    for (id, line) in ids.iter().zip(text.lines()) {
        let line: Value = serde_json::from_str(line)?;
        let status = line["status"].as_u64().context("a status")?;
        let kind = line["problem"]["type"].as_str().unwrap_or_default();
        let word = kind.trim_start_matches("urn:problem-type:").to_owned();
        answers.insert(id.clone(), (status, word));
    }
    Ok(answers)
}

async fn place(producer: &Service, ids: &[String]) -> Result<Answers> {
    bulk(producer, ids, |id| json!({"order_id": id, "total": "1.00"})).await
}

async fn send(producer: &Service, ids: &[String]) -> Result<Answers> {
    bulk(
        producer,
        ids,
        |id| json!({"op": "status", "order_id": id, "status": "SENT"}),
    )
    .await
}

/// Returns the expected answers: `status` for all ids but those in `but`.
fn expected(ids: &[String], status: u64, but: &[(&str, (u64, &str))]) -> Answers {
    let usual = ids.iter().map(|id| (id.clone(), (status, String::new())));
    let but = but
        .iter()
        .map(|(id, (status, word))| ((*id).to_owned(), (*status, (*word).to_owned())));
    usual.chain(but).collect()
}

fn ids(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("n-{number:03}")).collect()
}

/// Opens a session with a transaction in which these statements were executed.
async fn holding(system: &TestSystem, statements: &str) -> Result<PgConnection> {
    let mut session = PgConnection::connect(&system.orders_url).await?;
    let statements = format!("BEGIN; {statements}");
    sqlx::raw_sql(AssertSqlSafe(statements))
        .execute(&mut session)
        .await?;
    Ok(session)
}

async fn sql(system: &TestSystem, statements: &'static str) -> Result<()> {
    let mut session = PgConnection::connect(&system.orders_url).await?;
    sqlx::raw_sql(statements).execute(&mut session).await?;
    Ok(session.close().await?)
}

async fn lone_writer(system: &TestSystem) -> Result<Service> {
    ready(
        system
            .producer_command("1")
            .await?
            .env("ORDER_WRITERS", "1"),
    )
    .await
}

#[tokio::test]
async fn a_locked_order_is_answered_alone() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let producer = lone_writer(&system).await?;
    let ids = ids(100);
    assert_eq!(place(&producer, &ids).await?, expected(&ids, 201, &[]));
    let lock = "SELECT FROM orders WHERE order_id = 'n-042' FOR UPDATE";
    let session = holding(&system, lock).await?;
    let answers = send(&producer, &ids).await?;
    let locked = ("n-042", (503, "order-locked"));
    assert_eq!(answers, expected(&ids, 200, &[locked]));
    session.close().await?;
    assert_eq!(send(&producer, &ids).await?, expected(&ids, 200, &[]));
    Ok(())
}

#[tokio::test]
async fn an_id_that_an_open_transaction_has_inserted_is_answered_alone() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let producer = lone_writer(&system).await?;
    let ids = ids(100);
    let insert =
        "INSERT INTO orders VALUES ('n-042', 'PENDING', 1, 'EUR', '[]', 1, NULL, now(), now())";
    let session = holding(&system, insert).await?;
    let answers = place(&producer, &ids).await?;
    let locked = ("n-042", (503, "order-locked"));
    assert_eq!(answers, expected(&ids, 201, &[locked]));
    session.close().await?;
    let again = place(&producer, &ids[42..43]).await?;
    assert_eq!(again, expected(&ids[42..43], 201, &[]));
    Ok(())
}

#[tokio::test]
async fn locked_orders_keep_no_writer_from_the_others() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let producer = lone_writer(&system).await?;
    let ids = ids(12);
    assert_eq!(place(&producer, &ids).await?, expected(&ids, 201, &[]));
    let session = holding(&system, "SELECT FROM orders FOR UPDATE").await?;
    let asked: Vec<_> = ids
        .iter()
        .map(|id| {
            let request = Client::new()
                .patch(producer.url(&format!("/orders/{id}")))
                .json(&json!({"status": "SENT"}));
            tokio::spawn(request.send())
        })
        .collect();
    let waiting = || async {
        metric(&producer, "checkout_producer_locked_changes", "")
            .await
            .unwrap_or_default()
    };
    wait::until("all wait for the lock", waiting, |count| *count == 12).await;
    let others: Vec<String> = (0..50).map(|number| format!("other-{number}")).collect();
    assert_eq!(
        place(&producer, &others).await?,
        expected(&others, 201, &[])
    );
    assert!(
        asked.iter().all(|asked| !asked.is_finished()),
        "the others had to wait until the locked ones were given up"
    );
    session.close().await?;
    for asked in asked {
        assert_eq!(asked.await??.status(), 200);
    }
    assert_eq!(waiting().await, 0);
    Ok(())
}

#[tokio::test]
async fn a_hot_order_delays_no_other_order() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let producer = lone_writer(&system).await?;
    let hot = vec!["hot".to_owned()];
    assert_eq!(place(&producer, &hot).await?, expected(&hot, 201, &[]));
    let session = holding(&system, "SELECT FROM orders FOR UPDATE").await?;
    // The maximum number of concurrent bulk requests, each with the maximum number of lines in flight.
    let line = json!({"op": "status", "order_id": "hot", "status": "SENT"});
    let body = format!("{line}\n").repeat(64);
    let client = Client::new();
    let bulks: Vec<_> = (0..16)
        .map(|_| {
            let request = client
                .post(producer.url("/orders/bulk"))
                .header("content-type", "application/x-ndjson")
                .body(body.clone());
            tokio::spawn(request.send())
        })
        .collect();
    let waiting = || async {
        let count = metric(&producer, "checkout_http_connections", "").await;
        count.unwrap_or_default()
    };
    wait::until("the bulk requests", waiting, |count| *count >= 16).await;
    for number in 0..20 {
        let order = json!({"order_id": format!("cold-{number}"), "total": "1.00"});
        let placed = client.post(producer.url("/orders")).json(&order).send();
        let placed = tokio::time::timeout(Duration::from_secs(4), placed).await;
        let placed = placed.context("an order behind the hot one")??;
        assert_eq!(placed.status(), 201);
    }
    session.close().await?;
    for bulk in bulks {
        let answer = bulk.await??.text().await?;
        assert_eq!(answer.lines().count(), 64);
    }
    Ok(())
}

#[tokio::test]
async fn an_order_that_cannot_be_read_is_told_and_the_others_are_served() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let producer = lone_writer(&system).await?;
    let ids = ids(5);
    assert_eq!(place(&producer, &ids).await?, expected(&ids, 201, &[]));
    sql(
        &system,
        r#"UPDATE orders SET products = '[{"sku": 7}]' WHERE order_id = 'n-001';
           UPDATE orders SET created_at = 'infinity' WHERE order_id = 'n-003'"#,
    )
    .await?;
    let page: Value = reqwest::get(producer.url("/orders?limit=4"))
        .await?
        .json()
        .await?;
    let orders = page["orders"].as_array().context("orders")?;
    let listed: Vec<&str> = orders
        .iter()
        .filter_map(|order| order["order_id"].as_str())
        .collect();
    assert_eq!(listed, ["n-000", "n-002"], "{page}");
    assert_eq!(page["unreadable"], json!(["n-001", "n-003"]), "{page}");
    let next = page["next"].as_str().context("a next page")?;
    let page: Value = reqwest::get(producer.url(next)).await?.json().await?;
    assert_eq!(page["orders"][0]["order_id"], "n-004", "{page}");
    assert_eq!(page["unreadable"], Value::Null, "{page}");
    for id in ["n-001", "n-003"] {
        let answer = reqwest::get(producer.url(&format!("/orders/{id}"))).await?;
        assert_eq!(answer.status(), 500);
        let problem: Value = answer.json().await?;
        assert_eq!(problem["type"], "urn:problem-type:order-unreadable");
        let detail = problem["detail"].as_str().context("a detail")?;
        assert!(detail.contains(id), "{detail}");
    }
    let unreadable = (500, "order-unreadable");
    let but = [("n-001", unreadable), ("n-003", unreadable)];
    assert_eq!(send(&producer, &ids).await?, expected(&ids, 200, &but));
    Ok(())
}

#[tokio::test]
async fn a_row_whose_statement_fails_is_answered_alone() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let producer = lone_writer(&system).await?;
    sql(
        &system,
        "CREATE FUNCTION judge() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF NEW.order_id = 'n-017' THEN PERFORM pg_sleep(60); END IF;
             IF NEW.order_id = 'n-042' THEN RAISE 'not this one'; END IF;
             RETURN NEW;
         END $$;
         CREATE TRIGGER judge BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION judge()",
    )
    .await?;
    let ids = ids(64);
    let answers = place(&producer, &ids).await?;
    let but = [
        ("n-017", (503, "statement-failed")),
        ("n-042", (422, "invalid")),
    ];
    assert_eq!(answers, expected(&ids, 201, &but));
    Ok(())
}

#[tokio::test]
async fn tables_that_somebody_has_locked_are_waited_for() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let producer = lone_writer(&system).await?;
    let session = holding(&system, "LOCK TABLE orders IN SHARE MODE").await?;
    let placing = {
        let request = Client::new()
            .post(producer.url("/orders"))
            .json(&json!({"order_id": "n-000", "total": "1.00"}));
        tokio::spawn(request.send())
    };
    let failed = || async {
        metric(
            &producer,
            "checkout_producer_groups_total",
            "outcome=\"failed\"",
        )
        .await
        .unwrap_or_default()
    };
    wait::until("a group that met the lock", failed, |count| *count > 0).await;
    let waiting = || async {
        metric(&producer, "checkout_producer_locked_changes", "")
            .await
            .unwrap_or_default()
    };
    wait::until("the change that waits", waiting, |count| *count == 1).await;
    session.close().await?;
    assert_eq!(placing.await??.status(), 201);
    assert_eq!(waiting().await, 0);
    let ids = ids(3);
    let _session = holding(&system, "LOCK TABLE orders IN SHARE MODE").await?;
    let locked = (503, "tables-locked");
    let all = [("n-000", locked), ("n-001", locked), ("n-002", locked)];
    assert_eq!(place(&producer, &ids).await?, expected(&[], 0, &all));
    Ok(())
}
