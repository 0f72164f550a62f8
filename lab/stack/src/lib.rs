//! The local stack: real Kafka, schema registry and Postgres without Docker, and the demo.
//!
//! | module | subject |
//! |---|---|
//! | `backends`, `backend` | the three together; one of them as a process that is killed, paused, restarted |
//! | `kafka`, `registry`, `postgres` | how each is set up and started |
//! | `postgres_server`, `pooler` | more servers of Postgres: a standby, another version; PgBouncer |
//! | `topics` | the design's topics and schemas on them |
//! | `services`, `system` | one service as a process; the three of them on the backends |
//! | `environment` | what services and shells need to know of the running stack |
//! | `tool` | Kafka's own command line tools |
//! | `child`, `ports` | processes that don't outlive us; free ports |
//! | `download`, `prerequisites`, `java` | what is downloaded, what must be there, how a JVM is started |
//! | `cli`, `up`, `demo` | the commands |
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use stack::{Backends, Options, Topics};
//!
//! let backends = Backends::start(Options::new("target/stack-of-a-test")).await?;
//! let topics = Topics::with_suffix("a1b2", 4);
//! backends.create_topics(&topics).await?;
//! backends.register_schemas(&topics).await?;
//! let database = backends.create_database("orders").await?;
//! backends.kafka().kill().await?;
//! backends.kafka().start().await?;
//! # let _ = database;
//! # Ok(())
//! # }
//! ```

mod backend;
mod backends;
mod child;
pub mod cli;
mod demo;
mod download;
mod environment;
mod java;
mod kafka;
mod pooler;
mod ports;
mod postgres;
mod postgres_server;
mod prerequisites;
mod progress;
mod registry;
mod services;
mod system;
mod tool;
mod topics;
mod up;

pub use backend::Backend;
pub use backends::{Backends, Options, Ports, PostgresTls};
pub use child::is_alive;
pub use kafka::Listener;
pub use pooler::{PoolMode, Pooler};
pub use ports::Port;
pub use postgres_server::PostgresServer;
pub use progress::Progress;
pub use services::{BINARIES_VARIABLE, Service, ServiceBinaries, ServiceCommand, service_binaries};
pub use tool::TOOLS;
pub use topics::{DEAD_LETTER_ROOM, MAX_MESSAGE_BYTES, PARTITIONS, Topics};
