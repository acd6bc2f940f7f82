//! The `packed` layout: a log of fixed-size segments, each of them one pmemkv value.
//!
//! Connections stage their writes in DRAM, and one commit appends the writes of all. Readers read a record in its
//! segment, without a copy. A record that was overwritten or removed stays in its segment until the compaction has
//! copied the live ones out.

mod accounts;
mod aside;
mod backup;
mod compact;
mod expired;
mod find;
mod free;
#[doc(hidden)]
pub mod fuzzing;
mod guard;
mod header;
mod hold;
mod holes;
mod kept;
mod large;
mod load;
mod log;
mod name;
mod open;
mod partial;
mod patch;
mod read;
mod record;
mod rehearse;
mod release;
mod roll;
mod space;
mod spares;
mod stage;
mod stand;
mod step;
mod synced;
#[cfg(test)]
mod tests;
mod tidy;
mod write;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Condvar;

pub use open::{open_pool, open_volatile};
pub use rehearse::rehearse;

use super::metadata::{Metadata, WORD_LAYOUT};
use super::{
    Abilities, BackupError, BackupJob, Fill, Generations, Gone, IsNamed, Location, LocationWalk,
    NAMELESS, OnName, OnPiece, OnRecord, OnValue, RecordKey, RecordKind, Relocate, Stand, Store,
    StoreError, SyncReport, Upkeep, Usage, Visited, Worked, Write,
};
use crate::model::{Millis, Range, now_ms};
use compact::Compaction;
use expired::Expired;
use log::Log;
use pmemkv::Engine;
use record::{Form, Parts, Record, Spot};
use space::{CRITICAL_MARK, SHORT_MARK, Space};
use synced::Synced;
use tidy::Quiet;

/// The layout's name, as pools record it.
pub const LAYOUT: &str = "packed";

/// Smaller pools leave little room beside what libpmemobj takes for itself.
pub const POOL_BYTES_MIN: u64 = 32 << 20;

/// The engines that never move a stored value, as segments need it.
pub const ENGINES: [&str; 2] = ["cmap", "vcmap"];

/// The store commits staged parts of a large value at this many bytes: they need not wait for the value's end.
const PARTS_PENDING_MAX: u64 = 4 << 20;

/// The first of the pool's words for guards: the front log's serial number, its offset with a checksum, and the same
/// two words of the compaction's log.
const WORD_GUARDS: usize = WORD_LAYOUT;

/// The pool's word with the size of a segment.
const WORD_SEGMENT_BYTES: usize = WORD_LAYOUT + 4;

/// A store that keeps records in segments.
#[derive(Debug)]
pub struct Packed {
    engine: Engine,
    hash_seed: u64,
    metadata: Metadata,
    space: Space,
    front: Log,
    compaction: Compaction,
    /// The last sequence number given out.
    sequence: AtomicU64,
    /// A value whose record would be longer is stored in parts.
    record_bytes_max: usize,
    /// Wakes the store's thread when it has work to do.
    bell: (parking_lot::Mutex<bool>, Condvar),
    quiet: Quiet,
    damage: load::Damage,
    expired: Expired,
    /// Whether all segments must stay as they are, because another thread reads them one after the other.
    holds_segments: AtomicBool,
    /// The generations that the transaction in progress has set. Its commit stores them.
    held_generations: lock_order::Mutex<Option<Generations>>,
    /// Whether there are any. Only the thread that holds the log asks or says it.
    has_held_generations: AtomicBool,
}

impl Packed {
    fn next_sequence(&self) -> u64 {
        self.sequence.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn commit_all(&self) -> Result<(), StoreError> {
        self.front.commit(&self.space, &self.metadata)?;
        self.compaction.log().commit(&self.space, &self.metadata)?;
        Ok(())
    }
}

impl Store for Packed {
    fn abilities(&self) -> Abilities {
        Abilities {
            sorted: false,
            retains: true,
            persistent: self.engine.persistent,
            partitioned: false,
        }
    }

    fn partitions(&self) -> usize {
        1
    }

    fn hash_seed(&self) -> u64 {
        self.hash_seed
    }

    fn generations(&self) -> Generations {
        self.metadata.generations()
    }

    fn set_generations(&self, new: &Generations) -> Result<(), StoreError> {
        if self.front.is_held_here() {
            *self.held_generations.lock() = Some(*new);
            self.has_held_generations.store(true, Ordering::Relaxed);
        } else {
            // What was staged before must not be missing after a crash that finds the new generations.
            self.front.commit(&self.space, &self.metadata)?;
            self.front.forget_generations();
            self.metadata.set_generations(new);
        }
        Ok(())
    }

    fn reserve_generations(&self, next: u32) -> Result<(), StoreError> {
        if !self.front.is_held_here() {
            // No commit sets generations meanwhile.
            self.front.commit(&self.space, &self.metadata)?;
        }
        self.metadata.reserve_generations(next);
        Ok(())
    }

    fn parts(&self) -> usize {
        self.space.segments().count() as usize
    }

    fn visit(&self, part: usize, visit: &mut dyn FnMut(Visited<'_>)) -> Result<(), StoreError> {
        self.visit_segment(part, visit)
    }

    #[inline]
    fn read(
        &self,
        _record: RecordKey<'_>,
        location: Location,
        f: OnValue<'_>,
    ) -> Result<bool, StoreError> {
        self.read_at(location.into(), f).map(|()| true)
    }

    #[inline]
    fn read_named(
        &self,
        name: RecordKey<'_>,
        location: Location,
        f: OnValue<'_>,
    ) -> Result<bool, StoreError> {
        self.read_named_at(name, location.into(), f)
    }

    #[inline]
    fn name(&self, location: Location, f: OnName<'_>) -> Result<(), StoreError> {
        self.name_at(location.into(), f)
    }

    #[inline]
    fn is_named(
        &self,
        location: Location,
        generation: u32,
        key: [&[u8]; 2],
    ) -> Result<IsNamed, StoreError> {
        self.is_named_at(location.into(), generation, key)
    }

    #[inline]
    fn is_large(&self, location: Location) -> bool {
        Spot::from(location).large
    }

    fn value_bytes(
        &self,
        _record: RecordKey<'_>,
        location: Location,
    ) -> Result<Option<usize>, StoreError> {
        self.value_bytes_at(location.into()).map(Some)
    }

    fn read_range(
        &self,
        _record: RecordKey<'_>,
        location: Location,
        range: std::ops::Range<usize>,
        f: OnPiece<'_>,
    ) -> Result<(), StoreError> {
        self.read_range_at(location.into(), range, f)
    }

    fn read_run(
        &self,
        locations: &[Location],
        f: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, StoreError> {
        let segments = self.space.segments();
        let reader = segments.reader();
        for &location in locations {
            let spot = Spot::from(location);
            let here = (!spot.large)
                .then(|| reader.read(spot.segment, spot.offset, spot.length))
                .flatten();
            let flow = match here.and_then(Record::decode) {
                Some(record) if matches!(record.form, Form::Value(_)) => f(record.body),
                // A large value, or a record that is not in its segment yet.
                _ => {
                    let mut flow = ControlFlow::Continue(());
                    self.read(NAMELESS, location, &mut |value| flow = f(value.bytes))?;
                    flow
                }
            };
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    #[inline]
    fn prefetch(&self, location: Location) {
        self.prefetch_at(location.into());
    }

    #[inline]
    fn prefetch_name(&self, location: Location) {
        self.prefetch_name_at(location.into());
    }

    fn write(&self, writes: &[Write<'_>], locations: &mut [Location]) -> Result<(), StoreError> {
        self.put_all(writes, locations)
    }

    fn puts_aside(&self) -> bool {
        self.may_repeat()
    }

    fn put_aside(
        &self,
        record: RecordKey<'_>,
        kind: RecordKind,
        value: &[u8],
    ) -> Result<Option<Location>, StoreError> {
        self.repeat_value(record, kind, value)
    }

    fn atomically(
        &self,
        _records: &[RecordKey<'_>],
        change: &mut dyn FnMut(),
    ) -> Result<(), StoreError> {
        self.run_step(change);
        Ok(())
    }

    fn commit_before_step(&self) -> Result<(), StoreError> {
        if self.front.is_held_here() {
            self.front.commit_before_hold(&self.space, &self.metadata)?;
        }
        Ok(())
    }

    fn forget(
        &self,
        record: RecordKey<'_>,
        location: Location,
        gone: Gone,
    ) -> Result<(), StoreError> {
        match gone {
            Gone::Expired => self.release_expired(location)?,
            Gone::Flushed => self.release_flushed(record, location.into())?,
        }
        Ok(())
    }

    fn is_of_this_step(&self, location: Location) -> bool {
        self.front.is_of_hold(&self.space, location)
    }

    fn generation_is_gone(&self, generation: u32) {
        if self.front.is_held_here() {
            self.front
                .drop_generation(&self.space, generation, &mut |form, spot| match form {
                    Form::Tombstone => self.space.drop_tombstone(spot),
                    Form::Value(_) | Form::Large(_) | Form::Part => self.space.release(spot),
                });
        }
    }

    #[inline]
    fn commit(&self) -> Result<bool, StoreError> {
        let wrote = self.front.commit(&self.space, &self.metadata)?;
        self.expired.store(&self.metadata);
        Ok(wrote)
    }

    fn has_uncommitted(&self) -> bool {
        self.front.has_uncommitted()
    }

    fn note_alive(&self) {
        self.metadata.note_alive();
    }

    fn saw_expired(&self, now: Millis) {
        // A batch that began earlier than another has an earlier time, but the clock did not go back.
        let now = if now < self.expired.latest() {
            now.max(now_ms())
        } else {
            now
        };
        self.expired.note(now, &self.sequence);
    }

    fn stand(&self) -> Option<Stand> {
        self.present_stand()
    }

    fn sum_before(&self, stand: &Stand) -> Option<u64> {
        self.sum_before(stand)
    }

    #[inline]
    fn staged_bytes(&self) -> u64 {
        self.front.staged_bytes() + self.compaction.log().staged_bytes()
    }

    fn commit_all_staged(&self) -> Result<bool, StoreError> {
        // In a step of this thread, a commit leaves out what the step has staged.
        let is_committed = !self.front.is_held_here() && self.commit_all_soon()?;
        if is_committed {
            self.expired.store(&self.metadata);
        }
        Ok(is_committed)
    }

    fn visit_since(
        &self,
        stand: &Stand,
        visit: &mut dyn FnMut(Visited<'_>),
    ) -> Result<bool, StoreError> {
        self.visit_behind(stand, visit)
    }

    fn visit_unread(
        &self,
        part: usize,
        visit: &mut dyn FnMut(Visited<'_>),
    ) -> Result<(), StoreError> {
        self.visit_unread_segment(part, visit)
    }

    fn check_unread(&self, part: usize) -> Result<(), StoreError> {
        self.check_unread_segment(part)
    }

    fn hold_parts(&self, hold: bool) {
        self.hold_segments(hold);
    }

    fn claim(&self, walk: LocationWalk<'_>) -> Result<(), StoreError> {
        self.claim_records(walk)
    }

    fn sequence(&self, location: Location) -> Result<u64, StoreError> {
        self.with_record(location.into(), |record| record.sequence)
    }

    fn release(&self, location: Location) -> Result<(), StoreError> {
        self.release_with_parts(location)
    }

    fn release_all(&self, locations: &[Location]) -> Result<(), StoreError> {
        self.release_many(locations)
    }

    fn loaded(&self, index: &dyn Relocate) -> Result<(), StoreError> {
        self.repair(index)
    }

    fn while_nothing_moves(&self, run: &mut dyn FnMut()) -> bool {
        let _nothing_moves = self.compaction.interrupt();
        run();
        true
    }

    fn release_all_but(&self, kept: &[Location]) -> Result<(), StoreError> {
        self.release_all_but_kept(kept)
    }

    fn expect_random_reads(&self) {
        self.space.segments().expect_random_reads();
    }

    #[inline]
    fn waits_for_pages(&self) -> bool {
        self.space.segments().asks_ahead()
    }

    fn look_at_reads(&self) {
        self.space.segments().look_at_reads();
    }

    fn upkeep(&self) -> Upkeep {
        self.needs()
    }

    fn work(&self, index: &dyn Relocate, time: Duration) -> Result<Worked, StoreError> {
        self.compact(index, time)
    }

    fn work_in_step(
        &self,
        index: &dyn Relocate,
        bytes: u64,
        until: Instant,
    ) -> Result<bool, StoreError> {
        self.compact_in_step(index, bytes, until)
    }

    fn could_hold(&self, bytes: u64) -> bool {
        self.space.could_hold(bytes)
    }

    fn stored_bytes(&self, location: Location) -> Result<u64, StoreError> {
        self.stored_bytes_of(location.into())
    }

    fn work_when_idle(&self, index: &dyn Relocate) -> bool {
        self.tidy(index) || self.space.prepare_one() || self.space.reserve_some()
    }

    fn wait_for_work(&self, time: Duration) -> bool {
        let (rung, bell) = &self.bell;
        let mut rung = rung.lock();
        if !*rung {
            bell.wait_for(&mut rung, time);
        }
        std::mem::take(&mut *rung)
    }

    fn end_wait(&self) {
        self.ring();
    }

    fn has_room_for(&self, bytes: u64) -> bool {
        // A record that does not fit leaves the end of a segment empty, so count on seven eighths of each.
        let segments = bytes / (self.space.capacity() as u64 * 7 / 8) + 1;
        let needed = segments + u64::from(CRITICAL_MARK) + 1;
        u32::try_from(needed).is_ok_and(|needed| self.space.has_available(needed))
    }

    fn stop_making_room(&self) {
        self.space.want_nothing();
    }

    #[inline]
    fn fill(&self) -> Fill {
        Fill {
            bytes: self.space.live_bytes(),
            is_short: self.space.available() < SHORT_MARK,
        }
    }

    fn evict_above(&self) -> u64 {
        self.space.evict_above()
    }

    fn range(&self, _: u32, _: Range<'_>, _: OnRecord<'_>) -> Result<(), StoreError> {
        Err(StoreError::NotSupported)
    }

    fn range_count(&self, _: u32, _: Range<'_>) -> Result<u64, StoreError> {
        Err(StoreError::NotSupported)
    }

    fn usage(&self) -> Result<Usage, StoreError> {
        let figures = self.space.figures();
        let compacted = self.compaction.figures();
        Ok(Usage {
            engine: self.engine.name.to_owned(),
            layout: LAYOUT,
            stored_bytes_max: self.space.live_bytes_max(),
            details: vec![
                ("segment_bytes", figures.segment_bytes),
                ("segments_max", figures.segments_max.into()),
                ("segments", figures.segments.into()),
                ("segments_free", figures.segments_free.into()),
                ("live_bytes", figures.live_bytes),
                ("masking_bytes", figures.tombstone_bytes),
                ("compacted_segments", compacted.segments),
                ("compaction_moved_bytes", compacted.moved_bytes),
                ("damaged_segments", self.damage.segments()),
                ("damaged_bytes", self.damage.bytes()),
                ("records_asked_for", self.space.segments().asked()),
            ],
            ..self.metadata.usage()?
        })
    }

    fn defrag(&self, _: f64, _: f64) -> Result<(), StoreError> {
        // All segments have the same size, so there is nothing to defragment.
        Ok(())
    }

    fn check_backup(&self, path: &Path) -> Result<(), BackupError> {
        self.check_copy(path)
    }

    fn back_up(&self, path: &Path, job: &BackupJob) -> Result<(), BackupError> {
        self.copy_to(path, job)
    }

    fn syncs(&self) -> Option<SyncReport> {
        self.space.synced().map(Synced::report)
    }

    #[inline]
    fn is_sync_failing(&self) -> bool {
        self.space.synced().is_some_and(Synced::is_failing)
    }

    fn sync(&self) -> Result<(), StoreError> {
        match self.space.synced() {
            Some(synced) => synced
                .sync(&self.space)
                .map_err(|error| StoreError::Engine(format!("the pool cannot be synced: {error}"))),
            None => Ok(()),
        }
    }

    fn wait_to_sync(&self, time: Duration) {
        if let Some(synced) = self.space.synced() {
            synced.wait(time);
        }
    }

    fn end_wait_to_sync(&self) {
        if let Some(synced) = self.space.synced() {
            synced.ring();
        }
    }

    fn close(&self) -> Result<(), StoreError> {
        self.commit_all()?;
        self.expired.store(&self.metadata);
        self.metadata.mark_closed();
        self.sync()
    }
}
