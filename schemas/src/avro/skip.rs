//! Skips values that are not read, and checks how their types delimit their bytes.

use super::cursor::{AvroFault, Cursor};
use super::plan::{Node, NodeId, Shape};

/// How many levels of records, arrays, maps and unions a field may have.
const MAX_DEPTH: usize = 64;

/// How many values a record may hold for each of its bytes, [`GRANTED_BYTES`] included.
const MAX_VALUES_PER_BYTE: usize = 64;

/// How many bytes are added to a record's length to bound its values. Values without bytes (nulls, empty
/// records) have no other bound: 8 bytes can announce 2^62 of them.
const GRANTED_BYTES: usize = 1024;

/// Returns how many values a record of these bytes may hold.
#[inline(always)]
pub(super) fn values_of(body: &[u8]) -> usize {
    body.len()
        .saturating_add(GRANTED_BYTES)
        .saturating_mul(MAX_VALUES_PER_BYTE)
}

/// Skips values, and counts down how many more are allowed.
pub(super) struct Skipper<'a> {
    pub(super) nodes: &'a [Node],
    pub(super) cursor: Cursor<'a>,
    pub(super) values_left: usize,
}

impl Skipper<'_> {
    /// Skips one value. The UTF-8 of strings is not checked.
    pub(super) fn skip(&mut self, id: NodeId, depth: usize) -> Result<(), AvroFault> {
        let nodes = self.nodes;
        let cursor = &mut self.cursor;
        self.values_left = match self.values_left.checked_sub(1) {
            Some(left) if depth <= MAX_DEPTH => left,
            Some(_) => return Err(cursor.fault("values that nest deeper than 64 levels")),
            None => return Err(cursor.fault("far more values than bytes")),
        };
        match &nodes[id].shape {
            Shape::Null => Ok(()),
            Shape::Boolean => match cursor.take(1)? {
                [0 | 1] => Ok(()),
                _ => Err(cursor.fault("a boolean that is neither 0 nor 1")),
            },
            Shape::Int => cursor.int().map(drop),
            Shape::Long => cursor.long().map(drop),
            Shape::Fixed(size) => cursor.take(*size).map(drop),
            Shape::Bytes => cursor.bytes().map(drop),
            Shape::Enum(symbols) => cursor.index(*symbols).map(drop),
            Shape::Union(branches) => {
                let branch = cursor.index(branches.len())?;
                self.skip(branches[branch], depth + 1)
            }
            Shape::Record(fields) => fields
                .iter()
                .try_for_each(|field| self.skip(*field, depth + 1)),
            Shape::Array(item) => self.blocks(|skipper| skipper.skip(*item, depth + 1)),
            Shape::Map(value) => self.blocks(|skipper| {
                skipper.cursor.bytes()?;
                skipper.skip(*value, depth + 1)
            }),
        }
    }

    /// Skips the blocks of an array or map: each is a count and that number of items, and a count of zero
    /// ends them. A negative count is followed by the block's size in bytes, which must be right.
    fn blocks(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<(), AvroFault>,
    ) -> Result<(), AvroFault> {
        loop {
            let count = self.cursor.long()?;
            if count == 0 {
                return Ok(());
            }
            // The number of bytes after the block.
            let left = if count < 0 {
                let size = self.cursor.length()?;
                Some(self.cursor.rest.len() - size)
            } else {
                None
            };
            // Each item counts against the bound on values, so a false count is stopped soon.
            for _ in 0..count.unsigned_abs() {
                item(self)?;
            }
            if left.is_some_and(|left| left != self.cursor.rest.len()) {
                return Err(self.cursor.fault("a block of another size than it says"));
            }
        }
    }
}

#[cfg(test)]
mod limits;
