//! Reads the whole store before the first command, for stores whose keys can lie anywhere.
//!
//! Each thread reads parts of the store and sorts the records by shard, so that it locks a shard, and has the shard's
//! index in the cache, for many keys at a time. The record of a key with the highest sequence number counts. Loading
//! remembers tombstones until everything is read.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::collection::{Batch, ELEMENTS, batches};
use super::index::{Entry, Index, IndexKey};
use super::shard::Table;
use super::{DATABASES, Keyspace, KeyspaceError, Kind, Millis, SHARD_BITS, SHARDS, shard_of};
use store::Location;
use store::now_ms;

/// Records that a thread collects for a shard before it locks the shard.
const GATHERED: usize = 256;

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

/// The state of loading.
#[derive(Debug)]
pub(super) struct Loading {
    /// The thread that loads holds this lock.
    turn: Mutex<()>,
    done: AtomicBool,
    parts_read: AtomicUsize,
    started: Instant,
    /// The time until all keys were indexed.
    took: OnceLock<Duration>,
}

impl Loading {
    /// The state before loading; `done` if there is nothing to load.
    pub fn new(done: bool) -> Self {
        Self {
            turn: Mutex::new(()),
            done: AtomicBool::new(done),
            parts_read: AtomicUsize::new(0),
            started: Instant::now(),
            took: OnceLock::new(),
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

/// A record that loading has read.
struct Found {
    hash: u64,
    generation: u32,
    key: IndexKey,
    kind: Kind,
    expires_at: Option<Millis>,
    location: Location,
    sequence: u64,
    removed: bool,
}

/// What a thread has read and not yet put into the indexes.
struct Gathered {
    /// By shard.
    keys: Vec<Vec<Found>>,
    /// Elements of collections, by register.
    elements: Vec<Batch>,
}

/// The tombstones found in one shard: generation and key, with the sequence number.
type Removed = HashMap<(u32, IndexKey), u64>;

/// What the threads of one loading share.
struct Shared {
    next: AtomicUsize,
    generations: [u32; DATABASES],
    removed: Vec<Mutex<Removed>>,
    stop: AtomicBool,
    parts: usize,
    parts_read: AtomicUsize,
    /// Records read so far in each of the `generations`.
    met: [AtomicUsize; DATABASES],
    /// The last access that new entries get, because the store does not record accesses.
    first_access: u32,
}

impl Shared {
    /// Estimates how many keys a database will have, from the records read so far.
    fn keys_expected(&self, generation: u32) -> usize {
        let read = self.parts_read.load(Ordering::Relaxed);
        let database = self.generations.iter().position(|&one| one == generation);
        match (read, database) {
            (1.., Some(database)) => self.met[database].load(Ordering::Relaxed) / read * self.parts,
            _ => 0,
        }
    }
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
                .unwrap_or_else(|_| Err(KeyspaceError::Store("a reading thread panicked".into())));
            result = result.and(one);
        }
        result
    })
}

impl Keyspace {
    /// Whether commands can be served. Before that, a command would wait until the whole store is read.
    #[inline]
    pub fn is_loaded(&self) -> bool {
        self.loading.done.load(Ordering::Acquire)
    }

    /// The progress of loading; `None` when it is done.
    pub fn load_progress(&self) -> Option<LoadProgress> {
        if self.is_loaded() {
            return None;
        }
        Some(LoadProgress {
            parts_read: self.loading.parts_read.load(Ordering::Relaxed),
            parts: self.store.parts(),
            elapsed_ms: u64::try_from(self.loading.started.elapsed().as_millis())
                .unwrap_or(u64::MAX),
        })
    }

    /// Loads everything with `threads` threads, unless that is done. Fails and loads nothing if `stop` is set
    /// meanwhile.
    pub(super) fn load(&self, threads: usize, stop: &AtomicBool) -> Result<(), KeyspaceError> {
        let _turn = self.loading.turn.lock();
        if self.is_loaded() {
            return Ok(());
        }
        let reading = Shared {
            next: AtomicUsize::new(0),
            generations: std::array::from_fn(|db| self.generation(db)),
            removed: (0..SHARDS).map(|_| Mutex::default()).collect(),
            stop: AtomicBool::new(false),
            parts: self.store.parts(),
            parts_read: AtomicUsize::new(0),
            met: std::array::from_fn(|_| AtomicUsize::new(0)),
            first_access: self.eviction.clock().first(now_ms()),
        };
        let read = on_threads(threads, || self.load_parts(&reading, stop));
        if let Err(error) = read {
            for shard in &self.shards {
                shard.write().tables.clear();
            }
            return Err(error);
        }
        self.claim_collections(threads)?;
        let mut keys = 0;
        for shard in &self.shards {
            let mut shard = shard.write();
            shard.tables.retain(|table| table.index.len() > 0);
            keys += shard
                .tables
                .iter()
                .map(|table| table.index.len())
                .sum::<usize>();
            shard.indexed = true;
        }
        self.store.loaded(self)?;
        self.loading.done.store(true, Ordering::Release);
        let seconds = self.loading.finish().as_secs_f64();
        tracing::info!(seconds, keys, "all keys are indexed");
        Ok(())
    }

    fn load_parts(&self, shared: &Shared, stop: &AtomicBool) -> Result<(), KeyspaceError> {
        let mut gathered = Gathered {
            keys: (0..SHARDS).map(|_| Vec::new()).collect(),
            elements: batches(),
        };
        let parts = self.store.parts();
        let mut reported = Instant::now();
        let mut run = || -> Result<(), KeyspaceError> {
            loop {
                let part = shared.next.fetch_add(1, Ordering::Relaxed);
                if part >= parts || shared.stop.load(Ordering::Relaxed) {
                    break;
                }
                if stop.load(Ordering::Relaxed) {
                    return Err(KeyspaceError::Store("the server ends".into()));
                }
                self.load_part(part, shared, &mut gathered)?;
                let read = self.loading.parts_read.fetch_add(1, Ordering::Relaxed) + 1;
                if reported.elapsed() >= REPORT_TIME {
                    reported = Instant::now();
                    tracing::info!(percent = read * 100 / parts, "reading the pool");
                }
            }
            for (number, found) in gathered.keys.iter_mut().enumerate() {
                self.absorb(number, shared, found)?;
            }
            for batch in &mut gathered.elements {
                self.absorb_elements(batch);
            }
            Ok(())
        };
        run().inspect_err(|_| shared.stop.store(true, Ordering::Relaxed))
    }

    fn load_part(
        &self,
        part: usize,
        shared: &Shared,
        gathered: &mut Gathered,
    ) -> Result<(), KeyspaceError> {
        let mut failed = None;
        let mut met = [0; DATABASES];
        self.store.visit(part, &mut |record| {
            if failed.is_some() {
                return;
            }
            if record.generation == ELEMENTS {
                if !self.gather_element(&record, &mut gathered.elements) {
                    let why = "an element's record without an id";
                    failed = Some(KeyspaceError::Store(why.into()));
                }
                return;
            }
            let mut databases = shared.generations.iter();
            let Some(database) = databases.position(|&one| one == record.generation) else {
                if !record.removed {
                    failed = self.store.release(record.location).err().map(Into::into);
                }
                return;
            };
            met[database] += 1;
            let hash = self.hash(record.key);
            let number = shard_of(hash);
            let found = &mut gathered.keys[number];
            found.push(Found {
                hash,
                generation: record.generation,
                key: IndexKey::from_slice(record.key),
                kind: record.kind,
                expires_at: record.expires_at,
                location: record.location,
                sequence: record.sequence,
                removed: record.removed,
            });
            if found.len() >= GATHERED {
                failed = self.absorb(number, shared, found).err();
            }
        })?;
        for (all, here) in shared.met.iter().zip(met) {
            all.fetch_add(here, Ordering::Relaxed);
        }
        shared.parts_read.fetch_add(1, Ordering::Relaxed);
        failed.map_or(Ok(()), Err)
    }

    /// Puts collected records of one shard into its index.
    fn absorb(
        &self,
        number: usize,
        reading: &Shared,
        gathered: &mut Vec<Found>,
    ) -> Result<(), KeyspaceError> {
        if gathered.is_empty() {
            return Ok(());
        }
        let mut shard = self.shards[number].write();
        let mut removed = reading.removed[number].lock();
        for found in gathered.drain(..) {
            if shard.table(found.generation).is_none() {
                let keys = reading.keys_expected(found.generation) / SHARDS;
                let index = Index::with_leaves_for(SHARD_BITS, keys);
                shard.tables.push(Table::new(found.generation, index, None));
            }
            let table = self.table_for(&mut shard, found.generation);
            let present = table.index.get(found.hash, &found.key);
            if let Some(present) = present.map(|entry| entry.location) {
                if self.store.sequence(present)? > found.sequence {
                    // Drop an older tombstone: the present record masks all that the tombstone would mask.
                    if !found.removed {
                        self.store.release(found.location)?;
                    }
                    continue;
                }
                self.store.release(present)?;
                table.index.remove(found.hash, &found.key);
            }
            if found.removed {
                let last = removed.entry((found.generation, found.key)).or_default();
                *last = found.sequence.max(*last);
                continue;
            }
            if !removed.is_empty()
                && removed
                    .get(&(found.generation, found.key.clone()))
                    .is_some_and(|&last| last > found.sequence)
            {
                self.store.release(found.location)?;
                continue;
            }
            let entry = Entry::new(
                &found.key,
                found.kind,
                found.location,
                found.expires_at,
                reading.first_access,
            );
            table.index.insert(found.hash, entry, &|key| self.hash(key));
        }
        Ok(())
    }
}
