//! The console: the flow, orders, dead letters and replays in a browser.
//!
//! ```text
//! browser ──HTTP──▶ guard ──▶ session ──▶ api ──▶ runs ──▶ `console exec processor explain ...`
//!    ▲                                     │              (a child process for each command)
//!    └──────────── SSE ◀── flow ◀── scrape ┘
//!                                   └──HTTP──▶ /metrics and /readyz of the services
//! ```
//!
//! | module | what is in it |
//! |---|---|
//! | [`cli`] | the commands, and how `exec` runs the commands of the other services |
//! | [`settings`], [`service`] | `console run` |
//! | [`http`] | what is around every request: guard, keys, sessions, assets, the stream of events |
//! | [`api`] | the handlers: they translate between HTTP, [`runs`] and the order ingress |
//! | [`scrape`] | fetches the services' metrics and readiness while somebody watches |
//! | [`flow`] | what was fetched, as a picture of the flow: pure |
//! | `open_dead_letters` | counts them while somebody watches, for the flow |
//! | `digits` | counts and amounts in sentences: pure |
//! | [`runs`] | the product's own commands as child processes that outlive the page |
//!
//! What is deliberately absent: Kafka and Postgres clients, and logic of explain, redrive or backfill.
//! The console runs the commands, so that a button does exactly what the command line beside it does.

#![forbid(unsafe_code)]

pub mod api;
pub mod cli;
mod digits;
pub mod flow;
pub mod http;
mod open_dead_letters;
pub mod runs;
pub mod scrape;
pub mod service;
pub mod settings;

use std::sync::Arc;

use runtime::lifecycle::Shutdown;
use runtime::settings::Secret;

use crate::http::session::Sessions;
use crate::runs::Runs;
use crate::scrape::Live;
use crate::settings::{Inherited, RunSettings};

/// What the handlers share. Cheap to clone: every request has one.
#[derive(Debug, Clone)]
pub struct Console {
    /// The settings of `console run`.
    pub settings: Arc<RunSettings>,
    /// What the commands inherit and pages name.
    pub inherited: Arc<Inherited>,
    /// The API key of the order ingress, if it wants one.
    pub orders_key: Option<Secret>,
    /// The flow, as the services' metrics show it.
    pub live: Live,
    /// The commands that run or have ended.
    pub runs: Runs,
    /// Who is signed in.
    pub sessions: Sessions,
    /// The client of the order ingress.
    pub http: reqwest::Client,
    /// Ends the streams of events.
    pub shutdown: Shutdown,
}
