//! Reads the whole store before the first command, for stores whose keys can lie anywhere.
//!
//! Each thread reads parts of the store and sorts the records by shard, so that it locks a shard, and has the shard's
//! index in the cache, for many keys at a time. The record of a key with the highest sequence number counts. Loading
//! remembers tombstones until everything is read.

mod gone;

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lock_order::Rank;
use parking_lot::Mutex;

use super::collection::{Body, ELEMENTS, ElementBatch, element_batches};
use super::garbage::Garbage;
use super::hashing::{SHARDS, shard_of};
use super::index::{Found, IndexKey, NewEntry};
use super::loaded::LoadedRecord;
use super::{DATABASES, Keyspace, KeyspaceError, Millis};
use store::{StoreError, Visited, now_ms};

/// Records that a thread collects for a shard before it locks the shard.
const BATCH_RECORDS: usize = 256;

/// How often a thread logs the progress of loading.
const REPORT_TIME: Duration = Duration::from_secs(1);

/// The progress of loading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadProgress {
    /// Parts of the store that have been read.
    pub parts_read: usize,
    /// Parts that the store has.
    pub parts: usize,
    /// Milliseconds since loading began.
    pub elapsed_ms: u64,
}

impl LoadProgress {
    /// The share that has been read, 0 to 100.
    pub fn percent(&self) -> usize {
        self.parts_read * 100 / self.parts.max(1)
    }
}

/// The state of loading.
#[derive(Debug)]
pub(super) struct State {
    /// The thread that loads holds this lock.
    running: lock_order::Mutex<()>,
    done: AtomicBool,
    parts_read: AtomicUsize,
    started: Instant,
    /// The time until all keys were indexed.
    took: OnceLock<Duration>,
    at_end: OnceLock<AtEnd>,
    /// Keys that are gone by a deadline after this time are collected.
    collects_after: OnceLock<Millis>,
    /// Those keys, with their generations; `None` if there are too many.
    collected: Mutex<Option<Vec<(u32, IndexKey)>>>,
    /// The ids of hashes that have lost fields in this way. Their keys are collected when loading finds them.
    with_lost_fields: Mutex<HashSet<u64>>,
    /// Whether there are any.
    has_lost_fields: AtomicBool,
}

/// A step of the server's start.
type Step = dyn Fn(&Keyspace) -> Result<(), KeyspaceError> + Send + Sync;

/// What else must be done before commands are served.
struct AtEnd(Box<Step>);

impl std::fmt::Debug for AtEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AtEnd")
    }
}

impl State {
    /// The state before loading; `done` if there is nothing to load.
    pub fn new(done: bool) -> Self {
        Self {
            running: lock_order::Mutex::new(Rank::Loading, ()),
            done: AtomicBool::new(done),
            parts_read: AtomicUsize::new(0),
            started: Instant::now(),
            took: OnceLock::new(),
            at_end: OnceLock::new(),
            collects_after: OnceLock::new(),
            collected: Mutex::new(Some(Vec::new())),
            with_lost_fields: Mutex::default(),
            has_lost_fields: AtomicBool::new(false),
        }
    }

    /// Marks all keys as indexed; returns how long it took.
    pub fn finish(&self) -> Duration {
        *self.took.get_or_init(|| self.started.elapsed())
    }

    /// How long indexing all keys took; `None` while it is not finished.
    pub fn index_time(&self) -> Option<Duration> {
        self.took.get().copied()
    }
}

/// What a thread has read and not yet put into the indexes.
struct Batches {
    /// By shard.
    keys: Vec<Vec<LoadedRecord>>,
    /// Elements of collections, by register.
    elements: Vec<ElementBatch>,
}

/// The tombstones found in one shard: generation and key, with the sequence number.
type Removed = HashMap<(u32, IndexKey), u64>;

/// What the threads of one loading share.
struct LoadRun {
    next: AtomicUsize,
    generations: [u32; DATABASES],
    removed: Vec<Mutex<Removed>>,
    stop: AtomicBool,
    parts: usize,
    parts_read: AtomicUsize,
    /// Records read so far in each of the `generations`.
    records_read: [AtomicUsize; DATABASES],
    /// The last access that new entries get, because the store does not record accesses.
    first_access: u32,
}

impl LoadRun {
    /// Estimates how many keys a database will have, from the records read so far.
    fn keys_expected(&self, generation: u32) -> usize {
        let read = self.parts_read.load(Ordering::Relaxed);
        let database = self.generations.iter().position(|&one| one == generation);
        match (read, database) {
            (1.., Some(database)) => {
                self.records_read[database].load(Ordering::Relaxed) / read * self.parts
            }
            _ => 0,
        }
    }
}

/// The cores that a read of everything may use.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Runs `run` on `threads` new threads. New threads, because the allocator can reuse the memory of a thread that has
/// ended as soon as any thread frees it; memory of a living thread would wait for that thread.
pub(super) fn on_threads(
    threads: usize,
    run: impl Fn() -> Result<(), KeyspaceError> + Sync,
) -> Result<(), KeyspaceError> {
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(&run)).collect();
        let mut result = Ok(());
        for one in running {
            let one = one
                .join()
                .unwrap_or(Err(KeyspaceError::Failed("a reading thread panicked")));
            result = result.and(one);
        }
        result
    })
}

/// Reads the store into the index; see [`Keyspace::loading`].
#[derive(Clone, Copy, Debug)]
pub struct Loading<'k> {
    pub(super) keyspace: &'k Keyspace,
}

impl Loading<'_> {
    /// Whether commands can be served. Before that, a command would wait until the whole store is read.
    #[inline]
    pub fn is_done(self) -> bool {
        self.keyspace.loading.done.load(Ordering::Acquire)
    }

    /// The progress of loading; `None` when it is done.
    pub fn progress(self) -> Option<LoadProgress> {
        if self.is_done() {
            return None;
        }
        Some(LoadProgress {
            parts_read: self.keyspace.loading.parts_read.load(Ordering::Relaxed),
            parts: self.keyspace.store.parts(),
            elapsed_ms: u64::try_from(self.keyspace.loading.started.elapsed().as_millis())
                .unwrap_or(u64::MAX),
        })
    }

    /// Reads everything that is not read yet, with `threads` threads where the store allows that. For a caller that has no
    /// [`Housekeeping`](super::Housekeeping).
    pub fn read_all(self, threads: usize) -> Result<(), KeyspaceError> {
        if !self.keyspace.partitioned {
            self.load_all(threads, &AtomicBool::new(false))?;
            self.open_all();
            return self.gather(threads, &AtomicBool::new(false));
        }
        for partition in 0..self.keyspace.store.partitions() {
            self.index_partition(partition)?;
        }
        self.all_partitions_read();
        Ok(())
    }

    /// Has `at_end` run once the records of [libraries](Keyspace::libraries) and of a replica's [place](Keyspace::place) can be read and before any command is served:
    /// now, if the store reads its partitions when they are needed, otherwise at the end of loading. An error of it is one
    /// of loading. Call it before [`Housekeeping`](super::Housekeeping) starts.
    pub fn at_end(
        self,
        at_end: impl Fn(&Keyspace) -> Result<(), KeyspaceError> + Send + Sync + 'static,
    ) -> Result<(), KeyspaceError> {
        if self.keyspace.partitioned {
            for single in self.keyspace.singles() {
                single.locate()?;
            }
            return at_end(self.keyspace);
        }
        // A second one would be forgotten; the server gives one.
        let _ = self.keyspace.loading.at_end.set(AtEnd(Box::new(at_end)));
        Ok(())
    }

    /// Loads everything with `threads` threads, unless that is done. Fails and loads nothing if `stop` is set
    /// meanwhile.
    pub(super) fn load_all(self, threads: usize, stop: &AtomicBool) -> Result<(), KeyspaceError> {
        let _running = self.keyspace.loading.running.lock();
        if self.is_done() {
            return Ok(());
        }
        if self.keyspace.has_left_index() {
            return self.finish();
        }
        let run = LoadRun {
            next: AtomicUsize::new(0),
            generations: std::array::from_fn(|db| self.keyspace.generations.of(db)),
            removed: (0..SHARDS).map(|_| Mutex::default()).collect(),
            stop: AtomicBool::new(false),
            parts: self.keyspace.store.parts(),
            parts_read: AtomicUsize::new(0),
            records_read: std::array::from_fn(|_| AtomicUsize::new(0)),
            first_access: self.keyspace.eviction.clock().first(now_ms()),
        };
        let read = on_threads(threads, || self.load_parts(&run, stop));
        if let Err(error) = read {
            for shard in &self.keyspace.shards {
                shard.write().tables.clear();
            }
            for single in self.keyspace.singles() {
                single.forget();
            }
            return Err(error);
        }
        self.claim_collections(threads)?;
        let mut keys = 0;
        for shard in &self.keyspace.shards {
            let mut shard = shard.write();
            // In an arena, an index that is given back is found once more at the next start.
            let keeps_empty = self.keyspace.kept.is_some();
            shard
                .tables
                .retain(|table| keeps_empty || table.index.len() > 0);
            keys += shard
                .tables
                .iter()
                .map(|table| table.index.len())
                .sum::<usize>();
            shard.indexed = true;
        }
        self.keyspace.store.loaded(self.keyspace)?;
        self.bury_emptied()?;
        self.finish()?;
        let seconds = self.keyspace.loading.finish().as_secs_f64();
        tracing::info!(seconds, keys, "all keys are indexed");
        Ok(())
    }

    /// Lets commands be served.
    fn finish(self) -> Result<(), KeyspaceError> {
        if let Some(AtEnd(at_end)) = self.keyspace.loading.at_end.get() {
            at_end(self.keyspace)?;
        }
        self.keyspace.loading.finish();
        self.keyspace.loading.done.store(true, Ordering::Release);
        Ok(())
    }

    fn load_parts(self, run: &LoadRun, stop: &AtomicBool) -> Result<(), KeyspaceError> {
        let mut batches = Batches {
            keys: (0..SHARDS).map(|_| Vec::new()).collect(),
            elements: element_batches(),
        };
        let parts = self.keyspace.store.parts();
        let mut reported = Instant::now();
        let mut read_all = || -> Result<(), KeyspaceError> {
            loop {
                let part = run.next.fetch_add(1, Ordering::Relaxed);
                if part >= parts || run.stop.load(Ordering::Relaxed) {
                    break;
                }
                if stop.load(Ordering::Relaxed) {
                    return Err(KeyspaceError::Failed("the server is stopping"));
                }
                self.load_part(part, run, &mut batches)?;
                let read = self
                    .keyspace
                    .loading
                    .parts_read
                    .fetch_add(1, Ordering::Relaxed)
                    + 1;
                if reported.elapsed() >= REPORT_TIME {
                    reported = Instant::now();
                    tracing::info!(percent = read * 100 / parts, "reading the pool");
                }
            }
            for (number, batch) in batches.keys.iter_mut().enumerate() {
                self.absorb(number, run, batch)?;
            }
            for batch in &mut batches.elements {
                self.absorb_elements(batch)?;
            }
            Ok(())
        };
        read_all().inspect_err(|_| run.stop.store(true, Ordering::Relaxed))
    }

    fn load_part(
        self,
        part: usize,
        run: &LoadRun,
        batches: &mut Batches,
    ) -> Result<(), KeyspaceError> {
        let mut failed = None;
        let mut records_read = [0; DATABASES];
        self.keyspace.store.visit(part, &mut |record| {
            if failed.is_some() {
                return;
            }
            if record.generation == ELEMENTS {
                if self.is_collected(&record)
                    && let Some((id, _)) = self.element_of(&record)
                {
                    self.lost_field(id);
                }
                match self.collect_element(&record, &mut batches.elements) {
                    Ok(true) => {}
                    Ok(false) => {
                        failed = Some(KeyspaceError::Failed("an element's record has no id"));
                    }
                    Err(error) => failed = Some(error),
                }
                return;
            }
            if let Some(single) = self.keyspace.single_of(record.generation) {
                failed = single.met(&record).err();
                return;
            }
            let mut databases = run.generations.iter();
            let Some(database) = databases.position(|&one| one == record.generation) else {
                if !record.removed {
                    failed = self
                        .keyspace
                        .store
                        .release(record.location)
                        .err()
                        .map(Into::into);
                }
                return;
            };
            records_read[database] += 1;
            if self.is_collected(&record) {
                self.collect(record.generation, IndexKey::from_slice(record.key));
            }
            if let Err(error) = self.check_compact(&record) {
                failed = Some(error);
                return;
            }
            let hash = self.keyspace.hashing.hash(record.key);
            let number = shard_of(hash);
            let batch = &mut batches.keys[number];
            batch.push(LoadedRecord::of(hash, &record));
            if batch.len() >= BATCH_RECORDS {
                failed = self.absorb(number, run, batch).err();
            }
        })?;
        for (all, here) in run.records_read.iter().zip(records_read) {
            all.fetch_add(here, Ordering::Relaxed);
        }
        run.parts_read.fetch_add(1, Ordering::Relaxed);
        failed.map_or(Ok(()), Err)
    }

    /// Puts collected records of one shard into its index.
    fn absorb(
        self,
        number: usize,
        run: &LoadRun,
        batch: &mut Vec<LoadedRecord>,
    ) -> Result<(), KeyspaceError> {
        if batch.is_empty() {
            return Ok(());
        }
        let mut shard = self.keyspace.shards[number].write();
        let mut removed = run.removed[number].lock();
        for record in batch.drain(..) {
            if shard.table(record.generation).is_none() {
                let keys = run.keys_expected(record.generation) / SHARDS;
                let index = self.keyspace.new_index(number, record.generation, keys);
                shard.add(record.generation, index);
            }
            let new_index = || self.keyspace.new_index(number, record.generation, 0);
            let table = shard.table_for(record.generation, new_index, &self.keyspace.views);
            let names = self.keyspace.names(record.generation);
            let present = table.index.get(record.hash, &record.key, &names)?;
            if let Some(present) = present.map(Found::located) {
                if self.keyspace.store.sequence(present.location)? > record.sequence {
                    // Drop an older tombstone: the present record masks all that the tombstone would mask.
                    if !record.removed {
                        self.keyspace.store.release(record.location)?;
                    }
                    continue;
                }
                self.keyspace.store.release(present.location)?;
                table
                    .index
                    .remove(record.hash, &record.key, present, &names);
            }
            if record.removed {
                let last = removed.entry((record.generation, record.key)).or_default();
                *last = record.sequence.max(*last);
                continue;
            }
            if !removed.is_empty()
                && removed
                    .get(&(record.generation, record.key.clone()))
                    .is_some_and(|&last| last > record.sequence)
            {
                self.keyspace.store.release(record.location)?;
                continue;
            }
            let new = NewEntry {
                key: &record.key,
                kind: record.kind,
                location: record.location,
                expires_at: record.expires_at,
                access: run.first_access,
            };
            table.index.insert(record.hash, new);
        }
        Ok(())
    }

    /// Checks the record of a compact collection. One that lies in several parts, because its key is long, is not read here.
    fn check_compact(self, record: &Visited<'_>) -> Result<(), KeyspaceError> {
        self.keyspace.forms.note_kind(record.kind);
        if record.kind.is_compact() && !record.removed && !record.value.is_empty() {
            Body::check(record.kind, record.value)?;
        }
        Ok(())
    }

    /// Reads the elements of collections that a command has missed. The caller holds no shard.
    #[cold]
    pub(super) fn read_elements(self, partition: usize) -> Result<(), KeyspaceError> {
        if self.keyspace.partitioned {
            return self.index_partition(partition);
        }
        // The thread may be the one that starts the server, and then it is loading.
        self.gather(cores(), &AtomicBool::new(false))
    }

    /// Reads a partition's records into its shards, unless that was done before.
    pub(super) fn index_partition(self, partition: usize) -> Result<(), KeyspaceError> {
        if !self.keyspace.partitioned {
            self.load_all(1, &AtomicBool::new(false))?;
            self.open_all();
            return self.gather(cores(), &AtomicBool::new(false));
        }
        let first = partition * self.keyspace.hashing.shards_per_partition();
        let mut shards: Vec<_> = self.keyspace.shards
            [first..first + self.keyspace.hashing.shards_per_partition()]
            .iter()
            .map(|shard| shard.write())
            .collect();
        if shards.iter().all(|shard| shard.indexed) {
            return Ok(());
        }
        let current: [u32; super::DATABASES] =
            std::array::from_fn(|db| self.keyspace.generations.of(db));
        // The pool does not know of accesses.
        let first_access = self.keyspace.eviction.clock().first(now_ms());
        let mut dead = Vec::new();
        let mut misplaced = 0u64;
        let mut elements = Vec::new();
        let mut unreadable = Ok(());
        let visited = self.keyspace.store.visit(partition, &mut |record| {
            if record.generation == ELEMENTS {
                elements.extend(self.element_of(&record));
                return;
            }
            if let Some(single) = self.keyspace.single_of(record.generation) {
                if let Err(error) = single.met(&record) {
                    unreadable = Err(error);
                }
                return;
            }
            if !current.contains(&record.generation) {
                let key = IndexKey::from_slice(record.key);
                dead.push((record.generation, key, record.location));
                return;
            }
            let hash = self.keyspace.hashing.hash(record.key);
            let Some(shard) = shard_of(hash)
                .checked_sub(first)
                .and_then(|n| shards.get_mut(n))
            else {
                misplaced += 1;
                return;
            };
            if let Err(error) = self.check_compact(&record) {
                unreadable = Err(error);
                return;
            }
            self.note_anchor(&record);
            let new = NewEntry {
                key: record.key,
                kind: record.kind,
                location: record.location,
                expires_at: record.expires_at,
                access: first_access,
            };
            let new_index = || {
                self.keyspace
                    .new_index(shard_of(hash), record.generation, 0)
            };
            let table = shard.table_for(record.generation, new_index, &self.keyspace.views);
            table.index.insert(hash, new);
        });
        if let Err(error) = visited.map_err(KeyspaceError::from).and(unreadable) {
            for shard in &mut shards {
                shard.tables.clear();
            }
            return Err(error);
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
        self.keyspace
            .garbage()
            .discard(Garbage::Records(partition, dead));
        Ok(())
    }
}
