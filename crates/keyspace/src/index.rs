//! The index of one generation's keys within one shard.
//!
//! It is an extendible hash table: a directory of small hash tables (leaves), one for each prefix of the hash. A full
//! leaf splits in two, so that growth never moves more than a few hundred entries at once. The leaves in the order of
//! their prefixes give the keys in hash order, so SCAN's cursor needs no state.

mod entry;
mod leaf;
mod sample;
#[cfg(test)]
mod tests;

pub use entry::{Entry, IndexKey};

use smallvec::SmallVec;

use super::{Cursor, Kind, Millis};
use entry::NEVER;
use leaf::{LEAF_ENTRIES_MAX, Leaf};
use store::Location;
use store::prefetch;

/// Average entries per leaf, if the number of leaves is chosen from the number of keys. Few leaves split then.
const LEAF_ENTRIES_USUAL: usize = 12;

/// If the directory has this many prefixes for each leaf, it does not double. A good hash needs fewer than 16.
const DIRECTORY_PER_LEAF: usize = 64;

/// Places that the directory may have even with few leaves.
const DIRECTORY_SPARE: usize = 256;

/// The function that hashes a key. It stays the same for the life of a pool.
pub type HashKey<'h> = &'h dyn Fn(&[u8]) -> u64;

/// The keys of one generation within one shard.
#[derive(Debug)]
pub struct Index {
    /// How many top bits of the hash choose the shard.
    skip_bits: u32,
    /// How many bits of the hash a prefix has.
    depth: u32,
    /// The number of the leaf for each prefix.
    directory: Vec<u32>,
    leaves: Vec<Leaf>,
    /// For each leaf, a lower bound of its deadlines. Apart from the leaves, because a frequent scan reads only this.
    first_expiries: Vec<Millis>,
    len: usize,
    expiring: usize,
    /// A lower bound of all deadlines.
    first_expiry: Millis,
    /// Bytes of keys that are too long for their entries.
    long_keys_bytes: usize,
    /// Bytes that the leaves allocate outside themselves.
    outside_bytes: usize,
}

impl Index {
    /// An empty index of a shard that the top `skip_bits` bits of the hash select.
    pub fn new(skip_bits: u32) -> Self {
        Self {
            skip_bits,
            depth: 0,
            directory: vec![0],
            leaves: vec![Leaf::new(0)],
            first_expiries: vec![NEVER],
            len: 0,
            expiring: 0,
            first_expiry: NEVER,
            long_keys_bytes: 0,
            outside_bytes: 0,
        }
    }

    /// An empty index with enough leaves for about this many keys, so that adding them splits no leaf.
    pub fn with_leaves_for(skip_bits: u32, keys: usize) -> Self {
        let depth = (keys / LEAF_ENTRIES_USUAL).max(1).ilog2().min(24);
        let numbers = 0..1u32 << depth;
        let leaves: Vec<Leaf> = numbers
            .clone()
            .map(|_| {
                let mut leaf = Leaf::new(depth);
                leaf.reserve(keys >> depth);
                leaf
            })
            .collect();
        Self {
            depth,
            directory: numbers.collect(),
            outside_bytes: leaves.iter().map(Leaf::memory_bytes).sum(),
            first_expiries: vec![NEVER; leaves.len()],
            leaves,
            ..Self::new(skip_bits)
        }
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// How many keys have a deadline.
    pub fn expiring(&self) -> usize {
        self.expiring
    }

    /// The entry of `key`.
    pub fn get(&self, hash: u64, key: &[u8]) -> Option<&Entry> {
        self.leaf(hash).get(hash, key)
    }

    /// Fetches the leaf of a hash into the processor's cache.
    #[inline]
    pub fn prefetch_leaf(&self, hash: u64) {
        prefetch(self.leaf(hash));
    }

    /// Fetches the entry that most likely has this hash into the processor's cache.
    #[inline]
    pub fn prefetch_entry(&self, hash: u64) {
        if let Some(entry) = self.likely(hash) {
            prefetch(entry);
        }
    }

    /// The entry that most likely has this hash; the entry itself is not read.
    #[inline]
    pub fn likely(&self, hash: u64) -> Option<&Entry> {
        self.leaf(hash).likely(hash)
    }

    /// Adds the entry of a key that the index does not have.
    pub fn insert(&mut self, hash: u64, entry: Entry, hasher: HashKey<'_>) {
        debug_assert!(self.get(hash, entry.key()).is_none());
        self.len += 1;
        self.expiring += usize::from(entry.expires_at != NEVER);
        self.long_keys_bytes += entry.long_key_bytes();
        let mut at = self.leaf_number(hash);
        while self.leaves[at].entries().len() >= LEAF_ENTRIES_MAX && self.can_split(at) {
            self.split(at, hash, hasher);
            at = self.leaf_number(hash);
        }
        self.note_deadline(at, entry.expires_at);
        let leaf = &mut self.leaves[at];
        let before = leaf.memory_bytes();
        leaf.push(hash, entry);
        self.outside_bytes += leaf.memory_bytes() - before;
    }

    /// Records a key's new value; `None` if the index does not have the key.
    pub fn replace(
        &mut self,
        hash: u64,
        key: &[u8],
        kind: Kind,
        location: Location,
        expires_at: Option<Millis>,
    ) -> Option<&Entry> {
        let number = self.leaf_number(hash);
        let position = self.leaves[number].find(hash, key)?;
        let expires_at = expires_at.unwrap_or(NEVER);
        self.note_deadline(number, expires_at);
        let entry = self.leaves[number].entry_mut(position)?;
        self.expiring += usize::from(expires_at != NEVER);
        self.expiring -= usize::from(entry.expires_at != NEVER);
        entry.set_kind(kind);
        entry.location = location;
        entry.expires_at = expires_at;
        Some(entry)
    }

    /// Removes and returns an entry.
    pub fn remove(&mut self, hash: u64, key: &[u8]) -> Option<Entry> {
        let number = self.leaf_number(hash);
        let leaf = &mut self.leaves[number];
        let position = leaf.find(hash, key)?;
        let before = leaf.memory_bytes();
        let entry = leaf.take(position);
        self.outside_bytes -= before - leaf.memory_bytes();
        self.len -= 1;
        self.expiring -= usize::from(entry.expires_at != NEVER);
        self.long_keys_bytes -= entry.long_key_bytes();
        if self.len == 0 {
            // Leaves are never merged. An empty index is the one moment to free them all.
            *self = Self::new(self.skip_bits);
        }
        Some(entry)
    }

    /// Removes and returns up to `count` entries, from the last leaf on.
    pub fn take(&mut self, count: usize) -> Vec<Entry> {
        let mut taken = Vec::with_capacity(count.min(self.len));
        while taken.len() < count {
            let Some(leaf) = self.leaves.last_mut() else {
                break;
            };
            let Some(last) = leaf.entries().len().checked_sub(1) else {
                // The directory still refers to the leaf, but no command searches an index that is being emptied.
                self.leaves.pop();
                self.first_expiries.pop();
                continue;
            };
            let before = leaf.memory_bytes();
            let entry = leaf.take(last);
            self.outside_bytes -= before - leaf.memory_bytes();
            self.len -= 1;
            self.expiring -= usize::from(entry.expires_at != NEVER);
            self.long_keys_bytes -= entry.long_key_bytes();
            taken.push(entry);
        }
        if self.len == 0 {
            *self = Self::new(self.skip_bits);
        }
        taken
    }

    /// All entries, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.leaves.iter().flat_map(Leaf::entries)
    }

    /// Up to `limit` keys whose deadline has passed.
    pub fn expired(&mut self, now: Millis, limit: usize) -> Vec<IndexKey> {
        let mut keys = Vec::new();
        if self.first_expiry > now {
            return keys;
        }
        let mut first = NEVER;
        for (leaf, first_here) in self.leaves.iter().zip(&mut self.first_expiries) {
            if keys.len() >= limit {
                // The rest of the leaf was not checked, so the old bound stays.
                return keys;
            }
            if *first_here <= now {
                // Changes and removals can only leave the bound too early. Here it becomes exact again.
                *first_here = NEVER;
                for entry in leaf.entries() {
                    if entry.is_expired(now) && keys.len() < limit {
                        keys.push(IndexKey::from_slice(entry.key()));
                    }
                    *first_here = entry.expires_at.min(*first_here);
                }
            }
            first = first.min(*first_here);
        }
        self.first_expiry = first;
        keys
    }

    /// Whether [`expired`](Self::expired) might find anything.
    pub fn may_have_expired(&self, now: Millis) -> bool {
        self.expiring > 0 && self.first_expiry <= now
    }

    /// A lower bound of all deadlines; `None` where no entry has one.
    pub fn first_expiry(&self) -> Option<Millis> {
        (self.expiring > 0).then_some(self.first_expiry)
    }

    /// How many entries are past their deadlines.
    pub fn count_expired(&self, now: Millis) -> usize {
        if !self.may_have_expired(now) {
            return 0;
        }
        let leaves = self.leaves.iter().zip(&self.first_expiries);
        let due = leaves.filter(|&(_, &first)| first <= now);
        due.flat_map(|(leaf, _)| leaf.entries())
            .filter(|entry| entry.is_expired(now))
            .count()
    }

    /// Visits entries in hash order from `from` on, until `visit` has visited at least `count`. Returns the next
    /// cursor, or `None` at the end of the shard.
    pub fn scan(
        &self,
        from: Cursor,
        count: usize,
        hasher: HashKey<'_>,
        visit: &mut dyn FnMut(&Entry),
    ) -> Option<Cursor> {
        let mut visited = 0;
        let mut lower = from.first_hash();
        let mut prefix = self.prefix(lower);
        while prefix < self.directory.len() {
            let leaf = &self.leaves[self.directory[prefix] as usize];
            let mut sorted: Vec<(u64, &Entry)> = leaf
                .entries()
                .iter()
                .map(|entry| (hasher(entry.key()), entry))
                .filter(|&(hash, _)| hash >= lower)
                .collect();
            sorted.sort_unstable_by_key(|&(hash, _)| hash);
            let mut rest = sorted.as_slice();
            while let [(hash, entry), after @ ..] = rest {
                visit(entry);
                visited += 1;
                rest = after;
                // A page never ends between keys with the same cursor, or the next page would miss or repeat some.
                if let [(next, _), ..] = after
                    && visited >= count
                    && Cursor::at(*next) != Cursor::at(*hash)
                {
                    return Some(Cursor::at(*next));
                }
            }
            prefix = (prefix | (self.span(leaf) - 1)) + 1;
            if prefix < self.directory.len() {
                lower = self.first_hash(prefix, lower);
                if visited >= count {
                    return Some(Cursor::at(lower));
                }
            }
        }
        None
    }

    /// DRAM that the index occupies, bytes, including keys. Computed from capacities, without the allocator's
    /// rounding.
    pub fn memory_bytes(&self) -> usize {
        self.outside_bytes
            + self.long_keys_bytes
            + self.leaves.capacity() * size_of::<Leaf>()
            + self.first_expiries.capacity() * size_of::<Millis>()
            + self.directory.capacity() * size_of::<u32>()
            + size_of::<Self>()
    }

    /// Bytes of keys that are too long for their entries.
    pub fn long_keys_bytes(&self) -> usize {
        self.long_keys_bytes
    }

    fn note_deadline(&mut self, number: usize, expires_at: Millis) {
        if expires_at != NEVER {
            let first = &mut self.first_expiries[number];
            *first = expires_at.min(*first);
            self.first_expiry = expires_at.min(self.first_expiry);
        }
    }

    fn leaf(&self, hash: u64) -> &Leaf {
        &self.leaves[self.leaf_number(hash)]
    }

    fn leaf_number(&self, hash: u64) -> usize {
        self.directory[self.prefix(hash)] as usize
    }

    /// The prefix of a hash: its position in the directory.
    #[allow(clippy::cast_possible_truncation)] // `depth` bits remain, fewer than 40.
    fn prefix(&self, hash: u64) -> usize {
        if self.depth == 0 {
            return 0;
        }
        ((hash << self.skip_bits) >> (64 - self.depth)) as usize
    }

    /// The lowest hash with a prefix, in the shard of `hash`.
    fn first_hash(&self, prefix: usize, hash: u64) -> u64 {
        let shard = if self.skip_bits == 0 {
            0
        } else {
            hash >> (64 - self.skip_bits) << (64 - self.skip_bits)
        };
        shard | ((prefix as u64) << (64 - self.depth - self.skip_bits))
    }

    /// How many prefixes refer to a leaf.
    fn span(&self, leaf: &Leaf) -> usize {
        1 << (self.depth - leaf.depth)
    }

    fn can_split(&self, number: usize) -> bool {
        let depth = self.leaves[number].depth;
        // If splitting cannot separate the keys, the leaf grows and the directory must not.
        let directory_may_double = self.directory.len() < DIRECTORY_SPARE
            || self.directory.len() / DIRECTORY_PER_LEAF < self.leaves.len();
        (depth < self.depth || directory_may_double)
            // A cursor must be able to name the hash at which a leaf begins.
            && depth + self.skip_bits < Cursor::BITS
            && self.leaves.len() < u32::MAX as usize
    }

    /// Splits a leaf that holds `hash`, by the next bit of the hash.
    fn split(&mut self, number: usize, hash: u64, hasher: HashKey<'_>) {
        let depth = self.leaves[number].depth + 1;
        if depth > self.depth {
            self.directory = self
                .directory
                .iter()
                .flat_map(|&leaf| [leaf, leaf])
                .collect();
            self.depth += 1;
        }
        let old = std::mem::replace(&mut self.leaves[number], Leaf::new(depth));
        self.outside_bytes -= old.memory_bytes();
        let old = old.into_entries();
        let bit = 1u64 << (64 - self.skip_bits - depth);
        let their_hashes: SmallVec<[u64; LEAF_ENTRIES_MAX]> =
            old.iter().map(|entry| hasher(entry.key())).collect();
        let of_high = their_hashes.iter().filter(|&&hash| hash & bit != 0).count();
        let mut halves = [old.len() - of_high, of_high].map(|entries| {
            let mut half = Leaf::new(depth);
            half.reserve(entries);
            half
        });
        let mut first_expiries = [NEVER; 2];
        for (entry, hash) in old.into_iter().zip(their_hashes) {
            let half = usize::from(hash & bit != 0);
            first_expiries[half] = first_expiries[half].min(entry.expires_at);
            halves[half].push(hash, entry);
        }
        #[allow(clippy::cast_possible_truncation)] // can_split checked it.
        let added = self.leaves.len() as u32;
        if self.leaves.len() == self.leaves.capacity() {
            let more = (added as usize / 8).max(1);
            self.leaves.reserve_exact(more);
            self.first_expiries.reserve_exact(more);
        }
        let [low, high] = halves;
        self.outside_bytes += low.memory_bytes() + high.memory_bytes();
        self.leaves[number] = low;
        self.leaves.push(high);
        let [low, high] = first_expiries;
        self.first_expiries[number] = low;
        self.first_expiries.push(high);
        // Of the prefixes that shared the old leaf, the upper half now refers to the new one.
        let prefixes = 1usize << (self.depth - depth + 1);
        let first = self.prefix(hash) & !(prefixes - 1);
        self.directory[first + prefixes / 2..first + prefixes].fill(added);
    }
}
