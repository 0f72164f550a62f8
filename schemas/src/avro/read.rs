//! Reading a record by its plan: known fields into slots, every other byte checked and passed.
//!
//! Source: Avro 1.12 specification, "Binary Encoding".

use super::plan::{Content, KnownField, Node, NodeId, Plan, Root, Shape};
use crate::malformed::{Malformed, Reason};
use crate::slot::Slot;

/// How deep records, arrays, maps and unions may nest within a field.
const DEEPEST: usize = 64;

/// How many values a record may hold: this many for each byte that it has ...
const MOST_VALUES_PER_BYTE: usize = 64;

/// ... as if it had this many bytes more. Values of no bytes (nulls, empty records) are bounded by
/// nothing else: 8 bytes can announce 2^62 of them.
const BYTES_GRANTED: usize = 1024;

impl<const N: usize> Plan<N> {
    /// Reads a record's bytes, after the framing.
    pub(crate) fn read<'a>(&'a self, body: &'a [u8]) -> Result<[Slot<'a>; N], Malformed> {
        let mut reader = Reader {
            nodes: &self.nodes,
            body,
            at: 0,
            values_left: Reader::values_of(body),
        };
        if let Root::Union { branches, record } = self.root {
            let branch = reader
                .index(branches)
                .map_err(|fault| fault.malformed("the record"))?;
            if branch != record {
                return Err(Malformed::new(
                    Reason::NotAnObject,
                    format!("the value is branch {branch} of the writer's union, not the record"),
                ));
            }
        }
        let mut slots = [const { Slot::Absent }; N];
        for field in &self.fields {
            match &field.known {
                Some(known) => reader.read(known).map(|found| slots[known.slot] = found),
                None => reader.skip(field.node, 0),
            }
            .map_err(|fault| fault.malformed(&field.name))?;
        }
        if reader.at < body.len() {
            return Err(Malformed::new(
                Reason::TrailingBytes,
                format!(
                    "the Avro record ends at byte {} of {}",
                    reader.at,
                    body.len()
                ),
            ));
        }
        Ok(slots)
    }
}

/// Where the bytes stop following the schema, and how.
#[derive(Debug, Clone, Copy)]
struct Fault {
    at: usize,
    what: &'static str,
}

impl Fault {
    fn malformed(self, field: &str) -> Malformed {
        let Self { at, what } = self;
        Malformed::new(
            Reason::InvalidAvro,
            format!("{field}: {what} (at byte {at} of the Avro record)"),
        )
    }
}

struct Reader<'a> {
    nodes: &'a [Node],
    body: &'a [u8],
    at: usize,
    values_left: usize,
}

impl<'a> Reader<'a> {
    /// How many values so many bytes may hold.
    fn values_of(body: &[u8]) -> usize {
        body.len()
            .saturating_add(BYTES_GRANTED)
            .saturating_mul(MOST_VALUES_PER_BYTE)
    }

    /// The content of a known field.
    #[inline(always)]
    fn read(&mut self, field: &'a KnownField) -> Result<Slot<'a>, Fault> {
        let content = if field.is_union {
            &field.contents[self.index(field.contents.len())?]
        } else {
            &field.contents[0]
        };
        Ok(match content {
            Content::Null => Slot::Null,
            Content::Int => Slot::Integer(self.int()?.into()),
            Content::Long => Slot::Integer(self.long()?),
            Content::TimestampMillis => Slot::TimestampMillis(self.long()?),
            Content::TimestampMicros => Slot::TimestampMicros(self.long()?),
            Content::Text => Slot::Text(self.text()?.into()),
            Content::Symbol(symbols) => {
                let symbol: &'a str = &symbols[self.index(symbols.len())?];
                Slot::Text(symbol.into())
            }
            Content::Decimal { scale } => Slot::Decimal {
                unscaled: self.bytes()?,
                scale: *scale,
            },
            Content::FixedDecimal { size, scale } => Slot::Decimal {
                unscaled: self.take(*size)?,
                scale: *scale,
            },
            Content::Other(node, kind) => {
                self.skip(*node, 0)?;
                Slot::Other(kind)
            }
        })
    }

    #[inline(always)]
    fn text(&mut self) -> Result<&'a str, Fault> {
        let start = self.at;
        std::str::from_utf8(self.bytes()?).map_err(|_| Fault {
            at: start,
            what: "a string that is not UTF-8",
        })
    }

    /// Passes a value, checking all that its type delimits; the text of strings is not looked at.
    fn skip(&mut self, id: NodeId, depth: usize) -> Result<(), Fault> {
        let nodes = self.nodes;
        self.values_left = match self.values_left.checked_sub(1) {
            Some(left) if depth <= DEEPEST => left,
            Some(_) => return Err(self.fault("values that nest deeper than 64 levels")),
            None => return Err(self.fault("far more values than bytes")),
        };
        match &nodes[id].shape {
            Shape::Null => Ok(()),
            Shape::Boolean => match self.take(1)? {
                [0 | 1] => Ok(()),
                _ => Err(self.fault("a boolean that is neither 0 nor 1")),
            },
            Shape::Int => self.int().map(drop),
            Shape::Long => self.long().map(drop),
            Shape::Fixed(size) => self.take(*size).map(drop),
            Shape::Bytes => self.bytes().map(drop),
            Shape::Enum(symbols) => self.index(*symbols).map(drop),
            Shape::Union(branches) => {
                let branch = self.index(branches.len())?;
                self.skip(branches[branch], depth + 1)
            }
            Shape::Record(fields) => fields
                .iter()
                .try_for_each(|field| self.skip(*field, depth + 1)),
            Shape::Array(item) => self.blocks(|reader| reader.skip(*item, depth + 1)),
            Shape::Map(value) => self.blocks(|reader| {
                reader.bytes()?;
                reader.skip(*value, depth + 1)
            }),
        }
    }

    /// The blocks of an array or map: a count, then as many items; a count of zero ends them. A
    /// negative count is followed by the block's size in bytes, which must be true.
    fn blocks(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        loop {
            let count = self.long()?;
            if count == 0 {
                return Ok(());
            }
            let end = if count < 0 {
                Some(self.length()?)
            } else {
                None
            };
            let end = end.map(|size| self.at + size);
            // Each item takes of what the record may hold, so a false count ends soon.
            for _ in 0..count.unsigned_abs() {
                item(self)?;
            }
            if end.is_some_and(|end| end != self.at) {
                return Err(self.fault("a block of another size than it says"));
            }
        }
    }

    /// A non-negative int or long below `limit`: a union's branch, or an enum's symbol.
    fn index(&mut self, limit: usize) -> Result<usize, Fault> {
        let start = self.at;
        match usize::try_from(self.long()?) {
            Ok(index) if index < limit => Ok(index),
            _ => Err(Fault {
                at: start,
                what: "a branch or symbol that the schema does not have",
            }),
        }
    }

    fn int(&mut self) -> Result<i32, Fault> {
        let start = self.at;
        let value = self.long()?;
        i32::try_from(value).map_err(|_| Fault {
            at: start,
            what: "an int beyond 32 bits",
        })
    }

    /// Zigzag, in groups of seven bits, the lowest first.
    #[inline(always)]
    fn long(&mut self) -> Result<i64, Fault> {
        // Branches, and most lengths.
        if let Some(byte @ ..0x80) = self.body.get(self.at).copied() {
            self.at += 1;
            return Ok(i64::from(byte >> 1) ^ -i64::from(byte & 1));
        }
        self.long_of_many()
    }

    #[inline(never)]
    fn long_of_many(&mut self) -> Result<i64, Fault> {
        // Up to eight groups at once: a time in microseconds is one of those.
        const LAST: u64 = 0x8080_8080_8080_8080;
        if let Some(chunk) = self.body[self.at..].first_chunk() {
            let word = u64::from_le_bytes(*chunk);
            let lasts = !word & LAST;
            if lasts != 0 {
                // All bits up to the last group's highest, which is the lowest of `lasts`.
                let value = joined_groups(word & (lasts ^ (lasts - 1)));
                self.at += (lasts.trailing_zeros() / 8 + 1) as usize;
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        let mut value = 0;
        for (at, byte) in self.body[self.at..].iter().enumerate() {
            let group = u64::from(byte & 0x7f);
            if at == 9 && *byte > 1 {
                return Err(self.fault("an integer beyond 64 bits"));
            }
            value |= group << (7 * at);
            if byte & 0x80 == 0 {
                self.at += at + 1;
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        Err(self.fault("the record ends within an integer"))
    }

    /// The length of what follows, within the bytes that are left.
    fn length(&mut self) -> Result<usize, Fault> {
        let start = self.at;
        match usize::try_from(self.long()?) {
            Ok(length) if length <= self.body.len() - self.at => Ok(length),
            _ => Err(Fault {
                at: start,
                what: "a length that is negative or beyond the record's end",
            }),
        }
    }

    fn bytes(&mut self) -> Result<&'a [u8], Fault> {
        let length = self.length()?;
        self.take(length)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Fault> {
        let (taken, _) = self.body[self.at..]
            .split_at_checked(length)
            .ok_or_else(|| self.fault("the record ends within a value"))?;
        self.at += length;
        Ok(taken)
    }

    fn fault(&self, what: &'static str) -> Fault {
        Fault { at: self.at, what }
    }
}

/// Eight groups of seven bits, one a byte, the lowest first, as one number; the bytes' highest bits
/// count for nothing. Neighbours are joined to pairs, pairs to fours, fours to the whole.
const fn joined_groups(word: u64) -> u64 {
    let word = (word & 0x007f_007f_007f_007f) | (word & 0x7f00_7f00_7f00_7f00) >> 1;
    let word = (word & 0x0000_3fff_0000_3fff) | (word & 0x3fff_0000_3fff_0000) >> 2;
    (word & 0x0fff_ffff) | (word & 0x0fff_ffff_0000_0000) >> 4
}

#[cfg(test)]
mod limits;
#[cfg(test)]
mod tests;
