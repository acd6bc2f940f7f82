//! The memory check: whether the store has space for what a command will write. If not, it reclaims space: it removes
//! garbage, evicts and compacts.
//!
//! Compaction must free the space of overwritten or removed records before it can be used again. A caller that waits
//! for this must be outside the gate and hold no key, because compaction, garbage removal and other transactions need
//! both. A transaction waits for no other thread: it compacts by itself.

use std::cell::Cell;
use std::time::{Duration, Instant};

use lock_order::Rank;

use super::collection::has_anchor;
use super::hashing::shard_of;
use super::{Access, Keyspace, KeyspaceError, Kind, Millis};
use store::change::changed_len;
use store::{Change, Location, RecordKey, StoreError, Upkeep, Worked, Write};

/// A larger write first asks the store for space, because it may need more than the store keeps ready.
const LARGE_BYTES: u64 = 256 * 1024;

/// Writing more bytes of one string anew takes long: other clients of the thread would notice.
const LONG_BYTES: u64 = 1 << 20;

/// How long a writer helps a store that is short of space, before its replies are sent.
const HELP_TIME: Duration = Duration::from_micros(100);

/// How long a command waits for space.
pub const RECLAIM_TIME_MAX: Duration = Duration::from_secs(5);

/// How long a command waits for space, and all of a pipeline together, once the server is to end.
pub(super) const LAST_RECLAIM_TIME: Duration = Duration::from_millis(500);

/// How long a command inside the gate compacts for itself, and all commands of one EXEC together: other clients wait.
pub const RECLAIM_IN_GATE_TIME_MAX: Duration = Duration::from_secs(1);

/// How long a worker helps a store whose shortage is critical: the worker's other clients wait. Commands that add
/// something find the shortage themselves and wait on threads of their own.
const CRITICAL_HELP_TIME_MAX: Duration = Duration::from_millis(10);

/// Garbage records that one round removes inside the gate before it lets other threads in.
const GARBAGE_PER_TURN: usize = 512;

/// The search for space ends when the store has found nothing to do more often than this in a row.
const IDLE_MAX: usize = 3;

/// Elements from which the size of a collection is estimated.
const SAMPLES: usize = 64;

/// Bytes of a record besides its key and value.
const RECORD_BYTES: u64 = 32;

thread_local! {
    /// Bytes that the thread's last refused write would have needed.
    static REFUSED_BYTES: Cell<u64> = const { Cell::new(0) };
}

/// Returns and resets how many bytes the thread's last refused write needed, including the earlier writes of the same
/// call. 0 if no write was refused after the last call of this function.
pub fn take_refused_bytes() -> u64 {
    REFUSED_BYTES.take()
}

/// Adds the bytes that a call had written before the store refused one of its writes.
pub(super) fn add_refused_bytes(bytes: u64) {
    REFUSED_BYTES.set(REFUSED_BYTES.get() + bytes);
}

/// Whether the store refused a write of the thread's last call for lack of space.
pub(super) fn was_refused() -> bool {
    REFUSED_BYTES.get() > 0
}

/// What a change of a long string writes besides its own bytes: the rest of the part that it changes.
const PART_BYTES: u64 = 64 * 1024;

/// Checks memory and reclaims it; see [`Keyspace::memory_check`].
#[derive(Clone, Copy, Debug)]
pub struct MemoryCheck<'k> {
    pub(super) keyspace: &'k Keyspace,
}

impl MemoryCheck<'_> {
    /// The memory check before a command that may add about `bytes`. If there is too little memory, it evicts keys for
    /// a limited time. Returns whether [`reclaim`](Self::reclaim) has more to do. Fails if `maxmemory` is exceeded
    /// and no key may be evicted. The caller holds no key.
    #[inline]
    pub fn check(self, bytes: u64, now: Millis) -> Result<bool, KeyspaceError> {
        let fill = self.keyspace.store.fill();
        let threshold = self.keyspace.eviction.threshold();
        let fits = fill.bytes.saturating_add(bytes) <= threshold;
        if fits && !fill.is_short && bytes <= LARGE_BYTES {
            return Ok(false);
        }
        self.evict_then_check(bytes, now)
    }

    #[cold]
    fn evict_then_check(self, bytes: u64, now: Millis) -> Result<bool, KeyspaceError> {
        // A write that can never fit must not evict everything.
        let can_fit = bytes < self.keyspace.store.evict_above();
        let wanted = match self.keyspace.eviction.threshold() {
            threshold if bytes < threshold && can_fit => bytes,
            _ => 0,
        };
        self.keyspace.eviction().evict_for(wanted, now)?;
        // Space of evicted or overwritten records is free only after compaction.
        Ok(self.needs_reclaim(bytes, now))
    }

    /// About how many bytes these writes take in the store.
    pub(super) fn bytes_of(self, writes: &[Write<'_>]) -> u64 {
        let bytes = writes.iter().map(|write| {
            let value = match *write {
                Write::Put { value, .. } => value.len() as u64,
                Write::Patch {
                    record,
                    location,
                    changes,
                } => {
                    self.patch_bytes(record, location, changes) + changes.len() as u64 * PART_BYTES
                }
                Write::SetExpiry { .. } | Write::Remove { .. } => 0,
            };
            RECORD_BYTES + write.record().key.len() as u64 + value
        });
        bytes.sum()
    }

    /// Refuses a change that makes a string `len` bytes long and writes `written_bytes` of it, before anybody makes these in
    /// DRAM: if the string is longer than all that the store can hold, or if the writing takes long and the access is not
    /// patient.
    pub(super) fn refuse_long(
        self,
        len: usize,
        written_bytes: usize,
        access: Access,
    ) -> Result<(), KeyspaceError> {
        if written_bytes as u64 <= LONG_BYTES {
            return Ok(());
        }
        let bytes_max = self.keyspace.store.usage()?.stored_bytes_max;
        // Engines that keep nothing have no size.
        if bytes_max > 0 && len as u64 > bytes_max {
            return Err(KeyspaceError::OutOfMemory);
        }
        if access.patient {
            Ok(())
        } else {
            Err(KeyspaceError::TakesLong)
        }
    }

    /// Records how many bytes a refused write needed.
    pub(super) fn note_refused(self, writes: &[Write<'_>]) {
        REFUSED_BYTES.set(self.bytes_of(writes));
    }

    /// Helps a store that is short of space: for a moment, or, if the shortage is critical, a little longer. The caller
    /// is not in the gate.
    #[cold]
    pub(super) fn help_store(self) -> Result<(), KeyspaceError> {
        self.keyspace.latency.timed("compaction", || {
            self.keyspace.store.work(self.keyspace, HELP_TIME)?;
            if self.keyspace.store.upkeep() == Upkeep::Critical {
                let until = Instant::now() + CRITICAL_HELP_TIME_MAX;
                self.reclaim(0, until, super::now_ms())?;
            }
            Ok(())
        })
    }

    /// Whether `bytes` of new values exceed the space that the store keeps ready, so that the caller must make space
    /// first.
    pub fn needs_reclaim(self, bytes: u64, now: Millis) -> bool {
        let large = bytes > LARGE_BYTES;
        if large
            && self.keyspace.eviction().is_over(bytes)
            && self.keyspace.eviction().may_evict(bytes, now)
        {
            return true;
        }
        let large = large && self.keyspace.store.could_hold(bytes);
        (large || self.keyspace.store.fill().is_short)
            && self.keyspace.loading().is_done()
            && !self
                .keyspace
                .store
                .has_room_for(if large { bytes } else { 0 })
    }

    /// Whether compaction or eviction may later free `bytes` for a command that found no space. In a store without
    /// compaction, the write itself has already evicted all keys that could help.
    pub fn may_reclaim(self, bytes: u64, now: Millis) -> bool {
        !self.keyspace.partitioned
            && self.keyspace.loading().is_done()
            && (self.could_hold(bytes) || self.keyspace.eviction().may_evict(bytes, now))
    }

    /// Whether the store could hold `bytes` more, if compaction freed all unused space.
    pub fn could_hold(self, bytes: u64) -> bool {
        self.keyspace.store.could_hold(bytes)
    }

    /// Waits until the store has space for `bytes` of new values, or until nothing more can be done; returns whether
    /// it has. Removes garbage and evicts keys. The caller is not in the gate and holds no key.
    pub fn reclaim(self, bytes: u64, until: Instant, now: Millis) -> Result<bool, KeyspaceError> {
        lock_order::before_wait(Rank::Room);
        if !self.keyspace.loading().is_done() {
            return Ok(false);
        }
        // One thread at a time, in the order in which they came: what one has won goes to no later one.
        let patience = until.saturating_duration_since(Instant::now());
        let Some(_turn) = self.keyspace.reclaiming.try_lock_for(patience) else {
            return Ok(false);
        };
        let mut idle = 0;
        loop {
            let evicts = self.keyspace.eviction().is_over(bytes)
                && self.keyspace.eviction().may_evict(bytes, now);
            if !evicts && self.keyspace.store.has_room_for(bytes) {
                return Ok(true);
            }
            let end = self.keyspace.end_of_waits.get();
            let until = end.map_or(until, |&end| until.min(end));
            if Instant::now() >= until {
                self.keyspace.store.stop_making_room();
                return Ok(false);
            }
            let went = {
                let _inside = self.keyspace.gate.enter_background();
                let removed = self.keyspace.garbage().remove(GARBAGE_PER_TURN) > 0;
                removed || (evicts && self.keyspace.eviction().evict_some(now)?)
            };
            self.keyspace.store.commit()?;
            match self.keyspace.store.work(self.keyspace, HELP_TIME)? {
                Worked::Elsewhere => std::thread::sleep(HELP_TIME),
                // Another thread that found nothing to do may just have ended this thread's search too.
                Worked::Nothing if !went => {
                    idle += 1;
                    if idle > IDLE_MAX {
                        return Ok(self.keyspace.store.has_room_for(bytes));
                    }
                }
                Worked::Some | Worked::Nothing => idle = 0,
            }
        }
    }

    /// Makes space for `bytes` before `until`, while the caller is in the gate. It compacts by itself, because it must not wait for
    /// work that needs the gate. Returns whether there is enough space. The caller holds no key.
    pub fn reclaim_in_gate(self, bytes: u64, until: Instant) -> Result<bool, KeyspaceError> {
        // Another thread may be compacting: its step needs shards, and ends.
        lock_order::before_wait(Rank::Compaction);
        if self.keyspace.transaction.is_running() {
            // A crash would bring back records that the transaction released without a write.
            return Ok(!self.keyspace.garbage().has_set_aside()
                && self
                    .keyspace
                    .store
                    .work_in_step(self.keyspace, bytes, until)?);
        }
        let mut idle = 0;
        while !self.keyspace.store.has_room_for(bytes) {
            if Instant::now() >= until || idle > IDLE_MAX {
                return Ok(false);
            }
            let removed = self.keyspace.garbage().remove(GARBAGE_PER_TURN);
            self.keyspace.store.commit()?;
            match self.keyspace.store.work(self.keyspace, HELP_TIME)? {
                Worked::Elsewhere => std::thread::sleep(HELP_TIME),
                Worked::Nothing if removed == 0 => idle += 1,
                Worked::Some | Worked::Nothing => idle = 0,
            }
        }
        Ok(true)
    }

    /// About how many bytes a key's value takes in the store. 0 if there is no key, if the store makes no space, or
    /// for a collection if only strings count.
    pub fn stored_bytes(
        self,
        db: usize,
        key: &[u8],
        only_strings: bool,
        now: Millis,
    ) -> Result<u64, KeyspaceError> {
        if self.keyspace.partitioned {
            return Ok(0);
        }
        let hash = self.keyspace.hashing.hash(key);
        let mut shard = self.keyspace.locking().read_shard(shard_of(hash))?;
        let generation = self.keyspace.generations.of(db);
        let names = self.keyspace.names(generation);
        let found = shard.get(names, hash, key)?;
        let missing = self
            .keyspace
            .collections()
            .missing_partition(hash, generation, found)?;
        if let Some(missing) = missing.filter(|_| !only_strings) {
            drop(shard);
            self.keyspace.loading().read_elements(missing)?;
            shard = self.keyspace.locking().read_shard(shard_of(hash))?;
        }
        let found = shard.get(names, hash, key)?;
        let Some(found) = found.filter(|found| !found.is_expired(now)) else {
            return Ok(0);
        };
        if only_strings && found.kind() != Kind::String {
            return Ok(0);
        }
        if !has_anchor(found.entry.stored_kind()) {
            return Ok(self.keyspace.store.stored_bytes(found.location)?);
        }
        let Some((_, collection)) = self.keyspace.collections().of(hash, generation, found)? else {
            return Ok(0);
        };
        let collection = collection.read();
        let samples = collection.some_locations(SAMPLES);
        let sizes = samples
            .iter()
            .map(|&at| self.keyspace.store.stored_bytes(at));
        let sum = sizes.sum::<Result<u64, StoreError>>()?;
        let count = samples.len().max(1) as u64;
        Ok(sum * collection.len() as u64 / count)
    }

    /// The bytes that changes of a value bring with them, and those by which it becomes longer.
    pub(crate) fn patch_bytes(
        self,
        record: RecordKey<'_>,
        location: Location,
        changes: &[Change<'_>],
    ) -> u64 {
        let len = self
            .keyspace
            .store
            .value_bytes(record, location)
            .ok()
            .flatten();
        let len = len.unwrap_or_default();
        let bytes: usize = changes.iter().map(|change| change.bytes.len()).sum();
        (bytes + changed_len(len, changes) - len) as u64
    }
}
