//! The entries that share one prefix of the hash. A look-up compares one byte of each key's hash, then the bits that the
//! entry keeps.

use store::{Location, equal_bytes};

use super::entry::{Bits, Entry, Words};

/// Entries that a leaf is made for, one per tag. A leaf with more entries splits, if it can.
pub const LEAF_ENTRIES_MAX: usize = 32;

/// The steps in which the capacity for entries grows. Each step fills a size class of the usual allocators (four per
/// doubling), so that little memory lies unused. The smallest steps are for collections of one or two elements.
const CAPACITIES: [usize; 10] = [0, 2, 4, 8, 12, 16, 20, 24, 28, LEAF_ENTRIES_MAX];

/// The entries of one prefix. The struct is just one cache line, which tells where a key's entry can be.
#[derive(Debug)]
#[repr(align(64))]
pub struct Leaf {
    /// A byte of each entry's hash, at the entry's position.
    tags: [u8; LEAF_ENTRIES_MAX],
    /// There are more entries than tags only if the hash is broken, so that splitting does not help.
    entries: Vec<Words>,
    /// A bit for each position whose tag is unknown, because its entry came from a position without a tag.
    wild: u32,
    /// How many bits of the hash all entries share.
    pub depth: u32,
}

const _: () = assert!(size_of::<Leaf>() == 64, "a leaf is one cache line");

/// The entries of a leaf that may have a hash; see [`Leaf::alike`].
#[derive(Debug)]
pub struct Alike<'a> {
    /// A bit for each position whose tag fits. Bits beyond the last entry mean nothing.
    candidates: u32,
    /// The next position without a tag.
    untagged: usize,
    entries: &'a [Words],
    hash_bits: u32,
}

impl<'a> Alike<'a> {
    #[inline]
    pub(super) fn new(candidates: u32, entries: &'a [Words], hash_bits: u32) -> Self {
        Self {
            candidates,
            untagged: LEAF_ENTRIES_MAX,
            entries,
            hash_bits,
        }
    }
}

impl<'a> Iterator for Alike<'a> {
    type Item = (usize, Entry<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let position = if self.candidates == 0 {
                self.untagged += 1;
                self.untagged - 1
            } else {
                let position = self.candidates.trailing_zeros() as usize;
                self.candidates &= self.candidates - 1;
                position
            };
            let Some(words) = self.entries.get(position) else {
                // The tags beyond belong to removed entries, and only a full leaf has entries without tags.
                return None;
            };
            let entry = Entry(words);
            if entry.hash_bits() == self.hash_bits {
                return Some((position, entry));
            }
        }
    }
}

/// A bit for each position whose entry may have this hash.
#[inline]
pub(super) fn candidates(tags: &[u8; LEAF_ENTRIES_MAX], wild: u32, hash: u64) -> u32 {
    wild | equal_bytes(tags, tag(hash))
}

impl Leaf {
    /// A leaf without entries.
    pub fn new(depth: u32) -> Self {
        Self {
            tags: [0; LEAF_ENTRIES_MAX],
            entries: Vec::new(),
            wild: 0,
            depth,
        }
    }

    /// All entries, in no particular order.
    pub(super) fn entries(&self) -> &[Words] {
        &self.entries
    }

    /// Gives the entry at a position another record: the one that `change` tells. Returns `false`, and changes nothing, if there
    /// is no such entry, or if it does not name `place`.
    #[inline]
    pub(super) fn change(
        &mut self,
        position: usize,
        place: Location,
        change: impl FnOnce(Bits) -> Bits,
    ) -> bool {
        let Some(words) = self.entries.get_mut(position) else {
            return false;
        };
        let old = Entry(words).bits();
        if old.place != place {
            return false;
        }
        *words = change(old).words();
        true
    }

    /// The first entry that may have this hash, and its position.
    #[inline]
    pub fn likely(&self, hash: u64) -> Option<(usize, Entry<'_>)> {
        let position = candidates(&self.tags, self.wild, hash).trailing_zeros() as usize;
        Some((position, Entry(self.entries.get(position)?)))
    }

    /// The entries that may have this hash, of which the entries keep `hash_bits`; and their positions.
    #[inline]
    pub fn alike(&self, hash: u64, hash_bits: u32) -> Alike<'_> {
        let candidates = candidates(&self.tags, self.wild, hash);
        Alike::new(candidates, &self.entries, hash_bits)
    }

    /// The tag of the entry at a position; `None` if it is unknown.
    fn tag_at(&self, position: usize) -> Option<u8> {
        tag_at(&self.tags, self.wild, position)
    }

    /// Adds the entry of a key that the leaf does not have.
    pub(super) fn push(&mut self, hash: u64, entry: Bits) {
        self.push_tagged(Some(tag(hash)), entry);
    }

    fn push_tagged(&mut self, tag: Option<u8>, entry: Bits) {
        let len = self.entries.len();
        if len == self.entries.capacity() {
            self.entries.reserve_exact(room_for(len + 1) - len);
        }
        if len < LEAF_ENTRIES_MAX {
            self.tags[len] = tag.unwrap_or_default();
            self.wild = self.wild & !(1 << len) | u32::from(tag.is_none()) << len;
        }
        self.entries.push(entry.words());
    }

    /// Reserves capacity for this many entries, if their number is known in advance.
    pub fn reserve(&mut self, entries: usize) {
        self.entries.reserve_exact(room_for(entries));
    }

    /// Removes the entry at a position; the last entry moves there. Frees capacity once it is twice what is needed.
    pub(super) fn take(&mut self, position: usize) -> Bits {
        let words = self.entries.swap_remove(position);
        let last = self.entries.len();
        if position < LEAF_ENTRIES_MAX {
            let tag = self.tag_at(last);
            self.tags[position] = tag.unwrap_or_default();
            self.wild = self.wild & !(1 << position) | u32::from(tag.is_none()) << position;
        }
        if self.entries.capacity() >= 2 * room_for(last) {
            self.entries.shrink_to(room_for(last));
        }
        Entry(&words).bits()
    }

    /// Divides the leaf by the bit `bit` of the bits that the entries keep: the entries without it, and those with it.
    pub fn split(mut self, bit: u32) -> [Self; 2] {
        let entries = std::mem::take(&mut self.entries);
        let is_high = |words: &Words| Entry(words).hash_bits() & bit != 0;
        let of_high = entries.iter().filter(|words| is_high(words)).count();
        let mut halves = [entries.len() - of_high, of_high].map(|entries| {
            let mut half = Leaf::new(self.depth + 1);
            half.reserve(entries);
            half
        });
        for (position, words) in entries.iter().enumerate() {
            let half = usize::from(is_high(words));
            halves[half].push_tagged(self.tag_at(position), Entry(words).bits());
        }
        halves
    }

    /// DRAM outside the leaf itself.
    pub fn memory_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Words>()
    }
}

/// The tag of the entry at a position; `None` if it is unknown.
pub(super) fn tag_at(tags: &[u8; LEAF_ENTRIES_MAX], wild: u32, position: usize) -> Option<u8> {
    let known = position < LEAF_ENTRIES_MAX && wild >> position & 1 == 0;
    known.then(|| tags[position])
}

/// The capacity to reserve for this many entries.
pub(super) fn room_for(entries: usize) -> usize {
    let mut steps = CAPACITIES.into_iter();
    steps
        .find(|&capacity| capacity >= entries)
        .unwrap_or_else(|| entries.next_multiple_of(LEAF_ENTRIES_MAX))
}

/// Bits of a hash that neither choose the leaf nor stand in the entry.
#[inline]
pub(super) fn tag(hash: u64) -> u8 {
    (hash & 0xff) as u8
}
