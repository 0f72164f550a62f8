//! One record in, its outcome into the batch: decoded by the contract's rules, nothing looked up
//! but its schema.

use std::fmt;

use runtime::record::InputRecord;
use runtime::registry::{Lookup, SchemaSource};
use schemas::{Malformed, Payload, Reason, Voucher, VoucherPlan};

use crate::batch::Batch;

/// Why a null value is skipped, in words.
pub const TOMBSTONE: &str = "the value is null: it deletes no voucher";

/// What a record is, before the database has its say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It asks for a row.
    Row,
    /// Its value is null.
    Tombstone,
    /// It can't be used.
    Dead(Reason),
    /// Its schema isn't known yet; it is not in the batch.
    Wait {
        /// The schema's number in the registry.
        schema_id: u32,
    },
}

/// Decodes `record` and takes it into `batch`.
pub fn decide<S>(record: &impl InputRecord, schemas: &mut S, batch: &mut Batch) -> Decision
where
    S: SchemaSource<Plan = VoucherPlan>,
{
    let decoded = match Payload::of(record.value()) {
        Ok(Payload::Tombstone) => {
            batch.skip_tombstone(record);
            return Decision::Tombstone;
        }
        Ok(Payload::Json(value)) => Voucher::from_json(record.key(), value).map(|voucher| {
            batch.push(record, &voucher);
        }),
        Ok(Payload::Avro { schema_id, body }) => match schemas.lookup(schema_id) {
            Lookup::Pending => return Decision::Wait { schema_id },
            Lookup::Bad(malformed) => Err(malformed),
            Lookup::Known(plan) => Voucher::from_avro(record.key(), body, plan).map(|voucher| {
                batch.push(record, &voucher);
            }),
        },
        Err(malformed) => Err(malformed),
    };
    match decoded {
        Ok(()) => Decision::Row,
        Err(malformed) => {
            let reason = malformed.reason();
            batch.bury(record, malformed);
            Decision::Dead(reason)
        }
    }
}

/// Why the row is a dead letter whose code another voucher has. Names it, so that a person can
/// compare the two; not the code.
pub fn code_taken(holder: impl fmt::Display) -> Malformed {
    Malformed::new(
        Reason::CodeTaken,
        format!("another voucher holds the code: {holder}"),
    )
}

/// Why the row is a dead letter that the database refused alone.
pub fn rejected(sentence: &str) -> Malformed {
    Malformed::new(
        Reason::RejectedByDatabase,
        format!("the database refuses the row: {sentence}"),
    )
}
