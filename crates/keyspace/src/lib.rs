//! The keyspace: 16 databases of keys, an index in DRAM over values in the [`store`].
//!
//! May use: the store below, settings, Redis's numbers. Never: knows RESP, how records lie in pmemkv, or a socket; has
//! unsafe code.

#![forbid(unsafe_code)]

mod access;
mod background;
mod changes;
mod clock;
mod collection;
mod cursor;
mod databases;
mod events;
mod eviction;
mod gate;
mod index;
pub mod latency;
mod loading;
mod locking;
mod modified;
mod ordered;
mod prefetch;
mod room;
mod shard;
#[cfg(test)]
mod tests;
mod update;
mod wait;
mod walk;
mod watch;

use std::hash::Hasher;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use siphasher::sip::SipHasher13;

pub use access::StringView;
pub use background::Housekeeping;
pub use clock::random_below;
pub use collection::{
    Encoding, End, Fields, FieldsEdit, List, ListEdit, Scores, ScoresEdit, View, kept_score,
};
pub use cursor::Cursor;
pub use events::{EventClass, Observer};
pub use eviction::EvictionStats;
pub use gate::{Alone, Gate, Presence, Shared};
pub use loading::LoadProgress;
pub use prefetch::{Ahead, PREFETCHED};
pub use room::{ROOM_TIME_MAX, take_wanted};
pub use store::{Change, DATABASES, Kind, Millis, Range, RecordKind, StringForm, Value, now_ms};
pub use update::{KeyUpdate, NewCollection, StringChanges, StringEdit, Update};
pub use wait::{Ticket, Waiter};
pub use watch::Watches;

use background::Garbage;
use collection::Collections;
use events::Observed;
use eviction::Eviction;
use latency::Latency;
use loading::Loading;
use ordered::Views;
use shard::Shard;
use store::{Generations, RecordKey, Store, StoreError, Upkeep};
use wait::Ready;

/// When and how a command looks at keys.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    /// Now, read once for each batch of commands.
    pub now: Millis,
    /// Whether the access counts for LRU and LFU (false after CLIENT NO-TOUCH ON).
    pub touch: bool,
    /// The client that does it, 0 for the server itself.
    pub client: u64,
    /// Whether it is for a client that had to wait: nobody else's turn comes before it.
    pub serves: bool,
    /// Whether the thread may be busy for long: it serves no other clients meanwhile, or nobody else may run anyway.
    pub patient: bool,
}

impl Access {
    /// One that the server makes for itself.
    pub fn by_server(now: Millis) -> Self {
        Self {
            now,
            touch: false,
            client: 0,
            serves: false,
            patient: true,
        }
    }
}

/// What the index knows of a key, without reading its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    /// The value's type.
    pub kind: Kind,
    /// Deadline, or `None` where the key stays.
    pub expires_at: Option<Millis>,
    /// Seconds since the last access; `None` under an LFU policy, which does not count them.
    pub idle_s: Option<u64>,
    /// How often it was used, on LFU's logarithmic scale; `None` under other policies.
    pub frequency: Option<u8>,
}

/// Why a keyspace operation failed. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyspaceError {
    /// The pool has no room.
    #[error("the pool has no room")]
    OutOfMemory,
    /// It takes long, and the access is not patient.
    #[error("it takes long")]
    TakesLong,
    /// The data takes more than `maxmemory`, and nothing may go.
    #[error("the data takes more than 'maxmemory'")]
    OverMaxmemory,
    /// Larger than any value may be.
    #[error("the value is too large")]
    TooLarge,
    /// The key holds a value of another type.
    #[error("the key holds a value of another type")]
    WrongKind,
    /// pmemkv failed; its message.
    #[error("{0}")]
    Store(String),
}

/// Sizes of one database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatabaseStats {
    /// Keys, those included that are past their deadline and not yet removed.
    pub keys: u64,
    /// Keys with a deadline.
    pub expires: u64,
    /// Mean time to live of keys with a deadline, ms (an estimate).
    pub avg_ttl_ms: u64,
    /// DRAM of the index of its keys, bytes.
    pub index_bytes: u64,
}

/// What the keyspace and its store occupy, and what they have done since the start.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)] // INFO's pmemkv section names each field the same way.
pub struct StoreStats {
    pub engine: String,
    pub layout: &'static str,
    pub pool_path: Option<PathBuf>,
    pub pool_bytes: u64,
    pub allocated_bytes: u64,
    pub partitions: usize,
    pub partitions_indexed: usize,
    pub records: u64,
    pub index_bytes: u64,
    pub ordered_view_bytes: u64,
    pub stored_bytes: u64,
    pub stored_bytes_max: u64,
    pub expired_keys: u64,
    pub pending_removals: u64,
    pub background_removals: u64,
    pub expire_cycle_micros: u64,
    pub changes: u64,
    pub opens: Option<u64>,
    pub index_time: Option<Duration>,
    pub details: Vec<(&'static str, u64)>,
}

/// Bits of the hash that select a shard.
const SHARD_BITS: u32 = 8;
const SHARDS: usize = 1 << SHARD_BITS;

/// 16 databases of keys over one store. Shared by all connections.
pub struct Keyspace {
    store: Box<dyn Store>,
    shards: Vec<RwLock<Shard>>,
    /// Shards of one partition: `SHARDS / partitions`.
    shards_per_partition: usize,
    hash_seed: u64,
    /// Each database's generation. Changed only while every shard is locked for writing, so whoever holds a
    /// shard's lock sees a value that stays true for as long.
    generations: [AtomicU32; DATABASES],
    next_generation: Mutex<u32>,
    retains: bool,
    sorted: bool,
    views: Views,
    garbage: Mutex<Vec<Garbage>>,
    /// That of a transaction's flush, until the transaction is done.
    garbage_set_aside: Mutex<Vec<Garbage>>,
    in_transaction: AtomicBool,
    /// Collections that the transaction makes have this id or higher ones.
    first_id_in_transaction: AtomicU64,
    pending_removals: AtomicU64,
    /// Records that were removed in the background.
    background_removals: AtomicU64,
    expired_keys: AtomicU64,
    /// Time that the rounds of removing expired keys took, microseconds.
    expire_cycle_micros: AtomicU64,
    active_expiry: AtomicBool,
    loading: Loading,
    partitioned: bool,
    gate: Gate,
    observed: Observed,
    latency: Latency,
    /// Keys past their deadline are left until then, ms since the Unix epoch.
    expiry_held_until: AtomicI64,
    eviction: Eviction,
    collections: Collections,
    ready: Ready,
}

impl std::fmt::Debug for Keyspace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyspace").finish_non_exhaustive()
    }
}

/// A key's place: where it is looked for.
#[derive(Clone, Copy, Debug)]
struct Place {
    hash: u64,
    shard: usize,
}

impl Keyspace {
    /// The keyspace over `store`. Nothing is read yet: [`Housekeeping`] does it in the background. A partition that is
    /// needed earlier is read at once; of a store without partitions everything is read then.
    pub fn new(store: Box<dyn Store>) -> Self {
        let partitions = store.partitions();
        assert!(
            partitions.is_power_of_two() && partitions <= SHARDS,
            "a store has 1 to {SHARDS} partitions, a power of two"
        );
        let stored = store.generations();
        let abilities = store.abilities();
        let opens = store.usage().ok().and_then(|usage| usage.opens);
        Self {
            shards: (0..SHARDS).map(|_| RwLock::new(Shard::default())).collect(),
            shards_per_partition: SHARDS / partitions,
            hash_seed: store.hash_seed(),
            generations: stored.of_database.map(AtomicU32::new),
            next_generation: Mutex::new(stored.next),
            retains: abilities.retains,
            sorted: abilities.sorted,
            views: Views::default(),
            garbage: Mutex::default(),
            garbage_set_aside: Mutex::default(),
            in_transaction: AtomicBool::new(false),
            first_id_in_transaction: AtomicU64::new(0),
            pending_removals: AtomicU64::new(0),
            background_removals: AtomicU64::new(0),
            expire_cycle_micros: AtomicU64::new(0),
            expired_keys: AtomicU64::new(0),
            active_expiry: AtomicBool::new(true),
            // What is partitioned is read as it is needed.
            loading: Loading::new(abilities.partitioned),
            partitioned: abilities.partitioned,
            gate: Gate::new(1),
            observed: Observed::default(),
            latency: Latency::default(),
            expiry_held_until: AtomicI64::new(0),
            eviction: Eviction::default(),
            collections: Collections::new(opens.unwrap_or_default(), partitions),
            ready: Ready::default(),
            store,
        }
    }

    /// Says how many workers there are.
    #[must_use]
    pub fn for_workers(mut self, workers: usize) -> Self {
        self.gate = Gate::new(workers);
        self
    }

    /// Whoever runs commands comes in here first, so that transactions can be alone.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Makes everything written so far durable. A connection calls it before it sends replies, and holds no key.
    #[inline]
    pub fn commit(&self) -> Result<(), KeyspaceError> {
        let wrote = self.latency.timed("commit", || self.store.commit())?;
        if wrote && self.store.upkeep() >= Upkeep::Urgent {
            self.help()?;
        }
        Ok(())
    }

    /// Leaves the data in good order; after it nothing can be read or written: who tries waits for ever.
    pub fn close(&self) -> Result<(), KeyspaceError> {
        // A handler that outlived the server's patience must not write into a pool that says that it is closed.
        let shards = self.lock_all();
        self.store.commit()?;
        let closed = self.store.close();
        std::mem::forget(shards);
        Ok(closed?)
    }

    /// What is occupied, and what was done since the start.
    pub fn stats(&self) -> Result<StoreStats, KeyspaceError> {
        let usage = self.store.usage()?;
        let mut stats = StoreStats {
            engine: usage.engine,
            layout: usage.layout,
            pool_path: usage.pool_path,
            pool_bytes: usage.pool_bytes,
            allocated_bytes: usage.allocated_bytes,
            stored_bytes: self.store.fill().bytes,
            stored_bytes_max: usage.stored_bytes_max,
            partitions: self.store.partitions(),
            ordered_view_bytes: self.views.memory_bytes(),
            expired_keys: self.expired_keys.load(Ordering::Relaxed),
            pending_removals: self.pending_removals.load(Ordering::Relaxed),
            background_removals: self.background_removals.load(Ordering::Relaxed),
            expire_cycle_micros: self.expire_cycle_micros.load(Ordering::Relaxed),
            opens: usage.opens,
            index_time: self.loading.index_time(),
            details: usage.details,
            ..StoreStats::default()
        };
        let mut indexed = 0;
        for shard in &self.shards {
            let shard = shard.read();
            indexed += usize::from(shard.indexed);
            stats.changes += shard.changes;
            for table in &shard.tables {
                stats.records += table.index.len() as u64;
                stats.index_bytes += table.index.memory_bytes() as u64;
            }
        }
        stats.index_bytes += self.collections.memory_bytes();
        stats.partitions_indexed = indexed / self.shards_per_partition;
        Ok(stats)
    }

    /// The layout of the store's records.
    pub fn layout(&self) -> Result<&'static str, KeyspaceError> {
        Ok(self.store.usage()?.layout)
    }

    /// Asks the engine to defragment its pool.
    pub fn defrag(&self, start_percent: f64, amount_percent: f64) -> Result<(), KeyspaceError> {
        Ok(self.store.defrag(start_percent, amount_percent)?)
    }

    /// CONFIG RESETSTAT's share.
    pub fn reset_stats(&self) {
        self.expired_keys.store(0, Ordering::Relaxed);
        self.background_removals.store(0, Ordering::Relaxed);
        self.expire_cycle_micros.store(0, Ordering::Relaxed);
        self.eviction.reset_stats();
    }

    /// What has taken long.
    pub fn latency(&self) -> &Latency {
        &self.latency
    }

    /// Leaves keys past their deadline where they are until then, ms since the Unix epoch (CLIENT PAUSE).
    pub fn hold_expiry(&self, until: Millis) {
        self.expiry_held_until.store(until, Ordering::Relaxed);
    }

    /// Whether nothing is to be removed that no client asks to remove.
    pub fn is_expiry_held(&self, now: Millis) -> bool {
        self.expiry_held_until.load(Ordering::Relaxed) > now
    }

    /// Switches the background removal of expired keys on or off (DEBUG SET-ACTIVE-EXPIRE).
    pub fn set_active_expiry(&self, on: bool) {
        self.active_expiry.store(on, Ordering::Relaxed);
    }

    fn hash(&self, key: &[u8]) -> u64 {
        // Stable over versions, since it spreads keys over a pool's partitions, and keyed by the pool's own seed,
        // since clients choose the keys.
        let mut hasher = SipHasher13::new_with_keys(self.hash_seed, !self.hash_seed);
        hasher.write(key);
        hasher.finish()
    }

    fn place(&self, key: &[u8]) -> Place {
        let hash = self.hash(key);
        Place {
            hash,
            shard: shard_of(hash),
        }
    }

    fn partition(&self, shard: usize) -> usize {
        shard / self.shards_per_partition
    }

    /// The generation of a database. Only meaningful while a shard's lock is held.
    fn generation(&self, db: usize) -> u32 {
        self.generations[db].load(Ordering::Relaxed)
    }

    fn record<'k>(&self, place: Place, generation: u32, key: &'k [u8]) -> RecordKey<'k> {
        RecordKey {
            partition: self.partition(place.shard),
            generation,
            key,
        }
    }

    fn stored_generations(&self, next: u32) -> Generations {
        Generations {
            of_database: std::array::from_fn(|db| self.generation(db)),
            next,
        }
    }
}

#[allow(clippy::cast_possible_truncation)] // SHARD_BITS bits remain.
fn shard_of(hash: u64) -> usize {
    (hash >> (64 - SHARD_BITS)) as usize
}

impl From<StoreError> for KeyspaceError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::OutOfMemory => KeyspaceError::OutOfMemory,
            StoreError::TooLarge => KeyspaceError::TooLarge,
            other => KeyspaceError::Store(other.to_string()),
        }
    }
}
