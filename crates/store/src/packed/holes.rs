//! The holes of a hold: bytes of records that a transaction staged and then replaced or removed.

use std::collections::{BTreeMap, BTreeSet};

use super::record::HEADER_BYTES;

/// Free ranges between records.
#[derive(Debug, Default)]
pub(super) struct Holes {
    /// Lengths by segment and offset.
    pub(super) by_place: BTreeMap<(u32, usize), usize>,
    /// The same by length.
    by_length: BTreeSet<(usize, u32, usize)>,
}

impl Holes {
    fn insert(&mut self, place: (u32, usize), length: usize) {
        self.by_place.insert(place, length);
        self.by_length.insert((length, place.0, place.1));
    }

    pub(super) fn remove(&mut self, place: (u32, usize)) -> Option<usize> {
        let length = self.by_place.remove(&place)?;
        self.by_length.remove(&(length, place.0, place.1));
        Some(length)
    }

    /// Adds a hole and joins it with the holes that it touches. Returns the offset and the length of the joined hole.
    pub(super) fn add(
        &mut self,
        (segment, mut start): (u32, usize),
        length: usize,
    ) -> (usize, usize) {
        let mut end = start + length;
        if let Some(after) = self.remove((segment, end)) {
            end += after;
        }
        if self.is_empty() {
            self.insert((segment, start), end - start);
            return (start, end - start);
        }
        let before = self.by_place.range((segment, 0)..(segment, start));
        if let Some((&place, &length)) = before.last()
            && place.1 + length == start
        {
            self.remove(place);
            start = place.1;
        }
        self.insert((segment, start), end - start);
        (start, end - start)
    }

    /// Takes the smallest hole that fits a record of `length` bytes. What remains of the hole stays a hole, so it must
    /// be empty or long enough for a record.
    pub(super) fn take(&mut self, length: usize) -> Option<(u32, usize)> {
        if self.is_empty() {
            return None;
        }
        let mut same = self.by_length.range((length, 0, 0)..(length + 1, 0, 0));
        let mut larger = self.by_length.range((length + HEADER_BYTES, 0, 0)..);
        let &(found, segment, offset) = same.next().or_else(|| larger.next())?;
        self.remove((segment, offset));
        if found > length {
            self.insert((segment, offset + length), found - length);
        }
        Some((segment, offset))
    }

    /// Whether there is none.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.by_place.is_empty()
    }

    /// Takes over all holes of `other`.
    pub(super) fn absorb(&mut self, other: &mut Holes) {
        if other.is_empty() {
            return;
        }
        self.by_place.append(&mut other.by_place);
        self.by_length.append(&mut other.by_length);
    }

    pub(super) fn clear(&mut self) {
        if self.is_empty() {
            return;
        }
        self.by_place.clear();
        self.by_length.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_holes_are_one_and_the_smallest_that_fits_is_taken() {
        let mut holes = Holes::default();
        holes.add((1, 0), 48);
        holes.add((1, 96), 48);
        holes.add((2, 48), 48);
        assert_eq!(holes.add((1, 48), 48), (0, 144));
        assert_eq!(holes.take(48), Some((2, 48)));
        // What would remain, 16 bytes, is too short for a record.
        assert_eq!(holes.take(128), None);
        assert_eq!(holes.take(120), Some((1, 0)));
        assert_eq!(holes.take(24), Some((1, 120)));
        assert_eq!(holes.take(24), None);
        assert!(holes.by_place.is_empty() && holes.by_length.is_empty());
    }
}
