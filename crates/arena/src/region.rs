//! The part of an arena that belongs to one owner. Who stores there notes the old value first.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering, compiler_fence};

use super::owner::{Kind, Owner};
use super::words::{Run, Word};
use super::{Arena, EXTENT_LINES, EXTENT_WORDS, FIRST_MARK, LINE_WORDS, Mark};

// The words of an extent of old values: the mark behind which they were noted, its number among those of the mark, how many
// there are, and a sum of the first two. Pairs follow: the number of a word, and its old value.
const TAG: usize = 0;
const ORDINAL: usize = 1;
const COUNT: usize = 2;
const CHECK: usize = 3;
const PAIRS: usize = 4;
const PAIRS_MAX: usize = (EXTENT_WORDS - PAIRS) / 2;

/// A region has no more extents of old values. A change that would need more cannot be taken back.
const UNDO_MAX: usize = 128;

/// What an earlier process has left of one owner.
#[derive(Debug)]
pub struct Found {
    /// Whose it is.
    pub owner: Owner,
    /// Extents of each kind.
    pub heads: Vec<u32>,
    blocks: Vec<u32>,
    undo: Vec<u32>,
}

impl Found {
    pub(crate) fn of(owner: Owner) -> Self {
        Self {
            owner,
            heads: Vec::new(),
            blocks: Vec::new(),
            undo: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, kind: Kind, extent: u32) {
        match kind {
            Kind::Heads => self.heads.push(extent),
            Kind::Blocks => self.blocks.push(extent),
            Kind::Undo => self.undo.push(extent),
        }
    }

    /// Gives everything back: nobody needs it any more.
    pub fn discard(self, arena: &Arena) {
        let all = [self.heads, self.blocks, self.undo];
        arena.put_back(all.into_iter().flatten());
    }
}

/// The words of one owner.
#[derive(Debug)]
pub struct Region {
    arena: &'static Arena,
    owner: Owner,
    /// What the next old value is noted behind.
    tag: u64,
    /// Extents with lines, of both kinds.
    pub heads: Vec<u32>,
    /// As `heads`.
    pub blocks: Vec<u32>,
    /// Extents of old values, from the oldest tag to the newest.
    undo: VecDeque<(u64, u32)>,
    /// The one that is being filled, and how many pairs it has.
    open: Option<(Run<EXTENT_WORDS>, usize)>,
    ordinal: u64,
    /// The tag of which not all old values were noted.
    unlogged: u64,
}

impl Drop for Region {
    fn drop(&mut self) {
        let undo = self.undo.drain(..).map(|(_, extent)| extent);
        let lines = self.heads.drain(..).chain(self.blocks.drain(..));
        self.arena.put_back(undo.chain(lines));
    }
}

impl Region {
    /// An empty region. `noted` is the number of the last mark that the owner has noted. A mark that was begun, and that the owner
    /// has not noted yet, finds what is stored until then: what the owner's change has written elsewhere may lie before that
    /// mark's point.
    pub fn new(arena: &'static Arena, owner: Owner, noted: u64) -> Self {
        Self {
            arena,
            owner,
            tag: noted,
            heads: Vec::new(),
            blocks: Vec::new(),
            undo: VecDeque::new(),
            open: None,
            ordinal: 0,
            // Before the first mark of an arena there is nothing to go back to.
            unlogged: if noted == FIRST_MARK { FIRST_MARK } else { 0 },
        }
    }

    /// What an earlier process has left, as it was at the published mark. The text of the error says what does not fit.
    pub fn reopen(arena: &'static Arena, found: Found) -> Result<Self, String> {
        let published = arena.published();
        let own: HashSet<u32> = found.heads.iter().chain(&found.blocks).copied().collect();
        let mut undo = Vec::with_capacity(found.undo.len());
        for extent in found.undo {
            let words = arena.words(extent);
            let get = |at: usize| words[at].load(Ordering::Relaxed);
            let (tag, ordinal, count) = (get(TAG), get(ORDINAL), get(COUNT));
            if count != 0 && (get(CHECK) != check(tag, ordinal) || count > PAIRS_MAX as u64) {
                return Err(format!("the old values in extent {extent} are damaged"));
            }
            let tag = if count == 0 { 0 } else { tag };
            undo.push((tag, ordinal, extent));
        }
        undo.sort_unstable();
        for &(_, _, extent) in undo.iter().rev().filter(|&&(tag, ..)| tag >= published) {
            let words = arena.words(extent);
            let count = usize::try_from(words[COUNT].load(Ordering::Relaxed)).unwrap_or(0);
            for pair in words[PAIRS..PAIRS + 2 * count].chunks_exact(2).rev() {
                let (at, old) = (
                    pair[0].load(Ordering::Relaxed),
                    pair[1].load(Ordering::Relaxed),
                );
                let at = usize::try_from(at).unwrap_or(usize::MAX);
                let is_own = u32::try_from(at / EXTENT_WORDS).is_ok_and(|one| own.contains(&one));
                if !is_own {
                    return Err(format!("an old value in extent {extent} belongs elsewhere"));
                }
                arena.slice(at, 1)[0].store(old, Ordering::Relaxed);
            }
        }
        Ok(Self {
            heads: found.heads,
            blocks: found.blocks,
            undo: undo
                .into_iter()
                .map(|(tag, _, extent)| (tag, extent))
                .collect(),
            ..Self::new(arena, found.owner, arena.mark())
        })
    }

    /// The arena.
    #[inline]
    pub fn arena(&self) -> &'static Arena {
        self.arena
    }

    /// Whose the region is.
    pub fn owner(&self) -> Owner {
        self.owner
    }

    /// Adds an extent of zeros. Returns the number of its first line.
    pub fn take(&mut self, kind: Kind) -> usize {
        let extent = self.arena.take((kind, self.owner));
        match kind {
            Kind::Heads => self.heads.push(extent),
            Kind::Blocks => self.blocks.push(extent),
            Kind::Undo => unreachable!("the region takes these itself"),
        }
        extent as usize * EXTENT_LINES
    }

    /// Stores a word, which lies in a line of this region. The next process takes that back, unless a later mark is
    /// published.
    #[inline]
    pub fn set(&mut self, at: usize, value: u64) {
        let word = self.arena.run::<1>(at).word(0);
        if word.word.load(Ordering::Relaxed) != value {
            self.set_all([(word, value)]);
        }
    }

    /// As [`set`](Self::set), for different words, of which each gets another value. The old values of all are noted together
    /// before the first of them changes.
    #[inline]
    pub fn set_all<const N: usize>(&mut self, changes: [(Word, u64); N]) {
        if self.unlogged != self.tag {
            self.note(changes.map(|(word, _)| word));
        }
        for (word, value) in changes {
            store(word.word, value);
        }
    }

    /// Notes the values that words have.
    #[inline]
    fn note<const N: usize>(&mut self, words: [Word; N]) {
        let Some((extent, count)) = self.room(N) else {
            return;
        };
        let pairs = extent.words()[PAIRS..].as_chunks::<2>().0[count..].iter();
        for ([number, old], word) in pairs.zip(words) {
            store(number, word.number as u64);
            store(old, word.word.load(Ordering::Relaxed));
        }
        store(&extent.words()[COUNT], (count + N) as u64);
        self.open = Some((extent, count + N));
    }

    /// The extent that takes the next `more` old values, and how many it has.
    #[inline]
    fn room(&mut self, more: usize) -> Option<(Run<EXTENT_WORDS>, usize)> {
        match self.open {
            Some((_, count)) if count + more <= PAIRS_MAX => self.open,
            _ => self.more_room(),
        }
    }

    #[cold]
    fn more_room(&mut self) -> Option<(Run<EXTENT_WORDS>, usize)> {
        if !self.arena.counts() {
            // Nobody goes back to anything.
            self.unlogged = self.tag;
            self.open = None;
            return None;
        }
        let published = self.arena.published();
        let reusable = self.undo.front().is_some_and(|&(tag, _)| tag < published);
        let extent = if reusable {
            self.undo.pop_front()?.1
        } else if self.undo.len() < UNDO_MAX {
            self.arena.take((Kind::Undo, self.owner))
        } else {
            self.arena.risk();
            self.unlogged = self.tag;
            self.open = None;
            return None;
        };
        let run = self.arena.run(extent as usize * EXTENT_WORDS);
        let words = run.words();
        store(&words[COUNT], 0);
        store(&words[TAG], self.tag);
        store(&words[ORDINAL], self.ordinal);
        store(&words[CHECK], check(self.tag, self.ordinal));
        self.ordinal += 1;
        self.undo.push_back((self.tag, extent));
        self.open = Some((run, 0));
        self.open
    }

    /// Notes old values behind a mark from now on.
    pub fn note_mark(&mut self, mark: Mark) {
        if self.tag != mark.number {
            self.tag = mark.number;
            self.ordinal = 0;
            self.open = None;
        }
    }
}

/// Stores a word of the arena, after all that was stored before.
#[inline]
fn store(word: &AtomicU64, value: u64) {
    #[cfg(feature = "testing")]
    testing::step();
    // A killed process leaves its stores in their order, so the compiler must keep it.
    compiler_fence(Ordering::SeqCst);
    word.store(value, Ordering::Relaxed);
    compiler_fence(Ordering::SeqCst);
}

fn check(tag: u64, ordinal: u64) -> u64 {
    (tag ^ ordinal.rotate_left(32) ^ 0x756e_646f_2121_2121).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

const _: () = assert!(LINE_WORDS * EXTENT_LINES == EXTENT_WORDS);

/// Stops the process at a store of the test's choice.
#[cfg(feature = "testing")]
pub mod testing {
    use std::cell::Cell;

    /// How many stores are left, and what happens then.
    type Left = Option<(u64, fn())>;

    thread_local! {
        static LEFT: Cell<Left> = const { Cell::new(None) };
        static MADE: Cell<u64> = const { Cell::new(0) };
    }

    /// Has the thread's `n`-th store from now on call `stop` in its place.
    pub fn stop_at(n: u64, stop: fn()) {
        LEFT.set(Some((n, stop)));
        MADE.set(0);
    }

    /// Lets all stores happen. Returns how many there were since [`stop_at`].
    pub fn go_on() -> u64 {
        LEFT.set(None);
        MADE.get()
    }

    pub(super) fn step() {
        MADE.set(MADE.get() + 1);
        if let Some((left, stop)) = LEFT.get() {
            if left <= 1 {
                LEFT.set(None);
                stop();
            } else {
                LEFT.set(Some((left - 1, stop)));
            }
        }
    }
}
