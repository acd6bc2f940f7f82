//! Fetches keys into the processor's cache before the commands that use them.
//!
//! With many keys, a look-up waits for memory three or four times in sequence: for the leaf, the entry and the record.
//! A pipeline shows its next keys early. This module takes each step for all of these keys together, so that the waits
//! overlap. While commands wait for a disk, the store has the records read into memory, all at the same time.

use lock_order::ReadGuard;
use parking_lot::RwLockReadGuard;
use smallvec::SmallVec;

use super::Keyspace;
use super::collection::Collection;
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

/// The hashes of words that were fetched.
#[derive(Clone, Copy, Debug)]
pub struct AheadHashes {
    /// Of the key.
    pub key: u64,
    /// Of the element, if it was fetched.
    pub element: Option<u64>,
}

impl AheadHashes {
    fn key(key: u64) -> Self {
        Self { key, element: None }
    }
}

/// The hashes of all calls that were fetched, in their order.
pub type Hashes = SmallVec<[AheadHashes; PREFETCHED]>;

/// Words of a call whose hashes are known.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// A key with its hash.
    pub key: (&'a [u8], u64),
    /// An element's name with its hash.
    pub element: Option<(&'a [u8], u64)>,
}

impl<'a> Known<'a> {
    /// A key and its hash.
    pub fn key(key: (&'a [u8], u64)) -> Self {
        Self { key, element: None }
    }
}

/// Elements of a collection that has fewer lie in the processor's cache.
const ELEMENTS_FETCHED_MIN: usize = 512;

impl Keyspace {
    /// Fetches the index's and the store's data for up to [`PREFETCHED`] keys. It changes nothing, and it skips keys
    /// that are locked for writing. Returns the keys' hashes, for [`knowing`](Self::knowing).
    pub fn prefetch<'k>(&self, keys: impl IntoIterator<Item = Ahead<'k>>) -> Hashes {
        self.prefetch_with(keys, std::iter::empty)
    }

    /// As [`prefetch`](Self::prefetch), also for elements of collections. `elements` gives for each key the element of its
    /// collection that the command will use, if it holds one. Only those of the collections that were changed last are fetched.
    #[inline]
    pub fn prefetch_with<'k, E: Iterator<Item = Option<&'k [u8]>>>(
        &self,
        keys: impl IntoIterator<Item = Ahead<'k>>,
        elements: impl FnOnce() -> E,
    ) -> Hashes {
        let mut hashes = Hashes::new();
        let mut last: Option<(&[u8], u64)> = None;
        // Locked once for the three steps. Nothing waits while they are.
        let mut shards = SmallVec::<[(u64, Ahead<'_>, ReadGuard<'_, Shard>); PREFETCHED]>::new();
        for ahead in keys.into_iter().take(PREFETCHED) {
            // Several commands in sequence often use the same list or hash.
            if let Some((key, hash)) = last
                && key == ahead.key
            {
                hashes.push(AheadHashes::key(hash));
                continue;
            }
            let hash = self.hashing.hash(ahead.key);
            hashes.push(AheadHashes::key(hash));
            last = Some((ahead.key, hash));
            if let Some(shard) = self.shards[shard_of(hash)].try_read() {
                shards.push((hash, ahead, shard));
            }
        }
        let mut fetched = Fetched::new();
        let mut recent = SmallVec::<[Recent<'_>; 1]>::new();
        for (hash, ahead, shard) in &shards {
            let table = shard.table(self.generations.of(ahead.db));
            fetched.add_of(table.map(|table| &table.index), *hash, ahead.value);
            if let Some((.., collection)) =
                table.and_then(|table| table.recent_of(*hash, ahead.key))
                && let Some(collection) = collection.try_read()
            {
                recent.push((*hash, ahead.value, collection));
            }
        }
        if !recent.is_empty() {
            self.prefetch_elements(&recent, elements(), &mut hashes);
        }
        fetched.fetch(self);
        hashes
    }

    /// Fetches the elements of these collections, and notes the hashes of their names. There is one element, or none, for each of
    /// the hashes.
    fn prefetch_elements<'k>(
        &self,
        recent: &[Recent<'_>],
        elements: impl Iterator<Item = Option<&'k [u8]>>,
        hashes: &mut Hashes,
    ) {
        let mut fetched = Fetched::new();
        for (known, element) in hashes.iter_mut().zip(elements) {
            let (key, Some(element)) = (known.key, element) else {
                continue;
            };
            let of_key = recent.iter().find(|(hash, ..)| *hash == key);
            let Some((_, value, collection)) = of_key else {
                continue;
            };
            let index = collection.names();
            if index.is_some_and(|index| index.len() >= ELEMENTS_FETCHED_MIN) {
                let hash = self.hashing.hash(element);
                known.element = Some(hash);
                fetched.add_of(index, hash, *value);
            }
        }
        fetched.fetch(self);
    }

    /// Whether commands wait for a disk: to [`prefetch`](Self::prefetch) their keys pays for a single one too, if others can do the
    /// same before it runs.
    #[inline]
    pub fn waits_for_pages(&self) -> bool {
        self.store.waits_for_pages()
    }

    /// Runs a call of which [`prefetch`](Self::prefetch) may have returned hashes.
    #[inline]
    pub fn knowing<R>(&self, known: Option<Known<'_>>, run: impl FnOnce() -> R) -> R {
        match known {
            Some(Known { key, element }) => self.hashing.knowing(key, element, run),
            None => run(),
        }
    }
}

/// The collection that was changed last in a shard: the hash of its key, whether its values will be read, and itself.
type Recent<'a> = (u64, bool, RwLockReadGuard<'a, Collection>);

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
        self.add_of(table.map(|table| &table.index), hash, value);
    }

    /// Adds a name of an index, and has its leaf fetched.
    #[inline]
    fn add_of(&mut self, index: Option<&'a Index>, hash: u64, value: bool) {
        self.wanted.push(index.map(|index| {
            index.prefetch_leaf(hash);
            Wanted { index, hash, value }
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
