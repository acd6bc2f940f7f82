//! The boundary below the keyspace: records in, records out, nothing known of Redis's commands.
//!
//! The keyspace stages writes, and [`Store::commit`] makes what was staged durable before any reply that depends on
//! it leaves. A layout may make each write durable at once (then `commit` has nothing to do) or gather the writes of
//! many connections into one step. Where a record lies is the layout's own business: the keyspace keeps the opaque
//! [`Location`] that a write or a visit gave and hands it back with every read.
//!
//! May use: the binding (`pmemkv`). Never: knows a database's keys, a command or a client; has unsafe code.

#![forbid(unsafe_code)]

pub mod change;
#[cfg(any(test, feature = "testing"))]
pub mod faults;
mod kind;
#[cfg(any(test, feature = "testing"))]
pub mod memory;
mod metadata;
mod model;
mod open;
pub mod packed;
pub mod pairs;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

pub use change::Change;
pub use model::{DATABASES, Kind, Millis, Range, RecordKind, StringForm, Value, now_ms};
pub use open::{LayoutChoice, OpenError, Options, open, rehearse};
/// Has memory fetched into the processor's cache.
pub use pmemkv::prefetch;

/// Where a layout keeps a record. Only the layout that made it can read it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Location(pub u64);

/// The name of records that are read by their places alone.
const NAMELESS: RecordKey<'_> = RecordKey {
    partition: 0,
    generation: 0,
    key: &[],
};

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
        /// Its type, and a string's form.
        kind: RecordKind,
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
    /// Changes parts of a stored value; its type and its deadline stay.
    Patch {
        /// Whose value.
        record: RecordKey<'a>,
        /// Where it lies now.
        location: Location,
        /// What changes, one after the other.
        changes: &'a [Change<'a>],
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
            | Write::Patch { record, .. }
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
    /// Its bytes; none where they lie in several parts.
    pub value: &'a [u8],
    /// Where a key may be met more than once (see [`Abilities::partitioned`]), the highest number counts.
    pub sequence: u64,
    /// Whether it says that the key is gone, and with it all that is older.
    pub removed: bool,
}

/// Why a record is to be let go of: both are plain to see in the data, so that no write is needed for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// Its deadline has passed.
    Expired,
    /// Its generation is no database's any more.
    Flushed,
}

/// What a store asks for beside the commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Upkeep {
    /// Nothing.
    Nothing,
    /// Work in the background.
    Background,
    /// As soon as possible; whoever writes should lend a hand.
    Urgent,
    /// Before anything else is written.
    Critical,
}

/// What [`Store::work`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worked {
    /// Something was done, and there may be more.
    Some,
    /// There was nothing to do, or nothing that would have won anything.
    Nothing,
    /// Another thread is at it.
    Elsewhere,
}

/// Called with where a key's record lies now, `None` where the index has none; returns where it lies from now on,
/// `None` where it stays.
pub type OnCurrent<'f> =
    &'f mut dyn FnMut(Option<Location>) -> Result<Option<Location>, StoreError>;

/// The index, for a store that moves records.
pub trait Relocate {
    /// Locks a key and runs `f`; notes the location that it returns. Nobody reads or writes the key meanwhile.
    fn relocate(&self, generation: u32, key: &[u8], f: OnCurrent<'_>) -> Result<(), StoreError>;

    /// Whether the generation was flushed, and [`Store::forget`] has yet to be called for some of its records.
    fn awaits_removal(&self, generation: u32) -> bool;
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

/// How full a store is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fill {
    /// Bytes that the records in use take; what removing them all would set free.
    pub bytes: u64,
    /// Whether the next writes may find no room although there are few enough records: upkeep is behind.
    pub is_short: bool,
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
#[allow(clippy::struct_excessive_bools)] // Each stands for itself.
pub struct Abilities {
    /// Has ranges of its own: [`Store::range`] works.
    pub sorted: bool,
    /// Gives back what it was given (the `blackhole` engine does not).
    pub retains: bool,
    /// Outlives the process.
    pub persistent: bool,
    /// Each partition holds the records that [`RecordKey::partition`] names, each key once, and can be visited when it
    /// is first needed. Otherwise all parts must be visited before anything is read or written: a key may be met in
    /// any of them, and more than once.
    pub partitioned: bool,
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
    /// How often the pool was opened since it was made, where that is known.
    pub opens: Option<u64>,
    /// The most bytes of records that it can hold, as [`Fill`] counts them.
    pub stored_bytes_max: u64,
    /// The layout's own figures, by the names that INFO shows them under.
    pub details: Vec<(&'static str, u64)>,
}

/// Called with a record's value.
pub type OnValue<'f> = &'f mut dyn FnMut(Value<'_>);

/// Called with a piece of a value; `Break` ends the reading.
pub type OnPiece<'f> = &'f mut dyn FnMut(&[u8]) -> ControlFlow<()>;

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

    /// How many parts [`visit`](Self::visit) reads the records in: as many as partitions, where the store has these.
    fn parts(&self) -> usize {
        self.partitions()
    }

    /// Meets every record of a part, in any order. Those that are no longer valid may be among them.
    fn visit(&self, part: usize, visit: &mut dyn FnMut(Visited<'_>)) -> Result<(), StoreError>;

    /// Calls `f` once with the record's value, without a copy; `false` where there is none.
    fn read(
        &self,
        record: RecordKey<'_>,
        location: Location,
        f: OnValue<'_>,
    ) -> Result<bool, StoreError>;

    /// Whether a value is so long that a command that needs a part of it asks for that part alone, by
    /// [`value_bytes`](Self::value_bytes) and [`read_range`](Self::read_range), and changes it by [`Write::Patch`].
    fn is_large(&self, _location: Location) -> bool {
        false
    }

    /// The length of a record's value; `None` where there is no record.
    fn value_bytes(
        &self,
        record: RecordKey<'_>,
        location: Location,
    ) -> Result<Option<usize>, StoreError> {
        let mut bytes = None;
        self.read(record, location, &mut |value| {
            bytes = Some(value.bytes.len());
        })?;
        Ok(bytes)
    }

    /// Calls `f` with the bytes of a value that lie in `range`, one piece after the other, until it breaks. What of the
    /// range lies behind the value's end is left out. `f` must not call the store. An error where there is no record.
    fn read_range(
        &self,
        record: RecordKey<'_>,
        location: Location,
        range: std::ops::Range<usize>,
        f: OnPiece<'_>,
    ) -> Result<(), StoreError> {
        let found = self.read(record, location, &mut |value| {
            lend(value.bytes, &range, f);
        })?;
        if found {
            Ok(())
        } else {
            Err(StoreError::Damaged("a value is missing".into()))
        }
    }

    /// Calls `f` with one value after the other until it breaks, as [`read`](Self::read) does, where the places alone
    /// name the records. An error where one of them is missing.
    fn read_run(
        &self,
        locations: &[Location],
        f: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, StoreError> {
        for &location in locations {
            let mut flow = ControlFlow::Continue(());
            if !self.read(NAMELESS, location, &mut |value| flow = f(value.bytes))? {
                return Err(StoreError::Damaged("an element's record is missing".into()));
            }
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Has a record fetched into the processor's cache, since it is going to be read.
    fn prefetch(&self, _location: Location) {}

    /// Stages `writes` as one atomic change and stores where each record lies now in `locations`
    /// (as many as `writes`). Either all of them happen or, on an error, none.
    fn write(&self, writes: &[Write<'_>], locations: &mut [Location]) -> Result<(), StoreError>;

    /// Runs `change`; what it stages counts together: after a crash either all of it is there or none. `records` are all
    /// those that it may write. Meanwhile no other thread stages anything, and what is staged is not yet durable when
    /// this returns. An error says that `change` did not run.
    fn atomically(
        &self,
        records: &[RecordKey<'_>],
        change: &mut dyn FnMut(),
    ) -> Result<(), StoreError>;

    /// Lets go of a record that reads as absent by itself.
    fn forget(
        &self,
        record: RecordKey<'_>,
        location: Location,
        gone: Gone,
    ) -> Result<(), StoreError>;

    /// Whether a record was staged by the [step](Self::atomically) that this thread is in, so that nobody misses it after
    /// a crash.
    fn is_of_this_step(&self, _location: Location) -> bool {
        false
    }

    /// The step that this thread is in has taken a generation from its database: what it has staged for it is useless.
    fn generation_is_gone(&self, _generation: u32) {}

    /// Makes all that was staged before durable; `false` where nothing was. No reply may leave before.
    fn commit(&self) -> Result<bool, StoreError>;

    /// The sequence number of a record that [`visit`](Self::visit) has met.
    fn sequence(&self, _location: Location) -> Result<u64, StoreError> {
        Ok(0)
    }

    /// Notes that the index has no use for a record that [`visit`](Self::visit) has met: its database is gone, or a
    /// later record of its key was met.
    fn release(&self, _location: Location) -> Result<(), StoreError> {
        Ok(())
    }

    /// Notes that everything was visited: from now on there are writes.
    fn loaded(&self, _index: &dyn Relocate) -> Result<(), StoreError> {
        Ok(())
    }

    /// What the store asks for beside the commands.
    fn upkeep(&self) -> Upkeep {
        Upkeep::Nothing
    }

    /// Does what it asks for, for about `time`. The caller holds no lock of the index.
    fn work(&self, _index: &dyn Relocate, _time: Duration) -> Result<Worked, StoreError> {
        Ok(Worked::Nothing)
    }

    /// Makes room for `bytes` of new values within the [step](Self::atomically) that this thread is in, as far as it can
    /// before `until`; whether there is as much. The caller holds no lock of the index, and the index has let go of nothing
    /// in the step but by [`write`](Self::write).
    fn work_in_step(
        &self,
        _index: &dyn Relocate,
        _bytes: u64,
        _until: Instant,
    ) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// Whether values of `bytes` more could be stored, if upkeep has done all that it can.
    fn could_hold(&self, _bytes: u64) -> bool {
        false
    }

    /// About how many bytes a record takes in the store, its value included.
    fn stored_bytes(&self, _location: Location) -> Result<u64, StoreError> {
        Ok(0)
    }

    /// Waits until there may be something to do, for at most `time`.
    fn wait_for_work(&self, time: Duration) {
        std::thread::park_timeout(time);
    }

    /// Whether about `bytes` of new values could be stored now.
    fn has_room_for(&self, _bytes: u64) -> bool {
        true
    }

    /// Nobody waits for room any more: the background need not go on for it. Others that wait ask
    /// [`has_room_for`](Self::has_room_for) again.
    fn stop_making_room(&self) {}

    /// How full the store is. Asked before every write that may add something.
    fn fill(&self) -> Fill;

    /// With more stored bytes than this the store's upkeep costs too much: keys that may be evicted should be.
    fn evict_above(&self) -> u64 {
        u64::MAX
    }

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

/// Calls `f` with what of `range` lies within `bytes`, if it is any.
pub fn lend(bytes: &[u8], range: &std::ops::Range<usize>, f: OnPiece<'_>) {
    let piece = &bytes[within(range, bytes.len())];
    if !piece.is_empty() {
        // There is no piece behind it that a break would leave out.
        let _ = f(piece);
    }
}

/// What of `range` lies within a value of `len` bytes.
pub fn within(range: &std::ops::Range<usize>, len: usize) -> std::ops::Range<usize> {
    let end = range.end.min(len);
    range.start.min(end)..end
}

impl From<pmemkv::Error> for StoreError {
    fn from(error: pmemkv::Error) -> Self {
        use pmemkv::Error;
        match error {
            Error::OutOfMemory(_) => StoreError::OutOfMemory,
            Error::NotSupported(_) => StoreError::NotSupported,
            other => StoreError::Engine(other.to_string()),
        }
    }
}
