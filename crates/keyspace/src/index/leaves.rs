//! The leaves of an index, by number: in memory of the process alone, or in an arena that outlives it.

use super::entry::{Bits, Entry, Words};
use super::kept::Kept;
use super::leaf::{Alike, Leaf};
use store::{Location, prefetch};

/// Entries of leaves in an arena lie in any order. So that a walk does not wait for each leaf's, it has those of so many on
/// their way.
pub(super) const LEAVES_AHEAD: usize = 6;

/// Leaves by number. The numbers have no gap.
#[derive(Debug)]
pub(super) enum Leaves {
    /// In memory of the process.
    Own {
        leaves: Vec<Leaf>,
        /// Bytes that the leaves allocate outside themselves.
        outside_bytes: usize,
    },
    /// In an arena.
    Kept(Box<Kept>),
}

impl Leaves {
    /// Leaves in memory of the process.
    pub fn own(leaves: Vec<Leaf>) -> Self {
        Leaves::Own {
            outside_bytes: leaves.iter().map(Leaf::memory_bytes).sum(),
            leaves,
        }
    }

    #[inline]
    pub fn len(&self) -> usize {
        match self {
            Leaves::Own { leaves, .. } => leaves.len(),
            Leaves::Kept(kept) => kept.len(),
        }
    }

    /// All entries of a leaf, in no particular order.
    #[inline]
    pub fn entries(&self, number: usize) -> &[Words] {
        match self {
            Leaves::Own { leaves, .. } => leaves[number].entries(),
            Leaves::Kept(kept) => kept.entries(number),
        }
    }

    /// As [`entries`](Self::entries).
    pub fn each(&self, number: usize) -> impl DoubleEndedIterator<Item = Entry<'_>> {
        self.entries(number).iter().map(Entry)
    }

    /// How many bits of the hash all entries of a leaf share.
    pub fn depth(&self, number: usize) -> u32 {
        match self {
            Leaves::Own { leaves, .. } => leaves[number].depth,
            Leaves::Kept(kept) => kept.depth(number),
        }
    }

    /// The entries that may have this hash, of which the entries keep `hash_bits`; and their positions.
    #[inline]
    pub fn alike(&self, number: usize, hash: u64, hash_bits: u32) -> Alike<'_> {
        match self {
            Leaves::Own { leaves, .. } => leaves[number].alike(hash, hash_bits),
            Leaves::Kept(kept) => kept.alike(number, hash, hash_bits),
        }
    }

    /// The first entry that may have this hash, and its position.
    #[inline]
    pub fn likely(&self, number: usize, hash: u64) -> Option<(usize, Entry<'_>)> {
        match self {
            Leaves::Own { leaves, .. } => leaves[number].likely(hash),
            Leaves::Kept(kept) => kept.likely(number, hash),
        }
    }

    /// Fetches a leaf into the processor's cache.
    #[inline]
    pub fn prefetch(&self, number: usize) {
        match self {
            Leaves::Own { leaves, .. } => prefetch(&raw const leaves[number]),
            Leaves::Kept(kept) => prefetch(&raw const kept.line(number)[0]),
        }
    }

    /// Fetches the entries of a leaf into the processor's cache, if there is one of this number and they lie apart from it.
    #[inline]
    pub fn prefetch_entries(&self, number: usize) {
        if let Leaves::Kept(kept) = self {
            kept.prefetch_entries(number);
        }
    }

    /// Gives an entry of a leaf another record: the one that `change` tells. Returns `false`, and changes nothing, if there is no
    /// such entry, or if it does not name `place`. Its hash stays.
    #[inline]
    pub fn change(
        &mut self,
        (number, position): (usize, usize),
        place: Location,
        change: impl FnOnce(Bits) -> Bits,
    ) -> bool {
        match self {
            Leaves::Own { leaves, .. } => {
                let leaf = leaves.get_mut(number);
                leaf.is_some_and(|leaf| leaf.change(position, place, change))
            }
            Leaves::Kept(kept) => kept.change(number, position, place, change),
        }
    }

    /// Adds the entry of a key that the leaf does not have.
    pub fn push(&mut self, number: usize, hash: u64, entry: Bits) {
        match self {
            Leaves::Own {
                leaves,
                outside_bytes,
            } => {
                let leaf = &mut leaves[number];
                let before = leaf.memory_bytes();
                leaf.push(hash, entry);
                *outside_bytes += leaf.memory_bytes() - before;
            }
            Leaves::Kept(kept) => kept.push(number, hash, entry),
        }
    }

    /// Removes the entry at a position of a leaf; the last entry moves there.
    pub fn take(&mut self, number: usize, position: usize) -> Bits {
        match self {
            Leaves::Own {
                leaves,
                outside_bytes,
            } => {
                let leaf = &mut leaves[number];
                let before = leaf.memory_bytes();
                let entry = leaf.take(position);
                *outside_bytes -= before - leaf.memory_bytes();
                entry
            }
            Leaves::Kept(kept) => kept.take(number, position),
        }
    }

    /// Divides a leaf by the bit `bit` of the bits that the entries keep. Those with it go to a new leaf, the last one.
    pub fn split(&mut self, number: usize, bit: u32) {
        match self {
            Leaves::Own {
                leaves,
                outside_bytes,
            } => {
                let old = std::mem::replace(&mut leaves[number], Leaf::new(0));
                *outside_bytes -= old.memory_bytes();
                let [low, high] = old.split(bit);
                *outside_bytes += low.memory_bytes() + high.memory_bytes();
                if leaves.len() == leaves.capacity() {
                    leaves.reserve_exact((leaves.len() / 8).max(1));
                }
                leaves[number] = low;
                leaves.push(high);
            }
            Leaves::Kept(kept) => kept.split(number, bit),
        }
    }

    /// Removes the last leaf, which is empty. Only of an index that no command searches any more.
    pub fn pop(&mut self) {
        match self {
            Leaves::Own { leaves, .. } => {
                leaves.pop();
            }
            Leaves::Kept(kept) => kept.pop(),
        }
    }

    /// Memory of the leaves and their entries, bytes.
    pub fn memory_bytes(&self) -> usize {
        match self {
            Leaves::Own {
                leaves,
                outside_bytes,
            } => leaves.capacity() * size_of::<Leaf>() + outside_bytes,
            Leaves::Kept(kept) => kept.memory_bytes(),
        }
    }
}
