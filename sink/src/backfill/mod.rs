//! `sink backfill`: writes the rows of a part of the vouchers, such as into an empty or a second
//! database, beside the live group. The loop, its batches and its table are those of `sink run`.
//!
//! The offsets of a backfill are kept in memory only. Rows are identified by campaign and order, so an
//! interrupted backfill is started again.
//!
//! Rows are not part of a Kafka transaction. If an audit is kept, one record is written before the
//! first row and one after the last.

mod dead_letters;

use clap::Args;
use runtime::audit::{Action, AuditCounts, AuditSettings, Phase, run_name};
use runtime::circuit_breaker::CircuitBreakerSettings;
use runtime::clock::MonotonicClock;
use runtime::duration::human_duration;
use runtime::flow::FlowObserver;
use runtime::health::{Health, starting};
use runtime::kafka::{GroupConsumer as _, RangeSettings};
use runtime::lifecycle::{Failure, Shutdown};
use runtime::output;
use runtime::postgres::MissingMigrations;
use runtime::registry::{KnownSchemas, Registry, SchemaCache};
use runtime::replay::{
    Beside, LiveGroup, RangeInput, ReplaySettings, Replayed, ReportLines, Totals, numbers, replay,
};
use runtime::service::SharedSettings;
use runtime::settings::group_name;
use runtime::stepping::drive;
use serde_json::json;

use self::dead_letters::BackfillDeadLetters;
use crate::kafka::KafkaDeadLetters;
use crate::ports::Observer;
use crate::settings::DatabaseSettings;
use crate::tally::Tally;
use crate::target::{Database, VouchersTable, migrate};
use crate::task::{self, Ports, Task};

/// What `sink backfill` reads from flags and environment variables.
#[derive(Debug, Clone, Args)]
pub struct BackfillSettings {
    /// The range of the vouchers that is read.
    #[command(flatten)]
    pub range: RangeSettings,
    /// How the range is replayed. Each thread has its own connection to the database.
    #[command(flatten)]
    pub replay: ReplaySettings,
    /// Brokers, schema registry and topics.
    #[command(flatten)]
    pub shared: SharedSettings,
    /// The database that the rows are written to.
    #[command(flatten)]
    pub database: DatabaseSettings,
    /// The consumer group of `sink run`. Its offsets stay as they are, and without --rate the backfill
    /// gives way to it.
    #[arg(long, env = "SINK_GROUP", default_value = "sink", value_parser = group_name)]
    pub sink_group: String,

    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,

    /// Who runs the backfill and why, and where that is recorded.
    #[command(flatten)]
    pub audit: AuditSettings,
}

/// Writes the rows, and prints how many were new.
///
/// # Errors
/// Exit code 2 for wrong settings; 1 when it fails; 130 or 143 when a signal stopped it before its
/// end.
pub async fn run(settings: BackfillSettings, shutdown: Shutdown) -> Result<(), Failure> {
    settings.shared.kafka.check()?;
    let audit = settings.audit.open("sink", &settings.shared.topics, None)?;
    let database = Database::new(&settings.database.database_url)?;
    let registry = Registry::of(&settings.shared.registry)?;
    let topic = &settings.shared.topics.vouchers_topic;
    let range = settings
        .range
        .resolve(&settings.shared.kafka, topic)
        .await?;
    let audit = audit.map(|audit| {
        audit.of(Action {
            run: run_name("backfill"),
            run_number: None,
            command: "backfill",
            group: settings.sink_group.clone(),
            what: settings.range.describe(topic),
        })
    });
    if let Some(audit) = &audit {
        audit
            .write(
                &settings.shared.kafka,
                Some(Phase::Begin),
                AuditCounts::default(),
            )
            .await?;
    }
    let health = Health::new();
    let postgres = health.part("postgres", starting::CONNECTING);
    migrate(&database, MissingMigrations::Apply, &postgres, &shutdown).await?;

    let totals = Totals::default();
    let known = KnownSchemas::default();
    let group = format!("{}/backfill", settings.sink_group);
    let live = Beside {
        kafka: settings.shared.kafka.clone(),
        groups: vec![LiveGroup {
            group: settings.sink_group.clone(),
            topic: topic.clone(),
        }],
    };
    let replayed = replay(&range, &settings.replay, &live, &shutdown, |share| {
        let (progress, shutdown) = (share.progress.clone(), shutdown.clone());
        let schemas = SchemaCache::new(
            registry.clone(),
            known.clone(),
            health.ready_part(format!("registry-{}", share.number)),
        );
        let mut source = RangeInput::new(&settings.shared.kafka, &group, share).writing_all();
        source.reopen()?;
        let ports = Ports {
            source,
            table: VouchersTable::new(database.clone())?,
            dead_letters: dead_letters(&settings)?,
            schemas,
            clock: MonotonicClock::new(),
            observer: totals.clone(),
        };
        let task_settings = task::Settings {
            topic: topic.clone(),
            breaker: CircuitBreakerSettings::NEVER,
        };
        let task = Task::new(ports, task_settings);
        Ok(move || drive(task, || progress.is_done(), &shutdown))
    })
    .await?;
    let printed = print(&settings, &totals.tally(), &replayed);
    let recorded = match &audit {
        Some(audit) => {
            let counts = counts_of(&totals.tally(), settings.replay.dead_letters);
            audit
                .write(&settings.shared.kafka, Some(Phase::End), counts)
                .await
        }
        None => Ok(()),
    };
    let ended = match replayed.failure {
        Some(failure) => Err(failure),
        None if replayed.is_complete => printed,
        None => Err(Failure::interrupted(
            "stopped before the end; the rows that were written are kept, and the same command writes \
             the rest",
        )),
    };
    match (ended, recorded) {
        (Err(failure), Err(unrecorded)) => {
            tracing::error!(%unrecorded, "the end of the backfill is not recorded");
            Err(failure)
        }
        (ended, recorded) => ended.and(recorded),
    }
}

/// Returns the counts of the last audit record.
fn counts_of(tally: &Tally, wrote_dead_letters: bool) -> AuditCounts {
    AuditCounts {
        records: tally.records(),
        rows: tally.inserted,
        dead_letters: match wrote_dead_letters {
            true => tally.dead.values().sum(),
            false => 0,
        },
        ..AuditCounts::default()
    }
}

fn dead_letters(settings: &BackfillSettings) -> Result<BackfillDeadLetters, Failure> {
    if !settings.replay.dead_letters {
        return Ok(BackfillDeadLetters::Counted);
    }
    let topic = settings.shared.topics.voucher_dead_letters();
    KafkaDeadLetters::new(&settings.shared.kafka, topic, &settings.sink_group)
        .map(BackfillDeadLetters::Written)
}

/// Prints what the backfill did.
fn print(
    settings: &BackfillSettings,
    tally: &Tally,
    replayed: &Replayed<()>,
) -> Result<(), Failure> {
    let Replayed {
        is_complete,
        left_out,
        took,
        pacing,
        ..
    } = replayed;
    if settings.json {
        let result = json!({
            "complete": is_complete, "topic": settings.shared.topics.vouchers_topic,
            "records": tally.records(), "left_out": left_out, "inserted": tally.inserted,
            "existing": tally.existing, "different": tally.different,
            "tombstones": tally.tombstones, "unusable": numbers(&tally.dead),
            "pace": pacing.json(),
        });
        return output::print_line(&result.to_string());
    }
    let mut report = ReportLines::default();
    report.records(tally.records(), &human_duration(*took), *left_out);
    pacing.lines(&mut report);
    report.line(
        "rows",
        format_args!(
            "{} new, {} existed already, {} exist with another code, amount or currency",
            tally.inserted, tally.existing, tally.different
        ),
    );
    report.unusable(&tally.dead);
    report.end(*is_complete);
    report.print()
}

impl Observer for Totals<Tally> {
    fn flow(&mut self) -> &mut dyn FlowObserver {
        self
    }

    fn settled(&mut self, tally: &Tally) {
        self.update(|total| total.add(tally));
    }
}
