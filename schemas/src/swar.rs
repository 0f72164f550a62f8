//! SWAR (SIMD within a register): eight bytes at a time as one `u64`, a word. Most texts of a record
//! are about that long.
//!
//! The first byte is the lowest one. A comparison of all bytes sets the highest bit of each byte that
//! matches.
//! Source: Sean Eron Anderson, "Bit Twiddling Hacks", "Determine if a word has a byte less than n".

/// The highest bit of each byte.
pub(crate) const HIGHS: u64 = repeated(0x80);

/// Returns a word of eight times the same byte.
pub(crate) const fn repeated(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// Returns the first eight bytes, padded with zeros.
#[inline(always)]
pub(crate) fn first(bytes: &[u8]) -> u64 {
    match bytes.first_chunk() {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => short(bytes),
    }
}

/// Returns the first sixteen bytes, padded with zeros.
#[inline(always)]
pub(crate) fn first_two(bytes: &[u8]) -> u128 {
    if let Some(chunk) = bytes.first_chunk() {
        return u128::from_le_bytes(*chunk);
    }
    match (bytes.first_chunk(), bytes.last_chunk()) {
        // Where the two overlap, they are the same bytes.
        (Some(start), Some(end)) => {
            let end = u128::from(u64::from_le_bytes(*end)) << (8 * (bytes.len() - 8));
            u128::from(u64::from_le_bytes(*start)) | end
        }
        _ => short(bytes).into(),
    }
}

/// Returns fewer than eight bytes, padded with zeros.
#[inline(always)]
fn short(bytes: &[u8]) -> u64 {
    if let (Some(start), Some(end)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let end = u64::from(u32::from_le_bytes(*end)) << (8 * (bytes.len() - 4));
        return u64::from(u32::from_le_bytes(*start)) | end;
    }
    match *bytes {
        [] => 0,
        [a] => a.into(),
        [a, b] => u64::from_le_bytes([a, b, 0, 0, 0, 0, 0, 0]),
        [a, b, c, ..] => u64::from_le_bytes([a, b, c, 0, 0, 0, 0, 0]),
    }
}

/// Returns the big-endian unsigned number of at most eight bytes, `None` if there are more.
#[inline(always)]
pub(crate) fn big_endian(bytes: &[u8]) -> Option<u64> {
    match (bytes.first_chunk(), bytes.last_chunk()) {
        (Some(start), Some(end)) if bytes.len() <= 8 => {
            let start = u64::from(u32::from_be_bytes(*start)) << (8 * (bytes.len() - 4));
            Some(start | u64::from(u32::from_be_bytes(*end)))
        }
        (Some(_), _) => None,
        (None, _) => Some(
            bytes
                .iter()
                .fold(0, |value, byte| value << 8 | u64::from(*byte)),
        ),
    }
}

/// Returns whether all bytes are ASCII.
#[inline(always)]
pub(crate) fn is_ascii(bytes: &[u8]) -> bool {
    let Some(end) = bytes.last_chunk() else {
        return short(bytes) & HIGHS == 0;
    };
    let (chunks, _) = bytes.as_chunks();
    let seen = chunks.iter().fold(u64::from_le_bytes(*end), |seen, chunk| {
        seen | u64::from_le_bytes(*chunk)
    });
    seen & HIGHS == 0
}

/// Returns whether both are the same bytes, all of them ASCII and none a control character.
#[inline(always)]
pub(crate) fn are_same_plain(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    let differs = |one: [u8; 8], other: [u8; 8]| {
        let (one, other) = (u64::from_le_bytes(one), u64::from_le_bytes(other));
        (one ^ other) | unplain(one)
    };
    let (Some(one_end), Some(other_end)) = (one.last_chunk(), other.last_chunk()) else {
        return one == other && one.iter().all(|byte| matches!(byte, b' '..=b'~'));
    };
    let mut seen = differs(*one_end, *other_end);
    let ((ones, _), (others, _)) = (one.as_chunks(), other.as_chunks());
    for (one, other) in ones.iter().zip(others) {
        seen |= differs(*one, *other);
    }
    seen == 0
}

/// Returns a number other than zero if a byte is not in `' '..='~'`. Only such bytes borrow or carry,
/// so the lowest of them is always found.
#[inline(always)]
const fn unplain(word: u64) -> u64 {
    let controls = word.wrapping_sub(repeated(b' '));
    let delete = word.wrapping_add(repeated(0x7f - b'~'));
    (word | controls | delete) & HIGHS
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY_BYTE: std::ops::RangeInclusive<u8> = 0..=u8::MAX;

    #[test]
    fn few_bytes_are_padded_with_zeros() {
        let bytes: Vec<u8> = (1..=40).collect();
        for length in 0..40 {
            let bytes = &bytes[..length];
            let padded = |at: usize| bytes.get(at).copied().unwrap_or(0);
            let one: [u8; 8] = std::array::from_fn(padded);
            assert_eq!(first(bytes).to_le_bytes(), one);
            let two: [u8; 16] = std::array::from_fn(padded);
            assert_eq!(first_two(bytes).to_le_bytes(), two);
            let number = bytes.iter().try_fold(0_u64, |value, byte| {
                Some(value.checked_mul(256)? + u64::from(*byte))
            });
            assert_eq!(big_endian(bytes), number.filter(|_| length <= 8));
        }
    }

    #[test]
    fn a_byte_beyond_ascii_is_found_at_every_place() {
        for length in 1..40 {
            for at in 0..length {
                for byte in EVERY_BYTE {
                    for fill in [b'x', 0, 0x7f] {
                        let mut bytes = vec![fill; length];
                        bytes[at] = byte;
                        assert_eq!(is_ascii(&bytes), byte.is_ascii());
                    }
                }
            }
        }
        assert!(is_ascii(b""));
    }

    #[test]
    fn a_byte_that_is_not_plain_or_not_the_same_is_found_at_every_place() {
        for length in 1..40 {
            for at in 0..length {
                for byte in EVERY_BYTE {
                    for fill in [b' ', b'x', b'~'] {
                        let plain = vec![fill; length];
                        let mut bytes = plain.clone();
                        bytes[at] = byte;
                        let is_plain = matches!(byte, b' '..=b'~');
                        assert_eq!(are_same_plain(&bytes, &bytes), is_plain);
                        assert_eq!(are_same_plain(&bytes, &plain), byte == fill);
                        assert_eq!(are_same_plain(&plain, &bytes), byte == fill);
                    }
                }
            }
        }
    }

    #[test]
    fn texts_of_other_lengths_are_not_the_same() {
        let text = [b'x'; 40];
        for one in 0..40 {
            for other in 0..40 {
                assert_eq!(are_same_plain(&text[..one], &text[..other]), one == other);
            }
        }
    }
}
