//! The index's data for one key, in 16 bytes. The key itself and its deadline stand in its record.

use std::sync::atomic::{AtomicU32, Ordering};

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

/// The index's data for a key.
#[derive(Debug)]
pub struct Entry {
    /// Where the record lies, or for an index that keeps names beside its entries, the number of the name.
    pub(super) place: Location,
    meta: u32,
    /// The last access, in bits that a [`Clock`] reads. Atomic, because several readers may set it at once.
    access: AtomicU32,
}

const _: () = assert!(size_of::<Entry>() == 16, "entries are the index's memory");

impl Entry {
    /// A new entry. `hash_bits` are [`HASH_BITS`] bits of its hash; `access` is from [`Clock::first`].
    pub(super) fn new(
        place: Location,
        hash_bits: u32,
        kind: Kind,
        expires: bool,
        access: u32,
    ) -> Self {
        debug_assert!(hash_bits <= HASH_MASK && u32::from(kind as u8) <= KIND_MASK);
        Self {
            place,
            meta: meta(hash_bits, kind, expires),
            access: AtomicU32::new(access),
        }
    }

    /// The bits of the hash.
    #[inline]
    pub(super) fn hash_bits(&self) -> u32 {
        self.meta & HASH_MASK
    }

    /// The value's type, as clients see it.
    #[inline]
    pub fn kind(&self) -> Kind {
        self.stored_kind().plain()
    }

    /// The kind of the value's record: it tells a compact collection from one with elements.
    #[inline]
    #[allow(clippy::cast_possible_truncation)] // Masked.
    pub fn stored_kind(&self) -> Kind {
        // Only a kind's own number was ever stored.
        Kind::from_number((self.meta >> HASH_BITS & KIND_MASK) as u8).unwrap_or(Kind::String)
    }

    /// Whether the key has a deadline.
    #[inline]
    pub fn has_deadline(&self) -> bool {
        self.meta & DEADLINE != 0
    }

    /// Records another type, and whether there is a deadline now.
    pub(super) fn change(&mut self, kind: Kind, expires: bool) {
        self.meta = meta(self.hash_bits(), kind, expires);
    }

    /// Records an access.
    #[inline]
    pub fn touch(&self, now: Millis, clock: Clock) {
        let before = self.access.load(Ordering::Relaxed);
        let after = clock.used(before, now);
        // Check first: a load is cheaper than a store, which takes the cache line from other readers.
        if before != after {
            self.access.store(after, Ordering::Relaxed);
        }
    }

    /// Records that the key was created anew.
    pub fn renew(&self, now: Millis, clock: Clock) {
        self.access.store(clock.first(now), Ordering::Relaxed);
    }

    /// For a collection's element: its number in the order in which elements were added. Elements record no accesses.
    pub fn ordinal(&self) -> u32 {
        self.accessed()
    }

    /// Gives a collection's element another [`ordinal`](Self::ordinal).
    pub fn set_ordinal(&self, ordinal: u32) {
        self.set_accessed(ordinal);
    }

    /// Sets the bits of the last access.
    pub fn set_accessed(&self, bits: u32) {
        self.access.store(bits, Ordering::Relaxed);
    }

    /// The bits of the last access.
    pub fn accessed(&self) -> u32 {
        self.access.load(Ordering::Relaxed)
    }

    /// Seconds since the last access, for a clock that records seconds.
    pub fn idle_s(&self, now: Millis) -> u64 {
        clock::idle_s(self.accessed(), now)
    }
}

fn meta(hash_bits: u32, kind: Kind, expires: bool) -> u32 {
    let deadline = if expires { DEADLINE } else { 0 };
    hash_bits | u32::from(kind as u8) << HASH_BITS | deadline
}
