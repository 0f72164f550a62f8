//! The accept loop behind every listener.
//!
//! `axum::serve` sets no timer, so a client that sends its headers slowly holds a socket for ever
//! (axum 0.8, tokio-rs/axum#3478); this loop does.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use metrics::{counter, gauge};
use rustix::process::{Resource, getrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::Service;

use crate::lifecycle::{Failure, Shutdown};
use crate::metrics::{HTTP_CONNECTIONS, HTTP_CONNECTIONS_FULL};

/// A client has this long to send its request's headers, from its connection or its last answer on.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// After shutdown was asked for, requests under way have this long to end.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// What is sent has this long to be taken: a client that reads nothing, or is gone without a word,
/// holds no connection for longer.
const UNREAD_TIMEOUT: Duration = Duration::from_secs(20);

/// The longest head of a request, in bytes, and so about what a connection can make us keep.
const LONGEST_HEAD: usize = 64 * 1024;

/// Connections of a listener that only tells health and metrics.
pub const HEALTH_CONNECTIONS: u32 = 256;

/// Files that are left for everything else: brokers, the database, logs.
const OTHER_FILES: u64 = 512;

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
    #[cfg(target_os = "linux")]
    rustix::net::sockopt::set_tcp_user_timeout(&listener, UNREAD_TIMEOUT.as_millis() as u32)
        .map_err(|error| Failure::failed(format!("can't set up {address}: {error}")))?;
    Ok(listener)
}

/// Serves `router` on `listener` until shutdown, then lets the requests under way end.
///
/// At most `most` connections are open, and fewer where the process may not open as many files; a
/// further one waits in the kernel's queue until one ends. None can be kept without a request:
/// not by silence, by a head that comes slowly, or by an answer that is not read.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    most: u32,
    shutdown: Shutdown,
) -> Result<(), Failure> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        // A request is answered whether or not its client has closed its end: to watch for that
        // would cost each request a read, and the buffer for it.
        .half_close(true)
        .max_buf_size(LONGEST_HEAD);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(UNREAD_TIMEOUT)
        .keep_alive_timeout(HEADER_TIMEOUT);
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(affordable(most)));
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            () = shutdown.requested() => break,
        };
        let (stream, peer, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                pause_after(&error).await;
                continue;
            }
        };
        // Answers are small: waiting to fill a packet only costs latency.
        let _ = stream.set_nodelay(true);
        let asked = Arc::new(AtomicBool::new(false));
        let (router, asking) = (router.clone(), Arc::clone(&asked));
        let service = service_fn(move |request: Request<Incoming>| {
            asking.store(true, Ordering::Relaxed);
            router.clone().call(request)
        });
        let connection = builder
            .serve_connection(TokioIo::new(stream), service)
            .into_owned();
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            gauge!(HTTP_CONNECTIONS).increment(1.0);
            tokio::select! {
                biased;
                ended = connection => if let Err(error) = ended {
                    tracing::debug!(%peer, %error, "connection ended early");
                },
                () = silence(asked) => tracing::debug!(%peer, "connection without a request ended"),
            }
            gauge!(HTTP_CONNECTIONS).decrement(1.0);
            drop(place);
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

/// Ends when no request came in time. The builder's own timer starts only once it knows from the
/// first bytes which HTTP it is; without them it would wait for ever.
async fn silence(asked: Arc<AtomicBool>) {
    tokio::time::sleep(HEADER_TIMEOUT).await;
    if asked.load(Ordering::Relaxed) {
        std::future::pending().await
    }
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
