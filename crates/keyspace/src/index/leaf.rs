//! The entries that share one prefix of the hash. A look-up compares one byte of each key's hash, then the bits that the
//! entry keeps.

use store::equal_bytes;

use super::entry::Entry;

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

    /// An entry, mutable; the caller must not change its hash.
    pub fn entry_mut(&mut self, position: usize) -> Option<&mut Entry> {
        self.entries.get_mut(position)
    }

    /// The first entry that may have this hash.
    #[inline]
    pub fn likely(&self, hash: u64) -> Option<&Entry> {
        self.entries
            .get(self.candidates(hash).trailing_zeros() as usize)
    }

    /// The entries that may have this hash, of which the entries keep `hash_bits`; and their positions.
    #[inline]
    pub fn alike(&self, hash: u64, hash_bits: u32) -> impl Iterator<Item = (usize, &Entry)> {
        let mut candidates = self.candidates(hash);
        let tagged = std::iter::from_fn(move || {
            if candidates == 0 {
                return None;
            }
            let position = candidates.trailing_zeros() as usize;
            candidates &= candidates - 1;
            // No entry here: the tags beyond belong to removed entries.
            Some((position, self.entries.get(position)?))
        });
        let untagged = self.entries.get(LEAF_ENTRIES_MAX..).unwrap_or_default();
        tagged
            .chain((LEAF_ENTRIES_MAX..).zip(untagged))
            .filter(move |(_, entry)| entry.hash_bits() == hash_bits)
    }

    /// A bit for each position whose entry may have this hash. Bits beyond the last entry mean nothing.
    #[inline]
    fn candidates(&self, hash: u64) -> u32 {
        self.wild | equal_bytes(&self.tags, tag(hash))
    }

    /// The tag of the entry at a position; `None` if it is unknown.
    fn tag_at(&self, position: usize) -> Option<u8> {
        let known = position < LEAF_ENTRIES_MAX && self.wild >> position & 1 == 0;
        known.then(|| self.tags[position])
    }

    /// Adds the entry of a key that the leaf does not have.
    pub fn push(&mut self, hash: u64, entry: Entry) {
        self.push_tagged(Some(tag(hash)), entry);
    }

    fn push_tagged(&mut self, tag: Option<u8>, entry: Entry) {
        let len = self.entries.len();
        if len == self.entries.capacity() {
            self.entries.reserve_exact(room_for(len + 1) - len);
        }
        if len < LEAF_ENTRIES_MAX {
            self.tags[len] = tag.unwrap_or_default();
            self.wild = self.wild & !(1 << len) | u32::from(tag.is_none()) << len;
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
            let tag = self.tag_at(last);
            self.tags[position] = tag.unwrap_or_default();
            self.wild = self.wild & !(1 << position) | u32::from(tag.is_none()) << position;
        }
        if self.entries.capacity() >= 2 * room_for(last) {
            self.entries.shrink_to(room_for(last));
        }
        entry
    }

    /// Divides the leaf by the bit `bit` of the bits that the entries keep: the entries without it, and those with it.
    pub fn split(mut self, bit: u32) -> [Self; 2] {
        let entries = std::mem::take(&mut self.entries);
        let of_high = entries.iter().filter(|entry| entry.hash_bits() & bit != 0);
        let of_high = of_high.count();
        let mut halves = [entries.len() - of_high, of_high].map(|entries| {
            let mut half = Leaf::new(self.depth + 1);
            half.reserve(entries);
            half
        });
        for (position, entry) in entries.into_iter().enumerate() {
            let half = usize::from(entry.hash_bits() & bit != 0);
            halves[half].push_tagged(self.tag_at(position), entry);
        }
        halves
    }

    /// DRAM outside the leaf itself.
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

/// Bits of a hash that neither choose the leaf nor stand in the entry.
#[inline]
fn tag(hash: u64) -> u8 {
    (hash & 0xff) as u8
}
