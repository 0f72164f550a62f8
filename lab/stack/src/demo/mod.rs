//! `stack demo`: everything started, orders placed over HTTP and typed into Kafka's own console
//! producer, and what became of each of them.
//!
//! What is expected is computed here from what was placed, without a look at the processor's rule.

mod console;
mod latency;
mod orders;
mod outcome;
mod report;

use std::collections::HashMap;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use indicatif::HumanCount;
use runtime::lifecycle::Failure;
use runtime::output;
use sqlx::postgres::{PgPool, PgPoolOptions};

use crate::backends::{Backends, Options};
use crate::cli::StopSignals;
use crate::environment::{Environment, EnvironmentFile};
use crate::services::build_services;
use crate::system::System;
use crate::topics::Topics;
use crate::up;
use latency::Latency;
use orders::{Ingress, Placed};
use report::Report;

/// At most so many orders have the time measured that their voucher takes.
const MEASURED: usize = 500;

/// The command's own settings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Demo {
    pub(crate) orders: u32,
    pub(crate) once: bool,
    pub(crate) json: bool,
}

struct Running {
    file: EnvironmentFile,
    system: System,
    backends: Backends,
    environment: Environment,
    topics: Topics,
}

impl Demo {
    /// Runs to the report, and on until Ctrl-C unless it is to end there.
    pub(crate) async fn run(self, options: Options) -> Result<ExitCode> {
        let mut signals = StopSignals::listen()?;
        let (keep, progress) = (options.keep, options.progress.clone());
        let running = tokio::select! {
            running = start(options) => running?,
            () = signals.next() => bail!("interrupted before everything had started"),
        };
        let report = tokio::select! {
            report = self.flow(&running) => report,
            Err(ended) = up::wait_for_an_end(&running.backends, Some(&running.system)) => Err(ended),
            () = signals.next() => Err(anyhow::anyhow!("interrupted before the report")),
        };
        let logs = up::relative(&running.backends.directory().join("logs"));
        let mut printed = Ok(());
        let result = match report {
            Ok(report) => {
                printed = self.print(&report, &running);
                if printed.is_ok() && !self.once {
                    tokio::select! {
                        ended = up::wait_for_an_end(&running.backends, Some(&running.system)) => ended?,
                        () = signals.next() => {}
                    }
                }
                Ok(report)
            }
            Err(error) => Err(error).with_context(|| format!("the demo failed (logs: {logs})")),
        };
        drop(running.file);
        let step = progress.step("Stopping");
        let stopped = tokio::select! {
            stopped = up::stop(Some(running.system), running.backends, keep) => stopped,
            () = signals.next() => Ok(()),
        };
        drop(step);
        let report = result?;
        printed?;
        if self.json {
            // The last line: whatever the end has to say came before.
            output::print_line(&report.json()?)?;
        }
        stopped?;
        Ok(if report.is_right() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    fn print(self, report: &Report, running: &Running) -> Result<(), Failure> {
        let mut text = report.text();
        if !self.once {
            text.push_str(&report::to_play_with(running));
        }
        if self.json {
            output::complain(&text);
            Ok(())
        } else {
            output::print_line(&text)
        }
    }

    /// Places the orders and follows them to the table.
    async fn flow(self, running: &Running) -> Result<Report> {
        let Running {
            backends,
            environment,
            topics,
            ..
        } = running;
        let progress = backends.progress();
        let ingress = Ingress::new(&running.system.producer)?;
        let vouchers = PgPoolOptions::new()
            .max_connections(4)
            .connect(&environment.vouchers_database_url)
            .await
            .context("the vouchers' database doesn't answer")?;
        let dead_letter_topics = [
            topics.order_status_dead_letters(),
            topics.vouchers_dead_letters(),
        ];
        let begin = outcome::ends(&environment.bootstrap_servers, &dead_letter_topics).await?;
        let typed = console::lines();
        let typed_ids: Vec<String> = typed.iter().filter_map(|line| line.id.clone()).collect();
        let before = outcome::vouchers_except(&vouchers, &typed_ids).await?;

        let mut orders = orders::mix(self.orders);
        let many = orders.split_off(MEASURED.min(orders.len().div_ceil(2)));
        let measured = orders;

        let step = progress.step("Placing orders");
        let show = |placed: u64, rows: i64| {
            step.now(&format!(
                "{} of {} orders placed, {} vouchers in Postgres",
                HumanCount(placed),
                HumanCount(self.orders.into()),
                HumanCount(rows.unsigned_abs())
            ));
        };
        let counting = ingress.clone();
        let placing = async {
            let measured = ingress.create_all(measured).await?;
            let many = ingress.create_all(many).await?;
            ingress.take_their_course(&many).await?;
            console::type_lines(backends, topics, &typed).await?;
            anyhow::Ok((measured, many))
        };
        let (measured, many) = outcome::while_showing(placing, &vouchers, before, |rows| {
            show(counting.placed(), rows);
        })
        .await?;
        step.done(&format!("{} orders placed", HumanCount(self.orders.into())));

        let step = progress.step("Vouchers");
        let rows_now = |rows: i64| {
            step.now(&format!(
                "{} vouchers in Postgres",
                HumanCount(rows.unsigned_abs())
            ))
        };
        let bulk = count_eligible(&expected(&many, &typed));
        let mut missing = outcome::wait_for_rows(&vouchers, before, bulk, rows_now).await?;
        step.done(match missing {
            None => "Their vouchers are in Postgres",
            Some(_) => "Waited for their vouchers in vain",
        });

        let step = progress.step(&format!("Measuring: {} a second", latency::PER_SECOND));
        let latency = if missing.is_some() {
            // Nothing to measure, but the report counts these orders too.
            ingress.take_their_course(&measured).await?;
            Latency::default()
        } else {
            let (latency, late) = latency::measure(&ingress, &vouchers, &measured).await?;
            missing = late;
            latency
        };
        step.done(&format!(
            "{} more orders sent at a steady pace",
            measured.len()
        ));

        let step = progress.step("Reading everything to the end");
        let mut placed = measured;
        placed.extend(many);
        let expected = expected(&placed, &typed);
        let eligible = count_eligible(&expected);
        if missing.is_none() {
            missing = outcome::wait_for_rows(&vouchers, before, eligible, |_| {}).await?;
        }
        let unread = outcome::wait_until_read(&environment.bootstrap_servers, topics).await?;
        let dead_letters = outcome::dead_letters(&environment.bootstrap_servers, begin).await?;
        let rows = outcome::rows_per_order(&vouchers).await?;
        step.done("Every record was read");
        Ok(Report {
            over_http: placed.len(),
            typed: typed_ids.len(),
            malformed: typed.len() - typed_ids.len(),
            orders: expected.len(),
            sent: placed
                .iter()
                .filter(|placed| placed.order.is_sent())
                .count()
                + typed.iter().filter(|line| line.sent).count(),
            eligible,
            judgement: report::judge(&expected, &rows, before == 0),
            incomplete: missing.or(unread),
            dead_letters,
            latency,
            samples: outcome::samples(&vouchers).await?,
        })
    }
}

/// Per order whether it has earned a voucher.
fn expected(placed: &[Placed], typed: &[console::Line]) -> HashMap<String, bool> {
    let over_http = placed
        .iter()
        .map(|placed| (placed.id.clone(), placed.order.is_eligible()));
    let typed = typed
        .iter()
        .filter_map(|line| Some((line.id.clone()?, line.eligible)));
    over_http.chain(typed).collect()
}

fn count_eligible(expected: &HashMap<String, bool>) -> usize {
    expected.values().filter(|eligible| **eligible).count()
}

async fn start(options: Options) -> Result<Running> {
    let progress = options.progress.clone();
    let topics = Topics::default();
    // What doesn't build needn't be started.
    let binaries = build_services(&progress).await?;
    let backends = Backends::start(options).await?;
    let environment = Environment::prepare(&backends, &topics).await?;
    let logs = backends.directory().join("logs");
    let system = System::start(&binaries, &environment, &logs, &progress).await?;
    let file = environment.write(backends.directory(), &system.addresses())?;
    Ok(Running {
        file,
        system,
        backends,
        environment,
        topics,
    })
}

/// The database with the vouchers.
type Vouchers = PgPool;
