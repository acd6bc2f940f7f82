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
    name: IndexKey,
    kind: Kind,
    location: Location,
    sequence: u64,
    removed: bool,
}

impl FoundElement {
    /// `None` where the record's name is none of an element.
    pub fn new(record: &Visited<'_>) -> Option<Self> {
        let (id, name) = split_key(record.key)?;
        Some(Self {
            id,
            name: IndexKey::from_slice(name),
            kind: record.kind,
            location: record.location,
            sequence: record.sequence,
            removed: record.removed,
        })
    }

    /// The number of the lock that it is gathered under.
    pub fn register(&self) -> usize {
        usize::try_from(self.id % REGISTERS as u64).unwrap_or(0)
    }
}

/// How many locks elements are gathered under.
pub(in super::super) const ELEMENT_REGISTERS: usize = REGISTERS;

/// What was met of a collection so far.
#[derive(Debug)]
struct Gathered {
    kind: Kind,
    index: Index,
}

#[derive(Debug, Default)]
struct GatheredRegister {
    by_id: HashMap<u64, Gathered, FixedState>,
    /// The last removal of each element that was met.
    removed: HashMap<(u64, IndexKey), u64, FixedState>,
}

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
    /// Takes gathered elements of one register in; of several records of an element the last one counts.
    pub(in super::super) fn absorb_elements(
        &self,
        register: usize,
        found: &mut Vec<FoundElement>,
    ) -> Result<(), KeyspaceError> {
        let mut gathered = self.collections.loading.registers[register].lock();
        let GatheredRegister { by_id, removed } = &mut *gathered;
        let hasher = |key: &[u8]| self.hash(key);
        for found in found.drain(..) {
            let hash = self.hash(&found.name);
            self.collections.seen(found.id);
            let collection = by_id.entry(found.id).or_insert_with(|| Gathered {
                kind: found.kind,
                index: Index::new(0),
            });
            let index = &mut collection.index;
            if let Some(present) = index.get(hash, &found.name).map(|entry| entry.location) {
                if self.store.sequence(present)? > found.sequence {
                    if !found.removed {
                        self.store.release(found.location)?;
                    }
                    continue;
                }
                self.store.release(present)?;
                index.remove(hash, &found.name);
            }
            if found.removed {
                let last = removed.entry((found.id, found.name)).or_default();
                *last = found.sequence.max(*last);
                continue;
            }
            if !removed.is_empty()
                && removed
                    .get(&(found.id, found.name.clone()))
                    .is_some_and(|&last| last > found.sequence)
            {
                self.store.release(found.location)?;
                continue;
            }
            collection.kind = found.kind;
            let entry = Entry::new(&found.name, found.kind, found.location, None, 0);
            index.insert(hash, entry, &hasher);
        }
        Ok(())
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
            for (_, gathered) in std::mem::take(&mut *register.lock()).by_id {
                orphans += gathered.index.len();
                for entry in gathered.index.iter() {
                    self.store.release(entry.location)?;
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
                    .by_id
                    .remove(&id)
                    .filter(|gathered| gathered.index.len() > 0 && gathered.kind == entry.kind());
                match gathered {
                    Some(gathered) => self.put_into_use(id, generation, gathered)?,
                    None => headless.push((generation, place, IndexKey::from_slice(entry.key()))),
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

    /// Makes a collection of what was gathered.
    fn put_into_use(
        &self,
        id: u64,
        generation: u32,
        gathered: Gathered,
    ) -> Result<(), KeyspaceError> {
        let Gathered { kind, index } = gathered;
        let source = Source::new(self, id);
        let mut collection = Collection::new(kind);
        collection.shape = match kind {
            Kind::List => {
                let mut items: Vec<ListItem> = index
                    .iter()
                    .filter_map(|entry| {
                        Some(ListItem {
                            label: decode_label(entry.key())?,
                            location: entry.location,
                        })
                    })
                    .collect();
                items.sort_unstable_by_key(|item| item.label);
                Shape::List(items.into_iter().collect())
            }
            Kind::SortedSet => {
                let score = |entry: &Entry| {
                    let score = source.read(entry.key(), entry.location, decode_score)?;
                    score.ok_or_else(|| KeyspaceError::Store("a member's score is damaged".into()))
                };
                Shape::Scores(order_by_score(index, score)?)
            }
            Kind::Hash | Kind::Set | Kind::String => Shape::Fields(index),
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
        let mut by_id: HashMap<u64, Gathered, FixedState> = HashMap::default();
        let hasher = |key: &[u8]| self.hash(key);
        for found in found {
            self.collections.seen(found.id);
            let gathered = by_id.entry(found.id).or_insert_with(|| Gathered {
                kind: found.kind,
                index: Index::new(0),
            });
            let entry = Entry::new(&found.name, found.kind, found.location, None, 0);
            gathered
                .index
                .insert(self.hash(&found.name), entry, &hasher);
        }
        for (id, gathered) in by_id {
            self.put_into_use(id, NO_GENERATION, gathered)?;
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
