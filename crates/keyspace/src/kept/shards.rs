//! Takes over the shards that an earlier process has left, one at a time.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::{CHECK_REST, LeftShard, State};
use crate::KeyspaceError;
use crate::collection::has_anchor;
use crate::hashing::{SHARD_BITS, SHARDS};
use crate::index::{Found, Index, NewEntry, Replacement};
use crate::loaded::LoadedRecord;
use crate::loading::{Loading, on_threads};
use crate::shard::Shard;
use store::{StoreError, now_ms};

/// How long a start leaves the cores to the first commands.
const FIRST_COMMANDS_TIME: Duration = Duration::from_millis(20);

impl Loading<'_> {
    /// Has the next start read everything.
    pub(in super::super) fn poison_index(self) {
        if let Some(kept) = &self.keyspace.kept {
            kept.arena.poison();
            // The log says why.
            kept.told.store(true, Ordering::Relaxed);
        }
    }

    /// Takes a shard over from an earlier process, or reads the partition that it belongs to, unless that was done.
    #[cold]
    pub(in super::super) fn index_shard(self, number: usize) -> Result<(), KeyspaceError> {
        if self.keyspace.has_left_index() {
            self.open_shard(number);
            return Ok(());
        }
        let partition = self.keyspace.hashing.partition_of_shard(number);
        self.index_partition(partition)
    }

    /// Takes over all shards that an earlier process has left. The caller holds none.
    pub(in super::super) fn open_all(self) {
        if let Some(kept) = &self.keyspace.kept
            && !kept.is_open()
        {
            for number in 0..SHARDS {
                self.open_shard(number);
            }
        }
    }

    /// As [`open_all`](Self::open_all), behind commands: the first ones take over the shards that they need themselves, and have the
    /// cores for it.
    pub(in super::super) fn open_all_behind(self, stop: &AtomicBool) {
        let Some(kept) = self.keyspace.kept.as_ref().filter(|kept| !kept.is_open()) else {
            return;
        };
        std::thread::park_timeout(FIRST_COMMANDS_TIME);
        for number in 0..SHARDS {
            if kept.is_open() || stop.load(Ordering::Acquire) {
                return;
            }
            let started = Instant::now();
            self.open_shard(number);
            std::thread::park_timeout(started.elapsed());
        }
    }

    /// As [`open_all`](Self::open_all), with several threads.
    pub(in super::super) fn open_all_on(self, threads: usize) -> Result<(), KeyspaceError> {
        let is_open = |kept: &State| kept.is_open();
        if self.keyspace.kept.as_ref().is_none_or(is_open) {
            return Ok(());
        }
        let next = AtomicUsize::new(0);
        on_threads(threads, || {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= SHARDS {
                    return Ok(());
                }
                self.open_shard(number);
            }
        })
    }

    /// Reads what the start has not read, a part at a time and resting between them: damage must not wait for the command
    /// that needs the damaged record. The next start then reads everything, and says what is wrong.
    pub(in super::super) fn check_unread(self, stop: &AtomicBool) {
        if !self.keyspace.has_left_index() {
            return;
        }
        std::thread::park_timeout(FIRST_COMMANDS_TIME);
        for part in 0..self.keyspace.store.parts() {
            if stop.load(Ordering::Acquire) {
                return;
            }
            let started = Instant::now();
            if let Err(error) = self.keyspace.store.check_unread(part) {
                self.poison_index();
                tracing::error!(%error, "the pool is damaged. The next start reads all of it");
                return;
            }
            std::thread::park_timeout(started.elapsed() * CHECK_REST);
        }
    }

    fn open_shard(self, number: usize) {
        let Some(kept) = &self.keyspace.kept else {
            return;
        };
        let mut shard = self.keyspace.shards[number].write();
        if shard.indexed {
            return;
        }
        let left = std::mem::take(&mut *kept.left[number].lock());
        if let Err(why) = self.rebuild(kept, &mut shard, number, left) {
            // Commands may have been answered by other shards, so this process cannot begin again.
            kept.arena.poison();
            tracing::error!(
                path = %kept.arena.path().display(),
                "the index that the last process has left is damaged: {why}. The next start reads the whole pool"
            );
            std::process::abort();
        }
        shard.indexed = true;
        kept.unopened.fetch_sub(1, Ordering::AcqRel);
    }

    fn rebuild(
        self,
        kept: &State,
        shard: &mut Shard,
        number: usize,
        left: LeftShard,
    ) -> Result<(), String> {
        let keyspace = self.keyspace;
        for one in left.tables {
            let generation = one.owner.generation;
            let index = Index::reopen(SHARD_BITS, kept.arena, one)?;
            shard.add(generation, index);
        }
        for record in left.records {
            self.enter(shard, number, record)
                .map_err(|error| error.to_string())?;
        }
        for table in &shard.tables {
            let index = &table.index;
            let mut has_anchors = false;
            let claimed = keyspace.store.claim(&mut |claim| {
                index.iter().for_each(|entry| {
                    has_anchors |= has_anchor(entry.stored_kind());
                    keyspace.forms.note_kind(entry.stored_kind());
                    claim(index.location(entry));
                });
            });
            claimed.map_err(|error| error.to_string())?;
            if has_anchors && !keyspace.gathering.is_pending() {
                return Err("it names a collection with elements".to_owned());
            }
        }
        Ok(())
    }

    /// Enters a later record into a shard that is being taken over.
    fn enter(
        self,
        shard: &mut Shard,
        number: usize,
        record: LoadedRecord,
    ) -> Result<(), StoreError> {
        let keyspace = self.keyspace;
        let LoadedRecord {
            hash,
            generation,
            key,
            kind,
            expires_at,
            location,
            sequence,
            removed,
        } = record;
        let names = keyspace.names(generation);
        let new_index = || keyspace.new_index(number, generation, 0);
        let table = shard.table_for(generation, new_index, &keyspace.views);
        let present = table.index.get(hash, &key, &names)?.map(Found::located);
        let Some(present) = present else {
            if !removed {
                let access = keyspace.eviction.clock().first(now_ms());
                let new = NewEntry {
                    key: &key,
                    kind,
                    location,
                    expires_at,
                    access,
                };
                table.index.insert(hash, new);
            }
            return Ok(());
        };
        if present.location == location || keyspace.store.sequence(present.location)? > sequence {
            return Ok(());
        }
        if removed {
            table.index.remove(hash, &key, present, &names);
        } else {
            let new = Replacement {
                kind,
                location,
                expires_at,
            };
            table.replace(hash, &key, present, new);
        }
        Ok(())
    }
}
