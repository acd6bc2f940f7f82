//! The boundary below the keyspace: records in, records out, nothing known of Redis's commands.
//!
//! The keyspace stages writes, and [`Store::commit`] makes what was staged durable before any reply that depends on
//! it leaves. A layout may make each write durable at once (then `commit` has nothing to do) or gather the writes of
//! many connections into one step. Where a record lies is the layout's own business: the keyspace keeps the opaque
//! [`Location`] that a write or a visit gave and hands it back with every read.

#[cfg(test)]
pub mod memory;
pub mod pairs;

use std::ops::ControlFlow;
use std::path::PathBuf;

use crate::keyspace::{DATABASES, Kind, Millis, Range, Value};

/// Where a layout keeps a record. Only the layout that made it can read it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Location(pub u64);

/// What names a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordKey<'a> {
    /// Below [`Store::partitions`]; derived from the key's hash, so that a record is always in the same one.
    pub partition: usize,
    /// Stands for a database's contents: FLUSHDB gives the database a new one.
    pub generation: u32,
    /// The user's key.
    pub key: &'a [u8],
}

/// One change of one record.
#[derive(Clone, Copy, Debug)]
pub enum Write<'a> {
    /// Stores a value, whether or not there was one.
    Put {
        /// Whose value.
        record: RecordKey<'a>,
        /// Where the value that it replaces lies, if there is one.
        previous: Option<Location>,
        /// Its type.
        kind: Kind,
        /// Deadline, if it has one.
        expires_at: Option<Millis>,
        /// The bytes.
        value: &'a [u8],
    },
    /// Changes the deadline of a stored value.
    SetExpiry {
        /// Whose deadline.
        record: RecordKey<'a>,
        /// Where it lies now.
        location: Location,
        /// The new deadline, or `None` for none.
        expires_at: Option<Millis>,
    },
    /// Removes a record.
    Remove {
        /// Which.
        record: RecordKey<'a>,
        /// Where it lies now.
        location: Location,
    },
}

impl<'a> Write<'a> {
    /// The record that changes.
    pub fn record(&self) -> RecordKey<'a> {
        match *self {
            Write::Put { record, .. }
            | Write::SetExpiry { record, .. }
            | Write::Remove { record, .. } => record,
        }
    }
}

/// A record met by [`Store::visit`].
#[derive(Clone, Copy, Debug)]
pub struct Visited<'a> {
    /// Its generation, which may be one that no database has any more.
    pub generation: u32,
    /// The user's key.
    pub key: &'a [u8],
    /// Its type.
    pub kind: Kind,
    /// Its deadline.
    pub expires_at: Option<Millis>,
    /// Where it lies.
    pub location: Location,
}

/// Why a store refused. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No room in the pool.
    #[error("no room in the pool")]
    OutOfMemory,
    /// The key or value is larger than the engine takes.
    #[error("key or value larger than the engine takes")]
    TooLarge,
    /// The engine cannot do this.
    #[error("the engine does not support this")]
    NotSupported,
    /// A stored record does not read as one.
    #[error("damaged record: {0}")]
    Damaged(String),
    /// The engine failed; its message.
    #[error("{0}")]
    Engine(String),
}

/// The generations of the databases, kept with the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generations {
    /// Each database's own.
    pub of_database: [u32; DATABASES],
    /// The next one that has never been used.
    pub next: u32,
}

impl Default for Generations {
    /// Those of a new pool: database n has generation n.
    fn default() -> Self {
        let mut of_database = [0; DATABASES];
        let mut next = 0;
        for generation in &mut of_database {
            *generation = next;
            next += 1;
        }
        Self { of_database, next }
    }
}

/// What a store can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abilities {
    /// Has ranges of its own: [`Store::range`] works.
    pub sorted: bool,
    /// Gives back what it was given (the `blackhole` engine does not).
    pub retains: bool,
    /// Outlives the process.
    pub persistent: bool,
}

/// What a store occupies.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    /// The engine's name.
    pub engine: String,
    /// The layout's name.
    pub layout: &'static str,
    /// The pool's file, where there is one.
    pub pool_path: Option<PathBuf>,
    /// The pool's size.
    pub pool_bytes: u64,
    /// What is allocated of it; 0 where the engine cannot tell.
    pub allocated_bytes: u64,
}

/// Called with a record's value.
pub type OnValue<'f> = &'f mut dyn FnMut(Value<'_>);

/// Called with a record of a range; `Break` ends the walk.
pub type OnRecord<'f> = &'f mut dyn FnMut(&[u8], Value<'_>) -> ControlFlow<()>;

/// A layout of records in pmemkv.
///
/// The keyspace never writes one record from two threads at once; everything else may happen at the same time.
pub trait Store: Send + Sync {
    /// What the store can do.
    fn abilities(&self) -> Abilities;

    /// How many partitions records are spread over, a power of two. Each can be visited by itself.
    fn partitions(&self) -> usize;

    /// The seed of the hash that spreads keys over partitions, fixed for the life of the data.
    fn hash_seed(&self) -> u64;

    /// The stored generations.
    fn generations(&self) -> Generations;

    /// Replaces the generations in one durable step.
    fn set_generations(&self, generations: &Generations) -> Result<(), StoreError>;

    /// Meets every record of a partition, in any order.
    fn visit(&self, partition: usize, visit: &mut dyn FnMut(Visited<'_>))
    -> Result<(), StoreError>;

    /// Calls `f` once with the record's value, without a copy; `false` where there is none.
    fn read(
        &self,
        record: RecordKey<'_>,
        location: Location,
        f: OnValue<'_>,
    ) -> Result<bool, StoreError>;

    /// Stages `writes` as one atomic change and stores where each record lies now in `locations`
    /// (as many as `writes`). Either all of them happen or, on an error, none.
    fn write(&self, writes: &[Write<'_>], locations: &mut [Location]) -> Result<(), StoreError>;

    /// Makes all that was staged before durable. No reply may leave before.
    fn commit(&self) -> Result<(), StoreError>;

    /// Walks a generation's records in a range of keys, in ascending byte order.
    fn range(
        &self,
        generation: u32,
        range: Range<'_>,
        visit: OnRecord<'_>,
    ) -> Result<(), StoreError>;

    /// Counts a generation's records in a range of keys.
    fn range_count(&self, generation: u32, range: Range<'_>) -> Result<u64, StoreError>;

    /// What is occupied.
    fn usage(&self) -> Result<Usage, StoreError>;

    /// Asks the engine to defragment `amount` percent of its pool, from `start` percent on.
    fn defrag(&self, start: f64, amount: f64) -> Result<(), StoreError>;

    /// Marks the data as left in good order. Called once, after the last write.
    fn close(&self) -> Result<(), StoreError>;
}
