//! The boundary below the keyspace: it stores and returns records and knows nothing of Redis's commands.
//!
//! The keyspace stages writes, and [`Store::commit`] makes them durable before any reply that depends on them leaves. A
//! layout may make each write durable at once (then `commit` has nothing to do) or gather the writes of many
//! connections into one step. Only the layout knows where a record lies: the keyspace keeps the opaque [`Location`]
//! that a write or a visit returned and passes it to every read.
//!
//! May use: the binding (`pmemkv`). Never: knows a database's keys, a command or a client; has unsafe code.

#![forbid(unsafe_code)]

mod backup;
pub mod change;
mod error;
#[cfg(any(test, feature = "testing"))]
pub mod faults;
mod generations;
mod kind;
#[cfg(any(test, feature = "testing"))]
pub mod memory;
mod metadata;
mod model;
mod open;
pub mod packed;
pub mod pairs;
mod record;
mod relocate;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod upkeep;
mod usage;

use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

pub use backup::{BackupError, BackupJob, remove_unfinished_backups};
pub use change::Change;
pub use error::StoreError;
pub use generations::Generations;
pub use model::{
    DATABASES, IsNamed, Kind, Millis, Name, Range, RecordKind, StringForm, Value, now_ms,
};
pub use open::{
    Examined, LayoutChoice, OpenError, Options, examine, may_sync, open, rehearse, rehearse_anyway,
};
/// What only processors' own instructions do well: to have memory fetched into the cache, and to compare many bytes at once.
pub use pmemkv::{SharedFile, equal_bytes, prefetch};
use record::NAMELESS;
pub use record::{Gone, LIBRARIES, Location, PLACE, RecordKey, Visited, Write};
pub use relocate::{OnCurrent, Relocate, Stand};
pub use upkeep::{Upkeep, Worked};
pub use usage::{Fill, SyncReport, Usage};

/// What a store can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // They are independent of each other.
pub struct Abilities {
    /// Keeps keys in order: [`Store::range`] works.
    pub sorted: bool,
    /// Keeps what it is given (the `blackhole` engine does not).
    pub retains: bool,
    /// Outlives the process.
    pub persistent: bool,
    /// Each partition holds the records that [`RecordKey::partition`] assigns to it, each key once, so the keyspace may
    /// visit a partition when it first needs it. Otherwise the keyspace must visit all parts before it reads or writes
    /// anything: any of them may hold a key, and more than once.
    pub partitioned: bool,
}

/// Called with a record's value.
pub type OnValue<'f> = &'f mut dyn FnMut(Value<'_>);

/// Called with the name of a record.
pub type OnName<'f> = &'f mut dyn FnMut(Name<'_>);

/// Calls the function that it is given with the location of each record.
pub type LocationWalk<'f> = &'f mut dyn FnMut(&mut dyn FnMut(Location));

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

    /// How many partitions the records are spread over, a power of two.
    fn partitions(&self) -> usize;

    /// The seed of the hash that spreads keys over partitions, fixed for the life of the data.
    fn hash_seed(&self) -> u64;

    /// The stored generations.
    fn generations(&self) -> Generations;

    /// Replaces the generations in one durable step, after all that was staged before: no crash shows them without it.
    /// On an error they are what they were. No other thread stages meanwhile.
    fn set_generations(&self, generations: &Generations) -> Result<(), StoreError>;

    /// Notes durably that the numbers below `next` are given away: no later generation gets one of them while anything that was
    /// stored under it may be left, whatever becomes of the step that this thread runs. On an error nothing was changed. No
    /// other thread stages meanwhile.
    fn reserve_generations(&self, next: u32) -> Result<(), StoreError>;

    /// How many parts [`visit`](Self::visit) reads the records in. In a partitioned store a part is a partition.
    fn parts(&self) -> usize {
        self.partitions()
    }

    /// Shows every record of a part, in any order. Outdated records may be among them.
    fn visit(&self, part: usize, visit: &mut dyn FnMut(Visited<'_>)) -> Result<(), StoreError>;

    /// Calls `f` once with the record's value, without a copy; `false` if there is none.
    fn read(
        &self,
        record: RecordKey<'_>,
        location: Location,
        f: OnValue<'_>,
    ) -> Result<bool, StoreError>;

    /// As [`read`](Self::read), of a value that is not [large](Self::is_large). Does not call `f` and returns `false` if the
    /// record there has another name. Only for stores that are not [partitioned](Abilities::partitioned).
    fn read_named(
        &self,
        _record: RecordKey<'_>,
        _location: Location,
        _f: OnValue<'_>,
    ) -> Result<bool, StoreError> {
        Err(StoreError::NotSupported)
    }

    /// Calls `f` once with the name that a value's record has. Fails if no value begins there. Only for stores that are not
    /// [partitioned](Abilities::partitioned).
    fn name(&self, _location: Location, _f: OnName<'_>) -> Result<(), StoreError> {
        Err(StoreError::NotSupported)
    }

    /// As [`name`](Self::name), but only compares: whether the name is `generation` and a key of these two parts.
    fn is_named(
        &self,
        location: Location,
        generation: u32,
        [start, end]: [&[u8]; 2],
    ) -> Result<IsNamed, StoreError> {
        let mut is_named = IsNamed::Otherwise;
        self.name(location, &mut |name| {
            if name.generation == generation && name.key.strip_prefix(start) == Some(end) {
                is_named = IsNamed::So(name.expires_at);
            }
        })?;
        Ok(is_named)
    }

    /// Where a record lies that [`visit`](Self::visit) has not shown yet; `None` if there is none. Its bytes are checked.
    /// Only for [partitioned](Abilities::partitioned) stores.
    fn locate(&self, record: RecordKey<'_>) -> Result<Option<Location>, StoreError> {
        let location = Location::default();
        let found = self.read(record, location, &mut |_| {})?;
        Ok(found.then_some(location))
    }

    /// Whether a value is so long that a command which needs a part of it should read that part alone, by
    /// [`value_bytes`](Self::value_bytes) and [`read_range`](Self::read_range), and change it by [`Write::Patch`].
    fn is_large(&self, _location: Location) -> bool {
        false
    }

    /// The length of a record's value; `None` if there is no record.
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

    /// Calls `f` with the bytes of a value that lie in `range`, one piece after the other, until it breaks. The range
    /// may reach past the value's end. `f` must not call the store. Fails if there is no record.
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

    /// Calls `f` with one value after the other, as [`read`](Self::read) does, until it breaks. The store must be able
    /// to find records by their locations alone. Fails if one of them is missing.
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

    /// Asks the processor to fetch a record into its cache ahead of a read.
    fn prefetch(&self, _location: Location) {}

    /// The same, ahead of a read of its [name](Self::name) alone.
    fn prefetch_name(&self, _location: Location) {}

    /// Stages `writes` as one atomic change and sets `locations` (as many as `writes`) to where each record lies then.
    /// On an error none of the writes happens.
    fn write(&self, writes: &[Write<'_>], locations: &mut [Location]) -> Result<(), StoreError>;

    /// Whether [`put_aside`](Self::put_aside) is worth a try.
    fn puts_aside(&self) -> bool {
        false
    }

    /// Stores a value that only repeats what other records hold, apart from what clients write. It is durable when this returns,
    /// and so is all that it repeats. The caller releases the other records. Returns `None` and stores nothing where the
    /// store cannot do that, or not now: then [`write`](Self::write) has to.
    fn put_aside(
        &self,
        _record: RecordKey<'_>,
        _kind: RecordKind,
        _value: &[u8],
    ) -> Result<Option<Location>, StoreError> {
        Ok(None)
    }

    /// Runs `change` as one step: after a crash either everything that it staged is there or nothing. `records` are those
    /// that it will probably write; it may write others. No other thread stages anything meanwhile. What `change` staged is not yet durable when
    /// this returns. An error says that `change` did not run.
    fn atomically(
        &self,
        records: &[RecordKey<'_>],
        change: &mut dyn FnMut(),
    ) -> Result<(), StoreError>;

    /// Makes durable what other threads had staged before the [step](Self::atomically) that this thread runs, so that
    /// they need not wait for its end.
    fn commit_before_step(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Drops a record that counts as absent already, because of `gone`. If the store is not
    /// [partitioned](Abilities::partitioned) and the record was flushed, the beginning of its key is enough of a name, as
    /// long as no live record of its generation has the same.
    fn forget(
        &self,
        record: RecordKey<'_>,
        location: Location,
        gone: Gone,
    ) -> Result<(), StoreError>;

    /// A client may have seen that keys are absent because their deadline is not after `now`. With the next commit they
    /// stay absent, also if the clock is set back before a restart.
    fn saw_expired(&self, _now: Millis) {}

    /// Called ten times a second: the process that has the store open lives, so changes of its file were its own.
    fn note_alive(&self) {}

    /// Whether the [step](Self::atomically) that this thread runs staged the record: a crash before the commit leaves
    /// no trace of it, so no reply has promised it.
    fn is_of_this_step(&self, _location: Location) -> bool {
        false
    }

    /// Tells the store that the step that this thread runs flushed a generation: the records that the step staged for
    /// it are useless.
    fn generation_is_gone(&self, _generation: u32) {}

    /// Makes durable whatever was staged before the call; `false` if nothing was. A reply must not leave earlier.
    fn commit(&self) -> Result<bool, StoreError>;

    /// Whether a [`commit`](Self::commit) has something to make durable now. Other threads stage and commit meanwhile, so it
    /// tells what a commit will cost, not whether one is needed.
    fn has_uncommitted(&self) -> bool {
        false
    }

    /// Where the logs end now, before all that is staged later; `None` if that cannot be said at the moment, or never.
    fn stand(&self) -> Option<Stand> {
        None
    }

    /// A sum of what was written last before a stand; `None` where that is not there.
    fn sum_before(&self, _stand: &Stand) -> Option<u64> {
        None
    }

    /// Bytes that were ever staged.
    fn staged_bytes(&self) -> u64 {
        0
    }

    /// Commits all that is staged, and up to when deadlines were [seen to pass](Self::saw_expired). `false` if that cannot be done
    /// now, because a transaction is running.
    fn commit_all_staged(&self) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// Shows the records behind a stand of an earlier process, in place of [`visit`](Self::visit). `false` if the store does
    /// not have what that process had.
    fn visit_since(
        &self,
        _stand: &Stand,
        _visit: &mut dyn FnMut(Visited<'_>),
    ) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// Shows the records of a part that the start has not read, and keeps no account of them. Fails where one is damaged.
    fn visit_unread(
        &self,
        _part: usize,
        _visit: &mut dyn FnMut(Visited<'_>),
    ) -> Result<(), StoreError> {
        Ok(())
    }

    /// Checks a part that the start has not read. Fails where a record is damaged.
    fn check_unread(&self, part: usize) -> Result<(), StoreError> {
        self.visit_unread(part, &mut |_| ())
    }

    /// While parts are held, the store moves no record and gives no part away. Writers may have to wait for room.
    fn hold_parts(&self, _hold: bool) {}

    /// Counts records as live that [`visit`](Self::visit) has not shown, with the parts of their values. `walk` shows them to
    /// the function that it is given: a million of them, so each costs one call only. Fails if there cannot be one of them.
    fn claim(&self, _walk: LocationWalk<'_>) -> Result<(), StoreError> {
        Err(StoreError::NotSupported)
    }

    /// The sequence number of a record that [`visit`](Self::visit) has shown.
    fn sequence(&self, _location: Location) -> Result<u64, StoreError> {
        Ok(0)
    }

    /// Tells the store that the index does not use a record: of those that [`visit`](Self::visit) has shown one whose
    /// database was flushed or of whose key a later record was found, or one that a value [repeats](Self::put_aside).
    fn release(&self, _location: Location) -> Result<(), StoreError> {
        Ok(())
    }

    /// [Releases](Self::release) many records.
    fn release_all(&self, locations: &[Location]) -> Result<(), StoreError> {
        locations
            .iter()
            .try_for_each(|&location| self.release(location))
    }

    /// Tells the store that the keyspace has visited everything: writes may follow.
    fn loaded(&self, _index: &dyn Relocate) -> Result<(), StoreError> {
        Ok(())
    }

    /// Runs `run` while no background work moves records. The caller holds no key. `false`, and nothing ran, where the store cannot
    /// [release all at once](Self::release_all_but).
    fn while_nothing_moves(&self, _run: &mut dyn FnMut()) -> bool {
        false
    }

    /// Stops counting all records but these as live, in one go. The caller runs in
    /// [`while_nothing_moves`](Self::while_nothing_moves) and holds all keys; it releases none of the other records later.
    /// After an error everything counts as before.
    fn release_all_but(&self, _kept: &[Location]) -> Result<(), StoreError> {
        Err(StoreError::NotSupported)
    }

    /// Learns that nobody will go through all records for now: those that are read next lie anywhere.
    fn expect_random_reads(&self) {}

    /// Whether commands wait for a disk, so that to [prefetch](Self::prefetch) what they read pays for a single command too.
    fn waits_for_pages(&self) -> bool {
        false
    }

    /// Learns whether commands wait for a disk. The caller calls it every tenth of a second.
    fn look_at_reads(&self) {}

    /// How urgently the store needs [`work`](Self::work).
    fn upkeep(&self) -> Upkeep {
        Upkeep::Nothing
    }

    /// Does the upkeep for about `time`. The caller holds no lock of the index.
    fn work(&self, _index: &dyn Relocate, _time: Duration) -> Result<Worked, StoreError> {
        Ok(Worked::Nothing)
    }

    /// Makes room for `bytes` of new values within the [step](Self::atomically) that this thread runs, until `until` at
    /// the latest. Returns whether there is enough room now. The caller holds no lock of the index, and in this step
    /// the index has dropped records only through [`write`](Self::write).
    fn work_in_step(
        &self,
        _index: &dyn Relocate,
        _bytes: u64,
        _until: Instant,
    ) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// Whether `bytes` of new values would fit once upkeep has done all that it can.
    fn could_hold(&self, _bytes: u64) -> bool {
        false
    }

    /// About how many bytes a record takes in the store, its value included.
    fn stored_bytes(&self, _location: Location) -> Result<u64, StoreError> {
        Ok(0)
    }

    /// Does one piece of work, of about a millisecond, that makes later writes or the next start cheaper. Returns whether it
    /// did something. The caller holds no lock of the index.
    fn work_when_idle(&self, _index: &dyn Relocate) -> bool {
        false
    }

    /// Waits until there may be something to do, for at most `time`. Returns whether there may be.
    fn wait_for_work(&self, time: Duration) -> bool {
        std::thread::park_timeout(time);
        false
    }

    /// Ends a [wait](Self::wait_for_work) of a thread that is not parked.
    fn end_wait(&self) {}

    /// Whether about `bytes` of new values could be stored now.
    fn has_room_for(&self, _bytes: u64) -> bool {
        true
    }

    /// A thread that waited for room waits no longer: the background may stop making room. Other threads that still
    /// wait ask [`has_room_for`](Self::has_room_for) again.
    fn stop_making_room(&self) {}

    /// How full the store is. The keyspace asks before every write that may add something.
    fn fill(&self) -> Fill;

    /// With more stored bytes than this, upkeep costs too much: the keyspace should evict keys if it may.
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

    /// How much space the store takes.
    fn usage(&self) -> Result<Usage, StoreError>;

    /// Whether a [backup](Self::back_up) at `path` may begin.
    fn check_backup(&self, _path: &Path) -> Result<(), BackupError> {
        Err(BackupError::NotSupported(
            "the pool's layout is pairs, and only the layout packed has backups: stop the server and copy the pool's file",
        ))
    }

    /// Makes a copy of the pool at `path`, as the pool is at one moment of the call, and takes its time. The copy appears
    /// there once it is whole and durable; nothing that exists is overwritten. Other threads go on meanwhile.
    fn back_up(&self, path: &Path, _job: &BackupJob) -> Result<(), BackupError> {
        self.check_backup(path)
    }

    /// Asks the engine to defragment `amount` percent of its pool, from `start` percent on.
    fn defrag(&self, start: f64, amount: f64) -> Result<(), StoreError>;

    /// What has been synced to the disk, where commits do not wait for it.
    fn syncs(&self) -> Option<SyncReport> {
        None
    }

    /// Whether the last [sync](Self::sync) has failed, so that writes are to be refused.
    fn is_sync_failing(&self) -> bool {
        false
    }

    /// Makes durable on the disk what was committed before the call, where commits do not wait for it.
    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Waits until a [sync](Self::sync) is asked for, for at most `time`.
    fn wait_to_sync(&self, _time: Duration) {}

    /// Ends such a wait.
    fn end_wait_to_sync(&self) {}

    /// Notes in the pool that it was closed in order. Called once, after the last write.
    fn close(&self) -> Result<(), StoreError>;
}

/// Calls `f` with the piece of `bytes` that lies in `range`, unless it is empty.
pub fn lend(bytes: &[u8], range: &std::ops::Range<usize>, f: OnPiece<'_>) {
    let piece = &bytes[within(range, bytes.len())];
    if !piece.is_empty() {
        // It is the only piece, so a break changes nothing.
        let _ = f(piece);
    }
}

/// The part of `range` that lies within a value of `len` bytes.
pub fn within(range: &std::ops::Range<usize>, len: usize) -> std::ops::Range<usize> {
    let end = range.end.min(len);
    range.start.min(end)..end
}
