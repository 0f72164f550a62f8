//! `GET /orders` with orders of the maximum size, and with clients that do not read their answers.

use anyhow::{Context, Result, ensure};
use end_to_end::system::TestSystem;
use end_to_end::wait;
use futures::stream::{self, StreamExt, TryStreamExt};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use stack::Service;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Mutex;

/// The documented bound of a page.
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// About 14 MB of orders.
const ORDERS: usize = 60;

/// Returns an order of about 240 KB.
fn large_order(number: usize) -> Value {
    let products: Vec<Value> = (0..500)
        .map(|product| json!({"name": format!("{product:0450}"), "price": 1}))
        .collect();
    json!({"order_id": format!("large-{number:03}"), "total": 100, "products": products})
}

async fn place_large_orders(http: &Client, producer: &Service) -> Result<()> {
    let place = async |number| {
        let request = http.post(producer.url("/orders"));
        let placed = request.json(&large_order(number)).send().await?;
        ensure!(placed.status() == 201, "{number}: {}", placed.text().await?);
        Ok(())
    };
    stream::iter((0..ORDERS).map(place))
        .buffer_unordered(4)
        .try_collect()
        .await
}

#[tokio::test]
async fn pages_are_bounded_in_bytes_and_together_have_every_order_once() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let producer = system.producer().await?;
    let http = Client::new();
    place_large_orders(&http, &producer).await?;
    for query in ["limit=1000", "limit=1000&status=PENDING", "limit=7"] {
        let mut next = Some(format!("/orders?{query}"));
        let (mut seen, mut pages) = (Vec::new(), 0);
        while let Some(path) = next {
            let answer = http.get(producer.url(&path)).send().await?;
            assert_eq!(answer.status(), 200, "{path}");
            let linked = answer.headers().contains_key("link");
            let text = answer.text().await?;
            assert!(text.len() <= PAGE_BYTES + 1024, "{path}: {}", text.len());
            let page: Value = serde_json::from_str(&text)?;
            let orders = page["orders"].as_array().context("orders")?;
            assert!(!orders.is_empty(), "{path}");
            let ids = orders.iter().map(|order| order["order_id"].clone());
            seen.extend(ids);
            pages += 1;
            next = page["next"].as_str().map(str::to_owned);
            assert_eq!(next.is_some(), linked, "{path}");
        }
        let expected: Vec<Value> = (0..ORDERS)
            .map(|number| json!(format!("large-{number:03}")))
            .collect();
        assert_eq!(seen, expected, "{query}");
        assert!(pages > 3, "{query}: {pages} pages");
    }
    let none = http.get(producer.url("/orders?status=SENT")).send().await?;
    assert_eq!(
        none.json::<Value>().await?,
        json!({"orders": [], "next": null})
    );
    Ok(())
}

fn resident_mib(service: &Service) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.pid()))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib: u64 = line
        .and_then(|line| line.split_whitespace().nth(1))
        .context("VmRSS")?
        .parse()?;
    Ok(kib / 1024)
}

async fn asks_and_reads_nothing(service: &Service) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(service.http_addr()).await?;
    let request = "GET /orders?limit=1000 HTTP/1.1\r\nhost: shop\r\n\r\n";
    stream.write_all(request.as_bytes()).await?;
    Ok(stream)
}

#[tokio::test]
async fn clients_that_read_no_lists_take_a_bounded_part_of_the_memory() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let producer = system.producer().await?;
    let http = Client::new();
    place_large_orders(&http, &producer).await?;
    let before = resident_mib(&producer)?;
    let list = async || {
        let answer = http.get(producer.url("/orders?limit=1000")).send().await;
        answer.ok().map(|answer| answer.status())
    };
    // One more such client is opened before each poll, because the first ones may be refused while other
    // answers are read.
    let unread = Mutex::new(Vec::new());
    let among_unread = || async {
        unread
            .lock()
            .await
            .push(asks_and_reads_nothing(&producer).await);
        list().await
    };
    let refused = Some(StatusCode::SERVICE_UNAVAILABLE);
    wait::until("others to be told to wait", among_unread, |status| {
        *status == refused
    })
    .await;
    let with_unread = resident_mib(&producer)?;
    let count = unread.lock().await.len();
    println!("{before} MiB before, {with_unread} MiB with {count} lists that nobody reads");
    assert!(
        with_unread < before + 200,
        "{before} MiB, then {with_unread} MiB"
    );
    // Changes do not wait for the lists.
    let place = http
        .post(producer.url("/orders"))
        .json(&json!({"total": 1}));
    assert_eq!(place.send().await?.status(), 201);
    // The service closes these connections, not this test.
    let served = Some(StatusCode::OK);
    wait::until("room for a list", &list, |status| *status == served).await;
    drop(unread);
    Ok(())
}
