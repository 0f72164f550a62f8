//! A small model of Kafka and Postgres, with faults at any call.
//!
//! It asserts what must hold at every moment: no offset is committed past a record that is neither a
//! row nor a dead letter, and committed offsets never go back.

mod ports;
mod records;
mod run;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::OnceLock;
use std::time::Duration;

use runtime::dead_letter;
use runtime::kafka::AssignmentChange;
use runtime::record::{Header, Offset, OwnedRecord, Partition, Positions};
use runtime::registry::{Lookup, SchemaSource};
use rust_decimal::Decimal;
use schemas::{Malformed, Payload, Reason, SchemaId, ValueFormat, Voucher, VoucherPlan};

use crate::batch::RowTimes;
use crate::columns::Columns;
use crate::ports::{VoucherIdentity, WriteError, Written};
use crate::tally::Tally;

pub(super) use records::{WRITTEN, avro, record, voucher};
pub(super) use run::Run;

/// What goes wrong at one call. A call that cannot fail in this way succeeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// No answer yet; the queue seems empty.
    Slow,
    /// Not done.
    Away,
    /// Done, but the answer says otherwise.
    AnswerLost,
    /// Two transactions conflicted.
    Conflict,
    /// The code is taken for a moment, by another writer of the same voucher.
    Race,
    /// A rebalance: the next poll revokes partition 0, and the poll after that assigns it again.
    Rebalance,
    /// The consumer cannot go on.
    Fatal,
    /// The process is killed after the call in progress has taken effect.
    KilledAfter,
    /// The process is killed before the call in progress has taken effect.
    KilledBefore,
}

/// The port at which a fault occurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Port {
    Poll,
    Table,
    DeadLetters,
    Commit,
    Rewind,
}

/// A row of the table without its identity: code, amount, trace context.
pub(super) type StoredRow = (String, Decimal, String);

/// A row's identity.
pub(super) type Key = (String, String);

/// A dead letter in the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StoredDeadLetter {
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: Vec<Header>,
}

impl StoredDeadLetter {
    pub(super) fn header(&self, name: &str) -> String {
        let (_, value) = self.headers.iter().find(|(n, _)| n == name).unwrap();
        String::from_utf8(value.clone().unwrap()).unwrap()
    }

    fn place(&self) -> (Partition, Offset) {
        (
            self.header(dead_letter::PARTITION).parse().unwrap(),
            self.header(dead_letter::OFFSET).parse().unwrap(),
        )
    }
}

/// Everything outside of the task.
#[derive(Default)]
pub(super) struct World {
    pub(super) now: Duration,
    /// The faults of the next calls at any port.
    pub(super) faults: VecDeque<Fault>,
    /// The faults of the next calls at one port. They take precedence over `faults`.
    pub(super) faults_at: BTreeMap<Port, VecDeque<Fault>>,
    /// The error that the database returns for every statement, if any.
    pub(super) database: Option<WriteError>,
    pub(super) broker_refuses_dead_letters: bool,
    /// Dead letters of more bytes are refused.
    pub(super) max_dead_letter_bytes: Option<usize>,
    /// How many times the first dead letter is refused, however small it is.
    pub(super) refused_dead_letters: usize,
    pub(super) reduced: usize,
    /// When a dead letter was refused for another reason than its size.
    pub(super) blocked_at: Vec<Duration>,
    /// Whether a transaction marker follows the last record of each partition.
    pub(super) markers: bool,
    pub(super) killed: Option<Fault>,

    pub(super) inputs: BTreeMap<Partition, Vec<OwnedRecord>>,
    pub(super) committed: Positions,
    pub(super) commits: usize,
    pub(super) kept_alive: usize,
    fetched: Positions,
    client_positions: Positions,
    changes: Vec<AssignmentChange>,
    to_assign: BTreeSet<Partition>,
    old_generation: bool,

    pub(super) rows: BTreeMap<Key, StoredRow>,
    pub(super) statements: Vec<usize>,
    in_flight: Option<Columns>,
    /// The earliest time at which the in-flight statement is answered.
    answered_at: Duration,

    pub(super) dead_letters: Vec<StoredDeadLetter>,
    unacknowledged: Vec<StoredDeadLetter>,

    pub(super) tallies: Tally,
    pub(super) blocked: Option<String>,
    pub(super) circuit_openings: usize,
    pub(super) partitions: usize,
    pub(super) failed_for_data: usize,
    /// Since when there were unsettled records: every change.
    pub(super) unsettled: Vec<Option<i64>>,
    /// The times of the vouchers whose rows were committed, and of their orders, batch by batch.
    pub(super) row_times: Vec<RowTimes>,
    /// The sampled records that were reported, by their offsets, each with its outcome.
    pub(super) sampled: Vec<(Offset, &'static str)>,
    /// How often offsets were committed.
    pub(super) offsets_committed: usize,
}

/// How long a statement takes: long enough to read a few records meanwhile.
pub(super) const STATEMENT: Duration = Duration::from_millis(5);

/// Rows of this amount fail for a reason that may be the database's.
pub(super) fn ambiguous_amount() -> Decimal {
    Decimal::from(17)
}

/// Rows of this amount are refused, as a constraint of the user's would.
pub(super) fn refused_amount() -> Decimal {
    Decimal::from(13)
}

impl World {
    pub(super) fn new(records: Vec<OwnedRecord>) -> Self {
        let mut world = Self {
            inputs: BTreeMap::from([(0, Vec::new()), (1, Vec::new())]),
            to_assign: BTreeSet::from([0, 1]),
            ..Self::default()
        };
        for mut record in records {
            let partition = world.inputs.get_mut(&record.partition).unwrap();
            record.offset = i64::try_from(partition.len()).unwrap();
            partition.push(record);
        }
        world
    }

    fn fault(&mut self, port: Port) -> Fault {
        self.now += Duration::from_millis(1);
        let at_port = self.faults_at.get_mut(&port).and_then(VecDeque::pop_front);
        let fault = at_port
            .or_else(|| self.faults.pop_front())
            .unwrap_or(Fault::None);
        match fault {
            Fault::Rebalance => {
                self.old_generation = true;
                Fault::None
            }
            Fault::KilledAfter | Fault::KilledBefore => {
                self.killed = Some(fault);
                Fault::Away
            }
            _ => fault,
        }
    }

    /// Handles a pending change of the assignment, as a poll does. Returns whether there was one.
    fn serve_group(&mut self) -> bool {
        if std::mem::take(&mut self.old_generation) {
            if self.fetched.remove(&0).is_some() {
                self.client_positions.remove(&0);
                self.changes.push(AssignmentChange::Revoked(vec![0]));
                self.to_assign.insert(0);
            }
            return true;
        }
        let due = !self.to_assign.is_empty();
        for partition in std::mem::take(&mut self.to_assign) {
            let from = self.committed.get(&partition).copied().unwrap_or(0);
            self.fetched.insert(partition, from);
            self.changes
                .push(AssignmentChange::Assigned(vec![partition]));
        }
        due
    }

    pub(super) fn revoke(&mut self) {
        self.old_generation = true;
    }

    /// Replaces a killed process with a new one, which joins with nothing in memory.
    fn restart(&mut self) {
        if self.killed.take() == Some(Fault::KilledAfter) {
            if let Some(columns) = self.in_flight.take() {
                let _ = self.apply(&columns);
            }
            let dead_letters = std::mem::take(&mut self.unacknowledged);
            self.dead_letters.extend(dead_letters);
        }
        self.in_flight = None;
        self.unacknowledged.clear();
        self.join();
    }

    fn join(&mut self) {
        self.fetched.clear();
        self.client_positions.clear();
        self.changes.clear();
        self.old_generation = false;
        self.to_assign = BTreeSet::from([0, 1]);
    }

    /// Executes a statement like Postgres: it writes all rows or none, and leaves existing rows unchanged.
    fn apply(&mut self, columns: &Columns) -> Result<Written, WriteError> {
        let mut rows = self.rows.clone();
        let mut written = Written::default();
        for at in 0..columns.len() {
            let key = (
                columns.campaigns.get(at).to_owned(),
                columns.order_ids.get(at).to_owned(),
            );
            let code = columns.codes.get(at);
            let amount = columns.amounts[at];
            if let Some((there, worth, _)) = rows.get(&key) {
                if there != code || *worth != amount {
                    written.different.push(at);
                }
                continue;
            }
            if amount == refused_amount() {
                return Err(WriteError::Data(format!(
                    "no 13, says the trigger of {code}"
                )));
            }
            if amount == ambiguous_amount() {
                return Err(WriteError::Ambiguous {
                    why: format!("the trigger has no time for {code}"),
                    others_pass: columns.len() == 1,
                });
            }
            if let Some((holder, _)) = rows.iter().find(|(_, (there, ..))| there == code) {
                let alone = columns.len() == 1;
                return Err(WriteError::CodeClash {
                    holder: alone.then(|| VoucherIdentity {
                        campaign: holder.0.clone(),
                        order_id: holder.1.clone(),
                    }),
                });
            }
            let traceparent = columns.traceparents.get(at).to_owned();
            rows.insert(key, (code.to_owned(), amount, traceparent));
            written.inserted += 1;
        }
        self.rows = rows;
        Ok(written)
    }

    fn commit(&mut self, positions: &Positions) {
        for (partition, offset) in positions {
            assert!(
                self.fetched.contains_key(partition),
                "offset of a partition that is not assigned"
            );
            let before = self.committed.insert(*partition, *offset).unwrap_or(0);
            assert!(before <= *offset, "committed offsets never go back");
            for record in &self.inputs[partition] {
                let newly = before <= record.offset && record.offset < *offset;
                assert!(!newly || self.is_done(record), "no outcome: {record:?}");
            }
        }
        self.commits += 1;
    }

    pub(super) fn is_done(&self, record: &OwnedRecord) -> bool {
        let place = (record.partition, record.offset);
        let has_dead_letter = || {
            self.dead_letters
                .iter()
                .any(|dead_letter| dead_letter.place() == place)
        };
        match voucher_of(record) {
            None if record.value.is_none() => true,
            None => has_dead_letter(),
            Some(voucher) => self.rows.contains_key(&voucher.0) || has_dead_letter(),
        }
    }

    /// Returns the table as if the records were written one by one, partition by partition.
    pub(super) fn expected_rows(&self) -> BTreeMap<Key, StoredRow> {
        let mut rows = BTreeMap::<Key, StoredRow>::new();
        let vouchers = self.inputs.values().flatten().filter_map(voucher_of);
        for (key, row) in vouchers {
            let code_is_taken = rows.values().any(|(code, ..)| *code == row.0);
            let is_refused = row.1 == refused_amount() || row.1 == ambiguous_amount();
            if !rows.contains_key(&key) && !code_is_taken && !is_refused {
                rows.insert(key, row);
            }
        }
        rows
    }

    pub(super) fn end(&self) -> Positions {
        self.inputs
            .iter()
            .filter(|(_, records)| !records.is_empty())
            .map(|(partition, records)| {
                let end = i64::try_from(records.len()).unwrap();
                (*partition, end + i64::from(self.markers))
            })
            .collect()
    }
}

/// Returns a record's voucher, if it can be decoded.
fn voucher_of(record: &OwnedRecord) -> Option<(Key, StoredRow)> {
    let key = record.key.as_deref();
    let (bytes, format) = match Payload::of(record.value.as_deref()).ok()? {
        Payload::Unframed(bytes) => (bytes, ValueFormat::Json),
        Payload::Framed { schema_id, body } if schema_id == SCHEMA => (body, schema().as_ref()),
        _ => return None,
    };
    let voucher = Voucher::read(key, bytes, format).ok()?;
    let identity = (voucher.campaign.to_string(), voucher.order_id.to_string());
    let code = voucher.code.to_string();
    Some((identity, (code, voucher.amount, String::new())))
}

/// The one schema that the registry knows.
const SCHEMA: SchemaId = SchemaId::Id(7);

fn schema() -> &'static ValueFormat<VoucherPlan> {
    static SCHEMA: OnceLock<ValueFormat<VoucherPlan>> = OnceLock::new();
    SCHEMA.get_or_init(|| ValueFormat::Avro(VoucherPlan::compile(schemas::VOUCHER_AVSC).unwrap()))
}

/// One handle for all ports.
#[derive(Clone, Default)]
pub(super) struct Outside(pub(super) Rc<RefCell<World>>);

/// Schema 7 becomes known at the third look-up; no other schema exists.
#[derive(Default)]
pub(super) struct Schemas {
    asked: usize,
}

impl SchemaSource for Schemas {
    type Plan = VoucherPlan;

    fn lookup(&mut self, id: SchemaId) -> Lookup<'_, VoucherPlan> {
        self.asked += 1;
        match id {
            SCHEMA if self.asked < 3 => Lookup::Pending,
            SCHEMA => Lookup::Known(schema()),
            _ => Lookup::Bad(Malformed::new(Reason::UnknownSchema, "scripted")),
        }
    }

    fn known(&mut self, id: SchemaId) -> Option<&ValueFormat<VoucherPlan>> {
        (id == SCHEMA && self.asked >= 3).then(schema)
    }
}
