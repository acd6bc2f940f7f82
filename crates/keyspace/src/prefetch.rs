//! Fetching keys into the cache before the commands that use them.
//!
//! With many keys a look-up is three or four waits for memory, one after the other: the leaf, the entry, the record. A
//! pipeline tells its keys ahead. Here they take each step together, so that their waits overlap.

use smallvec::SmallVec;

use super::{Keyspace, Place};
use store::prefetch;

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
        let mut places = SmallVec::<[(Place, Ahead<'_>); PREFETCHED]>::new();
        for ahead in &keys[..keys.len().min(PREFETCHED)] {
            // Commands on one list or hash come one after the other.
            if places.last().is_some_and(|(_, last)| last.key == ahead.key) {
                continue;
            }
            let place = self.place(ahead.key);
            places.push((place, *ahead));
            if let Some(shard) = self.shards[place.shard].try_read()
                && let Some(table) = shard.table(self.generation(ahead.db))
            {
                table.index.prefetch_leaf(place.hash);
            }
        }
        for (place, ahead) in &places {
            if let Some(shard) = self.shards[place.shard].try_read()
                && let Some(table) = shard.table(self.generation(ahead.db))
            {
                table.index.prefetch_entry(place.hash);
            }
        }
        for (place, ahead) in &places {
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
