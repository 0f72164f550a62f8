//! The HTTP listener, through real connections.

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

/// The listener reads a body that a handler leaves unread up to this size.
const MAX_DROPPED: usize = 8 * 1024 * 1024;

/// Returns a client that has sent `bytes` to a service. Its `/refused` answers without reading the body,
/// its `/length` answers with the length of the body.
async fn client(bytes: &[u8]) -> TcpStream {
    client_within(ConnectionLimits::HEALTH, bytes).await
}

async fn client_within(limits: ConnectionLimits, bytes: &[u8]) -> TcpStream {
    let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0)), "HTTP_ADDR")
        .await
        .unwrap();
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

/// Reads what the service sends up to `end`, or to the end of the connection.
async fn read_to(client: &mut TcpStream, end: &str) -> String {
    let mut bytes = Vec::new();
    let reading = async {
        while !bytes.ends_with(end.as_bytes()) {
            match client.read_u8().await {
                Ok(byte) => bytes.push(byte),
                Err(_) => break,
            }
        }
    };
    let in_time = tokio::time::timeout(DEADLINE, reading).await.is_ok();
    let text = String::from_utf8(bytes).unwrap();
    assert!(in_time, "no {end:?} after {text:?}");
    text
}

fn with_length(path: &str, length: usize) -> Vec<u8> {
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
async fn a_connection_can_be_reused_after_a_body_that_was_not_read() {
    for refused in [
        with_length("/refused", 11),
        with_length("/refused", 1_000_000),
        in_chunks("/refused", 11),
        in_chunks("/refused", 1_000_000),
    ] {
        let mut client = client(&refused).await;
        let answer = read_to(&mut client, "refused").await;
        assert!(answer.starts_with("HTTP/1.1 415"), "{answer}");
        client.write_all(&with_length("/length", 17)).await.unwrap();
        let answer = read_to(&mut client, "\r\n\r\n17").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}

#[tokio::test]
async fn a_client_that_sends_nothing_after_an_unread_body_is_idle() {
    let limits = ConnectionLimits {
        idle: Duration::from_secs(1),
        ..ConnectionLimits::HEALTH
    };
    let request = with_length("/refused", 5);
    let (head, body) = request.split_at(request.len() - 5);
    let mut client = client_within(limits, head).await;
    let answer = read_to(&mut client, "refused").await;
    assert!(answer.starts_with("HTTP/1.1 415"), "{answer}");
    client.write_all(body).await.unwrap();
    assert_eq!(read_to(&mut client, "its connection stays open").await, "");
}

#[tokio::test]
async fn an_endless_body_that_is_not_read_is_cut_off() {
    let mut client = client(b"").await;
    // More than all buffers in between can hold as well.
    let endless = in_chunks("/refused", 8 * MAX_DROPPED);
    assert!(
        client.write_all(&endless).await.is_err(),
        "the whole body was accepted"
    );
}

#[tokio::test]
async fn an_unread_body_is_not_requested_with_100_continue() {
    let head =
        "POST /refused HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 11\r\n\r\n";
    let mut client = client(head.as_bytes()).await;
    let answer = read_to(&mut client, "its connection stays open").await;
    assert!(answer.starts_with("HTTP/1.1 415"), "{answer}");
}

#[tokio::test]
async fn a_body_that_is_read_is_requested_with_100_continue() {
    let head =
        "POST /length HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n";
    let mut client = client(head.as_bytes()).await;
    assert_eq!(
        read_to(&mut client, "\r\n\r\n").await,
        "HTTP/1.1 100 Continue\r\n\r\n"
    );
    client.write_all(b"17").await.unwrap();
    let answer = read_to(&mut client, "\r\n\r\n2").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
