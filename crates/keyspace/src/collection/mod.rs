//! Collections: values of many elements. A small one is one record, see [`compact`]. Of the others the shape is in DRAM,
//! and each element is a record of its own.
//!
//! A collection has a number (id) that is never used again. The record under its key, its anchor, holds just that id;
//! each element's record has the id in its key. So RENAME writes one record, and removing the anchor removes the whole
//! collection: elements that belong to no anchor are garbage, and the next start treats them so too.

mod build;
mod compact;
mod deadlines;
mod edit;
mod elements;
mod emptied;
mod gather;
mod limits;
mod list;
mod load;
mod records;
mod registry;
mod scores;
mod scratch;
mod sequence;
mod source;
mod stream;
mod sweep;
mod view;

use std::sync::Arc;

use parking_lot::{RawRwLock, RwLock, lock_api::ArcRwLockWriteGuard};

pub use edit::{FieldsEdit, ScoresEdit, StagedFields, StagedScores};
pub use limits::FormLimits;
pub use list::{End, ListEdit, StagedList};
pub use stream::{
    ConsumerView, GroupState, GroupView, NodeLimits, Pair, PendingState, References, Stream,
    StreamBuilder, StreamEdit, StreamId, Trim, TrimTo,
};
pub use view::{Fields, List, Scores, View};

pub(super) use build::Built;
pub use compact::copied;
pub(super) use compact::{Body, InPlace, Texts};
pub(super) use deadlines::{FieldDeadlines, KeyPlace};
pub(super) use edit::{Edit, Rewritten, What};
pub(super) use gather::State as GatherState;
pub(super) use limits::State as FormState;
pub(super) use load::UnclaimedElements;
pub(super) use records::{ElementBatch, element_batches};
pub(super) use registry::Registry;
pub(super) use scratch::Scratch;
pub(super) use source::Source;

use super::hashing::shard_of;
use super::index::{Entry, Found, Index, Names, Naming, NewEntry, Replacement};
use super::{Keyspace, KeyspaceError, Kind, Millis};
pub(super) use elements::{Anchor, ID_BYTES, decode_score, element_key, encode_score, split_key};
use limits::LISTPACK_BYTES;
pub(super) use list::{ListItem, name_of_label, next_label};
use registry::REGISTERS;
use scores::ScoreIndex;
use sequence::Sequence;
use store::{Location, OnCurrent, RecordKey, StoreError};
use stream::StreamShape;

/// The generation of elements, which no database ever has.
pub(super) const ELEMENTS: u32 = u32::MAX - 1;

/// Redis's form of a collection. Like Redis, the server goes back to a smaller one only with lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Encoding {
    /// A set of few integers.
    Integers,
    /// Few short elements: a listpack.
    Compact,
    /// Anything else: a hash table, a skiplist, a quicklist.
    Full,
}

/// The DRAM side of a collection.
#[derive(Debug)]
pub(super) struct Collection {
    pub kind: Kind,
    pub encoding: Encoding,
    pub shape: Shape,
    /// The ordinal of the next new element of a hash or set.
    pub next_ordinal: u32,
    /// Whether an earlier version wrote its anchor, which does not tell the encoding.
    pub is_unmarked: bool,
    /// Bytes of the listpack in which Redis would keep a list of so few elements that it may.
    pub listpack_bytes: Option<usize>,
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
    /// All elements, copied from the record of a key whose collection is compact. Nobody else knows this copy.
    Compact(Scratch),
}

impl Collection {
    pub fn new(kind: Kind, naming: Naming) -> Self {
        Self {
            kind,
            encoding: Encoding::Integers,
            next_ordinal: 0,
            is_unmarked: false,
            listpack_bytes: Some(LISTPACK_BYTES),
            shape: match kind {
                Kind::List => Shape::List(Sequence::default()),
                Kind::SortedSet => Shape::Scores(Box::new(ScoreIndex::empty(naming))),
                Kind::Stream => Shape::Stream(Box::default()),
                _ => Shape::Fields(Index::new(0, naming)),
            },
        }
    }

    /// The collection of a key whose record holds all elements.
    pub fn compact(kind: Kind, mut record: Scratch) -> Result<Self, KeyspaceError> {
        let (encoding, _) = compact::open_copy(kind, &mut record)?;
        Ok(Self {
            kind: kind.plain(),
            encoding,
            next_ordinal: 0,
            is_unmarked: false,
            listpack_bytes: None,
            shape: Shape::Compact(record),
        })
    }

    /// A collection for a key that has none. It is compact at first.
    pub fn new_compact(kind: Kind) -> Self {
        Self {
            kind,
            encoding: Encoding::Integers,
            next_ordinal: 0,
            is_unmarked: false,
            listpack_bytes: None,
            shape: Shape::Compact(Scratch::default()),
        }
    }

    /// The bytes of the record of a compact collection that is stored.
    pub fn record(&self) -> Option<&[u8]> {
        match &self.shape {
            Shape::Compact(record) if !record.is_empty() => Some(record),
            _ => None,
        }
    }

    /// The elements of a compact collection.
    pub fn elements(&self) -> Body<'_> {
        self.body().unwrap_or(Body::empty(self.kind))
    }

    /// All elements of a compact collection; `None` if elements have records of their own.
    pub fn body(&self) -> Option<Body<'_>> {
        match &self.shape {
            Shape::Compact(record) if record.is_empty() => Some(Body::empty(self.kind)),
            Shape::Compact(record) => {
                Some(Body::open(self.kind, record).unwrap_or(Body::empty(self.kind)))
            }
            _ => None,
        }
    }

    /// How many elements there are; of a stream, which may be without entries, how many records.
    pub fn len(&self) -> usize {
        match &self.shape {
            Shape::Fields(index) => index.len(),
            Shape::List(items) => items.len(),
            Shape::Scores(scores) => scores.len(),
            Shape::Stream(stream) => stream.record_count(),
            Shape::Compact(_) => self.body().map_or(0, Body::len),
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
                Shape::Compact(_) => 0,
            }
    }

    /// The elements of a hash, a set or a sorted set by name.
    pub fn names(&self) -> Option<&Index> {
        match &self.shape {
            Shape::Fields(index) => Some(index),
            Shape::Scores(scores) => Some(scores.members()),
            Shape::List(_) | Shape::Stream(_) | Shape::Compact(_) => None,
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
            Shape::Fields(_) | Shape::Scores(_) | Shape::Compact(_) => self
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
    pub fn new_entry<'n>(
        &mut self,
        name: &'n [u8],
        location: Location,
        expires_at: Option<Millis>,
    ) -> NewEntry<'n> {
        let ordinal = self.next_ordinal;
        self.next_ordinal = ordinal.wrapping_add(1);
        NewEntry {
            key: name,
            kind: self.kind,
            location,
            expires_at,
            access: ordinal,
        }
    }

    /// Gives a loaded collection the encoding that its anchor tells; `None` if an earlier version wrote the anchor.
    pub fn mark(&mut self, encoding: Option<Encoding>) {
        if let Some(encoding) = encoding {
            self.encoding = encoding;
            self.is_unmarked = false;
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

    /// Gives the collection Redis's form that a change of it has brought. Call it before the change adds elements.
    pub fn set_encoding(&mut self, encoding: Encoding, names: &dyn Names) {
        if self.kind == Kind::Set
            && self.encoding == Encoding::Integers
            && encoding == Encoding::Compact
        {
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
) -> Result<Option<Vec<Entry<'i>>>, StoreError> {
    let mut entries: Vec<Entry<'_>> = match encoding {
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

/// Whether a key's record is an anchor: its elements have records of their own.
#[inline]
pub(super) fn has_anchor(kind: Kind) -> bool {
    kind != Kind::String && !kind.is_compact()
}

/// A collection of a key that a call may change.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // Most changes hold one; a box would be an allocation for each.
pub(super) enum Held {
    /// Its elements have records of their own. Other threads find it by its id.
    Shared(LockedCollection),
    /// A copy of a compact collection.
    Copy(Collection),
}

impl std::ops::Deref for Held {
    type Target = Collection;

    #[inline]
    fn deref(&self) -> &Collection {
        match self {
            Held::Shared(locked) => locked,
            Held::Copy(collection) => collection,
        }
    }
}

/// A collection in an `Arc`, so that a lock guard can own it.
pub(super) type SharedCollection = Arc<RwLock<Collection>>;
pub(super) type LockedCollection = ArcRwLockWriteGuard<RawRwLock, Collection>;

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

    /// The collection id in an anchor; `None` for a string or a compact collection.
    pub(super) fn id_of(
        self,
        hash: u64,
        generation: u32,
        found: Found<'_>,
    ) -> Result<Option<u64>, KeyspaceError> {
        if !has_anchor(found.entry.stored_kind()) {
            return Ok(None);
        }
        Ok(Some(self.anchor_of(hash, generation, found)?.id))
    }

    /// The anchor of a collection whose elements have records of their own.
    fn anchor_of(
        self,
        hash: u64,
        generation: u32,
        found: Found<'_>,
    ) -> Result<Anchor, KeyspaceError> {
        let mut anchor = None;
        let record = self.keyspace.hashing.record(hash, generation, found.key);
        self.keyspace
            .store
            .read(record, found.location, &mut |value| {
                anchor = Anchor::decode(value.bytes);
            })?;
        anchor.ok_or(KeyspaceError::Failed("a collection's anchor holds no id"))
    }

    /// The collection of a key, even if its deadline has passed; `None` for a string or a compact collection.
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
        let Some(found) = found.filter(|found| {
            self.keyspace.may_lack_elements() && has_anchor(found.entry.stored_kind())
        }) else {
            return Ok(None);
        };
        if !self.keyspace.partitioned {
            return Ok(self.is_left(hash, generation, found)?.then_some(0));
        }
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
            Shape::Compact(_) => {
                f(None)?;
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
        let new = Replacement {
            kind,
            ..current.moved(location)
        };
        index.replace(hash, name, current, new);
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
