//! Background work: reads partitions that no client has asked for yet, removes keys past their deadline, and removes
//! the records of flushed databases.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::collection::{ELEMENTS, Shared};
use super::index::IndexKey;
use super::modified::Before;
use super::shard::{Shard, Table};
use super::{Access, Keyspace, KeyspaceError, Millis};
use store::{Gone, Location, OnCurrent, RecordKey, Relocate, StoreError, Upkeep, Worked, now_ms};

/// Time between two rounds.
const ROUND: Duration = Duration::from_millis(100);

/// Expired keys removed under one shard lock. At 5 us each, other threads wait no longer than 100 us.
const EXPIRED_PER_LOCK: usize = 20;

/// Records of flushed databases removed before the thread rests.
const GARBAGE_PER_TURN: usize = 512;

/// The rest after background removal, as a multiple of the time it worked: 1 means half of a core.
const REST_SHARE: u32 = 1;

/// How long the store works before the thread rests, and the longest pause between two checks for work.
const WORK_TIME: Duration = Duration::from_millis(1);
const LOOK_TIME: Duration = Duration::from_millis(100);

/// Records that belong to no database any more and wait for removal.
#[derive(Debug)]
pub enum Garbage {
    /// Single records of one partition: generation, key, location.
    Records(usize, Vec<(u32, IndexKey, Location)>),
    /// A flushed table of one partition.
    Table(usize, Table),
    /// A collection, its id, and how many of its elements are still to be counted as removed.
    Collection(u64, Shared, usize),
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

/// Turns a table into single records, when its removal begins.
fn unpack(table: &Table) -> Vec<(u32, IndexKey, Location)> {
    let entries = table.index.iter();
    let generation = table.generation;
    entries
        .map(|entry| {
            let key = IndexKey::from_slice(entry.key());
            (generation, key, entry.location)
        })
        .collect()
}

impl Keyspace {
    /// Queues garbage for removal in the background.
    pub(super) fn discard(&self, garbage: Garbage) {
        if garbage.len() > 0 {
            self.pending_removals
                .fetch_add(garbage.len() as u64, Ordering::Relaxed);
            if self.in_transaction.load(Ordering::Relaxed) {
                // A crash may still undo the transaction.
                self.garbage_set_aside.lock().push(garbage);
            } else {
                self.garbage.lock().push(garbage);
            }
        }
    }

    /// Whether a transaction is running, which a crash may still undo. Only the transaction's own thread may ask.
    pub(super) fn is_in_transaction(&self) -> bool {
        self.in_transaction.load(Ordering::Relaxed)
    }

    /// Whether the running transaction made this collection.
    pub(super) fn is_new_in_transaction(&self, id: u64) -> bool {
        self.is_in_transaction() && id >= self.first_id_in_transaction.load(Ordering::Relaxed)
    }

    /// Removes up to `limit` records of flushed databases and removed collections; returns how many.
    pub(super) fn remove_garbage(&self, limit: usize) -> usize {
        // No other thread knows these records, so no shard lock is needed.
        let Some(garbage) = self.garbage.lock().pop() else {
            return 0;
        };
        match garbage {
            Garbage::Records(partition, records) => self.remove_records(partition, records, limit),
            Garbage::Table(partition, table) => {
                self.remove_records(partition, unpack(&table), limit)
            }
            Garbage::Collection(id, collection, left) => {
                self.remove_elements(id, collection, left, limit)
            }
            Garbage::Collections(generation) => {
                self.collections.loading.heads_are_gone(generation);
                for (id, collection) in self.collections.take_generation(generation) {
                    self.discard_collection(id, collection, false);
                }
                self.count_removed(1);
                1
            }
        }
    }

    fn count_removed(&self, records: usize) {
        let records = records as u64;
        self.pending_removals.fetch_sub(records, Ordering::Relaxed);
        self.background_removals
            .fetch_add(records, Ordering::Relaxed);
    }

    fn remove_records(
        &self,
        partition: usize,
        mut records: Vec<(u32, IndexKey, Location)>,
        limit: usize,
    ) -> usize {
        let rest = records.len().saturating_sub(limit);
        let removed = records.split_off(rest);
        for (generation, key, location) in &removed {
            let record = RecordKey {
                partition,
                generation: *generation,
                key,
            };
            if let Err(error) = self.store.forget(record, *location, Gone::Flushed) {
                // The next start finds the record again and tries again.
                tracing::warn!(%error, "a record of a flushed database could not be removed");
            }
        }
        self.count_removed(removed.len());
        if !records.is_empty() {
            self.garbage
                .lock()
                .push(Garbage::Records(partition, records));
        }
        removed.len()
    }

    fn remove_elements(&self, id: u64, collection: Shared, left: usize, limit: usize) -> usize {
        let elements = collection.write().take_elements(id, limit);
        self.forget_elements(id, &elements);
        let rest = left.saturating_sub(elements.len());
        let done = if elements.is_empty() {
            left
        } else {
            left - rest
        };
        self.count_removed(done);
        if done > 0 && rest > 0 && !elements.is_empty() {
            let garbage = Garbage::Collection(id, collection, rest);
            self.garbage.lock().push(garbage);
        }
        elements.len()
    }

    /// Removes keys past their deadline, in every shard that has been read.
    pub(super) fn remove_expired(&self, now: Millis) -> Result<usize, KeyspaceError> {
        let mut removed = 0;
        for number in 0..self.shards.len() {
            loop {
                let due = {
                    let shard = self.shards[number].read();
                    let mut tables = shard.tables.iter();
                    shard.indexed && tables.any(|table| table.index.may_have_expired(now))
                };
                if !due {
                    break;
                }
                let here = self.remove_expired_in(number, now)?;
                removed += here;
                if here < EXPIRED_PER_LOCK {
                    break;
                }
                std::thread::yield_now();
            }
        }
        Ok(removed)
    }

    fn remove_expired_in(&self, number: usize, now: Millis) -> Result<usize, KeyspaceError> {
        let _inside = self.gate.enter_background();
        let mut shard = self.shards[number].write();
        let mut due = Vec::new();
        for table in &mut shard.tables {
            let keys = table.index.expired(now, EXPIRED_PER_LOCK - due.len());
            due.extend(keys.into_iter().map(|key| (table.generation, key)));
        }
        for (generation, key) in &due {
            self.remove_due(&mut shard, *generation, key, now)?;
        }
        Ok(due.len())
    }

    /// Removes a key past its deadline, and emits its event.
    fn remove_due(
        &self,
        shard: &mut Shard,
        generation: u32,
        key: &[u8],
        now: Millis,
    ) -> Result<(), KeyspaceError> {
        let place = self.place(key);
        let Some(entry) = shard.get(generation, place.hash, key) else {
            return Ok(());
        };
        let collection = self.collection_id(place, generation, entry)?;
        let record = self.record(place, generation, key);
        self.store.forget(record, entry.location, Gone::Expired)?;
        if let Some(table) = shard.table_mut(generation) {
            table.forget(place.hash, key);
        }
        if let Some(id) = collection {
            self.drop_collection(id);
        }
        match self.database_of(generation) {
            Some(db) => {
                let access = Access::by_server(now);
                self.wrote(shard, db, key, access, Before::Expired, false);
            }
            None => self.count_expired(1),
        }
        Ok(())
    }

    /// Removes an expired key on access if a client is notified of expiry, because Redis removes it at any access.
    /// Otherwise, and inside a transaction, the key waits for [`remove_expired`](Self::remove_expired).
    #[inline]
    pub(super) fn meet(&self, db: usize, key: &[u8], now: Millis) -> Result<(), KeyspaceError> {
        if self.is_observed() {
            self.expire_when_met(db, key, now)
        } else {
            Ok(())
        }
    }

    #[cold]
    fn expire_when_met(&self, db: usize, key: &[u8], now: Millis) -> Result<(), KeyspaceError> {
        let place = self.place(key);
        let is_due = |shard: &Shard| {
            let entry = shard.get(self.generation(db), place.hash, key);
            entry.is_some_and(|entry| entry.is_expired(now))
        };
        // A crash may still undo the transaction.
        let stays = self.in_transaction.load(Ordering::Relaxed) || self.is_expiry_held(now);
        if stays || !is_due(&*self.read_shard(place.shard)?) {
            return Ok(());
        }
        let (mut shard, locked) = self.lock_key(db, key, Access::by_server(now))?;
        if is_due(&shard) {
            self.remove_due(&mut shard, locked.generation, key, now)?;
        }
        Ok(())
    }

    pub(super) fn count_expired(&self, keys: u64) {
        if keys > 0 {
            self.expired_keys.fetch_add(keys, Ordering::Relaxed);
        }
    }
}

/// The background threads. Dropping this ends them.
#[derive(Debug)]
pub struct Housekeeping {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Housekeeping {
    /// Starts the threads: one per core to read the store until it is loaded, one to remove expired keys and garbage,
    /// one for the store's own work. It calls `failed` if the store cannot be read.
    pub fn start(
        keyspace: &Arc<Keyspace>,
        failed: impl FnOnce(KeyspaceError) + Send + 'static,
    ) -> std::io::Result<Self> {
        let mut housekeeping = Self {
            stop: Arc::new(AtomicBool::new(false)),
            threads: Vec::new(),
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        if keyspace.partitioned {
            let indexing = Arc::new(Indexing::new());
            for _ in 0..cores.min(keyspace.store.partitions()) {
                let (keyspace, indexing) = (Arc::clone(keyspace), Arc::clone(&indexing));
                housekeeping.spawn("index", move |stop| indexing.run(&keyspace, stop))?;
            }
        } else {
            let keyspace = Arc::clone(keyspace);
            housekeeping.spawn("store", move |stop| match keyspace.load(cores, stop) {
                Ok(()) => keep_up(&keyspace, stop),
                Err(error) => failed(error),
            })?;
        }
        let keyspace = Arc::clone(keyspace);
        housekeeping.spawn("housekeeping", move |stop| housekeep(&keyspace, stop))?;
        Ok(housekeeping)
    }

    fn spawn(
        &mut self,
        name: &str,
        run: impl FnOnce(&AtomicBool) + Send + 'static,
    ) -> std::io::Result<()> {
        let stop = Arc::clone(&self.stop);
        let thread = std::thread::Builder::new()
            .name(name.into())
            .spawn(move || run(&stop))?;
        self.threads.push(thread);
        Ok(())
    }
}

impl Drop for Housekeeping {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("a background thread had panicked");
            }
        }
    }
}

/// Indexes all partitions with several threads.
struct Indexing {
    next: AtomicUsize,
    done: AtomicUsize,
}

impl Indexing {
    fn new() -> Self {
        Self {
            next: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
        }
    }

    fn run(&self, keyspace: &Keyspace, stop: &AtomicBool) {
        let partitions = keyspace.store.partitions();
        while !stop.load(Ordering::Acquire) {
            let partition = self.next.fetch_add(1, Ordering::Relaxed);
            if partition >= partitions {
                return;
            }
            if let Err(error) = keyspace.index_partition(partition) {
                tracing::error!(partition, %error, "a partition could not be read");
                return;
            }
            if self.done.fetch_add(1, Ordering::AcqRel) + 1 == partitions {
                keyspace.all_partitions_read();
                let seconds = keyspace.loading.finish().as_secs_f64();
                tracing::info!(seconds, "all keys are indexed");
            }
        }
    }
}

impl Relocate for Keyspace {
    fn relocate(&self, generation: u32, key: &[u8], f: OnCurrent<'_>) -> Result<(), StoreError> {
        if generation == ELEMENTS {
            return self.relocate_element(key, f);
        }
        let place = self.place(key);
        let mut shard = self.shards[place.shard].write();
        let Some(table) = shard.table_mut(generation) else {
            return f(None).map(drop);
        };
        let entry = table.index.get(place.hash, key);
        let present = entry.map(|entry| (entry.location, entry.kind(), entry.expires_at()));
        let moved = f(present.map(|(location, ..)| location))?;
        if let (Some(location), Some((_, kind, expires_at))) = (moved, present) {
            table
                .index
                .replace(place.hash, key, kind, location, expires_at);
        }
        Ok(())
    }

    fn awaits_removal(&self, generation: u32) -> bool {
        self.pending_removals.load(Ordering::Relaxed) > 0 && self.database_of(generation).is_none()
    }
}

/// Does the store's background work (compaction). It takes at most half of a core, unless the work is urgent.
fn keep_up(keyspace: &Keyspace, stop: &AtomicBool) {
    while !stop.load(Ordering::Acquire) {
        let started = Instant::now();
        let worked = keyspace
            .store
            .work(keyspace, WORK_TIME)
            .inspect_err(|error| tracing::error!(%error, "the compaction failed"));
        match (worked, keyspace.store.upkeep()) {
            (Ok(Worked::Some), Upkeep::Urgent | Upkeep::Critical) => {}
            (Ok(Worked::Some), Upkeep::Background) => {
                std::thread::park_timeout(started.elapsed() * REST_SHARE);
            }
            (Ok(Worked::Elsewhere), _) => std::thread::park_timeout(WORK_TIME),
            _ => keyspace.store.wait_for_work(LOOK_TIME),
        }
    }
}

fn housekeep(keyspace: &Keyspace, stop: &AtomicBool) {
    let mut next = Instant::now();
    while !stop.load(Ordering::Acquire) {
        let now = now_ms();
        if keyspace.active_expiry.load(Ordering::Relaxed) && !keyspace.is_expiry_held(now) {
            let started = Instant::now();
            let removed = keyspace
                .latency
                .timed("expire-cycle", || keyspace.remove_expired(now));
            if let Err(error) = removed {
                tracing::warn!(%error, "expired keys could not be removed");
            }
            let micros = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
            keyspace
                .expire_cycle_micros
                .fetch_add(micros, Ordering::Relaxed);
        }
        next += ROUND;
        loop {
            let started = Instant::now();
            let (removed, evicts) = {
                let _inside = keyspace.gate.enter_background();
                if keyspace.has_ready() {
                    // These clients were waiting for the end of CLIENT PAUSE.
                    keyspace.serve_ready();
                }
                let evicts = keyspace
                    .evict_in_background(WORK_TIME, now_ms())
                    .unwrap_or_else(|error| {
                        tracing::warn!(%error, "keys could not be evicted");
                        false
                    });
                (keyspace.remove_garbage(GARBAGE_PER_TURN), evicts)
            };
            if stop.load(Ordering::Acquire) || (removed == 0 && !evicts) {
                break;
            }
            std::thread::park_timeout(started.elapsed() * REST_SHARE);
            if Instant::now() >= next {
                break;
            }
        }
        let now = Instant::now();
        match next.checked_duration_since(now) {
            Some(rest) => std::thread::park_timeout(rest),
            // Skip the rounds that were missed.
            None => next = now,
        }
    }
}
