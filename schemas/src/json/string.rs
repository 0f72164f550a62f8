//! The inside of a string: where it ends, and the characters of its escapes.

use std::borrow::Cow;

use crate::swar::{self, HIGHS, repeated};

/// Sets the highest bit of each byte that is a quote, a backslash or a control character. Above the
/// lowest such byte, highest bits of other bytes may be set too.
///
/// Flipping bit 1 turns the quote (0x22) into 0x20, next to the control characters (0x00 to 0x1f), which
/// stay in their range. So one comparison with 0x21 finds all of them. Only a true hit borrows.
#[inline(always)]
pub(super) const fn specials(word: u64) -> u64 {
    let quotes_and_controls = (word ^ repeated(0x02)).wrapping_sub(repeated(b' ' + 1));
    let backslashes = (word ^ repeated(b'\\')).wrapping_sub(repeated(1));
    (quotes_and_controls | backslashes) & !word & HIGHS
}

/// Counts the bytes before the first quote, backslash or control character, or before the end.
pub(super) fn plain_length(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let Some((chunk, after)) = rest.split_first_chunk() {
        let hits = specials(u64::from_le_bytes(*chunk));
        if hits != 0 {
            return bytes.len() - rest.len() + bytes_before(hits);
        }
        rest = after;
    }
    // The zeros that pad the rest count as control characters.
    bytes.len() - rest.len() + bytes_before(specials(swar::first(rest)))
}

/// Counts the bytes before the lowest hit.
#[inline(always)]
pub(super) const fn bytes_before(hits: u64) -> usize {
    (hits.trailing_zeros() / 8) as usize
}

/// The fault of an escape.
#[derive(Debug, Clone, Copy)]
pub(super) struct NoEscape {
    /// How many bytes after the backslash are valid.
    pub(super) after: usize,
    pub(super) expected: &'static str,
}

/// Reads one escape, or the two of a surrogate pair, from behind the backslash on. Returns its
/// character and how many bytes it takes.
pub(super) fn escape(text: &[u8]) -> Result<(char, usize), NoEscape> {
    let plain = match text.first() {
        Some(plain @ (b'"' | b'\\' | b'/')) => char::from(*plain),
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b'u') => return unicode_escape(text),
        _ => {
            return Err(NoEscape {
                after: 0,
                expected: "an escape that JSON has",
            });
        }
    };
    Ok((plain, 1))
}

fn unicode_escape(text: &[u8]) -> Result<(char, usize), NoEscape> {
    let mut length = 5;
    let first = utf16_unit(text, 1)?;
    let second = match first {
        0xd800..=0xdbff if text[length..].starts_with(b"\\u") => {
            let unit = utf16_unit(text, length + 2)?;
            length += 6;
            Some(unit)
        }
        _ => None,
    };
    char::decode_utf16([first].into_iter().chain(second))
        .next()
        .and_then(Result::ok)
        .map(|character| (character, length))
        .ok_or(NoEscape {
            after: 0,
            expected: "a pair of surrogates",
        })
}

/// Returns the number of the four hexadecimal digits at `start`.
fn utf16_unit(text: &[u8], start: usize) -> Result<u16, NoEscape> {
    (start..start + 4).try_fold(0, |unit, at| {
        let digit = text
            .get(at)
            .and_then(|byte| char::from(*byte).to_digit(16))
            .ok_or(NoEscape {
                after: at,
                expected: "four hexadecimal digits",
            })?;
        Ok(unit << 4 | digit as u16)
    })
}

/// Returns the text of a string whose escapes have been checked.
pub(super) fn unescape(body: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(body.len());
    let mut rest = body;
    while !rest.is_empty() {
        let (plain, from_escape) = rest.split_at(plain_length(rest));
        text.extend_from_slice(plain);
        rest = from_escape;
        if let [b'\\', escaped @ ..] = rest {
            let (character, length) =
                escape(escaped).expect("the escapes of the string have been checked");
            text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            rest = &escaped[length..];
        }
    }
    text
}

/// Returns the text of a value that is a JSON string and nothing else, `None` for anything else. The
/// text's UTF-8 is not checked.
pub(crate) fn string_alone(bytes: &[u8]) -> Option<Cow<'_, [u8]>> {
    let body = bytes.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let plain = plain_length(body);
    if plain == body.len() {
        return Some(body.into());
    }
    let mut rest = &body[plain..];
    while let Some((b'\\', escaped)) = rest.split_first() {
        let (_, length) = escape(escaped).ok()?;
        rest = &escaped[length..];
        rest = &rest[plain_length(rest)..];
    }
    rest.is_empty().then(|| unescape(body).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_ends_at_every_special_byte_at_every_place() {
        for length in 0..40 {
            for fill in [b'x', 0x7f, 0x80, 0xff, b'!', b' ', b'#', b'[', b']'] {
                assert_eq!(plain_length(&vec![fill; length]), length);
                for at in 0..length {
                    for special in [0, 1, 0x1f, b'"', b'\\'] {
                        let mut bytes = vec![fill; length];
                        bytes[at] = special;
                        assert_eq!(plain_length(&bytes), at, "{special} among {fill}");
                        bytes[length - 1] = special;
                        assert_eq!(plain_length(&bytes), at);
                    }
                }
            }
        }
    }
}
