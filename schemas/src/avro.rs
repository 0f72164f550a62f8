//! Avro: a plan compiled from the writer's schema, the reader that follows it, and the writer.
//!
//! No generic value is ever built. Schema and bytes may come from anybody, so the reader's work is
//! bounded: see the constants in `plan` and `skip`.

mod cursor;
mod plan;
mod read;
mod skip;
pub(crate) mod write;

use cursor::Cursor;

pub(crate) use plan::Plan;

/// Returns the text of a value that is an Avro string and nothing else, `None` for anything else. The
/// text's UTF-8 is not checked.
pub(crate) fn string_alone(bytes: &[u8]) -> Option<&[u8]> {
    let mut cursor = Cursor { rest: bytes };
    let string = cursor.bytes().ok()?;
    cursor.rest.is_empty().then_some(string)
}

/// Returns the number of a value that is an Avro int or long and nothing else.
pub(crate) fn long_alone(bytes: &[u8]) -> Option<i64> {
    let mut cursor = Cursor { rest: bytes };
    let long = cursor.long().ok()?;
    cursor.rest.is_empty().then_some(long)
}
