//! Fetches keys into the processor's cache before the commands that use them.
//!
//! With many keys, a look-up waits for memory three or four times in sequence: for the leaf, the entry and the record.
//! A pipeline shows its next keys early. This module takes each step for all of these keys together, so that the waits
//! overlap. While commands wait for a disk, the store has the records read into memory, all at the same time.

use lock_order::ReadGuard;
use smallvec::SmallVec;

use super::Keyspace;
use super::hashing::shard_of;
use super::index::{Index, Likely};
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
    /// that are locked for writing. Returns the keys' hashes, for [`knowing`](Self::knowing).
    pub fn prefetch<'k>(&self, keys: impl IntoIterator<Item = Ahead<'k>>) -> Hashes {
        let mut hashes = Hashes::new();
        let mut last: Option<(&[u8], u64)> = None;
        // Locked once for the three steps. Nothing waits while they are.
        let mut shards = SmallVec::<[(u64, Ahead<'_>, ReadGuard<'_, Shard>); PREFETCHED]>::new();
        for ahead in keys.into_iter().take(PREFETCHED) {
            // Several commands in sequence often use the same list or hash.
            if let Some((key, hash)) = last
                && key == ahead.key
            {
                hashes.push(hash);
                continue;
            }
            let hash = self.hashing.hash(ahead.key);
            hashes.push(hash);
            last = Some((ahead.key, hash));
            if let Some(shard) = self.shards[shard_of(hash)].try_read() {
                shards.push((hash, ahead, shard));
            }
        }
        let mut fetched = Fetched::new();
        for (hash, ahead, shard) in &shards {
            let generation = self.generations.of(ahead.db);
            fetched.add(shard, generation, *hash, ahead.value);
        }
        fetched.fetch(self);
        hashes
    }

    /// Whether commands wait for a disk: to [`prefetch`](Self::prefetch) their keys pays for a single one too, if others can do the
    /// same before it runs.
    #[inline]
    pub fn waits_for_pages(&self) -> bool {
        self.store.waits_for_pages()
    }

    /// Runs a call that names a key, of which [`prefetch`](Self::prefetch) may have returned the hash.
    #[inline]
    pub fn knowing<R>(&self, known: Option<(&[u8], u64)>, run: impl FnOnce() -> R) -> R {
        match known {
            Some((key, hash)) => self.hashing.knowing(key, hash, run),
            None => run(),
        }
    }
}

/// The hashes of keys that were fetched, in their order.
pub type Hashes = SmallVec<[u64; PREFETCHED]>;

/// Keys of locked shards that are fetched, up to [`PREFETCHED`].
#[derive(Debug)]
pub(super) struct Fetched<'a> {
    wanted: SmallVec<[Option<Wanted<'a>>; PREFETCHED]>,
    likely: SmallVec<[Option<Likely<'a>>; PREFETCHED]>,
}

/// A key to fetch.
#[derive(Clone, Copy, Debug)]
struct Wanted<'a> {
    index: &'a Index,
    hash: u64,
    /// As in [`Ahead`].
    value: bool,
}

impl<'a> Fetched<'a> {
    /// No keys.
    pub(super) fn new() -> Self {
        Self {
            wanted: SmallVec::new(),
            likely: SmallVec::new(),
        }
    }

    /// Forgets the keys.
    pub(super) fn clear(&mut self) {
        self.wanted.clear();
        self.likely.clear();
    }

    /// Adds a key, and has its leaf fetched.
    #[inline]
    pub(super) fn add(&mut self, shard: &'a Shard, generation: u32, hash: u64, value: bool) {
        let table = shard.table(generation);
        self.wanted.push(table.map(|table| {
            table.index.prefetch_leaf(hash);
            Wanted {
                index: &table.index,
                hash,
                value,
            }
        }));
    }

    /// Has the keys' entries fetched, and then their records.
    pub(super) fn fetch(&mut self, keyspace: &Keyspace) {
        let Self { wanted, likely } = self;
        likely.extend(wanted.iter().map(|wanted| {
            let Wanted { index, hash, .. } = (*wanted)?;
            index.prefetch_entry(hash)
        }));
        for (wanted, likely) in wanted.iter().zip(likely.iter()) {
            if let (Some(Wanted { index, value, .. }), Some(likely)) = (wanted, likely) {
                let location = index.location(likely.entry);
                if *value {
                    keyspace.store.prefetch(location);
                } else {
                    keyspace.store.prefetch_name(location);
                }
            }
        }
    }

    /// Where the key that was added as number `i` most likely is, as long as its shard stays locked.
    #[inline]
    pub(super) fn likely(&self, i: usize) -> Option<Likely<'a>> {
        self.likely.get(i).copied().flatten()
    }
}
