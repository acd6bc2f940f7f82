//! The roll of segments: what the pool's words say of all of them, so that one that is missing, or older than it should
//! be, is seen at the open. A segment's own header cannot tell: an older one fits its checksum too.
//!
//! | word | what it holds |
//! |---|---|
//! | 0 | how many segments were made |
//! | 1 | the bound below which all serial numbers so far lie |
//! | 2 | how many segments are sealed |
//! | 3 | the sum of their serial numbers |
//! | 4 | the sum of a hash of each: number, serial number, committed bytes |
//! | 5, 6 | serial number and number of the segment that the front appends to; 0 where there is none |
//! | 7, 8 | the same of the compaction |
//! | 9, 10 | the same of the segment that was freed last: its header may still be that of its last life |
//!
//! A segment is entered before its first record is stored, sealed when the next one of its log is entered, and struck out
//! before its header says that it is free. How far an entered one is filled, a hint of the pool says: a word that each
//! commit stores after its records, so that it never claims too much.

use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64;

use super::header::{Header, Which};
use super::record::ALIGNMENT;
use crate::metadata::WORD_LAYOUT;
use pmemkv::Pool;

/// The roll's first word in the pool.
const WORD_ROLL: usize = WORD_LAYOUT + 5;

/// How many words it takes.
const ROLL_WORDS: usize = 11;

/// More lives than begin between two syncs.
const LOST_LIVES_MAX: u64 = 1 << 24;

/// Bits of a hint: the serial number's lowest, the offset in units of 8 bytes, and a checksum of both.
const HINT_SERIAL_BITS: u32 = 24;
const HINT_END_BITS: u32 = 20;
const HINT_CHECK_BITS: u32 = 20;

/// A segment in use.
pub type Used = (u32, Header);

/// The roll; nothing is kept where the engine does not outlive the process.
#[derive(Debug)]
pub struct Roll {
    pool: Option<Pool>,
    state: Mutex<State>,
}

/// A segment's life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Life {
    serial: u64,
    segment: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct State {
    made: u64,
    next_serial: u64,
    sealed: Sum,
    active: [Life; 2],
    freed: Life,
    /// The serial number that was entered last, by log. Not stored.
    started: [u64; 2],
}

/// What can be said of many segments in three words, in whichever order they come and go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    count: u64,
    serials: u64,
    hashes: u64,
}

impl Sum {
    fn add(&mut self, segment: u32, serial: u64, committed: u64) {
        self.count += 1;
        self.serials = self.serials.wrapping_add(serial);
        self.hashes = self.hashes.wrapping_add(hash(segment, serial, committed));
    }

    fn take(&mut self, segment: u32, serial: u64, committed: u64) {
        self.count = self.count.wrapping_sub(1);
        self.serials = self.serials.wrapping_sub(serial);
        self.hashes = self.hashes.wrapping_sub(hash(segment, serial, committed));
    }
}

impl State {
    fn words(&self) -> [u64; ROLL_WORDS] {
        let Self {
            made,
            next_serial,
            sealed,
            active: [front, compaction],
            freed,
            started: _,
        } = *self;
        [
            made,
            next_serial,
            sealed.count,
            sealed.serials,
            sealed.hashes,
            front.serial,
            front.segment,
            compaction.serial,
            compaction.segment,
            freed.serial,
            freed.segment,
        ]
    }

    fn from_words(words: &[u64]) -> Self {
        let word = |n: usize| words.get(n).copied().unwrap_or(0);
        let life = |n: usize| Life {
            serial: word(n),
            segment: word(n + 1),
        };
        Self {
            made: word(0),
            next_serial: word(1),
            sealed: Sum {
                count: word(2),
                serials: word(3),
                hashes: word(4),
            },
            active: [life(5), life(7)],
            freed: life(9),
            started: [word(5), word(7)],
        }
    }
}

impl Roll {
    /// The roll of a pool, as it was left.
    pub fn new(pool: Option<Pool>) -> Self {
        let state = pool.as_ref().map_or_else(State::default, |pool| {
            State::from_words(&pool.words(WORD_ROLL, ROLL_WORDS))
        });
        Self {
            pool,
            state: Mutex::new(state),
        }
    }

    /// The pool; `None` where the engine does not outlive the process.
    pub fn pool(&self) -> Option<&Pool> {
        self.pool.as_ref()
    }

    /// How many segments were made.
    pub fn made(&self) -> u32 {
        u32::try_from(self.state.lock().made).unwrap_or(u32::MAX)
    }

    /// Serial numbers given out so far are below this.
    pub fn next_serial(&self) -> u64 {
        self.state.lock().next_serial
    }

    /// Notes that there are so many segments. After they are there: an open finds one more by itself.
    pub fn note_made(&self, count: u32) {
        let mut state = self.state.lock();
        if u64::from(count) > state.made {
            state.made = count.into();
            self.store(&state);
        }
    }

    /// Says that the pool may have extents from now on; `false` where there is no pool to say it.
    pub fn will_have_extents(&self) -> bool {
        self.pool.as_ref().map(Pool::will_have_extents).is_some()
    }

    /// Enters a segment that a log is about to append to, and seals the one before, which has `committed` bytes.
    /// Nothing happens where it is entered already.
    pub fn start(&self, which: Which, segment: u32, serial: u64, committed: impl Fn(u32) -> usize) {
        let mut state = self.state.lock();
        let before = state.active[which as usize];
        // A commit that is tried again comes by the segments that it has entered already.
        if serial <= state.started[which as usize] {
            return;
        }
        state.started[which as usize] = serial;
        if let (1.., Ok(full)) = (before.serial, u32::try_from(before.segment)) {
            state
                .sealed
                .add(full, before.serial, committed(full) as u64);
        }
        state.active[which as usize] = Life {
            serial,
            segment: segment.into(),
        };
        state.next_serial = state.next_serial.max(serial + 1);
        self.store(&state);
    }

    /// Notes how far a log's segment is filled.
    #[inline]
    pub fn appended(&self, which: Which, serial: u64, end: usize) {
        if let Some(pool) = &self.pool {
            pool.hint(which as usize, hint(which, serial, end));
        }
    }

    /// Strikes a segment out that is about to be freed and has `committed` bytes.
    pub fn free(&self, segment: u32, serial: u64, committed: usize) {
        let mut state = self.state.lock();
        let life = Life {
            serial,
            segment: segment.into(),
        };
        if state.freed == life {
            // It is tried again, because its header could not be written.
            return;
        }
        let active = state.active.iter_mut().find(|life| life.serial == serial);
        match active {
            Some(life) => *life = Life::default(),
            None if committed > 0 => state.sealed.take(segment, serial, committed as u64),
            // Never entered.
            None => {}
        }
        state.freed = life;
        self.store(&state);
    }

    /// Whether a header is what a process that died has left of a segment that it was freeing.
    pub fn is_freed(&self, segment: u32, header: &Header) -> bool {
        let freed = self.state.lock().freed;
        freed.serial == header.serial && freed.segment == u64::from(segment)
    }

    /// Enters all segments in use as sealed, in place of what was there.
    pub fn replace(&self, made: u32, used: &[Used]) {
        let mut state = self.state.lock();
        let mut new = State {
            made: made.into(),
            next_serial: state.next_serial,
            ..State::default()
        };
        for (segment, header) in used {
            new.sealed.add(*segment, header.serial, header.committed);
            new.next_serial = new.next_serial.max(header.serial + 1);
        }
        let is_same = new.words() == state.words();
        *state = new;
        if !is_same {
            self.store(&state);
        }
    }

    /// Stores the roll of a copy with these segments, all of them sealed. Serial numbers up to `bound` were given out.
    pub fn of_copy(pool: &Pool, made: u32, bound: u64, used: &[Used]) {
        let roll = Self::new(Some(pool.clone()));
        roll.state.lock().next_serial = bound;
        roll.replace(made, used);
    }

    /// Gives out none of the next serial numbers: segments may hold records of lives that a power cut has taken back, and
    /// these had them.
    pub fn skip_lost_serials(&self) {
        let mut state = self.state.lock();
        state.next_serial += LOST_LIVES_MAX;
        self.store(&state);
    }

    /// Compares the headers of the segments in use with the roll; what is wrong, where something is.
    pub fn check(&self, used: &[Used]) -> Result<(), String> {
        let state = *self.state.lock();
        let mut serials: Vec<u64> = used.iter().map(|(_, header)| header.serial).collect();
        serials.sort_unstable();
        let mut neighbours = serials.iter().zip(serials.iter().skip(1));
        if let Some((twice, _)) = neighbours.find(|(serial, next)| serial == next) {
            return Err(format!("two segments have serial number {twice}"));
        }
        let mut found = Sum::default();
        for (segment, header) in used {
            let is_active = state.active.iter().any(|life| life.serial == header.serial);
            if !is_active && !self.is_freed(*segment, header) {
                found.add(*segment, header.serial, header.committed);
            }
        }
        for which in [Which::Front, Which::Compaction] {
            self.check_active(which, state.active[which as usize], used)?;
        }
        let known = state.sealed;
        if found == known {
            return Ok(());
        }
        let what = if found.count + 1 == known.count {
            let serial = known.serials.wrapping_sub(found.serials);
            format!("the segment of serial number {serial} is missing")
        } else if found.count == known.count + 1 {
            let serial = found.serials.wrapping_sub(known.serials);
            format!("the segment of serial number {serial} is from an earlier time")
        } else {
            "some are missing, or from an earlier time".to_owned()
        };
        Err(format!(
            "the pool's roll has {} full segments, {} were found: {what}",
            known.count, found.count
        ))
    }

    /// How many bytes the hint of a log says that a segment has, where a log was appending to it. `None` for any other
    /// segment.
    pub fn hinted(&self, header: &Header) -> Option<u64> {
        let active = self.state.lock().active[header.which as usize];
        let pool = self.pool.as_ref()?;
        let hint = pool.cell(header.which as usize);
        (active.serial == header.serial)
            .then(|| hinted(header.which, header.serial, hint).unwrap_or(0))
    }

    /// The segment that a log appends to must be filled as far as its hint says.
    fn check_active(&self, which: Which, life: Life, used: &[Used]) -> Result<(), String> {
        let Some(pool) = self.pool.as_ref().filter(|_| life.serial != 0) else {
            return Ok(());
        };
        let hint = pool.cell(which as usize);
        let least = hinted(which, life.serial, hint).unwrap_or(0);
        let found = used
            .iter()
            .find(|(_, header)| header.serial == life.serial)
            .map(|(segment, header)| (u64::from(*segment), header.which, header.committed));
        let committed = match found {
            None => 0,
            Some((segment, log, committed)) if (segment, log) == (life.segment, which) => committed,
            Some(_) => {
                return Err(format!(
                    "serial number {} is another segment's than the roll says",
                    life.serial
                ));
            }
        };
        if committed < least {
            return Err(format!(
                "segment {} has {committed} bytes of records, and had {least} already",
                life.segment
            ));
        }
        Ok(())
    }

    fn store(&self, state: &State) {
        if let Some(pool) = &self.pool {
            pool.set_words(WORD_ROLL, &state.words());
        }
    }
}

fn hash(segment: u32, serial: u64, committed: u64) -> u64 {
    let mut bytes = [0; 24];
    for (place, word) in bytes
        .chunks_exact_mut(8)
        .zip([segment.into(), serial, committed])
    {
        place.copy_from_slice(&word.to_le_bytes());
    }
    xxh3_64(&bytes)
}

fn hint(which: Which, serial: u64, end: usize) -> u64 {
    let serial = serial & ((1 << HINT_SERIAL_BITS) - 1);
    let claim = serial << HINT_END_BITS | (end / ALIGNMENT) as u64;
    claim << HINT_CHECK_BITS | hint_check(which, claim)
}

fn hint_check(which: Which, claim: u64) -> u64 {
    xxh3_64(&(claim ^ (which as u64) << 63).to_le_bytes()) & ((1 << HINT_CHECK_BITS) - 1)
}

/// How many bytes a hint says that a segment has; `None` where it is another segment's, or no hint.
fn hinted(which: Which, serial: u64, hint: u64) -> Option<u64> {
    let claim = hint >> HINT_CHECK_BITS;
    let fits = hint_check(which, claim) == hint & ((1 << HINT_CHECK_BITS) - 1)
        && claim >> HINT_END_BITS == serial & ((1 << HINT_SERIAL_BITS) - 1);
    fits.then_some((claim & ((1 << HINT_END_BITS) - 1)) * ALIGNMENT as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packed::header::VERSION;

    fn used(segment: u32, serial: u64, committed: u64) -> Used {
        let header = Header {
            version: VERSION,
            which: Which::Front,
            serial,
            committed,
            begun: committed,
        };
        (segment, header)
    }

    #[test]
    fn a_segment_that_is_missing_or_stale_is_named() {
        let roll = Roll::new(None);
        let all = [used(0, 5, 800), used(3, 6, 16), used(1, 9, 80)];
        roll.replace(4, &all);
        assert_eq!(roll.check(&all), Ok(()));
        assert_eq!((roll.made(), roll.next_serial()), (4, 10));
        let says = |used: &[Used], what: &str| {
            let said = roll.check(used);
            assert!(
                said.as_ref().is_err_and(|said| said.contains(what)),
                "{said:?}"
            );
        };
        says(&all[1..], "5 is missing");
        says(
            &[all[0], all[1], all[2], used(2, 4, 8)],
            "4 is from an earlier time",
        );
        says(&[all[0], all[1], used(1, 9, 72)], "from an earlier time");
        says(&[all[0], all[1], used(2, 9, 80)], "from an earlier time");
        says(&[all[0], all[1], used(1, 6, 80)], "two segments");

        roll.start(Which::Front, 2, 10, |_| unreachable!());
        let mut more = all.to_vec();
        assert_eq!(roll.check(&more), Ok(()));
        more.push(used(2, 10, 24));
        assert_eq!(roll.check(&more), Ok(()));
        roll.free(0, 5, 800);
        assert_eq!(roll.check(&more), Ok(()));
        assert!(roll.is_freed(0, &more[0].1));
        assert_eq!(roll.check(&more[1..]), Ok(()));
        roll.start(Which::Front, 0, 11, |segment| {
            assert_eq!(segment, 2);
            24
        });
        more.remove(0);
        assert_eq!(roll.check(&more), Ok(()));
        roll.free(0, 11, 0);
        assert_eq!(roll.check(&more), Ok(()));
        roll.replace(4, &more);
        assert_eq!(roll.check(&more), Ok(()));
    }

    #[test]
    fn words_and_hints_read_back() {
        let roll = Roll::new(None);
        roll.replace(4, &[used(0, 5, 800)]);
        roll.start(Which::Compaction, 2, 6, |_| 0);
        roll.free(0, 5, 800);
        let state = *roll.state.lock();
        assert_eq!(State::from_words(&state.words()).words(), state.words());

        let word = hint(Which::Front, (1 << 30) + 77, 4_096);
        assert_eq!(hinted(Which::Front, (1 << 31) + 77, word), Some(4_096));
        assert_eq!(hinted(Which::Front, 78, word), None);
        assert_eq!(hinted(Which::Compaction, 77, word), None);
        for bit in 0..64 {
            assert_ne!(hinted(Which::Front, 77, word ^ 1 << bit), Some(8_192));
        }
        assert_eq!(hinted(Which::Front, 0, 0), None);
    }
}
