//! Collections at the open: elements are gathered by id, and taken into use when their head is met.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use foldhash::fast::FixedState;
use parking_lot::{Mutex, RwLock};

use super::build::order_by_score;
use super::elements::{decode_label, decode_score, split_key};
use super::list::ListItem;
use super::view::Source;
use super::{Collection, REGISTERS, Shape};
use crate::keyspace::index::{Entry, Index, IndexKey};
use crate::keyspace::{Keyspace, KeyspaceError, Kind, SHARDS};
use crate::store::{Location, Visited};

/// An element's record that was met.
pub(in super::super) struct FoundElement {
    id: u64,
    found: Found,
}

impl FoundElement {
    /// `None` where the record's name is none of an element.
    pub fn new(keyspace: &Keyspace, record: &Visited<'_>) -> Option<Self> {
        let (id, name) = split_key(record.key)?;
        let found = Found {
            hash: keyspace.hash(name),
            name: IndexKey::from_slice(name),
            kind: record.kind,
            location: record.location,
            sequence: record.sequence,
            removed: record.removed,
        };
        Some(Self { id, found })
    }

    /// The number of the lock that it is gathered under.
    pub fn register(&self) -> usize {
        usize::try_from(self.id % REGISTERS as u64).unwrap_or(0)
    }
}

/// How many locks elements are gathered under.
pub(in super::super) const ELEMENT_REGISTERS: usize = REGISTERS;

/// What was met of a collection so far: of an element maybe several records.
#[derive(Debug, Default)]
struct Gathered {
    found: Vec<Found>,
}

/// One record of an element.
#[derive(Debug)]
struct Found {
    hash: u64,
    name: IndexKey,
    kind: Kind,
    location: Location,
    sequence: u64,
    removed: bool,
}

/// Some of the collections by id.
type GatheredRegister = HashMap<u64, Gathered, FixedState>;

/// Elements whose heads are not known yet.
#[derive(Debug)]
pub(in super::super) struct LoadingElements {
    registers: Vec<Mutex<GatheredRegister>>,
    /// Which partitions have been read.
    read: Vec<AtomicBool>,
    /// Stores with partitions: generation by the id of each head that was met, and the collections that were.
    heads: Mutex<Heads>,
}

#[derive(Debug, Default)]
struct Heads {
    generations: HashMap<u64, u32>,
    collections: Vec<u64>,
}

/// Of a collection whose head was not met yet.
const NO_GENERATION: u32 = u32::MAX - 2;

impl LoadingElements {
    /// Nothing was met yet.
    pub fn new(partitions: usize) -> Self {
        Self {
            registers: (0..REGISTERS).map(|_| Mutex::default()).collect(),
            read: (0..partitions).map(|_| AtomicBool::new(false)).collect(),
            heads: Mutex::default(),
        }
    }

    /// Whether a partition has been read.
    pub fn is_read(&self, partition: usize) -> bool {
        self.read[partition].load(Ordering::Acquire)
    }
}

impl Keyspace {
    /// Takes gathered elements of one register in.
    pub(in super::super) fn absorb_elements(&self, register: usize, found: &mut Vec<FoundElement>) {
        let mut by_id = self.collections.loading.registers[register].lock();
        let mut elements = found.drain(..).peekable();
        while let Some(first) = elements.next() {
            let id = first.id;
            self.collections.seen(id);
            let gathered = &mut by_id.entry(id).or_default().found;
            gathered.push(first.found);
            // Most often the neighbours belong to the same collection.
            while let Some(next) = elements.next_if(|next| next.id == id) {
                gathered.push(next.found);
            }
        }
    }

    /// The elements that count: of several records of one the last, unless it is a removal. They come in the order of
    /// their hashes, in which an index takes them one leaf after the other.
    fn last_records(&self, gathered: Gathered) -> Result<Vec<Found>, KeyspaceError> {
        let mut found = gathered.found;
        found.sort_unstable_by(|a, b| {
            let by_hash = a.hash.cmp(&b.hash);
            by_hash
                .then_with(|| a.name.cmp(&b.name))
                .then(a.sequence.cmp(&b.sequence))
        });
        let mut last: Vec<Found> = Vec::with_capacity(found.len());
        for next in found {
            if let Some(before) = last.last()
                && before.hash == next.hash
                && before.name == next.name
            {
                // A removal was never counted as stored.
                if !before.removed {
                    self.store.release(before.location)?;
                }
                last.pop();
            }
            last.push(next);
        }
        last.retain(|one| !one.removed);
        Ok(last)
    }

    /// Everything was read (a store without partitions): each head gets its collection, and what no head names is
    /// let go of. Runs on `threads` threads.
    pub(in super::super) fn claim_collections(&self, threads: usize) -> Result<(), KeyspaceError> {
        let next = AtomicUsize::new(0);
        let claim = || -> Result<(), KeyspaceError> {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= SHARDS {
                    return Ok(());
                }
                self.claim_of_shard(number)?;
            }
        };
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(claim)).collect();
            let mut result = claim();
            for other in others {
                let other = other.join().unwrap_or_else(|_| {
                    Err(KeyspaceError::Store("a reading thread panicked".into()))
                });
                result = result.and(other);
            }
            result
        })?;
        let mut orphans = 0usize;
        for register in &self.collections.loading.registers {
            for (_, gathered) in std::mem::take(&mut *register.lock()) {
                let stored = gathered.found.iter().filter(|found| !found.removed);
                for found in stored {
                    orphans += 1;
                    self.store.release(found.location)?;
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

    fn claim_of_shard(&self, number: usize) -> Result<(), KeyspaceError> {
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
                let register = usize::try_from(id % REGISTERS as u64).unwrap_or(0);
                let gathered = self.collections.loading.registers[register]
                    .lock()
                    .remove(&id);
                let mut elements = self.last_records(gathered.unwrap_or_default())?;
                elements.retain(|one| one.kind == entry.kind());
                if elements.is_empty() {
                    headless.push((generation, place, IndexKey::from_slice(entry.key())));
                } else {
                    self.put_into_use(id, generation, entry.kind(), &elements)?;
                }
            }
        }
        for (generation, place, key) in headless {
            tracing::warn!(key = %key.escape_ascii(), "none of a collection's elements are readable: dropped");
            if let Some(table) = shard.table_mut(generation)
                && let Some(entry) = table.index.remove(place.hash, &key)
            {
                self.store.release(entry.location)?;
            }
        }
        Ok(())
    }

    /// Makes a collection of its elements, which come in the order of their hashes.
    fn put_into_use(
        &self,
        id: u64,
        generation: u32,
        kind: Kind,
        elements: &[Found],
    ) -> Result<(), KeyspaceError> {
        let source = Source::new(self, id);
        let mut collection = Collection::new(kind);
        let index = || {
            let mut index = Index::with_leaves_for(0, elements.len());
            let hasher = |key: &[u8]| self.hash(key);
            for one in elements {
                let entry = Entry::new(&one.name, kind, one.location, None, 0);
                index.insert(one.hash, entry, &hasher);
            }
            index
        };
        collection.shape = match kind {
            Kind::List => {
                let labelled = elements.iter().filter_map(|one| {
                    Some(ListItem {
                        label: decode_label(&one.name)?,
                        location: one.location,
                    })
                });
                let mut items: Vec<ListItem> = labelled.collect();
                items.sort_unstable_by_key(|item| item.label);
                Shape::List(items.into_iter().collect())
            }
            Kind::SortedSet => {
                let score = |entry: &Entry| {
                    let score = source.read(entry.key(), entry.location, decode_score)?;
                    score.ok_or_else(|| KeyspaceError::Store("a member's score is damaged".into()))
                };
                Shape::Scores(order_by_score(index(), score)?)
            }
            Kind::Hash | Kind::Set | Kind::String => Shape::Fields(index()),
        };
        Self::note_encoding(&mut collection, &source)?;
        self.collections.note_memory(0, collection.memory_bytes());
        let shared = Arc::new(RwLock::new(collection));
        self.collections.insert(id, generation, shared);
        Ok(())
    }

    /// Finds out which form Redis would keep a collection in, now that it is there as a whole.
    fn note_encoding(
        collection: &mut Collection,
        source: &Source<'_>,
    ) -> Result<(), KeyspaceError> {
        if collection.len() > super::INTEGERS_MAX || collection.kind == Kind::List {
            collection.encoding = super::Encoding::Full;
            return Ok(());
        }
        let Some(names) = collection.names() else {
            return Ok(());
        };
        let mut sizes: Vec<(IndexKey, usize)> = Vec::with_capacity(names.len());
        for entry in names.iter() {
            let bytes = match collection.kind {
                Kind::Hash => source.read(entry.key(), entry.location, <[u8]>::len)?,
                _ => 0,
            };
            sizes.push((IndexKey::from_slice(entry.key()), bytes));
        }
        for (name, bytes) in sizes {
            collection.outgrow(&name, bytes);
        }
        Ok(())
    }

    /// Notes the head of a collection in a store with partitions.
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

    /// A partition was read: the collections whose elements lie in it are all there.
    pub(in super::super) fn elements_read(
        &self,
        partition: usize,
        found: Vec<FoundElement>,
    ) -> Result<(), KeyspaceError> {
        let mut by_id = GatheredRegister::default();
        for element in found {
            self.collections.seen(element.id);
            by_id
                .entry(element.id)
                .or_default()
                .found
                .push(element.found);
        }
        for (id, gathered) in by_id {
            let elements = self.last_records(gathered)?;
            let Some(kind) = elements.first().map(|one| one.kind) else {
                continue;
            };
            self.put_into_use(id, NO_GENERATION, kind, &elements)?;
            let mut heads = self.collections.loading.heads.lock();
            heads.collections.push(id);
            if let Some(&generation) = heads.generations.get(&id) {
                self.collections.moved(id, generation);
            }
        }
        self.collections.loading.read[partition].store(true, Ordering::Release);
        Ok(())
    }

    /// All partitions were read: lets go of collections that no head names.
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
