//! Makes space in the store for what a command will write, and tells how much there is.
//!
//! Compaction must free the space of overwritten or removed records before it can be used again. A caller that waits
//! for this must be outside the gate and hold no key, because compaction, garbage removal and other transactions need
//! both. A transaction waits for no other thread: it compacts by itself.

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::access::live;
use super::eviction::LARGE_BYTES;
use super::{Access, Keyspace, KeyspaceError, Kind, Millis};
use store::{StoreError, Upkeep, Worked, Write};

/// How long a writer helps a store that is short of space, before its replies are sent.
const HELP_TIME: Duration = Duration::from_micros(100);

/// How long a command waits for space.
pub const ROOM_TIME_MAX: Duration = Duration::from_secs(5);

/// How long a command inside the gate compacts for itself.
const WIN_TIME_MAX: Duration = Duration::from_secs(1);

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
    static WANTED: Cell<u64> = const { Cell::new(0) };
}

/// Returns and resets how many bytes the thread's last refused write needed, including the earlier writes of the same
/// call. 0 if no write was refused after the last call of this function.
pub fn take_wanted() -> u64 {
    WANTED.take()
}

/// Adds the bytes that a call had written before the store refused one of its writes.
pub(super) fn add_wanted(bytes: u64) {
    WANTED.set(WANTED.get() + bytes);
}

/// Whether the store refused a write of the thread's last call for lack of space.
pub(super) fn is_wanted() -> bool {
    WANTED.get() > 0
}

/// What a change of a long string writes besides its own bytes: the rest of the part that it changes.
const PART_BYTES: u64 = 64 * 1024;

/// Writing more bytes of one string anew takes long: other clients of the thread would notice.
const LONG_BYTES: u64 = 1 << 20;

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

    /// Refuses a change that makes a string `len` bytes long and writes `written_bytes` of it, before anybody makes these in
    /// DRAM: where the string is longer than all that the store can hold, and where writing takes long and the access is
    /// not patient.
    pub(super) fn refuse_long(
        &self,
        len: usize,
        written_bytes: usize,
        access: Access,
    ) -> Result<(), KeyspaceError> {
        if written_bytes as u64 <= LONG_BYTES {
            return Ok(());
        }
        let bytes_max = self.store.usage()?.stored_bytes_max;
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
    pub(super) fn note_wanted(&self, writes: &[Write<'_>]) {
        WANTED.set(self.bytes_of(writes));
    }

    /// Helps a store that is short of space: for a moment, or, if the shortage is critical, until there is space
    /// again. The caller is not in the gate.
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

    /// Whether `bytes` of new values exceed the space that the store keeps ready, so that the caller must make space
    /// first.
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

    /// Whether compaction or eviction may later free `bytes` for a command that found no space. In a store without
    /// compaction, the write itself has already evicted all keys that could help.
    pub fn may_make_room(&self, bytes: u64, now: Millis) -> bool {
        !self.partitioned
            && self.is_loaded()
            && (self.could_hold(bytes) || self.may_evict(bytes, now))
    }

    /// Whether the store could hold `bytes` more, if compaction freed all unused space.
    pub fn could_hold(&self, bytes: u64) -> bool {
        self.store.could_hold(bytes)
    }

    /// Waits until the store has space for `bytes` of new values, or until nothing more can be done; returns whether
    /// it has. Removes garbage and evicts keys. The caller is not in the gate and holds no key.
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
                // Another thread that found nothing to do may just have ended this thread's search too.
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

    /// Makes space for `bytes` while the caller is in the gate. It compacts by itself, because it must not wait for
    /// work that needs the gate. Returns whether there is enough space. The caller holds no key.
    pub fn win_room(&self, bytes: u64) -> Result<bool, KeyspaceError> {
        let until = Instant::now() + WIN_TIME_MAX;
        if self.is_in_transaction() {
            // A crash would bring back records that the transaction released without a write.
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

    /// About how many bytes a key's value takes in the store. 0 if there is no key, if the store makes no space, or
    /// for a collection if only strings count.
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
