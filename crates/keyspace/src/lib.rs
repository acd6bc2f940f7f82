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
pub mod fuzzing;
mod garbage;
mod gate;
mod hashing;
mod hidden;
mod image;
mod index;
mod kept;
pub mod latency;
mod libraries;
mod loaded;
mod loading;
mod locking;
mod memory_check;
mod names;
mod ordered;
mod place;
mod prefetch;
mod reading;
mod replacement;
mod shard;
mod single;
mod stats;
mod telling;
#[cfg(test)]
mod tests;
mod transaction;
mod update;
mod waiting;
mod walk;
mod watching;

use std::path::Path;
use std::sync::OnceLock;
use std::time::Instant;

use lock_order::{Guard, Mutex, Rank, RwLock};

pub use background::Housekeeping;
pub use clock::{Use, random_below};
pub use collection::{
    ConsumerView, Encoding, End, Fields, FieldsEdit, FormLimits, GroupState, GroupView, List,
    ListEdit, NodeLimits, Pair, PendingState, References, Scores, ScoresEdit, Stream,
    StreamBuilder, StreamEdit, StreamId, Trim, TrimTo, View,
};
pub use cursor::Cursor;
pub use databases::Databases;
pub use events::{EventClass, Events, Followed, Observer};
pub use eviction::{Eviction, EvictionStats};
pub use expiry::Expiry;
pub use gate::{Alone, Gate, NotAlone, Presence, Shared};
pub use image::{CopyValue, Image, ImageError, ImageKey, ImageSizes, Images};
pub use index::IndexKey;
pub use kept::PausedMarks;
pub use libraries::Libraries;
pub use loading::{LoadProgress, Loading};
pub use memory_check::{
    MemoryCheck, RECLAIM_IN_GATE_TIME_MAX, RECLAIM_TIME_MAX, take_refused_bytes,
};
pub use place::Place;
pub use prefetch::{Ahead, AheadHashes, Hashes, Known, PREFETCHED};
pub use reading::StringView;
pub use replacement::Replacement;
pub use stats::{DatabaseStats, StoreStats};
pub use store::{BackupError, BackupJob, SyncReport, remove_unfinished_backups};
pub use store::{Change, DATABASES, Kind, Millis, Range, RecordKind, StringForm, Value, now_ms};
pub use update::{
    ElementChange, KeyUpdate, NewCollection, OneUpdate, StringChanges, StringEdit, Update,
};
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

/// The time of an access for which no deadline has passed: that of a command that comes from a master. The master removes
/// keys past their deadline, and says so; until then its commands find them.
pub const NO_DEADLINE_PASSES: Millis = -1;

/// How a command accesses keys: when, and for which client.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    /// The present time, read once for each batch of commands, or [`NO_DEADLINE_PASSES`].
    pub now: Millis,
    /// Whether the access counts for LRU and LFU; `false` after CLIENT NO-TOUCH ON.
    pub touch: bool,
    /// The client whose command it is; 0 for the server itself.
    pub client: u64,
    /// Set when serving a blocked client; it skips the queue check.
    pub serves: bool,
    /// Whether the thread may be busy for long: it serves no other clients meanwhile, or nobody else may run anyway.
    pub patient: bool,
}

impl Access {
    /// The time by the wall clock, also where no deadline passes: for times that a command stores.
    #[inline]
    pub fn clock(self) -> Millis {
        if self.now == NO_DEADLINE_PASSES {
            now_ms()
        } else {
            self.now
        }
    }

    /// An access that the server makes for itself.
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

/// What the index knows about a key without reading its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    /// The value's type.
    pub kind: Kind,
    /// The deadline; `None` if the key does not expire.
    pub expires_at: Option<Millis>,
    /// Seconds since the last access; `None` under an LFU policy, which does not count them.
    pub idle_s: Option<u64>,
    /// How often the key was used, on LFU's logarithmic scale; `None` under other policies.
    pub frequency: Option<u8>,
}

/// Why a keyspace operation failed. A failed operation has changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum KeyspaceError {
    /// The pool is full.
    #[error("the pool has no space")]
    OutOfMemory,
    /// The command takes long, and the access is not patient.
    #[error("it takes long")]
    TakesLong,
    /// The data exceeds `maxmemory`, and no key may be evicted.
    #[error("the data takes more than 'maxmemory'")]
    OverMaxmemory,
    /// The value is longer than any value may be.
    #[error("the value is too large")]
    TooLarge,
    /// The key holds a value of another type.
    #[error("the key holds a value of another type")]
    WrongKind,
    /// The store failed.
    #[error("{0}")]
    Store(#[source] Box<StoreError>),
    /// The store's records do not fit together, or the work had to stop; the text says why.
    #[error("{0}")]
    Failed(&'static str),
}

/// 16 databases of keys over one store. Shared by all connections.
///
/// It has methods of its own for changing and reading keys, and for the whole store. Everything else belongs to a part
/// with a module of its own: the fields hold the parts' states, and the accessors return handles with the parts'
/// methods.
pub struct Keyspace {
    store: Box<dyn Store>,
    /// Whether the store keeps what is written.
    retains: bool,
    /// Whether the store keeps keys in byte order.
    sorted: bool,
    /// Whether the store reads each partition separately, when a command needs a key of it.
    partitioned: bool,
    shards: Vec<RwLock<Shard>>,
    hashing: Hashing,
    generations: DatabaseGenerations,
    views: Views,
    registry: Registry,
    forms: collection::FormState,
    loading: loading::State,
    gathering: collection::GatherState,
    expiry: expiry::State,
    garbage: garbage::State,
    eviction: eviction::State,
    waiting: waiting::State,
    libraries: single::State,
    place: single::State,
    image: image::State,
    /// The index's memory, where it outlives the process.
    kept: Option<kept::State>,
    transaction: Transaction,
    gate: Gate,
    events: Events,
    latency: Latency,
    /// Held by the thread that makes space for its call.
    reclaiming: Mutex<()>,
    /// When nobody waits for space any more, because the server ends.
    end_of_waits: OnceLock<Instant>,
}

impl std::fmt::Debug for Keyspace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyspace").finish_non_exhaustive()
    }
}

impl Keyspace {
    /// Creates the keyspace over `store`. It reads nothing yet: [`Housekeeping`] reads the store in the background. If
    /// a command needs a key earlier, the key's partition is read at once; without partitions, the whole store is.
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
            shards: (0..SHARDS)
                .map(|number| RwLock::numbered(Rank::Shard, number, Shard::default()))
                .collect(),
            hashing: Hashing::new(store.hash_seed(), partitions),
            generations: DatabaseGenerations::new(&store.generations()),
            views: Views::default(),
            registry: Registry::new(opens.unwrap_or_default(), partitions),
            forms: collection::FormState::default(),
            // A store with partitions reads each of them when a command needs it.
            loading: loading::State::new(abilities.partitioned),
            gathering: collection::GatherState::default(),
            // The one store with partitions keeps no note of what was seen to expire.
            expiry: expiry::State::new(abilities.partitioned && abilities.persistent),
            garbage: garbage::State::default(),
            eviction: eviction::State::default(),
            waiting: waiting::State::default(),
            libraries: single::State::new(single::OF_LIBRARIES),
            place: single::State::new(single::OF_PLACE),
            image: image::State::default(),
            kept: None,
            transaction: Transaction::default(),
            gate: Gate::new(1),
            events: Events::default(),
            latency: Latency::default(),
            reclaiming: Mutex::new(Rank::RoomTurn, ()),
            end_of_waits: OnceLock::new(),
            store,
        }
    }

    /// Sets the number of workers.
    #[must_use]
    pub fn for_workers(mut self, workers: usize) -> Self {
        self.gate = Gate::new(workers);
        self
    }

    /// Makes everything written so far durable. A connection calls it before it sends replies, while it holds no key.
    #[inline]
    pub fn commit(&self) -> Result<(), KeyspaceError> {
        let wrote = self.latency.timed("commit", || self.store.commit())?;
        if wrote && self.store.upkeep() >= Upkeep::Urgent {
            self.memory_check().help_store()?;
        }
        self.ring_if_due();
        Ok(())
    }

    /// Whether a [`commit`](Self::commit) has something to make durable now.
    #[inline]
    pub fn has_uncommitted(&self) -> bool {
        self.store.has_uncommitted()
    }

    /// What has been synced to the disk, where commits do not wait for it.
    pub fn syncs(&self) -> Option<SyncReport> {
        self.store.syncs()
    }

    /// Whether writes are to be refused because the pool could not be synced.
    #[inline]
    pub fn is_sync_failing(&self) -> bool {
        self.store.is_sync_failing()
    }

    /// Tells the keyspace that the server is about to end: from now on a thread waits for space for a short time only.
    pub fn end_waits(&self) {
        self.end_of_waits
            .get_or_init(|| Instant::now() + memory_check::LAST_RECLAIM_TIME);
    }

    /// Closes the store in good order. After that nothing can be read or written: a thread that tries to waits for
    /// ever.
    pub fn close(&self) -> Result<(), KeyspaceError> {
        self.leave_index();
        // Even a handler that outlived the server's patience must not write into a pool that is marked as closed.
        let shards = self.locking().lock_all();
        self.store.commit()?;
        let closed = self.store.close();
        shards.into_iter().for_each(Guard::leak);
        Ok(closed?)
    }

    /// Closes the pool of a [closed](Self::close) keyspace as the process ends. It leaves the index to the system, since
    /// freeing millions of entries would delay the end.
    pub fn abandon(self) {
        let Self {
            store,
            shards,
            registry,
            ..
        } = self;
        std::mem::forget((shards, registry));
        drop(store);
    }

    /// The layout of the store's records.
    pub fn layout(&self) -> Result<&'static str, KeyspaceError> {
        Ok(self.store.usage()?.layout)
    }

    /// Whether a [backup](Self::back_up) at `path` may begin.
    pub fn check_backup(&self, path: &Path) -> Result<(), BackupError> {
        self.store.check_backup(path)
    }

    /// Makes a copy of the pool at `path`, as it is at one moment of the call. The thread is not in the gate and holds no key,
    /// and no other one makes a backup.
    pub fn back_up(&self, path: &Path, job: &BackupJob) -> Result<(), BackupError> {
        self.store.back_up(path, job)
    }

    /// Whether a collection that a key names may have elements that were not read yet.
    #[inline]
    fn may_lack_elements(&self) -> bool {
        self.partitioned || self.gathering.is_pending()
    }

    /// Whether each element of a collection is read by a look-up in the engine, which takes some microseconds.
    pub fn looks_elements_up(&self) -> bool {
        self.partitioned
    }

    /// Whether the engine keeps what is written.
    pub fn keeps_data(&self) -> bool {
        self.retains
    }

    /// Asks the engine to defragment its pool.
    pub fn defrag(&self, start_percent: f64, amount_percent: f64) -> Result<(), KeyspaceError> {
        Ok(self.store.defrag(start_percent, amount_percent)?)
    }
}

/// The parts.
impl Keyspace {
    /// Whole databases: counts of keys, FLUSHDB, SWAPDB.
    #[inline]
    pub fn databases(&self) -> Databases<'_> {
        Databases { keyspace: self }
    }

    /// Iteration over many keys: SCAN, ranges, a random key.
    #[inline]
    pub fn walk(&self) -> Walk<'_> {
        Walk { keyspace: self }
    }

    /// Removal of keys past their deadline.
    #[inline]
    pub fn expiry(&self) -> Expiry<'_> {
        Expiry { keyspace: self }
    }

    /// Eviction when memory is short: `maxmemory` and its policies.
    #[inline]
    pub fn eviction(&self) -> Eviction<'_> {
        Eviction { keyspace: self }
    }

    /// The memory check before a call, and reclaiming memory for it.
    #[inline]
    pub fn memory_check(&self) -> MemoryCheck<'_> {
        MemoryCheck { keyspace: self }
    }

    /// Reading the store into the index.
    #[inline]
    pub fn loading(&self) -> Loading<'_> {
        Loading { keyspace: self }
    }

    /// The record of all libraries of functions.
    #[inline]
    pub fn libraries(&self) -> Libraries<'_> {
        Libraries { keyspace: self }
    }

    /// Images: all keys as they were at one moment.
    #[inline]
    pub fn images(&self) -> Images<'_> {
        Images { keyspace: self }
    }

    /// The record of how far a replica has followed its master.
    #[inline]
    pub fn place(&self) -> Place<'_> {
        Place { keyspace: self }
    }

    /// Other contents for all databases, which are written beside the present ones.
    #[inline]
    pub fn replacement(&self) -> Replacement<'_> {
        Replacement { keyspace: self }
    }

    /// Clients that wait for keys: BLPOP and similar commands.
    #[inline]
    pub fn waiting(&self) -> Waiting<'_> {
        Waiting { keyspace: self }
    }

    /// Keys that transactions watch.
    #[inline]
    pub fn watching(&self) -> Watching<'_> {
        Watching { keyspace: self }
    }

    /// The observer, and the classes of events that it asked for.
    #[inline]
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// The gate, which each thread passes before it runs commands, so that a transaction can run alone.
    #[inline]
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Records of what took long.
    #[inline]
    pub fn latency(&self) -> &Latency {
        &self.latency
    }

    /// The locks of shards.
    #[inline]
    fn locking(&self) -> Locking<'_> {
        Locking { keyspace: self }
    }

    /// Reads the values of locked keys.
    #[inline]
    fn reading(&self) -> Reading<'_> {
        Reading { keyspace: self }
    }

    /// The steps of a change of a key, except telling others.
    #[inline]
    fn writing(&self) -> Writing<'_> {
        Writing { keyspace: self }
    }

    /// Tells others that a key was changed.
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
            other => KeyspaceError::Store(Box::new(other)),
        }
    }
}
