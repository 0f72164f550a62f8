//! Clients of `POST /orders/bulk` that send their whole body before they read a result, as Python's
//! `http.client` and `requests` and Java's `HttpURLConnection` do.
//!
//! The same by hand, with 21 MB of orders (start the stack, then `. target/stack/env`):
//!
//! ```sh
//! python3 - "$PRODUCER_HTTP_ADDR" <<'END'
//! import http.client, json, sys
//! client = http.client.HTTPConnection(sys.argv[1])
//! body = b'{"total":"1"}\n' * 1_500_000
//! client.request("POST", "/orders/bulk", body, {"content-type": "application/x-ndjson"})
//! results = [json.loads(line)["status"] for line in client.getresponse()]
//! print(len(results), set(results))
//! END
//! ```

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::http::metric;
use end_to_end::system::TestSystem;
use end_to_end::wait;
use futures::future::try_join_all;
use serde_json::Value;
use stack::Service;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// One in this many lines is an order. The others are refused, and their results are twice as long as they
/// are.
const EACH_ORDER: usize = 2000;

/// The number of lines. Their results are far more than two sockets' buffers hold.
const LINES: usize = 200_000;

/// Longer than the service lets an answer go unread while nothing moves.
const SENDING: Duration = Duration::from_secs(40);

fn body() -> String {
    let mut body = String::new();
    for line in 0..LINES {
        if line % EACH_ORDER == 0 {
            body.push_str(&format!(
                "{{\"order_id\":\"bulk-{line}\",\"total\":\"1\"}}\n"
            ));
        } else {
            body.push_str(&format!("{{\"total\":\"-1\",\"note\":\"{line:064}\"}}\n"));
        }
    }
    body
}

async fn bulk(service: &Service, length: usize) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(service.http_addr()).await?;
    let head = format!(
        "POST /orders/bulk HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\
         content-type: application/x-ndjson\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    Ok(stream)
}

/// Sends all of `body`, the last of it slowly, and reads nothing meanwhile.
async fn send(stream: &mut TcpStream, body: &[u8]) -> Result<()> {
    let pieces = 20;
    let (first, last) = body.split_at(body.len() - pieces);
    stream.write_all(first).await?;
    let mut pace = tokio::time::interval(SENDING / pieces as u32);
    for byte in last {
        pace.tick().await;
        stream.write_all(&[*byte]).await?;
    }
    Ok(())
}

/// Returns the status of each line from a chunked answer.
async fn statuses(stream: TcpStream) -> Result<Vec<u64>> {
    let mut answer = BufReader::new(stream);
    let mut line = String::new();
    answer.read_line(&mut line).await?;
    ensure!(line.starts_with("HTTP/1.1 200"), "{line:?}");
    while line != "\r\n" {
        line.clear();
        answer.read_line(&mut line).await?;
    }
    let mut results = Vec::new();
    loop {
        line.clear();
        answer.read_line(&mut line).await?;
        let length = usize::from_str_radix(line.trim(), 16)
            .with_context(|| format!("the length of a chunk, not {line:?}"))?;
        let mut chunk = vec![0; length + 2];
        answer.read_exact(&mut chunk).await?;
        if length == 0 {
            break;
        }
        results.extend_from_slice(&chunk[..length]);
    }
    let results = std::str::from_utf8(&results)?.lines().enumerate();
    results
        .map(|(at, result)| {
            let result: Value = serde_json::from_str(result)?;
            ensure!(result["line"] == at as u64 + 1, "result {at} is {result}");
            result["status"].as_u64().context("a status")
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_send_everything_before_they_read_get_all_results() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let producer = system.producer().await?;
    let body = body();
    let client = async |body: &str| {
        let mut stream = bulk(&producer, body.len()).await?;
        send(&mut stream, body.as_bytes()).await?;
        statuses(stream).await
    };
    // The second one repeats the first one's orders.
    let clients = try_join_all([client(&body), client(&body)]).await?;
    let mut placed = 0;
    for statuses in clients {
        assert_eq!(statuses.len(), LINES);
        for (line, status) in statuses.into_iter().enumerate() {
            let expected: &[u64] = if line % EACH_ORDER == 0 {
                &[201, 409]
            } else {
                &[422]
            };
            assert!(expected.contains(&status), "line {line}: {status}");
            placed += usize::from(status == 201);
        }
    }
    assert_eq!(placed, LINES / EACH_ORDER);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_never_reads_its_results_is_ended() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let producer = system.producer().await?;
    let body = body();
    let mut stream = bulk(&producer, body.len()).await?;
    stream.write_all(body.as_bytes()).await?;
    // The count includes the connection that asks for the metric.
    let open = || async {
        metric(&producer, "checkout_http_connections", "")
            .await
            .unwrap_or(99)
    };
    wait::until("the connection to be ended", open, |open| *open <= 1).await;
    drop(stream);
    Ok(())
}
