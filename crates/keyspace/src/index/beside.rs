//! Names beside the entries of an index, for layouts that find a record only by its name.

use super::super::Millis;
use super::entry::NEVER;
use super::names::IndexKey;
use store::Location;

/// What an entry's record would say.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub key: IndexKey,
    pub location: Location,
    /// [`NEVER`] for no deadline.
    expires_at: Millis,
}

impl Kept {
    pub fn expires_at(&self) -> Option<Millis> {
        (self.expires_at != NEVER).then_some(self.expires_at)
    }

    /// Bytes of a key that is too long for its place here.
    fn outside_bytes(&self) -> usize {
        if self.key.spilled() {
            self.key.capacity()
        } else {
            0
        }
    }
}

/// The names of one index, by number.
#[derive(Debug, Default)]
pub(super) struct Beside {
    slots: Vec<Kept>,
    /// Bytes of keys outside `slots`.
    outside_bytes: usize,
}

impl Beside {
    /// Keeps a name. Returns its number, which stands in the entry's place.
    pub fn add(&mut self, key: &[u8], location: Location, expires_at: Option<Millis>) -> Location {
        let kept = Kept {
            key: IndexKey::from_slice(key),
            location,
            expires_at: expires_at.unwrap_or(NEVER),
        };
        self.outside_bytes += kept.outside_bytes();
        if self.slots.len() == self.slots.capacity() {
            self.slots.reserve_exact((self.slots.len() / 8).max(4));
        }
        self.slots.push(kept);
        Location(self.slots.len() as u64 - 1)
    }

    /// The name with this number.
    #[inline]
    pub fn get(&self, number: Location) -> &Kept {
        &self.slots[slot(number)]
    }

    /// Gives the name with this number another location and deadline.
    pub fn set(&mut self, number: Location, location: Location, expires_at: Option<Millis>) {
        let kept = &mut self.slots[slot(number)];
        kept.location = location;
        kept.expires_at = expires_at.unwrap_or(NEVER);
    }

    /// Takes out the name with this number, and leaves the number to nobody.
    pub fn take(&mut self, number: Location) -> Kept {
        let kept = std::mem::take(&mut self.slots[slot(number)]);
        self.outside_bytes -= kept.outside_bytes();
        kept
    }

    /// Forgets the name with this number. The last name gets the number. Frees capacity once it is twice what is needed.
    pub fn remove(&mut self, number: Location) {
        let kept = self.slots.swap_remove(slot(number));
        self.outside_bytes -= kept.outside_bytes();
        let len = self.slots.len();
        if self.slots.capacity() >= 2 * len.max(8) {
            self.slots.shrink_to(len + len / 8);
        }
    }

    /// The number that the last name has had until a name was [removed](Self::remove).
    pub fn next(&self) -> Location {
        Location(self.slots.len() as u64)
    }

    /// DRAM that the names occupy, bytes.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.slots.capacity() * size_of::<Kept>() + self.outside_bytes
    }
}

#[allow(clippy::cast_possible_truncation)] // A position in a Vec.
fn slot(number: Location) -> usize {
    number.0 as usize
}
