//! Reads a range, writes nothing, and says what a backfill of it would do.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use runtime::health::Health;
use runtime::kafka::{RangeEvent, RangeReader, TopicRange};
use runtime::lifecycle::{Failure, Shutdown};
use runtime::record::InputRecord;
use runtime::registry::{KnownSchemas, Registry, SchemaCache};
use runtime::replay::{Pace, Share, Shown};
use schemas::{OrderStatusPlan, SchemaId};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::begin::{Begun, foresee, refuse};
use super::existing::Table;
use super::listing::{Listing, Wanted};
use super::orders::{By, Orders};
use super::plan::Plan;
use super::preview::{Existing, Preview};
use super::report::{AlreadyDone, Foreseen, Today};
use super::settings::BackfillSettings;
use crate::evaluate::{Evaluation, Evaluator, Issued};
use crate::signing_keys::SigningKeys;

/// Stands in when there is no key: 32 zero bytes. Its codes are neither compared nor listed.
const NO_KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// So many vouchers are looked up in the table at once.
const LOOKED_UP: usize = 2_000;

/// How long a poll waits; also how soon a stop is noticed.
const IDLE: Duration = Duration::from_millis(250);

/// Between two questions whether a schema has come.
const SCHEMA_PAUSE: Duration = Duration::from_millis(10);

/// Between two looks of the progress, in records.
const TOLD_EVERY: u32 = 1_000;

/// What all threads share.
struct Shared {
    evaluator: Evaluator,
    /// What today's settings say, when they are others.
    today: Option<Evaluator>,
    has_key: bool,
    orders: Mutex<Orders>,
    listing: Option<Mutex<Listing>>,
    table: Option<Table>,
    pace: Pace,
    shutdown: Shutdown,
    runtime: Handle,
}

/// See the module.
pub(super) async fn run(settings: BackfillSettings, shutdown: Shutdown) -> Result<(), Failure> {
    let keys_given = settings.keys.voucher_signing_key.is_some()
        || settings.keys.voucher_signing_keys_file.is_some();
    let keys = if keys_given {
        settings.keys.signing_keys()?
    } else {
        SigningKeys::single(NO_KEY).map_err(Failure::failed)?
    };
    let evaluator = settings.rule.evaluator(keys.clone())?;
    let today = BackfillSettings::todays()?;
    let today = (today != settings.rule)
        .then(|| today.evaluator(keys))
        .transpose()?;
    let registry = Registry::of(&settings.registry)?;
    let threads = settings.backfill.threads;
    let table = settings
        .database_url
        .as_ref()
        .map(|url| Table::new(url, &evaluator.rule().campaign, threads))
        .transpose()?;
    let run = match foresee(&settings, &Plan::of(&settings, &evaluator, keys_given)).await? {
        Begun::Run(run) => run,
        Begun::AlreadyDone { range, at } => {
            // No voucher would be issued; an earlier preview's list must not say otherwise.
            if let Some(path) = &settings.output {
                Listing::create(path, settings.reveal)?.finish()?;
            }
            let already = AlreadyDone {
                name: settings.backfill.name.unwrap_or_default(),
                range,
                at,
                dry_run: true,
            };
            return already.print(settings.json);
        }
    };
    let keys_compared = keys_given.then(|| evaluator.keys());
    let rule = evaluator.rule();
    let refused = refuse(&settings, rule, keys_compared, registry.as_ref(), &shutdown).await;
    let range = run.range.after(&run.done);
    let listing = settings
        .output
        .as_ref()
        .map(|path| Listing::create(path, settings.reveal))
        .transpose()?;
    let shared = Arc::new(Shared {
        evaluator,
        today,
        has_key: keys_given,
        orders: Mutex::default(),
        listing: listing.map(Mutex::new),
        table,
        pace: Pace::new(settings.backfill.rate),
        shutdown,
        runtime: Handle::current(),
    });

    let started = Instant::now();
    let health = Health::new();
    let known = KnownSchemas::default();
    let mut shares = Vec::new();
    let mut parts = JoinSet::new();
    for (number, part) in range.split(usize::from(threads)).into_iter().enumerate() {
        let share = Arc::new(Share::default());
        shares.push(Arc::clone(&share));
        let group = settings.group("dry-run");
        let reader = RangeReader::open(&settings.kafka, &group, &part)?;
        let schemas = SchemaCache::new(
            registry.clone(),
            OrderStatusPlan::compile_with,
            known.clone(),
            health.ready_part(format!("registry-{number}")),
        );
        let reading = Reading {
            shared: Arc::clone(&shared),
            schemas,
            waits_for: None,
            preview: Preview::default(),
            existing: Existing::default(),
            wanted: Vec::new(),
        };
        parts.spawn_blocking(move || reading.read(reader, &part, &share));
    }
    let shown = Shown::start(range.offsets(), shares.clone());
    let mut preview = Preview::default();
    let mut existing = Existing::default();
    while let Some(part) = parts.join_next().await {
        let part = part.map_err(|error| Failure::failed(format!("dry run: {error}")));
        let (one, found) = part.and_then(|result| result).inspect_err(|_| {
            shared.shutdown.request();
        })?;
        preview.add(one);
        existing.add(found);
    }
    drop(shown);
    let shared = Arc::into_inner(shared)
        .ok_or_else(|| Failure::failed("dry run: a thread has not ended"))?;
    if let Some(listing) = shared.listing {
        listing
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
            .finish()?;
    }
    let orders = shared
        .orders
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
        .counts()
        .map_err(|error| disk_failure(&error))?;
    let foreseen = Foreseen {
        range,
        resumed: run.resumed,
        refused: refused.err().map(|failure| failure.to_string()),
        left_out: shares.iter().map(|share| share.records_left_out()).sum(),
        rule: shared.evaluator.rule().clone(),
        today: shared.today.map(|evaluator| Today {
            rule: evaluator.rule().clone(),
            orders: orders.today,
            gained: orders.gained,
            lost: orders.lost,
        }),
        preview,
        orders: orders.asked,
        existing: shared.table.is_some().then_some(existing),
        codes_compared: shared.has_key,
        took: started.elapsed(),
    };
    foreseen.print(settings.json)
}

fn disk_failure(error: &io::Error) -> Failure {
    Failure::failed(format!(
        "dry run: the distinct orders don't fit into the directory for temporary files, {} \
         ({error}); about 17 bytes each, or twice that while they are merged: make room, or set \
         TMPDIR to a directory that has it",
        std::env::temp_dir().display()
    ))
}

/// One thread's part.
struct Reading {
    shared: Arc<Shared>,
    schemas: SchemaCache<OrderStatusPlan>,
    /// The schema that was last waited for, which is told once.
    waits_for: Option<SchemaId>,
    preview: Preview,
    existing: Existing,
    wanted: Vec<Wanted>,
}

impl Reading {
    fn read(
        mut self,
        mut reader: RangeReader,
        range: &TopicRange,
        share: &Share,
    ) -> Result<(Preview, Existing), Failure> {
        let mut untold = 0_u32;
        loop {
            if self.shared.shutdown.is_requested() {
                return Err(Failure::failed(
                    "stopped before the end; nothing was written",
                ));
            }
            if let Err(wait) = self.shared.pace.take() {
                std::thread::sleep(wait.min(IDLE));
                continue;
            }
            let event = reader.next(IDLE)?;
            let is_done = matches!(event, RangeEvent::Done);
            match event {
                RangeEvent::Record(record) => {
                    self.take(&record)?;
                    untold += 1;
                }
                RangeEvent::PartitionDone(_) | RangeEvent::Nothing | RangeEvent::Done => {
                    untold = TOLD_EVERY;
                }
            }
            if untold >= TOLD_EVERY {
                untold = 0;
                share.read(range.offsets() - range.after(reader.positions()).offsets());
                share.left_out(reader.left_out());
            }
            if is_done {
                self.look_up()?;
                return Ok((self.preview, self.existing));
            }
        }
    }

    fn take(&mut self, record: &impl InputRecord) -> Result<(), Failure> {
        let shared = Arc::clone(&self.shared);
        let outcome = loop {
            match shared.evaluator.evaluate(record, &mut self.schemas) {
                Evaluation::Wait { .. } if shared.shutdown.is_requested() => return Ok(()),
                Evaluation::Wait { schema_id } => {
                    if self.waits_for.replace(schema_id) != Some(schema_id) {
                        tracing::warn!(%schema_id, "waiting for the registry to tell a schema");
                    }
                    std::thread::sleep(SCHEMA_PAUSE);
                }
                outcome => break outcome,
            }
        };
        self.preview.take(record, &outcome);
        if let Some(today) = &shared.today
            && let Evaluation::Voucher(issued) = today.evaluate(record, &mut self.schemas)
        {
            shared.is_new(&issued, By::Today)?;
        }
        if let Evaluation::Voucher(issued) = outcome
            && shared.is_new(&issued, By::Asked)?
            && (shared.table.is_some() || shared.listing.is_some())
        {
            self.wanted.push(Wanted::of(
                &shared.evaluator,
                record,
                &issued,
                shared.has_key,
            ));
            if self.wanted.len() >= LOOKED_UP {
                self.look_up()?;
            }
        }
        Ok(())
    }

    /// Looks up and lists what has gathered.
    fn look_up(&mut self) -> Result<(), Failure> {
        if self.wanted.is_empty() {
            return Ok(());
        }
        if let Some(table) = &self.shared.table {
            self.shared
                .runtime
                .block_on(table.look(&mut self.wanted, self.shared.has_key))?;
        }
        for state in self.wanted.iter().filter_map(|one| one.state) {
            self.existing.take(state);
        }
        if let Some(listing) = &self.shared.listing {
            listing
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .write(&self.wanted)?;
        }
        self.wanted.clear();
        Ok(())
    }
}

impl Shared {
    fn is_new(&self, issued: &Issued<'_>, by: By) -> Result<bool, Failure> {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        orders
            .is_new(&issued.order_id, by)
            .map_err(|error| disk_failure(&error))
    }
}
