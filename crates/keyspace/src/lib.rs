//! The keyspace: 16 databases of keys, an index in DRAM over values in the [`store`].
//!
//! May use: the store below, settings, Redis's numbers. Never: knows RESP, how records lie in pmemkv, or a socket; has
//! unsafe code.

#![forbid(unsafe_code)]

mod background;
mod clock;
mod collection;
mod cursor;
mod databases;
mod dirty;
mod events;
mod eviction;
mod expiry;
mod garbage;
mod gate;
mod hashing;
mod index;
pub mod latency;
mod loading;
mod locking;
mod memory_check;
mod ordered;
mod prefetch;
mod reading;
mod shard;
mod stats;
mod telling;
#[cfg(test)]
mod tests;
mod transaction;
mod update;
mod waiting;
mod walk;
mod watching;

use parking_lot::RwLock;

pub use background::Housekeeping;
pub use clock::random_below;
pub use collection::{
    Encoding, End, Fields, FieldsEdit, List, ListEdit, Scores, ScoresEdit, View, kept_score,
};
pub use cursor::Cursor;
pub use databases::Databases;
pub use events::{EventClass, Events, Observer};
pub use eviction::{Eviction, EvictionStats};
pub use expiry::Expiry;
pub use gate::{Alone, Gate, Presence, Shared};
pub use loading::{LoadProgress, Loading};
pub use memory_check::{MemoryCheck, RECLAIM_TIME_MAX, take_refused_bytes};
pub use prefetch::{Ahead, PREFETCHED};
pub use reading::StringView;
pub use stats::{DatabaseStats, StoreStats};
pub use store::{Change, DATABASES, Kind, Millis, Range, RecordKind, StringForm, Value, now_ms};
pub use update::{KeyUpdate, NewCollection, StringChanges, StringEdit, Update};
pub use waiting::{Ticket, Waiter, Waiting};
pub use walk::Walk;
pub use watching::{Watches, Watching};

use collection::{Collections, Registry};
use databases::DatabaseGenerations;
use garbage::GarbageQueue;
use hashing::{Hashing, SHARDS};
use latency::Latency;
use locking::Locking;
use ordered::Views;
use reading::Reading;
use shard::Shard;
use store::{Store, StoreError, Upkeep};
use telling::Telling;
use transaction::Transaction;
use update::Writing;

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
}

impl Access {
    /// One that the server makes for itself.
    pub fn by_server(now: Millis) -> Self {
        Self {
            now,
            touch: false,
            client: 0,
            serves: false,
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

/// 16 databases of keys over one store. Shared by all connections.
///
/// Its own methods are the verbs on keys, and what concerns the whole store. Everything else belongs to a part, each with
/// a module of its own: the fields hold their states, and the accessors give handles to what they do.
pub struct Keyspace {
    store: Box<dyn Store>,
    /// Whether the store keeps what is written.
    retains: bool,
    /// Whether the store keeps keys in byte order.
    sorted: bool,
    /// Whether the store reads each partition by itself, when a key of it is needed.
    partitioned: bool,
    shards: Vec<RwLock<Shard>>,
    hashing: Hashing,
    generations: DatabaseGenerations,
    views: Views,
    registry: Registry,
    loading: loading::State,
    expiry: expiry::State,
    garbage: garbage::State,
    eviction: eviction::State,
    waiting: waiting::State,
    transaction: Transaction,
    gate: Gate,
    events: Events,
    latency: Latency,
}

impl std::fmt::Debug for Keyspace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyspace").finish_non_exhaustive()
    }
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
        let abilities = store.abilities();
        let opens = store.usage().ok().and_then(|usage| usage.opens);
        Self {
            retains: abilities.retains,
            sorted: abilities.sorted,
            partitioned: abilities.partitioned,
            shards: (0..SHARDS).map(|_| RwLock::new(Shard::default())).collect(),
            hashing: Hashing::new(store.hash_seed(), partitions),
            generations: DatabaseGenerations::new(&store.generations()),
            views: Views::default(),
            registry: Registry::new(opens.unwrap_or_default(), partitions),
            // What is partitioned is read as it is needed.
            loading: loading::State::new(abilities.partitioned),
            expiry: expiry::State::default(),
            garbage: garbage::State::default(),
            eviction: eviction::State::default(),
            waiting: waiting::State::default(),
            transaction: Transaction::default(),
            gate: Gate::new(1),
            events: Events::default(),
            latency: Latency::default(),
            store,
        }
    }

    /// Says how many workers there are.
    #[must_use]
    pub fn for_workers(mut self, workers: usize) -> Self {
        self.gate = Gate::new(workers);
        self
    }

    /// Makes everything written so far durable. A connection calls it before it sends replies, and holds no key.
    #[inline]
    pub fn commit(&self) -> Result<(), KeyspaceError> {
        let wrote = self.latency.timed("commit", || self.store.commit())?;
        if wrote && self.store.upkeep() >= Upkeep::Urgent {
            self.memory_check().help_store()?;
        }
        Ok(())
    }

    /// Leaves the data in good order; after it nothing can be read or written: who tries waits for ever.
    pub fn close(&self) -> Result<(), KeyspaceError> {
        // A handler that outlived the server's patience must not write into a pool that says that it is closed.
        let shards = self.locking().lock_all();
        self.store.commit()?;
        let closed = self.store.close();
        std::mem::forget(shards);
        Ok(closed?)
    }

    /// The layout of the store's records.
    pub fn layout(&self) -> Result<&'static str, KeyspaceError> {
        Ok(self.store.usage()?.layout)
    }

    /// Asks the engine to defragment its pool.
    pub fn defrag(&self, start_percent: f64, amount_percent: f64) -> Result<(), KeyspaceError> {
        Ok(self.store.defrag(start_percent, amount_percent)?)
    }
}

/// The parts.
impl Keyspace {
    /// Whole databases: how many keys they hold, FLUSHDB, SWAPDB.
    #[inline]
    pub fn databases(&self) -> Databases<'_> {
        Databases { keyspace: self }
    }

    /// Many keys: SCAN, ranges, a random key.
    #[inline]
    pub fn walk(&self) -> Walk<'_> {
        Walk { keyspace: self }
    }

    /// Keys past their deadline.
    #[inline]
    pub fn expiry(&self) -> Expiry<'_> {
        Expiry { keyspace: self }
    }

    /// Keys that go because memory is short: `maxmemory` and its policies.
    #[inline]
    pub fn eviction(&self) -> Eviction<'_> {
        Eviction { keyspace: self }
    }

    /// Whether a call finds memory for what it adds, and the reclaiming of memory for it.
    #[inline]
    pub fn memory_check(&self) -> MemoryCheck<'_> {
        MemoryCheck { keyspace: self }
    }

    /// Reading the store into the index.
    #[inline]
    pub fn loading(&self) -> Loading<'_> {
        Loading { keyspace: self }
    }

    /// Clients that wait for keys: BLPOP and its like.
    #[inline]
    pub fn waiting(&self) -> Waiting<'_> {
        Waiting { keyspace: self }
    }

    /// Keys that transactions watch.
    #[inline]
    pub fn watching(&self) -> Watching<'_> {
        Watching { keyspace: self }
    }

    /// What the observer is told of, and the events of keys.
    #[inline]
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// The gate that a thread passes before it runs commands, so that a transaction can be alone.
    #[inline]
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// What has taken long.
    #[inline]
    pub fn latency(&self) -> &Latency {
        &self.latency
    }

    /// The locks of shards.
    #[inline]
    fn locking(&self) -> Locking<'_> {
        Locking { keyspace: self }
    }

    /// Values of locked keys.
    #[inline]
    fn reading(&self) -> Reading<'_> {
        Reading { keyspace: self }
    }

    /// The steps by which a key changes, but for the telling.
    #[inline]
    fn writing(&self) -> Writing<'_> {
        Writing { keyspace: self }
    }

    /// Who is told that a key was changed.
    #[inline]
    fn telling(&self) -> Telling<'_> {
        Telling { keyspace: self }
    }

    /// The collections that keys hold.
    #[inline]
    fn collections(&self) -> Collections<'_> {
        Collections { keyspace: self }
    }

    /// Records that belong to no database any more.
    #[inline]
    fn garbage(&self) -> GarbageQueue<'_> {
        GarbageQueue { keyspace: self }
    }
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
