//! Fetches keys into the processor's cache before the commands that use them.
//!
//! With many keys, a look-up waits for memory three or four times in sequence: for the leaf, the entry and the record.
//! A pipeline shows its next keys early. This module takes each step for all of these keys together, so that the waits
//! overlap.

use smallvec::SmallVec;

use super::{Keyspace, Place};
use store::prefetch;

/// Keys that are fetched together: about as many memory reads as a core can have under way.
pub const PREFETCHED: usize = 16;

/// A key that a command will use soon.
#[derive(Clone, Copy, Debug)]
pub struct Ahead<'a> {
    /// Its database.
    pub db: usize,
    /// The key.
    pub key: &'a [u8],
    /// Whether the command will read the value.
    pub value: bool,
}

impl Keyspace {
    /// Fetches the index's and the store's data for up to [`PREFETCHED`] keys. It changes nothing, and it skips keys
    /// that are locked for writing.
    pub fn prefetch(&self, keys: &[Ahead<'_>]) {
        let mut places = SmallVec::<[(Place, Ahead<'_>); PREFETCHED]>::new();
        for ahead in &keys[..keys.len().min(PREFETCHED)] {
            // Several commands in sequence often use the same list or hash.
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
