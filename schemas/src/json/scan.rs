//! A strict scanner of one JSON object (RFC 8259) that keeps the known fields.
//!
//! It reads the text once, to its last byte. It builds no tree: values of unknown fields are checked
//! and skipped. UTF-8 is checked as a whole, and only if a byte is not ASCII.

use super::fields::{Found, Names};
use super::string::{bytes_before, escape, plain_length, specials, unescape};
use crate::malformed::{Malformed, Reason};
use crate::raw_field::RawField;
use crate::swar::{self, HIGHS};
use crate::text::Text;

/// The maximum number of levels of arrays and objects, the record itself included.
const MAX_DEPTH: usize = 128;

/// Reads the object that `bytes` holds. `found` is empty before the call. The caller owns it, because
/// moving it costs as much as filling it.
///
/// # Errors
/// Faults are reported in this order of precedence, wherever they are: bytes that are not UTF-8, the
/// syntax, something after the value, another type than an object, a repeated field.
#[inline(always)]
pub(crate) fn read<'a, const N: usize>(
    bytes: &'a [u8],
    names: &Names<N>,
    found: &mut Found<'a, N>,
) -> Result<(), Malformed> {
    let mut scanner = Scanner {
        rest: bytes,
        seen: 0,
    };
    let kind = scanner.document(names, found);
    let is_sound = matches!(kind, Ok(None)) && scanner.rest.is_empty() && found.repeated.is_none();
    if is_sound && scanner.seen & HIGHS == 0 {
        return Ok(());
    }
    check(bytes, kind, scanner.rest, found.repeated, names)
}

/// Returns the first fault, if there is one. A value whose bytes are not all ASCII may have none.
#[cold]
#[inline(never)]
fn check<const N: usize>(
    bytes: &[u8],
    kind: Result<Option<&'static str>, JsonFault>,
    rest: &[u8],
    repeated: Option<usize>,
    names: &Names<N>,
) -> Result<(), Malformed> {
    if bytes.is_empty() {
        return Err(Malformed::new(Reason::EmptyValue, "the value is empty"));
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to() + 1;
        Malformed::new(
            Reason::InvalidJson,
            format!("byte {at} of the JSON is not UTF-8"),
        )
    })?;
    let kind = kind.map_err(|fault| fault.malformed(bytes))?;
    if !rest.is_empty() {
        let (end, length) = (bytes.len() - rest.len(), bytes.len());
        let message = format!("the JSON ends at byte {end} of {length}");
        return Err(Malformed::new(Reason::TrailingBytes, message));
    }
    if let Some(kind) = kind {
        return Err(Malformed::new(
            Reason::NotAnObject,
            format!("the value is {kind}, not a JSON object"),
        ));
    }
    if let Some(field) = repeated {
        let message = format!("the field {} is there more than once", names.texts[field]);
        return Err(Malformed::new(Reason::RepeatedField, message));
    }
    Ok(())
}

/// The position at which the text stops being JSON, and what was expected there.
#[derive(Debug, Clone, Copy)]
struct JsonFault {
    /// The number of bytes from that position on.
    left: usize,
    expected: &'static str,
}

impl JsonFault {
    fn malformed(self, bytes: &[u8]) -> Malformed {
        // The message does not show what was found, which may be a voucher's code.
        let Self { left, expected } = self;
        let at = bytes.len() - left + 1;
        Malformed::new(
            Reason::InvalidJson,
            format!("the JSON breaks at byte {at}: expected {expected}"),
        )
    }
}

/// The bytes of a string between its quotes. Its escapes have been checked.
#[derive(Clone, Copy)]
struct Quoted<'a> {
    body: &'a [u8],
    has_escapes: bool,
}

/// The scanner. Functions that are not inlined get a copy, so that the original stays in registers.
#[derive(Clone, Copy)]
struct Scanner<'a> {
    rest: &'a [u8],
    /// The bitwise "or" of all words that strings were read in. If no byte of it has its highest bit
    /// set, all strings are ASCII. Bytes behind a string's end may be in it as well.
    seen: u64,
}

impl<'a> Scanner<'a> {
    /// Reads the whole document and the space after it. Returns the kind of value if it is no object.
    #[inline(always)]
    fn document<const N: usize>(
        &mut self,
        names: &Names<N>,
        found: &mut Found<'a, N>,
    ) -> Result<Option<&'static str>, JsonFault> {
        self.space();
        if self.peek() != Some(b'{') {
            let kind = self.on_copy(|scanner| scanner.other_value(0))?.kind();
            self.space();
            return Ok(Some(kind));
        }
        self.object(|scanner| scanner.member(names, found))?;
        self.space();
        Ok(None)
    }

    /// Reads one member of the record from its name on.
    #[inline(always)]
    fn member<const N: usize>(
        &mut self,
        names: &Names<N>,
        found: &mut Found<'a, N>,
    ) -> Result<(), JsonFault> {
        let started = match self.rest {
            [b'"', text @ ..] => found.start(names, text),
            _ => None,
        };
        let field = match started {
            Some((field, rest)) => {
                self.rest = rest;
                Some(field)
            }
            None => self.on_copy(|scanner| {
                let name = scanner.name()?;
                Ok(match name.has_escapes {
                    false => names.position(name.body),
                    true => names.position(&unescape(name.body)),
                })
            })?,
        };
        self.space();
        let Some(field) = field else {
            return self.on_copy(|scanner| scanner.skip_value(1));
        };
        let content = match self.rest {
            [b'"', rest @ ..] => {
                self.rest = rest;
                let quoted = self.string()?;
                if quoted.has_escapes {
                    found.mark_escaped(field);
                }
                RawField::Text(Text::part_of_checked(quoted.body))
            }
            [b'n', b'u', b'l', b'l', rest @ ..] => {
                self.rest = rest;
                RawField::Null
            }
            _ => self.on_copy(|scanner| scanner.other_value(1))?,
        };
        found.fill(field, content);
        Ok(())
    }

    /// Reads any value. The text of a string is not kept.
    fn other_value(&mut self, depth: usize) -> Result<RawField<'a>, JsonFault> {
        match self.peek() {
            Some(b'"') => self.skip_string().map(|()| RawField::Other("a string")),
            Some(b'-' | b'0'..=b'9') => self.number().map(RawField::Number),
            Some(b'{') => self
                .skip_object(depth + 1)
                .map(|()| RawField::Other("an object")),
            Some(b'[') => self
                .skip_array(depth + 1)
                .map(|()| RawField::Other("an array")),
            Some(b'n') => self.literal(b"null").map(|()| RawField::Null),
            Some(b't') => self.literal(b"true").map(|()| RawField::Other("a boolean")),
            Some(b'f') => self
                .literal(b"false")
                .map(|()| RawField::Other("a boolean")),
            _ => Err(self.fault("a value")),
        }
    }

    /// Checks a value and skips it.
    fn skip_value(&mut self, depth: usize) -> Result<(), JsonFault> {
        self.other_value(depth).map(drop)
    }

    fn skip_string(&mut self) -> Result<(), JsonFault> {
        self.rest = &self.rest[1..];
        self.string().map(drop)
    }

    fn skip_object(&mut self, depth: usize) -> Result<(), JsonFault> {
        self.enter(depth)?;
        self.object(|scanner| {
            scanner.name()?;
            scanner.space();
            scanner.skip_value(depth)
        })
    }

    fn skip_array(&mut self, depth: usize) -> Result<(), JsonFault> {
        self.enter(depth)?;
        self.rest = &self.rest[1..];
        self.space();
        if self.take(b']') {
            return Ok(());
        }
        loop {
            self.skip_value(depth)?;
            self.space();
            if self.take(b']') {
                return Ok(());
            }
            if !self.take(b',') {
                return Err(self.fault("a comma or the end of the array"));
            }
            self.space();
        }
    }

    /// Reads an object from its brace on. `member` reads each name, colon and value.
    #[inline(always)]
    fn object(
        &mut self,
        mut member: impl FnMut(&mut Self) -> Result<(), JsonFault>,
    ) -> Result<(), JsonFault> {
        self.rest = &self.rest[1..];
        self.space();
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            member(self)?;
            self.space();
            if self.take(b'}') {
                return Ok(());
            }
            if !self.take(b',') {
                return Err(self.fault("a comma or the end of the object"));
            }
            self.space();
        }
    }

    /// Reads a member's name and the colon behind it.
    fn name(&mut self) -> Result<Quoted<'a>, JsonFault> {
        if !self.take(b'"') {
            return Err(self.fault("a field's name in quotes"));
        }
        let name = self.string()?;
        self.space();
        if !self.take(b':') {
            return Err(self.fault("a colon"));
        }
        Ok(name)
    }

    fn enter(&self, depth: usize) -> Result<(), JsonFault> {
        if depth > MAX_DEPTH {
            Err(self.fault("at most 128 levels of nesting"))
        } else {
            Ok(())
        }
    }

    /// Reads a string from behind its first quote on.
    #[inline(always)]
    fn string(&mut self) -> Result<Quoted<'a>, JsonFault> {
        let mut rest = self.rest;
        loop {
            let word = swar::first(rest);
            self.seen |= word;
            let hits = specials(word);
            // If fewer than eight bytes are left, the zeros that pad them are hits.
            if hits != 0 {
                let length = self.rest.len() - rest.len() + bytes_before(hits);
                return match self.rest.split_at_checked(length) {
                    Some((body, [b'"', rest @ ..])) => {
                        self.rest = rest;
                        Ok(Quoted {
                            body,
                            has_escapes: false,
                        })
                    }
                    _ => self.on_copy(Self::any_string),
                };
            }
            rest = &rest[size_of::<u64>()..];
        }
    }

    /// The general path of [`string`](Self::string), for escapes and faults.
    #[cold]
    #[inline(never)]
    fn any_string(&mut self) -> Result<Quoted<'a>, JsonFault> {
        // Bytes beyond ASCII are not looked for here, so there may be some.
        self.seen |= HIGHS;
        let start = self.rest;
        let mut has_escapes = false;
        loop {
            self.rest = &self.rest[plain_length(self.rest)..];
            match self.rest {
                [b'"', rest @ ..] => {
                    let body = &start[..start.len() - self.rest.len()];
                    self.rest = rest;
                    return Ok(Quoted { body, has_escapes });
                }
                [b'\\', rest @ ..] => {
                    has_escapes = true;
                    let (_, length) = escape(rest).map_err(|fault| JsonFault {
                        left: rest.len() - fault.after,
                        expected: fault.expected,
                    })?;
                    self.rest = &rest[length..];
                }
                [_, ..] => return Err(self.fault("no control character within a string")),
                [] => return Err(self.fault("the end of the string")),
            }
        }
    }

    /// Reads a number from its first byte on.
    fn number(&mut self) -> Result<Text<'a>, JsonFault> {
        let start = self.rest;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'-') || self.take(b'+');
            self.digits()?;
        }
        let length = start.len() - self.rest.len();
        Ok(Text::part_of_checked(&start[..length]))
    }

    /// Reads at least one digit.
    fn digits(&mut self) -> Result<(), JsonFault> {
        let start = self.rest.len();
        while let [b'0'..=b'9', rest @ ..] = self.rest {
            self.rest = rest;
        }
        if self.rest.len() == start {
            Err(self.fault("a digit"))
        } else {
            Ok(())
        }
    }

    fn literal(&mut self, literal: &[u8]) -> Result<(), JsonFault> {
        match self.rest.strip_prefix(literal) {
            Some(rest) => {
                self.rest = rest;
                Ok(())
            }
            None => Err(self.fault("a value")),
        }
    }

    #[inline(always)]
    fn space(&mut self) {
        if let [..=b' ', ..] = self.rest {
            self.rest = after_space(self.rest);
        }
    }

    #[inline(always)]
    fn take(&mut self, byte: u8) -> bool {
        match self.rest {
            [first, rest @ ..] if *first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    #[inline(always)]
    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Calls `read` with a copy of the scanner, and takes over the copy's state.
    #[inline(always)]
    fn on_copy<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, JsonFault>,
    ) -> Result<T, JsonFault> {
        let mut copy = *self;
        let result = read(&mut copy);
        *self = copy;
        result
    }

    fn fault(&self, expected: &'static str) -> JsonFault {
        JsonFault {
            left: self.rest.len(),
            expected,
        }
    }
}

#[inline(never)]
fn after_space(mut rest: &[u8]) -> &[u8] {
    while let [b' ' | b'\t' | b'\n' | b'\r', after @ ..] = rest {
        rest = after;
    }
    rest
}

#[cfg(test)]
mod tests;
