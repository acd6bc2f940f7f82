//! Collections: values of many elements. Their shape is in DRAM; each element is a record of its own.
//!
//! A collection has a number (id) that is never used again. The record under its key, its anchor, holds just that id;
//! each element's record has the id in its key. So RENAME writes one record, and removing the anchor removes the whole
//! collection: elements that belong to no anchor are garbage, and the next start treats them so too.

mod build;
mod edit;
mod elements;
mod list;
mod load;
mod records;
mod scores;
mod scratch;
mod sequence;
mod source;
mod stream;
mod sweep;
mod view;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use foldhash::fast::FixedState;
use parking_lot::{RawRwLock, RwLock, lock_api::ArcRwLockWriteGuard};

pub use edit::{FieldsEdit, ScoresEdit};
pub use list::{End, ListEdit};
pub use stream::{
    ConsumerView, GroupState, GroupView, NodeLimits, Pair, PendingState, References, Stream,
    StreamBuilder, StreamEdit, StreamId, Trim, TrimTo,
};
pub use view::{Fields, List, Scores, View};

pub(super) use build::Built;
pub(super) use edit::{Edit, What};
pub(super) use load::UnclaimedElements;
pub(super) use records::{ElementBatch, element_batches};

use super::hashing::shard_of;
use super::index::{Entry, Found, Index, Names, Naming, NewEntry};
use super::{Keyspace, KeyspaceError, Kind};
use elements::split_key;
pub(super) use elements::{ID_BYTES, encode_score};
use list::ListItem;
use scores::ScoreIndex;
use sequence::Sequence;
use store::{Location, OnCurrent, RecordKey, StoreError};
use stream::StreamShape;

/// The generation of elements, which no database ever has.
pub(super) const ELEMENTS: u32 = u32::MAX - 1;

/// Collections are split over this many locks.
const REGISTERS: usize = 64;

/// Bits of an id that count within one opening of the pool; the other bits number the opening.
const COUNTED_BITS: u32 = 44;

/// Redis's default limits; above them it keeps hashes, sets and sorted sets in another form.
const COMPACT_FIELDS_MAX: usize = 512;
const COMPACT_MEMBERS_MAX: usize = 128;
const COMPACT_BYTES_MAX: usize = 64;
const INTEGERS_MAX: usize = 512;

/// The largest form that a hash, a set or a sorted set ever had. Like Redis, the server never goes back to a smaller
/// one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Encoding {
    /// A set of few integers.
    Integers,
    /// Few short elements.
    Compact,
    /// Anything else.
    Full,
}

/// The score that Redis keeps in a sorted set with this many members and this longest member. Redis's compact form
/// does not know -0.
pub fn kept_score(score: f64, members: usize, longest_bytes: usize) -> f64 {
    let compact = members <= COMPACT_MEMBERS_MAX && longest_bytes <= COMPACT_BYTES_MAX;
    if score == 0.0 && compact { 0.0 } else { score }
}

/// The DRAM side of a collection.
#[derive(Debug)]
pub(super) struct Collection {
    pub kind: Kind,
    pub encoding: Encoding,
    pub shape: Shape,
    /// The ordinal of the next new element of a hash or set.
    pub next_ordinal: u32,
}

/// The locations of elements, and their order.
#[derive(Debug)]
pub(super) enum Shape {
    /// A hash's fields, or a set's members.
    Fields(Index),
    List(Sequence<ListItem>),
    /// Boxed, since it is twice as large as the others.
    Scores(Box<ScoreIndex>),
    /// Boxed for the same reason.
    Stream(Box<StreamShape>),
}

impl Collection {
    pub fn new(kind: Kind, naming: Naming) -> Self {
        Self {
            kind,
            encoding: Encoding::Integers,
            next_ordinal: 0,
            shape: match kind {
                Kind::List => Shape::List(Sequence::default()),
                Kind::SortedSet => Shape::Scores(Box::new(ScoreIndex::empty(naming))),
                Kind::Stream => Shape::Stream(Box::default()),
                Kind::Hash | Kind::Set | Kind::String => Shape::Fields(Index::new(0, naming)),
            },
        }
    }

    /// How many elements there are; of a stream, which may be without entries, how many records.
    pub fn len(&self) -> usize {
        match &self.shape {
            Shape::Fields(index) => index.len(),
            Shape::List(items) => items.len(),
            Shape::Scores(scores) => scores.len(),
            Shape::Stream(stream) => stream.record_count(),
        }
    }

    /// DRAM that the collection occupies, bytes.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>()
            + match &self.shape {
                Shape::Fields(index) => index.memory_bytes(),
                Shape::List(items) => items.memory_bytes(),
                Shape::Scores(scores) => scores.memory_bytes(),
                Shape::Stream(stream) => stream.memory_bytes(),
            }
    }

    /// The elements of a hash, a set or a sorted set by name.
    pub fn names(&self) -> Option<&Index> {
        match &self.shape {
            Shape::Fields(index) => Some(index),
            Shape::Scores(scores) => Some(scores.members()),
            Shape::List(_) | Shape::Stream(_) => None,
        }
    }

    /// The locations of up to `count` elements.
    pub fn some_locations(&self, count: usize) -> Vec<Location> {
        match &self.shape {
            Shape::List(items) => items
                .range(0..count.min(items.len()))
                .map(|item| item.location)
                .collect(),
            Shape::Stream(stream) => {
                let records = stream.records().take(count);
                records.map(|(_, location)| location).collect()
            }
            Shape::Fields(_) | Shape::Scores(_) => self
                .names()
                .into_iter()
                .flat_map(|names| {
                    let entries = names.iter().take(count);
                    entries.map(|entry| names.location(entry))
                })
                .collect(),
        }
    }

    /// Makes an entry for a new element of a hash, a set or a sorted set.
    pub fn new_entry<'n>(&mut self, name: &'n [u8], location: Location) -> NewEntry<'n> {
        let ordinal = self.next_ordinal;
        self.next_ordinal = ordinal.wrapping_add(1);
        NewEntry {
            key: name,
            kind: self.kind,
            location,
            expires_at: None,
            access: ordinal,
        }
    }

    /// Gives the members of a set of integers their ordinals in ascending order.
    fn number_integers(&self, names: &dyn Names) {
        let Shape::Fields(index) = &self.shape else {
            return;
        };
        match in_order(index, self.encoding, names) {
            Ok(entries) => {
                for (ordinal, entry) in (0..).zip(entries.unwrap_or_default()) {
                    entry.set_ordinal(ordinal);
                }
            }
            // The change is stored and cannot fail any more. A set has no order that a client may rely on.
            Err(error) => tracing::error!(%error, "a member of a set could not be read"),
        }
    }

    /// Updates the encoding after an element was added.
    pub fn outgrow(&mut self, name: &[u8], value_bytes: usize, names: &dyn Names) {
        if self.encoding == Encoding::Full {
            return;
        }
        let len = self.len();
        let long = name.len().max(value_bytes) > COMPACT_BYTES_MAX;
        let integers = self.kind == Kind::Set
            && self.encoding == Encoding::Integers
            && len <= INTEGERS_MAX
            && redis_core::numbers::parse_i64(name).is_some();
        let entries_max = match self.kind {
            Kind::Hash => COMPACT_FIELDS_MAX,
            _ => COMPACT_MEMBERS_MAX,
        };
        let encoding = if integers {
            Encoding::Integers
        } else if len <= entries_max && !long {
            Encoding::Compact
        } else {
            Encoding::Full
        };
        let was_sorted = self.kind == Kind::Set && self.encoding == Encoding::Integers;
        if was_sorted && encoding == Encoding::Compact {
            // Redis copies the integers in sorted order and puts new members behind them.
            self.number_integers(names);
        }
        self.encoding = encoding;
    }
}

/// The elements of a hash or set in the order in which Redis keeps them; `None` if Redis keeps no order.
fn in_order<'i>(
    index: &'i Index,
    encoding: Encoding,
    names: &dyn Names,
) -> Result<Option<Vec<&'i Entry>>, StoreError> {
    let mut entries: Vec<&Entry> = match encoding {
        Encoding::Full => return Ok(None),
        Encoding::Integers | Encoding::Compact => index.iter().collect(),
    };
    if encoding == Encoding::Integers {
        let mut numbered = Vec::with_capacity(entries.len());
        for entry in entries {
            let name = index.named(entry, names)?.key;
            // A member that is not an integer is only here while the set changes to another form.
            let place = match redis_core::numbers::parse_i64(&name) {
                Some(number) => (false, number),
                None => (true, entry.ordinal().into()),
            };
            numbered.push((place, entry));
        }
        numbered.sort_unstable_by_key(|&(place, _)| place);
        return Ok(Some(numbered.into_iter().map(|(_, entry)| entry).collect()));
    }
    entries.sort_unstable_by_key(|entry| entry.ordinal());
    Ok(Some(entries))
}

/// A collection in an `Arc`, so that a lock guard can own it.
pub(super) type SharedCollection = Arc<RwLock<Collection>>;
pub(super) type LockedCollection = ArcRwLockWriteGuard<RawRwLock, Collection>;

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
pub(super) struct Registry {
    registers: Vec<Register>,
    next: AtomicU64,
    memory_bytes: AtomicU64,
    pub unclaimed: UnclaimedElements,
}

impl Registry {
    /// Creates the table without collections; `opens` is how often the pool was opened.
    pub fn new(opens: u64, partitions: usize) -> Self {
        Self {
            registers: (0..REGISTERS).map(|_| RwLock::default()).collect(),
            next: AtomicU64::new(opens << COUNTED_BITS | 1),
            memory_bytes: AtomicU64::new(0),
            unclaimed: UnclaimedElements::new(partitions),
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
    fn unused_id(&self) -> u64 {
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

/// The collections of keys; see [`Keyspace::collections`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Collections<'k> {
    pub(super) keyspace: &'k Keyspace,
}

impl Collections<'_> {
    /// An id for a new collection. Its elements will lie in a partition that has been read: loading takes the elements that
    /// it finds for those of a collection of before, and removes them if no key that it finds names them. The caller holds a
    /// shard that is indexed, so there is such a partition.
    pub(super) fn new_id(self) -> u64 {
        let registry = &self.keyspace.registry;
        loop {
            let id = registry.unused_id();
            if !self.keyspace.partitioned || registry.unclaimed.is_read(self.partition_of(id)) {
                return id;
            }
        }
    }

    /// The partition that holds a collection's elements.
    pub(super) fn partition_of(self, id: u64) -> usize {
        if !self.keyspace.partitioned {
            return 0;
        }
        let hashing = &self.keyspace.hashing;
        hashing.partition_of_shard(shard_of(hashing.hash(&id.to_le_bytes())))
    }

    /// The collection id in an anchor; `None` for a string.
    pub(super) fn id_of(
        self,
        hash: u64,
        generation: u32,
        found: Found<'_>,
    ) -> Result<Option<u64>, KeyspaceError> {
        if found.kind() == Kind::String {
            return Ok(None);
        }
        let mut id = None;
        let record = self.keyspace.hashing.record(hash, generation, found.key);
        self.keyspace
            .store
            .read(record, found.location, &mut |value| {
                id = value.bytes.first_chunk::<8>().copied();
            })?;
        id.map(u64::from_le_bytes)
            .map(Some)
            .ok_or(KeyspaceError::Failed("a collection's anchor holds no id"))
    }

    /// The collection of a key, even if its deadline has passed; `None` for a string.
    pub(super) fn of(
        self,
        hash: u64,
        generation: u32,
        found: Found<'_>,
    ) -> Result<Option<(u64, SharedCollection)>, KeyspaceError> {
        let Some(id) = self.id_of(hash, generation, found)? else {
            return Ok(None);
        };
        let shared = self.keyspace.registry.get(id);
        shared
            .map(|shared| Some((id, shared)))
            .ok_or(KeyspaceError::Failed("a collection's elements are missing"))
    }

    /// The partition that must be read before the entry's collection can be used.
    pub(super) fn missing_partition(
        self,
        hash: u64,
        generation: u32,
        found: Option<Found<'_>>,
    ) -> Result<Option<usize>, KeyspaceError> {
        let Some(found) =
            found.filter(|found| self.keyspace.partitioned && found.kind() != Kind::String)
        else {
            return Ok(None);
        };
        let id = self.id_of(hash, generation, found)?;
        let partition = id.map(|id| self.partition_of(id));
        Ok(partition.filter(|&partition| !self.keyspace.registry.unclaimed.is_read(partition)))
    }

    /// Passes an element's current location to `f`, and stores the new location if `f` moved the element.
    pub(super) fn relocate(self, key: &[u8], f: OnCurrent<'_>) -> Result<(), StoreError> {
        let found =
            split_key(key).and_then(|(id, name)| Some((id, self.keyspace.registry.get(id)?, name)));
        let Some((id, shared, name)) = found else {
            return f(None).map(drop);
        };
        let mut collection = shared.write();
        let kind = collection.kind;
        match &mut collection.shape {
            Shape::List(items) => {
                let position = list::find(items, name);
                let current = position
                    .and_then(|position| items.get(position))
                    .map(|item| item.location);
                let moved = f(current)?;
                if let (Some(location), Some(item)) =
                    (moved, position.and_then(|position| items.get_mut(position)))
                {
                    item.location = location;
                }
            }
            Shape::Stream(stream) => {
                let place = stream.location_mut(name);
                let moved = f(place.as_ref().map(|location| **location))?;
                if let (Some(location), Some(place)) = (moved, place) {
                    *place = location;
                }
            }
            Shape::Fields(index) => {
                relocate_name(index, name, kind, &self.keyspace.names_of_elements(id), f)?;
            }
            Shape::Scores(scores) => {
                let members = scores.members_mut();
                relocate_name(members, name, kind, &self.keyspace.names_of_elements(id), f)?;
            }
        }
        Ok(())
    }
}

fn relocate_name(
    index: &mut Index,
    name: &[u8],
    kind: Kind,
    names: &dyn Names,
    f: OnCurrent<'_>,
) -> Result<(), StoreError> {
    let hash = names.hash(name);
    let current = index.get(hash, name, names)?.map(Found::located);
    let moved = f(current.map(|current| current.location))?;
    if let (Some(location), Some(current)) = (moved, current) {
        index.replace(hash, name, current, kind, location, None);
    }
    Ok(())
}

/// The store's key for an element's record.
pub(super) fn element_record_key(partition: usize, key: &[u8]) -> RecordKey<'_> {
    RecordKey {
        partition,
        generation: ELEMENTS,
        key,
    }
}
