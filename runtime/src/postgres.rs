//! Access to Postgres, the same for all services. TLS as the URL's `sslmode` says.
//!
//! | module | subject |
//! |---|---|
//! | `servers` | `DATABASE_URL`, one server or several, as connect options |
//! | `parameters` | the URL's parameters and libpq's variables: each works or is refused |
//! | `database` | connections: session settings, and the proof that the server is a primary |
//! | `pooler` | the proof that a session is not shared with other clients |
//! | `unwritable` | why a database takes no writes at all, by error |
//! | `write_probe` | the proof that a service's tables take its writes |
//! | `migrations` | the schema, brought up to date; newer schemas that this version can work with |

mod database;
mod migrations;
mod parameters;
mod pooler;
mod servers;
mod unwritable;
mod write_probe;

pub use database::{Database, Timeouts, within};
pub use migrations::{Applied, MigrationError, migrate};
pub use unwritable::{Refusal, Unwritable, message_of};
pub use write_probe::WriteProbe;
