//! Leaves in an arena, which outlive the process.
//!
//! A leaf is a line of 64 bytes; its entries lie in a block of lines. All of it is checked before it is used: each leaf has a
//! sum over its line and its entries, says which prefix of the hash it is for, and no two blocks share a line. What is not
//! needed to find the entries again lies in memory of the process: the directory, the order of the leaves, which lines are
//! free.
//!
//! | words of a leaf | what |
//! |---|---|
//! | 4 | a byte of each entry's hash |
//! | 1 | first line of the block (32 bits), entries (16), lines (16) |
//! | 1 | positions whose byte is not known (32), bits of the prefix (8), 1 in the highest bit |
//! | 1 | prefix (32), generation (32) |
//! | 1 | sum |

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use arena::{EXTENT_LINES, Kind, LINE_WORDS, Lines, Mark, Region, Run};
use foldhash::fast::FixedState;
use store::{Location, prefetch};

use super::entry::{Bits, Entry, Words, lasting};
use super::leaf::{Alike, LEAF_ENTRIES_MAX, candidates, room_for, tag, tag_at};

mod left;

pub use left::LeftLeaf;

/// Stands for the meaning of the arena's words: another number, another meaning.
pub const LAYOUT: u64 = 2;

// The numbers of a leaf's words.
const TAG_WORDS: usize = 4;
const BLOCK: usize = 4;
const STATE: usize = 5;
const PREFIX: usize = 6;
const SUM: usize = 7;

/// Set in the word [`STATE`] of a leaf; an unused line has zeros.
const USED: u64 = 1 << 63;

/// Entries in a line.
const LINE_ENTRIES: usize = LINE_WORDS / 2;

/// How many extents a search for free lines looks at, as long as few lines are free.
const EXTENTS_TRIED: usize = 16;

/// The leaves of one generation in one shard.
#[derive(Debug)]
pub struct Kept {
    region: Region,
    /// The leaves of each extent of the region.
    lines: Vec<Lines>,
    len: usize,
    /// For each extent of blocks, a bit for each free line.
    free: Vec<u64>,
    /// The position of an extent in `free`.
    extents: HashMap<usize, usize, FixedState>,
    free_lines: usize,
    /// Where the next search for free lines begins.
    hint: usize,
}

/// An entry with the byte of its hash, if that is known.
type Tagged = (Option<u8>, Bits);

/// A block of lines, as a leaf names it.
#[derive(Clone, Copy)]
struct Block {
    /// The number of its first line.
    line: usize,
    entries: usize,
    lines: usize,
}

impl Block {
    fn decode(word: u64) -> Self {
        #[allow(clippy::cast_possible_truncation)] // At most 32 bits.
        let part = |shift: u32, bits: u32| (word >> shift & ((1 << bits) - 1)) as usize;
        Self {
            line: part(0, 32),
            entries: part(32, 16),
            lines: part(48, 16),
        }
    }

    fn encode(self) -> u64 {
        self.line as u64 | (self.entries as u64) << 32 | (self.lines as u64) << 48
    }
}

/// What the word at a position adds to a sum. Each value adds another one, so a changed word is noticed.
#[inline]
fn mixed(position: usize, word: u64) -> u64 {
    let at = (position as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (word ^ at)
        .wrapping_mul(0xd6e8_feb8_6659_fd93)
        .rotate_left(32)
        ^ at
}

/// What an entry adds to the sum of its leaf.
#[inline]
fn mixed_entry(position: usize, bits: Bits) -> u64 {
    let at = LINE_WORDS + 2 * position;
    mixed(at, bits.place.0) ^ mixed(at + 1, lasting(bits.rest))
}

impl Kept {
    /// An empty leaf for each prefix of `depth` bits, with room for this many entries.
    pub fn new(region: Region, depth: u32, entries: usize) -> Self {
        let mut kept = Self::over(region);
        for prefix in 0..1 << depth {
            kept.add_leaf(depth, prefix, &[], entries);
        }
        kept
    }

    fn over(region: Region) -> Self {
        let heads = region.heads.iter();
        Self {
            lines: heads.map(|&head| region.arena().lines(head)).collect(),
            free: Vec::new(),
            extents: HashMap::default(),
            free_lines: 0,
            hint: 0,
            len: 0,
            region,
        }
    }

    /// Notes what was changed so far behind a mark; see [`Region::note_mark`].
    pub fn note_mark(&mut self, mark: Mark) {
        self.region.note_mark(mark);
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// Memory of the lines in use. That of the others counts for no key, as that of free memory.
    pub fn memory_bytes(&self) -> usize {
        let lines = self.len + self.region.blocks.len() * EXTENT_LINES - self.free_lines;
        lines * LINE_WORDS * size_of::<u64>()
    }

    /// Fetches the entries of a leaf into the processor's cache, if there is one of this number.
    pub fn prefetch_entries(&self, number: usize) {
        if number >= self.len {
            return;
        }
        let block = self.block(number);
        // An earlier process may have left the leaf, and nobody has checked it yet.
        if self.extents.contains_key(&(block.line / EXTENT_LINES)) {
            let lines = block.lines.min(EXTENT_LINES - block.line % EXTENT_LINES);
            let words = self
                .region
                .arena()
                .slice(block.line * LINE_WORDS, lines * LINE_WORDS);
            for line in words.chunks_exact(LINE_WORDS) {
                prefetch(&raw const line[0]);
            }
        }
    }

    /// The words of a leaf.
    #[inline]
    fn leaf(&self, number: usize) -> Run<LINE_WORDS> {
        self.lines[number / EXTENT_LINES].line(number)
    }

    /// The number of a leaf's first word.
    #[inline]
    fn head(&self, number: usize) -> usize {
        self.leaf(number).first()
    }

    #[inline]
    pub fn line(&self, number: usize) -> &[AtomicU64; LINE_WORDS] {
        self.leaf(number).words()
    }

    #[inline]
    fn word(&self, number: usize, at: usize) -> u64 {
        self.leaf(number).get(at)
    }

    #[inline]
    fn block(&self, number: usize) -> Block {
        Block::decode(self.word(number, BLOCK))
    }

    #[inline]
    pub fn entries(&self, number: usize) -> &[Words] {
        self.entries_of(self.block(number))
    }

    #[inline]
    fn entries_of(&self, block: Block) -> &[Words] {
        let words = self
            .region
            .arena()
            .slice(block.line * LINE_WORDS, 2 * block.entries);
        words.as_chunks().0
    }

    #[allow(clippy::cast_possible_truncation)] // Masked.
    pub fn depth(&self, number: usize) -> u32 {
        (self.word(number, STATE) >> 32 & 0xff) as u32
    }

    /// The bytes of hashes, and the positions at which there is none.
    #[inline]
    #[allow(clippy::cast_possible_truncation)] // The lower half.
    fn tags(line: &[AtomicU64; LINE_WORDS]) -> ([u8; LEAF_ENTRIES_MAX], u32) {
        let mut tags = [0; LEAF_ENTRIES_MAX];
        for (bytes, word) in tags.chunks_exact_mut(8).zip(line) {
            bytes.copy_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
        }
        (tags, line[STATE].load(Ordering::Relaxed) as u32)
    }

    #[inline]
    pub fn alike(&self, number: usize, hash: u64, hash_bits: u32) -> Alike<'_> {
        let line = self.line(number);
        let (tags, wild) = Self::tags(line);
        let block = Block::decode(line[BLOCK].load(Ordering::Relaxed));
        Alike::new(
            candidates(&tags, wild, hash),
            self.entries_of(block),
            hash_bits,
        )
    }

    #[inline]
    pub fn likely(&self, number: usize, hash: u64) -> Option<(usize, Entry<'_>)> {
        let line = self.line(number);
        let (tags, wild) = Self::tags(line);
        let block = Block::decode(line[BLOCK].load(Ordering::Relaxed));
        let position = candidates(&tags, wild, hash).trailing_zeros() as usize;
        Some((position, Entry(self.entries_of(block).get(position)?)))
    }

    /// Stores the words of the entry at a position of a block.
    fn store_entry(&mut self, block: Block, position: usize, bits: Bits) {
        let at = block.line * LINE_WORDS + 2 * position;
        self.region.set(at, bits.place.0);
        self.region.set(at + 1, bits.rest);
    }

    /// Stores a word of a leaf, and what that changes in the sum.
    fn store_head(&mut self, head: usize, at: usize, word: u64, sum: &mut u64) {
        let old = self.region.arena().slice(head + at, 1)[0].load(Ordering::Relaxed);
        if old != word {
            *sum ^= mixed(at, old) ^ mixed(at, word);
            self.region.set(head + at, word);
        }
    }

    /// Gives the entry at a position another record: the one that `change` tells. Returns `false`, and changes nothing, if there
    /// is no such entry, or if it does not name `place`.
    #[inline]
    pub fn change(
        &mut self,
        number: usize,
        position: usize,
        place: Location,
        change: impl FnOnce(Bits) -> Bits,
    ) -> bool {
        if number >= self.len {
            return false;
        }
        let leaf = self.leaf(number);
        let block = Block::decode(leaf.get(BLOCK));
        if position >= block.entries {
            return false;
        }
        let first = block.line * LINE_WORDS + 2 * position;
        let entry = self.region.arena().run::<2>(first);
        let old = Entry(entry.words()).bits();
        if old.place != place {
            return false;
        }
        let new = change(old);
        let mut sum = leaf.get(SUM);
        let at = LINE_WORDS + 2 * position;
        sum ^= mixed(at, old.place.0) ^ mixed(at, new.place.0);
        if lasting(old.rest) == lasting(new.rest) {
            if old.rest != new.rest {
                // An access alone, of which any value is right.
                entry.words()[1].store(new.rest, Ordering::Relaxed);
            }
            let changes = [(entry.word(0), new.place.0), (leaf.word(SUM), sum)];
            self.region.set_all(changes);
        } else {
            sum ^= mixed(at + 1, lasting(old.rest)) ^ mixed(at + 1, lasting(new.rest));
            self.region.set_all([
                (entry.word(0), new.place.0),
                (entry.word(1), new.rest),
                (leaf.word(SUM), sum),
            ]);
        }
        true
    }

    pub fn push(&mut self, number: usize, hash: u64, entry: Bits) {
        let (head, mut block) = (self.head(number), self.block(number));
        let mut sum = self.word(number, SUM);
        if block.entries == block.lines * LINE_ENTRIES {
            block = self.moved(block, room_for(block.entries + 1));
        }
        let position = block.entries;
        self.store_entry(block, position, entry);
        sum ^= mixed_entry(position, entry);
        self.store_tag(head, position, Some(tag(hash)), &mut sum);
        block.entries += 1;
        self.store_head(head, BLOCK, block.encode(), &mut sum);
        self.region.set(head + SUM, sum);
    }

    fn store_tag(&mut self, head: usize, position: usize, tag: Option<u8>, sum: &mut u64) {
        if position >= LEAF_ENTRIES_MAX {
            return;
        }
        let get = |at: usize| self.region.arena().slice(head + at, 1)[0].load(Ordering::Relaxed);
        let (at, shift) = (position / 8, position % 8 * 8);
        let tags = get(at) & !(0xff << shift) | u64::from(tag.unwrap_or_default()) << shift;
        let state = get(STATE) & !(1 << position) | u64::from(tag.is_none()) << position;
        self.store_head(head, at, tags, sum);
        self.store_head(head, STATE, state, sum);
    }

    /// A copy of a block with room for this many entries. The old one is free.
    fn moved(&mut self, old: Block, entries: usize) -> Block {
        let lines = entries.div_ceil(LINE_ENTRIES);
        let new = Block {
            line: self.take_lines(lines),
            entries: old.entries,
            lines,
        };
        for position in 0..old.entries {
            let bits = Entry(&self.entries_of(old)[position]).bits();
            self.store_entry(new, position, bits);
        }
        self.free_lines(old);
        new
    }

    pub fn take(&mut self, number: usize, position: usize) -> Bits {
        let (head, mut block) = (self.head(number), self.block(number));
        let mut sum = self.word(number, SUM);
        let entries = self.entries_of(block);
        let last = block.entries - 1;
        let (taken, moved) = (
            Entry(&entries[position]).bits(),
            Entry(&entries[last]).bits(),
        );
        let (tags, wild) = Self::tags(self.line(number));
        sum ^= mixed_entry(last, moved);
        if position != last {
            sum ^= mixed_entry(position, taken) ^ mixed_entry(position, moved);
            self.store_entry(block, position, moved);
        }
        self.store_tag(head, position, tag_at(&tags, wild, last), &mut sum);
        block.entries = last;
        if block.lines * LINE_ENTRIES >= 2 * room_for(last) {
            block = if last == 0 {
                self.free_lines(block);
                Block::decode(0)
            } else {
                self.moved(block, room_for(last))
            };
        }
        self.store_head(head, BLOCK, block.encode(), &mut sum);
        self.region.set(head + SUM, sum);
        taken
    }

    pub fn split(&mut self, number: usize, bit: u32) {
        let block = self.block(number);
        let (tags, wild) = Self::tags(self.line(number));
        let depth = self.depth(number) + 1;
        #[allow(clippy::cast_possible_truncation)] // The lower half.
        let prefix = (self.word(number, PREFIX) as u32) << 1;
        let mut halves = [const { Vec::new() }; 2];
        for (position, words) in self.entries_of(block).iter().enumerate() {
            let bits = Entry(words).bits();
            let half = usize::from(bits.hash_bits() & bit != 0);
            halves[half].push((tag_at(&tags, wild, position), bits));
        }
        self.free_lines(block);
        let [low, high] = halves;
        self.fill(self.head(number), (depth, prefix), &low, low.len());
        self.add_leaf(depth, prefix | 1, &high, high.len());
    }

    /// Adds a leaf behind the last one.
    fn add_leaf(&mut self, depth: u32, prefix: u32, entries: &[Tagged], room: usize) {
        if self.len == self.region.heads.len() * EXTENT_LINES {
            let first = self.region.take(Kind::Heads);
            let extent = u32::try_from(first / EXTENT_LINES).unwrap_or(u32::MAX);
            self.lines.push(self.region.arena().lines(extent));
        }
        self.len += 1;
        self.fill(self.head(self.len - 1), (depth, prefix), entries, room);
    }

    /// Makes a leaf of these entries, with room for `room` of them.
    fn fill(&mut self, head: usize, (depth, prefix): (u32, u32), entries: &[Tagged], room: usize) {
        let lines = room_for(room).div_ceil(LINE_ENTRIES);
        let block = Block {
            line: if lines == 0 {
                0
            } else {
                self.take_lines(lines)
            },
            entries: entries.len(),
            lines,
        };
        let mut line = [0; LINE_WORDS];
        line[BLOCK] = block.encode();
        line[STATE] = USED | u64::from(depth) << 32;
        line[PREFIX] = u64::from(self.region.owner().generation) << 32 | u64::from(prefix);
        for (position, &(tag, bits)) in entries.iter().enumerate() {
            self.store_entry(block, position, bits);
            line[SUM] ^= mixed_entry(position, bits);
            if position < LEAF_ENTRIES_MAX {
                line[position / 8] |= u64::from(tag.unwrap_or_default()) << (position % 8 * 8);
                line[STATE] |= u64::from(tag.is_none()) << position;
            }
        }
        for position in 0..SUM {
            line[SUM] ^= mixed(position, line[position]);
        }
        for (at, word) in (head..).zip(line) {
            self.region.set(at, word);
        }
    }

    /// Empties all leaves but the first, which is for all hashes now.
    pub fn clear(&mut self) {
        for number in 0..self.len {
            self.free_lines(self.block(number));
            let head = self.head(number);
            for at in head..head + LINE_WORDS {
                self.region.set(at, 0);
            }
        }
        self.len = 0;
        self.add_leaf(0, 0, &[], 0);
    }

    pub fn pop(&mut self) {
        self.len -= 1;
        let head = self.head(self.len);
        self.region.set(head + STATE, 0);
    }

    fn note_blocks(&mut self, extent: u32) {
        self.extents.insert(extent as usize, self.free.len());
        self.free.push(u64::MAX);
        self.free_lines += EXTENT_LINES;
    }

    /// Takes free lines that lie side by side. Returns the number of the first.
    fn take_lines(&mut self, lines: usize) -> usize {
        assert!(lines <= EXTENT_LINES, "{lines} lines for keys of one hash");
        let extents = self.free.len();
        let few = self.free_lines * 8 < extents * EXTENT_LINES;
        let tried = if few { EXTENTS_TRIED } else { extents };
        let found = (0..tried.min(extents)).find_map(|n| {
            let place = (self.hint + n) % extents;
            let mut starts = self.free[place];
            for _ in 1..lines {
                starts &= starts >> 1;
            }
            (starts != 0).then(|| (place, starts.trailing_zeros() as usize))
        });
        let (place, first) = found.unwrap_or_else(|| {
            let line = self.region.take(Kind::Blocks);
            self.note_blocks(u32::try_from(line / EXTENT_LINES).unwrap_or(u32::MAX));
            (extents, 0)
        });
        self.hint = place;
        self.free[place] &= !(run(lines) << first);
        self.free_lines -= lines;
        self.region.blocks[place] as usize * EXTENT_LINES + first
    }

    fn free_lines(&mut self, block: Block) {
        if block.lines > 0
            && let Some(&place) = self.extents.get(&(block.line / EXTENT_LINES))
        {
            self.free[place] |= run(block.lines) << (block.line % EXTENT_LINES);
            self.free_lines += block.lines;
            self.hint = place;
        }
    }
}

/// As many bits as there are lines.
fn run(lines: usize) -> u64 {
    u64::MAX >> (u64::BITS as usize - lines.clamp(1, EXTENT_LINES))
}

const _: () = assert!(EXTENT_LINES == u64::BITS as usize && TAG_WORDS * 8 == LEAF_ENTRIES_MAX);
