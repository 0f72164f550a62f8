//! `stack tool`: one of Kafka's own tools at a terminal.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::backends::kafka::{Distribution, tools};
use crate::install::Cache;
use crate::progress::Progress;
use crate::services::environment;

/// Returns the command. The brokers' address is that of the shell's `KAFKA_BOOTSTRAP_SERVERS`, else
/// of the stack that runs in `directory`.
pub(super) async fn command(directory: &Path, name: &str, arguments: &[String]) -> Result<Command> {
    let class = tools::class(name)?;
    let servers = std::env::var("KAFKA_BOOTSTRAP_SERVERS")
        .ok()
        .filter(|servers| !servers.is_empty())
        .or_else(|| environment::read(directory, "KAFKA_BOOTSTRAP_SERVERS"));
    let needs_servers = tools::with_bootstrap_server(name, arguments, "").len() > arguments.len();
    if servers.is_none() && needs_servers {
        bail!(
            "no stack runs in {}, and KAFKA_BOOTSTRAP_SERVERS is not set\nhint: cargo stack up   # \
             or give --bootstrap-server HOST:PORT",
            directory.display()
        );
    }
    let distribution = Distribution::get(&Cache::open(Progress::auto())?).await?;
    let mut command = distribution.tool(class);
    match servers {
        Some(servers) => command.args(tools::with_bootstrap_server(name, arguments, &servers)),
        None => command.args(arguments),
    };
    Ok(command)
}
