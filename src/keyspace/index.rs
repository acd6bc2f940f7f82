//! The index of one generation's keys within one shard.
//!
//! Extendible hashing: a directory of small hash tables (leaves), each for one prefix of the hash. A leaf that is
//! full splits in two, so that growth never moves more than a few hundred entries at once, and walking the
//! leaves in the order of their prefixes is walking the keys in hash order, which gives SCAN a cursor that needs no
//! state.

use std::sync::atomic::{AtomicU32, Ordering};

use hashbrown::HashTable;
use smallvec::SmallVec;

use super::{Kind, Millis};
use crate::store::Location;

/// A leaf with this many entries splits. 7/8 of 512 buckets, hashbrown's load limit: it splits instead of growing.
const LEAF_ENTRIES_MAX: usize = 448;

/// No expiry, in an entry.
const NEVER: Millis = Millis::MAX;

/// Hashes a key; the same for the life of a pool.
pub type HashKey<'h> = &'h dyn Fn(&[u8]) -> u64;

/// A key in the index. Up to 16 bytes lie in the entry itself: no allocation, and no cache miss to compare them.
pub type IndexKey = SmallVec<[u8; 16]>;

/// What the index keeps of a key.
#[derive(Debug)]
pub struct Entry {
    /// The user's key.
    pub key: IndexKey,
    /// Where the value lies.
    pub location: Location,
    /// Its type.
    pub kind: Kind,
    expires_at: Millis,
    /// Last access, s since the Unix epoch. Atomic, so that readers together can set it.
    accessed_s: AtomicU32,
}

impl Entry {
    /// A new entry, accessed now.
    pub fn new(
        key: &[u8],
        kind: Kind,
        location: Location,
        expires_at: Option<Millis>,
        now: Millis,
    ) -> Self {
        Self {
            key: IndexKey::from_slice(key),
            location,
            kind,
            expires_at: expires_at.unwrap_or(NEVER),
            accessed_s: AtomicU32::new(seconds(now)),
        }
    }

    /// Its deadline.
    pub fn expires_at(&self) -> Option<Millis> {
        (self.expires_at != NEVER).then_some(self.expires_at)
    }

    /// Whether the deadline has come.
    pub fn is_expired(&self, now: Millis) -> bool {
        self.expires_at <= now
    }

    /// Notes an access.
    pub fn touch(&self, now: Millis) {
        let now = seconds(now);
        // A load is cheaper than a store that takes the cache line from other readers.
        if self.accessed_s.load(Ordering::Relaxed) != now {
            self.accessed_s.store(now, Ordering::Relaxed);
        }
    }

    /// Seconds since the last access.
    pub fn idle_s(&self, now: Millis) -> u64 {
        u64::from(seconds(now).saturating_sub(self.accessed_s.load(Ordering::Relaxed)))
    }
}

fn seconds(now: Millis) -> u32 {
    u32::try_from(now / 1000).unwrap_or_default()
}

#[derive(Debug, Default)]
struct Leaf {
    entries: HashTable<Entry>,
    /// Bits of the hash that all entries share with the leaf's place in the directory.
    depth: u32,
    /// Entries with a deadline.
    expiring: usize,
    /// No deadline in the leaf is earlier. `NEVER` where there is none.
    first_expiry: Millis,
}

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
    len: usize,
    expiring: usize,
    /// Bytes of keys that do not fit their entries.
    long_keys_bytes: usize,
}

impl Index {
    /// An empty index of a shard that `skip_bits` top bits of the hash select.
    pub fn new(skip_bits: u32) -> Self {
        Self {
            skip_bits,
            depth: 0,
            directory: vec![0],
            leaves: vec![Leaf {
                first_expiry: NEVER,
                ..Leaf::default()
            }],
            len: 0,
            expiring: 0,
            long_keys_bytes: 0,
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
        self.leaf(hash)
            .entries
            .find(spread(hash), |entry| *entry.key == *key)
    }

    /// Adds the entry of a key that is not there yet.
    pub fn insert(&mut self, hash: u64, entry: Entry, hasher: HashKey<'_>) {
        debug_assert!(self.get(hash, &entry.key).is_none());
        let expires_at = entry.expires_at;
        self.long_keys_bytes += long_bytes(&entry.key);
        let mut at = self.leaf_number(hash);
        while self.leaves[at].entries.len() >= LEAF_ENTRIES_MAX && self.can_split(at) {
            self.split(at, hash, hasher);
            at = self.leaf_number(hash);
        }
        let leaf = &mut self.leaves[at];
        leaf.entries
            .insert_unique(spread(hash), entry, |entry| spread(hasher(&entry.key)));
        self.len += 1;
        if expires_at != NEVER {
            leaf.expiring += 1;
            leaf.first_expiry = leaf.first_expiry.min(expires_at);
            self.expiring += 1;
        }
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
        let leaf = &mut self.leaves[number];
        let entry = leaf
            .entries
            .find_mut(spread(hash), |entry| *entry.key == *key)?;
        let expires_at = expires_at.unwrap_or(NEVER);
        let had = usize::from(entry.expires_at != NEVER);
        let has = usize::from(expires_at != NEVER);
        entry.kind = kind;
        entry.location = location;
        entry.expires_at = expires_at;
        leaf.expiring = leaf.expiring - had + has;
        leaf.first_expiry = leaf.first_expiry.min(expires_at);
        self.expiring = self.expiring - had + has;
        Some(entry)
    }

    /// Takes an entry out.
    pub fn remove(&mut self, hash: u64, key: &[u8]) -> Option<Entry> {
        let number = self.leaf_number(hash);
        let leaf = &mut self.leaves[number];
        let found = leaf
            .entries
            .find_entry(spread(hash), |entry| *entry.key == *key)
            .ok()?;
        let (entry, _) = found.remove();
        self.len -= 1;
        self.long_keys_bytes -= long_bytes(&entry.key);
        if entry.expires_at != NEVER {
            leaf.expiring -= 1;
            self.expiring -= 1;
        }
        Some(entry)
    }

    /// All entries, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.leaves.iter().flat_map(|leaf| leaf.entries.iter())
    }

    /// Up to `limit` keys whose deadline has come.
    pub fn expired(&mut self, now: Millis, limit: usize) -> Vec<IndexKey> {
        let mut keys = Vec::new();
        for leaf in &mut self.leaves {
            if leaf.first_expiry > now {
                continue;
            }
            let mut first = NEVER;
            for entry in &leaf.entries {
                if entry.is_expired(now) && keys.len() < limit {
                    keys.push(entry.key.clone());
                }
                first = first.min(entry.expires_at);
            }
            leaf.first_expiry = first;
            if keys.len() >= limit {
                break;
            }
        }
        keys
    }

    /// Whether [`expired`](Self::expired) might find anything.
    pub fn may_have_expired(&self, now: Millis) -> bool {
        self.expiring > 0 && self.leaves.iter().any(|leaf| leaf.first_expiry <= now)
    }

    /// Walks entries in hash order from hash `from` on, whole leaves at a time, until `visit` has met at least
    /// `count` of them. Returns the hash to go on from, or `None` at the end of the shard.
    pub fn scan(
        &self,
        from: u64,
        count: usize,
        hasher: HashKey<'_>,
        visit: &mut dyn FnMut(&Entry),
    ) -> Option<u64> {
        let mut met = 0;
        let mut place = self.place(from);
        let mut lower = from;
        while place < self.directory.len() {
            let leaf = &self.leaves[self.directory[place] as usize];
            let mut sorted: Vec<(u64, &Entry)> = leaf
                .entries
                .iter()
                .map(|entry| (hasher(&entry.key), entry))
                .filter(|&(hash, _)| hash >= lower)
                .collect();
            sorted.sort_unstable_by_key(|&(hash, _)| hash);
            let mut rest = sorted.as_slice();
            while let [(hash, entry), after @ ..] = rest {
                visit(entry);
                met += 1;
                rest = after;
                // Keys of equal hash are never parted: the cursor could not tell them apart.
                if met >= count && after.first().is_none_or(|(next, _)| next != hash) {
                    if let Some((next, _)) = after.first() {
                        return Some(*next);
                    }
                    break;
                }
            }
            place = (place | (self.span(leaf) - 1)) + 1;
            if place < self.directory.len() {
                lower = self.first_hash(place, from);
                if met >= count {
                    return Some(lower);
                }
            }
        }
        None
    }

    /// DRAM that the index occupies, bytes, keys included (from capacities; the allocator's own rounding is left out).
    pub fn memory_bytes(&self) -> usize {
        let buckets: usize = self
            .leaves
            .iter()
            .map(|leaf| leaf.entries.capacity() * 8 / 7)
            .sum();
        buckets * (size_of::<Entry>() + 1)
            + self.long_keys_bytes
            + self.leaves.len() * size_of::<Leaf>()
            + self.directory.len() * size_of::<u32>()
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
        // Beyond this depth the directory would outgrow the keys; the leaf's own table grows instead.
        self.leaves[number].depth + self.skip_bits < 40 && self.leaves.len() < u32::MAX as usize
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
        let old = std::mem::take(&mut self.leaves[number]);
        let bit = 1u64 << (64 - self.skip_bits - depth);
        let mut halves = [0, 1].map(|_| Leaf {
            entries: HashTable::with_capacity(LEAF_ENTRIES_MAX / 2),
            depth,
            expiring: 0,
            first_expiry: NEVER,
        });
        for entry in old.entries {
            let hash = hasher(&entry.key);
            let half = &mut halves[usize::from(hash & bit != 0)];
            if entry.expires_at != NEVER {
                half.expiring += 1;
                half.first_expiry = half.first_expiry.min(entry.expires_at);
            }
            half.entries
                .insert_unique(spread(hash), entry, |entry| spread(hasher(&entry.key)));
        }
        let [low, high] = halves;
        self.leaves[number] = low;
        #[allow(clippy::cast_possible_truncation)] // can_split checked it.
        let added = self.leaves.len() as u32;
        self.leaves.push(high);
        // Of the places that shared the old leaf, the upper half now belongs to the new one.
        let places = 1usize << (self.depth - depth + 1);
        let first = self.place(hash) & !(places - 1);
        self.directory[first + places / 2..first + places].fill(added);
    }
}

/// What a key takes outside its entry.
fn long_bytes(key: &IndexKey) -> usize {
    if key.spilled() { key.capacity() } else { 0 }
}

/// Hash for a leaf's own table. The top bits, which hashbrown compares first, are the same in a whole shard: bits
/// from the middle take their place.
fn spread(hash: u64) -> u64 {
    hash.rotate_left(32)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::hash::{BuildHasher, RandomState};

    use super::*;

    const SKIP_BITS: u32 = 8;

    /// A hash within shard 5, as all keys of one index share the shard's bits.
    fn hash(state: &RandomState, key: &[u8]) -> u64 {
        (state.hash_one(key) >> SKIP_BITS) | (5 << (64 - SKIP_BITS))
    }

    fn filled(keys: u32) -> (Index, RandomState) {
        let state = RandomState::new();
        let mut index = Index::new(SKIP_BITS);
        for n in 0..keys {
            let key = n.to_be_bytes();
            let expires_at = (n % 3 == 0).then_some(Millis::from(n));
            let entry = Entry::new(&key, Kind::String, Location(n.into()), expires_at, 0);
            index.insert(hash(&state, &key), entry, &|key| hash(&state, key));
        }
        (index, state)
    }

    #[test]
    fn keeps_what_it_is_given_across_splits() {
        let (mut index, state) = filled(20_000);
        assert_eq!((index.len(), index.expiring()), (20_000, 6_667));
        for n in 0..20_000u32 {
            let key = n.to_be_bytes();
            let entry = index.get(hash(&state, &key), &key).expect("inserted");
            assert_eq!(entry.location, Location(n.into()));
        }
        for n in 0..20_000u32 {
            let key = n.to_be_bytes();
            assert!(index.remove(hash(&state, &key), &key).is_some());
        }
        assert_eq!((index.len(), index.expiring()), (0, 0));
    }

    #[test]
    fn scan_meets_each_key_once_in_hash_order() {
        for (keys, count) in [
            (0, 10),
            (1, 10),
            (447, 1),
            (449, 10),
            (9_000, 10),
            (9_000, 5_000),
        ] {
            let (index, state) = filled(keys);
            let hasher = |key: &[u8]| hash(&state, key);
            let mut met = BTreeMap::new();
            let mut last = 0;
            let mut from = Some(5 << (64 - SKIP_BITS));
            let mut steps = 0;
            while let Some(cursor) = from {
                let mut here = 0;
                from = index.scan(cursor, count, &hasher, &mut |entry| {
                    let hash = hasher(&entry.key);
                    assert!(hash >= last && hash >= cursor);
                    last = hash;
                    *met.entry(entry.key.clone()).or_insert(0) += 1;
                    here += 1;
                });
                assert!(here <= count + 8, "one step met {here} of {count} wanted");
                steps += 1;
                assert!(steps <= 20_000);
            }
            assert_eq!(met.len(), keys as usize);
            assert!(met.values().all(|&times| times == 1));
        }
    }

    #[test]
    fn expired_finds_what_is_due_and_no_more() {
        let (mut index, state) = filled(3_000);
        assert!(!index.may_have_expired(-1));
        assert!(index.expired(-1, 10).is_empty());
        let mut due = 0;
        loop {
            let keys = index.expired(1_499, 100);
            if keys.is_empty() {
                break;
            }
            for key in keys {
                let entry = index.remove(hash(&state, &key), &key).expect("there");
                assert!(entry.is_expired(1_499));
                due += 1;
            }
        }
        assert_eq!(due, 500);
        assert!(!index.may_have_expired(1_499));
    }

    #[test]
    fn replace_keeps_the_count_of_deadlines() {
        let (mut index, state) = filled(10);
        let replace = |index: &mut Index, key: &[u8], expires_at| {
            let hash = hash(&state, key);
            let replaced = index.replace(hash, key, Kind::String, Location(9), expires_at);
            replaced.is_some()
        };
        let key = 0u32.to_be_bytes();
        assert!(replace(&mut index, &key, None));
        assert_eq!(index.expiring(), 3);
        assert!(replace(&mut index, &key, Some(5)));
        assert_eq!(index.expiring(), 4);
        assert!(!replace(&mut index, b"no", None));
    }
}
