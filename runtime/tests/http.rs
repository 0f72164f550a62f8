//! The listener as clients meet it.

#![allow(
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;
use runtime::http::{ConnectionLimits, bind, serve};
use runtime::lifecycle::Shutdown;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const DEADLINE: Duration = Duration::from_secs(60);

/// What a handler does not read is read for it up to here.
const MAX_DROPPED: usize = 8 * 1024 * 1024;

/// A client that has sent `bytes` to a service; `/refused` answers without reading a body, `/length`
/// tells the length of one.
async fn client(bytes: &[u8]) -> TcpStream {
    client_within(ConnectionLimits::HEALTH, bytes).await
}

async fn client_within(limits: ConnectionLimits, bytes: &[u8]) -> TcpStream {
    let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let address = listener.local_addr().unwrap();
    let refused = || async { (StatusCode::UNSUPPORTED_MEDIA_TYPE, "refused") };
    let length = |body: Bytes| async move { body.len().to_string() };
    let router = Router::new()
        .route("/refused", post(refused))
        .route("/length", post(length));
    tokio::spawn(serve(listener, router, limits, Shutdown::new()));
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(bytes).await.unwrap();
    client
}

/// What the service says up to `end`, or to the end of the connection.
async fn said(client: &mut TcpStream, end: &str) -> String {
    let mut said = Vec::new();
    let reading = async {
        while !said.ends_with(end.as_bytes()) {
            match client.read_u8().await {
                Ok(byte) => said.push(byte),
                Err(_) => break,
            }
        }
    };
    let in_time = tokio::time::timeout(DEADLINE, reading).await.is_ok();
    let said = String::from_utf8(said).unwrap();
    assert!(in_time, "{end:?} after {said:?}");
    said
}

fn announced(path: &str, length: usize) -> Vec<u8> {
    let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n");
    [head.into_bytes(), vec![b'x'; length]].concat()
}

fn in_chunks(path: &str, length: usize) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n{length:x}\r\n"
    );
    [head.as_bytes(), &vec![b'x'; length], b"\r\n0\r\n\r\n"].concat()
}

#[tokio::test]
async fn a_connection_goes_on_after_a_body_that_was_not_read() {
    for refused in [
        announced("/refused", 11),
        announced("/refused", 1_000_000),
        in_chunks("/refused", 11),
        in_chunks("/refused", 1_000_000),
    ] {
        let mut client = client(&refused).await;
        let answer = said(&mut client, "refused").await;
        assert!(answer.starts_with("HTTP/1.1 415"), "{answer}");
        client.write_all(&announced("/length", 17)).await.unwrap();
        let answer = said(&mut client, "\r\n\r\n17").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

#[tokio::test]
async fn a_client_that_is_silent_after_its_dropped_body_is_idle() {
    let limits = ConnectionLimits {
        idle: Duration::from_secs(1),
        ..ConnectionLimits::HEALTH
    };
    let request = announced("/refused", 5);
    let (head, body) = request.split_at(request.len() - 5);
    let mut client = client_within(limits, head).await;
    let answer = said(&mut client, "refused").await;
    assert!(answer.starts_with("HTTP/1.1 415"), "{answer}");
    client.write_all(body).await.unwrap();
    assert_eq!(said(&mut client, "its connection stays open").await, "");
}

#[tokio::test]
async fn an_endless_body_that_is_not_read_is_cut_off() {
    let mut client = client(b"").await;
    // More than all buffers on the way hold, too.
    let endless = in_chunks("/refused", 8 * MAX_DROPPED);
    assert!(client.write_all(&endless).await.is_err(), "all was taken");
}

#[tokio::test]
async fn a_body_that_is_not_wanted_is_not_asked_for() {
    let head =
        "POST /refused HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 11\r\n\r\n";
    let mut client = client(head.as_bytes()).await;
    let answer = said(&mut client, "its connection stays open").await;
    assert!(answer.starts_with("HTTP/1.1 415"), "{answer}");
}

#[tokio::test]
async fn a_body_that_is_wanted_is_asked_for() {
    let head =
        "POST /length HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n";
    let mut client = client(head.as_bytes()).await;
    assert_eq!(
        said(&mut client, "\r\n\r\n").await,
        "HTTP/1.1 100 Continue\r\n\r\n"
    );
    client.write_all(b"17").await.unwrap();
    let answer = said(&mut client, "\r\n\r\n2").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
