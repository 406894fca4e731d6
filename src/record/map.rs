//! The maps and hashes of the core: the same order and the same placement in every run and on every machine.
//!
//! Invariant: iteration follows insertion, and placement hashes *encoded* keys with a fixed function
//! (XXH3, 64 bits, seed 0), so neither depends on a compiler, a process or a random seed.

use super::Partition;
use xxhash_rust::xxh3::xxh3_64;

/// Insertion-ordered map with a fixed hasher.
pub type Map<K, V> = indexmap::IndexMap<K, V, foldhash::fast::FixedState>;

/// The fixed hash of encoded bytes: XXH3 (Y. Collet), 64 bits, seed 0.
#[must_use]
pub fn hash_bytes(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

/// The first 32 bits of [`hash_bytes`]: a short id of a name.
///
/// # Panics
/// Never: the upper half of 64 bits is 32 bits.
#[must_use]
pub fn short_hash(bytes: &[u8]) -> u32 {
    u32::try_from(hash_bytes(bytes) >> 32).expect("32 bits")
}

/// The state partition of an encoded key: the high bits of its hash scaled to `partitions`.
#[must_use]
pub fn partition_of(encoded_key: &[u8], partitions: u32) -> Partition {
    let scaled = (u128::from(hash_bytes(encoded_key)) * u128::from(partitions)) >> 64;
    Partition(u32::try_from(scaled).expect("below `partitions`, which is a u32"))
}
