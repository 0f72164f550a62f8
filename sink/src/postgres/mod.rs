//! Postgres: connections, the vouchers' schema, and the port of the loop.

mod connect;
mod fault;
mod insert;
mod migrate;
mod probe;
mod table;

pub use connect::Database;
pub use fault::{Fault, fault_of};
pub use migrate::migrate;
pub(crate) use migrate::{MIGRATIONS, WRITES};
pub use probe::DatabaseProbe;
pub use table::PostgresTable;
