//! Order statuses and vouchers of every kind. The expected outcome of each is recorded when it is written,
//! and not computed by the code under test.

use std::collections::BTreeSet;

use runtime::record::{Offset, Partition};
use schemas::{NewOrderStatus, Status, Timestamp, ValueFormat};

use super::kafka::log::{Record, TIMESTAMP_MILLIS};
use super::kafka::{Broker, ORDER_STATUS, VOUCHERS};
use crate::random::Random;

/// The one schema that is registered.
pub const SCHEMA_ID: u32 = 7;

/// The expected outcome of an order status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// A voucher.
    Voucher,
    /// A skip.
    Skip,
    /// A dead letter.
    Dead,
}

/// The records that were written, as the invariants need them.
#[derive(Debug, Default)]
pub struct Workload {
    /// Every committed order status: its partition and offset, and its expected outcome.
    pub written: Vec<(Partition, Offset, Expected)>,
    /// Orders that earn a voucher.
    pub eligible: BTreeSet<String>,
    /// The keys of unusable voucher records; each key occurs once.
    pub junk: BTreeSet<Vec<u8>>,
    orders: u64,
}

fn record(key: &str, value: Option<Vec<u8>>) -> Record {
    Record {
        key: Some(key.as_bytes().to_vec()),
        value,
        headers: vec![
            ("from".to_owned(), Some(b"workload".to_vec())),
            ("null".to_owned(), None),
        ],
    }
}

fn json(key: &str, status: &str, total: &str, currency: &str, sent: bool) -> Record {
    let sent_at = if sent {
        r#""2026-06-01T10:00:00Z""#
    } else {
        "null"
    };
    let value = format!(
        r#"{{"order_id":"{key}","status":"{status}","total":{total},"currency":"{currency}","sent_at":{sent_at}}}"#
    );
    record(key, Some(value.into_bytes()))
}

fn avro(key: &str, schema_id: u32) -> Record {
    let mut value = Vec::new();
    let order = NewOrderStatus {
        status: Status::Sent,
        total: rust_decimal::Decimal::from(150),
        occurred_at: Timestamp::from_millis(TIMESTAMP_MILLIS),
        ..NewOrderStatus::pending(key)
    };
    let written = order.write(ValueFormat::Avro(schema_id), &mut value);
    assert!(written.is_ok(), "the workload fits the schema");
    record(key, Some(value))
}

impl Workload {
    /// Writes records of a random kind.
    pub fn write(&mut self, broker: &mut Broker, random: &mut Random) {
        match random.below(20) {
            0 => self.write_junk_voucher(broker),
            1 => self.write_imported_vouchers(broker, random),
            2 => {
                // The transaction is aborted, so no consumer receives its record.
                let key = self.new_key("aborted");
                broker.append_in_transaction(vec![json(&key, "SENT", "500", "EUR", true)], false);
            }
            _ => {
                let batch: Vec<_> = (0..random.between(1, 8))
                    .flat_map(|_| self.order(random))
                    .collect();
                self.append(broker, batch, random.per_mille(500));
            }
        }
    }

    fn new_key(&mut self, kind: &str) -> String {
        self.orders += 1;
        format!("{kind}-{}", self.orders)
    }

    /// Returns the records of a new order of a random kind.
    fn order(&mut self, random: &mut Random) -> Vec<(Record, Expected)> {
        use Expected::{Dead, Skip, Voucher};
        match random.below(12) {
            0 => {
                let key = self.new_key("small");
                vec![(json(&key, "SENT", "99.99", "EUR", true), Skip)]
            }
            1 => {
                let key = self.new_key("dollars");
                vec![(json(&key, "SENT", "100", "USD", true), Skip)]
            }
            2 => {
                let key = self.new_key("junk");
                vec![(record(&key, Some(b"{\"order_id\":".to_vec())), Dead)]
            }
            3 => {
                let key = self.new_key("unknown-schema");
                vec![(avro(&key, 9), Dead)]
            }
            4 => {
                let key = self.new_key("deleted");
                vec![
                    (json(&key, "CANCELLED", "150", "EUR", false), Skip),
                    (record(&key, None), Skip),
                ]
            }
            5 | 6 => {
                let key = self.eligible_key("avro");
                vec![(avro(&key, SCHEMA_ID), Voucher)]
            }
            _ => {
                let key = self.eligible_key("order");
                let mut records = Vec::new();
                if random.per_mille(500) {
                    records.push((json(&key, "PENDING", "100.00", "EUR", false), Skip));
                }
                records.push((json(&key, "SENT", "100.00", "EUR", true), Voucher));
                while random.per_mille(300) {
                    records.push((json(&key, "DELIVERED", "100.00", "EUR", true), Voucher));
                }
                records
            }
        }
    }

    fn eligible_key(&mut self, kind: &str) -> String {
        let key = self.new_key(kind);
        self.eligible.insert(key.clone());
        key
    }

    fn append(
        &mut self,
        broker: &mut Broker,
        batch: Vec<(Record, Expected)>,
        in_transaction: bool,
    ) {
        let mut records = Vec::new();
        for (record, expected) in batch {
            let partition = broker.partition_of(record.key.as_deref());
            let before = records
                .iter()
                .filter(|one: &&Record| broker.partition_of(one.key.as_deref()) == partition)
                .count();
            let offset = broker.log(ORDER_STATUS, partition).end() + before as Offset;
            self.written.push((partition, offset, expected));
            records.push(record);
        }
        if in_transaction {
            broker.append_in_transaction(records, true);
        } else {
            for record in records {
                broker.append(ORDER_STATUS, record);
            }
        }
    }

    fn write_junk_voucher(&mut self, broker: &mut Broker) {
        let key = self.new_key("no-voucher");
        self.junk.insert(key.as_bytes().to_vec());
        broker.append(VOUCHERS, record(&key, Some(b"not a voucher".to_vec())));
    }

    /// Writes up to three contradicting vouchers of one identity, as another system might import them. The
    /// first is the voucher.
    fn write_imported_vouchers(&mut self, broker: &mut Broker, random: &mut Random) {
        let key = self.new_key("imported");
        for copy in 0..random.between(1, 3) {
            let value = format!(
                r#"{{"campaign":"imported","order_id":"{key}","code":"{key}-{copy}","amount":5,"currency":"EUR","issued_at":"2026-06-01T10:00:00Z","expires_at":null}}"#
            );
            broker.append(VOUCHERS, record(&key, Some(value.into_bytes())));
        }
    }
}
