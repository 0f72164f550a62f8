//! HTTP order ingress: orders and their outbox in one transaction, and the relay that publishes them.
//!
//! ```text
//! request -> http -> ingress (groups) -> Postgres: orders + outbox -> relay -> order-status topic
//! ```
//!
//! | module | subject |
//! |---|---|
//! | [`http`] | the API, its bounds and its errors |
//! | [`ingress`] | concurrent changes become grouped commits |
//! | [`orders`] | orders, their transitions, their money: pure |
//! | [`database`] | how Postgres is reached, and what its errors ask for |
//! | [`relay`] | publishes the outbox |
//! | [`settings`], [`service`] | what is read at the start; how the parts are wired |
//! | [`check`] | `producer check` |

#![forbid(unsafe_code)]

pub mod check;
pub mod database;
pub mod http;
pub mod ingress;
pub mod orders;
pub mod relay;
pub mod service;
pub mod settings;
