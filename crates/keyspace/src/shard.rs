//! One shard: the index of all generations for the keys whose hash starts with the shard's number.

use std::sync::Arc;

use super::clock::Clock;
use super::collection::SharedCollection;
use super::hashing::SHARD_BITS;
use super::index::{Entry, Index};
use super::ordered::{OrderedView, Views};
use super::waiting::Queues;
use super::watching::Watchers;
use store::Location;

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

    /// The entry of a key, expired or not.
    pub fn get(&self, generation: u32, hash: u64, key: &[u8]) -> Option<&Entry> {
        self.table(generation)?.index.get(hash, key)
    }

    /// The table of a generation. A new one gets the generation's ordered view, if there is one.
    pub fn table_for(&mut self, generation: u32, views: &Views) -> &mut Table {
        let position = self
            .tables
            .iter()
            .position(|table| table.generation == generation)
            .unwrap_or_else(|| {
                let index = Index::new(SHARD_BITS);
                let table = Table::new(generation, index, views.get(generation));
                self.tables.push(table);
                self.tables.len() - 1
            });
        &mut self.tables[position]
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
    pub kind: super::Kind,
    pub location: Location,
    pub expires_at: Option<super::Millis>,
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
    pub(super) fn recent(&self, hash: u64, entry: &Entry) -> Option<(u64, &SharedCollection)> {
        let recent = self.recent.as_ref()?;
        let same = recent.hash == hash && recent.anchor == entry.location;
        same.then_some((recent.id, &recent.collection))
    }

    /// Remembers the collection that is being changed.
    pub(super) fn remember(
        &mut self,
        hash: u64,
        anchor: Location,
        id: u64,
        collection: SharedCollection,
    ) {
        self.recent = Some(Recent {
            hash,
            anchor,
            id,
            collection,
        });
    }

    /// Records a key's new value and its location. `hash_of` hashes the keys that the index moves.
    pub(super) fn put(&mut self, put: IndexPut<'_>, clock: Clock, hash_of: &dyn Fn(&[u8]) -> u64) {
        let IndexPut {
            hash,
            key,
            kind,
            location,
            expires_at,
            access,
            renewed,
        } = put;
        self.recent = None;
        if let Some(entry) = self.index.replace(hash, key, kind, location, expires_at) {
            if renewed {
                entry.renew(access.now, clock);
            } else if access.touch {
                entry.touch(access.now, clock);
            }
            return;
        }
        let entry = Entry::new(key, kind, location, expires_at, clock.first(access.now));
        self.index.insert(hash, entry, hash_of);
        if let Some(view) = &self.view {
            view.insert(key);
        }
    }

    /// Forgets a key.
    pub fn forget(&mut self, hash: u64, key: &[u8]) {
        self.recent = None;
        self.index.remove(hash, key);
        if let Some(view) = &self.view {
            view.remove(key);
        }
    }
}
