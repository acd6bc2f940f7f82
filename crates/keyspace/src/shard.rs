//! One shard: the index of all generations for the keys whose hash starts with the shard's number.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use parking_lot::{RwLockReadGuard, RwLockWriteGuard};

use super::collection::{ELEMENTS, Shared};
use super::index::{Entry, Index, IndexKey};
use super::ordered::OrderedView;
use super::wait::Queues;
use super::watch::Watchers;
use super::{Keyspace, KeyspaceError, SHARD_BITS, shard_of};
use crate::background::Garbage;
use store::{Location, StoreError, now_ms};

/// One generation's keys in one shard.
#[derive(Debug)]
pub struct Table {
    /// Whose keys.
    pub generation: u32,
    /// The keys.
    pub index: Index,
    /// The generation's ordered view, once a range command has asked for it.
    pub view: Option<Arc<OrderedView>>,
    /// The collection that was changed last, found without its head.
    recent: Option<Recent>,
}

/// A collection whose head lies at a place. Any change of a head makes the table forget it.
#[derive(Debug)]
struct Recent {
    hash: u64,
    head: Location,
    id: u64,
    collection: Shared,
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
    /// Changes by commands, as Redis counts them.
    pub(super) changes: u64,
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

    /// Takes a generation's table out.
    pub fn detach(&mut self, generation: u32) -> Option<Table> {
        let position = self
            .tables
            .iter()
            .position(|table| table.generation == generation)?;
        Some(self.tables.swap_remove(position))
    }
}

impl Keyspace {
    /// A shard for reading, indexed.
    pub(super) fn read_shard(
        &self,
        number: usize,
    ) -> Result<RwLockReadGuard<'_, Shard>, KeyspaceError> {
        loop {
            let shard = self.shards[number].read();
            if shard.indexed {
                return Ok(shard);
            }
            drop(shard);
            self.index_partition(self.partition(number))?;
        }
    }

    /// A shard for writing, indexed.
    pub(super) fn write_shard(
        &self,
        number: usize,
    ) -> Result<RwLockWriteGuard<'_, Shard>, KeyspaceError> {
        loop {
            let shard = self.shards[number].write();
            if shard.indexed {
                return Ok(shard);
            }
            drop(shard);
            self.index_partition(self.partition(number))?;
        }
    }

    /// Reads a partition's records into its shards, unless that was done before.
    pub(super) fn index_partition(&self, partition: usize) -> Result<(), KeyspaceError> {
        if !self.partitioned {
            return self.load(1, &AtomicBool::new(false));
        }
        let first = partition * self.shards_per_partition;
        let mut shards: Vec<_> = self.shards[first..first + self.shards_per_partition]
            .iter()
            .map(|shard| shard.write())
            .collect();
        if shards.iter().all(|shard| shard.indexed) {
            return Ok(());
        }
        let current: [u32; super::DATABASES] = std::array::from_fn(|db| self.generation(db));
        // The pool does not know of accesses.
        let first_access = self.eviction.clock().first(now_ms());
        let mut dead = Vec::new();
        let mut misplaced = 0u64;
        let mut elements = Vec::new();
        let visited = self.store.visit(partition, &mut |record| {
            if record.generation == ELEMENTS {
                elements.extend(self.found_element(&record));
                return;
            }
            if !current.contains(&record.generation) {
                let key = IndexKey::from_slice(record.key);
                dead.push((record.generation, key, record.location));
                return;
            }
            let hash = self.hash(record.key);
            let Some(shard) = shard_of(hash)
                .checked_sub(first)
                .and_then(|n| shards.get_mut(n))
            else {
                misplaced += 1;
                return;
            };
            self.meet_head(&record);
            let entry = Entry::new(
                record.key,
                record.kind,
                record.location,
                record.expires_at,
                first_access,
            );
            let table = self.table_for(shard, record.generation);
            table.index.insert(hash, entry, &|key| self.hash(key));
        });
        if let Err(error) = visited {
            for shard in &mut shards {
                shard.tables.clear();
            }
            return Err(error.into());
        }
        if misplaced > 0 {
            for shard in &mut shards {
                shard.tables.clear();
            }
            return Err(StoreError::Damaged(format!(
                "partition {partition} holds {misplaced} records that belong to others"
            ))
            .into());
        }
        self.elements_read(partition, elements)?;
        for shard in &mut shards {
            shard.indexed = true;
        }
        self.discard(Garbage::Records(partition, dead));
        Ok(())
    }

    /// The table of a generation, made where there is none.
    pub(super) fn table_for<'s>(&self, shard: &'s mut Shard, generation: u32) -> &'s mut Table {
        let position = shard
            .tables
            .iter()
            .position(|table| table.generation == generation)
            .unwrap_or_else(|| {
                let index = Index::new(SHARD_BITS);
                let view = self.views.get(generation);
                shard.tables.push(Table::new(generation, index, view));
                shard.tables.len() - 1
            });
        &mut shard.tables[position]
    }

    /// Notes in the index that `key` now has a value at `location`.
    pub(super) fn index_put(&self, shard: &mut Shard, generation: u32, put: IndexPut<'_>) {
        let table = self.table_for(shard, generation);
        let IndexPut {
            hash,
            key,
            kind,
            location,
            expires_at,
            access,
            renewed,
        } = put;
        table.recent = None;
        let clock = self.eviction.clock();
        if let Some(entry) = table.index.replace(hash, key, kind, location, expires_at) {
            if renewed {
                entry.renew(access.now, clock);
            } else if access.touch {
                entry.touch(access.now, clock);
            }
            return;
        }
        let entry = Entry::new(key, kind, location, expires_at, clock.first(access.now));
        table.index.insert(hash, entry, &|key| self.hash(key));
        if let Some(view) = &table.view {
            view.insert(key);
        }
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
    pub(super) fn recent(&self, hash: u64, entry: &Entry) -> Option<(u64, &Shared)> {
        let recent = self.recent.as_ref()?;
        let same = recent.hash == hash && recent.head == entry.location;
        same.then_some((recent.id, &recent.collection))
    }

    /// Notes the collection that is changed now.
    pub(super) fn remember(&mut self, hash: u64, head: Location, id: u64, collection: Shared) {
        self.recent = Some(Recent {
            hash,
            head,
            id,
            collection,
        });
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
