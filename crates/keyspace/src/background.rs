//! Background work: reads partitions that no client has asked for yet, removes keys past their deadline, and removes
//! the records of flushed databases.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::collection::ELEMENTS;
use super::hashing::shard_of;
use super::index::Found;
use super::loading::cores;
use super::{Keyspace, KeyspaceError};
use store::{OnCurrent, Relocate, StoreError, Upkeep, Worked, now_ms};

/// Time between two rounds.
const ROUND: Duration = Duration::from_millis(100);

/// Records of flushed databases removed before the thread rests.
const GARBAGE_PER_TURN: usize = 512;

/// The rest after background removal, as a multiple of the time it worked: 1 means half of a core.
const REST_SHARE: u32 = 1;

/// How long the store works before the thread rests.
const WORK_TIME: Duration = Duration::from_millis(1);

/// The time between two syncs of a store whose commits do not wait for the disk.
const SYNC_TIME: Duration = Duration::from_secs(1);

/// The longest pause between two checks for work. After a whole one the store counts as idle.
const LOOK_TIME: Duration = Duration::from_millis(50);

/// The background threads. Dropping this ends them.
#[derive(Debug)]
pub struct Housekeeping {
    keyspace: Arc<Keyspace>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Housekeeping {
    /// Starts the threads: one per core to read the store until it is loaded, one to remove expired keys and garbage,
    /// one for the store's own work. It calls `loaded` with the result once the whole store is read, unless the keyspace
    /// [has loaded](super::Loading::is_done) already.
    pub fn start(
        keyspace: &Arc<Keyspace>,
        loaded: impl FnOnce(Result<(), KeyspaceError>) + Send + 'static,
    ) -> std::io::Result<Self> {
        let mut housekeeping = Self {
            keyspace: Arc::clone(keyspace),
            stop: Arc::new(AtomicBool::new(false)),
            threads: Vec::new(),
        };
        let cores = cores();
        if keyspace.partitioned {
            let indexing = Arc::new(Indexing::new());
            for _ in 0..cores.min(keyspace.store.partitions()) {
                let (keyspace, indexing) = (Arc::clone(keyspace), Arc::clone(&indexing));
                housekeeping.spawn("index", move |stop| indexing.run(&keyspace, stop))?;
            }
        } else {
            let keyspace = Arc::clone(keyspace);
            housekeeping.spawn("store", move |stop| {
                let result = keyspace.loading().load_all(cores, stop);
                let is_loaded = result.is_ok();
                loaded(result);
                if is_loaded {
                    if !keyspace.loading().lacks_elements() {
                        keyspace.loading().open_all_behind(stop);
                    }
                    if let Err(error) = keyspace.loading().gather(cores, stop) {
                        tracing::info!(%error, "the elements of collections are not gathered");
                    }
                    keep_up(&keyspace, stop);
                }
            })?;
        }
        if keyspace.store.syncs().is_some() {
            let keyspace = Arc::clone(keyspace);
            housekeeping.spawn("sync", move |stop| sync_each_second(&keyspace, stop))?;
        }
        let keyspace = Arc::clone(keyspace);
        // What gathers elements reads everything too.
        if keyspace.has_left_index() && !keyspace.gathering.is_pending() {
            let keyspace = Arc::clone(&keyspace);
            housekeeping.spawn("check", move |stop| keyspace.loading().check_unread(stop))?;
        }
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
        self.keyspace.store.end_wait();
        self.keyspace.store.end_wait_to_sync();
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
            if let Err(error) = keyspace.loading().index_partition(partition) {
                tracing::error!(partition, %error, "a partition could not be read");
                return;
            }
            if self.done.fetch_add(1, Ordering::AcqRel) + 1 == partitions {
                keyspace.loading().all_partitions_read();
                let seconds = keyspace.loading.finish().as_secs_f64();
                tracing::info!(seconds, "all keys are indexed");
            }
        }
    }
}

impl Relocate for Keyspace {
    fn relocate(&self, generation: u32, key: &[u8], f: OnCurrent<'_>) -> Result<(), StoreError> {
        if generation == ELEMENTS {
            return self.collections().relocate(key, f);
        }
        if let Some(single) = self.single_of(generation) {
            return single.relocate(key, f);
        }
        let hash = self.hashing.hash(key);
        self.loading().open_all();
        let mut shard = self.shards[shard_of(hash)].write();
        let Some(table) = shard.table_mut(generation) else {
            return f(None).map(drop);
        };
        let found = table.index.get(hash, key, &self.names(generation))?;
        let present = found.map(Found::located);
        let moved = f(present.map(|present| present.location))?;
        if let (Some(location), Some(present)) = (moved, present) {
            table.replace(hash, key, present, present.moved(location));
        }
        Ok(())
    }

    fn awaits_removal(&self, generation: u32) -> bool {
        self.garbage().is_pending() && !self.generations.is_in_use(generation)
    }

    fn settle(&self) {
        self.settle_index();
    }
}

/// Does the store's background work (compaction). It takes at most half of a core, unless the work is urgent.
fn keep_up(keyspace: &Keyspace, stop: &AtomicBool) {
    keyspace.store.expect_random_reads();
    while !stop.load(Ordering::Acquire) {
        keyspace.publish_if_due();
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
            _ => {
                if !keyspace.store.wait_for_work(LOOK_TIME) {
                    work_when_idle(keyspace, stop);
                }
            }
        }
    }
}

/// Prepares for later writes until that is done or the store asks for something. It rests after each step, so that a
/// command that comes meanwhile finds a core.
fn work_when_idle(keyspace: &Keyspace, stop: &AtomicBool) {
    loop {
        let started = Instant::now();
        if stop.load(Ordering::Acquire) || !keyspace.store.work_when_idle(keyspace) {
            return;
        }
        // What was prepared has changed the file's times. A kill just now must not make the next start distrust the pool.
        keyspace.store.note_alive();
        if keyspace.store.wait_for_work(started.elapsed() * REST_SHARE) {
            // The next wait must not miss it.
            keyspace.store.end_wait();
            return;
        }
    }
}

/// Has the store sync what was committed: a second after it began with the last sync, or when the store asks for it.
fn sync_each_second(keyspace: &Keyspace, stop: &AtomicBool) {
    let mut next = Instant::now() + SYNC_TIME;
    while !stop.load(Ordering::Acquire) {
        keyspace
            .store
            .wait_to_sync(next.saturating_duration_since(Instant::now()));
        next = Instant::now() + SYNC_TIME;
        // The store has logged a failure, and refuses writes until a sync succeeds.
        let _ = keyspace.latency.timed("sync", || keyspace.store.sync());
    }
}

fn housekeep(keyspace: &Keyspace, stop: &AtomicBool) {
    let mut next = Instant::now();
    while !stop.load(Ordering::Acquire) {
        keyspace.store.note_alive();
        keyspace.store.look_at_reads();
        keyspace.expiry().run_cycle(now_ms());
        keyspace.publish_if_changed();
        next += ROUND;
        loop {
            let started = Instant::now();
            let (removed, evicts) = {
                let _inside = keyspace.gate.enter_background();
                if keyspace.waiting().has_ready() {
                    // These clients were waiting for the end of CLIENT PAUSE.
                    keyspace.waiting().serve();
                }
                let evicts = keyspace
                    .eviction()
                    .evict_in_background(WORK_TIME, now_ms())
                    .unwrap_or_else(|error| {
                        tracing::warn!(%error, "keys could not be evicted");
                        false
                    });
                (keyspace.garbage().remove(GARBAGE_PER_TURN), evicts)
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
