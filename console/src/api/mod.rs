//! The handlers. They only translate between HTTP, the commands and the order ingress.
//!
//! | module | paths |
//! |---|---|
//! | `orders` | `/api/orders`: explained, revealed, followed; placed and changed at the ingress |
//! | `path` | the way of an order, hop by hop, from what `explain` found: pure |
//! | `dead_letters` | `/api/dead-letters` |
//! | `runs` | `/api/runs`: commands that outlive the page |

mod dead_letters;
mod orders;
mod path;
mod runs;

use axum::Router;
use axum::routing::{get, post};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::Console;
use crate::http::problem::Problem;
use crate::runs::{CommandFailed, Query, Runs};

/// Returns the routes of the API that concern the product.
pub fn routes() -> Router<Console> {
    Router::new()
        .route("/api/orders", post(orders::place))
        .route("/api/orders/{id}", get(orders::explain))
        .route("/api/orders/{id}/reveal", post(orders::reveal))
        .route("/api/orders/{id}/path", get(orders::path))
        .route("/api/orders/{id}/status", post(orders::set_status))
        .route("/api/dead-letters", get(dead_letters::list))
        // The id has slashes, escaped or not.
        .route("/api/dead-letters/{service}/{*id}", get(dead_letters::show))
        .route("/api/runs", get(runs::list).post(runs::start))
        .route("/api/runs/{id}", get(runs::show).delete(runs::stop))
}

/// Parses the JSON of a body.
fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(body)
        .map_err(|error| Problem::bad_request(format!("the body is not a valid request: {error}")))
}

/// Runs a read-only command and returns what it found.
async fn ask(runs: &Runs, query: &Query) -> Result<Value, Problem> {
    Ok(runs.query(query).await?)
}

/// Adds the command line that a person would type, so that a page can show it.
fn with_command(mut found: Value, query: &Query) -> Value {
    if let Some(fields) = found.as_object_mut() {
        fields.insert("command".to_owned(), json!(query.command().to_string()));
    }
    found
}

impl From<CommandFailed> for Problem {
    fn from(failed: CommandFailed) -> Self {
        let why = failed.to_string();
        match failed {
            // The values of the request were checked before.
            CommandFailed::Refused(_) => Self::misconfigured(&why),
            CommandFailed::Failed(_) | CommandFailed::NotStarted(_) => Self::unavailable(why),
            CommandFailed::TimedOut(_) => Self::timed_out(why),
        }
    }
}

#[cfg(test)]
mod tests;
