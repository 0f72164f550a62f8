//! `stack up`: the backends, and the services when asked for, until Ctrl-C.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use runtime::output;

use crate::backends::{Backends, Options};
use crate::cli::StopSignals;
use crate::environment::{Environment, EnvironmentFile};
use crate::services::build_services;
use crate::system::System;
use crate::topics::Topics;

/// Everything that runs; the file goes first, then the services, then the backends.
struct Running {
    file: EnvironmentFile,
    system: Option<System>,
    backends: Backends,
}

pub(crate) async fn run(options: Options, services: bool) -> Result<()> {
    let mut signals = StopSignals::listen()?;
    let keep = options.keep;
    let progress = options.progress.clone();
    let running = tokio::select! {
        running = start(options, services) => running?,
        () = signals.next() => return Ok(()),
    };
    let ended = match output::print_line(&what_next(&running)) {
        Ok(()) => tokio::select! {
            ended = wait_for_an_end(&running.backends, running.system.as_ref()) => ended,
            () = signals.next() => Ok(()),
        },
        Err(failure) => Err(failure.into()),
    };
    progress.line("Stopping");
    drop(running.file);
    let stopped = tokio::select! {
        stopped = stop(running.system, running.backends, keep) => stopped,
        // Once more: at once.
        () = signals.next() => Ok(()),
    };
    ended.and(stopped)
}

async fn start(options: Options, services: bool) -> Result<Running> {
    let progress = options.progress.clone();
    // What doesn't build needn't be started.
    let binaries = if services {
        Some(build_services(&progress).await?)
    } else {
        None
    };
    let backends = Backends::start(options).await?;
    let environment = Environment::prepare(&backends, &Topics::default()).await?;
    let logs = backends.directory().join("logs");
    let system = match binaries {
        Some(binaries) => Some(System::start(&binaries, &environment, &logs, &progress).await?),
        None => None,
    };
    let addresses = system.as_ref().map(System::addresses);
    let file = environment.write(
        backends.directory(),
        addresses.as_ref().map_or(&[], |all| all.as_slice()),
    )?;
    Ok(Running {
        file,
        system,
        backends,
    })
}

/// The orderly end: the services drain; the backends too when their data is kept.
pub(crate) async fn stop(system: Option<System>, backends: Backends, keep: bool) -> Result<()> {
    let drained = match system {
        Some(system) => system.stop().await,
        None => Ok(()),
    };
    if keep {
        backends.stop().await?;
    }
    drained
}

/// Returns, with an error, when something that should run has ended.
pub(crate) async fn wait_for_an_end(backends: &Backends, system: Option<&System>) -> Result<()> {
    let mut looks = tokio::time::interval(Duration::from_millis(200));
    loop {
        looks.tick().await;
        let others = [backends.registry(), backends.postgres()];
        for backend in backends.brokers().iter().chain(others) {
            if let Some(status) = backend.exit_status() {
                bail!(
                    "{} ended ({status}); its log: {}",
                    backend.name(),
                    backend.log().display()
                );
            }
        }
        if let Some(system) = system {
            system.check()?;
        }
    }
}

fn what_next(running: &Running) -> String {
    let backends = &running.backends;
    let mut text = format!(
        "\nReady. In another shell:\n\n  . {}\n  cargo stack tool kafka-topics -- --list\n  cargo stack tool kafka-console-producer -- --topic order-status --reader-property parse.key=true\n",
        relative(running.file.path())
    );
    match &running.system {
        Some(system) => text.push_str(&format!(
            "\nOrders are taken at http://{} (documentation: /docs)\n",
            system.producer.http_addr()
        )),
        None => text.push_str(
            "  DATABASE_URL=\"$ORDERS_DATABASE_URL\" cargo run -p producer -- run\n  cargo run -p processor -- run\n  DATABASE_URL=\"$VOUCHERS_DATABASE_URL\" cargo run -p sink -- run\n",
        ),
    }
    text.push_str(&format!(
        "\nLogs: {}\nCtrl-C stops everything.",
        relative(&backends.directory().join("logs"))
    ));
    text
}

/// A path as one would type it here.
pub(crate) fn relative(path: &Path) -> String {
    std::env::current_dir()
        .ok()
        .and_then(|here| {
            Some(
                path.strip_prefix(here.canonicalize().ok()?)
                    .ok()?
                    .to_owned(),
            )
        })
        .unwrap_or_else(|| path.to_owned())
        .display()
        .to_string()
}
