//! The accounts of all segments: which ones are free, how many live bytes each other one holds, and which one the
//! compaction should empty next.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};

use lock_order::{Mutex, Rank};

use super::header::{Header, VERSION_WITHOUT_PLACE};
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

/// The compaction leaves a segment alone that frees less than one of this many shares.
const MIN_GAIN_SHARE: usize = 64;

/// Up to one of this many shares of a segment may stay empty at its end, because the next record did not fit.
const END_SHARE: i64 = 16;

/// One segment's account.
#[derive(Debug, Default)]
struct Account {
    /// Which life of the segment this is: later lives have higher numbers. 0 while it is free.
    serial: AtomicU64,
    /// Bytes of records that the index knows, and of parts that belong to them.
    live: AtomicI64,
    /// Bytes of tombstones and of expired values, which serve as tombstones.
    tombstone_bytes: AtomicI64,
    /// 0 while a log appends to it. Once the segment is sealed, a bound above all serial numbers given out when the
    /// last record was staged here: older records of its keys lie only in segments with lower serial numbers.
    sealed: AtomicU64,
    /// Whether its records are bound to their places: in segments of version 1 they are not.
    has_places: AtomicBool,
    /// Whether its records were not read when the pool was opened, so that nobody knows of its tombstones.
    unread: AtomicBool,
}

/// The account of all segments.
#[derive(Debug)]
pub struct Space {
    pub(super) segments: Segments,
    pub(super) roll: Roll,
    accounts: Box<[Account]>,
    free: Mutex<Vec<u32>>,
    /// Length of `free`.
    pub(super) free_count: AtomicU32,
    /// How many segments exist, free ones included.
    pub(super) made: AtomicU32,
    /// How many segments can exist. It falls if the pool turns out to have room for fewer.
    pub(super) made_max: AtomicU32,
    live: AtomicI64,
    tombstone_bytes: AtomicI64,
    next_serial: AtomicU64,
    /// How many available segments a thread waits for.
    wanted: AtomicU32,
    kept: Kept,
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
            accounts: (0..segments_max).map(|_| Account::default()).collect(),
            free: Mutex::new(Rank::FreeSegments, Vec::new()),
            free_count: AtomicU32::new(0),
            made: AtomicU32::new(made),
            made_max: AtomicU32::new(segments_max),
            live: AtomicI64::new(0),
            tombstone_bytes: AtomicI64::new(0),
            next_serial: AtomicU64::new(1),
            wanted: AtomicU32::new(0),
            kept: Kept::new(segments_max),
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
        self.segments.segment_bytes() - SEGMENT_HEADER_BYTES
    }

    /// Notes a segment that an earlier process has filled, and the serial number of the next one of its log.
    pub fn found(&self, segment: u32, header: &Header, next: u64) {
        let account = self.account(segment);
        account.serial.store(header.serial, Ordering::Relaxed);
        account.sealed.store(next, Ordering::Relaxed);
        let has_places = header.version != VERSION_WITHOUT_PLACE;
        account.has_places.store(has_places, Ordering::Relaxed);
    }

    /// Notes that nobody reads the segments that an earlier process has filled. The compaction walks through them before it
    /// frees them, since they may hold tombstones.
    pub fn leave_unread(&self) {
        for account in &self.accounts {
            let is_used = account.serial.load(Ordering::Relaxed) != 0;
            account.unread.store(is_used, Ordering::Relaxed);
        }
    }

    /// Whether nobody has read the segment's records since the open.
    pub fn is_unread(&self, segment: u32) -> bool {
        self.account(segment).unread.load(Ordering::Relaxed)
    }

    /// Goes on with this serial number.
    pub fn go_on_from(&self, serial: u64) {
        self.next_serial.fetch_max(serial, Ordering::Relaxed);
    }

    /// What binds a record to its place.
    pub fn binding(&self, segment: u32, offset: usize) -> Binding {
        let has_places = self.account(segment).has_places.load(Ordering::Relaxed);
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
        self.account(segment).serial.load(Ordering::Acquire)
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
            {
                let mut free = self.free.lock();
                // Segments that can still be made count as the reserve too.
                let possible = free.len() + self.possible() as usize;
                if possible <= reserve {
                    return Err(StoreError::OutOfMemory);
                }
                if let Some(segment) = free.pop() {
                    self.free_count.store(len(&free), Ordering::Release);
                    return Ok((segment, self.start_life(segment)));
                }
            }
            self.make()?;
        }
    }

    fn start_life(&self, segment: u32) -> u64 {
        let serial = self.next_serial.fetch_add(1, Ordering::AcqRel);
        let account = self.account(segment);
        account.live.store(0, Ordering::Relaxed);
        account.tombstone_bytes.store(0, Ordering::Relaxed);
        account.sealed.store(0, Ordering::Relaxed);
        account.has_places.store(true, Ordering::Relaxed);
        account.unread.store(false, Ordering::Relaxed);
        account.serial.store(serial, Ordering::Release);
        serial
    }

    /// The state of the syncs, where the pool is synced each second.
    #[inline]
    pub fn synced(&self) -> Option<&Synced> {
        self.synced.as_ref()
    }

    /// Puts a segment that held records back into the free list, as soon as no power cut brings the records back.
    pub fn put_back_used(&self, segment: u32) {
        self.empty_account(segment);
        match &self.synced {
            Some(synced) => synced.keep_freed(segment),
            None => self.found_free(segment),
        }
    }

    /// Puts an emptied segment back into the free list.
    pub fn put_back(&self, segment: u32) {
        self.empty_account(segment);
        self.found_free(segment);
    }

    fn empty_account(&self, segment: u32) {
        let account = self.account(segment);
        let serial = account.serial.swap(0, Ordering::AcqRel);
        debug_assert_ne!(serial, 0, "segment {segment} is given back twice");
        let live = account.live.swap(0, Ordering::Relaxed);
        debug_assert!(
            (0..=signed(self.capacity())).contains(&live),
            "segment {segment} is given back with {live} live bytes"
        );
        let tombstone_bytes = account.tombstone_bytes.swap(0, Ordering::Relaxed);
        self.live.fetch_sub(live, Ordering::Relaxed);
        self.tombstone_bytes
            .fetch_sub(tombstone_bytes, Ordering::Relaxed);
    }

    /// Notes that no log appends to a segment any more. `bound` is the present bound of serial numbers.
    pub fn seal(&self, segment: u32, bound: u64) {
        let account = self.account(segment);
        debug_assert!(
            bound > account.serial.load(Ordering::Acquire),
            "segment {segment} is sealed with bound {bound}"
        );
        account.sealed.store(bound, Ordering::Release);
    }

    /// The bound that a sealed segment was sealed with.
    pub fn sealed_bound(&self, segment: u32) -> u64 {
        self.account(segment).sealed.load(Ordering::Acquire)
    }

    /// Counts a record as live.
    pub fn claim(&self, spot: Spot) {
        self.check_inside(spot);
        let bytes = signed(spot.length);
        self.account(spot.segment)
            .live
            .fetch_add(bytes, Ordering::Relaxed);
        self.live.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts a record as live in the place of another one.
    #[inline]
    pub fn claim_instead(&self, spot: Spot, replaced: Option<Spot>) {
        let Some(replaced) = replaced else {
            return self.claim(spot);
        };
        self.check_inside(spot);
        self.check_inside(replaced);
        let (new, old) = (signed(spot.length), signed(replaced.length));
        let live = |segment: u32| &self.account(segment).live;
        live(spot.segment).fetch_add(new, Ordering::Relaxed);
        live(replaced.segment).fetch_sub(old, Ordering::Release);
        // Most values keep their length.
        if new != old {
            self.live.fetch_add(new - old, Ordering::Relaxed);
        }
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
        self.check_inside(spot);
        self.release_bytes(spot.segment, spot.length);
    }

    /// Stops counting records of a segment as live, which have so many bytes in all.
    pub fn release_bytes(&self, segment: u32, bytes: usize) {
        let bytes = signed(bytes);
        let live = &self.account(segment).live;
        live.fetch_sub(bytes, Ordering::Relaxed);
        self.live.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Counts a tombstone, or an expired value, which serves as one.
    pub fn add_tombstone(&self, spot: Spot) {
        self.check_inside(spot);
        let bytes = signed(spot.length);
        self.account(spot.segment)
            .tombstone_bytes
            .fetch_add(bytes, Ordering::Relaxed);
        self.tombstone_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Takes a tombstone out of the count.
    pub fn drop_tombstone(&self, spot: Spot) {
        self.check_inside(spot);
        let bytes = signed(spot.length);
        self.account(spot.segment)
            .tombstone_bytes
            .fetch_sub(bytes, Ordering::Relaxed);
        self.tombstone_bytes.fetch_sub(bytes, Ordering::Relaxed);
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
        unsigned(self.live.load(Ordering::Relaxed))
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
        u32::try_from(self.accounts.len()).unwrap_or(u32::MAX)
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
        self.in_use()
            .filter(|&(segment, _)| Some(segment) != but)
            .map(|(_, serial)| serial)
            .min()
            .unwrap_or(u64::MAX)
    }

    fn in_use(&self) -> impl Iterator<Item = (u32, u64)> {
        (0u32..)
            .zip(self.accounts.iter())
            .map(|(segment, account)| (segment, account.serial.load(Ordering::Acquire)))
            .filter(|&(_, serial)| serial != 0)
    }

    /// The oldest segment, if no other segment can hold records that its tombstones supersede.
    fn clearable(&self) -> Option<u32> {
        let (oldest, serial) = self.in_use().min_by_key(|&(_, serial)| serial)?;
        let bound = self.sealed_bound(oldest);
        let done = bound != 0 && self.oldest_serial(Some(oldest)) >= bound;
        debug_assert!(bound == 0 || bound > serial);
        done.then_some(oldest)
    }

    /// A sealed segment that `may_go` and holds no live record and no tombstone that is still needed.
    pub fn empty_one(&self, may_go: &dyn Fn(u32) -> bool) -> Option<u32> {
        let clearable = self.clearable();
        self.in_use().map(|(segment, _)| segment).find(|&segment| {
            let account = self.account(segment);
            account.sealed.load(Ordering::Acquire) != 0
                && !account.unread.load(Ordering::Relaxed)
                && account.live.load(Ordering::Acquire) <= 0
                && (Some(segment) == clearable
                    || account.tombstone_bytes.load(Ordering::Acquire) <= 0)
                && may_go(segment)
        })
    }

    /// Of the sealed segments that `may_go`, the one that frees most when it is emptied, if that is enough to be worth
    /// it.
    pub fn victim(&self, may_go: &dyn Fn(u32) -> bool) -> Option<u32> {
        let oldest = self.oldest_serial(None);
        let made = self.made.load(Ordering::Relaxed) as usize;
        let tombstone_bytes = unsigned(self.tombstone_bytes.load(Ordering::Relaxed));
        // Tombstones pile up as long as an older segment exists. When they take too much, empty the oldest segment next,
        // whatever it holds, so that the tombstones can be dropped.
        if tombstone_bytes > (made * self.capacity() / 16) as u64 {
            let is_next = |&(segment, serial): &(u32, u64)| {
                serial == oldest && self.is_sealed(segment) && may_go(segment)
            };
            if let Some((segment, _)) = self.in_use().find(is_next) {
                return Some(segment);
            }
        }
        self.most_gained(self.capacity() / MIN_GAIN_SHARE, may_go)
    }

    /// Of the sealed segments that `may_go`, the one that frees most when it is emptied, if that is more than `gain_min`
    /// bytes.
    pub(super) fn most_gained(&self, gain_min: usize, may_go: &dyn Fn(u32) -> bool) -> Option<u32> {
        let capacity = signed(self.capacity());
        let clearable = self.clearable();
        let mut best = None;
        let mut gain_max = signed(gain_min);
        for (segment, _) in self.in_use() {
            let account = self.account(segment);
            if !self.is_sealed(segment) || !may_go(segment) {
                continue;
            }
            let mut used = account.live.load(Ordering::Acquire);
            if Some(segment) != clearable {
                used += account.tombstone_bytes.load(Ordering::Acquire);
            }
            // A copy may leave as much of a segment's end empty, so only what exceeds that share is gained.
            let end = capacity - signed(self.segments.readable(segment));
            let gain = capacity - end.min(capacity / END_SHARE) - used;
            if gain > gain_max {
                gain_max = gain;
                best = Some(segment);
            }
        }
        best
    }

    fn is_sealed(&self, segment: u32) -> bool {
        self.sealed_bound(segment) != 0
    }

    /// The segments that a backup has still to copy.
    pub fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Whether a backup keeps segments, and the store is so short of others that writes may have to wait.
    pub fn keeps_what_is_needed(&self) -> bool {
        let wanted = self.wanted.load(Ordering::Relaxed);
        self.kept.is_any() && self.available() < wanted.max(CRITICAL_MARK)
    }

    /// How the pool's space is used.
    pub fn figures(&self) -> Figures {
        Figures {
            segment_bytes: self.capacity() as u64,
            segments_max: self.made_max.load(Ordering::Relaxed),
            segments: self.made.load(Ordering::Relaxed),
            segments_free: self.free_count.load(Ordering::Relaxed),
            live_bytes: unsigned(self.live.load(Ordering::Relaxed)),
            tombstone_bytes: unsigned(self.tombstone_bytes.load(Ordering::Relaxed)),
        }
    }

    /// Bytes of live records in one segment.
    #[cfg(test)]
    pub fn live_bytes_of(&self, segment: u32) -> i64 {
        self.account(segment).live.load(Ordering::Relaxed)
    }

    /// Asserts that a record lies inside its segment: an account of bytes that it cannot hold would never balance.
    fn check_inside(&self, spot: Spot) {
        debug_assert!(
            spot.offset + spot.length <= self.capacity(),
            "{spot:?} ends behind its segment"
        );
    }

    fn account(&self, segment: u32) -> &Account {
        &self.accounts[segment as usize]
    }
}

/// Lengths of records and segments are far below the limit.
fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// A sum may be negative for a moment: loading threads release records before their segment's total is added.
fn unsigned(bytes: i64) -> u64 {
    u64::try_from(bytes).unwrap_or(0)
}

fn len(free: &[u32]) -> u32 {
    u32::try_from(free.len()).unwrap_or(u32::MAX)
}
