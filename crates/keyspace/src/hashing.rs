//! The hash of keys: it decides in which shard and partition a key lies.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use store::RecordKey;

/// Upper bits of a key's hash that are the number of its shard.
pub(super) const SHARD_BITS: u32 = 8;
pub(super) const SHARDS: usize = 1 << SHARD_BITS;

/// The number of the shard that holds the keys with this hash.
#[inline]
#[allow(clippy::cast_possible_truncation)] // SHARD_BITS bits remain.
pub(super) fn shard_of(hash: u64) -> usize {
    (hash >> (64 - SHARD_BITS)) as usize
}

/// How keys are spread over shards, and shards over partitions.
#[derive(Debug)]
pub(super) struct Hashing {
    seed: u64,
    shards_per_partition: usize,
}

impl Hashing {
    /// The hashing of a pool with this seed and this many partitions.
    pub(super) fn new(seed: u64, partitions: usize) -> Self {
        Self {
            seed,
            shards_per_partition: SHARDS / partitions,
        }
    }

    /// The hash of a key or of an element's name.
    pub(super) fn hash(&self, key: &[u8]) -> u64 {
        // Stable over versions, since it spreads keys over a pool's partitions, and keyed by the pool's own seed,
        // since clients choose the keys.
        let mut hasher = SipHasher13::new_with_keys(self.seed, !self.seed);
        hasher.write(key);
        hasher.finish()
    }

    /// How many shards lie in one partition.
    pub(super) fn shards_per_partition(&self) -> usize {
        self.shards_per_partition
    }

    /// The partition that holds a shard's records.
    #[inline]
    pub(super) fn partition_of_shard(&self, shard: usize) -> usize {
        shard / self.shards_per_partition
    }

    /// The name in the store of the record under a key.
    #[inline]
    pub(super) fn record<'k>(&self, hash: u64, generation: u32, key: &'k [u8]) -> RecordKey<'k> {
        RecordKey {
            partition: self.partition_of_shard(shard_of(hash)),
            generation,
            key,
        }
    }
}
