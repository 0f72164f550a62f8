//! What clients do over HTTP, from the request to the row.

use anyhow::{Context, Result};
use end_to_end::system::TestSystem;
use end_to_end::wait;
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use stack::Service;

struct Ingress<'a> {
    http: Client,
    producer: &'a Service,
}

impl Ingress<'_> {
    async fn call(&self, method: Method, path: &str, body: Value) -> Result<Response> {
        let request = self.http.request(method, self.producer.url(path));
        Ok(request.json(&body).send().await?)
    }

    async fn place(&self, order_id: &str, total: &str) -> Result<()> {
        let order = json!({"order_id": order_id, "total": total});
        let placed = self.call(Method::POST, "/orders", order).await?;
        assert_eq!(placed.status(), 201, "{}", placed.text().await?);
        Ok(())
    }

    /// Changes the status of an order; returns the order's new version.
    async fn change(&self, order_id: &str, status: &str) -> Result<i64> {
        let path = format!("/orders/{order_id}");
        let body = json!({"status": status});
        let changed = self.call(Method::PATCH, &path, body).await?;
        assert_eq!(changed.status(), 200, "{order_id} {status}");
        let order: Value = changed.json().await?;
        order["version"].as_i64().context("a version")
    }
}

#[tokio::test]
async fn a_sent_order_is_one_voucher_whatever_is_repeated() -> Result<()> {
    let system = TestSystem::open().await?;
    let producer = system.producer().await?;
    let _processor = system.processor().await?;
    let _sink = system.sink().await?;
    let ingress = Ingress {
        http: Client::new(),
        producer: &producer,
    };

    ingress.place("at-the-threshold", "100.00").await?;
    assert_eq!(ingress.change("at-the-threshold", "SENT").await?, 2);
    ingress.place("below", "99.99").await?;
    ingress.change("below", "SENT").await?;
    ingress.place("never-sent", "500.00").await?;
    ingress.place("taken-back-before", "500.00").await?;
    ingress.change("taken-back-before", "CANCELLED").await?;

    ingress.place("patched-twice", "100.00").await?;
    assert_eq!(ingress.change("patched-twice", "SENT").await?, 2);
    assert_eq!(
        ingress.change("patched-twice", "SENT").await?,
        2,
        "the same status again is no new version"
    );
    for (order, end) in [("delivered", "DELIVERED"), ("taken-back", "CANCELLED")] {
        ingress.place(order, "100.01").await?;
        ingress.change(order, "SENT").await?;
        assert_eq!(ingress.change(order, end).await?, 3, "{order}");
    }
    let mut made = Vec::new();
    for _ in 0..2 {
        let request = ingress
            .http
            .post(producer.url("/orders"))
            .header("Idempotency-Key", "one-request")
            .json(&json!({"total": "250.50"}));
        let placed: Value = request.send().await?.error_for_status()?.json().await?;
        made.push(placed["order_id"].as_str().context("an id")?.to_owned());
    }
    assert_eq!(made[0], made[1], "the second answer is the first one's");
    ingress.change(&made[0], "SENT").await?;

    let mut expected = vec![
        "at-the-threshold",
        "delivered",
        "patched-twice",
        "taken-back",
    ];
    expected.insert(0, &made[0]);
    let rows = wait::until(
        "five vouchers",
        || async { system.vouchers().await.unwrap_or_default() },
        |rows| rows.len() >= expected.len(),
    )
    .await;
    system.settled().await;
    assert_eq!(system.vouchers().await?, rows, "nothing came after them");
    let mut orders: Vec<_> = rows.iter().map(|row| row.order_id.as_str()).collect();
    orders.sort_unstable();
    expected.sort_unstable();
    assert_eq!(orders, expected);
    for row in &rows {
        assert_eq!(row.amount.to_string(), "5.00");
        assert_eq!(
            (row.currency.as_str(), row.campaign.as_str()),
            ("EUR", "order-reward")
        );
    }
    assert!(system.dead_letters().await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn the_old_systems_clients_move_over_unchanged() -> Result<()> {
    let system = TestSystem::open().await?;
    let producer = system.producer().await?;
    let _processor = system.processor().await?;
    let _sink = system.sink().await?;
    let ingress = Ingress {
        http: Client::new(),
        producer: &producer,
    };
    let order = json!({"total": 150, "products": [{"name": "shirt", "price": 150}]});
    let placed = ingress.call(Method::POST, "/order/create", order).await?;
    assert_eq!(placed.status(), 200);
    let placed: Value = placed.json().await?;
    let id = placed["id"].as_i64().context("an integer id")?;
    let sent = json!({"id": id, "status": "SENT"});
    let sent = ingress
        .call(Method::POST, "/order/status-update", sent)
        .await?;
    assert_eq!(sent.status(), 200);
    let sent: Value = sent.json().await?;
    assert_eq!(sent["total"], "150.00");
    for probe in ["/healthz", "/readiness"] {
        let answer = reqwest::get(producer.url(probe)).await?;
        assert_eq!(
            (answer.status().as_u16(), answer.text().await?.as_str()),
            (200, "OK")
        );
    }
    let rows = wait::until(
        "the voucher of the old client's order",
        || async {
            system
                .vouchers_of(&id.to_string())
                .await
                .unwrap_or_default()
        },
        |rows| !rows.is_empty(),
    )
    .await;
    assert_eq!(rows.len(), 1);
    Ok(())
}

/// Returns request bodies that are not a valid order.
fn bad_orders() -> Vec<(&'static str, Vec<u8>)> {
    let products = vec![r#"{"name":"shirt","price":1}"#; 1000].join(",");
    let texts = [
        ("empty", ""),
        ("malformed", r#"{"total": 100"#),
        ("trailing", r#"{"total": 100} {}"#),
        ("no object", "[1]"),
        ("null", "null"),
        ("no total", "{}"),
        ("a null total", r#"{"total":null}"#),
        ("too large a number", r#"{"total":1e400}"#),
        ("an endless exponent", r#"{"total":1e999999999}"#),
        ("negative", r#"{"total":-1}"#),
        ("NaN", r#"{"total":NaN}"#),
        ("NaN as text", r#"{"total":"NaN"}"#),
        ("infinite", r#"{"total":"Infinity"}"#),
        ("three decimals", r#"{"total":"100.001"}"#),
        ("a list as total", r#"{"total":[100]}"#),
        ("an object as total", r#"{"total":{"$gt":0}}"#),
        ("a truth as total", r#"{"total":true}"#),
        (
            "SQL as total",
            r#"{"total":"100'); drop table orders; --"}"#,
        ),
        (
            "SQL as currency",
            r#"{"total":100,"currency":"EUR'; drop table orders; --"}"#,
        ),
        (
            "a control character in the id",
            r#"{"order_id":"a\u0000b","total":100}"#,
        ),
        ("an empty id", r#"{"order_id":"","total":100}"#),
        ("an id of another kind", r#"{"order_id":["1"],"total":100}"#),
        ("a lone surrogate", r#"{"order_id":"\ud800","total":100}"#),
        (
            "products that are no list",
            r#"{"total":100,"products":{}}"#,
        ),
        (
            "a price of another kind",
            r#"{"total":100,"products":[{"name":"a","price":[]}]}"#,
        ),
        ("total twice", r#"{"total":100,"total":200}"#),
    ];
    let mut bodies: Vec<_> = texts
        .into_iter()
        .map(|(what, text)| (what, text.as_bytes().to_vec()))
        .collect();
    bodies.extend([
        (
            "a thousand products",
            format!(r#"{{"total":100,"products":[{products}]}}"#).into_bytes(),
        ),
        (
            "huge",
            format!(r#"{{"total":100,"note":"{}"}}"#, "x".repeat(1 << 20)).into_bytes(),
        ),
        (
            "deep",
            [b"[".repeat(100_000), b"]".repeat(100_000)].concat(),
        ),
        (
            "no UTF-8",
            b"{\"order_id\":\"\xff\xfe\",\"total\":100}".to_vec(),
        ),
        ("zeros", vec![0; 100]),
    ]);
    bodies
}

#[tokio::test]
async fn bad_requests_are_problems_and_the_service_lives() -> Result<()> {
    let system = TestSystem::open().await?;
    let producer = system.producer().await?;
    let ingress = Ingress {
        http: Client::new(),
        producer: &producer,
    };
    for path in ["/orders", "/order/create"] {
        for (what, body) in bad_orders() {
            // The old route assigns the id itself and ignores these fields.
            let unread = path == "/order/create"
                && (what.contains(" id")
                    || what.contains("surrogate")
                    || what.contains("currency"));
            if unread || what == "no UTF-8" && path == "/order/create" {
                continue;
            }
            let request = ingress.http.post(producer.url(path));
            let request = request
                .header("content-type", "application/json")
                .body(body);
            problem(request.send().await?, &format!("{path}: {what}")).await?;
        }
    }
    ingress
        .place("17'; drop table orders; --", "100.00")
        .await?;
    let odd = ingress
        .http
        .get(producer.url("/orders/17'%3B%20drop%20table%20orders%3B%20--"))
        .send()
        .await?;
    assert_eq!(odd.status(), 200, "an id is text, never SQL");
    ingress.place("known", "100.00").await?;
    let changes = [
        ("/orders/known", json!({"status": "LOST"}), 422),
        ("/orders/known", json!({"status": 1}), 422),
        ("/orders/known", json!({}), 422),
        ("/orders/known", json!({"status": "DELIVERED"}), 409),
        ("/orders/unknown", json!({"status": "SENT"}), 404),
        ("/orders/%00", json!({"status": "SENT"}), 404),
    ];
    for (path, body, code) in changes {
        let what = format!("PATCH {path} {body}");
        let answer = ingress.call(Method::PATCH, path, body).await?;
        let status = problem(answer, &what).await?;
        assert_eq!(status, code, "{what}");
    }
    for body in [
        json!({"id": 4711, "status": "SENT"}),
        json!({"status": "SENT"}),
        json!({"id": "x", "status": "SENT"}),
    ] {
        let what = format!("/order/status-update {body}");
        let answer = ingress
            .call(Method::POST, "/order/status-update", body)
            .await?;
        problem(answer, &what).await?;
    }
    // None of these requests created an order, and the service still works.
    let orders: i64 = sqlx::query_scalar("select count(*) from orders")
        .fetch_one(system.orders())
        .await?;
    assert_eq!(orders, 2);
    ingress.place("afterwards", "100.00").await?;
    Ok(())
}

/// Checks that an answer is a 4xx problem by RFC 9457, and returns its status.
async fn problem(answer: Response, what: &str) -> Result<u16> {
    let status = answer.status();
    let kind = answer.headers().get("content-type").cloned();
    let text = answer.text().await?;
    assert!(status.is_client_error(), "{what}: {status} {text}");
    let kind = kind.context("a content type")?;
    assert_eq!(kind, "application/problem+json", "{what}: {text}");
    let body: Value = serde_json::from_str(&text)?;
    assert_eq!(body["status"], status.as_u16(), "{what}: {text}");
    assert!(
        body["title"].is_string() && body["detail"].is_string(),
        "{what}: {text}"
    );
    Ok(status.as_u16())
}
