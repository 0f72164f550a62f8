//! The accept loop behind every listener.
//!
//! `axum::serve` sets no timer, so a client that sends its headers slowly holds a socket for ever
//! (axum 0.8, tokio-rs/axum#3478); this loop does.
//!
//! | module | subject |
//! |---|---|
//! | `activity` | what a connection is doing, and by when its client must go on: pure |
//! | `watched` | the stream and the answers' bodies that report it |
//! | `request_body` | what a handler does not read of a request |
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

use crate::lifecycle::{Failure, Shutdown};
use crate::metrics::HTTP_CONNECTIONS_FULL;
use activity::{HEADER_TIMEOUT, UNREAD_TIMEOUT};
use connection::Connections;

/// After shutdown was asked for, requests under way have this long to end.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// The kernel's send buffer of a connection, in bytes. Linux reports it as writable again when about
/// a third of it is free, so a client that takes less than about 100 KiB in [`UNREAD_TIMEOUT`]
/// counts as one that does not read.
const SEND_BUFFER: usize = 128 * 1024;

/// The longest head of a request, in bytes, and so about what a connection can make us keep.
const MAX_HEAD: usize = 64 * 1024;

/// Files that are left for everything else: brokers, the database, logs.
const OTHER_FILES: u64 = 512;

/// How many connections there may be, and how long one may be idle.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// The most open connections.
    pub connections: u32,
    /// A connection without a request is closed after this time. Longer than a balancer's own, so
    /// that the balancer closes first and no request meets a connection that is being closed.
    pub idle: Duration,
}

impl ConnectionLimits {
    /// Of a listener that only serves health and metrics.
    pub const HEALTH: Self = Self {
        connections: 256,
        idle: Duration::from_secs(75),
    };
}

/// Binds `address`.
///
/// # Errors
/// A [`Failure`] that names the address and the variable to change.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    let listener = TcpListener::bind(address).await.map_err(|error| {
        Failure::failed(format!(
            "can't listen on {address}: {error}; free it, or set HTTP_ADDR to another"
        ))
    })?;
    // Every connection inherits it.
    rustix::net::sockopt::set_socket_send_buffer_size(&listener, SEND_BUFFER)
        .map_err(|error| Failure::failed(format!("can't set up {address}: {error}")))?;
    Ok(listener)
}

/// Serves `router` on `listener` until shutdown, then lets the requests in progress end.
///
/// From the moment a shutdown is announced each answer asks its client to open another connection
/// next time (`connection: close`).
///
/// At most `limits.connections` are open, and fewer where the process may not open as many files; a
/// further one waits in the kernel's queue until one ends. None can be kept without a request:
/// not by silence, by a head that comes slowly, or by an answer that is not read. While all are
/// taken, idle ones are closed as early as silent ones.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ConnectionLimits,
    shutdown: Shutdown,
) -> Result<(), Failure> {
    // Rates need the counter to be there before it counts.
    counter!(HTTP_CONNECTIONS_FULL).increment(0);
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // The connection's own deadlines know more: an idle client is not a slow one.
        .header_read_timeout(None)
        // A request is answered whether or not its client has closed its end: to watch for that
        // would cost each request a read, and the buffer for it.
        .half_close(true)
        .max_buf_size(MAX_HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(UNREAD_TIMEOUT)
        .keep_alive_timeout(HEADER_TIMEOUT);
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(affordable(limits.connections)));
    let connections = Connections {
        builder,
        router,
        idle: limits.idle,
        places: Arc::clone(&places),
        shutdown: shutdown.clone(),
    };
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            () = shutdown.requested() => break,
        };
        match accepted {
            Ok((stream, peer, place)) => connections.start(stream, peer, place, &graceful),
            Err(error) => pause_after(&error).await,
        }
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

/// The next connection, once there is a place for it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    if places.available_permits() == 0 {
        counter!(HTTP_CONNECTIONS_FULL).increment(1);
    }
    let place = Arc::clone(places)
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, place))
}

/// How many connections there may be: `most`, if the process may open as many files.
fn affordable(most: u32) -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let affordable = files
        .saturating_sub(OTHER_FILES)
        .clamp(1, most.into())
        .try_into()
        .unwrap_or(usize::MAX);
    if affordable < most as usize {
        tracing::warn!(
            "the process may open {files} files, so {affordable} connections are taken, not {most}"
        );
    }
    affordable
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
