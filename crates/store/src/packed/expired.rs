//! What has expired stays gone after a restart, although the clock was set back meanwhile.
//!
//! An expired record needs no tombstone: its own deadline says that it is gone. That holds as long as the clock does not
//! go back. So when somebody may have seen that keys are past their deadlines, the store notes the time and the last
//! sequence number, and the next commit keeps both in the pool as a mark: all records up to that number whose deadline
//! is not after that time are gone. A record that is written later, by a clock that was set back, has a higher number.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use lock_order::{Mutex, Rank};

use crate::metadata::{Metadata, words_checksum};
use crate::model::Millis;
use pmemkv::Pool;

/// The pool's words: a checksum, then time and sequence number of each mark.
const WORD_MARKS: usize = 57;

/// Marks that are kept. There is more than one only after the clock went back.
const MARKS_MAX: usize = 3;

const WORDS: usize = 1 + 2 * MARKS_MAX;

/// All records up to `sequence` whose deadline is not after `until` are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    until: Millis,
    sequence: u64,
}

/// The times fall from one mark to the next, the sequence numbers rise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Marks(Vec<Mark>);

/// The marks, and what of them the pool has.
#[derive(Debug)]
pub(super) struct Expired {
    marks: Mutex<Marks>,
    /// How often a mark was noted, changed only with the marks.
    noted: AtomicU64,
    /// Up to which of these the pool has them.
    stored: AtomicU64,
    /// The highest time of a mark.
    latest: AtomicI64,
    /// Held while the words are stored: how many of them are in use.
    words: Mutex<usize>,
}

impl Marks {
    /// Adds the newest mark. It stands for all earlier ones whose time is not higher.
    fn add(&mut self, mark: Mark) {
        while self.0.pop_if(|last| last.until <= mark.until).is_some() {}
        self.0.push(mark);
        if self.0.len() > MARKS_MAX {
            // The clock went back again and again. Losing a mark brings expired keys back, a wider one would take live
            // keys away.
            self.0.remove(1);
        }
    }

    fn hold(&self, sequence: u64, deadline: Millis) -> bool {
        let covers = |mark: &Mark| sequence <= mark.sequence && deadline <= mark.until;
        self.0.iter().any(covers)
    }

    fn latest(&self) -> Millis {
        self.0.first().map_or(Millis::MIN, |mark| mark.until)
    }

    fn encode(&self) -> [u64; WORDS] {
        let mut words = [0; WORDS];
        for (place, mark) in words[1..].chunks_exact_mut(2).zip(&self.0) {
            place[0] = mark.until.cast_unsigned();
            place[1] = mark.sequence;
        }
        words[0] = words_checksum(&words[1..]);
        words
    }

    /// `None` where the words are damaged. A pool that never had marks has zeros.
    fn decode(words: &[u64]) -> Option<Self> {
        let (&check, pairs) = words.split_first()?;
        if words.iter().all(|&word| word == 0) {
            return Some(Self::default());
        }
        let marks = pairs
            .chunks_exact(2)
            .filter(|pair| pair[1] != 0)
            .map(|pair| Mark {
                until: pair[0].cast_signed(),
                sequence: pair[1],
            });
        (check == words_checksum(pairs)).then(|| Self(marks.collect()))
    }
}

/// The marks as a pool has them.
pub(super) fn stored_words(pool: &Pool) -> Vec<u64> {
    pool.words(WORD_MARKS, WORDS)
}

/// Gives a pool the marks of another one.
pub(super) fn store_words(pool: &Pool, words: &[u64]) {
    pool.set_words(WORD_MARKS, words);
}

impl Expired {
    /// What the pool has. `None` where that is damaged.
    pub(super) fn load(metadata: &Metadata) -> Option<Self> {
        let marks = match metadata {
            Metadata::Pool(pool) => Marks::decode(&pool.words(WORD_MARKS, WORDS))?,
            Metadata::Process { .. } => Marks::default(),
        };
        Some(Self::of(marks))
    }

    /// As in a new pool.
    pub(super) fn none() -> Self {
        Self::of(Marks::default())
    }

    fn of(marks: Marks) -> Self {
        Self {
            latest: AtomicI64::new(marks.latest()),
            // After damage the next mark replaces all words.
            words: Mutex::new(Rank::ExpiredTurn, WORDS),
            marks: Mutex::new(Rank::Expired, marks),
            noted: AtomicU64::new(0),
            stored: AtomicU64::new(0),
        }
    }

    /// The last sequence number of a mark: the next record has a higher one.
    pub(super) fn last_sequence(&self) -> u64 {
        self.marks.lock().0.last().map_or(0, |mark| mark.sequence)
    }

    /// Whether a record with a deadline is known to be gone.
    pub(super) fn hold(&self, sequence: u64, deadline: Millis) -> bool {
        deadline <= self.latest() && self.marks.lock().hold(sequence, deadline)
    }

    /// No deadline after this was seen to pass.
    pub(super) fn latest(&self) -> Millis {
        self.latest.load(Ordering::Acquire)
    }

    /// Notes that all records so far are gone if their deadline is not after `now`. `sequence` is the last number given
    /// to a record.
    pub(super) fn note(&self, now: Millis, sequence: &AtomicU64) {
        let mut marks = self.marks.lock();
        let mark = Mark {
            until: now,
            // Read under the lock, so that it does not fall from one mark to the next.
            sequence: sequence.load(Ordering::Relaxed),
        };
        if marks.0.last() == Some(&mark) {
            return;
        }
        marks.add(mark);
        self.latest.store(marks.latest(), Ordering::Release);
        self.noted.fetch_add(1, Ordering::Release);
    }

    /// Makes durable what was noted.
    #[inline]
    pub(super) fn store(&self, metadata: &Metadata) {
        if self.stored.load(Ordering::Acquire) != self.noted.load(Ordering::Acquire) {
            self.store_words(metadata);
        }
    }

    #[cold]
    fn store_words(&self, metadata: &Metadata) {
        let Metadata::Pool(pool) = metadata else {
            return;
        };
        let mut in_use = self.words.lock();
        let (marks, noted) = {
            let marks = self.marks.lock();
            (marks.clone(), self.noted.load(Ordering::Acquire))
        };
        if self.stored.load(Ordering::Acquire) == noted {
            return;
        }
        // Words that stay zero need not be stored again.
        let now_in_use = 1 + 2 * marks.0.len();
        let count = now_in_use.max(*in_use);
        pool.set_words(WORD_MARKS, &marks.encode()[..count]);
        *in_use = now_in_use;
        self.stored.store(noted, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(until: Millis, sequence: u64) -> Mark {
        Mark { until, sequence }
    }

    fn marks(all: &[(Millis, u64)]) -> Marks {
        let mut marks = Marks::default();
        for &(until, sequence) in all {
            marks.add(mark(until, sequence));
        }
        marks
    }

    #[test]
    fn a_later_time_stands_for_earlier_ones() {
        let rising = marks(&[(10, 1), (20, 5), (20, 7)]);
        assert_eq!(rising.0, [mark(20, 7)]);
        assert!(rising.hold(7, 20) && rising.hold(1, 3));
        assert!(!rising.hold(8, 20) && !rising.hold(7, 21));
    }

    #[test]
    fn after_the_clock_went_back_later_records_have_deadlines_of_their_own() {
        let back = marks(&[(100, 5), (40, 8), (50, 9)]);
        assert_eq!(back.0, [mark(100, 5), mark(50, 9)]);
        assert!(back.hold(5, 100) && back.hold(9, 50));
        // Written after the clock went back, and not expired by it.
        assert!(!back.hold(6, 60));
        let caught_up = marks(&[(100, 5), (40, 8), (100, 12)]);
        assert_eq!(caught_up.0, [mark(100, 12)]);
    }

    #[test]
    fn too_many_marks_never_cover_more_than_they_did() {
        let all = [(100, 1), (90, 2), (80, 3), (70, 4), (60, 5)];
        let few = marks(&all);
        assert_eq!(few.0.len(), MARKS_MAX);
        assert_eq!(few.0[0], mark(100, 1));
        assert_eq!(few.0[MARKS_MAX - 1], mark(60, 5));
        for sequence in 1..8 {
            for deadline in 50..110 {
                let covered =
                    |&(until, last): &(Millis, u64)| sequence <= last && deadline <= until;
                assert!(!few.hold(sequence, deadline) || all.iter().any(covered));
            }
        }
    }

    #[test]
    fn words_are_read_as_they_were_written() {
        for all in [
            &[][..],
            &[(5, 1)],
            &[(7, 3), (-6, 4)],
            &[(9, 1), (8, 2), (7, 3)],
        ] {
            let marks = marks(all);
            let words = marks.encode();
            assert_eq!(Marks::decode(&words), Some(marks));
            for n in 0..WORDS {
                let mut damaged = words;
                damaged[n] ^= 1 << 40;
                assert_eq!(Marks::decode(&damaged), None, "{n}");
            }
        }
        assert_eq!(Marks::decode(&[0; WORDS]), Some(Marks::default()));
    }
}
