//! The index of one generation's keys within one shard.
//!
//! An entry holds no key: it keeps some bits of the key's hash and says where the record lies, which holds the key. So a
//! look-up reads one record, the one that the command needs anyway. What finds an entry again after its record was
//! replaced goes by the place that the entry names ([`Located`]), and reads nothing.
//!
//! It is an extendible hash table: a directory of small hash tables (leaves), one for each prefix of the hash. A full
//! leaf splits in two, so that growth never moves more than a few hundred entries at once. The leaves in the order of
//! their prefixes give the keys in hash order, so SCAN's cursor needs no state.

mod beside;
mod bounds;
mod entry;
mod kept;
mod leaf;
mod leaves;
mod names;
mod outliving;
mod replace;
mod sample;
#[cfg(test)]
mod tests;
mod walk;

pub use entry::Entry;
pub use kept::LAYOUT;
pub use names::{Found, IndexKey, Likely, Located, Named, Names, Naming, OnName, Seat};
pub use replace::Replacement;

use super::{Cursor, Kind, Millis};
use beside::Beside;
use bounds::Bounds;
use entry::{Bits, HASH_BITS, NEVER};
use leaf::{LEAF_ENTRIES_MAX, Leaf};
use leaves::Leaves;
use store::prefetch;
use store::{Location, StoreError};

/// Average entries per leaf, if the number of leaves is chosen from the number of keys. Few leaves split then.
const LEAF_ENTRIES_USUAL: usize = 12;

/// If the directory has this many prefixes for each leaf, it does not double. A good hash needs fewer than 16.
const DIRECTORY_PER_LEAF: usize = 64;

/// Places that the directory may have even with few leaves.
const DIRECTORY_SPARE: usize = 256;

/// A key that an index does not have yet.
#[derive(Clone, Copy, Debug)]
pub struct NewEntry<'k> {
    /// The key.
    pub key: &'k [u8],
    /// The value's type.
    pub kind: Kind,
    /// The location of the record.
    pub location: Location,
    /// The deadline.
    pub expires_at: Option<Millis>,
    /// From [`Clock::first`](super::clock::Clock::first), or an element's ordinal.
    pub access: u32,
}

/// How many bits a prefix has in an index for about this many keys.
fn depth_for(keys: usize) -> u32 {
    (keys / LEAF_ENTRIES_USUAL).max(1).ilog2().min(24)
}

/// The keys of one generation within one shard.
#[derive(Debug)]
pub struct Index {
    /// How many top bits of the hash choose the shard.
    skip_bits: u32,
    /// How many bits of the hash a prefix has.
    depth: u32,
    /// The number of the leaf for each prefix.
    directory: Vec<u32>,
    leaves: Leaves,
    /// Lower bounds of the leaves' deadlines. Apart from the leaves, because a frequent search reads only these.
    bounds: Bounds,
    len: usize,
    expiring: usize,
    /// The names, if the records cannot be found without them.
    beside: Option<Box<Beside>>,
}

impl Index {
    /// An empty index of a shard that the top `skip_bits` bits of the hash select.
    pub fn new(skip_bits: u32, naming: Naming) -> Self {
        Self {
            skip_bits,
            depth: 0,
            directory: vec![0],
            leaves: Leaves::own(vec![Leaf::new(0)]),
            bounds: Bounds::never(1),
            len: 0,
            expiring: 0,
            beside: (naming == Naming::Beside).then(Box::default),
        }
    }

    /// An empty index with enough leaves for about this many keys, so that adding them splits no leaf.
    pub fn with_leaves_for(skip_bits: u32, naming: Naming, keys: usize) -> Self {
        let depth = depth_for(keys);
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
            bounds: Bounds::never(leaves.len()),
            leaves: Leaves::own(leaves),
            ..Self::new(skip_bits, naming)
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
    #[inline]
    pub fn get<'a>(
        &'a self,
        hash: u64,
        key: &'a [u8],
        names: &dyn Names,
    ) -> Result<Option<Found<'a>>, StoreError> {
        let number = self.leaf_number(hash);
        for (position, entry) in self.leaves.alike(number, hash, self.hash_bits(hash)) {
            let seat = Seat::new(number, position);
            if let Some(found) = self.found((entry, seat), key, names)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// As [`get`](Self::get), for a key that was fetched before: where it most likely is.
    #[inline]
    pub fn get_likely<'a>(
        &'a self,
        hash: u64,
        key: &'a [u8],
        names: &dyn Names,
        likely: Option<Likely<'a>>,
    ) -> Result<Option<Found<'a>>, StoreError> {
        if let Some(Likely { entry, seat }) = likely
            && entry.hash_bits() == self.hash_bits(hash)
            && let Some(found) = self.found((entry, seat), key, names)?
        {
            return Ok(Some(found));
        }
        self.get(hash, key, names)
    }

    /// The entry that most likely is the one with this hash, with the location of its record: the only one of which the bits
    /// fit, or the first. Only the record tells whether it has the key. `likely` is where it most likely is, if that was fetched
    /// before.
    #[inline]
    pub fn guess<'a>(
        &'a self,
        hash: u64,
        likely: Option<Likely<'a>>,
    ) -> Option<(Entry<'a>, Location)> {
        let entry = match likely {
            Some(likely) if likely.entry.hash_bits() == self.hash_bits(hash) => likely.entry,
            _ => self.alike(hash).next()?.1,
        };
        Some((entry, self.location(entry)))
    }

    /// As [`guess`](Self::guess), with what a look-up tells if the record has the key, but for the deadline.
    #[inline]
    pub fn guess_located(&self, hash: u64) -> Option<Located> {
        let number = self.leaf_number(hash);
        let mut alike = self.leaves.alike(number, hash, self.hash_bits(hash));
        let (position, entry) = alike.next()?;
        Some(Located {
            location: self.location(entry),
            kind: entry.stored_kind(),
            expires_at: None,
            seat: Seat::new(number, position),
        })
    }

    /// What a look-up tells of the key with this hash whose record lies at `location`. `None` if there is no such entry, or if
    /// the key has a deadline: that stands in the record.
    #[inline]
    pub fn located_at(&self, hash: u64, location: Location) -> Option<Located> {
        let number = self.leaf_number(hash);
        let mut alike = self.leaves.alike(number, hash, self.hash_bits(hash));
        let (position, entry) = alike.find(|&(_, entry)| self.location(entry) == location)?;
        (!entry.has_deadline()).then(|| Located {
            location,
            kind: entry.stored_kind(),
            expires_at: None,
            seat: Seat::new(number, position),
        })
    }

    /// The entry of the key with this hash whose record lies at `location`. `None` if there is no such entry, or if the key has
    /// a deadline.
    #[inline]
    pub fn entry_at(&self, hash: u64, location: Location) -> Option<Entry<'_>> {
        let mut alike = self.alike(hash);
        let (_, entry) = alike.find(|&(_, entry)| self.location(entry) == location)?;
        (!entry.has_deadline()).then_some(entry)
    }

    /// Where a name is that the index is known to have, without a look at its record; `None` if other entries are like it.
    #[inline]
    pub fn only_one_alike(&self, hash: u64) -> Option<Located> {
        let located = self.guess_located(hash)?;
        (self.alike(hash).count() == 1).then_some(located)
    }

    /// The entry that a look-up has found.
    #[inline]
    pub fn at(&self, hash: u64, key: &[u8], located: Located) -> Option<Entry<'_>> {
        let (number, position) = self.position(hash, key, located)?;
        self.leaves.entries(number).get(position).map(Entry)
    }

    /// Fetches the leaf of a hash into the processor's cache.
    #[inline]
    pub fn prefetch_leaf(&self, hash: u64) {
        self.leaves.prefetch(self.leaf_number(hash));
    }

    /// Fetches the entry that most likely has this hash into the processor's cache, or the place that a new one will get. Returns
    /// the entry.
    #[inline]
    pub fn prefetch_entry(&self, hash: u64) -> Option<Likely<'_>> {
        let number = self.leaf_number(hash);
        let Some((position, entry)) = self.leaves.likely(number, hash) else {
            prefetch(self.leaves.entries(number).as_ptr_range().end);
            return None;
        };
        prefetch(entry.0);
        Some(Likely {
            entry,
            seat: Seat::new(number, position),
        })
    }

    /// Fetches what the removal of the entry uses that most likely has this hash: the entry, and the last one of its leaf, which
    /// takes its place.
    #[inline]
    pub fn prefetch_removal(&self, hash: u64) {
        self.prefetch_entry(hash);
        if let Some(last) = self.leaves.entries(self.leaf_number(hash)).last() {
            prefetch(last);
        }
    }

    /// The location of an entry's record.
    #[inline]
    pub fn location(&self, entry: Entry<'_>) -> Location {
        match &self.beside {
            None => entry.place(),
            Some(beside) => beside.get(entry.place()).location,
        }
    }

    /// Adds the entry of a key that the index does not have.
    pub fn insert(&mut self, hash: u64, new: NewEntry<'_>) -> Located {
        let NewEntry {
            key,
            kind,
            location,
            expires_at,
            access,
        } = new;
        let place = match &mut self.beside {
            None => location,
            Some(beside) => beside.add(key, location, expires_at),
        };
        let hash_bits = self.hash_bits(hash);
        let entry = Bits::new(place, hash_bits, kind, expires_at.is_some(), access);
        self.len += 1;
        self.expiring += usize::from(expires_at.is_some());
        let mut at = self.leaf_number(hash);
        while self.leaves.entries(at).len() >= LEAF_ENTRIES_MAX && self.can_split(at) {
            self.split(at, hash);
            at = self.leaf_number(hash);
        }
        self.note_deadline(at, expires_at);
        let seat = Seat::new(at, self.leaves.entries(at).len());
        self.leaves.push(at, hash, entry);
        Located {
            location,
            kind,
            expires_at,
            seat,
        }
    }

    /// Removes a key that a look-up has found; returns whether it was there.
    pub fn remove(&mut self, hash: u64, key: &[u8], old: Located, names: &dyn Names) -> bool {
        let Some((number, position)) = self.position(hash, key, old) else {
            return false;
        };
        let place = self.take_entry(number, position).place;
        if self.len == 0 {
            self.clear();
            return true;
        }
        if let Some(beside) = &mut self.beside {
            beside.remove(place);
            let last = beside.next();
            if place != last {
                let hash = names.hash(&beside.get(place).key);
                self.renumber(hash, last, place);
            }
        }
        true
    }

    /// Gives the entry of a name with this hash the number that the name has now.
    fn renumber(&mut self, hash: u64, from: Location, to: Location) {
        let hash_bits = self.hash_bits(hash);
        let number = self.leaf_number(hash);
        let mut alike = self.leaves.alike(number, hash, hash_bits);
        if let Some((position, _)) = alike.find(|(_, entry)| entry.place() == from) {
            self.leaves.change((number, position), from, |entry| Bits {
                place: to,
                ..entry
            });
        }
    }

    /// Removes up to `count` entries, from the last leaf on. Returns the locations of their records, and their names where
    /// the index keeps them.
    pub fn take(&mut self, count: usize) -> Vec<(IndexKey, Location)> {
        if let Leaves::Kept(_) = self.leaves
            && count >= self.len
        {
            // What lies in the arena stays: the next process may find that the flush has not happened.
            let all = self.iter().map(|entry| (IndexKey::new(), entry.place()));
            let all = all.collect();
            (self.len, self.expiring) = (0, 0);
            return all;
        }
        let mut taken = Vec::with_capacity(count.min(self.len));
        while taken.len() < count {
            let Some(last) = self.leaves.len().checked_sub(1) else {
                break;
            };
            let Some(position) = self.leaves.entries(last).len().checked_sub(1) else {
                // The directory still refers to the leaf, but no command searches an index that is being emptied.
                self.leaves.pop();
                self.bounds.pop();
                continue;
            };
            let place = self.take_entry(last, position).place;
            taken.push(match &mut self.beside {
                None => (IndexKey::new(), place),
                Some(beside) => {
                    let kept = beside.take(place);
                    (kept.key, kept.location)
                }
            });
        }
        if self.len == 0 {
            self.clear();
        }
        taken
    }

    /// Takes an entry out of its leaf.
    fn take_entry(&mut self, number: usize, position: usize) -> Bits {
        let entry = self.leaves.take(number, position);
        self.len -= 1;
        self.expiring -= usize::from(entry.has_deadline());
        entry
    }

    /// Frees all leaves. They are never merged, so an empty index is the one moment to do so.
    fn clear(&mut self) {
        let mut empty = Self::new(self.skip_bits, self.naming());
        if let Leaves::Kept(kept) = &mut self.leaves {
            kept.clear();
            std::mem::swap(&mut empty.leaves, &mut self.leaves);
        }
        *self = empty;
    }

    /// Where the index finds the names of its entries.
    pub fn naming(&self) -> Naming {
        match self.beside {
            None => Naming::InRecords,
            Some(_) => Naming::Beside,
        }
    }

    /// Whether [`expired`](Self::expired) might find anything.
    pub fn may_have_expired(&self, now: Millis) -> bool {
        self.expiring > 0 && self.bounds.all() <= now
    }

    /// A lower bound of all deadlines; `None` where no entry has one.
    pub fn first_expiry(&self) -> Option<Millis> {
        (self.expiring > 0).then(|| self.bounds.all())
    }

    /// DRAM that the index occupies, bytes. Computed from capacities, without the allocator's rounding.
    pub fn memory_bytes(&self) -> usize {
        self.leaves.memory_bytes()
            + self
                .beside
                .as_ref()
                .map_or(0, |beside| beside.memory_bytes())
            + self.bounds.memory_bytes()
            + self.directory.capacity() * size_of::<u32>()
            + size_of::<Self>()
    }

    /// The numbers of an entry's leaf and of its position there. It reads no record: the place is the key's alone, or the
    /// key is kept here.
    #[inline]
    fn position(&self, hash: u64, key: &[u8], located: Located) -> Option<(usize, usize)> {
        let is_it = |entry: Entry<'_>| match &self.beside {
            None => entry.place() == located.location,
            Some(beside) => beside.get(entry.place()).key.as_slice() == key,
        };
        let (number, position) = located.seat.numbers();
        if number < self.leaves.len()
            && let Some(words) = self.leaves.entries(number).get(position)
            && is_it(Entry(words))
        {
            return Some((number, position));
        }
        let number = self.leaf_number(hash);
        let mut alike = self.leaves.alike(number, hash, self.hash_bits(hash));
        let (position, _) = alike.find(|&(_, entry)| is_it(entry))?;
        Some((number, position))
    }

    fn note_deadline(&mut self, number: usize, expires_at: Option<Millis>) {
        if let Some(expires_at) = expires_at {
            self.bounds.note(number, expires_at);
        }
    }

    /// The entries that may have this hash, and their positions in their leaf.
    #[inline]
    fn alike(&self, hash: u64) -> leaf::Alike<'_> {
        let number = self.leaf_number(hash);
        self.leaves.alike(number, hash, self.hash_bits(hash))
    }

    fn leaf_number(&self, hash: u64) -> usize {
        self.directory[self.prefix(hash)] as usize
    }

    /// The bits of a hash that an entry keeps.
    #[inline]
    #[allow(clippy::cast_possible_truncation)] // HASH_BITS bits remain.
    fn hash_bits(&self, hash: u64) -> u32 {
        ((hash << self.skip_bits) >> (64 - HASH_BITS)) as u32
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
    fn span(&self, leaf: usize) -> usize {
        1 << (self.depth - self.leaves.depth(leaf))
    }

    fn can_split(&self, number: usize) -> bool {
        let depth = self.leaves.depth(number);
        // If splitting cannot separate the keys, the leaf grows and the directory must not.
        let directory_may_double = self.directory.len() < DIRECTORY_SPARE
            || self.directory.len() / DIRECTORY_PER_LEAF < self.leaves.len();
        (depth < self.depth || directory_may_double)
            // A cursor must be able to name the hash at which a leaf begins, and the entries must keep the next bit.
            && depth + self.skip_bits < Cursor::BITS
            && depth < HASH_BITS
            && self.leaves.len() < u32::MAX as usize
    }

    /// Splits a leaf that holds `hash`, by the next bit of the hash.
    fn split(&mut self, number: usize, hash: u64) {
        let depth = self.leaves.depth(number) + 1;
        if depth > self.depth {
            self.directory = self
                .directory
                .iter()
                .flat_map(|&leaf| [leaf, leaf])
                .collect();
            self.depth += 1;
        }
        #[allow(clippy::cast_possible_truncation)] // can_split checked it.
        let added = self.leaves.len() as u32;
        self.leaves.split(number, 1 << (HASH_BITS - depth));
        // The deadlines stand in the records. The old leaf's bound holds for both halves, if they have any deadline.
        let first = self.bounds.leaves()[number];
        let first_of = |half: usize| {
            let expires = self.leaves.each(half).any(Entry::has_deadline);
            if expires { first } else { NEVER }
        };
        let halves = (first_of(number), first_of(added as usize));
        self.bounds.raise(number, halves.0);
        self.bounds.push(halves.1);
        // Of the prefixes that shared the old leaf, the upper half now refers to the new one.
        let prefixes = 1usize << (self.depth - depth + 1);
        let first = self.prefix(hash) & !(prefixes - 1);
        self.directory[first + prefixes / 2..first + prefixes].fill(added);
    }
}
