//! An index whose leaves lie in an arena, which outlives the process.

use arena::{Arena, Found as Left, Mark, Owner, Region};

use super::super::Millis;
use super::bounds::Bounds;
use super::kept::{Kept, LeftLeaf};
use super::leaves::Leaves;
use super::{DIRECTORY_PER_LEAF, DIRECTORY_SPARE, Index, NEVER, Naming, depth_for};

impl Index {
    /// An empty index in an arena, of records that have their names, with leaves for about this many keys. Its owner has noted
    /// the mark `noted` last; see [`Region::new`].
    pub fn in_arena(
        skip_bits: u32,
        arena: &'static Arena,
        owner: Owner,
        noted: u64,
        keys: usize,
    ) -> Self {
        let depth = depth_for(keys);
        let leaves = 1usize << depth;
        let region = Region::new(arena, owner, noted);
        Self {
            depth,
            directory: (0..1 << depth).collect(),
            bounds: Bounds::never(leaves),
            leaves: Leaves::Kept(Box::new(Kept::new(region, depth, keys >> depth))),
            ..Self::new(skip_bits, Naming::InRecords)
        }
    }

    /// The index that an earlier process has left in an arena, as it was at the published mark. The text of the error says
    /// what is damaged.
    pub fn reopen(skip_bits: u32, arena: &'static Arena, left: Left) -> Result<Self, String> {
        let (kept, found) = Kept::reopen(arena, left)?;
        let depth = found.iter().map(|leaf| leaf.depth).max().unwrap_or(0);
        let places = 1usize << depth;
        if places > DIRECTORY_SPARE && places / DIRECTORY_PER_LEAF > 2 * found.len() {
            return Err("its leaves are too few for their prefixes".to_owned());
        }
        let mut directory = vec![u32::MAX; places];
        for (number, leaf) in (0u32..).zip(&found) {
            let shift = depth - leaf.depth;
            let first = (leaf.prefix as usize) << shift;
            let places = &mut directory[first..first + (1 << shift)];
            if places.iter().any(|&place| place != u32::MAX) {
                return Err(format!("leaf {number} is for the hashes of another one"));
            }
            places.fill(number);
        }
        if directory.contains(&u32::MAX) {
            return Err("a leaf is missing".to_owned());
        }
        // The deadlines stand in the records. The first search for expired keys makes the bounds exact.
        let first_expiry = |leaf: &LeftLeaf| match leaf.expiring {
            0 => NEVER,
            _ => Millis::MIN,
        };
        Ok(Self {
            depth,
            directory,
            len: found.iter().map(|leaf| leaf.entries).sum(),
            expiring: found.iter().map(|leaf| leaf.expiring).sum(),
            bounds: Bounds::of(found.iter().map(first_expiry).collect()),
            leaves: Leaves::Kept(Box::new(kept)),
            ..Self::new(skip_bits, Naming::InRecords)
        })
    }

    /// Notes that what was changed so far is behind a mark, and what is changed from now on is not.
    pub fn note_mark(&mut self, mark: Mark) {
        if let Leaves::Kept(kept) = &mut self.leaves {
            kept.note_mark(mark);
        }
    }
}
