//! Writes Avro's binary encoding of the types that our schemas use.
//!
//! Source: Avro 1.12 specification, "Binary Encoding".

use crate::decimal::minimal_bytes;

/// Appends a long, an int, a timestamp, a length or a branch: zigzag, then seven bits in each byte, the
/// lowest first.
pub(crate) fn long(value: i64, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Appends a string: its length in bytes, then UTF-8.
pub(crate) fn string(text: &str, out: &mut Vec<u8>) {
    bytes(text.as_bytes(), out);
}

/// Appends the unscaled integer of a decimal of the type bytes, in the fewest bytes that hold it.
pub(crate) fn decimal(unscaled: i128, out: &mut Vec<u8>) {
    minimal_bytes(unscaled, |unscaled| bytes(unscaled, out));
}

fn bytes(content: &[u8], out: &mut Vec<u8>) {
    long(content.len() as i64, out);
    out.extend_from_slice(content);
}
