//! `/api/dead-letters`: counts, lists, and shows one in full. Redrive and discard are runs.

use axum::Json;
use axum::extract::{Path, Query as Parameters, State};
use serde::Deserialize;
use serde_json::Value;

use super::{ask, with_command};
use crate::Console;
use crate::http::problem::Problem;
use crate::http::session::Identity;
use crate::runs::{DeadLetterList, Query, Service};

/// How many dead letters are listed if a page does not choose a number.
const LIMIT: u16 = 100;

/// The maximum number that is listed. A dead letter may have several KiB, and a page shows no more at
/// once.
const MAX_LIMIT: u16 = 1000;

/// Which dead letters are listed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParameters {
    service: Service,
    reason: Option<String>,
    limit: Option<u16>,
    #[serde(default)]
    all: bool,
}

/// `GET /api/dead-letters`
pub(super) async fn list(
    State(console): State<Console>,
    _: Identity,
    Parameters(wanted): Parameters<ListParameters>,
) -> Result<Json<Value>, Problem> {
    let limit = wanted.limit.unwrap_or(LIMIT);
    if limit > MAX_LIMIT {
        return Err(Problem::bad_request(format!(
            "limit: at most {MAX_LIMIT} dead letters are listed; select them by their reason"
        )));
    }
    let query = Query::dead_letters(DeadLetterList {
        service: wanted.service,
        reason: wanted.reason.as_deref(),
        limit,
        all: wanted.all,
    })
    .map_err(Problem::bad_request)?;
    let found = ask(&console.runs, &query).await?;
    // What a page has counted need not be counted again for the flow.
    if let (None, Some(open)) = (&wanted.reason, found["open"].as_u64()) {
        console
            .live
            .note_open_dead_letters(wanted.service.into(), open);
    }
    Ok(Json(with_command(found, &query)))
}

/// `GET /api/dead-letters/{service}/{id}`
pub(super) async fn show(
    State(console): State<Console>,
    _: Identity,
    Path((service, id)): Path<(Service, String)>,
) -> Result<Json<Value>, Problem> {
    let query = Query::dead_letter(service, &id).map_err(Problem::bad_request)?;
    let found = ask(&console.runs, &query).await?;
    if found["found"] == false {
        return Err(Problem::not_found(format!(
            "no dead letter of the {} has its original at {id}",
            service.as_str()
        )));
    }
    Ok(Json(with_command(found, &query)))
}
