//! A log: many threads stage records in DRAM, and one commit appends the records of all to segments.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use lock_order::{Mutex, MutexGuard, Rank, RwLock};

use super::header::{Header, VERSION, Which};
use super::hold::Hold;
use super::record::{Binding, Spot};
use super::space::Space;
use super::synced::Synced;
use crate::{Generations, StoreError};

/// How long the compaction waits for the commit lock: longer than a commit takes. A transaction may hold the lock
/// longer.
const COMMIT_TIME_MAX: Duration = Duration::from_millis(2);

/// How often a thread that waits for the commit lock looks whether it still needs it.
const LOOK_TIME: Duration = Duration::from_millis(10);

/// Stands for "no hold" where the bytes staged before it are expected.
const NO_HOLD: u64 = u64::MAX;

thread_local! {
    /// Whether this thread holds the front log.
    static HOLDS: Cell<bool> = const { Cell::new(false) };
}

/// Keeps the log from being committed while it lives, so that one commit takes all that its thread stages meanwhile.
#[derive(Debug)]
pub struct Held<'a> {
    log: &'a Log,
    space: &'a Space,
    commit_lock: MutexGuard<'a, ()>,
}

impl Held<'_> {
    /// Ends the hold, appends everything that is staged, and sets the generations in the same durable step.
    pub fn commit_with(
        self,
        guard: &dyn Guard,
        generations: &Generations,
    ) -> Result<(), StoreError> {
        self.log.end_hold(self.space);
        // They stay here on an error, so the next commit sets them.
        *self.log.generations.lock() = Some(*generations);
        let target = self.log.staged.load(Ordering::Acquire);
        self.log
            .commit_locked(&self.commit_lock, target, self.space, guard)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.log.end_hold(self.space);
        self.log.held_from.store(NO_HOLD, Ordering::Release);
        HOLDS.set(false);
    }
}

/// A staging buffer of up to this size is kept for the next commit.
const KEPT_BUFFER_BYTES: usize = 1 << 20;

/// Notes in the pool that a commit of several steps is under way, so that the next open can undo it after a crash.
pub trait Guard {
    /// Says that the log's records from `offset` on in the segment with serial number `serial`, and in later segments,
    /// do not count until [`clear`](Self::clear). Durable on return.
    fn set(&self, which: Which, serial: u64, offset: usize);

    /// Makes these records count. Durable on return.
    fn clear(&self, which: Which);

    /// Makes these records count and sets the generations, in one durable step.
    fn clear_with(&self, which: Which, generations: &Generations);
}

/// A log, with the records that are not in its segments yet.
#[derive(Debug)]
pub struct Log {
    pub(super) which: Which,
    pub(super) staging: Mutex<Staging>,
    /// The records that a commit is writing, or has failed to write.
    committing: RwLock<Taken>,
    /// The thread that commits holds it.
    commit_lock: Mutex<()>,
    /// The generations that the next commit sets in the same step.
    generations: Mutex<Option<Generations>>,
    /// Bytes ever staged.
    pub(super) staged: AtomicU64,
    /// Bytes ever committed.
    committed: AtomicU64,
    /// Bytes that had ever been staged when the present hold began, or [`NO_HOLD`].
    held_from: AtomicU64,
    /// Whether the staging knows of the hold. Only the thread that holds the log asks or says it.
    hold_begun: AtomicBool,
}

#[derive(Debug, Default)]
pub(super) struct Staging {
    pub(super) active: Option<Active>,
    /// In the order of their serial numbers.
    pub(super) chunks: Vec<Chunk>,
    /// Bytes staged since the last commit took everything. Bytes that a hold has dropped from the chunks since count as
    /// committed together with the rest.
    pub(super) staged_bytes: u64,
    /// Empty buffers for new chunks.
    buffers: Vec<Vec<u8>>,
    pub(super) hold: Hold,
}

/// What a commit took from the staging.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) chunks: Vec<Chunk>,
    /// How many staged bytes the chunks stand for.
    pub(super) staged_bytes: u64,
}

/// The segment that is being filled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Active {
    pub(super) segment: u32,
    pub(super) serial: u64,
    /// Where the next record goes.
    pub(super) end: usize,
}

impl Active {
    /// What binds the next record to its place.
    pub(super) fn binding(self) -> Binding {
        Binding {
            serial: self.serial,
            offset: self.end,
        }
    }
}

/// Bytes that belong into one segment.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) segment: u32,
    pub(super) serial: u64,
    pub(super) offset: usize,
    pub(super) bytes: Vec<u8>,
}

impl Chunk {
    fn lend(&self, spot: Spot) -> Option<&[u8]> {
        if self.segment != spot.segment {
            return None;
        }
        let start = spot.offset.checked_sub(self.offset)?;
        self.bytes.get(start..start.checked_add(spot.length)?)
    }
}

impl Log {
    /// An empty log.
    pub fn new(which: Which) -> Self {
        Self {
            which,
            staging: Mutex::new(Rank::Staging, Staging::default()),
            committing: RwLock::new(Rank::Committing, Taken::default()),
            commit_lock: Mutex::new(
                match which {
                    Which::Front => Rank::FrontCommit,
                    Which::Compaction => Rank::CompactionCommit,
                },
                (),
            ),
            generations: Mutex::new(Rank::CommitGenerations, None),
            staged: AtomicU64::new(0),
            committed: AtomicU64::new(0),
            held_from: AtomicU64::new(NO_HOLD),
            hold_begun: AtomicBool::new(false),
        }
    }

    /// The serial number of the segment that the next record goes to, and where it goes there. No later record goes before
    /// it. `None` while a thread holds the log, which may take back what it has staged, or commits for long.
    pub(super) fn end(&self, space: &Space) -> Option<(u64, u64)> {
        if self.is_held_here() {
            return None;
        }
        let _lock = self.commit_lock.try_lock_for(COMMIT_TIME_MAX)?;
        let staging = self.staging.lock();
        Some(match staging.active {
            Some(active) => (active.serial, active.end as u64),
            None => (space.serial_bound(), 0),
        })
    }

    /// Bytes ever staged.
    #[inline]
    pub(super) fn staged_bytes(&self) -> u64 {
        self.staged.load(Ordering::Relaxed)
    }

    /// Bytes that are staged and not committed.
    pub fn pending_bytes(&self) -> u64 {
        let committed = self.committed.load(Ordering::Acquire);
        self.staged
            .load(Ordering::Acquire)
            .saturating_sub(committed)
    }

    /// Whether bytes are staged and not committed.
    #[inline]
    pub(super) fn has_uncommitted(&self) -> bool {
        self.committed.load(Ordering::Acquire) < self.staged.load(Ordering::Acquire)
    }

    /// Bytes that the next commit writes.
    #[cfg(test)]
    pub fn pending_in_chunks(&self) -> u64 {
        let staging = self.staging.lock();
        let chunks = staging.chunks.iter();
        chunks.map(|chunk| chunk.bytes.len() as u64).sum()
    }

    /// Lends a record that is staged and not committed; `false` if there is none at that place.
    pub fn read_staged(&self, spot: Spot, read: &mut dyn FnMut(&[u8])) -> bool {
        {
            let staging = self.staging.lock();
            // Readers mostly want the newest records.
            if let Some(record) = staging
                .chunks
                .iter()
                .rev()
                .find_map(|chunk| chunk.lend(spot))
            {
                read(record);
                return true;
            }
        }
        let committing = self.committing.read();
        let mut chunks = committing.chunks.iter();
        let Some(record) = chunks.find_map(|chunk| chunk.lend(spot)) else {
            return false;
        };
        read(record);
        true
    }

    /// Appends everything that was staged before the call to its segments. On an error it stays staged, and the next
    /// commit tries again. `false` if there was nothing.
    #[inline]
    pub fn commit(&self, space: &Space, guard: &dyn Guard) -> Result<bool, StoreError> {
        let target = self.staged.load(Ordering::Acquire);
        if self.committed.load(Ordering::Acquire) >= target {
            return Ok(false);
        }
        self.commit_until(target, space, guard)?;
        Ok(true)
    }

    /// Whether everything is committed that was staged up to `target` by threads that do not hold the log. While one
    /// holds it, no other thread stages anything.
    fn has_committed(&self, target: u64) -> bool {
        let held_from = self.held_from.load(Ordering::Acquire);
        self.committed.load(Ordering::Acquire) >= target.min(held_from)
    }

    /// As [`commit`](Self::commit), but never waits, because the caller holds a lock that the log's holder may want.
    /// `false` if another thread holds the log or commits.
    pub fn try_commit(&self, space: &Space, guard: &dyn Guard) -> Result<bool, StoreError> {
        let target = self.staged.load(Ordering::Acquire);
        if self.committed.load(Ordering::Acquire) >= target {
            return Ok(true);
        }
        let Some(lock) = self.commit_lock.try_lock() else {
            return Ok(false);
        };
        self.commit_locked(&lock, target, space, guard)?;
        Ok(true)
    }

    /// As [`commit`](Self::commit), for the compaction: gives up and returns `false` after [`COMMIT_TIME_MAX`], because
    /// a transaction that holds the log may wait for the compaction.
    pub fn commit_soon(&self, space: &Space, guard: &dyn Guard) -> Result<bool, StoreError> {
        let target = self.staged.load(Ordering::Acquire);
        if self.is_held_here() || self.committed.load(Ordering::Acquire) >= target {
            return Ok(true);
        }
        let Some(lock) = self.commit_lock.try_lock_for(COMMIT_TIME_MAX) else {
            return Ok(false);
        };
        self.commit_locked(&lock, target, space, guard)?;
        Ok(true)
    }

    /// Commits all that is staged, and keeps the log from being committed while the result lives. `None` where another
    /// thread keeps it for longer than a commit takes.
    pub(super) fn settle(
        &self,
        space: &Space,
        guard: &dyn Guard,
    ) -> Result<Option<MutexGuard<'_, ()>>, StoreError> {
        let Some(lock) = self.commit_lock.try_lock_for(COMMIT_TIME_MAX) else {
            return Ok(None);
        };
        let target = self.staged.load(Ordering::Acquire);
        self.commit_locked(&lock, target, space, guard)?;
        Ok(Some(lock))
    }

    /// Commits what was staged before the hold of this thread began.
    pub(super) fn commit_before_hold(
        &self,
        space: &Space,
        guard: &dyn Guard,
    ) -> Result<(), StoreError> {
        // What a failed commit has left is older, so it goes first.
        self.write_taken(space, guard)?;
        {
            // Under both locks, so that a reader finds a record in one place or the other.
            let mut staging = self.held_staging(space);
            *self.committing.write() = staging.take_before_hold();
        }
        self.write_taken(space, guard)
    }

    /// Keeps everything that is staged from being committed until the caller drops the result. Meanwhile the thread's
    /// own commits do nothing, the log keeps only the last version of each record that the thread stages, and no other
    /// thread may stage.
    pub fn hold<'a>(&'a self, space: &'a Space) -> Held<'a> {
        // The caller is alone inside the gate: nobody waits for this lock with a shard that the caller may need.
        let lock = self.commit_lock.lock_at(Rank::Hold);
        HOLDS.set(true);
        let staged = self.staged.load(Ordering::Acquire);
        self.held_from.store(staged, Ordering::Release);
        Held {
            log: self,
            space,
            commit_lock: lock,
        }
    }

    /// The staging, which knows of the hold of this thread from now on. A script that only reads never asks for it.
    #[inline]
    pub(super) fn held_staging(&self, space: &Space) -> MutexGuard<'_, Staging> {
        let mut staging = self.staging.lock();
        if !self.hold_begun.load(Ordering::Relaxed) {
            // No other thread stages while this one holds the log: the hold's records begin where they would have begun with it.
            staging.begin_hold(space);
            self.hold_begun.store(true, Ordering::Relaxed);
        }
        staging
    }

    fn end_hold(&self, space: &Space) {
        if self.hold_begun.load(Ordering::Relaxed) {
            self.hold_begun.store(false, Ordering::Relaxed);
            self.staging.lock().end_hold(space);
        }
    }

    /// Forgets the generations that a failed commit has left, because newer ones were set.
    pub fn forget_generations(&self) {
        *self.generations.lock() = None;
    }

    /// Whether the calling thread holds the log.
    pub fn is_held_here(&self) -> bool {
        self.which == Which::Front && HOLDS.get()
    }

    fn commit_until(
        &self,
        target: u64,
        space: &Space,
        guard: &dyn Guard,
    ) -> Result<(), StoreError> {
        if self.is_held_here() {
            return Ok(());
        }
        // A script may hold the log for seconds.
        let lock = loop {
            if self.has_committed(target) {
                return Ok(());
            }
            if let Some(lock) = self.commit_lock.try_lock_for(LOOK_TIME) {
                break lock;
            }
        };
        self.commit_locked(&lock, target, space, guard)
    }

    fn commit_locked(
        &self,
        _lock: &MutexGuard<'_, ()>,
        target: u64,
        space: &Space,
        guard: &dyn Guard,
    ) -> Result<(), StoreError> {
        // Another thread may have committed everything already. What a failed commit left goes first.
        while self.committed.load(Ordering::Acquire) < target {
            if self.committing.read().staged_bytes == 0 {
                let mut staging = self.staging.lock();
                let taken = staging.take();
                // Under both locks, so that a reader finds a record in one place or the other.
                *self.committing.write() = taken;
            }
            self.write_taken(space, guard)?;
        }
        // Nothing was staged, so no commit has set them.
        if let Some(generations) = self.generations.lock().take() {
            guard.clear_with(self.which, &generations);
        }
        Ok(())
    }

    /// Appends what is in `committing`, and empties it. The caller holds the commit lock.
    fn write_taken(&self, space: &Space, guard: &dyn Guard) -> Result<(), StoreError> {
        self.append(space, guard)?;
        let mut written = std::mem::take(&mut *self.committing.write());
        self.committed
            .fetch_add(written.staged_bytes, Ordering::Release);
        let mut staging = self.staging.lock();
        for chunk in written.chunks.drain(..) {
            staging.recycle(chunk.bytes);
        }
        if staging.chunks.capacity() == 0 {
            staging.chunks = written.chunks;
        }
        Ok(())
    }

    /// Appends what is in `committing`.
    fn append(&self, space: &Space, guard: &dyn Guard) -> Result<(), StoreError> {
        let synced = space.synced();
        let _step = synced.map(Synced::step);
        let mut generations = self.generations.lock();
        let committing = self.committing.read();
        let chunks = &committing.chunks;
        let Some(first) = chunks.first() else {
            return Ok(());
        };
        // Within one segment the header's entry is the moment at which the commit counts.
        let guarded = chunks.len() > 1 || generations.is_some();
        if guarded {
            guard.set(self.which, first.serial, first.offset);
        }
        for chunk in chunks {
            if chunk.offset == 0 {
                let segments = space.segments();
                space
                    .roll()
                    .start(self.which, chunk.segment, chunk.serial, |full| {
                        segments.readable(full)
                    });
            }
            let end = chunk.offset + chunk.bytes.len();
            // An earlier commit that failed may have come this far.
            if space.segments().readable(chunk.segment) >= end {
                continue;
            }
            let header = Header {
                version: VERSION,
                which: self.which,
                serial: chunk.serial,
                committed: end as u64,
                begun: chunk.offset as u64,
            };
            space
                .segments()
                .append(chunk.segment, &chunk.bytes, &header.entry())?;
            space.roll().appended(self.which, chunk.serial, end);
            if let Some(synced) = synced {
                synced.note(chunk.segment, &header);
            }
        }
        match generations.take() {
            Some(generations) => guard.clear_with(self.which, &generations),
            None if guarded => guard.clear(self.which),
            None => {}
        }
        Ok(())
    }

    /// Seals the active segment if its serial number is at most `newest`, so that the compaction may empty it. The next
    /// record begins another segment. Returns whether it has sealed one.
    pub fn seal(&self, space: &Space, newest: u64) -> bool {
        let mut staging = self.staging.lock();
        match staging.active {
            Some(active) if active.serial <= newest => {
                space.seal(active.segment, space.serial_bound());
                staging.active = None;
                true
            }
            _ => false,
        }
    }
}

impl Staging {
    pub(super) fn append(&mut self, active: Active, record: &[u8]) {
        if let Some(chunk) = self.chunks.last_mut()
            && chunk.serial == active.serial
        {
            chunk.bytes.extend_from_slice(record);
            return;
        }
        let mut bytes = self.buffers.pop().unwrap_or_default();
        bytes.extend_from_slice(record);
        self.chunks.push(Chunk {
            segment: active.segment,
            serial: active.serial,
            offset: active.end,
            bytes,
        });
    }

    fn take(&mut self) -> Taken {
        Taken {
            chunks: std::mem::take(&mut self.chunks),
            staged_bytes: std::mem::take(&mut self.staged_bytes),
        }
    }

    fn recycle(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= KEPT_BUFFER_BYTES && self.buffers.len() < 4 {
            buffer.clear();
            self.buffers.push(buffer);
        }
    }
}
