//! Fetches keys into the processor's cache before the commands that use them.
//!
//! With many keys, a look-up waits for memory three or four times in sequence: for the leaf, the entry and the record.
//! A pipeline shows its next keys early. This module takes each step for all of these keys together, so that the waits
//! overlap.

use smallvec::SmallVec;

use super::Keyspace;
use super::hashing::shard_of;

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
            if hashed.last().is_some_and(|(_, last)| last.key == ahead.key) {
                continue;
            }
            let hash = self.hashing.hash(ahead.key);
            hashed.push((hash, *ahead));
            if let Some(shard) = self.shards[shard_of(hash)].try_read()
                && let Some(table) = shard.table(self.generations.of(ahead.db))
            {
                table.index.prefetch_leaf(hash);
            }
        }
        for &(hash, ahead) in &hashed {
            if let Some(shard) = self.shards[shard_of(hash)].try_read()
                && let Some(table) = shard.table(self.generations.of(ahead.db))
            {
                table.index.prefetch_entry(hash);
            }
        }
        for &(hash, ahead) in &hashed {
            if let Some(shard) = self.shards[shard_of(hash)].try_read()
                && let Some(table) = shard.table(self.generations.of(ahead.db))
                && let Some(location) = table.index.likely(hash)
            {
                if ahead.value {
                    self.store.prefetch(location);
                } else {
                    self.store.prefetch_name(location);
                }
            }
        }
    }
}
