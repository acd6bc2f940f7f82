//! The space of the pool: which segments are free, what the others hold, and how much of all that is left.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use lock_order::{Mutex, Rank};

use super::accounts::{Accounts, Ask, Waiting};
use super::header::Header;
use super::kept::Kept;
use super::record::{Binding, Spot};
use super::roll::Roll;
use super::spares::Idle;
use super::synced::Synced;
use crate::StoreError;
use pmemkv::{SEGMENT_HEADER_BYTES, Segments};

/// A pool is full when live records take this share of what it can hold: without the rest the compaction could gain
/// nothing. At 97 of 100 it copies some 15 bytes for each one it frees.
const FULL_PERCENT: u64 = 97;

/// Segments that only the compaction may take: its active one, and one more for a batch that does not fit into it.
const COMPACTION_RESERVE: u32 = 2;

/// With fewer available segments a thread must compact before it writes: writes that are under way on other threads
/// must still find room.
pub const CRITICAL_MARK: u32 = COMPACTION_RESERVE + 3;

/// With fewer available segments a command that adds something waits before it takes a lock: commands that are under
/// way on this thread's other connections and on other threads need the rest.
pub const SHORT_MARK: u32 = CRITICAL_MARK - 1;

/// The keyspace evicts keys, if it may, when live records take more than this share. The higher the share, the more the
/// compaction copies for each byte that it frees; tombstones need room too.
const EVICT_PERCENT: u64 = 90;

/// The space of the pool.
#[derive(Debug)]
pub struct Space {
    pub(super) segments: Segments,
    pub(super) roll: Roll,
    accounts: Accounts,
    free: Mutex<Vec<u32>>,
    /// Length of `free`.
    pub(super) free_count: AtomicU32,
    /// How many segments exist, free ones included.
    pub(super) made: AtomicU32,
    /// How many segments can exist. It falls if the pool turns out to have room for fewer.
    pub(super) made_max: AtomicU32,
    next_serial: AtomicU64,
    /// How many available segments a thread waits for.
    wanted: AtomicU32,
    pub(super) idle: Idle,
    /// Where the pool is synced each second.
    pub(super) synced: Option<Synced>,
}

/// How the pool's space is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Bytes of a segment that records can use.
    pub segment_bytes: u64,
    /// How many segments can exist.
    pub segments_max: u32,
    /// How many segments exist.
    pub segments: u32,
    /// How many of these are free.
    pub segments_free: u32,
    /// Bytes of records in use.
    pub live_bytes: u64,
    /// Bytes of tombstones and of expired values, which serve as tombstones.
    pub tombstone_bytes: u64,
}

impl Space {
    /// The account of `segments`, all of them free, of which there can be `segments_max`.
    pub fn new(segments: Segments, segments_max: u32, roll: Roll) -> Self {
        let made = segments.count();
        let segments_max = segments_max.max(made);
        Self {
            accounts: Accounts::new(segments_max, capacity(&segments)),
            free: Mutex::new(Rank::FreeSegments, Vec::new()),
            free_count: AtomicU32::new(0),
            made: AtomicU32::new(made),
            made_max: AtomicU32::new(segments_max),
            next_serial: AtomicU64::new(1),
            wanted: AtomicU32::new(0),
            idle: Idle::default(),
            synced: None,
            roll,
            segments,
        }
    }

    /// The segments themselves.
    pub fn segments(&self) -> &Segments {
        &self.segments
    }

    /// What the pool says of them.
    pub fn roll(&self) -> &Roll {
        &self.roll
    }

    /// Bytes of a segment that records can use.
    pub fn capacity(&self) -> usize {
        capacity(&self.segments)
    }

    /// Notes a segment that an earlier process has filled, and the serial number of the next one of its log.
    pub fn found(&self, segment: u32, header: &Header, next: u64) {
        self.accounts.found(segment, header, next);
    }

    /// Notes that nobody reads the segments that an earlier process has filled. The compaction walks through them before it
    /// frees them, since they may hold tombstones.
    pub fn leave_unread(&self) {
        self.accounts.leave_unread();
    }

    /// Whether nobody has read the segment's records since the open.
    pub fn is_unread(&self, segment: u32) -> bool {
        self.accounts.is_unread(segment)
    }

    /// Goes on with this serial number.
    pub fn go_on_from(&self, serial: u64) {
        self.next_serial.fetch_max(serial, Ordering::Relaxed);
    }

    /// What binds a record to its place.
    pub fn binding(&self, segment: u32, offset: usize) -> Binding {
        let has_places = self.accounts.has_places(segment);
        Binding {
            serial: self.serial(segment),
            offset: if has_places { offset } else { 0 },
        }
    }

    /// Adds a segment to the free list.
    pub fn found_free(&self, segment: u32) {
        let mut free = self.free.lock();
        free.push(segment);
        self.free_count.store(len(&free), Ordering::Release);
    }

    /// The free segment that is taken after `n` others.
    pub(super) fn nth_next(&self, n: u32) -> Option<u32> {
        let free = self.free.lock();
        free.iter().rev().nth(n as usize).copied()
    }

    /// A bound above all serial numbers given out so far.
    pub fn serial_bound(&self) -> u64 {
        self.next_serial.load(Ordering::Acquire)
    }

    /// The serial number of a segment's present life; 0 while it is free.
    pub fn serial(&self, segment: u32) -> u64 {
        self.accounts.serial(segment)
    }

    /// The segment in use that has this serial number.
    pub fn with_serial(&self, serial: u64) -> Option<u32> {
        self.accounts.with_serial(serial)
    }

    /// Takes a free segment, or makes one, and starts its next life. Returns its number and serial number. Leaves
    /// [`COMPACTION_RESERVE`] segments for the compaction.
    pub fn take(&self, for_compaction: bool) -> Result<(u32, u64), StoreError> {
        let reserve = if for_compaction {
            0
        } else {
            COMPACTION_RESERVE as usize
        };
        loop {
            let mut free = self.free.lock();
            // Segments that can still be made count as the reserve too.
            let possible = free.len() + self.possible() as usize;
            if possible <= reserve {
                return Err(StoreError::OutOfMemory);
            }
            if let Some(segment) = free.pop() {
                self.free_count.store(len(&free), Ordering::Release);
                let serial = self.start_life(segment);
                let next = free.last().copied();
                drop(free);
                if let Some(next) = next {
                    self.segments.fetch(next);
                }
                return Ok((segment, serial));
            }
            drop(free);
            self.make()?;
        }
    }

    fn start_life(&self, segment: u32) -> u64 {
        let serial = self.next_serial.fetch_add(1, Ordering::AcqRel);
        self.accounts.begin(segment, serial);
        serial
    }

    /// The state of the syncs, where the pool is synced each second.
    #[inline]
    pub fn synced(&self) -> Option<&Synced> {
        self.synced.as_ref()
    }

    /// Puts a segment that held records back into the free list, as soon as no power cut brings the records back.
    pub fn put_back_used(&self, segment: u32) {
        self.accounts.end(segment);
        match &self.synced {
            Some(synced) => synced.keep_freed(segment),
            None => self.found_free(segment),
        }
    }

    /// Puts an emptied segment back into the free list.
    pub fn put_back(&self, segment: u32) {
        self.accounts.end(segment);
        self.found_free(segment);
    }

    /// Notes that no log appends to a segment any more. `bound` is the present bound of serial numbers.
    pub fn seal(&self, segment: u32, bound: u64) {
        self.accounts.seal(segment, bound);
    }

    /// The bound that a sealed segment was sealed with.
    pub fn sealed_bound(&self, segment: u32) -> u64 {
        self.accounts.sealed_bound(segment)
    }

    /// Counts a record as live.
    pub fn claim(&self, spot: Spot) {
        self.accounts.claim(spot);
    }

    /// Counts a record as live in the place of another one.
    #[inline]
    pub fn claim_instead(&self, spot: Spot, replaced: Option<Spot>) {
        self.accounts.claim_instead(spot, replaced);
    }

    /// Counts many records of a segment as live in one go.
    pub fn claim_all(&self, segment: u32, bytes: usize) {
        self.claim(Spot {
            segment,
            offset: 0,
            length: bytes,
            large: false,
        });
    }

    /// Stops counting a record as live.
    pub fn release(&self, spot: Spot) {
        self.accounts.check_inside(spot);
        self.release_bytes(spot.segment, spot.length);
    }

    /// Stops counting records of a segment as live, which have so many bytes in all.
    pub fn release_bytes(&self, segment: u32, bytes: usize) {
        self.accounts.release(segment, bytes);
    }

    /// Stops counting all records of all segments as live. Nobody counts one meanwhile.
    pub fn release_everything(&self) {
        for segment in 0..self.made.load(Ordering::Acquire) {
            let live = self.accounts.live_bytes_of(segment);
            if let Ok(bytes @ 1..) = usize::try_from(live) {
                self.release_bytes(segment, bytes);
            }
        }
    }

    /// Counts a tombstone, or an expired value, which serves as one.
    pub fn add_tombstone(&self, spot: Spot) {
        self.accounts.add_tombstone(spot);
    }

    /// Takes a tombstone out of the count.
    pub fn drop_tombstone(&self, spot: Spot) {
        self.accounts.drop_tombstone(spot);
    }

    /// Whether the pool is too full for `bytes` more of live records.
    #[inline]
    pub fn is_full_for(&self, bytes: usize) -> bool {
        self.live_bytes() + bytes as u64 > self.live_bytes_max()
    }

    /// Whether the pool can hold `bytes` more of live records, once the compaction has made segments for them free.
    pub fn could_hold(&self, bytes: u64) -> bool {
        self.live_bytes().saturating_add(bytes) <= self.live_bytes_max()
    }

    /// Bytes of live records.
    #[inline]
    pub fn live_bytes(&self) -> u64 {
        self.accounts.live_bytes()
    }

    /// The most bytes of live records that there may be.
    pub fn live_bytes_max(&self) -> u64 {
        self.usable_bytes() / 100 * FULL_PERCENT
    }

    /// The most bytes of live records while some can be evicted.
    pub fn evict_above(&self) -> u64 {
        self.usable_bytes() / 100 * EVICT_PERCENT
    }

    fn usable_bytes(&self) -> u64 {
        let max = self.made_max.load(Ordering::Relaxed);
        u64::from(max.saturating_sub(self.low_mark())) * self.capacity() as u64
    }

    /// The most segments that there are accounts for.
    pub fn segments_max(&self) -> u32 {
        u32::try_from(self.accounts.count()).unwrap_or(u32::MAX)
    }

    /// Segments that can still be made.
    pub(super) fn possible(&self) -> u32 {
        let max = self.made_max.load(Ordering::Acquire);
        max.saturating_sub(self.made.load(Ordering::Acquire))
    }

    /// Segments that a log can still take.
    pub fn available(&self) -> u32 {
        self.free_count.load(Ordering::Acquire) + self.possible()
    }

    /// Whether so many segments are available. If not, the compaction will work until they are.
    pub fn has_available(&self, segments: u32) -> bool {
        let has = self.available() >= segments;
        if !has {
            self.wanted.fetch_max(segments, Ordering::Relaxed);
        }
        has
    }

    /// Whether the compaction has freed enough segments.
    pub fn has_enough(&self) -> bool {
        let wanted = self.wanted.load(Ordering::Relaxed);
        let waiting = self.synced().map_or(0, Synced::waiting);
        self.available() + waiting >= wanted.max(self.high_mark())
    }

    /// Whether writes may soon have to wait for segments that wait for a sync, and whether they do already.
    pub fn awaits_sync(&self) -> (bool, bool) {
        let has_waiting = self.synced().is_some_and(|synced| synced.waiting() > 0);
        let wanted = self.wanted.load(Ordering::Relaxed);
        let available = self.available();
        (
            has_waiting && available < self.low_mark(),
            has_waiting && available < wanted.max(CRITICAL_MARK),
        )
    }

    /// Notes that no thread waits for segments any more, or that the compaction cannot free more.
    pub fn want_nothing(&self) {
        self.wanted.store(0, Ordering::Relaxed);
    }

    /// With fewer available segments the compaction works in the background.
    pub fn high_mark(&self) -> u32 {
        CRITICAL_MARK + 2 * self.margin()
    }

    /// With fewer available segments the threads that write help it.
    pub fn low_mark(&self) -> u32 {
        CRITICAL_MARK + self.margin()
    }

    fn margin(&self) -> u32 {
        (self.made_max.load(Ordering::Relaxed) / 64).clamp(2, 256)
    }

    /// The lowest serial number of any segment in use except `but`; `u64::MAX` if there is none.
    pub fn oldest_serial(&self, but: Option<u32>) -> u64 {
        self.accounts.oldest_serial(but)
    }

    /// Sealed segments that `may_go` and hold no live record and no tombstone that is still needed, at most so many. The caller
    /// gives them back in this order, or none of the rest. `may_go` takes no lock.
    pub fn empty_ones(&self, count_max: usize, may_go: Ask<'_>) -> Vec<u32> {
        self.accounts.empty_ones(count_max, may_go)
    }

    /// Of the sealed segments that wait so and `may_go`, one that frees most when it is emptied, if that is enough to be worth
    /// it. `may_go` takes no lock.
    pub fn victim(&self, waiting: Waiting, may_go: Ask<'_>) -> Option<u32> {
        let made = self.made.load(Ordering::Acquire);
        let readable = |segment| self.segments.readable(segment);
        self.accounts.victim(waiting, made, may_go, &readable)
    }

    /// Of the sealed segments that the compaction may empty and that `may_go`, one that frees most, if that is more than
    /// `gain_min` bytes. `may_go` takes no lock.
    pub(super) fn most_gained(&self, gain_min: usize, may_go: Ask<'_>) -> Option<u32> {
        let readable = |segment| self.segments.readable(segment);
        let waiting = Waiting::ForCompaction;
        self.accounts
            .most_gained(waiting, gain_min, may_go, &readable)
    }

    /// The segments that a backup has still to copy.
    pub fn kept(&self) -> &Kept {
        self.accounts.kept()
    }

    /// Files segments that a backup keeps since a moment ago.
    pub fn file_kept(&self, segments: &[u32]) {
        self.accounts.file_kept(segments);
    }

    /// Keeps a segment for no backup any more.
    pub fn let_go(&self, segment: u32) {
        self.accounts.let_go(segment);
    }

    /// Keeps no segment for a backup any more.
    pub fn let_go_of_all(&self) {
        self.accounts.let_go_of_all();
    }

    /// Whether a backup keeps segments, and the store is so short of others that writes may have to wait.
    pub fn keeps_what_is_needed(&self) -> bool {
        let wanted = self.wanted.load(Ordering::Relaxed);
        self.kept().is_any() && self.available() < wanted.max(CRITICAL_MARK)
    }

    /// How the pool's space is used.
    pub fn figures(&self) -> Figures {
        Figures {
            segment_bytes: self.capacity() as u64,
            segments_max: self.made_max.load(Ordering::Relaxed),
            segments: self.made.load(Ordering::Relaxed),
            segments_free: self.free_count.load(Ordering::Relaxed),
            live_bytes: self.live_bytes(),
            tombstone_bytes: self.accounts.tombstone_bytes(),
        }
    }

    /// Bytes of live records in one segment.
    #[cfg(test)]
    pub fn live_bytes_of(&self, segment: u32) -> i64 {
        self.accounts.live_bytes_of(segment)
    }
}

/// Bytes of a segment that records can use.
fn capacity(segments: &Segments) -> usize {
    segments.segment_bytes() - SEGMENT_HEADER_BYTES
}

fn len(free: &[u32]) -> u32 {
    u32::try_from(free.len()).unwrap_or(u32::MAX)
}
