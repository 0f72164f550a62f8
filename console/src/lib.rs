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
//! | [`http`] | the layers around every request: guard, keys, sessions, assets, the stream of events |
//! | [`api`] | the handlers: they translate between HTTP, [`runs`] and the order ingress |
//! | [`scrape`] | fetches the services' metrics and readiness while a page watches |
//! | [`flow`] | the picture of the flow, made from the fetched numbers: pure |
//! | `open_dead_letters` | counts the open dead letters while a page watches, for the flow |
//! | `digits` | counts and amounts in sentences: pure |
//! | [`runs`] | the product's own commands as child processes that outlive the page |
//!
//! Deliberately absent: Kafka and Postgres clients, and the logic of explain, redrive or backfill. The
//! console runs the commands, so that a button does exactly the same as the command line beside it.

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

/// The state that the handlers share. Cheap to clone: every request has a clone.
#[derive(Debug, Clone)]
pub struct Console {
    /// The settings of `console run`.
    pub settings: Arc<RunSettings>,
    /// The settings that the commands inherit and pages show.
    pub inherited: Arc<Inherited>,
    /// The API key of the order ingress, if one is configured.
    pub orders_key: Option<Secret>,
    /// The live flow, from the services' metrics.
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
