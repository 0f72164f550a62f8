//! Points in time as Postgres stores them.

use chrono::DateTime;
use schemas::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::{ColumnIndex, Row};

/// Returns the time in a column of type `timestamptz`.
///
/// # Errors
/// A time that `chrono` cannot represent, such as `infinity`; sqlx itself would panic at it.
pub fn timestamp(
    row: &PgRow,
    column: impl ColumnIndex<PgRow> + Copy,
) -> sqlx::Result<Option<Timestamp>> {
    // Microseconds since 2000-01-01 in the binary format, in which sqlx asks for every result.
    let Some(micros) = row.try_get_unchecked::<Option<i64>, _>(column)? else {
        return Ok(None);
    };
    micros
        .checked_add(Timestamp::FIRST.as_micros())
        .filter(|micros| DateTime::from_timestamp_micros(*micros).is_some())
        .map(|micros| Some(Timestamp::from_micros(micros)))
        .ok_or_else(|| {
            let why = format!("the time in column {column:?} is out of range");
            sqlx::Error::Decode(why.into())
        })
}
