//! Writes a record: one list of its fields serves both formats.

use std::io::Write;

use rust_decimal::Decimal;

use crate::avro::write as avro;
use crate::decimal::{self, DecimalError};
use crate::format::ValueFormat;
use crate::framing::write_header;
use crate::json;
use crate::timestamp::Timestamp;

/// The scale of every decimal in our Avro schemas.
const SCALE: u32 = 9;

/// Appends a record: in JSON an object, in Avro the framing and the body. `fields` writes every field
/// of our Avro schema in its order.
///
/// # Errors
/// The first error of `fields`. Nothing is appended then.
pub(crate) fn write(
    format: ValueFormat,
    out: &mut Vec<u8>,
    fields: impl FnOnce(&mut FieldWriter<'_>) -> Result<(), DecimalError>,
) -> Result<(), DecimalError> {
    let start = out.len();
    if let ValueFormat::Avro(schema_id) = format {
        write_header(schema_id, out);
    }
    let written = fields(&mut FieldWriter {
        format,
        before: b'{',
        out,
    });
    match (&written, format) {
        (Err(_), _) => out.truncate(start),
        (Ok(()), ValueFormat::Json) => out.push(b'}'),
        (Ok(()), ValueFormat::Avro(_)) => {}
    }
    written
}

/// Writes one field after the other.
pub(crate) struct FieldWriter<'o> {
    format: ValueFormat,
    /// What JSON has before the next field: the brace, then commas.
    before: u8,
    out: &'o mut Vec<u8>,
}

impl FieldWriter<'_> {
    /// Appends a field. Its name needs no escapes in JSON.
    ///
    /// # Errors
    /// See [`FieldValue::write_avro`].
    pub(crate) fn field(&mut self, name: &str, value: impl FieldValue) -> Result<(), DecimalError> {
        match self.format {
            ValueFormat::Json => {
                self.out.extend_from_slice(&[self.before, b'"']);
                self.out.extend_from_slice(name.as_bytes());
                self.out.extend_from_slice(b"\":");
                self.before = b',';
                value.write_json(self.out);
                Ok(())
            }
            ValueFormat::Avro(_) => value.write_avro(self.out),
        }
    }
}

/// A type that a field of our schemas has.
pub(crate) trait FieldValue {
    /// Appends the value as JSON.
    fn write_json(&self, out: &mut Vec<u8>);

    /// Appends the value as Avro.
    ///
    /// # Errors
    /// [`DecimalError`] for a decimal that the schema cannot hold exactly: negative, 10^15 or more, or
    /// with more than 9 decimals.
    fn write_avro(&self, out: &mut Vec<u8>) -> Result<(), DecimalError>;
}

/// A string.
impl FieldValue for &str {
    fn write_json(&self, out: &mut Vec<u8>) {
        json::write_string(self, out);
    }

    fn write_avro(&self, out: &mut Vec<u8>) -> Result<(), DecimalError> {
        avro::string(self, out);
        Ok(())
    }
}

/// A number in JSON, a long in Avro.
impl FieldValue for i64 {
    fn write_json(&self, out: &mut Vec<u8>) {
        // Writing to a vector cannot fail.
        let _ = write!(out, "{self}");
    }

    fn write_avro(&self, out: &mut Vec<u8>) -> Result<(), DecimalError> {
        avro::long(*self, out);
        Ok(())
    }
}

/// A string in JSON, a timestamp-micros in Avro.
impl FieldValue for Timestamp {
    fn write_json(&self, out: &mut Vec<u8>) {
        // Writing to a vector cannot fail.
        let _ = write!(out, "\"{self}\"");
    }

    fn write_avro(&self, out: &mut Vec<u8>) -> Result<(), DecimalError> {
        avro::long(self.as_micros(), out);
        Ok(())
    }
}

/// In JSON a string with at least two decimals, so that a reader that takes numbers for floats cannot
/// change it; a decimal in Avro.
impl FieldValue for Decimal {
    fn write_json(&self, out: &mut Vec<u8>) {
        // Writing to a vector cannot fail.
        let _ = write!(out, "\"{}\"", decimal::as_money(*self));
    }

    fn write_avro(&self, out: &mut Vec<u8>) -> Result<(), DecimalError> {
        avro::decimal(decimal::storable(*self, SCALE)?, out);
        Ok(())
    }
}

/// A value or null. In Avro this is a union whose first branch is null.
impl<T: FieldValue> FieldValue for Option<T> {
    fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            None => out.extend_from_slice(b"null"),
            Some(value) => value.write_json(out),
        }
    }

    fn write_avro(&self, out: &mut Vec<u8>) -> Result<(), DecimalError> {
        avro::long(self.is_some().into(), out);
        match self {
            None => Ok(()),
            Some(value) => value.write_avro(out),
        }
    }
}
