//! The hash of keys: it decides in which shard and partition a key lies.

use std::cell::Cell;
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

    /// As [`hash`](Self::hash), of a key that a call names: perhaps the thread [knows](Self::knowing) it.
    #[inline]
    pub(super) fn hash_of_key(&self, key: &[u8]) -> u64 {
        let known = KNOWN_KEY.get();
        if known.is(self, key) {
            known.hash
        } else {
            self.hash(key)
        }
    }

    /// The same of an element.
    #[inline]
    pub(super) fn hash_of_element(&self, name: &[u8]) -> u64 {
        let known = KNOWN_ELEMENT.get();
        if known.is(self, name) {
            known.hash
        } else {
            self.hash(name)
        }
    }

    /// Has this thread know a key's hash while `run` runs, and perhaps an element's. It knows each by where it lies: the bytes
    /// there are borrowed, so they stay as they are until then.
    #[inline]
    pub(super) fn knowing<R>(
        &self,
        key: (&[u8], u64),
        element: Option<(&[u8], u64)>,
        run: impl FnOnce() -> R,
    ) -> R {
        let _forget = Forget {
            element: element.is_some(),
        };
        KNOWN_KEY.set(self.known(key));
        if let Some(element) = element {
            KNOWN_ELEMENT.set(self.known(element));
        }
        run()
    }

    #[inline]
    fn known(&self, (name, hash): (&[u8], u64)) -> Known {
        debug_assert_eq!(hash, self.hash(name), "the hash of another name");
        Known {
            start: name.as_ptr().addr(),
            len: name.len(),
            seed: self.seed,
            hash,
        }
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

/// A name whose hash is known.
#[derive(Clone, Copy)]
struct Known {
    start: usize,
    len: usize,
    /// Of the pool that the hash is for.
    seed: u64,
    hash: u64,
}

impl Known {
    #[inline]
    fn is(self, hashing: &Hashing, name: &[u8]) -> bool {
        let is_it = self.start == name.as_ptr().addr() && self.len == name.len();
        is_it && self.seed == hashing.seed
    }
}

/// No name lies there.
const UNKNOWN: Known = Known {
    start: 0,
    len: 0,
    seed: 0,
    hash: 0,
};

thread_local! {
    static KNOWN_KEY: Cell<Known> = const { Cell::new(UNKNOWN) };
    static KNOWN_ELEMENT: Cell<Known> = const { Cell::new(UNKNOWN) };
}

/// Forgets the known names, also where a call panics.
struct Forget {
    /// Whether an element is known.
    element: bool,
}

impl Drop for Forget {
    #[inline]
    fn drop(&mut self) {
        KNOWN_KEY.set(UNKNOWN);
        if self.element {
            KNOWN_ELEMENT.set(UNKNOWN);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_key_is_known_where_it_lies_and_not_for_longer() {
        let (hashing, other) = (Hashing::new(7, 1), Hashing::new(8, 1));
        let mut name = b"a key".to_vec();
        let hash = hashing.hash(&name);
        let element = (&name[2..], hashing.hash(b"key"));
        hashing.knowing((&name, hash), Some(element), || {
            assert_eq!(KNOWN_KEY.get().hash, hash);
            assert_eq!(KNOWN_ELEMENT.get().hash, element.1);
            assert_eq!(hashing.hash_of_element(&name[2..]), element.1);
            assert_eq!(hashing.hash_of_element(&name), hash);
            assert_eq!(hashing.hash_of_key(&name), hash);
            // A part of it is another key, and another pool has another hash.
            assert_eq!(hashing.hash_of_key(&name[..3]), hashing.hash(b"a k"));
            assert_eq!(hashing.hash_of_key(&name[1..]), hashing.hash(b" key"));
            assert_eq!(other.hash_of_key(&name), other.hash(b"a key"));
        });
        name[0] = b'b';
        assert_eq!(hashing.hash_of_key(&name), hashing.hash(b"b key"));
        let failed = std::panic::catch_unwind(|| {
            let known = (&name[..], hashing.hash(b"b key"));
            hashing.knowing(known, Some(known), || panic!("the call fails"));
        });
        assert!(failed.is_err() && KNOWN_KEY.get().start == 0);
        assert_eq!(KNOWN_ELEMENT.get().start, 0);
    }
}
