//! One run: start all, faults under load, heal, drain, compare.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use end_to_end::system::TestSystem;
use end_to_end::topic;
use futures::future::try_join_all;
use sqlx::Row;
use tokio::sync::watch;

use crate::client::Client;
use crate::console::Console;
use crate::faults::inject;
use crate::journal::Journal;
use crate::judge::judge;
use crate::observed::observe;
use crate::probe::Probe;
use crate::report::{Kind, Report};
use crate::schedule::{Lane, Schedule};
use crate::stage::{Instance, Stage};
use crate::watch::Watch;
use crate::workload;

/// Far longer than everything needs to be well again and caught up.
const DRAIN: Duration = Duration::from_secs(180);

/// How long faults go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// Until there were so many.
    Faults(u32),
    /// For so long.
    For(Duration),
}

impl Length {
    /// Of a fixed number each lane has its share, so that a seed's faults are always the same.
    fn shares(self, lanes: u32) -> impl Iterator<Item = Self> {
        (0..lanes).map(move |lane| match self {
            Self::Faults(count) => Self::Faults((count + lanes - 1 - lane) / lanes),
            Self::For(time) => Self::For(time),
        })
    }
}

/// What to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How long.
    pub length: Length,
    /// How many brokers Kafka has: 1, or 3 whose faults take the place of all others.
    pub brokers: u8,
    /// Decides the faults and the load.
    pub seed: u64,
}

impl Options {
    /// The command that does the same again.
    #[must_use]
    pub fn command(&self) -> String {
        let length = match self.length {
            Length::Faults(faults) => format!("--faults {faults}"),
            Length::For(time) => format!("--minutes {}", time.as_secs() / 60),
        };
        let brokers = match self.brokers {
            1 => String::new(),
            several => format!("--brokers {several} "),
        };
        format!(
            "cargo run --release -p chaos -- {brokers}{length} --seed {}",
            self.seed
        )
    }
}

/// Runs it to its verdict.
///
/// # Errors
/// When something doesn't start, can't be healed, or doesn't drain in time. The folder with all
/// logs is kept then, as after broken promises, and named.
pub async fn run(options: &Options) -> Result<Report> {
    let directory = Directory::create(options.seed)?;
    let report = run_in(options, &directory.path).await;
    let kept = !report.as_ref().is_ok_and(Report::holds);
    directory.close(kept);
    report
}

async fn run_in(options: &Options, directory: &Path) -> Result<Report> {
    let told = Told::create(&directory.join("faults.log"))?;
    told.say(&format!("seed {}; starting everything", options.seed));
    let stage = Stage::start(&directory.join("stack"), options.brokers).await?;
    let journal = Arc::new(Journal::create(&directory.join("journal.jsonl"))?);
    let watch = Arc::new(Watch::new(told.begun));
    let report = tokio::select! {
        report = under_faults(options, &stage, &journal, &watch, &told) => report?,
        supervised = stage.supervise() => {
            supervised?;
            bail!("the supervision ended")
        }
        watched = watched(options, &stage, &watch, &told) => {
            watched?;
            bail!("the watch ended")
        }
    };
    Ok(report)
}

/// With several brokers: watches the flow and the cluster, for ever.
async fn watched(options: &Options, stage: &Stage, watch: &Watch, told: &Told) -> Result<()> {
    if options.brokers == 1 {
        return std::future::pending().await;
    }
    let probe = Probe::create(stage.system.brokers()).await?;
    let say = |what: &str| told.say(what);
    tokio::try_join!(watch.rows(&stage.system, say), watch.cluster(&probe, say))?;
    Ok(())
}

async fn under_faults(
    options: &Options,
    stage: &Stage,
    journal: &Arc<Journal>,
    watch: &Arc<Watch>,
    told: &Told,
) -> Result<Report> {
    let system = &stage.system;
    let producers = [Instance::ProducerA, Instance::ProducerB]
        .map(|producer| stage.url(producer).map(str::to_owned))
        .into_iter()
        .collect::<Result<_>>()?;
    let client = Arc::new(Client::new(
        producers,
        Arc::clone(journal),
        Arc::clone(watch),
    )?);
    let topic = &system.topics.order_status;
    let console = Arc::new(Console::new(
        system.brokers(),
        topic,
        Arc::clone(journal),
        Arc::clone(watch),
    )?);
    let (stop, stopped) = watch::channel(false);

    let begun = Instant::now();
    let taken = AtomicU32::new(0);
    let load = workload::run(options.seed, client, console, stopped);
    let faults = async {
        let lanes = Lane::all(options.brokers);
        let lengths = options.length.shares(u32::try_from(lanes.len())?);
        let lanes = lanes
            .into_iter()
            .zip(lengths)
            .map(|(planned, length)| lane(planned, length, options.seed, stage, told, &taken));
        let all = try_join_all(lanes).await?;
        stop.send_replace(true);
        anyhow::Ok((all, begun.elapsed()))
    };
    let ((), (all, took)) = tokio::try_join!(load, faults)?;
    let mut faults = BTreeMap::new();
    for (kind, count) in all.into_iter().flatten() {
        *faults.entry(kind).or_default() += count;
    }

    told.say("no more faults; waiting until all has drained");
    let healed = Instant::now();
    if let Err(error) = drained(stage).await {
        let gaps = watch.flow().gaps;
        bail!("{error:#}; gaps in the flow: {gaps:?}");
    }
    let drained_in = healed.elapsed();
    told.say("drained; comparing");
    let verdict = judge(&journal.entries()?, &observe(system).await?);
    Ok(Report::new(
        options,
        (took, drained_in),
        faults,
        stage.ended(),
        verdict,
        (options.brokers > 1).then(|| watch.flow()),
    ))
}

/// One lane's faults, one after the other.
async fn lane(
    lane: Lane,
    length: Length,
    seed: u64,
    stage: &Stage,
    told: &Told,
    taken: &AtomicU32,
) -> Result<BTreeMap<Kind, u32>> {
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
        told.say(&format!("{number:>4} {fault} ({millis} ms)"));
        inject(stage, &planned).await?;
        told.say(&format!("{number:>4} healed"));
        *faults.entry(planned.fault.kind()).or_default() += 1;
    }
    Ok(faults)
}

/// Waits until all services are ready and nothing is under way any more.
async fn drained(stage: &Stage) -> Result<()> {
    let end = Instant::now() + DRAIN;
    stage.wait_ready().await?;
    loop {
        // In the direction of the data: what is behind an empty part gets nothing from it.
        let missing = match left(&stage.system).await {
            Ok(None) => return Ok(()),
            Ok(Some(left)) => left,
            Err(error) => format!("{error:#}"),
        };
        if Instant::now() >= end {
            bail!(
                "not drained {} s after the last fault was healed: {missing}",
                DRAIN.as_secs()
            );
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

async fn left(system: &TestSystem) -> Result<Option<String>> {
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

/// What happens is told as it happens, on stderr and in a file.
struct Told {
    begun: Instant,
    file: Mutex<std::fs::File>,
}

impl Told {
    fn create(path: &Path) -> Result<Self> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .with_context(|| format!("{} can't be written", path.display()))?;
        Ok(Self {
            begun: Instant::now(),
            file: Mutex::new(file),
        })
    }

    fn say(&self, what: &str) {
        let millis = self.begun.elapsed().as_millis();
        let line = format!("{:>5}.{:03} {what}", millis / 1000, millis % 1000);
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // For people who watch: nothing depends on it.
        let _ = writeln!(file, "{line}");
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}

/// The run's folder: `target/chaos/PID`, removed at a good end, else kept as `failed-SEED`.
struct Directory {
    path: PathBuf,
    failed: PathBuf,
}

impl Directory {
    fn create(seed: u64) -> Result<Self> {
        let all = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/chaos");
        // What killed runs left.
        for entry in std::fs::read_dir(&all).into_iter().flatten().flatten() {
            let owner = entry.file_name().to_str().and_then(|pid| pid.parse().ok());
            if owner.is_some_and(|pid| !stack::is_alive(pid)) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
        let path = all.join(std::process::id().to_string());
        std::fs::create_dir_all(&path)
            .with_context(|| format!("{} can't be written", path.display()))?;
        Ok(Self {
            failed: all.join(format!("failed-{seed}")),
            path,
        })
    }

    fn close(self, kept: bool) {
        if !kept {
            let _ = std::fs::remove_dir_all(&self.path);
            return;
        }
        let _ = std::fs::remove_dir_all(&self.failed);
        let place = match std::fs::rename(&self.path, &self.failed) {
            Ok(()) => &self.failed,
            Err(_) => &self.path,
        };
        let _ = writeln!(
            std::io::stderr(),
            "journal, faults and logs: {}",
            place.display()
        );
    }
}
