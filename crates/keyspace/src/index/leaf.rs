//! The entries of one prefix of the hash, found by comparing one byte of each key's hash.

use super::entry::Entry;

/// Entries that a leaf is made for: as many as it has tags. One that has more splits, if it can.
pub const LEAF_ENTRIES_MAX: usize = 32;

/// Room that a leaf's entries take, one step after the other: what fills a size class of the usual allocators (four
/// to a doubling), so that little of what they hand out lies idle. The least is for collections of an element or two.
const CAPACITIES: [usize; 10] = [0, 2, 4, 8, 12, 16, 19, 22, 25, LEAF_ENTRIES_MAX];

/// The entries of one prefix. Just one cache line, which tells where among the entries a key can lie.
#[derive(Debug)]
#[repr(align(64))]
pub struct Leaf {
    /// A byte of the hash of each entry, at the entry's position.
    tags: [u8; LEAF_ENTRIES_MAX],
    /// More than there are tags only where the hash is broken, so that splitting does not help.
    entries: Vec<Entry>,
    /// Bits of positions whose tag is not known: an entry came there that had none.
    wild: u32,
    /// Bits of the hash that all entries share with the leaf's place in the directory.
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

    /// All entries, in no order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// An entry, to be changed; its key must stay.
    pub fn entry_mut(&mut self, position: usize) -> Option<&mut Entry> {
        self.entries.get_mut(position)
    }

    /// The entry of a key.
    #[inline]
    pub fn get(&self, hash: u64, key: &[u8]) -> Option<&Entry> {
        self.entries.get(self.find(hash, key)?)
    }

    /// The first entry that may have that hash.
    #[inline]
    pub fn likely(&self, hash: u64) -> Option<&Entry> {
        self.entries
            .get(self.candidates(hash).trailing_zeros() as usize)
    }

    /// Where the entry of a key lies.
    #[inline]
    pub fn find(&self, hash: u64, key: &[u8]) -> Option<usize> {
        let mut candidates = self.candidates(hash);
        while candidates != 0 {
            let position = candidates.trailing_zeros() as usize;
            // None: what follows are tags of entries that are gone.
            if self.entries.get(position)?.key() == key {
                return Some(position);
            }
            candidates &= candidates - 1;
        }
        let mut untagged = self.entries.get(LEAF_ENTRIES_MAX..)?.iter();
        Some(LEAF_ENTRIES_MAX + untagged.position(|entry| entry.key() == key)?)
    }

    /// A bit for each position whose entry may have that hash; beyond the last entry they mean nothing.
    #[inline]
    fn candidates(&self, hash: u64) -> u32 {
        let tag = tag(hash);
        // Without branches, which the compiler turns into a few vector instructions.
        let mut candidates = self.wild;
        for (position, &other) in self.tags.iter().enumerate() {
            candidates |= u32::from(other == tag) << position;
        }
        candidates
    }

    /// Adds the entry of a key that is not there yet.
    pub fn push(&mut self, hash: u64, entry: Entry) {
        let len = self.entries.len();
        if len == self.entries.capacity() {
            self.entries.reserve_exact(room_for(len + 1) - len);
        }
        if let Some(place) = self.tags.get_mut(len) {
            *place = tag(hash);
            self.wild &= !(1 << len);
        }
        self.entries.push(entry);
    }

    /// Takes the room that so many entries need, where it is known before they come.
    pub fn reserve(&mut self, entries: usize) {
        self.entries.reserve_exact(room_for(entries));
    }

    /// Takes out the entry at a position; the last one moves there. Gives back room once it is twice what is needed.
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

    /// All entries, out of their leaf.
    pub fn into_entries(self) -> Vec<Entry> {
        self.entries
    }

    /// DRAM outside the leaf itself, without keys that do not fit their entries.
    pub fn memory_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>()
    }
}

/// The room to take for so many entries.
fn room_for(entries: usize) -> usize {
    let mut steps = CAPACITIES.into_iter();
    steps
        .find(|&capacity| capacity >= entries)
        .unwrap_or_else(|| entries.next_multiple_of(LEAF_ENTRIES_MAX))
}

/// The bits of a hash that have no part in choosing the leaf.
#[inline]
fn tag(hash: u64) -> u8 {
    (hash & 0xff) as u8
}
