//! `/api/runs`: commands that run on the server.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::parse;
use crate::Console;
use crate::http::problem::Problem;
use crate::http::session::Identity;
use crate::runs::{Refusal, RunId, RunRequest, RunSummary, RunView, StopRefused};
use crate::settings::Role;

/// The header that identifies one intention of a person: two requests with the same key start one run.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The maximum length of an idempotency key, as at the order ingress.
const MAX_IDEMPOTENCY_KEY: usize = 255;

/// `POST /api/runs`
pub(super) async fn start(
    State(console): State<Console>,
    who: Identity,
    headers: HeaderMap,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let request: RunRequest = parse(&body)?;
    if !request.is_dry_run() && who.role < Role::Operator {
        return Err(Problem::forbidden(format!(
            "{} is a viewer, who may only preview; running this needs the role operator",
            who.name
        )));
    }
    let id = console
        .runs
        .start(request, &who, idempotency_key(&headers)?)?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "id": id }))))
}

/// `GET /api/runs`
pub(super) async fn list(State(console): State<Console>, _: Identity) -> Json<Vec<RunSummary>> {
    Json(console.runs.list())
}

/// `GET /api/runs/{id}`
pub(super) async fn show(
    State(console): State<Console>,
    _: Identity,
    Path(id): Path<String>,
) -> Result<Json<RunView>, Problem> {
    let run = id.parse().ok().and_then(|id| console.runs.get(id));
    run.map(Json).ok_or_else(|| StopRefused::NotFound.into())
}

/// `DELETE /api/runs/{id}`
pub(super) async fn stop(
    State(console): State<Console>,
    who: Identity,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let id: RunId = id.parse().map_err(|_| StopRefused::NotFound)?;
    console.runs.stop(id, &who)?;
    Ok((StatusCode::ACCEPTED, Json(json!({ "id": id }))))
}

/// Returns the idempotency key of a request, if it has one.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    let key = value.to_str().ok().filter(|key| {
        (1..=MAX_IDEMPOTENCY_KEY).contains(&key.len())
            && key.bytes().all(|byte| byte.is_ascii_graphic())
    });
    match key {
        Some(key) => Ok(Some(key)),
        None => Err(Problem::bad_request(
            "Idempotency-Key: write 1 to 255 visible ASCII characters, such as a UUID",
        )),
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let why = refusal.to_string();
        match refusal {
            Refusal::Invalid(_) => Self::bad_request(why),
            Refusal::Misconfigured(_) => Self::misconfigured(&why),
            Refusal::NotPreviewed(_) | Refusal::TooMany(_) | Refusal::KeyReused => {
                Self::conflict(why)
            }
            Refusal::Stopping => Self::unavailable(why),
        }
    }
}

impl From<StopRefused> for Problem {
    fn from(refused: StopRefused) -> Self {
        let why = refused.to_string();
        match refused {
            StopRefused::NotFound => Self::not_found(why),
            StopRefused::HasEnded => Self::conflict(why),
            StopRefused::Forbidden => Self::forbidden(why),
        }
    }
}
