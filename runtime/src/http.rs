//! The accept loop of every listener.
//!
//! `axum::serve` sets no timeouts, so a client that sends its headers slowly keeps a socket forever
//! (axum 0.8, tokio-rs/axum#3478). This loop sets them.
//!
//! | module | subject |
//! |---|---|
//! | `activity` | what a connection is doing, and until when its client must act: pure |
//! | `watched` | the stream and the response bodies that report to `activity` |
//! | `request_body` | the rest of a request that its handler does not read |
//! | `connection` | one connection, from its first byte to its end |

mod activity;
mod connection;
mod request_body;
mod watched;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use metrics::counter;
use rustix::process::{Resource, getrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::duration::human_duration;
use crate::lifecycle::{Failure, Shutdown};
use crate::metrics::HTTP_CONNECTIONS_FULL;
use activity::{HEADER_TIMEOUT, UNREAD_TIMEOUT};
use connection::Connections;

/// How long open requests may take after shutdown was requested.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// The kernel's send buffer of a connection, in bytes. Linux reports it as writable again when about a
/// third of it is free, so a client that reads less than about 100 KiB in [`UNREAD_TIMEOUT`] counts as
/// one that does not read.
const SEND_BUFFER: usize = 128 * 1024;

/// Maximum size of the head of a request, in bytes. Bounds the memory of a connection.
const MAX_HEAD: usize = 64 * 1024;

/// Files that are reserved for everything else: brokers, the database, logs.
const OTHER_FILES: u64 = 512;

/// The limits of a listener.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// Maximum number of open connections.
    pub connections: u32,
    /// Time after which a connection without a request is closed. Longer than the idle timeout of a
    /// balancer, so that the balancer closes first and no request meets a connection that is being
    /// closed.
    pub idle: Duration,
}

impl ConnectionLimits {
    /// The limits of a listener that only serves health and metrics.
    pub const HEALTH: Self = Self {
        connections: 256,
        idle: Duration::from_secs(75),
    };
}

/// Binds `address`, which `variable` sets.
///
/// # Errors
/// Exit code 1, naming the address and the variable to change.
pub async fn bind(address: SocketAddr, variable: &str) -> Result<TcpListener, Failure> {
    let listener = TcpListener::bind(address).await.map_err(|error| {
        Failure::failed(format!(
            "cannot listen on {address}: {error}; stop the process that uses it, or set {variable} to \
             another address"
        ))
    })?;
    // Connections inherit the option from the listener.
    rustix::net::sockopt::set_socket_send_buffer_size(&listener, SEND_BUFFER).map_err(|error| {
        Failure::failed(format!("cannot set the send buffer of {address}: {error}"))
    })?;
    Ok(listener)
}

/// Serves `router` on `listener` until shutdown, then completes the open requests.
///
/// After a shutdown was announced, every response asks its client to open a new connection for the
/// next request (`connection: close`).
///
/// At most `limits.connections` are open, and fewer if the process may not open as many files; further
/// ones wait in the kernel's queue. A client cannot keep a connection without a request: not by
/// sending nothing, by sending a head slowly, or by not reading a response. While no connection is
/// free, idle ones are closed as early as those that send nothing.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ConnectionLimits,
    shutdown: Shutdown,
) -> Result<(), Failure> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // `Activity` sets this deadline, because it distinguishes an idle client from a slow one.
        .header_read_timeout(None)
        // A request is answered even if its client has closed its end: to watch for a closed end would
        // cost every request a read and a buffer.
        .half_close(true)
        .max_buf_size(MAX_HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(UNREAD_TIMEOUT)
        .keep_alive_timeout(HEADER_TIMEOUT);
    let graceful = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(within_open_files(limits.connections)));
    let connections = Connections {
        builder,
        router,
        idle: limits.idle,
        slots: Arc::clone(&slots),
        shutdown: shutdown.clone(),
    };
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &slots) => accepted,
            () = shutdown.requested() => break,
        };
        match accepted {
            Ok((stream, peer, slot)) => connections.start(stream, peer, slot, &graceful),
            Err(error) => pause_after(&error).await,
        }
    }
    drop(listener);
    if tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!(
            "requests were still open {} after shutdown was requested; closing them",
            human_duration(DRAIN_TIMEOUT)
        );
    }
    Ok(())
}

/// Accepts the next connection, once fewer than the maximum are open.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    if slots.available_permits() == 0 {
        counter!(HTTP_CONNECTIONS_FULL).increment(1);
    }
    let slot = Arc::clone(slots)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, slot))
}

/// Returns the maximum number of connections: `wanted`, or fewer if the process may not open as many
/// files.
fn within_open_files(wanted: u32) -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let connections = files
        .saturating_sub(OTHER_FILES)
        .clamp(1, wanted.into())
        .try_into()
        .unwrap_or(usize::MAX);
    if connections < wanted as usize {
        tracing::warn!(
            "the process may open {files} files, so it accepts {connections} connections instead of \
             {wanted}"
        );
    }
    connections
}

/// Waits a moment after an error that is not the client's. A connection that broke before it was
/// accepted needs no pause; without file descriptors, accepting in a tight loop would waste a core.
async fn pause_after(error: &io::Error) {
    let of_the_client = matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    );
    if !of_the_client {
        tracing::warn!(%error, "cannot accept a connection; trying again");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
