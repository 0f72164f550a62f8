//! Decides one record: decodes it and adds it to the batch. Nothing is looked up but its schema.

use runtime::record::InputRecord;
use runtime::registry::SchemaSource;
use runtime::value::{self, Decoded};
use schemas::{Reason, SchemaId, Voucher, VoucherPlan};

use crate::batch::Batch;

/// Why a null value is skipped, for a person.
pub const TOMBSTONE: &str = "the value is null: it deletes no voucher";

/// The outcome of one record before it is written to the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It is a row to write.
    Row,
    /// Its value is null.
    Tombstone,
    /// It cannot be used, and becomes a dead letter.
    Dead(Reason),
    /// The registry is being asked for its schema. It is not in the batch.
    Wait {
        /// The schema.
        schema_id: SchemaId,
    },
}

/// Decodes `record` and adds it to `batch`.
pub fn decide<S>(record: &impl InputRecord, schemas: &mut S, batch: &mut Batch) -> Decision
where
    S: SchemaSource<Plan = VoucherPlan>,
{
    let decoded = value::decode(record, schemas, |bytes, format| {
        Voucher::read(record.key(), bytes, format).map(|voucher| batch.add_row(record, &voucher))
    });
    match decoded {
        Decoded::Value(()) => Decision::Row,
        Decoded::Tombstone => {
            batch.skip_tombstone(record);
            Decision::Tombstone
        }
        Decoded::Pending(schema_id) => Decision::Wait { schema_id },
        Decoded::Malformed(malformed) => {
            let reason = malformed.reason();
            batch.add_dead_letter(record, malformed);
            Decision::Dead(reason)
        }
    }
}
