//! The entries that share one prefix of the hash. A look-up compares one byte of each key's hash.

use super::entry::Entry;

/// Entries that a leaf is made for, one per tag. A leaf with more entries splits, if it can.
pub const LEAF_ENTRIES_MAX: usize = 32;

/// The steps in which the capacity for entries grows. Each step fills a size class of the usual allocators (four per
/// doubling), so that little memory lies unused. The smallest steps are for collections of one or two elements.
const CAPACITIES: [usize; 10] = [0, 2, 4, 8, 12, 16, 19, 22, 25, LEAF_ENTRIES_MAX];

/// The entries of one prefix. The struct is just one cache line, which tells where a key's entry can be.
#[derive(Debug)]
#[repr(align(64))]
pub struct Leaf {
    /// A byte of each entry's hash, at the entry's position.
    tags: [u8; LEAF_ENTRIES_MAX],
    /// There are more entries than tags only if the hash is broken, so that splitting does not help.
    entries: Vec<Entry>,
    /// A bit for each position whose tag is unknown, because its entry came from a position without a tag.
    wild: u32,
    /// How many bits of the hash all entries share.
    pub depth: u32,
}

const _: () = assert!(size_of::<Leaf>() == 64, "a leaf is one cache line");

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
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// An entry, mutable; the caller must not change its key.
    pub fn entry_mut(&mut self, position: usize) -> Option<&mut Entry> {
        self.entries.get_mut(position)
    }

    /// The entry of a key.
    #[inline]
    pub fn get(&self, hash: u64, key: &[u8]) -> Option<&Entry> {
        self.entries.get(self.find(hash, key)?)
    }

    /// The first entry that may have this hash.
    #[inline]
    pub fn likely(&self, hash: u64) -> Option<&Entry> {
        self.entries
            .get(self.candidates(hash).trailing_zeros() as usize)
    }

    /// The position of a key's entry.
    #[inline]
    pub fn find(&self, hash: u64, key: &[u8]) -> Option<usize> {
        let mut candidates = self.candidates(hash);
        while candidates != 0 {
            let position = candidates.trailing_zeros() as usize;
            // No entry here: the tags beyond belong to removed entries.
            if self.entries.get(position)?.key() == key {
                return Some(position);
            }
            candidates &= candidates - 1;
        }
        let mut untagged = self.entries.get(LEAF_ENTRIES_MAX..)?.iter();
        Some(LEAF_ENTRIES_MAX + untagged.position(|entry| entry.key() == key)?)
    }

    /// A bit for each position whose entry may have this hash. Bits beyond the last entry mean nothing.
    #[inline]
    fn candidates(&self, hash: u64) -> u32 {
        let tag = tag(hash);
        // No branches, so that the compiler makes a few vector instructions of this loop.
        let mut candidates = self.wild;
        for (position, &other) in self.tags.iter().enumerate() {
            candidates |= u32::from(other == tag) << position;
        }
        candidates
    }

    /// Adds the entry of a key that the leaf does not have.
    pub fn push(&mut self, hash: u64, entry: Entry) {
        let len = self.entries.len();
        if len == self.entries.capacity() {
            self.entries.reserve_exact(room_for(len + 1) - len);
        }
        if let Some(free) = self.tags.get_mut(len) {
            *free = tag(hash);
            self.wild &= !(1 << len);
        }
        self.entries.push(entry);
    }

    /// Reserves capacity for this many entries, if their number is known in advance.
    pub fn reserve(&mut self, entries: usize) {
        self.entries.reserve_exact(room_for(entries));
    }

    /// Removes the entry at a position; the last entry moves there. Frees capacity once it is twice what is needed.
    pub fn take(&mut self, position: usize) -> Entry {
        let entry = self.entries.swap_remove(position);
        let last = self.entries.len();
        if position < LEAF_ENTRIES_MAX {
            if let Some(&tag) = self.tags.get(last) {
                self.tags[position] = tag;
                self.wild = self.wild & !(1 << position) | (self.wild >> last & 1) << position;
            } else {
                self.wild |= 1 << position;
            }
        }
        if self.entries.capacity() >= 2 * room_for(last) {
            self.entries.shrink_to(room_for(last));
        }
        entry
    }

    /// Turns the leaf into its entries.
    pub fn into_entries(self) -> Vec<Entry> {
        self.entries
    }

    /// DRAM outside the leaf itself, without keys that are too long for their entries.
    pub fn memory_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>()
    }
}

/// The capacity to reserve for this many entries.
fn room_for(entries: usize) -> usize {
    let mut steps = CAPACITIES.into_iter();
    steps
        .find(|&capacity| capacity >= entries)
        .unwrap_or_else(|| entries.next_multiple_of(LEAF_ENTRIES_MAX))
}

/// The bits of a hash that did not choose the leaf.
#[inline]
fn tag(hash: u64) -> u8 {
    (hash & 0xff) as u8
}
