//! The partition of a key, as Kafka's own clients choose it.
//!
//! Java's default partitioner, the console producer and librdkafka's `murmur2_random` choose the same
//! one. librdkafka's own default does not, so a record of another writer may be in another partition.

use crate::record::Partition;

/// Returns the partition of `key` in a topic of this many partitions; `None` when it has none.
pub fn partition_of(key: &[u8], partitions: i32) -> Option<Partition> {
    // As Kafka's `Utils.toPositive`: the sign bit is cleared, the number is not negated.
    let positive = i32::try_from(murmur2(key) & 0x7fff_ffff).ok()?;
    positive.checked_rem(partitions)
}

/// Returns the MurmurHash 2 with Kafka's seed (`org.apache.kafka.common.utils.Utils.murmur2`).
fn murmur2(bytes: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    // Lengths have 32 bits in Kafka's protocol.
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let mut hash = 0x9747_b28c ^ length;
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        let mut last = [0; 4];
        last[..rest.len()].copy_from_slice(rest);
        hash = (hash ^ u32::from_le_bytes(last)).wrapping_mul(M);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors are those of Kafka's UtilsTest.testMurmur2.
    #[test]
    fn hashes_are_those_of_kafkas_own_tests() {
        let vectors: [(&str, i32); 6] = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            (
                "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58_897_971,
            ),
            ("abc", 479_470_107),
        ];
        for (text, hash) in vectors {
            assert_eq!(murmur2(text.as_bytes()).cast_signed(), hash, "{text}");
        }
    }

    #[test]
    fn the_sign_bit_is_cleared_and_an_empty_topic_has_no_partition() {
        // -973932308 & 0x7fffffff = 1173551340.
        assert_eq!(partition_of(b"21", 12), Some(1_173_551_340 % 12));
        assert_eq!(partition_of(b"21", 1), Some(0));
        assert_eq!(partition_of(b"21", 0), None);
    }
}
