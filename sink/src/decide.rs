//! One record in, its outcome into the batch: decoded by the contract's rules, nothing looked up
//! but its schema.

use std::fmt;

use runtime::record::InputRecord;
use runtime::registry::SchemaSource;
use runtime::value::{self, Value};
use schemas::{Malformed, Reason, SchemaId, Voucher, VoucherPlan};

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
        /// The schema.
        schema_id: SchemaId,
    },
}

/// Decodes `record` and takes it into `batch`.
pub fn decide<S>(record: &impl InputRecord, schemas: &mut S, batch: &mut Batch) -> Decision
where
    S: SchemaSource<Plan = VoucherPlan>,
{
    let read = value::read(record, schemas, |body| {
        Voucher::read(record.key(), body).map(|voucher| batch.push(record, &voucher))
    });
    match read {
        Ok(Value::Read(())) => Decision::Row,
        Ok(Value::Tombstone) => {
            batch.skip_tombstone(record);
            Decision::Tombstone
        }
        Ok(Value::Wait { schema_id }) => Decision::Wait { schema_id },
        Err(malformed) => {
            let reason = malformed.reason();
            batch.write_dead_letters(record, malformed);
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
