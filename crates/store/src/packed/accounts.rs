//! The account of each segment: how many live bytes it holds, and which life of the segment this is.
//!
//! Threads that write change the counters and nothing else, as long as a counter stays within the same 4 KiB. A thread that
//! takes a counter below such a step files the segment anew, under a mutex, in a list of segments that have about as many
//! bytes in use ([`lists`]). A counter that rises files nothing: whoever meets a segment in a list that is too low
//! puts it right. So no list ever hides what can be gained, and nobody looks through all segments for one of them
//! ([`choice`]).

mod choice;
mod lists;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use lock_order::{Mutex, Rank};

use super::header::{Header, VERSION_WITHOUT_PLACE};
use super::kept::Kept;
use super::record::Spot;
pub use choice::Ask;
use lists::{Lists, Place};

/// Bits of a step of the counters, bytes: 4 KiB.
const STEP_BITS: u32 = 12;

/// How many segments are filed anew in one hold of the mutex.
const FILED_AT_ONCE: usize = 1024;

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

/// What a sealed segment waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// The compaction may empty it.
    ForCompaction,
    /// A backup has still to copy it.
    ForBackup,
}

/// The accounts of all segments.
#[derive(Debug)]
pub struct Accounts {
    /// Bytes of a segment that records can use.
    capacity: usize,
    all: Box<[Account]>,
    live: AtomicI64,
    tombstone_bytes: AtomicI64,
    kept: Kept,
    lists: Mutex<Lists>,
    /// Whether segments of an earlier process were listed before their records were counted.
    is_loaded: AtomicBool,
}

impl Accounts {
    /// The accounts of so many segments, all of them free, each with room for `capacity` bytes of records.
    pub fn new(segments_max: u32, capacity: usize) -> Self {
        let segments = segments_max as usize;
        // Two counters, each rounded up to a step.
        let classes = (capacity >> STEP_BITS) + 3;
        Self {
            capacity,
            all: (0..segments).map(|_| Account::default()).collect(),
            live: AtomicI64::new(0),
            tombstone_bytes: AtomicI64::new(0),
            kept: Kept::new(segments_max),
            lists: Mutex::new(Rank::SegmentLists, Lists::new(segments, classes)),
            is_loaded: AtomicBool::new(false),
        }
    }

    /// How many accounts there are.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// Notes a segment that an earlier process has filled, and the serial number of the next one of its log.
    pub fn found(&self, segment: u32, header: &Header, next: u64) {
        let has_places = header.version != VERSION_WITHOUT_PLACE;
        self.found_life(segment, header.serial, next, has_places);
    }

    fn found_life(&self, segment: u32, serial: u64, next: u64, has_places: bool) {
        let account = self.account(segment);
        account.serial.store(serial, Ordering::Relaxed);
        account.sealed.store(next, Ordering::Relaxed);
        account.has_places.store(has_places, Ordering::Relaxed);
        self.is_loaded.store(true, Ordering::Relaxed);
        let mut lists = self.lists.lock();
        lists.serials.insert((serial, segment));
        lists.put(segment, self.place(segment));
    }

    /// Notes that nobody reads the segments that an earlier process has filled. The compaction walks through them before it
    /// frees them, since they may hold tombstones.
    pub fn leave_unread(&self) {
        for account in &self.all {
            let is_used = account.serial.load(Ordering::Relaxed) != 0;
            account.unread.store(is_used, Ordering::Relaxed);
        }
        self.is_loaded.store(true, Ordering::Relaxed);
    }

    /// Whether nobody has read the segment's records since the open.
    pub fn is_unread(&self, segment: u32) -> bool {
        self.account(segment).unread.load(Ordering::Relaxed)
    }

    /// Whether the segment's records are bound to their places.
    pub fn has_places(&self, segment: u32) -> bool {
        self.account(segment).has_places.load(Ordering::Relaxed)
    }

    /// The serial number of a segment's present life; 0 while it is free.
    pub fn serial(&self, segment: u32) -> u64 {
        self.account(segment).serial.load(Ordering::Acquire)
    }

    /// Begins a life of a segment that was free.
    pub fn begin(&self, segment: u32, serial: u64) {
        let account = self.account(segment);
        account.live.store(0, Ordering::Relaxed);
        account.tombstone_bytes.store(0, Ordering::Relaxed);
        account.sealed.store(0, Ordering::Relaxed);
        account.has_places.store(true, Ordering::Relaxed);
        account.unread.store(false, Ordering::Relaxed);
        account.serial.store(serial, Ordering::Release);
        self.lists.lock().serials.insert((serial, segment));
    }

    /// Ends the life of a segment.
    pub fn end(&self, segment: u32) {
        let account = self.account(segment);
        let serial = account.serial.swap(0, Ordering::AcqRel);
        debug_assert_ne!(serial, 0, "segment {segment} is given back twice");
        {
            let mut lists = self.lists.lock();
            lists.serials.remove(&(serial, segment));
            lists.take(segment);
        }
        let live = account.live.swap(0, Ordering::Relaxed);
        debug_assert!(
            (0..=signed(self.capacity)).contains(&live),
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
        let mut lists = self.lists.lock();
        lists.put(segment, self.place(segment));
    }

    /// The bound that a sealed segment was sealed with; 0 if it is not sealed.
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
        self.account(spot.segment)
            .live
            .fetch_add(new, Ordering::Relaxed);
        // Most values keep their length.
        if new != old {
            self.live.fetch_add(new - old, Ordering::Relaxed);
        }
        let live = &self.account(replaced.segment).live;
        self.lower(replaced.segment, live, old);
    }

    /// Stops counting records of a segment as live, which have so many bytes in all.
    pub fn release(&self, segment: u32, bytes: usize) {
        let bytes = signed(bytes);
        self.live.fetch_sub(bytes, Ordering::Relaxed);
        self.lower(segment, &self.account(segment).live, bytes);
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
        self.tombstone_bytes.fetch_sub(bytes, Ordering::Relaxed);
        let counter = &self.account(spot.segment).tombstone_bytes;
        self.lower(spot.segment, counter, bytes);
    }

    /// Lowers a counter of a segment.
    #[inline]
    fn lower(&self, segment: u32, counter: &AtomicI64, bytes: i64) {
        let before = counter.fetch_sub(bytes, Ordering::Release);
        // From one byte to none is a step too.
        if (before - 1) >> STEP_BITS != (before - bytes - 1) >> STEP_BITS {
            self.refile(segment);
        }
    }

    /// Files a segment as its counters say, if it is sealed. Who files it last sees what the others have counted.
    #[cold]
    #[inline(never)]
    fn refile(&self, segment: u32) {
        let mut lists = self.lists.lock();
        if lists.is_listed(segment) {
            self.refile_in(&mut lists, segment);
        }
    }

    fn refile_in(&self, lists: &mut Lists, segment: u32) -> Place {
        let place = self.place(segment);
        if !lists.is_at(segment, place) {
            lists.put(segment, place);
        }
        place
    }

    /// Where a sealed segment belongs. Class 0 has those in which nothing is in use; in a segment of another class lie at least
    /// [`bytes_min`] bytes.
    fn place(&self, segment: u32) -> Place {
        let account = self.account(segment);
        let live = steps(account.live.load(Ordering::Acquire));
        let tombstones = steps(account.tombstone_bytes.load(Ordering::Acquire));
        // Nobody knows of its tombstones.
        let unread = usize::from(account.unread.load(Ordering::Relaxed));
        let class = (live + tombstones).max(unread);
        let waiting = if self.kept.has(segment) {
            Waiting::ForBackup
        } else {
            Waiting::ForCompaction
        };
        let last = (self.capacity >> STEP_BITS) + 2;
        Place::Class(waiting, class.min(last))
    }

    /// Files all segments of an earlier process as their records were counted since they were found.
    fn refile_loaded(&self) {
        if !self.is_loaded.load(Ordering::Relaxed) || !self.is_loaded.swap(false, Ordering::AcqRel)
        {
            return;
        }
        let all: Vec<u32> = {
            let lists = self.lists.lock();
            lists.serials.iter().map(|&(_, segment)| segment).collect()
        };
        self.refile_all(&all);
    }

    fn refile_all(&self, segments: &[u32]) {
        // Threads that write may want the mutex meanwhile.
        for some in segments.chunks(FILED_AT_ONCE) {
            let mut lists = self.lists.lock();
            for &segment in some {
                if lists.is_listed(segment) {
                    self.refile_in(&mut lists, segment);
                }
            }
        }
    }

    /// The lowest serial number of any segment in use except `but`; `u64::MAX` if there is none.
    pub fn oldest_serial(&self, but: Option<u32>) -> u64 {
        let lists = self.lists.lock();
        let mut serials = lists.serials.iter();
        serials
            .find(|&&(_, segment)| Some(segment) != but)
            .map_or(u64::MAX, |&(serial, _)| serial)
    }

    /// The segment in use that has this serial number.
    pub fn with_serial(&self, serial: u64) -> Option<u32> {
        let lists = self.lists.lock();
        let mut found = lists.serials.range((serial, 0)..=(serial, u32::MAX));
        found.next().map(|&(_, segment)| segment)
    }

    /// The segments that a backup has still to copy.
    pub fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Files segments that a backup keeps since a moment ago.
    pub fn file_kept(&self, segments: &[u32]) {
        self.refile_all(segments);
    }

    /// Keeps a segment for no backup any more.
    pub fn let_go(&self, segment: u32) {
        if self.kept.let_go(segment) {
            self.refile(segment);
        }
    }

    /// Keeps no segment for a backup any more.
    pub fn let_go_of_all(&self) {
        if self.kept.is_any() {
            (0u32..)
                .zip(&self.all)
                .for_each(|(segment, _)| self.let_go(segment));
        }
    }

    /// Bytes of live records.
    #[inline]
    pub fn live_bytes(&self) -> u64 {
        unsigned(self.live.load(Ordering::Relaxed))
    }

    /// Bytes of tombstones and of expired values, which serve as tombstones.
    pub fn tombstone_bytes(&self) -> u64 {
        unsigned(self.tombstone_bytes.load(Ordering::Relaxed))
    }

    /// Bytes of live records in one segment.
    pub fn live_bytes_of(&self, segment: u32) -> i64 {
        self.account(segment).live.load(Ordering::Relaxed)
    }

    /// Asserts that a record lies inside its segment: an account of bytes that it cannot hold would never balance.
    pub fn check_inside(&self, spot: Spot) {
        debug_assert!(
            spot.offset + spot.length <= self.capacity,
            "{spot:?} ends behind its segment"
        );
    }

    fn account(&self, segment: u32) -> &Account {
        &self.all[segment as usize]
    }
}

/// A counter in steps, rounded up: 0 only if nothing is counted. While a pool is loaded it may be negative.
fn steps(bytes: i64) -> usize {
    usize::try_from(((bytes - 1) >> STEP_BITS) + 1).unwrap_or(0)
}

/// The fewest bytes in use in a segment of a class, into which two counters have gone that were rounded up.
fn bytes_min(class: usize) -> i64 {
    signed(class.saturating_sub(2) << STEP_BITS)
}

/// Lengths of records and segments are far below the limit.
fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// A sum may be negative for a moment: loading threads release records before their segment's total is added.
fn unsigned(bytes: i64) -> u64 {
    u64::try_from(bytes).unwrap_or(0)
}
