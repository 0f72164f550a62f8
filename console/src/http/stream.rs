//! `/api/flow`, and `/api/stream`: the stream of events, of which each page has one.
//!
//! Events are server-sent events (WHATWG HTML, section 9.2). A stream ends at shutdown, when its
//! session ends, and when its client does not read. Then the page opens it again, or asks for the key.

use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderName;
use axum::http::header::CACHE_CONTROL;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt, stream};
use metrics::gauge;
use runtime::metrics::CONSOLE_PAGES;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::broadcast;

use super::session::{Identity, Visitor};
use crate::Console;
use crate::runs::{RunId, Runs};
use crate::scrape::LiveWatch;

/// How often a stream without events sends a comment, so that proxies do not close it and a closed
/// connection is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// `GET /api/flow`
pub(super) async fn flow(State(console): State<Console>, _: Identity) -> Json<Value> {
    let (flow, history) = (console.live.snapshot(), console.live.history());
    Json(json!({ "flow": flow, "history": history }))
}

/// `GET /api/stream`
pub(super) async fn events(State(console): State<Console>, visitor: Visitor) -> Response {
    let page = Page::open(&console);
    let events = page.events().take_until(end(console, visitor));
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE).text("keepalive");
    let headers = [
        (CACHE_CONTROL, "no-cache, no-transform"),
        // Without this header nginx would buffer the events.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, Sse::new(events).keep_alive(keep_alive)).into_response()
}

/// Waits until a stream has to end.
async fn end(console: Console, visitor: Visitor) {
    tokio::select! {
        () = console.shutdown.requested() => {}
        () = console.sessions.ended(&visitor) => {}
    }
}

/// An open page: the sources of its events, and the watch that keeps scraping active.
struct Page {
    live: LiveWatch,
    runs: Runs,
    changes: broadcast::Receiver<RunId>,
    _open: Open,
}

impl Page {
    fn open(console: &Console) -> Self {
        Self {
            live: console.live.watch(),
            changes: console.runs.changes(),
            runs: console.runs.clone(),
            _open: Open::begin(),
        }
    }

    fn events(self) -> impl Stream<Item = Result<Event, Infallible>> {
        stream::unfold(self, |mut page| async move {
            let event = page.next().await;
            Some((Ok(event), page))
        })
    }

    /// Waits for the next event. A page that reads slowly misses events and gets the latest state.
    async fn next(&mut self) -> Event {
        loop {
            tokio::select! {
                flow = self.live.next() => return event("flow", &*flow),
                changed = self.changes.recv() => match changed {
                    Ok(id) => if let Some(run) = self.runs.summary(id) {
                        return event("run", &run);
                    },
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    // The sender of changes lives as long as the console, and so does the stream.
                    Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
                },
            }
        }
    }
}

/// Counts an open page until it is dropped.
struct Open;

impl Open {
    fn begin() -> Self {
        gauge!(CONSOLE_PAGES).increment(1.0);
        Self
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        gauge!(CONSOLE_PAGES).decrement(1.0);
    }
}

fn event(name: &str, data: &impl Serialize) -> Event {
    let event = Event::default().event(name);
    // Serializing these types never fails, and browsers ignore an event without data.
    event.json_data(data).unwrap_or_default()
}
