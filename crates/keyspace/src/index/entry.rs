//! The index's data for one key, in 40 bytes.

use std::sync::atomic::{AtomicU32, Ordering};

use smallvec::SmallVec;

use super::super::clock::{self, Clock};
use super::super::{Kind, Millis};
use store::Location;

/// The deadline in an entry that never expires.
pub(super) const NEVER: Millis = Millis::MAX;

/// Keys up to this length lie in the entry itself: they need no allocation, and comparing them misses no cache.
const SHORT_KEY_BYTES_MAX: usize = 16;

/// A copy of a key of the index.
pub type IndexKey = SmallVec<[u8; SHORT_KEY_BYTES_MAX]>;

/// The index's data for a key.
#[derive(Debug)]
pub struct Entry {
    /// The location of the value.
    pub location: Location,
    pub(super) expires_at: Millis,
    rest: Rest,
}

/// The rest of an entry. The small fields use bytes beside the tag that would otherwise be padding. They stand at the
/// same place in both variants, so that reading them needs no branch.
#[derive(Debug)]
#[repr(u8)]
enum Rest {
    Short {
        kind: Kind,
        len: u8,
        /// The last access, in bits that a [`Clock`] reads. Atomic, because several readers may set it at once.
        access: AtomicU32,
        key: [u8; SHORT_KEY_BYTES_MAX],
    },
    Long {
        kind: Kind,
        access: AtomicU32,
        key: Box<[u8]>,
    },
}

const _: () = assert!(size_of::<Entry>() == 40, "entries are the index's memory");

impl Entry {
    /// A new entry; `access` is from [`Clock::first`].
    pub fn new(
        key: &[u8],
        kind: Kind,
        location: Location,
        expires_at: Option<Millis>,
        access: u32,
    ) -> Self {
        let access = AtomicU32::new(access);
        let mut short = [0; SHORT_KEY_BYTES_MAX];
        let rest = match (short.get_mut(..key.len()), u8::try_from(key.len())) {
            (Some(bytes), Ok(len)) => {
                bytes.copy_from_slice(key);
                Rest::Short {
                    kind,
                    len,
                    access,
                    key: short,
                }
            }
            _ => Rest::Long {
                kind,
                access,
                key: key.into(),
            },
        };
        Self {
            location,
            expires_at: expires_at.unwrap_or(NEVER),
            rest,
        }
    }

    /// The user's key.
    #[inline]
    pub fn key(&self) -> &[u8] {
        match &self.rest {
            Rest::Short { len, key, .. } => key.get(..usize::from(*len)).unwrap_or(key),
            Rest::Long { key, .. } => key,
        }
    }

    /// The value's type, as clients see it.
    #[inline]
    pub fn kind(&self) -> Kind {
        self.stored_kind().plain()
    }

    /// The kind of the value's record: it tells a compact collection from one with elements.
    #[inline]
    pub fn stored_kind(&self) -> Kind {
        match self.rest {
            Rest::Short { kind, .. } | Rest::Long { kind, .. } => kind,
        }
    }

    pub(super) fn set_kind(&mut self, new: Kind) {
        match &mut self.rest {
            Rest::Short { kind, .. } | Rest::Long { kind, .. } => *kind = new,
        }
    }

    /// The key's deadline.
    pub fn expires_at(&self) -> Option<Millis> {
        (self.expires_at != NEVER).then_some(self.expires_at)
    }

    /// Whether the deadline has passed.
    pub fn is_expired(&self, now: Millis) -> bool {
        self.expires_at <= now
    }

    /// Records an access.
    #[inline]
    pub fn touch(&self, now: Millis, clock: Clock) {
        let access = self.access();
        let before = access.load(Ordering::Relaxed);
        let after = clock.used(before, now);
        // Check first: a load is cheaper than a store, which takes the cache line from other readers.
        if before != after {
            access.store(after, Ordering::Relaxed);
        }
    }

    /// Records that the key was created anew.
    pub fn renew(&self, now: Millis, clock: Clock) {
        self.access().store(clock.first(now), Ordering::Relaxed);
    }

    /// For a collection's element: its number in the order in which elements were added. Elements record no accesses.
    pub fn ordinal(&self) -> u32 {
        self.accessed()
    }

    /// Gives a collection's element another [`ordinal`](Self::ordinal).
    pub fn set_ordinal(&self, ordinal: u32) {
        self.access().store(ordinal, Ordering::Relaxed);
    }

    /// The bits of the last access.
    pub fn accessed(&self) -> u32 {
        self.access().load(Ordering::Relaxed)
    }

    /// Seconds since the last access, for a clock that records seconds.
    pub fn idle_s(&self, now: Millis) -> u64 {
        clock::idle_s(self.accessed(), now)
    }

    fn access(&self) -> &AtomicU32 {
        match &self.rest {
            Rest::Short { access, .. } | Rest::Long { access, .. } => access,
        }
    }

    /// Bytes that the key takes outside the entry.
    pub(super) fn long_key_bytes(&self) -> usize {
        match &self.rest {
            Rest::Short { .. } => 0,
            Rest::Long { key, .. } => key.len(),
        }
    }
}
