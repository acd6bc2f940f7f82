//! The index of one generation's keys within one shard.
//!
//! Extendible hashing: a directory of small hash tables (leaves), each for one prefix of the hash. A leaf that is
//! full splits in two, so that growth never moves more than a few hundred entries at once, and walking the
//! leaves in the order of their prefixes is walking the keys in hash order, which gives SCAN a cursor that needs no
//! state.

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

/// Entries that leaves hold on average when their number follows from that of the keys: few of them split then.
const LEAF_ENTRIES_USUAL: usize = 12;

/// Places of the directory for each leaf, beyond which it does not double. A good hash needs fewer than 16.
const DIRECTORY_PER_LEAF: usize = 64;

/// Places that a directory of few leaves may have nevertheless.
const DIRECTORY_SPARE: usize = 256;

/// Hashes a key; the same for the life of a pool.
pub type HashKey<'h> = &'h dyn Fn(&[u8]) -> u64;

/// The keys of one generation within one shard.
#[derive(Debug)]
pub struct Index {
    /// How many top bits of the hash the shard itself stands for.
    skip_bits: u32,
    /// Bits that number the directory.
    depth: u32,
    /// Leaf of each prefix.
    directory: Vec<u32>,
    leaves: Vec<Leaf>,
    /// For each leaf: no deadline in it is earlier. Beside the leaves, since it is walked alone, and often.
    first_expiries: Vec<Millis>,
    len: usize,
    expiring: usize,
    /// No deadline in any leaf is earlier.
    first_expiry: Millis,
    /// Bytes of keys that do not fit their entries.
    long_keys_bytes: usize,
    /// Bytes that the leaves take outside themselves.
    outside_bytes: usize,
}

impl Index {
    /// An empty index of a shard that `skip_bits` top bits of the hash select.
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

    /// An empty index with leaves for about so many keys, so that they come without splitting any.
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

    /// Has the leaf of a hash fetched into the processor's cache.
    #[inline]
    pub fn prefetch_leaf(&self, hash: u64) {
        prefetch(self.leaf(hash));
    }

    /// Has the entry that a hash most likely belongs to fetched into the processor's cache.
    #[inline]
    pub fn prefetch_entry(&self, hash: u64) {
        if let Some(entry) = self.likely(hash) {
            prefetch(entry);
        }
    }

    /// The entry that a hash most likely belongs to, without a look at it.
    #[inline]
    pub fn likely(&self, hash: u64) -> Option<&Entry> {
        self.leaf(hash).likely(hash)
    }

    /// Adds the entry of a key that is not there yet.
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

    /// Notes that a present key has a new value; `None` where the key is not there.
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

    /// Takes an entry out.
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
            // Leaves are not merged. This is the one moment at which they can all go.
            *self = Self::new(self.skip_bits);
        }
        Some(entry)
    }

    /// Takes up to `count` entries out, from the last leaf on.
    pub fn take(&mut self, count: usize) -> Vec<Entry> {
        let mut taken = Vec::with_capacity(count.min(self.len));
        while taken.len() < count {
            let Some(leaf) = self.leaves.last_mut() else {
                break;
            };
            let Some(last) = leaf.entries().len().checked_sub(1) else {
                // The directory still names it; but an index that is being emptied is not searched again.
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

    /// All entries, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.leaves.iter().flat_map(Leaf::entries)
    }

    /// Up to `limit` keys whose deadline has come.
    pub fn expired(&mut self, now: Millis, limit: usize) -> Vec<IndexKey> {
        let mut keys = Vec::new();
        if self.first_expiry > now {
            return keys;
        }
        let mut first = NEVER;
        for (leaf, first_here) in self.leaves.iter().zip(&mut self.first_expiries) {
            if keys.len() >= limit {
                // What is left has not been looked at: the old bound stays.
                return keys;
            }
            if *first_here <= now {
                // Changes and removals only ever leave the bound too early. Here it becomes exact again.
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

    /// Walks entries in hash order from `from` on until `visit` has met at least `count` of them. Returns the cursor to
    /// go on from, or `None` at the end of the shard.
    pub fn scan(
        &self,
        from: Cursor,
        count: usize,
        hasher: HashKey<'_>,
        visit: &mut dyn FnMut(&Entry),
    ) -> Option<Cursor> {
        let mut met = 0;
        let mut lower = from.first_hash();
        let mut place = self.place(lower);
        while place < self.directory.len() {
            let leaf = &self.leaves[self.directory[place] as usize];
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
                met += 1;
                rest = after;
                // A page never ends between keys that share a cursor: the next page would miss or repeat some.
                if let [(next, _), ..] = after
                    && met >= count
                    && Cursor::at(*next) != Cursor::at(*hash)
                {
                    return Some(Cursor::at(*next));
                }
            }
            place = (place | (self.span(leaf) - 1)) + 1;
            if place < self.directory.len() {
                lower = self.first_hash(place, lower);
                if met >= count {
                    return Some(Cursor::at(lower));
                }
            }
        }
        None
    }

    /// DRAM that the index occupies, bytes, keys included (from capacities; the allocator's own rounding is left out).
    pub fn memory_bytes(&self) -> usize {
        self.outside_bytes
            + self.long_keys_bytes
            + self.leaves.capacity() * size_of::<Leaf>()
            + self.first_expiries.capacity() * size_of::<Millis>()
            + self.directory.capacity() * size_of::<u32>()
            + size_of::<Self>()
    }

    /// Bytes of keys that do not fit their entries.
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
        self.directory[self.place(hash)] as usize
    }

    /// The directory's place for a hash.
    #[allow(clippy::cast_possible_truncation)] // `depth` bits remain, fewer than 40.
    fn place(&self, hash: u64) -> usize {
        if self.depth == 0 {
            return 0;
        }
        ((hash << self.skip_bits) >> (64 - self.depth)) as usize
    }

    /// The lowest hash of a directory's place, in the shard that `hash` lies in.
    fn first_hash(&self, place: usize, hash: u64) -> u64 {
        let shard = if self.skip_bits == 0 {
            0
        } else {
            hash >> (64 - self.skip_bits) << (64 - self.skip_bits)
        };
        shard | ((place as u64) << (64 - self.depth - self.skip_bits))
    }

    /// How many places of the directory share a leaf.
    fn span(&self, leaf: &Leaf) -> usize {
        1 << (self.depth - leaf.depth)
    }

    fn can_split(&self, number: usize) -> bool {
        let depth = self.leaves[number].depth;
        // Keys that splitting does not part must not make the directory outgrow them; the leaf grows instead.
        let directory_may_double = self.directory.len() < DIRECTORY_SPARE
            || self.directory.len() / DIRECTORY_PER_LEAF < self.leaves.len();
        (depth < self.depth || directory_may_double)
            // A cursor must be able to name the place where a leaf begins.
            && depth + self.skip_bits < Cursor::BITS
            && self.leaves.len() < u32::MAX as usize
    }

    /// Splits a leaf that holds `hash` by the next bit of the hash.
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
        // Of the places that shared the old leaf, the upper half now belongs to the new one.
        let places = 1usize << (self.depth - depth + 1);
        let first = self.place(hash) & !(places - 1);
        self.directory[first + places / 2..first + places].fill(added);
    }
}
