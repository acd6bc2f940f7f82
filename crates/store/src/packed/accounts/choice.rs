//! Which segments the compaction frees or empties next, and what it looks at to find out.

use std::sync::atomic::Ordering;

use super::lists::{Lists, Place};
use super::{Accounts, Waiting, bytes_min, signed};

/// The compaction leaves a segment alone that frees less than one of this many shares.
const MIN_GAIN_SHARE: usize = 64;

/// Up to one of this many shares of a segment may stay empty at its end, because the next record did not fit.
const END_SHARE: i64 = 16;

/// Up to so many segments are all looked at: then the choice is the best there is.
const LOOKS_EXACT: usize = 256;

/// Behind these, so many of each class that are worth it: the others have about as much to gain.
const CLASS_LOOKS: usize = 16;

/// What a choice asks of a segment. It runs under the mutex of the lists, so it takes no lock.
pub type Ask<'f> = &'f dyn Fn(u32) -> bool;

/// How many bytes of records may be read of a segment. It runs under the mutex of the lists, so it takes no lock.
pub type Readable<'f> = &'f dyn Fn(u32) -> usize;

/// What the best segment so far frees.
struct Best {
    segment: Option<u32>,
    gain: i64,
}

impl Best {
    fn consider(&mut self, segment: u32, gain: i64) {
        if gain > self.gain {
            self.gain = gain;
            self.segment = Some(segment);
        }
    }
}

impl Accounts {
    /// The fewest bytes that the compaction must gain from a segment.
    pub fn gain_min(&self) -> usize {
        self.capacity / MIN_GAIN_SHARE
    }

    /// The oldest segment, if no other segment can hold records that its tombstones supersede.
    fn clearable(&self, lists: &Lists) -> Option<u32> {
        let (oldest, next) = lists.oldest()?;
        self.is_clearable(oldest, next).then_some(oldest)
    }

    /// Whether a segment's tombstones supersede nothing, where the lowest serial number of all others is `others`.
    fn is_clearable(&self, segment: u32, others: u64) -> bool {
        let bound = self.sealed_bound(segment);
        debug_assert!(bound == 0 || bound > self.serial(segment));
        bound != 0 && others >= bound
    }

    /// Sealed segments that `may_go` and hold no live record and no tombstone that is still needed, at most so many. They must be
    /// given back in this order: tombstones in one may supersede records in those before it.
    pub fn empty_ones(&self, count_max: usize, may_go: Ask<'_>) -> Vec<u32> {
        self.refile_loaded();
        let mut lists = self.lists.lock();
        let mut found = Vec::new();
        // Each one is the oldest when those before it are gone.
        let mut looks = 0;
        let mut serials = lists.serials.iter().peekable();
        while let Some(&(_, segment)) = serials.next()
            && found.len() < count_max
        {
            looks += 1;
            let others = serials.peek().map_or(u64::MAX, |next| next.0);
            let account = self.account(segment);
            let is_empty = self.is_sealed(segment)
                && !self.is_unread(segment)
                && account.live.load(Ordering::Acquire) <= 0
                && (account.tombstone_bytes.load(Ordering::Acquire) <= 0
                    || self.is_clearable(segment, others));
            if !is_empty || !may_go(segment) {
                break;
            }
            found.push(segment);
        }
        lists.note_looks(looks);
        let place = Place::Class(Waiting::ForCompaction, 0);
        let mut next = lists.first(place);
        while let Some(segment) = next
            && found.len() < count_max
        {
            next = lists.next(segment);
            lists.note_looks(1);
            if self.refile_in(&mut lists, segment) == place
                && may_go(segment)
                && !found.contains(&segment)
            {
                found.push(segment);
            }
        }
        found
    }

    /// Of the sealed segments that wait so and `may_go`, one that frees most when it is emptied, if that is enough to be worth
    /// it. `made` segments exist.
    pub fn victim(
        &self,
        waiting: Waiting,
        made: u32,
        may_go: Ask<'_>,
        readable: Readable<'_>,
    ) -> Option<u32> {
        // Tombstones pile up as long as an older segment exists. When they take too much, empty the oldest segment next,
        // whatever it holds, so that the tombstones can be dropped.
        if self.tombstone_bytes() > (made as usize * self.capacity / 16) as u64 {
            let oldest = self.lists.lock().oldest();
            if let Some((oldest, _)) = oldest
                && self.is_sealed(oldest)
                && self.waits(oldest) == waiting
                && may_go(oldest)
            {
                return Some(oldest);
            }
        }
        let gain_min = self.gain_min();
        let best = || self.most_gained(waiting, gain_min, may_go, readable);
        best().or_else(|| {
            let is_for_compaction = waiting == Waiting::ForCompaction;
            (is_for_compaction && self.review_full(made, readable))
                .then(best)
                .flatten()
        })
    }

    /// Of the sealed segments that wait so and `may_go`, one that frees most when it is emptied, if that is more than `gain_min`
    /// bytes.
    pub fn most_gained(
        &self,
        waiting: Waiting,
        gain_min: usize,
        may_go: Ask<'_>,
        readable: Readable<'_>,
    ) -> Option<u32> {
        self.refile_loaded();
        let mut lists = self.lists.lock();
        let clearable = self.clearable(&lists);
        let capacity = signed(self.capacity);
        let mut best = Best {
            segment: None,
            gain: signed(gain_min),
        };
        // Its tombstones do not count, but its class knows nothing of that.
        if let Some(oldest) = clearable
            && self.waits(oldest) == waiting
            && may_go(oldest)
        {
            lists.note_looks(1);
            best.consider(oldest, self.gain(oldest, true, readable));
        }
        let mut looks = 0;
        for class in 0..lists.classes {
            let place = Place::Class(waiting, class);
            let gain_max = capacity - bytes_min(class);
            let mut worthy = 0;
            let mut next = lists.first(place);
            while let Some(segment) = next {
                if gain_max <= best.gain {
                    return best.segment;
                }
                next = lists.next(segment);
                looks += 1;
                lists.note_looks(1);
                // One that was in too low a class is looked at in its own, if that can matter.
                let is_near = match self.refile_in(&mut lists, segment) {
                    Place::Class(now, at) => now == waiting && at <= class,
                    Place::Full => false,
                };
                if !is_near || !may_go(segment) {
                    continue;
                }
                let gain = self.gain(segment, Some(segment) == clearable, readable);
                best.consider(segment, gain);
                if looks <= LOOKS_EXACT {
                    continue;
                }
                if gain > signed(self.gain_min()) {
                    worthy += 1;
                } else if waiting == Waiting::ForCompaction {
                    lists.put(segment, Place::Full);
                }
                if worthy == CLASS_LOOKS {
                    break;
                }
            }
        }
        best.segment
    }

    /// What emptying a segment frees, bytes.
    fn gain(&self, segment: u32, is_clearable: bool, readable: Readable<'_>) -> i64 {
        let account = self.account(segment);
        let capacity = signed(self.capacity);
        let mut used = account.live.load(Ordering::Acquire);
        if !is_clearable {
            used += account.tombstone_bytes.load(Ordering::Acquire);
        }
        // A copy may leave as much of a segment's end empty, so only what exceeds that share is gained.
        let end = capacity - signed(readable(segment));
        capacity - end.min(capacity / END_SHARE) - used
    }

    /// Files those of the full segments anew that have become worth it since they were taken out of their classes, by less than
    /// a step of each counter. Returns whether there are any.
    fn review_full(&self, made: u32, readable: Readable<'_>) -> bool {
        if self.lists.lock().full == 0 {
            return false;
        }
        let mut is_any = false;
        for segment in 0..made {
            let is_worth_it = self.serial(segment) != 0
                && self.is_sealed(segment)
                && self.gain(segment, false, readable) > signed(self.gain_min());
            if is_worth_it {
                is_any = true;
                self.refile(segment);
            }
        }
        is_any
    }

    fn waits(&self, segment: u32) -> Waiting {
        if self.kept.has(segment) {
            Waiting::ForBackup
        } else {
            Waiting::ForCompaction
        }
    }

    fn is_sealed(&self, segment: u32) -> bool {
        self.sealed_bound(segment) != 0
    }
}
