//! Another value of a key that the index has.

use super::super::{Kind, Millis};
use super::entry::Bits;
use super::{Entry, Index, Located, Seat};
use store::Location;

/// What a key or a collection's element has instead of what it had.
#[derive(Clone, Copy, Debug)]
pub struct Replacement {
    /// The value's type.
    pub kind: Kind,
    /// The location of the record.
    pub location: Location,
    /// The deadline.
    pub expires_at: Option<Millis>,
}

impl Located {
    /// The same value, whose record lies elsewhere now.
    pub fn moved(&self, location: Location) -> Replacement {
        Replacement {
            kind: self.kind,
            location,
            expires_at: self.expires_at,
        }
    }
}

impl Index {
    /// Records a key's new value. Returns where a look-up would find it; `None` if the index does not have the key.
    pub fn replace(
        &mut self,
        hash: u64,
        key: &[u8],
        old: Located,
        new: Replacement,
    ) -> Option<Located> {
        self.replace_used(hash, key, old, new, |access| access)
    }

    /// Records a key's new value, and an access: `used` makes the bits of the last access from those of the one before.
    #[inline]
    pub fn replace_used(
        &mut self,
        hash: u64,
        key: &[u8],
        old: Located,
        new: Replacement,
        used: impl Fn(u32) -> u32,
    ) -> Option<Located> {
        let Replacement {
            kind,
            location,
            expires_at,
        } = new;
        let (mut seat, mut place, mut new_place) = (old.seat.numbers(), old.location, location);
        if self.beside.is_some() {
            // The entry keeps the number of its name.
            seat = self.position(hash, key, old)?;
            place = Entry(self.leaves.entries(seat.0).get(seat.1)?).place();
            new_place = place;
        }
        let mut had_deadline = false;
        while !self.leaves.change(seat, place, |entry| {
            had_deadline = entry.has_deadline();
            let changed = entry.changed(kind, expires_at.is_some(), used(entry.accessed()));
            Bits {
                place: new_place,
                ..changed
            }
        }) {
            // The entry was moved since the look-up.
            seat = self.position(hash, key, old)?;
        }
        if let Some(beside) = &mut self.beside {
            beside.set(place, location, expires_at);
        }
        self.expiring += usize::from(expires_at.is_some());
        self.expiring -= usize::from(had_deadline);
        self.note_deadline(seat.0, expires_at);
        Some(Located {
            location,
            kind,
            expires_at,
            seat: Seat::new(seat.0, seat.1),
        })
    }
}
