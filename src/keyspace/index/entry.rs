//! What the index keeps of one key, in 40 bytes.

use std::sync::atomic::{AtomicU32, Ordering};

use smallvec::SmallVec;

use super::super::{Kind, Millis};
use crate::store::Location;

/// No expiry, in an entry.
pub(super) const NEVER: Millis = Millis::MAX;

/// Bytes of a key that lie in the entry itself: no allocation, and no cache miss to compare them.
const SHORT_KEY_BYTES_MAX: usize = 16;

/// A copy of an index's key.
pub type IndexKey = SmallVec<[u8; SHORT_KEY_BYTES_MAX]>;

/// What the index keeps of a key.
#[derive(Debug)]
pub struct Entry {
    /// Where the value lies.
    pub location: Location,
    pub(super) expires_at: Millis,
    rest: Rest,
}

/// The rest of an entry. The small fields stand beside the tag, in room that would else be padding, and in both
/// variants at the same place, so that reading them needs no branch.
#[derive(Debug)]
#[repr(u8)]
enum Rest {
    Short {
        kind: Kind,
        len: u8,
        /// Last access, s since the Unix epoch. Atomic, so that readers together can set it.
        accessed_s: AtomicU32,
        key: [u8; SHORT_KEY_BYTES_MAX],
    },
    Long {
        kind: Kind,
        accessed_s: AtomicU32,
        key: Box<[u8]>,
    },
}

const _: () = assert!(size_of::<Entry>() == 40, "entries are the index's memory");

impl Entry {
    /// A new entry, accessed now.
    pub fn new(
        key: &[u8],
        kind: Kind,
        location: Location,
        expires_at: Option<Millis>,
        now: Millis,
    ) -> Self {
        let accessed_s = AtomicU32::new(seconds(now));
        let mut short = [0; SHORT_KEY_BYTES_MAX];
        let rest = match (short.get_mut(..key.len()), u8::try_from(key.len())) {
            (Some(bytes), Ok(len)) => {
                bytes.copy_from_slice(key);
                Rest::Short {
                    kind,
                    len,
                    accessed_s,
                    key: short,
                }
            }
            _ => Rest::Long {
                kind,
                accessed_s,
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

    /// The value's type.
    pub fn kind(&self) -> Kind {
        match self.rest {
            Rest::Short { kind, .. } | Rest::Long { kind, .. } => kind,
        }
    }

    pub(super) fn set_kind(&mut self, new: Kind) {
        match &mut self.rest {
            Rest::Short { kind, .. } | Rest::Long { kind, .. } => *kind = new,
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
        let accessed_s = self.accessed_s();
        // A load is cheaper than a store that takes the cache line from other readers.
        if accessed_s.load(Ordering::Relaxed) != now {
            accessed_s.store(now, Ordering::Relaxed);
        }
    }

    /// Seconds since the last access.
    pub fn idle_s(&self, now: Millis) -> u64 {
        u64::from(seconds(now).saturating_sub(self.accessed_s().load(Ordering::Relaxed)))
    }

    fn accessed_s(&self) -> &AtomicU32 {
        match &self.rest {
            Rest::Short { accessed_s, .. } | Rest::Long { accessed_s, .. } => accessed_s,
        }
    }

    /// What the key takes outside the entry.
    pub(super) fn long_key_bytes(&self) -> usize {
        match &self.rest {
            Rest::Short { .. } => 0,
            Rest::Long { key, .. } => key.len(),
        }
    }
}

fn seconds(now: Millis) -> u32 {
    u32::try_from(now / 1000).unwrap_or_default()
}
