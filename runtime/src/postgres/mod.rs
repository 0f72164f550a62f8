//! Access to Postgres, the same for all services.
//!
//! | module | subject |
//! |---|---|
//! | `database_url` | `DATABASE_URL`: one server or several, as connect options |
//! | `url_parameters` | the URL's parameters and libpq's environment variables: supported or refused |
//! | `database` | connections: session settings, and the proof that the server is a primary |
//! | `pooler` | the proof that a session is not shared with other clients |
//! | `unwritable` | errors that mean that a database takes no writes at all, and what `/readyz` says then |
//! | `write_probe` | the proof that a service's tables take its writes |
//! | `migrations` | bringing the schema up to date; which newer schemas this version works with |
//! | `migrate` | the command that does only that, and the setting that leaves it to the command |
//!
//! The services build a [`Database`] from the URL, bring its schema up to date at the start
//! ([`Migrations::apply_when_possible`]), and then connect. TLS is as the URL's `sslmode` says. ADR 0021
//! says why every connection that writes is proven to be on a primary.

mod database;
mod database_url;
mod migrate;
mod migrations;
mod pooler;
mod unwritable;
mod url_parameters;
mod write_probe;

pub use database::{Database, Timeouts, within};
pub use migrate::{MigrateSettings, MigrateTimeout, StartMigrations};
pub(crate) use migrations::list;
pub use migrations::{Applied, MigrationError, Migrations, MissingMigrations};
pub use unwritable::{ConnectionRefusal, Unwritable, message_of, outage_sentence};
pub use write_probe::WriteProbe;
