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
    /// Whose keys.
    pub generation: u32,
    /// The keys.
    pub index: Index,
    /// The generation's ordered view, once a range command has asked for it.
    pub view: Option<Arc<OrderedView>>,
    /// The collection that was changed last, found without its anchor.
    recent: Option<Recent>,
}

/// A collection whose anchor lies at a place. Any change of an anchor makes the table forget it.
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
    /// Who watches keys of this shard; seldom anybody.
    pub(super) watchers: Option<Box<Watchers>>,
    /// Changes of data by commands, as Redis counts them.
    pub(super) dirty: u64,
    /// Who waits for keys of this shard; seldom anybody.
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

    /// Takes a generation's table out.
    pub fn detach(&mut self, generation: u32) -> Option<Table> {
        let position = self
            .tables
            .iter()
            .position(|table| table.generation == generation)?;
        Some(self.tables.swap_remove(position))
    }
}

/// A stored value that the index is to know.
#[derive(Clone, Copy, Debug)]
pub struct IndexPut<'a> {
    pub hash: u64,
    pub key: &'a [u8],
    pub kind: super::Kind,
    pub location: Location,
    pub expires_at: Option<super::Millis>,
    pub access: super::Access,
    /// Whether the key was past its deadline: what it has now is new.
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

    /// The collection of a key that is there, where it is the one that was changed last.
    pub(super) fn recent(&self, hash: u64, entry: &Entry) -> Option<(u64, &SharedCollection)> {
        let recent = self.recent.as_ref()?;
        let same = recent.hash == hash && recent.anchor == entry.location;
        same.then_some((recent.id, &recent.collection))
    }

    /// Notes the collection that is changed now.
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

    /// Notes that a key now has a value at a location. `hash_of` hashes the keys that the index moves.
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
