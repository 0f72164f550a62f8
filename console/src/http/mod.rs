//! The layers around every request, and the routes that do not concern the product.
//!
//! | module | subject |
//! |---|---|
//! | `guard` | hosts, sites, bodies, headers, and problems instead of bare errors |
//! | [`session`], `cookie`, `sign_in` | who is signed in, and the session's cookie |
//! | [`keys`] | the keys, and the text of their file |
//! | `stream` | the flow, and the events of a page |
//! | `assets` | the page and its files |
//! | `page` | the page with the names of its modules, and the style sheets in one: pure |
//! | [`problem`] | every error, as a problem of RFC 9457 |

mod assets;
mod cookie;
mod guard;
pub mod keys;
mod page;
pub mod problem;
pub mod session;
mod sign_in;
mod stream;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::get;

use crate::{Console, api};
use guard::Guard;
use problem::Problem;

/// Returns all routes; `health` contains `/livez`, `/readyz` and `/metrics`, which need no session.
pub fn router(console: Console, health: Router) -> Router {
    let guard = Guard::new(&console.settings.listener.console_hosts);
    let session = get(sign_in::show)
        .post(sign_in::sign_in)
        .delete(sign_in::sign_out);
    Router::new()
        .route("/api/session", session)
        .route("/api/flow", get(stream::flow))
        .route("/api/stream", get(stream::events))
        .merge(api::routes())
        .route("/api/{*rest}", axum::routing::any(no_such_path))
        .with_state(console)
        .merge(health)
        .fallback(assets::serve)
        .layer(from_fn_with_state(guard, guard::around))
}

async fn no_such_path() -> Problem {
    Problem::not_found("the API has no such path")
}

#[cfg(test)]
mod tests;
