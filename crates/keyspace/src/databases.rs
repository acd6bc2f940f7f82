//! Operations on whole databases: count, flush, swap.

use std::sync::atomic::Ordering;

use parking_lot::RwLockWriteGuard;

use super::background::Garbage;
use super::shard::Shard;
use super::{DATABASES, DatabaseStats, Keyspace, KeyspaceError, Millis};

/// Keys per database from which the mean time to live is estimated.
const TTL_SAMPLES: u64 = 64;

impl Keyspace {
    /// How many keys a database holds, including expired ones that are not removed yet.
    pub fn len(&self, db: usize) -> Result<u64, KeyspaceError> {
        let mut keys = 0;
        for number in 0..self.shards.len() {
            let shard = self.read_shard(number)?;
            keys += shard
                .table(self.generation(db))
                .map_or(0, |table| table.index.len() as u64);
        }
        Ok(keys)
    }

    /// Whether a database is empty.
    pub fn is_empty(&self, db: usize) -> Result<bool, KeyspaceError> {
        Ok(self.len(db)? == 0)
    }

    /// A database's sizes, for INFO. It leaves out partitions that are not read yet, because INFO must not wait.
    pub fn database_stats(&self, db: usize, now: Millis) -> DatabaseStats {
        let mut stats = DatabaseStats::default();
        let mut samples = 0u64;
        let mut ttl_sum = 0u64;
        for shard in &self.shards {
            let shard = shard.read();
            let Some(table) = shard.table(self.generation(db)) else {
                continue;
            };
            stats.keys += table.index.len() as u64;
            stats.expires += table.index.expiring() as u64;
            stats.index_bytes += table.index.memory_bytes() as u64;
            if table.index.expiring() == 0 || samples >= TTL_SAMPLES {
                continue;
            }
            let deadlines = table
                .index
                .iter()
                .take(256)
                .filter_map(super::index::Entry::expires_at);
            for deadline in deadlines.take(4) {
                samples += 1;
                ttl_sum += u64::try_from(deadline - now).unwrap_or(0);
            }
        }
        stats.avg_ttl_ms = ttl_sum.checked_div(samples).unwrap_or(0);
        stats
    }

    /// Empties a database with one durable store. The background removes the records.
    pub fn flush(&self, db: usize) -> Result<(), KeyspaceError> {
        self.flush_databases(&[db])
    }

    /// Empties every database.
    pub fn flush_all(&self) -> Result<(), KeyspaceError> {
        let all: [usize; DATABASES] = std::array::from_fn(|db| db);
        self.flush_databases(&all)
    }

    fn flush_databases(&self, databases: &[usize]) -> Result<(), KeyspaceError> {
        // The generations come after what was staged before them: most of that goes while no shard is locked.
        self.store.commit()?;
        let mut shards = self.lock_all();
        for shard in &shards {
            for &db in databases {
                self.database_changes(shard, db, None);
            }
        }
        let mut next = self.next_generation.lock();
        let mut generations = self.stored_generations(*next);
        let mut flushed = Vec::with_capacity(databases.len());
        for &db in databases {
            flushed.push(generations.of_database[db]);
            generations.of_database[db] = generations.next;
            // At one flush a second, the numbers last for 136 years.
            generations.next = generations.next.checked_add(1).ok_or_else(|| {
                KeyspaceError::Store("no generation number is left: make a new pool".into())
            })?;
        }
        self.store.set_generations(&generations)?;
        *next = generations.next;
        for &db in databases {
            self.generations[db].store(generations.of_database[db], Ordering::Relaxed);
        }
        for (number, shard) in shards.iter_mut().enumerate() {
            for &generation in &flushed {
                if let Some(table) = shard.detach(generation) {
                    shard.changes += table.index.len() as u64;
                    self.discard(Garbage::Table(self.partition(number), table));
                }
            }
        }
        for generation in flushed {
            self.views.remove(generation);
            if self.is_in_transaction() {
                self.let_go_of_own(generation);
            }
            if self.collections.any() {
                self.discard(Garbage::Collections(generation));
            }
        }
        self.tell_flushed(match databases {
            [db] => Some(*db),
            _ => None,
        });
        Ok(())
    }

    /// Removes what the running transaction has stored in a database that it then flushed.
    fn let_go_of_own(&self, generation: u32) {
        self.store.generation_is_gone(generation);
        let first = self.first_id_in_transaction.load(Ordering::Relaxed);
        // If the transaction made no collection, there is nothing to find.
        if first < self.collections.next_id() {
            for id in self.collections.ids_from(generation, first) {
                self.drop_collection(id);
            }
        }
    }

    /// Swaps the contents of two databases with one durable store. Swapping a database with itself only raises Redis's
    /// count of changes.
    pub fn swap(&self, a: usize, b: usize) -> Result<(), KeyspaceError> {
        if a == b {
            self.shards[0].write().changes += 1;
            return Ok(());
        }
        // As for a flush.
        self.store.commit()?;
        let mut shards = self.lock_all();
        for shard in &shards {
            self.database_changes(shard, a, Some(b));
            self.database_changes(shard, b, Some(a));
        }
        let next = self.next_generation.lock();
        let mut generations = self.stored_generations(*next);
        generations.of_database.swap(a, b);
        self.store.set_generations(&generations)?;
        for db in [a, b] {
            self.generations[db].store(generations.of_database[db], Ordering::Relaxed);
        }
        shards[0].changes += 1;
        for shard in &mut shards {
            self.database_filled(shard, a);
            self.database_filled(shard, b);
        }
        // As in Redis, clients that cache keys of either database get no invalidation.
        Ok(())
    }

    /// Locks every shard for writing, in ascending order. No command may be running.
    pub(super) fn lock_all(&self) -> Vec<RwLockWriteGuard<'_, Shard>> {
        self.shards.iter().map(parking_lot::RwLock::write).collect()
    }
}
