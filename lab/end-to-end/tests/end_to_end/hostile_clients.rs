//! Clients that hold resources of the service: connections, request heads, bodies, answers. They must not
//! affect other clients.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::http::metric;
use end_to_end::system::{TestSystem, ready};
use end_to_end::wait;
use futures::future::try_join_all;
use futures::stream::{self, StreamExt, TryStreamExt};
use reqwest::Client;
use rustix::process::{Resource, getrlimit, setrlimit};
use serde_json::json;
use stack::Service;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longer than every timeout of the service.
const PATIENCE: Duration = Duration::from_secs(60);

async fn connect(service: &Service) -> Result<TcpStream> {
    Ok(TcpStream::connect(service.http_addr()).await?)
}

/// Reads everything that the service sends until it closes the connection.
async fn until_ended(stream: &mut TcpStream, who: &str) -> Result<String> {
    let mut said = Vec::new();
    // A connection reset counts as closed.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut said))
        .await
        .with_context(|| format!("{who}: still connected after {PATIENCE:?}"))?;
    Ok(String::from_utf8_lossy(&said).into_owned())
}

/// Sends `words` and no more, and checks how the service's answer begins.
async fn says(service: &Service, words: &str, expected: &str) -> Result<()> {
    let mut stream = connect(service).await?;
    stream.write_all(words.as_bytes()).await?;
    let said = until_ended(&mut stream, words).await?;
    ensure!(
        said.starts_with(expected),
        "{words:?} was answered {said:?}"
    );
    Ok(())
}

/// Sends `head`, then `more` again and again until the service closes the connection.
async fn drips(service: &Service, head: &str, more: &str, expected: &str) -> Result<()> {
    let (mut from, mut to) = connect(service).await?.into_split();
    to.write_all(head.as_bytes()).await?;
    let mut pace = tokio::time::interval(Duration::from_millis(200));
    let dripping = async {
        loop {
            pace.tick().await;
            if to.write_all(more.as_bytes()).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    };
    let mut said = Vec::new();
    tokio::select! {
        () = dripping => {}
        ended = tokio::time::timeout(PATIENCE, from.read_to_end(&mut said)) => {
            let _ = ended.with_context(|| format!("{head:?}: still connected"))?;
        }
    }
    let said = String::from_utf8_lossy(&said);
    ensure!(said.starts_with(expected), "{head:?} was answered {said:?}");
    Ok(())
}

/// Requests far more than socket buffers hold, and reads nothing of it.
async fn reads_nothing(service: &Service) -> Result<TcpStream> {
    let mut stream = connect(service).await?;
    let request = "GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nhost: shop\r\n\r\n";
    stream.write_all(request.repeat(40).as_bytes()).await?;
    Ok(stream)
}

async fn places_and_sends(http: &Client, service: &Service, id: &str) -> Result<()> {
    let place = http.post(service.url("/orders"));
    let placed = place.json(&json!({"order_id": id, "total": 100})).send();
    ensure!(placed.await?.status() == 201, "{id} is placed");
    let send = http.patch(service.url(&format!("/orders/{id}")));
    let sent = send.json(&json!({"status": "SENT"})).send().await?;
    ensure!(sent.status() == 200, "{id} is sent");
    Ok(())
}

async fn vouchers(system: &TestSystem, count: usize) {
    let rows = || async { system.vouchers().await.unwrap_or_default().len() };
    wait::until("a row of each order", rows, |rows| *rows == count).await;
}

fn open_files_as_allowed() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
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

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_are_slow_silent_or_endless_are_ended_and_nobody_else_notices() -> Result<()> {
    let system = TestSystem::open().await?;
    // Short enough that the connection that stays open after its answer is closed within the test.
    let command = system.producer_command("1").await?;
    let (producer, _processor, _sink) = (
        ready(command.env("HTTP_IDLE_TIMEOUT", "15")).await?,
        system.processor().await?,
        system.sink().await?,
    );
    let order = "POST /orders HTTP/1.1\r\nhost: shop\r\ncontent-type: application/json\r\n";
    let endless = format!("{order}content-length: 1000\r\n\r\n{{\"total\":");
    let chunked = format!("{order}transfer-encoding: chunked\r\n\r\n");
    let announced = format!("{order}content-length: 99999999\r\n\r\n");
    let long_head = format!(
        "GET /livez HTTP/1.1\r\nhost: shop\r\nx: {}",
        "x".repeat(70_000)
    );
    let many_headers = format!("GET /livez HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(200));
    let unread = reads_nothing(&producer).await?;

    let hostile = async {
        tokio::try_join!(
            says(&producer, "", ""),
            says(&producer, "PRI * HTTP/2.0\r\n", ""),
            says(&producer, "POST /orders HTTP/1.1\r\nhost: ", ""),
            says(
                &producer,
                "GET /livez HTTP/1.1\r\nhost: shop\r\n\r\n",
                "HTTP/1.1 200"
            ),
            says(&producer, &endless, "HTTP/1.1 408"),
            says(&producer, &announced, "HTTP/1.1 413"),
            says(&producer, &long_head, "HTTP/1.1 431"),
            says(&producer, &many_headers, "HTTP/1.1 431"),
            drips(&producer, "GET /livez HTTP/1.1\r\nx: ", "x", ""),
            drips(&producer, &chunked, "1\r\n \r\n", "HTTP/1.1 408"),
        )
    };
    let http = Client::new();
    let (http, service) = (&http, &producer);
    let place =
        |order| async move { places_and_sends(http, service, &format!("order-{order}")).await };
    let mut orders = 0;
    tokio::pin!(hostile);
    loop {
        tokio::select! {
            ended = &mut hostile => {
                ended?;
                break;
            }
            done = place(orders) => {
                done?;
                orders += 1;
            }
        }
    }
    assert!(orders > 0, "others were served meanwhile");
    // The count includes the connection that asks for the metric.
    let open = || async {
        metric(&producer, "checkout_http_connections", "")
            .await
            .unwrap_or(99)
    };
    wait::until("the client that reads nothing to be ended", open, |open| {
        *open <= 1
    })
    .await;
    drop(unread);
    // The last order may have been interrupted when the loop ended, so there may be one more row.
    let all = || async { system.vouchers().await.unwrap_or_default().len() };
    wait::until("the others' vouchers", all, |rows| *rows >= orders).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_idle_connections_keep_nobody_from_placing_orders() -> Result<()> {
    let files = open_files_as_allowed();
    let count = 10_000.min(files.saturating_sub(1024) as usize);
    let system = TestSystem::open_json().await?;
    let (producer, _processor, _sink) = (
        system.producer().await?,
        system.processor().await?,
        system.sink().await?,
    );
    let http = Client::new();
    places_and_sends(&http, &producer, "before").await?;
    let before = resident_mib(&producer)?;

    // At most 200 at a time. Even so the kernel's accept queue can overflow; a few connections then exist
    // on the client's side only.
    let idle: Vec<TcpStream> = stream::iter((0..count).map(|_| connect(&producer)))
        .buffer_unordered(200)
        .try_collect()
        .await?;
    let open = || async {
        metric(&producer, "checkout_http_connections", "")
            .await
            .unwrap_or(0)
    };
    let enough = count as u64 * 9 / 10;
    let opened = wait::until("the connections to be open", open, |open| *open >= enough).await;
    let with_idle = resident_mib(&producer)?;
    for order in 0..20 {
        places_and_sends(&http, &producer, &format!("meanwhile-{order}")).await?;
    }
    println!(
        "{opened} idle connections (files allowed: {files}): {before} MiB before, {with_idle} MiB with them"
    );
    // The service closes them, not this test.
    wait::until("idle connections to be ended", open, |open| *open < 10).await;
    drop(idle);
    vouchers(&system, 21).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn more_connections_than_allowed_wait_for_their_turn() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let command = system.producer_command("1").await?;
    let producer = ready(command.env("HTTP_CONNECTIONS", "20")).await?;
    let idle = try_join_all((0..60).map(|_| connect(&producer))).await?;
    // This client waits behind three times as many connections as are allowed; the service closes each of
    // those because it is silent.
    let http = Client::new();
    places_and_sends(&http, &producer, "patient").await?;
    assert!(metric(&producer, "checkout_http_connections", "").await? <= 20);
    assert!(metric(&producer, "checkout_http_connections_full_total", "").await? > 0);
    drop(idle);
    Ok(())
}
