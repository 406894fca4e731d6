//! Places records without an explicit partition as Java clients do: murmur2 of the key; records without a key in turn.
//!
//! Used by the logs in this process; Kafka's own client does the same (`murmur2_random`). Source of the hash:
//! MurmurHash2 (A. Appleby, public domain) with the seed and sign mask of Apache Kafka's `Utils.murmur2`.

use crate::record::Partition;

/// The partition of a key among `partitions`.
#[must_use]
pub fn of_key(key: &[u8], partitions: u32) -> Partition {
    Partition((murmur2(key) & 0x7fff_ffff) % partitions)
}

fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let len = u32::try_from(data.len()).expect("keys are far below 4 GiB");
    let mut h = 0x9747_b28c_u32 ^ len;
    let (words, tail) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k = (k ^ (k >> 24)).wrapping_mul(M);
        h = h.wrapping_mul(M) ^ k;
    }
    if !tail.is_empty() {
        for (i, byte) in tail.iter().enumerate() {
            h ^= u32::from(*byte) << (8 * i);
        }
        h = h.wrapping_mul(M);
    }
    h = (h ^ (h >> 13)).wrapping_mul(M);
    h ^ (h >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_match_apache_kafka() {
        // Test vectors from org.apache.kafka.common.utils.UtilsTest.testMurmur2.
        for (key, hash) in [
            ("21", -973_932_308_i32),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
        }
    }
}
