//! Fetching keys into the cache before the commands that use them.
//!
//! With many keys a look-up is three or four waits for memory, one after the other: the leaf, the entry, the record. A
//! pipeline tells its keys ahead. Here they take each step together, so that their waits overlap.

use super::{Keyspace, Place};
use crate::pmemkv::prefetch;

/// Keys fetched together: about as many as a core can wait for at a time.
pub const PREFETCHED: usize = 16;

/// A key that is going to be used.
#[derive(Clone, Copy, Debug)]
pub struct Ahead<'a> {
    /// Its database.
    pub db: usize,
    /// The key.
    pub key: &'a [u8],
    /// Whether its value is going to be read.
    pub value: bool,
}

impl Keyspace {
    /// Fetches what the index and the store know of up to [`PREFETCHED`] keys. Changes nothing; keys that are locked for
    /// writing are left out.
    pub fn prefetch(&self, keys: &[Ahead<'_>]) {
        let mut places = [Place { hash: 0, shard: 0 }; PREFETCHED];
        let places = &mut places[..keys.len().min(PREFETCHED)];
        for (place, ahead) in places.iter_mut().zip(keys) {
            *place = self.place(ahead.key);
            if let Some(shard) = self.shards[place.shard].try_read()
                && let Some(table) = shard.table(self.generation(ahead.db))
            {
                table.index.prefetch_leaf(place.hash);
            }
        }
        for (place, ahead) in places.iter().zip(keys) {
            if let Some(shard) = self.shards[place.shard].try_read()
                && let Some(table) = shard.table(self.generation(ahead.db))
            {
                table.index.prefetch_entry(place.hash);
            }
        }
        for (place, ahead) in places.iter().zip(keys) {
            if let Some(shard) = self.shards[place.shard].try_read()
                && let Some(table) = shard.table(self.generation(ahead.db))
                && let Some(entry) = table.index.likely(place.hash)
            {
                // A long key lies outside its entry.
                prefetch(entry.key().as_ptr());
                if ahead.value {
                    self.store.prefetch(entry.location);
                }
            }
        }
    }
}
