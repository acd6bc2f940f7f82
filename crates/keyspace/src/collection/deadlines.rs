//! Deadlines of a hash's fields: where the next one is due, and the removal of fields past theirs.
//!
//! A field's deadline lies in its record and in its entry of the hash's index, as a key's does. A field past its deadline
//! shows to nobody; the background removes it. The queue below knows which hashes have deadlines, by the first of them.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use smallvec::SmallVec;

use super::elements::element_key;
use super::{Collection, Collections, REGISTERS, Shape, SharedCollection, element_record_key};
use crate::hashing::shard_of;
use crate::index::{Found, IndexKey, Names};
use crate::shard::Shard;
use crate::update::{KeyUpdate, LockedKey};
use crate::{Access, Cursor, EventClass, Followed, KeyspaceError, Kind, Millis};
use store::Gone;

/// Fields removed under one shard lock, as many as keys: at 5 us each, other threads wait no longer than 100 us.
const FIELDS_PER_LOCK: usize = 20;

/// Hashes that the background takes from a queue at a time.
const HASHES_PER_TURN: usize = 64;

/// What an entry of a queue takes, bytes: 32 for itself, in nodes that are two thirds full.
const ENTRY_BYTES: u64 = 48;

/// Where the key of a hash lies.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct KeyPlace {
    /// The generation of its database.
    pub generation: u32,
    /// Its hash.
    pub hash: u64,
}

impl KeyPlace {
    /// Of a key that is locked.
    pub fn of(key: LockedKey<'_>) -> Self {
        Self {
            generation: key.generation,
            hash: key.hash,
        }
    }
}

/// The hashes with deadlines of one register. For each such hash there is one entry, at the lower bound that its index
/// knows.
#[derive(Debug, Default)]
struct Queue {
    /// By the first deadline and the collection's id.
    entries: BTreeMap<(Millis, u64), KeyPlace>,
    /// How many entries there are of each generation.
    counts: HashMap<u32, u64>,
}

impl Queue {
    fn insert(&mut self, at: Millis, id: u64, key: KeyPlace) {
        self.remove(at, id);
        self.entries.insert((at, id), key);
        *self.counts.entry(key.generation).or_default() += 1;
    }

    fn remove(&mut self, at: Millis, id: u64) {
        let Some(key) = self.entries.remove(&(at, id)) else {
            return;
        };
        if let Entry::Occupied(mut count) = self.counts.entry(key.generation) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// All hashes with fields that have deadlines.
#[derive(Debug)]
pub(in super::super) struct FieldDeadlines {
    queues: Vec<Mutex<Queue>>,
    /// Whether an element may have had a deadline since the pool was read as a whole. It never becomes false again.
    had_any: AtomicBool,
}

impl Default for FieldDeadlines {
    fn default() -> Self {
        Self {
            queues: (0..REGISTERS).map(|_| Mutex::default()).collect(),
            had_any: AtomicBool::new(false),
        }
    }
}

/// A hash whose first deadline has passed.
struct Due {
    at: Millis,
    id: u64,
    key_hash: u64,
}

impl FieldDeadlines {
    fn queue(&self, id: u64) -> &Mutex<Queue> {
        &self.queues[super::records::register(id)]
    }

    /// Whether an element may have had a deadline since the pool was read as a whole. Whoever asks after each shard was locked once
    /// hears of all elements that were stored before.
    pub fn had_any(&self) -> bool {
        self.had_any.load(Ordering::Relaxed)
    }

    /// Records that an element has or had a deadline.
    pub fn saw_one(&self) {
        // Most calls find it noted, and do not take the line away from other cores.
        if !self.had_any() {
            self.had_any.store(true, Ordering::Relaxed);
        }
    }

    fn insert(&self, at: Millis, id: u64, key: KeyPlace) {
        self.saw_one();
        self.queue(id).lock().insert(at, id, key);
    }

    /// Records that a hash's first deadline has changed. The caller holds the collection.
    #[inline]
    pub fn changed(&self, id: u64, before: Option<Millis>, after: Option<Millis>, key: KeyPlace) {
        if before == after {
            return;
        }
        if let Some(before) = before {
            self.queue(id).lock().remove(before, id);
        }
        if let Some(after) = after {
            self.insert(after, id, key);
        }
    }

    /// Records that a hash has another key now.
    pub fn moved(&self, id: u64, first: Option<Millis>, key: KeyPlace) {
        if let Some(first) = first {
            self.insert(first, id, key);
        }
    }

    /// Records a hash that loading has found, unless a command has done so.
    pub fn found(&self, id: u64, first: Option<Millis>, key: KeyPlace) {
        if let Some(first) = first {
            self.saw_one();
            let mut queue = self.queue(id).lock();
            if !queue.entries.contains_key(&(first, id)) {
                queue.insert(first, id, key);
            }
        }
    }

    /// Forgets a hash that is removed.
    pub fn removed(&self, id: u64, first: Option<Millis>) {
        if let Some(first) = first {
            self.queue(id).lock().remove(first, id);
        }
    }

    /// How many hashes have fields with deadlines.
    pub fn len(&self) -> u64 {
        let queues = self.queues.iter();
        queues.map(|queue| queue.lock().entries.len() as u64).sum()
    }

    /// How many of them belong to the database with this generation.
    pub fn len_of(&self, generation: u32) -> u64 {
        let count = |queue: &Mutex<Queue>| queue.lock().counts.get(&generation).copied();
        self.queues.iter().filter_map(count).sum()
    }

    /// About how much DRAM the queues take.
    pub fn memory_bytes(&self) -> u64 {
        self.len() * ENTRY_BYTES
    }

    /// Some hashes of a queue that are due.
    fn due(&self, number: usize, now: Millis) -> Vec<Due> {
        let queue = self.queues[number].lock();
        queue
            .entries
            .range(..=(now, u64::MAX))
            .take(HASHES_PER_TURN)
            .map(|(&(at, id), key)| Due {
                at,
                id,
                key_hash: key.hash,
            })
            .collect()
    }
}

impl Collection {
    /// How many elements there are that are not past deadlines of their own.
    pub fn live_len(&self, now: Millis, names: &dyn Names) -> usize {
        self.len() - self.expired_len(now, names)
    }

    /// How many of a hash's fields are past their deadlines and not removed yet. Those that cannot be read count as live: a
    /// hash with such fields is not taken for an empty one.
    pub fn expired_len(&self, now: Millis, names: &dyn Names) -> usize {
        let Shape::Fields(index) = &self.shape else {
            return 0;
        };
        index.count_expired(now, names).unwrap_or_else(|error| {
            tracing::error!(%error, "a field of a hash could not be read");
            0
        })
    }

    /// The names of a hash's fields that are past their deadlines and not removed yet.
    pub fn expired_names(
        &self,
        now: Millis,
        names: &dyn Names,
    ) -> Result<Vec<IndexKey>, KeyspaceError> {
        let Shape::Fields(index) = &self.shape else {
            return Ok(Vec::new());
        };
        Ok(index.expired_names(now, names)?)
    }

    /// A lower bound of the deadlines of a hash's fields; `None` where no field has one.
    pub fn first_deadline(&self) -> Option<Millis> {
        match &self.shape {
            Shape::Fields(index) => index.first_expiry(),
            Shape::List(_) | Shape::Scores(_) | Shape::Stream(_) | Shape::Compact(_) => None,
        }
    }
}

impl Collections<'_> {
    /// Removes fields past their deadlines; returns how many.
    pub(in super::super) fn remove_due_fields(self, now: Millis) -> Result<usize, KeyspaceError> {
        let mut removed = 0;
        for number in 0..REGISTERS {
            loop {
                let due = self.keyspace.registry.deadlines.due(number, now);
                let mut here = 0;
                for due in &due {
                    here += self.remove_due_fields_of(due, now)?;
                }
                removed += here;
                // Without progress the rest has to wait for the next round.
                if due.is_empty() || here == 0 {
                    break;
                }
                std::thread::yield_now();
            }
        }
        Ok(removed)
    }

    /// Removes some of a hash's fields, and the hash if no field is left.
    fn remove_due_fields_of(self, due: &Due, now: Millis) -> Result<usize, KeyspaceError> {
        let _inside = self.keyspace.gate.enter_background();
        let deadlines = &self.keyspace.registry.deadlines;
        let mut shard = self.keyspace.shards[shard_of(due.key_hash)].write();
        let found = self.key_of(&shard, due)?;
        let Some((generation, found, key)) = found else {
            // The hash was removed, flushed or renamed meanwhile.
            deadlines.removed(due.id, Some(due.at));
            return Ok(0);
        };
        let names = self.keyspace.names(generation);
        let is_expired = shard
            .get(names, due.key_hash, &key)?
            .is_some_and(|found| found.is_expired(now));
        let Some(db) = self.keyspace.generations.database_of(generation) else {
            deadlines.removed(due.id, Some(due.at));
            return Ok(0);
        };
        if is_expired {
            // The whole key goes by its own deadline.
            return Ok(0);
        }
        let mut collection = found.write();
        let before = collection.first_deadline();
        let memory = collection.memory_bytes();
        let Shape::Fields(index) = &mut collection.shape else {
            return Ok(0);
        };
        let of_elements = self.keyspace.names_of_elements(due.id);
        let place = KeyPlace {
            generation,
            hash: due.key_hash,
        };
        // The queue's bound must be exact where nothing is due.
        let names = loop {
            let (names, are_all) = index.expired(now, FIELDS_PER_LOCK, &of_elements)?;
            if are_all || !names.is_empty() {
                break names;
            }
        };
        if names.is_empty() {
            // Changes and removals leave the bound too early; now it is exact.
            deadlines.changed(due.id, before, collection.first_deadline(), place);
            return Ok(0);
        }
        self.keyspace.events.tell_intent(Some((db, &key)));
        self.keyspace.store.saw_expired(now);
        let access = Access::by_server(now);
        if names.len() == index.len() {
            deadlines.changed(due.id, before, collection.first_deadline(), place);
            drop(collection);
            let locked = LockedKey {
                key: &key,
                hash: due.key_hash,
                db,
                generation,
            };
            KeyUpdate::new(self.keyspace, &mut shard, locked, access)?.remove()?;
            self.tell_expired(db, &key, names.len());
            let events = &self.keyspace.events;
            events.emit(EventClass::GENERIC, "del", db, &key);
            return Ok(names.len());
        }
        let partition = self.partition_of(due.id);
        for name in &names {
            let hash = self.keyspace.hashing.hash(name);
            let found = index.get(hash, name, &of_elements)?.map(Found::located);
            let Some(located) = found else {
                continue;
            };
            let record = element_key(due.id, name);
            let record = element_record_key(partition, &record);
            self.keyspace
                .store
                .forget(record, located.location, Gone::Expired)?;
            index.remove(hash, name, located, &of_elements);
        }
        let gone = Followed::FieldsGone(db, &key, &names);
        self.keyspace.events.tell_followed(gone);
        deadlines.changed(due.id, before, collection.first_deadline(), place);
        let registry = &self.keyspace.registry;
        registry.note_memory(memory, collection.memory_bytes());
        drop(collection);
        self.keyspace
            .telling()
            .modified(&mut shard, db, &key, access, true);
        self.tell_expired(db, &key, names.len());
        Ok(names.len())
    }

    /// Counts expired fields, and emits their event, which is one for all.
    fn tell_expired(self, db: usize, key: &[u8], fields: usize) {
        self.keyspace.expiry().count_fields(fields as u64);
        self.keyspace
            .events
            .emit(EventClass::HASH, "hexpired", db, key);
    }

    /// The generation, the collection and the key of a hash; `None` where it has no such key any more.
    fn key_of(
        self,
        shard: &Shard,
        due: &Due,
    ) -> Result<Option<(u32, SharedCollection, IndexKey)>, KeyspaceError> {
        let Some((generation, hash)) = self.keyspace.registry.with_generation(due.id) else {
            return Ok(None);
        };
        let Some(table) = shard.table(generation) else {
            return Ok(None);
        };
        let names = self.keyspace.names(generation);
        let mut keys = SmallVec::<[IndexKey; 1]>::new();
        let from = Cursor::at(due.key_hash);
        table.index.scan(from, 1, &names, &mut |found| {
            if found.kind() == Kind::Hash && names.hash(found.key) == due.key_hash {
                keys.push(IndexKey::from_slice(found.key));
            }
        })?;
        for key in keys {
            if let Some(found) = table.index.get(due.key_hash, &key, &names)?
                && self.id_of(due.key_hash, generation, found)? == Some(due.id)
            {
                return Ok(Some((generation, hash, key)));
            }
        }
        Ok(None)
    }
}
