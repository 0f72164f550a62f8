//! `sink backfill`: the rows of a part of the vouchers, into an empty or a second database, without
//! touching the live group. The loop, its batches and its table are those of `sink run`.

mod source;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Args;
use runtime::circuit_breaker::{CircuitBreaker, CircuitBreakerSettings};
use runtime::clock::MonotonicClock;
use runtime::health::Health;
use runtime::kafka::{KafkaSettings, RangeSettings, TopicRange};
use runtime::lifecycle::{Failure, Shutdown};
use runtime::output;
use runtime::registry::{KnownSchemas, Registry, RegistrySettings, SchemaCache};
use runtime::replay::{Pace, Share, Shown};
use runtime::settings::{TopicSettings, whole};
use runtime::stepping::drive;
use runtime::telemetry::LogSettings;
use schemas::VoucherPlan;
use tokio::task::JoinSet;

use self::source::{Letters, RangeSource};
use crate::kafka::KafkaDeadLetters;
use crate::ports::{Cause, Observer};
use crate::postgres::{Database, PostgresTable, migrate};
use crate::settings::{DatabaseSettings, group};
use crate::tally::Tally;
use crate::task::{Ports, Task};

/// All settings of `sink backfill`.
#[derive(Debug, Clone, Args)]
pub struct BackfillSettings {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub range: RangeSettings,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub kafka: KafkaSettings,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub registry: RegistrySettings,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub topics: TopicSettings,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub database: DatabaseSettings,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub log: LogSettings,

    /// Write the records that can't be used to the dead letter topic; else they are counted alone.
    #[arg(long)]
    pub dead_letters: bool,

    /// At most so many records a second, all threads together.
    #[arg(long, value_parser = whole::<u32>(1..=u32::MAX.into(), "records"))]
    pub rate: Option<u32>,

    /// How many threads share the partitions, each with its own connection.
    #[arg(long, default_value = "2", value_parser = whole::<u16>(1..=64, "threads"))]
    pub threads: u16,

    /// The live consumer group, beside which this stands.
    #[arg(long, env = "SINK_GROUP", default_value = "sink", value_parser = group)]
    pub sink_group: String,

    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Writes the rows, and says how many were new.
///
/// # Errors
/// Exit code 2 for settings; 1 when it can't go on; 130 or 143 when a signal stopped it before its end.
pub async fn run(settings: BackfillSettings, shutdown: Shutdown) -> Result<(), Failure> {
    settings.kafka.check()?;
    let database = Database::new(&settings.database.database_url)?;
    let registry = Registry::of(&settings.registry)?;
    let range = resolve(&settings).await?;
    let health = Health::new();
    migrate(&database, &health.part("postgres", "connecting"), &shutdown).await?;

    let started = Instant::now();
    let totals = Totals::default();
    let pace = Arc::new(Pace::new(settings.rate));
    let known = KnownSchemas::default();
    let mut shares = Vec::new();
    let mut threads = JoinSet::new();
    let parts = range.split(usize::from(settings.threads));
    for (number, part) in parts.into_iter().enumerate() {
        let share = Arc::new(Share::default());
        shares.push(Arc::clone(&share));
        let group = format!("{}/backfill", settings.sink_group);
        let ports = Ports {
            source: RangeSource::open(
                &settings.kafka,
                &group,
                part,
                Arc::clone(&pace),
                Arc::clone(&share),
            )?,
            table: PostgresTable::new(database.clone())?,
            dead_letters: if settings.dead_letters {
                let topic = settings.topics.voucher_dead_letters();
                Letters::Written(KafkaDeadLetters::new(
                    &settings.kafka,
                    topic,
                    &settings.sink_group,
                )?)
            } else {
                Letters::Counted
            },
            schemas: SchemaCache::new(
                registry.clone(),
                VoucherPlan::compile_with,
                known.clone(),
                health.ready_part(format!("registry-{number}")),
            ),
            clock: MonotonicClock::new(),
            observer: totals.clone(),
        };
        // Bad records are the past's; nobody waits for them to become good.
        let breaker = CircuitBreaker::new(&CircuitBreakerSettings {
            dead_letter_limit: 1000,
            accept_dead_letters: true,
        });
        let task = Task::new(ports, range.topic.clone(), breaker);
        let shutdown = shutdown.clone();
        threads.spawn_blocking(move || drive(task, || share.is_done(), &shutdown));
    }
    let shown = Shown::start(range.offsets(), shares.clone());
    let mut first_failure = None;
    while let Some(ended) = threads.join_next().await {
        let ended = ended.map_err(|error| Failure::failed(format!("backfill: {error}")));
        if let Err(failure) = ended.and_then(|result| result) {
            first_failure.get_or_insert(failure);
            shutdown.request();
        }
    }
    drop(shown);
    let complete = shares.iter().all(|share| share.is_done());
    let done = Done {
        topic: range.topic,
        tally: totals.tally(),
        left_out: shares.iter().map(|share| share.records_left_out()).sum(),
        took: started.elapsed(),
        complete,
    };
    let printed = done.print(settings.json);
    match first_failure {
        Some(failure) => Err(failure),
        None if complete => printed,
        None => Err(Failure::interrupted(
            "stopped before the end; rows that were written stay, the same command does the rest",
        )),
    }
}

async fn resolve(settings: &BackfillSettings) -> Result<TopicRange, Failure> {
    let (kafka, topic, range) = (
        settings.kafka.clone(),
        settings.topics.vouchers_topic.clone(),
        settings.range.clone(),
    );
    tokio::task::spawn_blocking(move || {
        let chosen = range.chosen();
        TopicRange::resolve(&kafka, &topic, &range.from, &range.to, chosen.as_ref())
    })
    .await
    .map_err(|error| Failure::failed(format!("backfill: {error}")))?
}

/// What a backfill did.
struct Done {
    topic: String,
    tally: Tally,
    /// Records that were read and left out, because of their timestamps.
    left_out: u64,
    took: Duration,
    complete: bool,
}

impl Done {
    /// Prints it to standard output.
    fn print(&self, as_json: bool) -> Result<(), Failure> {
        let Self {
            topic,
            tally,
            left_out,
            took,
            complete,
        } = self;
        if as_json {
            let dead: serde_json::Map<_, _> = tally
                .dead
                .iter()
                .map(|(reason, count)| (reason.as_str().to_owned(), (*count).into()))
                .collect();
            return output::print_line(
                &serde_json::json!({
                    "complete": complete, "topic": topic, "records": tally.records(),
                    "left_out": left_out, "inserted": tally.inserted, "existing": tally.existing,
                    "different": tally.different, "tombstones": tally.tombstones, "unusable": dead,
                })
                .to_string(),
            );
        }
        let seconds = took.as_millis() / 100;
        let mut text = format!(
            "records       {} ({}.{} s)\n",
            tally.records(),
            seconds / 10,
            seconds % 10,
        );
        if *left_out > 0 {
            text += &format!("left out      {left_out} of other times\n");
        }
        text += &format!(
            "rows          {} new, {} existed already, {} exist with another code, amount or currency\n",
            tally.inserted, tally.existing, tally.different
        );
        for (reason, count) in &tally.dead {
            text += &format!("unusable      {count} {}\n", reason.as_str());
        }
        let end = if *complete { "reached" } else { "not reached" };
        text += &format!("end           {end}\n");
        output::print(&text)
    }
}

/// Adds up what is durable; says why it stands still, once.
#[derive(Debug, Clone, Default)]
struct Totals {
    tally: Arc<Mutex<Tally>>,
    standing: Option<String>,
}

impl Totals {
    fn tally(&self) -> Tally {
        self.tally
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Observer for Totals {
    fn written(&mut self, _: Duration) {}

    fn write_failed(&mut self, _: Cause) {}

    fn settled(&mut self, tally: &Tally) {
        self.tally
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .add(tally);
    }

    fn assigned(&mut self, _: usize) {}

    fn flowing(&mut self) {
        self.standing = None;
    }

    fn standing(&mut self, reason: &str) {
        if self.standing.as_deref() != Some(reason) {
            tracing::warn!(reason, "waiting");
            self.standing = Some(reason.to_owned());
        }
    }

    fn circuit(&mut self, _: bool) {}
}
