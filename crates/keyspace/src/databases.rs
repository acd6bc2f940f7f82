//! Operations on whole databases: count, flush, swap.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use lock_order::{Mutex, Rank};

use super::garbage::Garbage;
use super::{DATABASES, DatabaseStats, Followed, Keyspace, KeyspaceError, Kind, Millis};
use store::Generations;

/// Keys per database from which the mean time to live is estimated.
const TTL_SAMPLES: u64 = 64;

/// If there are more collections whose elements have records of their own, a flush leaves all records to the background.
const COLLECTIONS_AT_ONCE_MAX: usize = 4096;

/// Databases from this number on stand for the contents that will [replace](crate::Replacement) those of the databases.
pub(super) const INCOMING: usize = DATABASES;

/// The generation of an incoming database while there is none. No record has it.
const NO_GENERATION: u32 = u32::MAX - 5;

/// Each database's generation. It changes only while every shard is locked for writing, so a thread that holds a shard's
/// lock sees a value that stays true for as long.
#[derive(Debug)]
pub(super) struct DatabaseGenerations {
    /// Those of the databases, then those of what will replace their contents.
    pub(super) of_database: [AtomicU32; 2 * DATABASES],
    pub(super) next: Mutex<u32>,
    /// Whether only this process knows them.
    pub(super) are_hidden: AtomicBool,
}

impl DatabaseGenerations {
    /// The generations that the store has.
    pub(super) fn new(stored: &Generations) -> Self {
        Self {
            of_database: std::array::from_fn(|db| {
                let stored = stored.of_database.get(db);
                AtomicU32::new(stored.copied().unwrap_or(NO_GENERATION))
            }),
            next: Mutex::new(Rank::Generations, stored.next),
            are_hidden: AtomicBool::new(false),
        }
    }

    /// The generation of a database. Only meaningful while a shard's lock is held.
    #[inline]
    pub(super) fn of(&self, db: usize) -> u32 {
        self.of_database[db].load(Ordering::Relaxed)
    }

    /// The generations of all databases.
    pub(super) fn all(&self) -> [u32; DATABASES] {
        std::array::from_fn(|db| self.of(db))
    }

    /// Whether a database has this generation, or is about to get it.
    pub(super) fn is_in_use(&self, generation: u32) -> bool {
        (0..2 * DATABASES).any(|db| self.of(db) == generation)
    }

    /// Whether there are contents that will replace those of the databases.
    fn has_incoming(&self) -> bool {
        (INCOMING..INCOMING + DATABASES).any(|db| self.of(db) != NO_GENERATION)
    }

    /// The database that holds this generation now.
    pub(super) fn database_of(&self, generation: u32) -> Option<usize> {
        (0..DATABASES).find(|&db| self.of(db) == generation)
    }
}

/// Whole databases; see [`Keyspace::databases`].
#[derive(Clone, Copy, Debug)]
pub struct Databases<'k> {
    pub(super) keyspace: &'k Keyspace,
}

impl Databases<'_> {
    /// How many keys a database holds, including expired ones that are not removed yet.
    pub fn len(self, db: usize) -> Result<u64, KeyspaceError> {
        let mut keys = 0;
        for number in 0..self.keyspace.shards.len() {
            let shard = self.keyspace.locking().read_shard(number)?;
            keys += shard
                .table(self.keyspace.generations.of(db))
                .map_or(0, |table| table.index.len() as u64);
        }
        Ok(keys)
    }

    /// Whether a database is empty.
    pub fn is_empty(self, db: usize) -> Result<bool, KeyspaceError> {
        Ok(self.len(db)? == 0)
    }

    /// A database's sizes, for INFO. It leaves out partitions that are not read yet, because INFO must not wait.
    pub fn stats(self, db: usize, now: Millis) -> DatabaseStats {
        let mut stats = DatabaseStats::default();
        let mut samples = 0u64;
        self.keyspace.loading().open_all();
        let mut ttl_sum = 0u64;
        let generation = self.keyspace.generations.of(db);
        stats.subexpiry = self.keyspace.registry.deadlines.len_of(generation);
        for shard in &self.keyspace.shards {
            let shard = shard.read();
            let Some(table) = shard.table(self.keyspace.generations.of(db)) else {
                continue;
            };
            stats.keys += table.index.len() as u64;
            stats.expires += table.index.expiring() as u64;
            stats.index_bytes += table.index.memory_bytes() as u64;
            if table.index.expiring() == 0 || samples >= TTL_SAMPLES {
                continue;
            }
            let names = self.keyspace.names(table.generation);
            let entries = table.index.iter().take(256);
            let deadlines = entries
                .filter(|entry| entry.has_deadline())
                // It is an estimate: a record that cannot be read is left out.
                .filter_map(|entry| table.index.named(entry, &names).ok()?.expires_at);
            for deadline in deadlines.take(4) {
                samples += 1;
                ttl_sum += u64::try_from(deadline - now).unwrap_or(0);
            }
        }
        stats.avg_ttl_ms = ttl_sum.checked_div(samples).unwrap_or(0);
        stats
    }

    /// How many keys of a database have values of each type, without types that it does not have.
    pub fn kinds(self, db: usize) -> Vec<(Kind, u64)> {
        self.keyspace.loading().open_all();
        let mut keys = [0; u8::MAX as usize + 1];
        for shard in &self.keyspace.shards {
            let shard = shard.read();
            let Some(table) = shard.table(self.keyspace.generations.of(db)) else {
                continue;
            };
            for entry in table.index.iter() {
                keys[entry.kind() as usize] += 1;
            }
        }
        (0..=u8::MAX)
            .filter_map(|number| Some((Kind::from_number(number)?, keys[usize::from(number)])))
            .filter(|&(_, keys)| keys > 0)
            .collect()
    }

    /// Empties a database with one durable store. The background removes the records; if no database has a key any more, the store
    /// stops counting all of them at once. The caller is alone in the gate.
    pub fn flush(self, db: usize) -> Result<(), KeyspaceError> {
        self.renew(&[db], false)
    }

    /// Empties every database, as [`flush`](Self::flush) does.
    pub fn flush_all(self) -> Result<(), KeyspaceError> {
        let all: [usize; DATABASES] = std::array::from_fn(|db| db);
        self.renew(&all, false)
    }

    /// Gives databases other contents: none, or with `incoming` those that were written beside theirs.
    pub(super) fn renew(self, databases: &[usize], incoming: bool) -> Result<(), KeyspaceError> {
        let keyspace = self.keyspace;
        let may_be_all = !incoming
            && !keyspace.transaction.is_running()
            && !keyspace.gathering.is_pending()
            && !keyspace.generations.has_incoming()
            && keyspace.registry.len() <= COLLECTIONS_AT_ONCE_MAX;
        let mut result = Ok(());
        let ran = may_be_all
            && keyspace.store.while_nothing_moves(&mut || {
                result = self.renew_beside(databases, incoming, true);
            });
        if ran {
            result
        } else {
            self.renew_beside(databases, incoming, false)
        }
    }

    /// [`renew`](Self::renew). `is_still` says that no background work moves records: if no key is left, the store then stops counting
    /// all records in one go.
    fn renew_beside(
        self,
        databases: &[usize],
        incoming: bool,
        is_still: bool,
    ) -> Result<(), KeyspaceError> {
        // The generations come after what was staged before them: most of that goes while no shard is locked.
        self.keyspace.store.commit()?;
        let mut shards = self.keyspace.locking().lock_all();
        self.keyspace.images().flushed();
        for shard in &shards {
            for &db in databases {
                let other = incoming.then_some(INCOMING + db);
                self.keyspace.watching().database_changes(shard, db, other);
            }
        }
        let mut next = self.keyspace.generations.next.lock();
        let mut generations = Generations {
            of_database: self.keyspace.generations.all(),
            next: *next,
        };
        let mut flushed = Vec::with_capacity(databases.len());
        for &db in databases {
            flushed.push(generations.of_database[db]);
            generations.of_database[db] = if incoming {
                self.keyspace.generations.of(INCOMING + db)
            } else {
                take_next(&mut generations)?
            };
        }
        if self.keeps_numbers_from_the_pool() {
            self.keyspace.store.reserve_generations(generations.next)?;
        }
        self.keyspace.events.tell_intent(None);
        self.set_generations(&generations)?;
        *next = generations.next;
        for &db in databases {
            self.keyspace.generations.of_database[db]
                .store(generations.of_database[db], Ordering::Relaxed);
            if incoming {
                self.keyspace.generations.of_database[INCOMING + db]
                    .store(NO_GENERATION, Ordering::Relaxed);
            }
        }
        for (number, shard) in shards.iter_mut().enumerate() {
            for &generation in &flushed {
                if let Some(table) = shard.detach(generation) {
                    shard.dirty += table.index.len() as u64;
                    self.keyspace.garbage().discard(Garbage::Table(
                        self.keyspace.hashing.partition_of_shard(number),
                        Box::new(table),
                    ));
                }
            }
        }
        for &db in databases {
            for shard in &mut shards {
                self.keyspace.waiting().database_changed(shard, db);
            }
        }
        self.keyspace.gathering.anchors_are_gone(&flushed);
        for generation in flushed {
            self.keyspace.views.remove(generation);
            if self.keyspace.transaction.is_running() {
                self.forget_own(generation);
            }
            if self.keyspace.has_collections() {
                self.keyspace
                    .garbage()
                    .discard(Garbage::Collections(generation));
            }
        }
        self.keyspace.events.tell_flushed(match databases {
            [db] => Some(*db),
            _ => None,
        });
        drop(next);
        let mut left = shards.iter().flat_map(|shard| &shard.tables);
        if is_still && left.all(|table| table.index.len() == 0) {
            self.keyspace.garbage().release_everything();
        }
        Ok(())
    }

    /// Gives every database fresh contents beside its own, with one durable store: no crash gives their numbers away again.
    pub(super) fn begin_incoming(self) -> Result<(), KeyspaceError> {
        self.keyspace.store.commit()?;
        let _shards = self.keyspace.locking().lock_all();
        let fresh = self.take_fresh()?;
        for (db, one) in fresh.into_iter().enumerate() {
            self.keyspace.generations.of_database[INCOMING + db].store(one, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Takes a number for each database that no later generation gets, durably. The caller has committed, and locked all
    /// shards.
    pub(super) fn take_fresh(self) -> Result<[u32; DATABASES], KeyspaceError> {
        let mut next = self.keyspace.generations.next.lock();
        let mut generations = Generations {
            of_database: self.keyspace.generations.all(),
            next: *next,
        };
        let mut fresh = [0; DATABASES];
        for one in &mut fresh {
            *one = take_next(&mut generations)?;
        }
        self.keyspace.store.set_generations(&generations)?;
        *next = generations.next;
        Ok(fresh)
    }

    /// Drops what was written beside the databases' contents.
    pub(super) fn drop_incoming(self) {
        let mut shards = self.keyspace.locking().lock_all();
        for db in INCOMING..INCOMING + DATABASES {
            let generation = self.keyspace.generations.of(db);
            if generation == NO_GENERATION {
                continue;
            }
            self.keyspace.generations.of_database[db].store(NO_GENERATION, Ordering::Relaxed);
            for (number, shard) in shards.iter_mut().enumerate() {
                if let Some(table) = shard.detach(generation) {
                    let partition = self.keyspace.hashing.partition_of_shard(number);
                    let garbage = Garbage::Table(partition, Box::new(table));
                    self.keyspace.garbage().discard(garbage);
                }
            }
            if self.keyspace.has_collections() {
                let garbage = Garbage::Collections(generation);
                self.keyspace.garbage().discard(garbage);
            }
        }
    }

    /// Removes what the running transaction has stored in a database that it then flushed.
    fn forget_own(self, generation: u32) {
        self.keyspace.store.generation_is_gone(generation);
        let first = self.keyspace.transaction.first_id();
        // If the transaction made no collection, there is nothing to find.
        if first < self.keyspace.registry.next_id() {
            for id in self.keyspace.registry.ids_from(generation, first) {
                self.keyspace.collections().remove(id);
            }
        }
    }

    /// Swaps the contents of two databases with one durable store. Swapping a database with itself only raises Redis's
    /// count of changes.
    pub fn swap(self, a: usize, b: usize) -> Result<(), KeyspaceError> {
        if a == b {
            self.keyspace.shards[0].write().dirty += 1;
            return Ok(());
        }
        // As for a flush.
        self.keyspace.store.commit()?;
        let mut shards = self.keyspace.locking().lock_all();
        for shard in &shards {
            self.keyspace.watching().database_changes(shard, a, Some(b));
            self.keyspace.watching().database_changes(shard, b, Some(a));
        }
        let next = self.keyspace.generations.next.lock();
        let mut generations = Generations {
            of_database: self.keyspace.generations.all(),
            next: *next,
        };
        generations.of_database.swap(a, b);
        self.keyspace.events.tell_intent(None);
        self.set_generations(&generations)?;
        for db in [a, b] {
            self.keyspace.generations.of_database[db]
                .store(generations.of_database[db], Ordering::Relaxed);
        }
        shards[0].dirty += 1;
        for shard in &mut shards {
            self.keyspace.waiting().database_changed(shard, a);
            self.keyspace.waiting().database_changed(shard, b);
        }
        self.keyspace.events.tell_followed(Followed::Databases);
        // As in Redis, clients that cache keys of either database get no invalidation.
        Ok(())
    }
}

/// Takes the next unused generation.
fn take_next(generations: &mut Generations) -> Result<u32, KeyspaceError> {
    let taken = generations.next;
    // At one flush a second, the numbers last for 136 years.
    generations.next = taken.checked_add(1).ok_or(KeyspaceError::Failed(
        "no generation number is left: make a new pool",
    ))?;
    Ok(taken)
}
