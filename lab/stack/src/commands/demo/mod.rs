//! `stack demo`: starts everything, places orders over HTTP and through Kafka's own console
//! producer, and reports what became of each of them.
//!
//! What is expected is computed here from what was placed, independently of the processor's rule.

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
use sqlx::postgres::PgPoolOptions;

use super::breaking;
use super::running::Running;
use super::signals::StopSignals;
use crate::backends::Options;
use latency::Latency;
use orders::{Ingress, Placed};
use report::Report;

/// The time to the voucher is measured for at most this many orders.
const MAX_MEASURED: usize = 500;

/// The command's own settings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Demo {
    pub(crate) orders: u32,
    pub(crate) once: bool,
    pub(crate) json: bool,
}

impl Demo {
    /// Runs to the report and then, unless `once`, until Ctrl-C. A service that ends before the report
    /// is a failure, because the report is about all of them; later it is started again.
    pub(crate) async fn run(self, options: Options) -> Result<ExitCode> {
        let mut signals = StopSignals::listen()?;
        let (keep, progress) = (options.keep, options.progress.clone());
        let mut running = tokio::select! {
            running = Running::start(options, true) => running?,
            () = signals.next() => bail!("interrupted before everything had started"),
        };
        let report = tokio::select! {
            report = self.flow(&running) => report,
            Err(ended) = running.wait_for_an_end() => Err(ended),
            () = signals.next() => Err(anyhow::anyhow!("interrupted before the report")),
        };
        let logs = running.logs();
        let mut printed = Ok(());
        let result = match report {
            Ok(report) => {
                printed = self.print(&report, &running);
                if printed.is_ok() && !self.once {
                    tokio::select! {
                        ended = running.supervise() => ended?,
                        () = signals.next() => {}
                    }
                }
                Ok(report)
            }
            Err(error) => Err(error).with_context(|| format!("the demo failed (logs: {logs})")),
        };
        let step = progress.step("Stopping");
        let stopped = tokio::select! {
            stopped = running.stop(keep) => stopped,
            () = signals.next() => Ok(()),
        };
        drop(step);
        let report = result?;
        printed?;
        if self.json {
            // The last line: messages about the end came before.
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
            text.push_str(&to_play_with(running));
        }
        if self.json {
            output::eprint_line(&text);
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
        let services = running.services.as_ref().context("no services run")?;
        let ingress = Ingress::new(&services.producer)?;
        let vouchers = PgPoolOptions::new()
            .max_connections(4)
            .connect(&environment.vouchers_database_url)
            .await
            .context("the vouchers' database does not answer")?;
        let dead_letter_topics = [
            topics.order_status_dead_letters(),
            topics.vouchers_dead_letters(),
        ];
        let begin = outcome::ends(&environment.bootstrap_servers, &dead_letter_topics).await?;
        let typed = console::lines();
        let typed_ids: Vec<String> = typed.iter().filter_map(|line| line.id.clone()).collect();
        let before = outcome::vouchers_except(&vouchers, &typed_ids).await?;

        let mut orders = orders::mix(self.orders);
        let many = orders.split_off(MAX_MEASURED.min(orders.len().div_ceil(2)));
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
            ingress.set_statuses(&many).await?;
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
            Some(_) => "Not all of their vouchers came",
        });

        let step = progress.step(&format!("Measuring: {} a second", latency::PER_SECOND));
        let latency = if missing.is_some() {
            // Nothing to measure, but the report counts these orders too.
            ingress.set_statuses(&measured).await?;
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

        let step = progress.step("Reading all topics to their ends");
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

/// Returns lines to paste into another shell.
fn to_play_with(running: &Running) -> String {
    let Some(services) = &running.services else {
        return String::new();
    };
    let (producer, console) = (services.producer.http_addr(), services.console.http_addr());
    format!(
        "\n  console      http://{console}   see the flow, place an order, mend a dead letter\n\
         \n  to play with, in another shell\n\
         \x20   . {env}\n\
         \x20   curl -s http://{producer}/orders -H 'content-type: application/json' \\\n\
         \x20        -d '{{\"order_id\":\"mine-1\",\"total\":\"100.00\",\"currency\":\"EUR\",\"products\":[]}}'\n\
         \x20   curl -s -X PATCH http://{producer}/orders/mine-1 -H 'content-type: application/json' -d '{{\"status\":\"SENT\"}}'\n\
         \x20   psql \"$VOUCHERS_DATABASE_URL\" -c 'SELECT order_id, amount, currency, created_at FROM vouchers ORDER BY created_at DESC LIMIT 5'\n\
         \x20   printf '42\\t{{\"id\":42,\"status\":\"SENT\",\"total\":150}}\\n' | cargo stack tool kafka-console-producer -- --topic order-status --reader-property parse.key=true\n\
         \x20   cargo stack tool kafka-console-consumer -- --topic order-status.dlq --from-beginning --formatter-property print.headers=true\n\
         {breaking}\
         \n  API documentation: http://{producer}/docs   logs: {logs}\n\
         \n  Ctrl-C stops everything.\n",
        env = running.environment_file(),
        breaking = breaking::invitation(services),
        logs = running.logs(),
    )
}

/// Returns for each order whether it must have a voucher.
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
