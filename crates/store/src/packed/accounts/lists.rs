//! Segments in the order of their serial numbers, and sealed ones in lists by how many bytes of them are in use.
//!
//! A list is doubly linked through an array, so a segment moves in some ten stores, however many there are.

use std::collections::BTreeSet;

use super::Waiting;

/// A segment's neighbours in its list, each as its number plus one; 0 at an end.
type Link = [u32; 2];

const BEFORE: usize = 0;
const BEHIND: usize = 1;

/// Where a sealed segment is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// By how much of it is in use.
    Class(Waiting, usize),
    /// The compaction would gain too little from it, until more of it is garbage.
    Full,
}

/// The lists. All of it is under one mutex.
#[derive(Debug)]
pub(super) struct Lists {
    /// How many classes there are.
    pub classes: usize,
    /// The serial numbers of the segments in use.
    pub serials: BTreeSet<(u64, u32)>,
    /// The first segment of each list, as its number plus one.
    heads: Box<[u32]>,
    links: Box<[Link]>,
    /// For each segment the number of its list plus one; 0 for one that is in none.
    places: Box<[u32]>,
    /// How many segments [`Place::Full`] has.
    pub full: usize,
    /// How many entries were looked at.
    #[cfg(test)]
    pub looks: u64,
}

impl Lists {
    pub fn new(segments: usize, classes: usize) -> Self {
        Self {
            classes,
            serials: BTreeSet::new(),
            heads: vec![0; 2 * classes + 1].into(),
            links: vec![[0; 2]; segments].into(),
            places: vec![0; segments].into(),
            full: 0,
            #[cfg(test)]
            looks: 0,
        }
    }

    /// Counts looks at entries, for the tests.
    #[cfg_attr(not(test), allow(clippy::unused_self, unused_variables))]
    pub fn note_looks(&mut self, looks: u64) {
        #[cfg(test)]
        {
            self.looks += looks;
        }
    }

    /// The segment with the lowest serial number, and the lowest serial number of the others; `u64::MAX` if there is none.
    pub fn oldest(&self) -> Option<(u32, u64)> {
        let mut serials = self.serials.iter();
        let &(_, oldest) = serials.next()?;
        Some((oldest, serials.next().map_or(u64::MAX, |next| next.0)))
    }

    pub fn first(&self, place: Place) -> Option<u32> {
        self.heads[self.list(place)].checked_sub(1)
    }

    /// The segment behind this one in its list.
    pub fn next(&self, segment: u32) -> Option<u32> {
        self.links[segment as usize][BEHIND].checked_sub(1)
    }

    pub fn is_listed(&self, segment: u32) -> bool {
        self.places[segment as usize] != 0
    }

    pub fn is_at(&self, segment: u32, place: Place) -> bool {
        self.places[segment as usize] as usize == self.list(place) + 1
    }

    /// Puts a segment at the head of a list, and takes it out of the one that it was in.
    pub fn put(&mut self, segment: u32, place: Place) {
        self.take(segment);
        let list = self.list(place);
        let first = std::mem::replace(&mut self.heads[list], segment + 1);
        self.links[segment as usize] = [0, first];
        if let Some(first) = first.checked_sub(1) {
            self.links[first as usize][BEFORE] = segment + 1;
        }
        self.places[segment as usize] = number(list + 1);
        self.full += usize::from(place == Place::Full);
    }

    /// Takes a segment out of its list, if it is in one.
    pub fn take(&mut self, segment: u32) {
        let listed = std::mem::take(&mut self.places[segment as usize]) as usize;
        let Some(list) = listed.checked_sub(1) else {
            return;
        };
        let [before, behind] = std::mem::take(&mut self.links[segment as usize]);
        match before.checked_sub(1) {
            Some(before) => self.links[before as usize][BEHIND] = behind,
            None => self.heads[list] = behind,
        }
        if let Some(behind) = behind.checked_sub(1) {
            self.links[behind as usize][BEFORE] = before;
        }
        self.full -= usize::from(list == self.list(Place::Full));
    }

    fn list(&self, place: Place) -> usize {
        match place {
            Place::Class(Waiting::ForCompaction, class) => class,
            Place::Class(Waiting::ForBackup, class) => self.classes + class,
            Place::Full => 2 * self.classes,
        }
    }
}

/// There are some hundred lists.
fn number(list: usize) -> u32 {
    u32::try_from(list).unwrap_or(u32::MAX)
}
