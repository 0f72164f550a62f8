//! HTTP order ingress: orders and their outbox in one transaction, and the relay that publishes them.
//!
//! ```text
//! request -> http -> ingress (groups) -> store: orders + outbox -> relay -> order-status topic
//! ```
//!
//! | module | subject |
//! |---|---|
//! | [`http`] | the API, its bounds and its errors |
//! | [`ingress`] | commits concurrent changes in groups |
//! | [`orders`] | orders, their transitions, their money: pure |
//! | `store` | the tables of the ingress: all SQL, all columns |
//! | [`database`] | connections to Postgres, its schema, and what to do after its errors |
//! | `limits` | limits, pauses and timeouts of the ingress, with their reasons |
//! | [`relay`] | publishes the outbox |
//! | [`cli`] | the commands |
//! | [`settings`], [`service`] | the settings of `run`; how the parts are wired |
//! | [`check`] | `producer check` |

#![forbid(unsafe_code)]

pub mod check;
pub mod cli;
pub mod database;
pub mod http;
pub mod ingress;
mod limits;
pub mod orders;
pub mod relay;
pub mod service;
pub mod settings;
mod store;
