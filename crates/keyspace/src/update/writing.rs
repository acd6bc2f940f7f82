//! Writes records to the store, step 3 of a change. If the store is full, it frees memory where it can.

use crate::{Keyspace, KeyspaceError, Millis};
use store::{Location, StoreError, Write};

/// Writes records of keys and notes them in the index; see [`Keyspace::writing`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Writing<'k> {
    pub(crate) keyspace: &'k Keyspace,
}

impl Writing<'_> {
    /// Writes to the store. If the store is full, it first removes garbage, then evicts keys, and tries again.
    #[inline]
    pub(crate) fn store(
        self,
        writes: &[Write<'_>],
        locations: &mut [Location],
        now: Millis,
    ) -> Result<(), KeyspaceError> {
        match self.keyspace.store.write(writes, locations) {
            Ok(()) => Ok(()),
            failed => self.make_room_and_store(failed, writes, locations, now),
        }
    }

    /// Goes on with a write that has `failed`.
    #[cold]
    fn make_room_and_store(
        self,
        failed: Result<(), StoreError>,
        writes: &[Write<'_>],
        locations: &mut [Location],
        now: Millis,
    ) -> Result<(), KeyspaceError> {
        let mut written = failed;
        let mut evictions = EVICTIONS_PER_WRITE;
        let mut before = None;
        loop {
            match written {
                Err(StoreError::OutOfMemory)
                    if self.keyspace.garbage().remove(GARBAGE_PER_RETRY) > 0 => {}
                Err(StoreError::OutOfMemory)
                    if evictions > 0
                        // If compaction can free enough, no key has to go.
                        && !self.keyspace.store.could_hold(self.keyspace.memory_check().bytes_of(writes))
                        && self.may_evict_for(
                            writes,
                            *before.get_or_insert_with(|| self.keyspace.store.fill().bytes),
                        )
                        && self.keyspace.eviction().evict_for_write(KEYS_PER_EVICTION, now)? =>
                {
                    evictions -= 1;
                }
                other => {
                    if matches!(other, Err(StoreError::OutOfMemory)) {
                        self.keyspace.memory_check().note_refused(writes);
                    }
                    return Ok(other?);
                }
            }
            written = self.keyspace.store.write(writes, locations);
        }
    }

    /// Whether eviction makes sense for values that did not fit. It does if an empty store could hold them, and if the
    /// call has not evicted so much of the `before` bytes already that only fragmentation can be the reason.
    fn may_evict_for(self, writes: &[Write<'_>], before: u64) -> bool {
        let bytes = writes.iter().map(|write| match *write {
            Write::Put { value, .. } => value.len() as u64,
            Write::Patch {
                record,
                location,
                changes,
            } => self
                .keyspace
                .memory_check()
                .patch_bytes(record, location, changes),
            _ => 0,
        });
        let bytes = bytes.sum::<u64>();
        let freed = before.saturating_sub(self.keyspace.store.fill().bytes);
        let freed_max = (8 * bytes)
            .min(2 * bytes + FREED_BYTES_MORE)
            .max(FREED_BYTES_MIN);
        bytes < self.keyspace.store.evict_above() && freed <= freed_max
    }
}

/// Keys that one write evicts before it tries again, and how often it does that.
const KEYS_PER_EVICTION: usize = 16;
const EVICTIONS_PER_WRITE: usize = 64;

/// A write evicts at most 8 times its size; a large write at most twice its size plus the first number; any write may
/// evict the second number.
const FREED_BYTES_MORE: u64 = 4 << 20;
const FREED_BYTES_MIN: u64 = 256 * 1024;

/// Garbage records that one write removes before it tries again.
const GARBAGE_PER_RETRY: usize = 256;
