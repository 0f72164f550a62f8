//! `stack up`: the backends, and the services when asked for, until Ctrl-C.

use anyhow::Result;
use runtime::output;

use super::breaking;
use super::running::Running;
use super::signals::StopSignals;
use crate::backends::Options;

/// Runs until Ctrl-C, or until a backend ends by itself. A service that ends is started again.
pub(super) async fn run(options: Options, with_services: bool) -> Result<()> {
    let mut signals = StopSignals::listen()?;
    let keep = options.keep;
    let progress = options.progress.clone();
    let mut running = tokio::select! {
        running = Running::start(options, with_services) => running?,
        () = signals.next() => return Ok(()),
    };
    let ended = match output::print_line(&what_next(&running)) {
        Ok(()) => tokio::select! {
            ended = running.supervise() => ended,
            () = signals.next() => Ok(()),
        },
        Err(failure) => Err(failure.into()),
    };
    progress.line("Stopping");
    let stopped = tokio::select! {
        stopped = running.stop(keep) => stopped,
        // A second signal ends the process at once.
        () = signals.next() => Ok(()),
    };
    ended.and(stopped)
}

fn what_next(running: &Running) -> String {
    let console = match &running.services {
        Some(services) => format!("\nconsole   {}\n", services.console.url("")),
        None => String::new(),
    };
    let mut text = format!(
        "{console}\nReady. In another shell:\n\n  . {}\n  cargo stack tool kafka-topics -- --list\n  cargo stack tool kafka-console-producer -- --topic order-status --reader-property parse.key=true\n",
        running.environment_file()
    );
    match &running.services {
        Some(services) => text.push_str(&format!(
            "\nOrders are accepted at {} (documentation: /docs)\n{}",
            services.producer.url(""),
            breaking::invitation(services)
        )),
        None => text.push_str(
            "  DATABASE_URL=\"$ORDERS_DATABASE_URL\" cargo run --bin producer -- run\n  cargo run --bin processor -- run\n  DATABASE_URL=\"$VOUCHERS_DATABASE_URL\" cargo run --bin sink -- run\n",
        ),
    }
    text.push_str(&format!(
        "\nLogs: {}\nCtrl-C stops everything.",
        running.logs()
    ));
    text
}
