//! Reads a record by its plan. Known fields are kept, all other bytes are checked and skipped.
//!
//! Source: Avro 1.12 specification, "Binary Encoding".

use super::cursor::{AvroFault, Cursor};
use super::plan::{Content, KnownField, Plan, Root};
use super::skip::{Skipper, values_of};
use crate::malformed::{Malformed, Reason};
use crate::raw_field::RawField;
use crate::text::Text;

impl Plan {
    /// Returns whether the writer's record has a field of this name, known or not.
    pub(crate) fn has_field(&self, name: &str) -> bool {
        self.fields.iter().any(|field| &*field.name == name)
    }

    /// Reads a record's bytes, without the framing. `found` has one entry for each known field, all absent
    /// before the call. The caller owns it, because moving it costs as much as filling it.
    #[inline(always)]
    pub(crate) fn read<'a, const N: usize>(
        &'a self,
        body: &'a [u8],
        found: &mut [RawField<'a>; N],
    ) -> Result<(), Malformed> {
        let mut reader = Reader {
            plan: self,
            cursor: Cursor { rest: body },
            values_left: values_of(body),
        };
        if let Root::Union { branches, record } = self.root {
            reader.branch(branches, record, body)?;
        }
        for field in &self.fields {
            match &field.known {
                Some(known) => reader.read(known, &mut found[known.index]),
                None => reader.skip(field.node),
            }
            .map_err(|fault| fault.malformed(&field.name, body))?;
        }
        if reader.cursor.rest.is_empty() {
            Ok(())
        } else {
            Err(trailing(reader.cursor.rest.len(), body.len()))
        }
    }
}

#[cold]
fn trailing(left: usize, length: usize) -> Malformed {
    Malformed::new(
        Reason::TrailingBytes,
        format!("the Avro record ends at byte {} of {length}", length - left),
    )
}

struct Reader<'a> {
    plan: &'a Plan,
    cursor: Cursor<'a>,
    values_left: usize,
}

impl<'a> Reader<'a> {
    /// Reads the branch of a union at the top, which must be the record.
    fn branch(&mut self, branches: usize, record: usize, body: &[u8]) -> Result<(), Malformed> {
        let branch = self.cursor.index(branches);
        match branch.map_err(|fault| fault.malformed("the record", body))? {
            branch if branch == record => Ok(()),
            branch => Err(Malformed::new(
                Reason::NotAnObject,
                format!("the value is branch {branch} of the writer's union, not the record"),
            )),
        }
    }

    /// Reads a known field into `content`.
    #[inline(always)]
    fn read(&mut self, field: &'a KnownField, content: &mut RawField<'a>) -> Result<(), AvroFault> {
        let cursor = &mut self.cursor;
        let planned = if field.is_union {
            &field.contents[cursor.index(field.contents.len())?]
        } else {
            &field.contents[0]
        };
        *content = match planned {
            Content::Null => RawField::Null,
            Content::Int => RawField::Integer(cursor.int()?.into()),
            Content::Long => RawField::Integer(cursor.short()?),
            Content::TimestampMillis => RawField::TimestampMillis(cursor.long()?),
            Content::TimestampMicros => RawField::TimestampMicros(cursor.long()?),
            Content::Text => RawField::Text(cursor.text()?),
            Content::Symbol(symbols) => {
                let symbol: &'a str = &symbols[cursor.index(symbols.len())?];
                RawField::Text(Text::from(symbol))
            }
            Content::Decimal { scale } => RawField::Decimal {
                unscaled: cursor.bytes()?,
                scale: *scale,
            },
            Content::FixedDecimal { size, scale } => RawField::Decimal {
                unscaled: cursor.take(*size)?,
                scale: *scale,
            },
            Content::Other(node, kind) => {
                self.skip(*node)?;
                RawField::Other(kind)
            }
        };
        Ok(())
    }

    /// Skips a value with a copy of the cursor, so that the cursor itself stays in registers.
    #[inline(always)]
    fn skip(&mut self, node: usize) -> Result<(), AvroFault> {
        let mut skipper = Skipper {
            nodes: &self.plan.nodes,
            cursor: self.cursor,
            values_left: self.values_left,
        };
        skipper.skip(node, 0)?;
        self.cursor = skipper.cursor;
        self.values_left = skipper.values_left;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
