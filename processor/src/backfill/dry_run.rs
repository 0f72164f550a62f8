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
use schemas::{OrderStatusPlan, decimal};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::existing::Table;
use super::listing::{Listing, State, Wanted};
use super::orders::{By, Orders};
use super::preview::{Existing, Preview};
use super::report::{Foreseen, Today};
use super::resolve;
use super::settings::BackfillSettings;
use crate::evaluate::{Evaluator, Issued, Outcome};
use crate::signing_keys::SigningKeys;

/// Stands in when there is no key: 32 zero bytes. Its codes are neither compared nor listed.
const NO_KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// So many vouchers are looked up in the table at once.
const LOOKED_UP: usize = 2_000;

/// How long a poll waits; also how soon a stop is noticed.
const IDLE: Duration = Duration::from_millis(250);

/// Between two questions whether a schema has come.
const SCHEMA_PAUSE: Duration = Duration::from_millis(10);

/// What all threads share.
struct Shared {
    evaluator: Evaluator,
    /// Today's rule, when it is another.
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
    let rule = settings.rule.rule()?;
    let keys_given = settings.keys.voucher_signing_key.is_some()
        || settings.keys.voucher_signing_keys_file.is_some();
    let keys = if keys_given {
        settings.keys.signing_keys()?
    } else {
        SigningKeys::single(NO_KEY).map_err(Failure::failed)?
    };
    let today = settings.todays_rule()?;
    let today = (today != rule)
        .then(|| settings.evaluator(today, keys.clone()))
        .transpose()?;
    let registry = Registry::of(&settings.registry)?;
    let threads = settings.backfill.threads;
    let table = settings
        .database_url
        .as_ref()
        .map(|url| Table::new(url, &rule.campaign, threads))
        .transpose()?;
    let range = resolve(&settings).await?;
    let listing = settings
        .output
        .as_ref()
        .map(|path| Listing::create(path, settings.reveal))
        .transpose()?;
    let shared = Arc::new(Shared {
        evaluator: settings.evaluator(rule, keys)?,
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
            preview: Preview::default(),
            existing: Existing::default(),
            wanted: Vec::new(),
        };
        parts.spawn_blocking(move || reading.read(reader, &part, &share));
    }
    let shown = Shown::start(range.offsets(), shares);
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
        let mut positions = runtime::record::Positions::new();
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
            match reader.next(IDLE)? {
                RangeEvent::Record(record) => {
                    positions.insert(
                        InputRecord::partition(&record),
                        InputRecord::offset(&record) + 1,
                    );
                    self.take(&record)?;
                    untold += 1;
                }
                RangeEvent::PartitionDone(partition) => {
                    positions.insert(
                        partition,
                        range.spans.get(&partition).map_or(0, |span| span.to),
                    );
                    untold = u32::MAX;
                }
                RangeEvent::Nothing => {}
                RangeEvent::Done => {
                    self.look_up()?;
                    return Ok((self.preview, self.existing));
                }
            }
            if untold >= 1000 {
                untold = 0;
                share.read(range.offsets() - range.after(&positions).offsets());
            }
        }
    }

    fn take(&mut self, record: &impl InputRecord) -> Result<(), Failure> {
        let shared = Arc::clone(&self.shared);
        let outcome = loop {
            match shared.evaluator.evaluate(record, &mut self.schemas) {
                Outcome::Wait { .. } if shared.shutdown.is_requested() => return Ok(()),
                Outcome::Wait { .. } => std::thread::sleep(SCHEMA_PAUSE),
                outcome => break outcome,
            }
        };
        self.preview.take(record, &outcome);
        if let Some(today) = &shared.today
            && let Outcome::Voucher(issued) = today.evaluate(record, &mut self.schemas)
        {
            shared.is_new(&issued, By::Today)?;
        }
        if let Outcome::Voucher(issued) = outcome
            && shared.is_new(&issued, By::Asked)?
            && (shared.table.is_some() || shared.listing.is_some())
        {
            self.wanted.push(shared.wanted(record, &issued));
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
        for one in &self.wanted {
            match one.state {
                Some(State::New) => self.existing.new += 1,
                Some(State::Same) => self.existing.same += 1,
                Some(State::Different) => self.existing.different += 1,
                None => {}
            }
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

    fn wanted(&self, record: &impl InputRecord, issued: &Issued<'_>) -> Wanted {
        let voucher = self.evaluator.voucher(issued);
        Wanted {
            order_id: issued.order_id.to_string(),
            code: if self.has_key {
                voucher.code.into_owned()
            } else {
                String::new()
            },
            amount: decimal::as_money(voucher.amount),
            currency: voucher.currency.as_str().to_owned(),
            issued_at: voucher.issued_at,
            expires_at: voucher.expires_at,
            partition: record.partition(),
            offset: record.offset(),
            state: None,
        }
    }
}
