//! The accept loop behind every listener.
//!
//! `axum::serve` sets no timer, so a client that sends its headers slowly holds a socket for ever
//! (axum 0.8, tokio-rs/axum#3478); this loop does.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;

use crate::lifecycle::{Failure, Shutdown};

/// A client has this long to send its request's headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// After shutdown was asked for, requests under way have this long to end.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Binds `address`.
///
/// # Errors
/// A [`Failure`] that names the address and the variable to change.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        Failure::failed(format!(
            "can't listen on {address}: {error}; free it, or set HTTP_ADDR to another"
        ))
    })
}

/// Serves `router` on `listener` until shutdown, then lets the requests under way end.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    shutdown: Shutdown,
) -> Result<(), Failure> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT);
    builder.http2().timer(TokioTimer::new());
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.requested() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                pause_after(&error).await;
                continue;
            }
        };
        // Answers are small: waiting to fill a packet only costs latency.
        let _ = stream.set_nodelay(true);
        let service = router
            .clone()
            .layer(axum::Extension(axum::extract::ConnectInfo(peer)));
        let connection = builder
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
            .into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%peer, %error, "connection ended early");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!(
            "requests were still under way {DRAIN_TIMEOUT:?} after shutdown was asked for"
        );
    }
    Ok(())
}

/// A connection that broke before it was accepted is the client's business; running out of file
/// descriptors passes, and accepting at full speed meanwhile would only burn the core.
async fn pause_after(error: &io::Error) {
    let of_the_client = matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    );
    if !of_the_client {
        tracing::warn!(%error, "can't accept a connection; trying again");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
