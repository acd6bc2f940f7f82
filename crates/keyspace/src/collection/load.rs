//! Builds collections while the pool is loaded: collects elements by collection id and builds a collection when its
//! anchor is known.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::{Mutex, MutexGuard, RwLock};

use super::elements::{Anchor, decode_score};
use super::records::{CollectionRecords, ElementRecord, RecordsById, register};
use super::scores::{ScoreIndex, Scored};
use super::source::Source;
use super::stream::{RecordName, StreamParts, is_open_node, record_key};
use super::{Collection, Encoding, KeyPlace, REGISTERS, Shape, has_anchor};
use crate::index::{Index, IndexKey};
use crate::loading::{Loading, on_threads};
use crate::{KeyspaceError, Kind, SHARDS};
use store::{Location, Visited, prefetch};

/// Loading fetches names this many elements ahead into the processor's cache.
const PREFETCHED: usize = 8;

/// Elements whose anchors loading has not read yet.
#[derive(Debug)]
pub(in super::super) struct UnclaimedElements {
    registers: Vec<Mutex<RecordsById>>,
    /// Which partitions loading has read.
    read: Vec<AtomicBool>,
    /// Only for stores with partitions: the generation and key's hash of each anchor that loading has read, by id, and
    /// the collections it has built.
    anchors: Mutex<Anchors>,
}

#[derive(Debug, Default)]
struct Anchors {
    generations: HashMap<u64, AnchorPlace>,
    collections: Vec<u64>,
}

/// Where a collection's anchor lies: the generation of its database, the hash of its key, and the encoding that it tells.
type AnchorPlace = (u32, u64, Option<Encoding>);

/// The generation of a collection whose anchor loading has not read yet.
const NO_GENERATION: u32 = u32::MAX - 3;

/// In a larger collection, loading does not look for the order in which the elements came.
const NUMBERED_MAX: usize = 512;

/// A collection with this many elements is built after the small ones.
const LARGE: usize = 1 << 14;

/// A key whose value is a collection.
#[derive(Clone, Debug)]
pub(super) struct AnchorKey {
    pub generation: u32,
    pub hash: u64,
    pub key: IndexKey,
}

/// A collection whose anchor was found.
pub(super) struct Claim {
    pub shard: usize,
    pub anchor: AnchorKey,
    pub id: u64,
    pub encoding: Option<Encoding>,
    pub kind: Kind,
    pub records: CollectionRecords,
}

impl Claim {
    /// The estimated effort of building it, relative to the others.
    pub fn work(&self) -> usize {
        let len = self.records.len();
        match self.kind {
            Kind::List => len / 4,
            // A stream's records are read, and a sorted set has two orders to build.
            Kind::Stream | Kind::SortedSet => len * 2,
            _ => len,
        }
    }
}

impl UnclaimedElements {
    /// Creates the state in which nothing has been read.
    pub fn new(partitions: usize) -> Self {
        Self {
            registers: (0..REGISTERS).map(|_| Mutex::default()).collect(),
            read: (0..partitions).map(|_| AtomicBool::new(false)).collect(),
            anchors: Mutex::default(),
        }
    }

    /// Locks and returns the register of the collection with this id; it holds other collections too.
    pub(super) fn register(&self, id: u64) -> MutexGuard<'_, RecordsById> {
        self.registers[register(id)].lock()
    }

    /// Takes out what no anchor has named.
    pub(super) fn take_all(&self) -> Vec<CollectionRecords> {
        let registers = self.registers.iter();
        registers
            .flat_map(|register| std::mem::take(&mut *register.lock()).into_values())
            .collect()
    }

    /// Records that a collection's anchor was removed. Its elements may still be unread.
    pub fn anchor_is_gone(&self, id: u64) {
        self.anchors.lock().generations.remove(&id);
    }

    /// Records that a flush removed the anchors of all collections in this generation.
    pub fn anchors_are_gone(&self, generation: u32) {
        let generations = &mut self.anchors.lock().generations;
        generations.retain(|_, (of, ..)| *of != generation);
    }

    /// Whether loading has read the partition.
    pub fn is_read(&self, partition: usize) -> bool {
        self.read[partition].load(Ordering::Acquire)
    }
}

impl Loading<'_> {
    /// Gives each anchor its collection after everything was read (a store without partitions), and releases elements
    /// that no anchor names. Runs on `threads` threads.
    pub(in super::super) fn claim_collections(self, threads: usize) -> Result<(), KeyspaceError> {
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
        self.put_all_into_use(threads, large.into_inner(), &|| Ok(()), &|claim| {
            self.drop_anchor(
                &mut self.keyspace.shards[claim.shard].write(),
                &claim.anchor,
            )
        })?;
        let mut orphans = 0usize;
        for records in self.keyspace.registry.unclaimed.take_all() {
            for location in records.live() {
                orphans += 1;
                self.keyspace.store.release(location)?;
            }
        }
        if orphans > 0 {
            tracing::info!(
                elements = orphans,
                "released the elements that removed collections had left behind"
            );
        }
        Ok(())
    }

    /// Builds the collections of these claims on `threads` threads, as long as `check` lets them, and hands those without
    /// elements to `drop_empty`.
    pub(super) fn put_all_into_use(
        self,
        threads: usize,
        mut claims: Vec<Claim>,
        check: &(dyn Fn() -> Result<(), KeyspaceError> + Sync),
        drop_empty: &(dyn Fn(&Claim) -> Result<(), KeyspaceError> + Sync),
    ) -> Result<(), KeyspaceError> {
        // The largest go first, so that a thread that finishes early takes another one.
        claims.sort_unstable_by_key(Claim::work);
        let claims = Mutex::new(claims);
        on_threads(threads, || {
            loop {
                check()?;
                let claim = claims.lock().pop();
                let Some(mut claim) = claim else {
                    return Ok(());
                };
                let id = (claim.id, claim.encoding);
                let place = (claim.anchor.generation, Some(claim.anchor.hash));
                let records = std::mem::take(&mut claim.records);
                if !self.put_into_use(id, place, claim.kind, records)? {
                    drop_empty(&claim)?;
                }
            }
        })
    }

    fn claim_of_shard(self, number: usize, large: &Mutex<Vec<Claim>>) -> Result<(), KeyspaceError> {
        let mut shard = self.keyspace.shards[number].write();
        let mut empty = Vec::new();
        for table in &shard.tables {
            let generation = table.generation;
            let collections = table.index.iter();
            for entry in collections.filter(|entry| has_anchor(entry.stored_kind())) {
                let names = self.keyspace.names(generation);
                let one = table.index.named(entry, &names)?;
                let hash = self.keyspace.hashing.hash(&one.key);
                let anchor = self.keyspace.collections();
                let anchor = anchor.anchor_of(hash, generation, one.found())?;
                let Anchor { id, encoding } = anchor;
                self.keyspace.registry.seen(id);
                let loading = self.keyspace.loading();
                loading.found_collection(id, generation, &one.key);
                let anchor = || AnchorKey {
                    generation,
                    hash,
                    key: one.key.clone(),
                };
                let records = self.keyspace.registry.unclaimed.register(id).remove(&id);
                let there = match records {
                    Some(records) if records.len() >= LARGE => {
                        large.lock().push(Claim {
                            shard: number,
                            anchor: anchor(),
                            id,
                            encoding,
                            kind: entry.kind(),
                            records,
                        });
                        true
                    }
                    Some(records) => {
                        let place = (generation, Some(hash));
                        self.put_into_use((id, encoding), place, entry.kind(), records)?
                    }
                    None => false,
                };
                if !there {
                    empty.push(anchor());
                }
            }
        }
        for anchor in empty {
            self.drop_anchor(&mut shard, &anchor)?;
        }
        Ok(())
    }

    /// Builds a collection from its elements; returns whether there are any. Its anchor says the encoding, if that is known
    /// and not one of an earlier version. `place` is the generation of the collection's database and the hash of its key, as
    /// far as they are known.
    pub(super) fn put_into_use(
        self,
        (id, encoding): (u64, Option<Encoding>),
        place: (u32, Option<u64>),
        kind: Kind,
        mut records: CollectionRecords,
    ) -> Result<bool, KeyspaceError> {
        let (generation, key_hash) = place;
        let source = Source::new(self.keyspace, id);
        let dead = records.settle_open(|name| self.keyspace.hashing.hash(name));
        self.release_older(&dead)?;
        let mut collection = Collection::new(kind, self.keyspace.naming());
        if kind == Kind::Stream {
            return self.put_stream_into_use(id, place, records);
        }
        let (mut elements, older) = if kind == Kind::List {
            let (items, older) = records.list();
            collection.listpack_bytes = None;
            collection.shape = Shape::List(items);
            (Vec::new(), older)
        } else {
            records.elements()
        };
        self.release_older(&older)?;
        if kind != Kind::List {
            let few = Self::number_few(&source, kind, &mut elements)?;
            collection.shape = self.shape_of(&source, kind, elements)?;
            let limits = self.keyspace.form_limits();
            if few.is_none() {
                collection.encoding = Encoding::Full;
            }
            for (name, bytes) in few.into_iter().flatten() {
                collection.next_ordinal += 1;
                let len = usize::try_from(collection.next_ordinal).unwrap_or(usize::MAX);
                let encoding = limits.after(kind, collection.encoding, len, &name, bytes);
                collection.set_encoding(encoding, &source.names());
            }
        }
        collection.is_unmarked = true;
        collection.mark(encoding);
        if collection.len() == 0 {
            return Ok(false);
        }
        if let (Some(hash), true) = (key_hash, self.keyspace.gathering.is_pending()) {
            self.register_gathered(id, KeyPlace { generation, hash }, collection)?;
            return Ok(true);
        }
        self.keyspace
            .registry
            .note_memory(0, collection.memory_bytes());
        if let Some(key_hash) = key_hash {
            let deadlines = &self.keyspace.registry.deadlines;
            deadlines.found(
                id,
                collection.first_deadline(),
                KeyPlace {
                    generation,
                    hash: key_hash,
                },
            );
        }
        let shared = Arc::new(RwLock::new(collection));
        self.keyspace.registry.insert(id, generation, shared);
        Ok(true)
    }

    /// Stops counting older records of elements as live. Where elements are gathered, only those that count are counted.
    pub(super) fn release_older(self, older: &[Location]) -> Result<(), KeyspaceError> {
        if !self.keyspace.gathering.is_pending() {
            self.keyspace.store.release_all(older)?;
        }
        Ok(())
    }

    /// [`put_into_use`](Self::put_into_use) of a stream.
    fn put_stream_into_use(
        self,
        id: u64,
        (generation, key_hash): (u32, Option<u64>),
        records: CollectionRecords,
    ) -> Result<bool, KeyspaceError> {
        let source = Source::new(self.keyspace, id);
        let (elements, older) = records.elements();
        self.release_older(&older)?;
        let mut parts = StreamParts::default();
        let mut dead = Vec::new();
        let (open, others): (Vec<_>, Vec<_>) = elements
            .iter()
            .flatten()
            .partition(|found| is_open_node(&found.name, found.brief));
        for found in others {
            let (name, location) = (&*found.name, found.location);
            source.read(name, location, |value| parts.insert(name, value, location))??;
        }
        // Most open nodes have become part of a closed one: they need no reading.
        let closed_through = parts.closed_through();
        for found in open {
            let (name, location) = (&*found.name, found.location);
            match RecordName::decode(name) {
                Some(record @ RecordName::Node(ordinal)) if ordinal <= closed_through => {
                    dead.push((record, location));
                }
                _ => source.read(name, location, |value| parts.insert(name, value, location))??,
            }
        }
        let (stream, more) = parts.build(&source)?;
        dead.extend(more);
        if self.keyspace.partitioned {
            let dead = dead.into_iter();
            let dead = dead.map(|(name, location)| (record_key(id, name), location));
            self.keyspace
                .collections()
                .discard_later(id, dead.collect());
        } else {
            let dead: Vec<_> = dead.into_iter().map(|(_, location)| location).collect();
            self.release_older(&dead)?;
        }
        if stream.record_count() == 0 {
            return Ok(false);
        }
        let mut collection = Collection::new(Kind::Stream, self.keyspace.naming());
        collection.encoding = Encoding::Full;
        collection.shape = Shape::Stream(Box::new(stream));
        if let (Some(hash), true) = (key_hash, self.keyspace.gathering.is_pending()) {
            self.register_gathered(id, KeyPlace { generation, hash }, collection)?;
            return Ok(true);
        }
        self.keyspace
            .registry
            .note_memory(0, collection.memory_bytes());
        let shared = Arc::new(RwLock::new(collection));
        self.keyspace.registry.insert(id, generation, shared);
        Ok(true)
    }

    /// Builds the shape of a hash, a set or a sorted set.
    fn shape_of(
        self,
        source: &Source<'_>,
        kind: Kind,
        elements: Vec<Vec<ElementRecord>>,
    ) -> Result<Shape, KeyspaceError> {
        let count = elements.iter().map(Vec::len).sum();
        let mut index = Index::with_leaves_for(0, self.keyspace.naming(), count);
        let sorted = kind == Kind::SortedSet;
        let mut scored = Vec::with_capacity(if sorted { count } else { 0 });
        for bucket in elements {
            if sorted {
                for (at, found) in bucket.iter().enumerate() {
                    if let Some(ahead) = bucket.get(at + PREFETCHED) {
                        prefetch(ahead.name.as_ptr());
                    }
                    let name = &found.name;
                    let mut score = Some(f64::from_bits(found.brief));
                    if score.is_some_and(f64::is_nan) {
                        // The store keeps the score apart if the member's name is long.
                        score = source.read(name, found.location, decode_score)?;
                    }
                    let score =
                        score.ok_or(KeyspaceError::Failed("a member's score is damaged"))?;
                    let member = name.clone();
                    scored.push(Scored { score, member });
                }
            }
            for found in bucket {
                index.insert(found.hash, found.new_entry());
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
        elements: &mut [Vec<ElementRecord>],
    ) -> Result<Option<Vec<(IndexKey, usize)>>, KeyspaceError> {
        if elements.iter().map(Vec::len).sum::<usize>() > NUMBERED_MAX {
            return Ok(None);
        }
        let mut few: Vec<&mut ElementRecord> = elements.iter_mut().flatten().collect();
        few.sort_unstable_by_key(|found| found.sequence);
        let sizes = (0..).zip(few).map(|(ordinal, found)| {
            found.ordinal = ordinal;
            let bytes = match (kind, found.brief) {
                (Kind::Hash, 0) => source.read(&found.name, found.location, <[u8]>::len)?,
                (Kind::Hash, bytes) => usize::try_from(bytes).unwrap_or(usize::MAX),
                _ => 0,
            };
            Ok((found.name.clone(), bytes))
        });
        sizes.collect::<Result<_, _>>().map(Some)
    }

    /// Records the anchor of a collection in a store with partitions.
    pub(in super::super) fn note_anchor(self, record: &Visited<'_>) {
        if record.kind == Kind::String || record.kind.is_compact() {
            return;
        }
        if let Some(Anchor { id, encoding }) = Anchor::decode(record.value) {
            let registry = &self.keyspace.registry;
            registry.seen(id);
            let mut anchors = registry.unclaimed.anchors.lock();
            let hash = self.keyspace.hashing.hash(record.key);
            let place = (record.generation, hash, encoding);
            anchors.generations.insert(id, place);
            registry.moved(id, record.generation);
            if let Some(shared) = registry.get(id) {
                shared.write().mark(encoding);
            }
        }
    }

    /// Builds the collections of a partition that loading has read. All elements of such a collection lie in that
    /// partition.
    pub(in super::super) fn elements_read(
        self,
        partition: usize,
        found: Vec<(u64, ElementRecord)>,
    ) -> Result<(), KeyspaceError> {
        let mut by_id = RecordsById::default();
        for (id, found) in found {
            self.keyspace.registry.seen(id);
            by_id.entry(id).or_default().push(found);
        }
        for (id, records) in by_id {
            let Some(kind) = records.kind() else {
                continue;
            };
            self.put_into_use((id, None), (NO_GENERATION, None), kind, records)?;
            let registry = &self.keyspace.registry;
            let mut anchors = registry.unclaimed.anchors.lock();
            anchors.collections.push(id);
            if let Some(&(generation, _, encoding)) = anchors.generations.get(&id) {
                registry.moved(id, generation);
                if let Some(shared) = registry.get(id) {
                    shared.write().mark(encoding);
                }
            }
        }
        self.keyspace.registry.unclaimed.read[partition].store(true, Ordering::Release);
        Ok(())
    }

    /// Releases the collections that no anchor names, after loading has read all partitions.
    pub(in super::super) fn all_partitions_read(self) {
        let anchors = std::mem::take(&mut *self.keyspace.registry.unclaimed.anchors.lock());
        for id in anchors.collections {
            if let Some(&(generation, hash, _)) = anchors.generations.get(&id) {
                if let Some(shared) = self.keyspace.registry.get(id) {
                    let collection = shared.read();
                    let deadlines = &self.keyspace.registry.deadlines;
                    let key = KeyPlace { generation, hash };
                    deadlines.found(id, collection.first_deadline(), key);
                }
                continue;
            }
            if let Some(shared) = self.keyspace.registry.remove(id) {
                self.keyspace.collections().discard(id, shared, false);
            }
        }
    }
}
