//! Garbage: records that belong to no database any more. They wait here until the background removes them.

use std::sync::atomic::{AtomicU64, Ordering};

use lock_order::{Mutex, Rank};

use super::collection::SharedCollection;
use super::index::IndexKey;
use super::shard::Table;
use super::single::Single;
use super::{Keyspace, StoreStats};
use store::{Gone, Location, RecordKey};

/// How many records ahead of the one that is removed are fetched into the processor's cache.
const RECORDS_AHEAD: usize = 8;

/// Records that belong to no database any more and wait for removal.
#[derive(Debug)]
pub enum Garbage {
    /// Single records of one partition: generation, key or its beginning, location.
    Records(usize, Vec<(u32, IndexKey, Location)>),
    /// A flushed table of one partition.
    Table(usize, Box<Table>),
    /// A collection, its id, and how many of its elements are still to be counted as removed.
    Collection(u64, SharedCollection, usize),
    /// The collections of a flushed database, by its generation.
    Collections(u32),
}

impl Garbage {
    fn len(&self) -> usize {
        match self {
            Garbage::Records(_, records) => records.len(),
            Garbage::Table(_, table) => table.index.len(),
            Garbage::Collection(_, _, elements) => *elements,
            Garbage::Collections(_) => 1,
        }
    }
}

/// Turns a table into single records, when its removal begins. Where the table keeps no keys, the generation is enough of
/// a name: no database has it any more.
fn unpack(mut table: Box<Table>) -> Vec<(u32, IndexKey, Location)> {
    let generation = table.generation;
    let records = table.index.take(table.index.len()).into_iter();
    records
        .map(|(key, location)| (generation, key, location))
        .collect()
}

/// The garbage of a keyspace.
#[derive(Debug)]
pub(super) struct State {
    queue: Mutex<Vec<Garbage>>,
    /// Garbage of the running transaction, until the transaction is done.
    set_aside: Mutex<Vec<Garbage>>,
    /// Garbage of which the store counts nothing any more. Only its memory is left.
    uncounted: Mutex<Vec<Garbage>>,
    /// Records that wait for removal.
    pending: AtomicU64,
    /// Records that were removed.
    removed: AtomicU64,
}

impl Default for State {
    fn default() -> Self {
        Self {
            queue: Mutex::new(Rank::Lists, Vec::new()),
            set_aside: Mutex::new(Rank::Lists, Vec::new()),
            uncounted: Mutex::new(Rank::Lists, Vec::new()),
            pending: AtomicU64::new(0),
            removed: AtomicU64::new(0),
        }
    }
}

/// Removes garbage; see [`Keyspace::garbage`].
#[derive(Clone, Copy, Debug)]
pub(super) struct GarbageQueue<'k> {
    pub(super) keyspace: &'k Keyspace,
}

impl<'k> GarbageQueue<'k> {
    fn state(self) -> &'k State {
        &self.keyspace.garbage
    }

    /// Whether records wait for removal.
    pub(super) fn is_pending(self) -> bool {
        self.state().pending.load(Ordering::Relaxed) > 0
    }

    /// Whether the running transaction has left garbage.
    pub(super) fn has_set_aside(self) -> bool {
        !self.state().set_aside.lock().is_empty()
    }

    /// Queues what a transaction has left, which is done now.
    pub(super) fn release_set_aside(self) {
        // What this thread has set aside it has counted before.
        if self.state().pending.load(Ordering::Relaxed) > 0 {
            let garbage = std::mem::take(&mut *self.state().set_aside.lock());
            self.state().queue.lock().extend(garbage);
        }
    }

    /// Writes the figures of INFO.
    pub(super) fn fill_stats(self, stats: &mut StoreStats) {
        stats.pending_removals = self.state().pending.load(Ordering::Relaxed);
        stats.background_removals = self.state().removed.load(Ordering::Relaxed);
    }

    pub(super) fn reset_stats(self) {
        self.state().removed.store(0, Ordering::Relaxed);
    }

    /// Queues garbage for removal in the background.
    pub(super) fn discard(self, garbage: Garbage) {
        if garbage.len() > 0 {
            self.state()
                .pending
                .fetch_add(garbage.len() as u64, Ordering::Relaxed);
            if self.keyspace.transaction.is_running() {
                // A crash may still undo the transaction.
                self.state().set_aside.lock().push(garbage);
            } else {
                self.state().queue.lock().push(garbage);
            }
        }
    }

    /// Has the store stop counting all that waits here, and everything else it holds but the single records. The caller has seen to it
    /// that no database has a key, inside [`Store::while_nothing_moves`](store::Store::while_nothing_moves).
    pub(super) fn release_everything(self) {
        let singles = self.keyspace.singles().map(Single::location);
        let kept: Vec<Location> = singles
            .into_iter()
            .filter(|&location| location != Location::default())
            .collect();
        if let Err(error) = self.keyspace.store.release_all_but(&kept) {
            tracing::warn!(%error, "records of flushed databases are removed one by one");
            return;
        }
        // The compaction must not ask a collection in the registry where its elements lie.
        for (id, collection) in self.keyspace.registry.take_all() {
            self.keyspace.collections().discard(id, collection, false);
        }
        let queue = std::mem::take(&mut *self.state().queue.lock());
        self.state().uncounted.lock().extend(queue);
    }

    /// Frees the memory of some garbage of which the store counts nothing; returns of how many records.
    fn free(self, limit: usize) -> usize {
        let Some(garbage) = self.state().uncounted.lock().pop() else {
            return 0;
        };
        let len = garbage.len();
        let freed = match garbage {
            Garbage::Collection(id, collection, left) => {
                let taken = collection.write().take_elements(id, limit).len();
                if taken > 0 && taken < left {
                    let rest = Garbage::Collection(id, collection, left - taken);
                    self.state().uncounted.lock().push(rest);
                    taken
                } else {
                    left
                }
            }
            Garbage::Collections(generation) => {
                let unclaimed = &self.keyspace.registry.unclaimed;
                unclaimed.anchors_are_gone(generation);
                len
            }
            Garbage::Records(..) | Garbage::Table(..) => len,
        };
        self.count_removed(freed);
        freed
    }

    /// Removes up to `limit` records of flushed databases and removed collections; returns how many.
    pub(super) fn remove(self, limit: usize) -> usize {
        // No other thread knows these records, so no shard lock is needed.
        let Some(garbage) = self.state().queue.lock().pop() else {
            return self.free(limit);
        };
        match garbage {
            Garbage::Records(partition, records) => self.remove_records(partition, records, limit),
            Garbage::Table(partition, table) => {
                self.remove_records(partition, unpack(table), limit)
            }
            Garbage::Collection(id, collection, left) => {
                self.remove_elements(id, collection, left, limit)
            }
            Garbage::Collections(generation) => {
                self.keyspace
                    .registry
                    .unclaimed
                    .anchors_are_gone(generation);
                for (id, collection) in self.keyspace.registry.take_generation(generation) {
                    self.keyspace.collections().discard(id, collection, false);
                }
                self.count_removed(1);
                1
            }
        }
    }

    fn count_removed(self, records: usize) {
        let records = records as u64;
        self.state().pending.fetch_sub(records, Ordering::Relaxed);
        self.state().removed.fetch_add(records, Ordering::Relaxed);
    }

    fn remove_records(
        self,
        partition: usize,
        mut records: Vec<(u32, IndexKey, Location)>,
        limit: usize,
    ) -> usize {
        let rest = records.len().saturating_sub(limit);
        let removed = records.split_off(rest);
        for (at, (generation, key, location)) in removed.iter().enumerate() {
            // The records lie everywhere, and each is looked at before it is released.
            if let Some((_, _, later)) = removed.get(at + RECORDS_AHEAD) {
                self.keyspace.store.prefetch(*later);
            }
            let record = RecordKey {
                partition,
                generation: *generation,
                key,
            };
            if let Err(error) = self.keyspace.store.forget(record, *location, Gone::Flushed) {
                // The next start finds the record again and tries again.
                tracing::warn!(%error, "a record of a flushed database could not be removed");
            }
        }
        self.count_removed(removed.len());
        if !records.is_empty() {
            self.state()
                .queue
                .lock()
                .push(Garbage::Records(partition, records));
        }
        removed.len()
    }

    fn remove_elements(
        self,
        id: u64,
        collection: SharedCollection,
        left: usize,
        limit: usize,
    ) -> usize {
        let elements = collection.write().take_elements(id, limit);
        self.keyspace.collections().forget_elements(id, &elements);
        let rest = left.saturating_sub(elements.len());
        let done = if elements.is_empty() {
            left
        } else {
            left - rest
        };
        self.count_removed(done);
        if done > 0 && rest > 0 && !elements.is_empty() {
            let garbage = Garbage::Collection(id, collection, rest);
            self.state().queue.lock().push(garbage);
        }
        elements.len()
    }
}
