//! Shows what a backfill would do: evaluates the range, and writes nothing.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use runtime::audit::{Action, Audit, AuditCounts, run_name};
use runtime::health::Health;
use runtime::kafka::{RangeEvent, RangeReader};
use runtime::lifecycle::{Failure, Shutdown};
use runtime::record::InputRecord;
use runtime::registry::{KnownSchemas, Registry, SchemaCache};
use runtime::replay::{Share, replay};
use runtime::value::Decoded;
use schemas::{OrderStatusPlan, SchemaId};
use tokio::runtime::Handle;

use super::admission::{check, preview};
use super::listing::Listing;
use super::orders::{By, Orders};
use super::plan::Plan;
use super::preview::{Preview, time_of};
use super::preview_report::{CurrentRule, PreviewReport};
use super::previewed_voucher::PreviewedVoucher;
use super::report::AlreadyDone;
use super::settings::BackfillSettings;
use super::start::Start;
use super::table::VouchersTable;
use crate::evaluate::{Evaluation, Evaluator, Issued};
use crate::signing_keys::SigningKeys;

/// Used when no key is set: 32 zero bytes. Its codes are neither compared nor listed.
const NO_KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// Vouchers that are compared with the table in one query.
const COMPARED_AT_ONCE: usize = 2_000;

/// How long a poll waits for a record. Bounds how long a stop takes.
const POLL_TIMEOUT: Duration = Duration::from_millis(250);

/// The pause between two look-ups of a schema that is still being requested.
const SCHEMA_PAUSE: Duration = Duration::from_millis(10);

/// Records between two updates of the progress.
const UPDATE_EVERY: u32 = 1_000;

/// What the threads share.
struct Shared {
    evaluator: Evaluator,
    /// Evaluates by the rule of the environment, if that differs from the preview's rule.
    current: Option<Evaluator>,
    has_key: bool,
    orders: Mutex<Orders>,
    listing: Option<Mutex<Listing>>,
    table: Option<VouchersTable>,
    shutdown: Shutdown,
    runtime: Handle,
}

/// Evaluates the range, and prints what a backfill would do.
pub(super) async fn run(settings: BackfillSettings, shutdown: Shutdown) -> Result<(), Failure> {
    // A preview has no effect that is recorded, but it may reveal codes.
    let topics = &settings.shared.topics;
    let audit = settings
        .audit
        .open_if(settings.reveal, "processor", topics, None)?;
    let has_key = settings.keys.voucher_signing_key.is_some()
        || settings.keys.voucher_signing_keys_file.is_some();
    let keys = if has_key {
        settings.keys.signing_keys()?
    } else {
        SigningKeys::single(NO_KEY).map_err(Failure::failed)?
    };
    let evaluator = settings.rule.evaluator(keys.clone())?;
    let current = BackfillSettings::current_rule()?;
    let current = (current != settings.rule)
        .then(|| current.evaluator(keys))
        .transpose()?;
    let registry = Registry::of(&settings.shared.registry)?;
    let campaign = &evaluator.rule().campaign;
    let table = match &settings.database_url {
        Some(url) => Some(VouchersTable::new(url, campaign, settings.replay.threads)?),
        None => None,
    };
    let plan = Plan::of(&settings, &evaluator, has_key);
    let run = match preview(&settings, &plan).await? {
        Start::Run(run) => run,
        Start::AlreadyDone { range, at } => {
            // No voucher would be issued, so the list of an earlier preview is replaced by an empty
            // one.
            if let Some(path) = &settings.output {
                Listing::create(path, settings.reveal)?.finish()?;
            }
            let name = settings.backfill.name.as_deref().unwrap_or_default();
            let already_done = AlreadyDone::new(name, range, at).of_dry_run();
            return already_done.print(settings.json);
        }
    };
    if let Some(table) = &table {
        table.reach().await?;
    }
    let (rule, keys) = (evaluator.rule(), has_key.then(|| evaluator.keys()));
    let checked = check(&settings, rule, keys, registry.as_ref(), &shutdown).await;
    if let Some(audit) = audit {
        record_reveal(audit, &settings).await?;
    }
    let listing = match &settings.output {
        Some(path) => Some(Mutex::new(Listing::create(path, settings.reveal)?)),
        None => None,
    };
    let shared = Arc::new(Shared {
        evaluator,
        current,
        has_key,
        orders: Mutex::default(),
        listing,
        table,
        shutdown: shutdown.clone(),
        runtime: Handle::current(),
    });

    let range = run.range.after(&run.done);
    let group = settings.group("dry-run");
    let health = Health::new();
    let known = KnownSchemas::default();
    let live = settings.live_flow();
    let replayed = replay(&range, &settings.replay, &live, &shutdown, |share| {
        let reader = RangeReader::open(&settings.shared.kafka, &group, &share.range)?;
        let schemas = SchemaCache::new(
            registry.clone(),
            known.clone(),
            health.ready_part(format!("registry-{}", share.number)),
        );
        let worker = Worker {
            shared: Arc::clone(&shared),
            schemas,
            waits_for: None,
            preview: Preview::default(),
            previewed: Vec::new(),
        };
        Ok(move || worker.read(reader, &share))
    })
    .await?;
    if let Some(failure) = replayed.failure {
        return Err(failure);
    }
    let mut preview = Preview::default();
    for part in replayed.results {
        preview.add(part);
    }
    let shared = Arc::into_inner(shared)
        .ok_or_else(|| Failure::failed("preview: a thread has not ended"))?;
    if let Some(listing) = shared.listing {
        let listing = listing.into_inner();
        listing.unwrap_or_else(PoisonError::into_inner).finish()?;
    }
    let orders = shared.orders.into_inner();
    let orders = orders
        .unwrap_or_else(PoisonError::into_inner)
        .counts()
        .map_err(|error| disk_failure(&error))?;
    let report = PreviewReport {
        range,
        resumed: run.resumed,
        refused: checked.err().map(|failure| failure.to_string()),
        left_out: replayed.left_out,
        rule: shared.evaluator.rule().clone(),
        current: shared.current.map(|evaluator| CurrentRule {
            rule: evaluator.rule().clone(),
            orders: orders.current,
            gained: orders.gained,
            lost: orders.lost,
        }),
        preview,
        rows_compared: shared.table.is_some(),
        codes_compared: shared.has_key,
        took: replayed.took,
        pacing: replayed.pacing,
    };
    report.print(settings.json)
}

/// Records that the codes of the range are about to be listed.
async fn record_reveal(audit: Audit, settings: &BackfillSettings) -> Result<(), Failure> {
    let trail = audit.of(Action {
        run: run_name("reveal"),
        run_number: None,
        command: "backfill --dry-run --reveal",
        group: settings.backfill.processor_group.clone(),
        what: settings.range_in_words(),
    });
    trail
        .write(&settings.shared.kafka, None, AuditCounts::default())
        .await
}

fn disk_failure(error: &io::Error) -> Failure {
    Failure::failed(format!(
        "preview: the distinct orders don't fit into the directory for temporary files, {} \
         ({error}); they take about 17 bytes each, or twice that while they are merged: free some \
         space, or set TMPDIR to another directory",
        std::env::temp_dir().display()
    ))
}

/// Evaluates the share of one thread.
struct Worker {
    shared: Arc<Shared>,
    schemas: SchemaCache<OrderStatusPlan>,
    /// The schema that was last waited for, which is logged once.
    waits_for: Option<SchemaId>,
    preview: Preview,
    /// The vouchers that are not compared and listed yet.
    previewed: Vec<PreviewedVoucher>,
}

impl Worker {
    fn read(mut self, mut reader: RangeReader, share: &Share) -> Result<Preview, Failure> {
        let mut since_update = 0_u32;
        loop {
            if self.shared.shutdown.is_requested() {
                return Err(Failure::failed(
                    "stopped before the end; nothing was written",
                ));
            }
            if let Err(wait) = share.pace.take() {
                std::thread::sleep(wait.min(POLL_TIMEOUT));
                continue;
            }
            let event = reader.next(POLL_TIMEOUT)?;
            let is_done = matches!(event, RangeEvent::Done);
            match event {
                RangeEvent::Record(record) => {
                    self.evaluate(&record)?;
                    since_update += 1;
                }
                RangeEvent::PartitionDone(_) | RangeEvent::Nothing | RangeEvent::Done => {
                    since_update = UPDATE_EVERY;
                }
            }
            if since_update >= UPDATE_EVERY {
                since_update = 0;
                let left = share.range.after(reader.positions()).offsets();
                share.progress.note_read(share.range.offsets() - left);
                share.progress.note_left_out(reader.left_out());
            }
            if is_done {
                self.compare_and_list()?;
                return Ok(self.preview);
            }
        }
    }

    fn evaluate(&mut self, record: &impl InputRecord) -> Result<(), Failure> {
        let shared = Arc::clone(&self.shared);
        let decoded = loop {
            match shared.evaluator.decode(record, &mut self.schemas) {
                Decoded::Pending(_) if shared.shutdown.is_requested() => return Ok(()),
                Decoded::Pending(schema_id) => {
                    if self.waits_for.replace(schema_id) != Some(schema_id) {
                        tracing::warn!(%schema_id, "waiting for the registry to return a schema");
                    }
                    std::thread::sleep(SCHEMA_PAUSE);
                }
                decoded => break decoded,
            }
        };
        let time = time_of(record, &decoded);
        let evaluation = shared.evaluator.decide(decoded, record);
        self.preview.note(record, time, &evaluation);
        if let Some(current) = &shared.current
            && let Evaluation::Voucher(issued) = current.evaluate(record, &mut self.schemas)
        {
            shared.is_new(&issued, By::Current)?;
        }
        if let Evaluation::Voucher(issued) = evaluation
            && shared.is_new(&issued, By::Asked)?
        {
            self.preview.note_voucher(issued.sent_at);
            if shared.table.is_some() || shared.listing.is_some() {
                self.previewed.push(PreviewedVoucher::of(
                    &shared.evaluator,
                    record,
                    &issued,
                    shared.has_key,
                ));
            }
            if self.previewed.len() >= COMPARED_AT_ONCE {
                self.compare_and_list()?;
            }
        }
        Ok(())
    }

    /// Compares the previewed vouchers with the table, and lists them.
    fn compare_and_list(&mut self) -> Result<(), Failure> {
        if self.previewed.is_empty() {
            return Ok(());
        }
        if let Some(table) = &self.shared.table {
            let compared = table.compare(&mut self.previewed, self.shared.has_key);
            self.shared.runtime.block_on(compared)?;
        }
        for voucher in &self.previewed {
            if let Some(state) = voucher.state {
                self.preview.note_row(voucher.issued_at, state);
            }
        }
        if let Some(listing) = &self.shared.listing {
            let mut listing = listing.lock().unwrap_or_else(PoisonError::into_inner);
            listing.write(&self.previewed)?;
        }
        self.previewed.clear();
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
