//! One connection, from its first byte to its end.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Version};
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use metrics::gauge;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tower::Service;

use super::activity::{Activity, HEADER_TIMEOUT, Overdue};
use super::request_body::RequestBody;
use super::watched::{InProgress, ResponseBody, Watched};
use crate::lifecycle::Shutdown;
use crate::metrics::HTTP_CONNECTIONS;

/// The state that the connections of a listener share.
#[derive(Debug)]
pub(super) struct Connections {
    pub(super) builder: Builder<TokioExecutor>,
    pub(super) router: Router,
    pub(super) idle: Duration,
    pub(super) slots: Arc<Semaphore>,
    pub(super) shutdown: Shutdown,
}

impl Connections {
    /// Serves `stream` on its own task until its client or its deadline ends it, and then releases
    /// `slot`.
    pub(super) fn start(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        slot: OwnedSemaphorePermit,
        graceful: &GracefulShutdown,
    ) {
        // Responses are small: waiting to fill a packet only costs latency.
        let _ = stream.set_nodelay(true);
        let activity = Arc::new(Activity::new(Instant::now()));
        let service = {
            let (router, activity) = (self.router.clone(), Arc::clone(&activity));
            let shutdown = self.shutdown.clone();
            service_fn(move |request: Request<Incoming>| {
                answer(
                    router.clone(),
                    request,
                    peer,
                    Arc::clone(&activity),
                    shutdown.clone(),
                )
            })
        };
        let stream = Watched::new(stream, Arc::clone(&activity));
        let connection = self
            .builder
            .serve_connection(TokioIo::new(stream), service)
            .into_owned();
        let connection = graceful.watch(connection);
        let (idle, slots) = (self.idle, Arc::clone(&self.slots));
        tokio::spawn(async move {
            let _open = Open::begin();
            tokio::select! {
                biased;
                ended = connection => if let Err(error) = ended {
                    tracing::debug!(%peer, %error, "connection failed");
                },
                why = overdue(&activity, idle, &slots) => {
                    tracing::debug!(%peer, ?why, "connection closed: its client did not act in time");
                }
            }
            drop(slot);
        });
    }
}

/// Counts an open connection until it is dropped, even if its task panics.
struct Open;

impl Open {
    fn begin() -> Self {
        gauge!(HTTP_CONNECTIONS).increment(1.0);
        Self
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        gauge!(HTTP_CONNECTIONS).decrement(1.0);
    }
}

/// Passes the request to the router, with the address of its client. The request is in progress until its
/// response is complete.
async fn answer(
    mut router: Router,
    request: Request<Incoming>,
    peer: SocketAddr,
    activity: Arc<Activity>,
    shutdown: Shutdown,
) -> Result<hyper::Response<ResponseBody>, std::convert::Infallible> {
    let multiplexed = request.version() == Version::HTTP_2;
    let in_progress = InProgress::begin(&activity, multiplexed);
    let mut request = RequestBody::wrap(request, &activity);
    request.extensions_mut().insert(ConnectInfo(peer));
    let mut response = router.call(request).await?;
    if shutdown.is_announced() && !multiplexed {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response.map(|body| ResponseBody::new(body, in_progress)))
}

/// Waits until the client has missed its deadline. Polled together with the connection: activity there
/// changes the deadline, and wakes both.
async fn overdue(activity: &Activity, idle: Duration, slots: &Semaphore) -> Overdue {
    let mut timer = pin!(tokio::time::sleep(HEADER_TIMEOUT));
    poll_fn(|cx: &mut Context<'_>| {
        loop {
            let is_full = slots.available_permits() == 0;
            let idle = if is_full {
                idle.min(HEADER_TIMEOUT)
            } else {
                idle
            };
            let now = Instant::now();
            let wake = match activity.deadline(idle) {
                // A request may end in another task (a body that is read and dropped), which does
                // not wake this one.
                None => now + HEADER_TIMEOUT,
                Some((deadline, why)) if deadline <= now => return Poll::Ready(why),
                // An idle connection checks now and then whether its slot is needed.
                Some((deadline, Overdue::Idle)) => deadline.min(now + HEADER_TIMEOUT),
                Some((deadline, Overdue::Head | Overdue::Unread)) => deadline,
            };
            // Waking too early is harmless: most deadlines move before they are reached, and not
            // resetting the timer each time is cheaper.
            if timer.is_elapsed() || timer.deadline() > wake {
                timer.as_mut().reset(wake);
            }
            ready!(timer.as_mut().poll(cx));
        }
    })
    .await
}
