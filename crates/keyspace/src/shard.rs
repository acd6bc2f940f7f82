//! One shard: the index of all generations for the keys whose hash starts with the shard's number.

use std::sync::Arc;

use super::clock::Clock;
use super::collection::SharedCollection;
use super::index::{Entry, Found, Index, IndexKey, Likely, Located, Names, NewEntry, Replacement};
use super::names::RecordNames;
use super::ordered::{OrderedView, Views};
use super::waiting::Queues;
use super::watching::Watchers;
use super::{Kind, Millis};
use store::{Location, StoreError};

/// One generation's keys in one shard.
#[derive(Debug)]
pub struct Table {
    /// The generation of the keys.
    pub generation: u32,
    /// The keys.
    pub index: Index,
    /// The generation's ordered view, once a range command has asked for it.
    pub view: Option<Arc<OrderedView>>,
    /// The collection that was changed last, so that the next change finds it without its anchor.
    recent: Option<Recent>,
}

/// A collection and the location of its anchor. Any change of an anchor makes the table forget it.
#[derive(Debug)]
struct Recent {
    hash: u64,
    key: IndexKey,
    anchor: Location,
    id: u64,
    collection: SharedCollection,
}

/// A shard's tables, one for each generation that has keys here (seldom more than a few).
#[derive(Debug, Default)]
pub struct Shard {
    /// Whether the partition that the shard belongs to has been read.
    pub indexed: bool,
    /// The tables.
    pub tables: Vec<Table>,
    /// The clients that watch keys of this shard; seldom any.
    pub(super) watchers: Option<Box<Watchers>>,
    /// Changes of data by commands, as Redis counts them.
    pub(super) dirty: u64,
    /// The clients that wait for keys of this shard; seldom any.
    pub(super) queues: Option<Box<Queues>>,
}

impl Shard {
    /// The table of a generation.
    pub fn table(&self, generation: u32) -> Option<&Table> {
        self.tables
            .iter()
            .find(|table| table.generation == generation)
    }

    /// The table of a generation.
    pub fn table_mut(&mut self, generation: u32) -> Option<&mut Table> {
        self.tables
            .iter_mut()
            .find(|table| table.generation == generation)
    }

    /// The entry of a key of the generation that `names` are of, expired or not.
    #[inline]
    pub fn get<'a>(
        &'a self,
        names: RecordNames<'_>,
        hash: u64,
        key: &'a [u8],
    ) -> Result<Option<Found<'a>>, StoreError> {
        match self.table(names.generation) {
            None => Ok(None),
            Some(table) => table.index.get(hash, key, &names),
        }
    }

    /// As [`get`](Self::get), for a key that was fetched before: where it most likely is.
    #[inline]
    pub fn get_likely<'a>(
        &'a self,
        names: RecordNames<'_>,
        hash: u64,
        key: &'a [u8],
        likely: Option<Likely<'a>>,
    ) -> Result<Option<Found<'a>>, StoreError> {
        match self.table(names.generation) {
            None => Ok(None),
            Some(table) => table.index.get_likely(hash, key, &names, likely),
        }
    }

    /// The entry that a look-up has found.
    #[inline]
    pub fn at(
        &self,
        generation: u32,
        (hash, key): (u64, &[u8]),
        located: Located,
    ) -> Option<Entry<'_>> {
        self.table(generation)?.index.at(hash, key, located)
    }

    /// The table of a generation. A new one gets the generation's ordered view, if there is one.
    pub fn table_for(
        &mut self,
        generation: u32,
        new_index: impl FnOnce() -> Index,
        views: &Views,
    ) -> &mut Table {
        let position = self
            .tables
            .iter()
            .position(|table| table.generation == generation)
            .unwrap_or_else(|| {
                let table = Table::new(generation, new_index(), views.get(generation));
                self.tables.push(table);
                self.tables.len() - 1
            });
        &mut self.tables[position]
    }

    /// Adds a generation's table.
    pub fn add(&mut self, generation: u32, index: Index) {
        self.tables.push(Table::new(generation, index, None));
    }

    /// Removes and returns a generation's table.
    pub fn detach(&mut self, generation: u32) -> Option<Table> {
        let position = self
            .tables
            .iter()
            .position(|table| table.generation == generation)?;
        Some(self.tables.swap_remove(position))
    }
}

/// A stored value, to be recorded in the index.
#[derive(Clone, Copy, Debug)]
pub struct IndexPut<'a> {
    pub hash: u64,
    pub key: &'a [u8],
    pub kind: Kind,
    pub location: Location,
    pub expires_at: Option<Millis>,
    /// Where the key was found before; `None` if it is new.
    pub was: Option<Located>,
    pub access: super::Access,
    /// Whether the key was past its deadline, so that it counts as a new key.
    pub renewed: bool,
}

impl Table {
    /// A table of a generation, whose ordered view is `view`.
    pub fn new(generation: u32, index: Index, view: Option<Arc<OrderedView>>) -> Self {
        Self {
            generation,
            index,
            view,
            recent: None,
        }
    }

    /// The collection of a key, if it is the collection that was changed last.
    pub(super) fn recent(&self, hash: u64, anchor: Location) -> Option<(u64, &SharedCollection)> {
        let recent = self.recent.as_ref()?;
        let same = recent.hash == hash && recent.anchor == anchor;
        same.then_some((recent.id, &recent.collection))
    }

    /// The id, the anchor and the collection of a key, if it is the collection that was changed last.
    #[inline]
    pub(super) fn recent_of(
        &self,
        hash: u64,
        key: &[u8],
    ) -> Option<(u64, Location, &SharedCollection)> {
        let recent = self.recent.as_ref()?;
        let same = recent.hash == hash && recent.key.as_slice() == key;
        same.then_some((recent.id, recent.anchor, &recent.collection))
    }

    /// Where the anchor of a key lies, if its collection is the one that was changed last.
    #[inline]
    pub(super) fn recent_anchor(&self, hash: u64, key: &[u8]) -> Option<Location> {
        let recent = self.recent.as_ref()?;
        let same = recent.hash == hash && recent.key.as_slice() == key;
        same.then_some(recent.anchor)
    }

    /// Remembers the collection that is being changed.
    pub(super) fn remember(
        &mut self,
        hash: u64,
        key: &[u8],
        anchor: Location,
        id: u64,
        collection: SharedCollection,
    ) {
        self.recent = Some(Recent {
            hash,
            key: IndexKey::from_slice(key),
            anchor,
            id,
            collection,
        });
    }

    /// Records a key's new value and its location; returns where a look-up would find it.
    #[inline]
    pub(super) fn put(&mut self, put: IndexPut<'_>, clock: Clock) -> Located {
        let IndexPut {
            hash,
            key,
            kind,
            location,
            expires_at,
            was,
            access,
            renewed,
        } = put;
        self.recent = None;
        let index = &mut self.index;
        let replacement = Replacement {
            kind,
            location,
            expires_at,
        };
        let used = |bits| {
            if renewed {
                clock.first(access.now)
            } else if access.touch {
                clock.used(bits, access.now)
            } else {
                bits
            }
        };
        let replaced = was.and_then(|was| index.replace_used(hash, key, was, replacement, used));
        if let Some(now) = replaced {
            return now;
        }
        let new = NewEntry {
            key,
            kind,
            location,
            expires_at,
            access: clock.first(access.now),
        };
        let now = self.index.insert(hash, new);
        if let Some(view) = &self.view {
            view.insert(key);
        }
        now
    }

    /// Notes where the record of a key that a look-up has found lies now, and its deadline. Returns where a look-up would find
    /// it.
    pub(super) fn replace(
        &mut self,
        hash: u64,
        key: &[u8],
        old: Located,
        new: Replacement,
    ) -> Option<Located> {
        self.recent = None;
        self.index.replace(hash, key, old, new)
    }

    /// Forgets a key that a look-up has found.
    pub fn forget(&mut self, hash: u64, key: &[u8], located: Located, names: &dyn Names) {
        self.recent = None;
        self.index.remove(hash, key, located, names);
        if let Some(view) = &self.view {
            view.remove(key);
        }
    }
}
