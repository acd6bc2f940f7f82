//! All collections by id.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::FixedState;
use parking_lot::RwLock;

use super::emptied::Emptied;
use super::{FieldDeadlines, SharedCollection, UnclaimedElements};

/// Collections are split over this many locks.
pub(super) const REGISTERS: usize = 64;

/// Bits of an id that count within one opening of the pool; the other bits number the opening.
const COUNTED_BITS: u32 = 44;

/// Some of the collections by id. A thread that holds this lock waits for no collection.
type Register = RwLock<HashMap<u64, Registered, FixedState>>;

#[derive(Debug)]
struct Registered {
    /// The generation of the database that holds the key.
    generation: u32,
    collection: SharedCollection,
}

/// All collections by id.
#[derive(Debug)]
pub struct Registry {
    registers: Vec<Register>,
    next: AtomicU64,
    memory_bytes: AtomicU64,
    pub unclaimed: UnclaimedElements,
    /// Hashes with fields that have deadlines.
    pub deadlines: FieldDeadlines,
    /// Keys of collections without elements, until their removal is stored.
    pub emptied: Emptied,
}

impl Registry {
    /// Creates the table without collections; `opens` is how often the pool was opened.
    pub fn new(opens: u64, partitions: usize) -> Self {
        Self {
            registers: (0..REGISTERS).map(|_| RwLock::default()).collect(),
            next: AtomicU64::new(opens << COUNTED_BITS | 1),
            memory_bytes: AtomicU64::new(0),
            unclaimed: UnclaimedElements::new(partitions),
            deadlines: FieldDeadlines::default(),
            emptied: Emptied::default(),
        }
    }

    fn register(&self, id: u64) -> &Register {
        #[allow(clippy::cast_possible_truncation)] // The remainder is small.
        &self.registers[(id % REGISTERS as u64) as usize]
    }

    /// Whether there is any collection.
    pub fn any(&self) -> bool {
        self.registers
            .iter()
            .any(|register| !register.read().is_empty())
    }

    /// An id that no collection has had. New collections take theirs from [`Collections::new_id`].
    pub(super) fn unused_id(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// The id that the next new collection will get.
    pub fn next_id(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// The ids of the generation's collections from `first` on.
    pub fn ids_from(&self, generation: u32, first: u64) -> Vec<u64> {
        let mut ids = Vec::new();
        for register in &self.registers {
            let register = register.read();
            let theirs = register.iter();
            ids.extend(
                theirs
                    .filter(|&(&id, one)| id >= first && one.generation == generation)
                    .map(|(&id, _)| id),
            );
        }
        ids
    }

    /// Records that an id is in use, so that no new collection gets it.
    pub fn seen(&self, id: u64) {
        if self.next.load(Ordering::Relaxed) <= id {
            self.next.fetch_max(id + 1, Ordering::Relaxed);
        }
    }

    pub fn get(&self, id: u64) -> Option<SharedCollection> {
        let register = self.register(id).read();
        register.get(&id).map(|one| Arc::clone(&one.collection))
    }

    /// The collection, and the generation of the database that holds its key.
    pub fn with_generation(&self, id: u64) -> Option<(u32, SharedCollection)> {
        let register = self.register(id).read();
        let one = register.get(&id)?;
        Some((one.generation, Arc::clone(&one.collection)))
    }

    pub fn insert(&self, id: u64, generation: u32, collection: SharedCollection) {
        let registered = Registered {
            generation,
            collection,
        };
        self.register(id).write().insert(id, registered);
    }

    /// Records that a collection belongs to another database now.
    pub fn moved(&self, id: u64, generation: u32) {
        if let Some(registered) = self.register(id).write().get_mut(&id) {
            registered.generation = generation;
        }
    }

    pub fn remove(&self, id: u64) -> Option<SharedCollection> {
        let removed = self.register(id).write().remove(&id);
        removed.map(|one| one.collection)
    }

    /// How many collections there are.
    pub fn len(&self) -> usize {
        let registers = self.registers.iter();
        registers.map(|register| register.read().len()).sum()
    }

    /// Removes and returns all collections.
    pub fn take_all(&self) -> Vec<(u64, SharedCollection)> {
        let mut taken = Vec::new();
        for register in &self.registers {
            let all = std::mem::take(&mut *register.write());
            taken.extend(all.into_iter().map(|(id, one)| (id, one.collection)));
        }
        taken
    }

    /// Removes and returns the collections of a flushed database.
    pub fn take_generation(&self, generation: u32) -> Vec<(u64, SharedCollection)> {
        let mut taken = Vec::new();
        for register in &self.registers {
            let mut register = register.write();
            let theirs = register.extract_if(|_, one| one.generation == generation);
            taken.extend(theirs.map(|(id, one)| (id, one.collection)));
        }
        taken
    }

    /// Updates the total DRAM of all collections after one collection changed.
    pub fn note_memory(&self, before: usize, after: usize) {
        if before != after {
            let more = (after as u64).wrapping_sub(before as u64);
            self.memory_bytes.fetch_add(more, Ordering::Relaxed);
        }
    }

    /// DRAM of all collections, bytes.
    pub fn memory_bytes(&self) -> u64 {
        self.memory_bytes.load(Ordering::Relaxed)
    }
}
