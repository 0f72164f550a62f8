//! The local stack: real Kafka, schema registry and Postgres without Docker, and the demo.
//!
//! | module | subject |
//! |---|---|
//! | `commands` | the command line: `stack demo`, `stack up`, `stack tool` |
//! | `services` | the product's services and its console: built, started on the backends, watched, started again |
//! | `backends` | Kafka, the registry and Postgres: one of each, or a cluster, a standby, a pooler |
//! | `install` | the programs that must be installed, and what is downloaded |
//! | `process` | processes that do not outlive this one, and free ports |
//! | `progress`, `http` | how progress is shown; the HTTP client |
//!
//! Modules use those below them, never those above.
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

mod backends;
mod commands;
mod http;
mod install;
mod process;
mod progress;
mod services;

pub use backends::kafka::tools::TOOLS;
pub use backends::{
    Backends, DEAD_LETTER_ROOM, Listener, MAX_MESSAGE_BYTES, Options, PARTITIONS, PoolMode, Ports,
    PostgresServer, PostgresTls, Topics,
};
pub use commands::main;
pub use install::prerequisites::{Java, java, maven};
pub use process::{Backend, Port, is_alive};
pub use progress::Progress;
pub use services::{BINARIES_VARIABLE, Service, ServiceBinaries, ServiceCommand};
