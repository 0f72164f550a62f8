//! Reads integers and length-prefixed values from the rest of a record's bytes.

use crate::malformed::{Malformed, Reason};
use crate::swar::{self, HIGHS};
use crate::text::Text;

/// The position at which the bytes stop following the schema, and what is wrong there.
#[derive(Debug, Clone, Copy)]
pub(super) struct AvroFault {
    /// The number of bytes from that position on.
    left: usize,
    pub(super) what: &'static str,
}

impl AvroFault {
    #[cold]
    pub(super) fn malformed(self, field: &str, body: &[u8]) -> Malformed {
        let Self { left, what } = self;
        let at = body.len() - left;
        Malformed::new(
            Reason::InvalidAvro,
            format!("{field}: {what} (at byte {at} of the Avro record)"),
        )
    }
}

/// The rest of the bytes. Functions that are not inlined get a copy, so that the original stays in
/// registers.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    pub(super) rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// Reads an int or long: zigzag, in groups of seven bits, the lowest first. The fast path takes up
    /// to eight groups at once, such as a time in microseconds.
    #[inline(always)]
    pub(super) fn long(&mut self) -> Result<i64, AvroFault> {
        let word = swar::first(self.rest);
        // The highest bit of each byte that is the last one of an integer. The padding behind the
        // record's end looks like such bytes.
        let lasts = !word & HIGHS;
        let length = (lasts.trailing_zeros() / 8 + 1) as usize;
        match self.rest.get(length..) {
            Some(rest) if lasts != 0 => {
                self.rest = rest;
                // Masks all bits up to the highest one of the last group, the lowest of `lasts`.
                Ok(unzigzag(joined_groups(word & (lasts ^ (lasts - 1)))))
            }
            _ => self.on_copy(any_long),
        }
    }

    /// Reads an int or long that is likely to have one byte: a branch, most lengths, a version.
    #[inline(always)]
    pub(super) fn short(&mut self) -> Result<i64, AvroFault> {
        match *self.rest {
            [byte @ ..0x80, ref rest @ ..] => {
                self.rest = rest;
                Ok(i64::from(byte >> 1) ^ -i64::from(byte & 1))
            }
            _ => self.on_copy(any_long),
        }
    }

    #[inline(always)]
    pub(super) fn int(&mut self) -> Result<i32, AvroFault> {
        let fault = self.fault("an int beyond 32 bits");
        i32::try_from(self.short()?).map_err(|_| fault)
    }

    /// Reads a number that is not negative and below `limit`: a union's branch, or an enum's symbol.
    #[inline(always)]
    pub(super) fn index(&mut self, limit: usize) -> Result<usize, AvroFault> {
        let fault = self.fault("a branch or symbol that the schema does not have");
        match usize::try_from(self.short()?) {
            Ok(index) if index < limit => Ok(index),
            _ => Err(fault),
        }
    }

    /// Reads a length, which is at most the number of bytes that are left after it.
    #[inline(always)]
    pub(super) fn length(&mut self) -> Result<usize, AvroFault> {
        let fault = self.fault("a length that is negative or beyond the record's end");
        match usize::try_from(self.short()?) {
            Ok(length) if length <= self.rest.len() => Ok(length),
            _ => Err(fault),
        }
    }

    /// Reads length-prefixed bytes.
    #[inline(always)]
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], AvroFault> {
        let length = self.length()?;
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        Ok(taken)
    }

    #[inline(always)]
    pub(super) fn text(&mut self) -> Result<Text<'a>, AvroFault> {
        let fault = self.fault("a string that is not UTF-8");
        Text::of(self.bytes()?).ok_or(fault)
    }

    #[inline(always)]
    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], AvroFault> {
        let fault = self.fault("the record ends within a value");
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(fault)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline(always)]
    pub(super) fn fault(&self, what: &'static str) -> AvroFault {
        AvroFault {
            left: self.rest.len(),
            what,
        }
    }

    #[inline(always)]
    fn on_copy<T>(
        &mut self,
        read: impl FnOnce(&'a [u8]) -> Result<(T, &'a [u8]), AvroFault>,
    ) -> Result<T, AvroFault> {
        let (value, rest) = read(self.rest)?;
        self.rest = rest;
        Ok(value)
    }
}

/// The general path of [`Cursor::long`]: returns an integer of any length, and what follows it.
#[inline(never)]
fn any_long(bytes: &[u8]) -> Result<(i64, &[u8]), AvroFault> {
    let mut value = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let group = u64::from(byte & 0x7f);
        if at == 9 && *byte > 1 {
            return Err(AvroFault {
                left: bytes.len(),
                what: "an integer beyond 64 bits",
            });
        }
        value |= group << (7 * at);
        if byte & 0x80 == 0 {
            return Ok((unzigzag(value), &bytes[at + 1..]));
        }
    }
    Err(AvroFault {
        left: bytes.len(),
        what: "the record ends within an integer",
    })
}

#[inline(always)]
const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Joins eight groups of seven bits, one in each byte, the lowest first, to one number. The highest bit
/// of each byte is ignored. Neighbours are joined to pairs, pairs to fours, fours to the whole. The
/// upper of two neighbours counts 2^8 where it should count 2^7, so half of it is subtracted.
#[inline(always)]
const fn joined_groups(word: u64) -> u64 {
    let word = word & !HIGHS;
    let word = word - ((word & 0x7f00_7f00_7f00_7f00) >> 1);
    let pairs = word - ((word & 0x3fff_0000_3fff_0000) / 4 * 3);
    (pairs & 0x0fff_ffff) | (pairs >> 32) << 28
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::avro::write;

    proptest! {
        #[test]
        fn a_long_is_read_alike_whatever_follows(
            value: i64,
            shift in 0..64,
            rest in prop::collection::vec(any::<u8>(), 0..10),
        ) {
            let value = value >> shift;
            let mut bytes = Vec::new();
            write::long(value, &mut bytes);
            bytes.extend(&rest);
            for read in [Cursor::long, Cursor::short] {
                let mut cursor = Cursor { rest: &bytes };
                prop_assert_eq!(read(&mut cursor).ok(), Some(value));
                prop_assert_eq!(cursor.rest, &rest);
            }
        }
    }
}
