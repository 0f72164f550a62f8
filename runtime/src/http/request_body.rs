//! A request body that is read to its end even if its handler does not read it.
//!
//! A request can be refused by its head alone: a wrong key, path or content type. Most clients still
//! send their whole body before they read the response. If the rest stayed unread, hyper would close an
//! HTTP/1.1 connection without announcing it, which a client with a connection pool notices at its next
//! request (Node's `http`: "socket hang up"), and reset an HTTP/2 stream, after which some clients do
//! not show the response (curl 7.88: "Stream error in the HTTP/2 framing layer").

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::Version;
use axum::http::header::EXPECT;
use http_body_util::BodyExt;
use hyper::Request;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::runtime::Handle;

use super::activity::Activity;
use super::watched::InProgress;

/// Maximum number of unread bytes that are read and dropped. A client that sends more is disconnected.
const MAX_DROPPED: u64 = 8 * 1024 * 1024;

/// How long the rest of a body may take to arrive.
const DROP_TIMEOUT: Duration = Duration::from_secs(10);

/// The body that handlers receive. Dropping it reads the rest.
#[derive(Debug)]
pub(super) struct RequestBody {
    /// `None` after its end.
    body: Option<Incoming>,
    /// Whether the client waits for `100 Continue`, which is sent when its body is read.
    awaits_continue: bool,
    multiplexed: bool,
    activity: Arc<Activity>,
}

impl RequestBody {
    /// Wraps the body of `request`.
    pub(super) fn wrap(request: Request<Incoming>, activity: &Arc<Activity>) -> Request<Self> {
        let awaits_continue = request.headers().contains_key(EXPECT);
        let multiplexed = request.version() == Version::HTTP_2;
        request.map(|body| Self {
            body: Some(body),
            awaits_continue,
            multiplexed,
            activity: Arc::clone(activity),
        })
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.awaits_continue = false;
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let frame = Pin::new(body).poll_frame(cx);
        if let Poll::Ready(None | Some(Err(_))) = &frame {
            self.body = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Some(body) => body.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let Some(body) = self.body.take() else {
            return;
        };
        let is_too_long = body.size_hint().lower() > MAX_DROPPED;
        if body.is_end_stream() || self.awaits_continue || is_too_long {
            return;
        }
        // Without a runtime the process is about to end.
        if let Ok(runtime) = Handle::try_current() {
            let in_progress = InProgress::begin(&self.activity, self.multiplexed);
            runtime.spawn(async move {
                let _ = tokio::time::timeout(DROP_TIMEOUT, read_and_drop(body)).await;
                drop(in_progress);
            });
        }
    }
}

async fn read_and_drop(mut body: Incoming) {
    let mut length = 0;
    // hyper may not report the end of a body with a content length once all of it was read.
    while !body.is_end_stream()
        && let Some(Ok(frame)) = body.frame().await
    {
        length += frame.data_ref().map_or(0, Bytes::len) as u64;
        if length > MAX_DROPPED {
            return;
        }
    }
}
