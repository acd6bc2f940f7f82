//! Fetches keys into the processor's cache before the commands that use them.
//!
//! With many keys, a look-up waits for memory three or four times in sequence: for the leaf, the entry and the record.
//! A pipeline shows its next keys early. This module takes each step for all of these keys together, so that the waits
//! overlap.

use lock_order::ReadGuard;
use smallvec::SmallVec;

use super::Keyspace;
use super::hashing::shard_of;
use super::shard::Shard;

/// Keys that are fetched together: about as many memory reads as a core can have under way.
pub const PREFETCHED: usize = 16;

/// A key that a command will use soon.
#[derive(Clone, Copy, Debug)]
pub struct Ahead<'a> {
    /// Its database.
    pub db: usize,
    /// The key.
    pub key: &'a [u8],
    /// Whether the command will read the value. The index reads the key in the record anyway.
    pub value: bool,
}

impl Keyspace {
    /// Fetches the index's and the store's data for up to [`PREFETCHED`] keys. It changes nothing, and it skips keys
    /// that are locked for writing.
    pub fn prefetch(&self, keys: &[Ahead<'_>]) {
        let mut hashed = SmallVec::<[(u64, Ahead<'_>); PREFETCHED]>::new();
        for ahead in &keys[..keys.len().min(PREFETCHED)] {
            // Several commands in sequence often use the same list or hash.
            if hashed.last().is_none_or(|(_, last)| last.key != ahead.key) {
                hashed.push((self.hashing.hash(ahead.key), *ahead));
            }
        }
        let wanted = |&(hash, ahead): &(u64, Ahead<'_>)| Wanted {
            hash,
            generation: self.generations.of(ahead.db),
            value: ahead.value,
        };
        self.prefetch_hashed(hashed.iter().map(wanted));
    }

    /// Takes each of the three steps for all of these keys, which are up to [`PREFETCHED`].
    pub(super) fn prefetch_hashed(&self, keys: impl Iterator<Item = Wanted>) {
        // Locked once for the three steps. Nothing waits while they are.
        let mut shards = SmallVec::<[(Wanted, ReadGuard<'_, Shard>); PREFETCHED]>::new();
        for wanted in keys {
            if let Some(shard) = self.shards[shard_of(wanted.hash)].try_read()
                && let Some(table) = shard.table(wanted.generation)
            {
                table.index.prefetch_leaf(wanted.hash);
                shards.push((wanted, shard));
            }
        }
        for (wanted, shard) in &shards {
            if let Some(table) = shard.table(wanted.generation) {
                table.index.prefetch_entry(wanted.hash);
            }
        }
        for (wanted, shard) in &shards {
            if let Some(table) = shard.table(wanted.generation)
                && let Some(location) = table.index.likely(wanted.hash)
            {
                if wanted.value {
                    self.store.prefetch(location);
                } else {
                    self.store.prefetch_name(location);
                }
            }
        }
    }
}

/// A key to fetch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) hash: u64,
    pub(super) generation: u32,
    /// As in [`Ahead`].
    pub(super) value: bool,
}
