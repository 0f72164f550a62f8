//! One run: start everything, inject faults under load, heal, drain, compare.

mod directory;
mod event_log;
mod judge;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use end_to_end::system::TestSystem;
use end_to_end::topic;
use futures::future::try_join_all;
use sqlx::Row;

use crate::faults::inject;
use crate::faults::schedule::{FaultKind, Lane, Schedule};
use crate::flow::probe::Probe;
use crate::flow::watch::Watch;
use crate::journal::Journal;
use crate::load::{self, Orders, Records};
use crate::options::{Length, Options};
use crate::report::Report;
use crate::stage::{Instance, Stage};
use crate::verdict;
use crate::verdict::observed::observe;
use directory::Directory;
use event_log::EventLog;
pub use judge::judge;

/// Far longer than the services need to recover and to process everything.
const DRAIN_DEADLINE: Duration = Duration::from_secs(180);

/// Runs to the verdict.
///
/// # Errors
/// When something does not start, cannot be healed, or does not drain in time. The folder with all
/// logs is then kept and named, as after a broken promise.
pub async fn run(options: &Options) -> Result<Report> {
    let directory = Directory::create(&format!("failed-{}", options.seed))?;
    let report = run_in(options, &directory.path).await;
    let kept = !report.as_ref().is_ok_and(Report::holds);
    directory.close(kept);
    report
}

async fn run_in(options: &Options, directory: &Path) -> Result<Report> {
    let log = EventLog::create(&directory.join("faults.log"))?;
    log.event(&format!("seed {}; starting everything", options.seed));
    let stage = Stage::start(&directory.join("stack"), options.brokers).await?;
    let journal = Arc::new(Journal::create(&directory.join("journal.jsonl"))?);
    let watch = Arc::new(Watch::new(log.begun));
    let report = tokio::select! {
        report = under_faults(options, &stage, &journal, &watch, &log) => report?,
        supervised = stage.supervise() => {
            supervised?;
            bail!("the supervision ended")
        }
        watched = watched(options, &stage, &watch, &log) => {
            watched?;
            bail!("the watch ended")
        }
    };
    Ok(report)
}

/// Watches the flow and the cluster for ever, if there are several brokers.
async fn watched(options: &Options, stage: &Stage, watch: &Watch, log: &EventLog) -> Result<()> {
    if options.brokers == 1 {
        return std::future::pending().await;
    }
    let probe = Probe::create(stage.system.brokers()).await?;
    let say = |what: &str| log.event(what);
    tokio::try_join!(watch.rows(&stage.system, say), watch.cluster(&probe, say))?;
    Ok(())
}

async fn under_faults(
    options: &Options,
    stage: &Stage,
    journal: &Arc<Journal>,
    watch: &Arc<Watch>,
    log: &EventLog,
) -> Result<Report> {
    let system = &stage.system;
    let producers = [Instance::ProducerA, Instance::ProducerB]
        .map(|producer| stage.url(producer).map(str::to_owned))
        .into_iter()
        .collect::<Result<_>>()?;
    let orders = Arc::new(Orders::new(
        producers,
        Arc::clone(journal),
        Arc::clone(watch),
    )?);
    let topic = &system.topics.order_status;
    let records = Arc::new(Records::new(
        system.brokers(),
        topic,
        Arc::clone(journal),
        Arc::clone(watch),
    )?);
    let (stop, stopped) = tokio::sync::watch::channel(false);

    let begun = Instant::now();
    let taken = AtomicU32::new(0);
    let load = load::run(options.seed, orders, records, stopped);
    let faults = async {
        let lanes = Lane::all(options.brokers);
        let lengths = options.length.shares(u32::try_from(lanes.len())?);
        let lanes = lanes
            .into_iter()
            .zip(lengths)
            .map(|(planned, length)| lane(planned, length, options.seed, stage, log, &taken));
        let all = try_join_all(lanes).await?;
        stop.send_replace(true);
        anyhow::Ok((all, begun.elapsed()))
    };
    let ((), (all, took)) = tokio::try_join!(load, faults)?;
    let mut faults = BTreeMap::new();
    for (kind, count) in all.into_iter().flatten() {
        *faults.entry(kind).or_default() += count;
    }

    log.event("no more faults; waiting until everything has drained");
    let healed = Instant::now();
    if let Err(error) = drained(stage).await {
        let gaps = watch.flow().gaps;
        bail!("{error:#}; gaps in the flow: {gaps:?}");
    }
    let drained_in = healed.elapsed();
    log.event("drained; comparing");
    if options.brokers > 1 {
        // In the log too: if the comparison fails, it can be repeated, and the watch cannot.
        let flow = serde_json::to_string(&watch.flow())?;
        log.event(&format!("the flow: {flow}"));
    }
    let verdict = verdict::judge(&journal.entries()?, &observe(system).await?);
    Ok(Report::new(
        options,
        (took, drained_in),
        faults,
        stage.ended(),
        verdict,
        (options.brokers > 1).then(|| watch.flow()),
    ))
}

/// Injects the faults of one lane, one after the other.
async fn lane(
    lane: Lane,
    length: Length,
    seed: u64,
    stage: &Stage,
    log: &EventLog,
    taken: &AtomicU32,
) -> Result<BTreeMap<FaultKind, u32>> {
    let begun = Instant::now();
    let mut faults = BTreeMap::new();
    for (done, planned) in (0_u32..).zip(Schedule::new(seed, lane)) {
        let over = match length {
            Length::Faults(count) => done >= count,
            Length::For(time) => begun.elapsed() >= time,
        };
        if over {
            break;
        }
        tokio::time::sleep(planned.after).await;
        let number = taken.fetch_add(1, Ordering::Relaxed) + 1;
        let (fault, millis) = (planned.fault, planned.lasts.as_millis());
        log.event(&format!("{number:>4} {fault} ({millis} ms)"));
        inject(stage, &planned).await?;
        log.event(&format!("{number:>4} healed"));
        *faults.entry(planned.fault.kind()).or_default() += 1;
    }
    Ok(faults)
}

/// Waits until all services are ready and no record is left to process.
async fn drained(stage: &Stage) -> Result<()> {
    let end = Instant::now() + DRAIN_DEADLINE;
    stage.wait_ready().await?;
    loop {
        // In the direction of the data flow: a part that is empty sends nothing to the next one.
        let missing = match unprocessed(&stage.system).await {
            Ok(None) => return Ok(()),
            Ok(Some(unprocessed)) => unprocessed,
            Err(error) => format!("{error:#}"),
        };
        if Instant::now() >= end {
            bail!(
                "not drained {} s after the last fault was healed: {missing}",
                DRAIN_DEADLINE.as_secs()
            );
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

async fn unprocessed(system: &TestSystem) -> Result<Option<String>> {
    let outbox: i64 = sqlx::query("select count(*) from outbox")
        .fetch_one(system.orders())
        .await?
        .try_get(0)?;
    if outbox > 0 {
        return Ok(Some(format!("{outbox} rows in the outbox")));
    }
    for (group, topic) in [
        (system.processor_group(), &system.topics.order_status),
        (system.sink_group(), &system.topics.vouchers),
    ] {
        let lag = topic::lag(system.brokers(), &group, topic).await?;
        if lag > 0 {
            return Ok(Some(format!("{group} is {lag} records behind in {topic}")));
        }
    }
    Ok(None)
}
