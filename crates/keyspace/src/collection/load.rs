//! Builds collections while the pool is loaded: collects elements by collection id and builds a collection when its
//! head is known.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::{Mutex, MutexGuard, RwLock};

use super::elements::decode_score;
use super::gather::{Found, FoundElement, Gathered, GatheredRegister, register};
use super::scores::{ScoreIndex, Scored};
use super::source::Source;
use super::{Collection, Encoding, REGISTERS, Shape};
use crate::index::{Index, IndexKey};
use crate::loading::on_threads;
use crate::shard::Shard;
use crate::{Keyspace, KeyspaceError, Kind, Place, SHARDS};
use store::Visited;
use store::prefetch;

/// Loading fetches names this many elements ahead into the processor's cache.
const PREFETCHED: usize = 8;

/// Elements whose heads loading has not read yet.
#[derive(Debug)]
pub(in super::super) struct LoadingElements {
    registers: Vec<Mutex<GatheredRegister>>,
    /// Which partitions loading has read.
    read: Vec<AtomicBool>,
    /// Only for stores with partitions: the generation of each head that loading has read, by id, and the collections
    /// it has built.
    heads: Mutex<Heads>,
}

#[derive(Debug, Default)]
struct Heads {
    generations: HashMap<u64, u32>,
    collections: Vec<u64>,
}

/// The generation of a collection whose head loading has not read yet.
const NO_GENERATION: u32 = u32::MAX - 2;

/// A collection with this many elements is built after the small ones.
const LARGE: usize = 1 << 14;

/// A key whose value is a collection.
struct Head {
    generation: u32,
    place: Place,
    key: IndexKey,
}

/// A large collection whose head was found.
struct Claim {
    shard: usize,
    head: Head,
    id: u64,
    kind: Kind,
    gathered: Gathered,
}

impl Claim {
    /// The estimated effort of building it, relative to the others.
    fn work(&self) -> usize {
        let len = self.gathered.len();
        match self.kind {
            Kind::List => len / 4,
            // A sorted set has two orders to build.
            Kind::SortedSet => len * 2,
            _ => len,
        }
    }
}

impl LoadingElements {
    /// Creates the state in which nothing has been read.
    pub fn new(partitions: usize) -> Self {
        Self {
            registers: (0..REGISTERS).map(|_| Mutex::default()).collect(),
            read: (0..partitions).map(|_| AtomicBool::new(false)).collect(),
            heads: Mutex::default(),
        }
    }

    /// Locks and returns the register of the collection with this id; it holds other collections too.
    pub(super) fn register(&self, id: u64) -> MutexGuard<'_, GatheredRegister> {
        self.registers[register(id)].lock()
    }

    /// Records that a collection's head was removed. Its elements may still be unread.
    pub fn head_is_gone(&self, id: u64) {
        self.heads.lock().generations.remove(&id);
    }

    /// Records that a flush removed the heads of all collections in this generation.
    pub fn heads_are_gone(&self, generation: u32) {
        let generations = &mut self.heads.lock().generations;
        generations.retain(|_, of| *of != generation);
    }

    /// Whether loading has read the partition.
    pub fn is_read(&self, partition: usize) -> bool {
        self.read[partition].load(Ordering::Acquire)
    }
}

impl Keyspace {
    /// Gives each head its collection after everything was read (a store without partitions), and releases elements
    /// that no head names. Runs on `threads` threads.
    pub(in super::super) fn claim_collections(&self, threads: usize) -> Result<(), KeyspaceError> {
        let next = AtomicUsize::new(0);
        let large = Mutex::new(Vec::new());
        on_threads(threads, || {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= SHARDS {
                    return Ok(());
                }
                self.claim_of_shard(number, &large)?;
            }
        })?;
        // The largest go first, so that a thread that finishes early takes another one.
        large.lock().sort_unstable_by_key(Claim::work);
        on_threads(threads, || {
            loop {
                let claim = large.lock().pop();
                let Some(claim) = claim else {
                    return Ok(());
                };
                let Claim { shard, head, .. } = claim;
                if !self.put_into_use(claim.id, head.generation, claim.kind, claim.gathered)? {
                    self.drop_head(&mut self.shards[shard].write(), &head)?;
                }
            }
        })?;
        let mut orphans = 0usize;
        for register in &self.collections.loading.registers {
            for (_, gathered) in std::mem::take(&mut *register.lock()) {
                for location in gathered.live() {
                    orphans += 1;
                    self.store.release(location)?;
                }
            }
        }
        if orphans > 0 {
            tracing::info!(
                elements = orphans,
                "what removed collections had left behind was let go of"
            );
        }
        Ok(())
    }

    fn claim_of_shard(
        &self,
        number: usize,
        large: &Mutex<Vec<Claim>>,
    ) -> Result<(), KeyspaceError> {
        let mut shard = self.shards[number].write();
        let mut headless = Vec::new();
        for table in &shard.tables {
            let generation = table.generation;
            for entry in table.index.iter() {
                if entry.kind() == Kind::String {
                    continue;
                }
                let place = self.place(entry.key());
                let id = self
                    .collection_id(place, generation, entry)?
                    .unwrap_or_default();
                self.collections.seen(id);
                let head = || Head {
                    generation,
                    place,
                    key: IndexKey::from_slice(entry.key()),
                };
                let gathered = self.collections.loading.register(id).remove(&id);
                let there = match gathered {
                    Some(gathered) if gathered.len() >= LARGE => {
                        large.lock().push(Claim {
                            shard: number,
                            head: head(),
                            id,
                            kind: entry.kind(),
                            gathered,
                        });
                        true
                    }
                    Some(gathered) => self.put_into_use(id, generation, entry.kind(), gathered)?,
                    None => false,
                };
                if !there {
                    headless.push(head());
                }
            }
        }
        for head in headless {
            self.drop_head(&mut shard, &head)?;
        }
        Ok(())
    }

    /// Removes a key whose collection has no elements.
    fn drop_head(&self, shard: &mut Shard, head: &Head) -> Result<(), KeyspaceError> {
        let key = &head.key;
        tracing::warn!(key = %key.escape_ascii(), "none of a collection's elements are readable: dropped");
        if let Some(table) = shard.table_mut(head.generation)
            && let Some(entry) = table.index.remove(head.place.hash, key)
        {
            self.store.release(entry.location)?;
        }
        Ok(())
    }

    /// Builds a collection from its elements; returns whether there are any.
    fn put_into_use(
        &self,
        id: u64,
        generation: u32,
        kind: Kind,
        gathered: Gathered,
    ) -> Result<bool, KeyspaceError> {
        let source = Source::new(self, id);
        let mut collection = Collection::new(kind);
        let (elements, older) = if kind == Kind::List {
            let (items, older) = gathered.list();
            collection.encoding = Encoding::Full;
            collection.shape = Shape::List(items);
            (Vec::new(), older)
        } else {
            gathered.elements()
        };
        for location in older {
            self.store.release(location)?;
        }
        if kind != Kind::List {
            let few = Self::number_few(&source, kind, &elements)?;
            collection.shape = self.shape_of(&source, kind, elements)?;
            if few.is_none() {
                collection.encoding = Encoding::Full;
            }
            for (name, bytes) in few.into_iter().flatten() {
                collection.next_ordinal += 1;
                collection.outgrow(&name, bytes);
            }
        }
        if collection.len() == 0 {
            return Ok(false);
        }
        self.collections.note_memory(0, collection.memory_bytes());
        let shared = Arc::new(RwLock::new(collection));
        self.collections.insert(id, generation, shared);
        Ok(true)
    }

    /// Builds the shape of a hash, a set or a sorted set.
    fn shape_of(
        &self,
        source: &Source<'_>,
        kind: Kind,
        elements: Vec<Vec<Found>>,
    ) -> Result<Shape, KeyspaceError> {
        let count = elements.iter().map(Vec::len).sum();
        let mut index = Index::with_leaves_for(0, count);
        let sorted = kind == Kind::SortedSet;
        let mut scored = Vec::with_capacity(if sorted { count } else { 0 });
        let hasher = |key: &[u8]| self.hash(key);
        for bucket in elements {
            if sorted {
                for (at, found) in bucket.iter().enumerate() {
                    if let Some(ahead) = bucket.get(at + PREFETCHED) {
                        prefetch(ahead.entry.key().as_ptr());
                    }
                    let name = found.entry.key();
                    let mut score = Some(f64::from_bits(found.brief));
                    if score.is_some_and(f64::is_nan) {
                        // The store keeps the score apart if the member's name is long.
                        score = source.read(name, found.entry.location, decode_score)?;
                    }
                    let score = score.ok_or_else(|| {
                        KeyspaceError::Store("a member's score is damaged".into())
                    })?;
                    let member = IndexKey::from_slice(name);
                    scored.push(Scored { score, member });
                }
            }
            for found in bucket {
                index.insert(found.hash, found.entry, &hasher);
            }
        }
        Ok(if sorted {
            Shape::Scores(Box::new(ScoreIndex::new(index, scored)))
        } else {
            Shape::Fields(index)
        })
    }

    /// Numbers the elements of a small collection in the order of their records; an overwritten element counts as new.
    /// Returns names and value lengths in that order, from which the caller finds the form that Redis would use.
    /// `None` if the collection is too large for any form but one.
    fn number_few(
        source: &Source<'_>,
        kind: Kind,
        elements: &[Vec<Found>],
    ) -> Result<Option<Vec<(IndexKey, usize)>>, KeyspaceError> {
        if elements.iter().map(Vec::len).sum::<usize>() > super::INTEGERS_MAX {
            return Ok(None);
        }
        let mut few: Vec<&Found> = elements.iter().flatten().collect();
        few.sort_unstable_by_key(|found| found.sequence);
        let sizes = (0..).zip(few).map(|(ordinal, found)| {
            found.entry.set_ordinal(ordinal);
            let bytes = match (kind, found.brief) {
                (Kind::Hash, 0) => {
                    source.read(found.entry.key(), found.entry.location, <[u8]>::len)?
                }
                (Kind::Hash, bytes) => usize::try_from(bytes).unwrap_or(usize::MAX),
                _ => 0,
            };
            Ok((IndexKey::from_slice(found.entry.key()), bytes))
        });
        sizes.collect::<Result<_, _>>().map(Some)
    }

    /// Records the head of a collection in a store with partitions.
    pub(in super::super) fn meet_head(&self, record: &Visited<'_>) {
        let id = record
            .value
            .first_chunk::<8>()
            .copied()
            .map(u64::from_le_bytes);
        if let Some(id) = id.filter(|_| record.kind != Kind::String) {
            self.collections.seen(id);
            let mut heads = self.collections.loading.heads.lock();
            heads.generations.insert(id, record.generation);
            self.collections.moved(id, record.generation);
        }
    }

    /// Builds the collections of a partition that loading has read. All elements of such a collection lie in that
    /// partition.
    pub(in super::super) fn elements_read(
        &self,
        partition: usize,
        found: Vec<FoundElement>,
    ) -> Result<(), KeyspaceError> {
        let mut by_id = GatheredRegister::default();
        for (id, found) in found {
            self.collections.seen(id);
            by_id.entry(id).or_default().push(found);
        }
        for (id, gathered) in by_id {
            let Some(kind) = gathered.kind() else {
                continue;
            };
            self.put_into_use(id, NO_GENERATION, kind, gathered)?;
            let mut heads = self.collections.loading.heads.lock();
            heads.collections.push(id);
            if let Some(&generation) = heads.generations.get(&id) {
                self.collections.moved(id, generation);
            }
        }
        self.collections.loading.read[partition].store(true, Ordering::Release);
        Ok(())
    }

    /// Releases the collections that no head names, after loading has read all partitions.
    pub(in super::super) fn all_partitions_read(&self) {
        let heads = std::mem::take(&mut *self.collections.loading.heads.lock());
        for id in heads.collections {
            if heads.generations.contains_key(&id) {
                continue;
            }
            if let Some(shared) = self.collections.remove(id) {
                self.discard_collection(id, shared, false);
            }
        }
    }
}
