//! Avro: a plan compiled from the writer's schema, the reader that follows it, and the writer.
//!
//! No generic value is ever built. What a schema may ask of the reader is bounded, because schema
//! and bytes may be anybody's: see the constants in `plan` and `skip`.

mod cursor;
mod plan;
mod read;
mod skip;
pub(crate) mod write;

use cursor::Cursor;

pub(crate) use plan::Plan;

/// The string that the bytes are, without a schema; none when they are anything else. Its UTF-8 is
/// not checked.
pub(crate) fn string_alone(bytes: &[u8]) -> Option<&[u8]> {
    let mut cursor = Cursor { rest: bytes };
    let string = cursor.bytes().ok()?;
    cursor.rest.is_empty().then_some(string)
}

/// The int or long that the bytes are, without a schema; none when they are anything else.
pub(crate) fn long_alone(bytes: &[u8]) -> Option<i64> {
    let mut cursor = Cursor { rest: bytes };
    let long = cursor.long().ok()?;
    cursor.rest.is_empty().then_some(long)
}
