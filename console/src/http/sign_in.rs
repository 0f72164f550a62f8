//! `/api/session`: who is signed in, signing in and out.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::Json;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{AppendHeaders, IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::cookie::{self, is_secure};
use super::problem::Problem;
use super::session::Identity;
use crate::Console;
use crate::settings::{AuditTopics, Role};

/// The version of the console and of its commands.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The answer to the first request of every page.
#[derive(Debug, Serialize)]
pub(super) struct SessionAnswer {
    #[serde(flatten)]
    identity: Identity,
    /// Whether this person may place and change orders, and an ingress is configured.
    can_place_orders: bool,
    /// Whether a key was needed, so that a page offers to sign out.
    signed_in: bool,
    audit_topics: AuditTopics,
    campaign: Option<String>,
    /// Where a browser finds a trace, with `{trace_id}` in place of its id.
    trace_url: Option<String>,
    version: &'static str,
}

/// `GET /api/session`
pub(super) async fn show(
    State(console): State<Console>,
    identity: Identity,
) -> Json<SessionAnswer> {
    let orders = &console.settings.orders;
    let has_ingress = orders.console_orders_url.is_some();
    let trace_url = orders.console_trace_url.as_ref();
    Json(SessionAnswer {
        can_place_orders: has_ingress && identity.role >= Role::Operator,
        signed_in: console.sessions.need_a_key(),
        audit_topics: console.inherited.audit_topics.clone(),
        campaign: console.inherited.campaign.clone(),
        trace_url: trace_url.map(|url| url.template().to_owned()),
        version: VERSION,
        identity,
    })
}

#[derive(Deserialize)]
struct SignIn {
    key: String,
}

/// `POST /api/session`
///
/// # Errors
/// 400 for another body, 401 for an unknown key, 429 after too many attempts.
pub(super) async fn sign_in(
    State(console): State<Console>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let peer = parts
        .extensions
        .get::<ConnectInfo<SocketAddr>>()
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.ip());
    let secure = is_secure(&parts.headers, parts.uri.authority());
    let body = axum::body::to_bytes(body, usize::MAX)
        .await
        .map_err(|_| Problem::bad_request("the body ended early"))?;
    // The parser's message is not passed on, because it could quote a key.
    let body: SignIn = serde_json::from_slice(&body)
        .map_err(|_| Problem::bad_request("write an object with the key: {\"key\": \"...\"}"))?;
    // A pasted key often has a space or a line break at its end.
    let key = body.key.trim();
    let Some(token) = console.sessions.sign_in(peer, key.as_bytes())? else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    // The answer replaces or removes the cookies of earlier sessions, so nobody could sign out of them.
    console.sessions.sign_out(&parts.headers);
    let set = cookie::set(&token, secure).map(|value| (SET_COOKIE, value));
    Ok((StatusCode::NO_CONTENT, AppendHeaders(set)).into_response())
}

/// `DELETE /api/session`
pub(super) async fn sign_out(
    State(console): State<Console>,
    headers: HeaderMap,
) -> impl IntoResponse {
    console.sessions.sign_out(&headers);
    let removed = cookie::remove().map(|value| (SET_COOKIE, value));
    (StatusCode::NO_CONTENT, AppendHeaders(removed))
}
