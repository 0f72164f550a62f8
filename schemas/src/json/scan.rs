//! A strict scanner of one JSON object (RFC 8259) that keeps the fields it is asked for.
//!
//! One pass checks UTF-8, one pass walks the text to its last byte. No tree is built, and values
//! that nobody asked for are checked and forgotten.

use std::borrow::Cow;

use crate::malformed::{Malformed, Reason};
use crate::slot::Slot;

/// How deep arrays and objects may nest, the record itself included.
const DEEPEST: usize = 128;

/// Reads the object that `bytes` holds, one slot per name.
///
/// Of several faults the first of this list is told, wherever they are: the syntax, something after
/// the value, another type than an object, a repeated field.
pub(crate) fn read<'a, const N: usize>(
    bytes: &'a [u8],
    names: &[&'static str; N],
) -> Result<[Slot<'a>; N], Malformed> {
    if bytes.is_empty() {
        return Err(Malformed::new(Reason::EmptyValue, "the value is empty"));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to() + 1;
        Malformed::new(
            Reason::InvalidJson,
            format!("byte {at} of the JSON is not UTF-8"),
        )
    })?;
    let mut fields = Fields {
        names,
        slots: [const { Slot::Absent }; N],
        next: 0,
        repeated: None,
    };
    let mut scanner = Scanner { text, at: 0 };
    let kind = scanner
        .document(&mut fields)
        .map_err(|fault| fault.malformed())?;
    scanner.space();
    if scanner.at < text.len() {
        let message = format!("the JSON ends at byte {} of {}", scanner.at, text.len());
        return Err(Malformed::new(Reason::TrailingBytes, message));
    }
    if let Some(kind) = kind {
        return Err(Malformed::new(
            Reason::NotAnObject,
            format!("the value is {kind}, not a JSON object"),
        ));
    }
    if let Some(field) = fields.repeated {
        let message = format!("the field {} is there more than once", names[field]);
        return Err(Malformed::new(Reason::RepeatedField, message));
    }
    Ok(fields.slots)
}

/// The fields that are asked for.
struct Fields<'n, 'a, const N: usize> {
    names: &'n [&'static str; N],
    slots: [Slot<'a>; N],
    /// The one after the last that was found: writers keep an order, often this one.
    next: usize,
    /// The first name, in the order of `names`, that came twice.
    repeated: Option<usize>,
}

impl<'a, const N: usize> Fields<'_, 'a, N> {
    fn position(&mut self, name: &str) -> Option<usize> {
        let (before, from_next) = self.names.split_at(self.next);
        let is_name = |known: &&str| *known == name;
        let found = match from_next.iter().position(is_name) {
            Some(after) => self.next + after,
            None => before.iter().position(is_name)?,
        };
        self.next = found + 1;
        Some(found)
    }

    fn fill(&mut self, field: usize, found: Slot<'a>) {
        if !matches!(self.slots[field], Slot::Absent) {
            self.repeated = Some(self.repeated.map_or(field, |earlier| earlier.min(field)));
        }
        self.slots[field] = found;
    }
}

/// Where the text stops being JSON, and what should be there.
#[derive(Debug, Clone, Copy)]
struct Fault {
    at: usize,
    expected: &'static str,
}

impl Fault {
    fn malformed(self) -> Malformed {
        // What was found is not shown: it may be a voucher's code.
        let Self { at, expected } = self;
        Malformed::new(
            Reason::InvalidJson,
            format!("the JSON breaks at byte {}: expected {expected}", at + 1),
        )
    }
}

/// A string's text between the quotes, checked.
#[derive(Clone, Copy)]
struct Quoted<'a> {
    body: &'a str,
    has_escapes: bool,
}

impl<'a> Quoted<'a> {
    fn unescaped(self) -> Cow<'a, str> {
        if self.has_escapes {
            unescape(self.body).into()
        } else {
            self.body.into()
        }
    }
}

#[derive(Clone, Copy)]
struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    /// The whole document; the kind of value if it is no object.
    fn document<const N: usize>(
        &mut self,
        fields: &mut Fields<'_, 'a, N>,
    ) -> Result<Option<&'static str>, Fault> {
        self.space();
        if self.peek() != Some(b'{') {
            return self.value(0).map(|slot| Some(slot.kind()));
        }
        self.object(|scanner, name| {
            let field = match name.has_escapes {
                false => fields.position(name.body),
                true => fields.position(&unescape(name.body)),
            };
            match field {
                Some(field) => fields.fill(field, scanner.value(1)?),
                None => scanner.skip_value(1)?,
            }
            Ok(())
        })?;
        Ok(None)
    }

    /// Any value, the scanner at its first byte. `depth` counts the arrays and objects around it.
    fn value(&mut self, depth: usize) -> Result<Slot<'a>, Fault> {
        match self.peek() {
            Some(b'"') => {
                let quoted = self.string()?;
                Ok(Slot::Text(quoted.unescaped()))
            }
            Some(b'-' | b'0'..=b'9') => self.number().map(Slot::Number),
            Some(b'{') => self
                .skip_object(depth + 1)
                .map(|()| Slot::Other("an object")),
            Some(b'[') => self.skip_array(depth + 1).map(|()| Slot::Other("an array")),
            Some(b'n') => self.word("null").map(|()| Slot::Null),
            Some(b't') => self.word("true").map(|()| Slot::Other("a boolean")),
            Some(b'f') => self.word("false").map(|()| Slot::Other("a boolean")),
            _ => Err(self.fault("a value")),
        }
    }

    /// Checks a value without keeping it.
    fn skip_value(&mut self, depth: usize) -> Result<(), Fault> {
        match self.peek() {
            Some(b'"') => self.string().map(drop),
            _ => self.value(depth).map(drop),
        }
    }

    fn skip_object(&mut self, depth: usize) -> Result<(), Fault> {
        self.enter(depth)?;
        self.object(|scanner, _| scanner.skip_value(depth))
    }

    fn skip_array(&mut self, depth: usize) -> Result<(), Fault> {
        self.enter(depth)?;
        self.at += 1;
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

    /// An object, the scanner at its brace; `member` gets each name and reads its value.
    fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, Quoted<'a>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.at += 1;
        self.space();
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.fault("a field's name in quotes"));
            }
            let name = self.string()?;
            self.space();
            if !self.take(b':') {
                return Err(self.fault("a colon"));
            }
            self.space();
            member(self, name)?;
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

    fn enter(&self, depth: usize) -> Result<(), Fault> {
        if depth > DEEPEST {
            Err(self.fault("at most 128 levels of nesting"))
        } else {
            Ok(())
        }
    }

    /// A string, the scanner at its first quote.
    fn string(&mut self) -> Result<Quoted<'a>, Fault> {
        let start = self.at + 1;
        self.at = start;
        let mut has_escapes = false;
        loop {
            self.at = plain_until(self.text.as_bytes(), self.at);
            match self.peek() {
                Some(b'"') => {
                    let body = &self.text[start..self.at];
                    self.at += 1;
                    return Ok(Quoted { body, has_escapes });
                }
                Some(b'\\') => {
                    has_escapes = true;
                    self.escape()?;
                }
                Some(_) => return Err(self.fault("no control character within a string")),
                None => return Err(self.fault("the end of the string")),
            }
        }
    }

    /// One escape, or the two of a surrogate pair, the scanner at the backslash.
    fn escape(&mut self) -> Result<char, Fault> {
        self.at += 1;
        let plain = match self.peek() {
            Some(plain @ (b'"' | b'\\' | b'/')) => plain.into(),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            _ => return Err(self.fault("an escape that JSON has")),
        };
        self.at += 1;
        Ok(plain)
    }

    fn unicode_escape(&mut self) -> Result<char, Fault> {
        const SURROGATES: &str = "a pair of surrogates";
        let start = *self;
        let first = self.utf16_unit()?;
        let second = match first {
            0xd800..=0xdbff if self.text[self.at..].starts_with("\\u") => {
                self.at += 1;
                Some(self.utf16_unit()?)
            }
            _ => None,
        };
        char::decode_utf16([first].into_iter().chain(second))
            .next()
            .and_then(Result::ok)
            .ok_or_else(|| start.fault(SURROGATES))
    }

    /// The number of four hexadecimal digits, the scanner at the `u` before them.
    fn utf16_unit(&mut self) -> Result<u16, Fault> {
        let mut unit = 0;
        for _ in 0..4 {
            self.at += 1;
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            let digit = digit.ok_or_else(|| self.fault("four hexadecimal digits"))?;
            unit = unit << 4 | digit as u16;
        }
        self.at += 1;
        Ok(unit)
    }

    /// A number's text, the scanner at its first byte.
    fn number(&mut self) -> Result<&'a str, Fault> {
        let start = self.at;
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
        Ok(&self.text[start..self.at])
    }

    /// At least one digit.
    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start {
            Err(self.fault("a digit"))
        } else {
            Ok(())
        }
    }

    fn word(&mut self, word: &'static str) -> Result<(), Fault> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.fault("a value"));
        }
        self.at += word.len();
        Ok(())
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn fault(&self, expected: &'static str) -> Fault {
        Fault {
            at: self.at,
            expected,
        }
    }
}

/// The text of a checked string's body.
fn unescape(body: &str) -> String {
    let mut scanner = Scanner { text: body, at: 0 };
    let mut text = String::with_capacity(body.len());
    while scanner.at < body.len() {
        let start = scanner.at;
        scanner.at = plain_until(body.as_bytes(), start);
        text.push_str(&body[start..scanner.at]);
        if scanner.at < body.len() {
            text.push(
                scanner
                    .escape()
                    .expect("the escapes of the string have been checked"),
            );
        }
    }
    text
}

/// Where, from `at` on, the first quote, backslash or control character is; else the end.
///
/// Takes eight bytes at a time: a byte of `hits` has its high bit set if the byte there is one of
/// them. A borrow can set bits only above a true hit, so the lowest is always true. With bit 1
/// flipped the quote comes right behind the control characters, which change places among
/// themselves: one comparison finds them all.
/// Source: Sean Eron Anderson, "Bit Twiddling Hacks", "Determine if a word has a byte less than n".
fn plain_until(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = u64::from_le_bytes([0x01; 8]);
    const HIGHS: u64 = u64::from_le_bytes([0x80; 8]);
    const fn below(word: u64, limit: u8) -> u64 {
        word.wrapping_sub(ONES * limit as u64) & !word & HIGHS
    }
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let word = u64::from_le_bytes(*chunk);
        let quotes_and_controls = below(word ^ (ONES * 0x02), b' ' + 1);
        let backslashes = below(word ^ (ONES * b'\\' as u64), 1);
        let hits = quotes_and_controls | backslashes;
        if hits != 0 {
            return at + (hits.trailing_zeros() / 8) as usize;
        }
        at += size_of::<u64>();
    }
    let is_hit = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..b' ');
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().position(is_hit).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests;
