//! A store that fails on demand, for tests of the layers above it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::{
    Abilities, Fill, Generations, Gone, Location, LocationWalk, OnName, OnPiece, OnRecord, OnValue,
    RecordKey, RecordKind, Relocate, Store, StoreError, SyncReport, Upkeep, Usage, Visited, Worked,
    Write,
};
use crate::model::{Millis, Range};

/// Wraps another store, and knows which of the next calls must fail.
pub struct Faults {
    inner: Box<dyn Store>,
    /// The write with this number, counted from now on, fails; 0 for none.
    pub failing_write: AtomicU64,
    /// The same for commits.
    pub failing_commit: AtomicU64,
    /// The same for readings of a record's name.
    pub failing_name: AtomicU64,
    /// Whether the records that a start has not read are not shown.
    pub hides_unread: AtomicBool,
}

impl Faults {
    /// `inner`, which does not fail yet.
    pub fn over(inner: Box<dyn Store>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            failing_write: AtomicU64::new(0),
            failing_commit: AtomicU64::new(0),
            failing_name: AtomicU64::new(0),
            hides_unread: AtomicBool::new(false),
        })
    }
}

/// Whether this is the call that fails.
fn fails(countdown: &AtomicU64) -> bool {
    let one_less = |left: u64| left.checked_sub(1);
    countdown.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less) == Ok(1)
}

impl Store for Arc<Faults> {
    fn abilities(&self) -> Abilities {
        self.inner.abilities()
    }

    fn partitions(&self) -> usize {
        self.inner.partitions()
    }

    fn hash_seed(&self) -> u64 {
        self.inner.hash_seed()
    }

    fn generations(&self) -> Generations {
        self.inner.generations()
    }

    fn set_generations(&self, generations: &Generations) -> Result<(), StoreError> {
        self.inner.set_generations(generations)
    }

    fn reserve_generations(&self, next: u32) -> Result<(), StoreError> {
        self.inner.reserve_generations(next)
    }

    fn parts(&self) -> usize {
        self.inner.parts()
    }

    fn visit(&self, part: usize, visit: &mut dyn FnMut(Visited<'_>)) -> Result<(), StoreError> {
        self.inner.visit(part, visit)
    }

    fn read(
        &self,
        record: RecordKey<'_>,
        location: Location,
        f: OnValue<'_>,
    ) -> Result<bool, StoreError> {
        self.inner.read(record, location, f)
    }

    fn locate(&self, record: RecordKey<'_>) -> Result<Option<Location>, StoreError> {
        self.inner.locate(record)
    }

    fn read_named(
        &self,
        record: RecordKey<'_>,
        location: Location,
        f: OnValue<'_>,
    ) -> Result<bool, StoreError> {
        if fails(&self.failing_name) {
            return Err(StoreError::Damaged("the test lets it fail".to_owned()));
        }
        self.inner.read_named(record, location, f)
    }

    fn name(&self, location: Location, f: OnName<'_>) -> Result<(), StoreError> {
        if fails(&self.failing_name) {
            return Err(StoreError::Damaged("the test lets it fail".to_owned()));
        }
        self.inner.name(location, f)
    }

    fn is_large(&self, location: Location) -> bool {
        self.inner.is_large(location)
    }

    fn value_bytes(
        &self,
        record: RecordKey<'_>,
        location: Location,
    ) -> Result<Option<usize>, StoreError> {
        self.inner.value_bytes(record, location)
    }

    fn read_range(
        &self,
        record: RecordKey<'_>,
        location: Location,
        range: std::ops::Range<usize>,
        f: OnPiece<'_>,
    ) -> Result<(), StoreError> {
        self.inner.read_range(record, location, range, f)
    }

    fn write(&self, writes: &[Write<'_>], locations: &mut [Location]) -> Result<(), StoreError> {
        if fails(&self.failing_write) {
            return Err(StoreError::OutOfMemory);
        }
        self.inner.write(writes, locations)
    }

    fn puts_aside(&self) -> bool {
        self.inner.puts_aside()
    }

    fn put_aside(
        &self,
        record: RecordKey<'_>,
        kind: RecordKind,
        value: &[u8],
    ) -> Result<Option<Location>, StoreError> {
        if fails(&self.failing_write) {
            return Err(StoreError::OutOfMemory);
        }
        self.inner.put_aside(record, kind, value)
    }

    fn atomically(
        &self,
        records: &[RecordKey<'_>],
        change: &mut dyn FnMut(),
    ) -> Result<(), StoreError> {
        self.inner.atomically(records, change)
    }

    fn commit_before_step(&self) -> Result<(), StoreError> {
        self.inner.commit_before_step()
    }

    fn forget(
        &self,
        record: RecordKey<'_>,
        location: Location,
        gone: Gone,
    ) -> Result<(), StoreError> {
        self.inner.forget(record, location, gone)
    }

    fn note_alive(&self) {
        self.inner.note_alive();
    }

    fn saw_expired(&self, now: Millis) {
        self.inner.saw_expired(now);
    }

    fn is_of_this_step(&self, location: Location) -> bool {
        self.inner.is_of_this_step(location)
    }

    fn generation_is_gone(&self, generation: u32) {
        self.inner.generation_is_gone(generation);
    }

    fn has_uncommitted(&self) -> bool {
        self.inner.has_uncommitted()
    }

    fn commit(&self) -> Result<bool, StoreError> {
        if fails(&self.failing_commit) {
            return Err(StoreError::Engine("the test lets it fail".to_owned()));
        }
        self.inner.commit()
    }

    fn visit_unread(
        &self,
        part: usize,
        visit: &mut dyn FnMut(Visited<'_>),
    ) -> Result<(), StoreError> {
        if self.hides_unread.load(Ordering::Relaxed) {
            return Ok(());
        }
        // A test has no earlier process, so the store has read everything.
        self.inner.visit(part, visit)
    }

    fn claim(&self, _walk: LocationWalk<'_>) -> Result<(), StoreError> {
        // The visit has counted them.
        Ok(())
    }

    fn sequence(&self, location: Location) -> Result<u64, StoreError> {
        self.inner.sequence(location)
    }

    fn release(&self, location: Location) -> Result<(), StoreError> {
        self.inner.release(location)
    }

    fn release_all(&self, locations: &[Location]) -> Result<(), StoreError> {
        self.inner.release_all(locations)
    }

    fn loaded(&self, index: &dyn Relocate) -> Result<(), StoreError> {
        self.inner.loaded(index)
    }

    fn upkeep(&self) -> Upkeep {
        self.inner.upkeep()
    }

    fn work(&self, index: &dyn Relocate, time: Duration) -> Result<Worked, StoreError> {
        self.inner.work(index, time)
    }

    fn work_in_step(
        &self,
        index: &dyn Relocate,
        bytes: u64,
        until: Instant,
    ) -> Result<bool, StoreError> {
        self.inner.work_in_step(index, bytes, until)
    }

    fn could_hold(&self, bytes: u64) -> bool {
        self.inner.could_hold(bytes)
    }

    fn stored_bytes(&self, location: Location) -> Result<u64, StoreError> {
        self.inner.stored_bytes(location)
    }

    fn while_nothing_moves(&self, run: &mut dyn FnMut()) -> bool {
        self.inner.while_nothing_moves(run)
    }

    fn release_all_but(&self, kept: &[Location]) -> Result<(), StoreError> {
        self.inner.release_all_but(kept)
    }

    fn expect_random_reads(&self) {
        self.inner.expect_random_reads();
    }

    fn waits_for_pages(&self) -> bool {
        self.inner.waits_for_pages()
    }

    fn look_at_reads(&self) {
        self.inner.look_at_reads();
    }

    fn work_when_idle(&self, index: &dyn Relocate) -> bool {
        self.inner.work_when_idle(index)
    }

    fn wait_for_work(&self, time: Duration) -> bool {
        self.inner.wait_for_work(time)
    }

    fn end_wait(&self) {
        self.inner.end_wait();
    }

    fn has_room_for(&self, bytes: u64) -> bool {
        self.inner.has_room_for(bytes)
    }

    fn stop_making_room(&self) {
        self.inner.stop_making_room();
    }

    fn fill(&self) -> Fill {
        self.inner.fill()
    }

    fn evict_above(&self) -> u64 {
        self.inner.evict_above()
    }

    fn range(
        &self,
        generation: u32,
        range: Range<'_>,
        visit: OnRecord<'_>,
    ) -> Result<(), StoreError> {
        self.inner.range(generation, range, visit)
    }

    fn range_count(&self, generation: u32, range: Range<'_>) -> Result<u64, StoreError> {
        self.inner.range_count(generation, range)
    }

    fn usage(&self) -> Result<Usage, StoreError> {
        self.inner.usage()
    }

    fn defrag(&self, start: f64, amount: f64) -> Result<(), StoreError> {
        self.inner.defrag(start, amount)
    }

    fn syncs(&self) -> Option<SyncReport> {
        self.inner.syncs()
    }

    fn is_sync_failing(&self) -> bool {
        self.inner.is_sync_failing()
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.inner.sync()
    }

    fn wait_to_sync(&self, time: Duration) {
        self.inner.wait_to_sync(time);
    }

    fn end_wait_to_sync(&self) {
        self.inner.end_wait_to_sync();
    }

    fn close(&self) -> Result<(), StoreError> {
        self.inner.close()
    }
}
