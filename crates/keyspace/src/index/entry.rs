//! The index's data for one key, in 16 bytes. The key itself and its deadline stand in its record.

use std::sync::atomic::{AtomicU64, Ordering};

use super::super::clock::{self, Clock};
use super::super::{Kind, Millis};
use store::Location;

/// The deadline of an entry that never expires.
pub(super) const NEVER: Millis = Millis::MAX;

/// How many bits of the hash an entry keeps: those behind the bits that choose the shard. Leaves split by them, so a split
/// reads no record.
pub(super) const HASH_BITS: u32 = 26;

/// The bits of `meta`: those of the hash, five of the kind's number, and whether there is a deadline.
const HASH_MASK: u32 = (1 << HASH_BITS) - 1;
const KIND_MASK: u32 = 0x1f;
const DEADLINE: u32 = 1 << 31;

/// An entry as it is kept: where the record lies (or for an index that keeps names beside its entries, the number of the name);
/// then `meta` in the upper half, and the last access in the lower one, in bits that a [`Clock`] reads. Atomic, because several
/// readers may set the access at once.
pub(super) type Words = [AtomicU64; 2];

const _: () = assert!(size_of::<Words>() == 16, "entries are the index's memory");

/// The part of the second word that is the access.
const ACCESS_MASK: u64 = u32::MAX as u64;

/// The data of an entry, apart from an index.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bits {
    pub place: Location,
    /// The second word.
    pub rest: u64,
}

impl Bits {
    /// A new entry. `hash_bits` are [`HASH_BITS`] bits of its hash; `access` is from [`Clock::first`].
    pub fn new(place: Location, hash_bits: u32, kind: Kind, expires: bool, access: u32) -> Self {
        debug_assert!(hash_bits <= HASH_MASK && u32::from(kind as u8) <= KIND_MASK);
        let meta = meta(hash_bits, kind, expires);
        Self {
            place,
            rest: u64::from(meta) << 32 | u64::from(access),
        }
    }

    /// The same entry with another type, perhaps a deadline, and the bits of another access.
    #[inline]
    pub fn changed(self, kind: Kind, expires: bool, access: u32) -> Self {
        let meta = meta(hash_bits(self.rest), kind, expires);
        Self {
            rest: u64::from(meta) << 32 | u64::from(access),
            ..self
        }
    }

    pub fn hash_bits(self) -> u32 {
        hash_bits(self.rest)
    }

    /// The bits of the last access.
    #[inline]
    #[allow(clippy::cast_possible_truncation)] // Masked.
    pub fn accessed(self) -> u32 {
        (self.rest & ACCESS_MASK) as u32
    }

    pub fn has_deadline(self) -> bool {
        self.rest >> 32 & u64::from(DEADLINE) != 0
    }

    /// The words to keep.
    pub fn words(self) -> Words {
        [AtomicU64::new(self.place.0), AtomicU64::new(self.rest)]
    }
}

/// The part of an entry's second word that only a change of the key changes.
pub(super) fn lasting(rest: u64) -> u64 {
    rest & !ACCESS_MASK
}

#[allow(clippy::cast_possible_truncation)] // The upper half remains.
fn hash_bits(rest: u64) -> u32 {
    (rest >> 32) as u32 & HASH_MASK
}

/// The index's data for a key.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a>(pub(super) &'a Words);

impl Entry<'_> {
    /// Where the record lies, or the number of the name.
    #[inline]
    pub(super) fn place(self) -> Location {
        Location(self.0[0].load(Ordering::Relaxed))
    }

    #[inline]
    fn rest(self) -> u64 {
        self.0[1].load(Ordering::Relaxed)
    }

    #[inline]
    #[allow(clippy::cast_possible_truncation)] // The upper half remains.
    fn meta(self) -> u32 {
        (self.rest() >> 32) as u32
    }

    /// A copy of the data.
    pub(super) fn bits(self) -> Bits {
        Bits {
            place: self.place(),
            rest: self.rest(),
        }
    }

    /// The bits of the hash.
    #[inline]
    pub(super) fn hash_bits(self) -> u32 {
        self.meta() & HASH_MASK
    }

    /// The value's type, as clients see it.
    #[inline]
    pub fn kind(self) -> Kind {
        self.stored_kind().plain()
    }

    /// The kind of the value's record: it tells a compact collection from one with elements.
    #[inline]
    #[allow(clippy::cast_possible_truncation)] // Masked.
    pub fn stored_kind(self) -> Kind {
        // Only a kind's own number was ever stored.
        Kind::from_number((self.meta() >> HASH_BITS & KIND_MASK) as u8).unwrap_or(Kind::String)
    }

    /// Whether the key has a deadline.
    #[inline]
    pub fn has_deadline(self) -> bool {
        self.meta() & DEADLINE != 0
    }

    /// Records an access.
    #[inline]
    pub fn touch(self, now: Millis, clock: Clock) {
        let before = self.accessed();
        let after = clock.used(before, now);
        // Check first: a load is cheaper than a store, which takes the cache line from other readers.
        if before != after {
            self.set_accessed(after);
        }
    }

    /// Sets the bits of the last access. Only the owner of the key's lock for writing changes the word's upper half.
    #[inline]
    pub fn set_accessed(self, bits: u32) {
        let rest = lasting(self.rest()) | u64::from(bits);
        self.0[1].store(rest, Ordering::Relaxed);
    }

    /// For a collection's element: its number in the order in which elements were added. Elements record no accesses.
    pub fn ordinal(self) -> u32 {
        self.accessed()
    }

    /// Gives a collection's element another [`ordinal`](Self::ordinal).
    pub fn set_ordinal(self, ordinal: u32) {
        self.set_accessed(ordinal);
    }

    /// The bits of the last access.
    #[inline]
    #[allow(clippy::cast_possible_truncation)] // Masked.
    pub fn accessed(self) -> u32 {
        (self.rest() & ACCESS_MASK) as u32
    }

    /// Seconds since the last access, for a clock that records seconds.
    pub fn idle_s(self, now: Millis) -> u64 {
        clock::idle_s(self.accessed(), now)
    }
}

fn meta(hash_bits: u32, kind: Kind, expires: bool) -> u32 {
    let deadline = if expires { DEADLINE } else { 0 };
    hash_bits | u32::from(kind as u8) << HASH_BITS | deadline
}
