//! Room for what a command is going to write: making it, and knowing how much.
//!
//! What was overwritten or removed is room only once the compaction has been there. Whoever waits for that is not in the
//! gate and holds no key: the compaction, the removal of garbage and others' transactions need them. A transaction waits
//! for nobody: it compacts by itself.

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::access::live;
use super::eviction::LARGE_BYTES;
use super::{Keyspace, KeyspaceError, Kind, Millis};
use store::{StoreError, Upkeep, Worked, Write};

/// How long a writer helps a store that is short of room, before its replies go.
const HELP_TIME: Duration = Duration::from_micros(100);

/// How long a command waits for room.
pub const ROOM_TIME_MAX: Duration = Duration::from_secs(5);

/// How long a command that is in the gate compacts for itself.
const WIN_TIME_MAX: Duration = Duration::from_secs(1);

/// Records of flushed databases and removed collections that go before others may come in again.
const GARBAGE_PER_TURN: usize = 512;

/// How often in a row the store may find nothing to do before it is believed.
const IDLE_MAX: usize = 3;

/// Elements that the size of a collection is estimated from.
const SAMPLES: usize = 64;

/// Bytes beside a record's name and value.
const RECORD_BYTES: u64 = 32;

thread_local! {
    /// Bytes that the thread's last write would have needed which found no room.
    static WANTED: Cell<u64> = const { Cell::new(0) };
}

/// How many bytes the thread's last write wanted, with those before it in the same call; 0 where none was refused since
/// this was asked for.
pub fn take_wanted() -> u64 {
    WANTED.take()
}

/// Notes what a call that found no room had written before.
pub(super) fn add_wanted(bytes: u64) {
    WANTED.set(WANTED.get() + bytes);
}

/// Whether the thread's last call has found no room.
pub(super) fn is_wanted() -> bool {
    WANTED.get() > 0
}

/// What one change of a long string writes beside its own bytes: the rest of the part that it lies in.
const PART_BYTES: u64 = 64 * 1024;

impl Keyspace {
    /// About how many bytes these writes take in the store.
    pub(super) fn bytes_of(&self, writes: &[Write<'_>]) -> u64 {
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

    /// Notes that a write found no room.
    pub(super) fn note_wanted(&self, writes: &[Write<'_>]) {
        WANTED.set(self.bytes_of(writes));
    }

    /// Lends the store a hand that is short of room: for a moment, or until there is some again. The caller is not in the
    /// gate.
    #[cold]
    pub(super) fn help(&self) -> Result<(), KeyspaceError> {
        self.latency.timed("compaction", || {
            self.store.work(self, HELP_TIME)?;
            if self.store.upkeep() == Upkeep::Critical {
                self.make_room(0, Instant::now() + ROOM_TIME_MAX, super::now_ms())?;
            }
            Ok(())
        })
    }

    /// Whether `bytes` of new values are more than the store is ready for, so that room is to be made for them.
    pub fn wants_room(&self, bytes: u64, now: Millis) -> bool {
        let large = bytes > LARGE_BYTES;
        if large && self.is_over(bytes) && self.may_evict(bytes, now) {
            return true;
        }
        let large = large && self.store.could_hold(bytes);
        (large || self.store.fill().is_short)
            && self.is_loaded()
            && !self.store.has_room_for(if large { bytes } else { 0 })
    }

    /// Whether a command that found no room for `bytes` may find some later: by the compaction, or by evicting keys. Where
    /// nothing is compacted the write itself has evicted all that may help.
    pub fn may_make_room(&self, bytes: u64, now: Millis) -> bool {
        !self.partitioned
            && self.is_loaded()
            && (self.could_hold(bytes) || self.may_evict(bytes, now))
    }

    /// Whether the store could hold `bytes` more, if no room was lost to what is of no use.
    pub fn could_hold(&self, bytes: u64) -> bool {
        self.store.could_hold(bytes)
    }

    /// Waits until the store has room for `bytes` of new values, or nothing more can be done for it; whether it has.
    /// Garbage goes, and keys that may be evicted. The caller is not in the gate and holds no key.
    pub fn make_room(
        &self,
        bytes: u64,
        until: Instant,
        now: Millis,
    ) -> Result<bool, KeyspaceError> {
        if !self.is_loaded() {
            return Ok(false);
        }
        let mut idle = 0;
        loop {
            let evicts = self.is_over(bytes) && self.may_evict(bytes, now);
            if !evicts && self.store.has_room_for(bytes) {
                return Ok(true);
            }
            if Instant::now() >= until {
                self.store.stop_making_room();
                return Ok(false);
            }
            let went = {
                let _inside = self.gate.enter_background();
                let removed = self.remove_garbage(GARBAGE_PER_TURN) > 0;
                removed || (evicts && self.evict_some(now)?)
            };
            self.store.commit()?;
            match self.store.work(self, HELP_TIME)? {
                Worked::Elsewhere => std::thread::sleep(HELP_TIME),
                // Another thread that has found nothing to do may have just ended the search for this one too.
                Worked::Nothing if !went => {
                    idle += 1;
                    if idle > IDLE_MAX {
                        return Ok(self.store.has_room_for(bytes));
                    }
                }
                Worked::Some | Worked::Nothing => idle = 0,
            }
        }
    }

    /// Wins room for `bytes` where the caller is in the gate, so that it waits for nothing that needs it: it compacts by
    /// itself. Whether there is as much. The caller holds no key.
    pub fn win_room(&self, bytes: u64) -> Result<bool, KeyspaceError> {
        let until = Instant::now() + WIN_TIME_MAX;
        if self.is_in_transaction() {
            // What of the transaction's own was let go of without a write, a crash brings back.
            return Ok(self.garbage_set_aside.lock().is_empty()
                && self.store.work_in_step(self, bytes, until)?);
        }
        let mut idle = 0;
        while !self.store.has_room_for(bytes) {
            if Instant::now() >= until || idle > IDLE_MAX {
                return Ok(false);
            }
            let removed = self.remove_garbage(GARBAGE_PER_TURN);
            self.store.commit()?;
            match self.store.work(self, HELP_TIME)? {
                Worked::Elsewhere => std::thread::sleep(HELP_TIME),
                Worked::Nothing if removed == 0 => idle += 1,
                Worked::Some | Worked::Nothing => idle = 0,
            }
        }
        Ok(true)
    }

    /// About how many bytes a key's value takes in the store; 0 where there is none, where the store makes no room, and for
    /// collections where only strings count.
    pub fn stored_bytes(
        &self,
        db: usize,
        key: &[u8],
        only_strings: bool,
        now: Millis,
    ) -> Result<u64, KeyspaceError> {
        if self.partitioned {
            return Ok(0);
        }
        let place = self.place(key);
        let shard = self.read_shard(place.shard)?;
        let generation = self.generation(db);
        let entry = shard.get(generation, place.hash, key);
        let Some(entry) = live(entry, now) else {
            return Ok(0);
        };
        if entry.kind() == Kind::String {
            return Ok(self.store.stored_bytes(entry.location)?);
        }
        if only_strings {
            return Ok(0);
        }
        let Some((_, collection)) = self.collection(place, generation, entry)? else {
            return Ok(0);
        };
        let collection = collection.read();
        let samples = collection.some_locations(SAMPLES);
        let sizes = samples.iter().map(|&at| self.store.stored_bytes(at));
        let sum = sizes.sum::<Result<u64, StoreError>>()?;
        let count = samples.len().max(1) as u64;
        Ok(sum * collection.len() as u64 / count)
    }
}
