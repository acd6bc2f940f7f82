//! Takes up the leaves that an earlier process has left, and checks them before the first use.

use std::sync::atomic::Ordering;

use arena::{Arena, EXTENT_LINES, Found, LINE_WORDS, Region};

use super::super::entry::{Entry, HASH_BITS};
use super::super::leaves::LEAVES_AHEAD;
use super::{BLOCK, Block, Kept, LINE_ENTRIES, PREFIX, STATE, SUM, USED, mixed, mixed_entry, run};

/// A leaf that an earlier process has left.
pub struct LeftLeaf {
    /// The bits of the hash that its entries share.
    pub prefix: u32,
    /// How many they are.
    pub depth: u32,
    pub entries: usize,
    /// How many entries have a deadline.
    pub expiring: usize,
}

impl Kept {
    /// The leaves that an earlier process has left, as they were at the published mark, with what each is for. The text of
    /// the error says what is damaged.
    pub fn reopen(arena: &'static Arena, found: Found) -> Result<(Self, Vec<LeftLeaf>), String> {
        let mut region = Region::reopen(arena, found)?;
        // Leaves fill an extent before the next one. All but one extent are full or empty.
        let in_use = |extent: u32| {
            let lines = arena.slice(
                extent as usize * EXTENT_LINES * LINE_WORDS,
                EXTENT_LINES * LINE_WORDS,
            );
            let states = lines
                .chunks_exact(LINE_WORDS)
                .map(|line| line[STATE].load(Ordering::Relaxed));
            states.take_while(|state| *state != 0).count()
        };
        let mut heads: Vec<(usize, u32)> =
            region.heads.iter().map(|&one| (in_use(one), one)).collect();
        heads.sort_by_key(|&(used, _)| std::cmp::Reverse(used));
        let len = heads.iter().map(|&(used, _)| used).sum();
        region.heads = heads.into_iter().map(|(_, extent)| extent).collect();
        let mut kept = Self::over(region);
        for at in 0..kept.region.blocks.len() {
            kept.note_blocks(kept.region.blocks[at]);
        }
        kept.len = len;
        let mut leaves = Vec::with_capacity(len);
        for number in 0..len {
            kept.prefetch_entries(number + LEAVES_AHEAD);
            let checked = kept.check(number);
            leaves.push(checked.map_err(|why| format!("leaf {number} {why}"))?);
        }
        if len == 0 {
            kept.add_leaf(0, 0, &[], 0);
            leaves.push(LeftLeaf {
                prefix: 0,
                depth: 0,
                entries: 0,
                expiring: 0,
            });
        }
        Ok((kept, leaves))
    }

    /// Checks a leaf, and takes the lines of its block.
    fn check(&mut self, number: usize) -> Result<LeftLeaf, &'static str> {
        let line: [u64; LINE_WORDS] =
            std::array::from_fn(|n| self.line(number)[n].load(Ordering::Relaxed));
        let block = Block::decode(line[BLOCK]);
        #[allow(clippy::cast_possible_truncation)] // Of the fields' widths.
        let (depth, prefix) = ((line[STATE] >> 32 & 0xff) as u32, line[PREFIX] as u32);
        if line[STATE] & USED == 0 || depth > HASH_BITS || u64::from(prefix) >> depth != 0 {
            return Err("makes no sense");
        }
        if line[PREFIX] >> 32 != u64::from(self.region.owner().generation) {
            return Err("belongs to another database");
        }
        if block.entries > block.lines * LINE_ENTRIES {
            return Err("has more entries than it can");
        }
        if block.lines > 0 {
            let place = self.extents.get(&(block.line / EXTENT_LINES));
            let first = block.line % EXTENT_LINES;
            let &place = place.ok_or("names a block that is not its own")?;
            if first + block.lines > EXTENT_LINES {
                return Err("has a block that is too long");
            }
            let mask = run(block.lines) << first;
            if self.free[place] & mask != mask {
                return Err("shares a block with another one");
            }
            self.free[place] &= !mask;
            self.free_lines -= block.lines;
        }
        let mut sum = 0;
        for (position, &word) in line[..SUM].iter().enumerate() {
            sum ^= mixed(position, word);
        }
        let entries = self.entries(number);
        let mut expiring = 0;
        for (position, words) in entries.iter().enumerate() {
            let bits = Entry(words).bits();
            sum ^= mixed_entry(position, bits);
            expiring += usize::from(bits.has_deadline());
            if bits.hash_bits() >> (HASH_BITS - depth) != prefix {
                return Err("has an entry of another leaf");
            }
        }
        if sum != line[SUM] {
            return Err("does not fit its sum");
        }
        Ok(LeftLeaf {
            prefix,
            depth,
            entries: entries.len(),
            expiring,
        })
    }
}
