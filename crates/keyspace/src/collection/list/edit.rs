//! Edits of a list.

use super::{End, ListEdits};
use crate::collection::compact::InPlace;

/// A locked list, ready to be changed.
#[derive(Debug)]
pub enum ListEdit<'e> {
    /// By changes that are made when the call returns.
    Staged(StagedList<'e>),
    /// In a copy of its record.
    InPlace(&'e mut InPlace),
}

impl ListEdit<'_> {
    /// How many elements there are after the changes so far.
    pub fn len(&self) -> usize {
        match self {
            Self::Staged(list) => list.len(),
            Self::InPlace(list) => list.len(),
        }
    }

    /// Whether the list is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds an element at an end.
    pub fn push(&mut self, end: End, value: &[u8]) {
        match self {
            Self::Staged(list) => list.push(end, value),
            Self::InPlace(list) => list.push(end, value),
        }
    }

    /// Removes `count` elements from an end. They must have been there before the call.
    pub fn pop(&mut self, end: End, count: usize) {
        match self {
            Self::Staged(list) => list.pop(end, count),
            Self::InPlace(list) => list.pop(end, count),
        }
    }

    /// Replaces the element at a position. The position counts before the call's changes.
    pub fn set(&mut self, position: usize, value: &[u8]) {
        match self {
            Self::Staged(list) => list.set(position, value),
            Self::InPlace(list) => list.set(position, value),
        }
    }

    /// Inserts an element before the one at a position, or at the end if the position is the length. Once in a call.
    pub fn insert(&mut self, position: usize, value: &[u8]) {
        match self {
            Self::Staged(list) => list.insert(position, value),
            Self::InPlace(list) => list.outgrow(),
        }
    }

    /// Removes the elements at `positions`, which ascend and count before the call's changes.
    pub fn remove(&mut self, positions: Vec<usize>) {
        match self {
            Self::Staged(list) => list.edits.removed = positions,
            Self::InPlace(list) => list.outgrow(),
        }
    }
}

/// A list that is changed by staged changes.
#[derive(Debug)]
pub struct StagedList<'e> {
    edits: &'e mut ListEdits,
    /// How many elements the list had.
    len: usize,
}

impl<'e> StagedList<'e> {
    /// Edits of a list that has `len` elements.
    pub(crate) fn new(edits: &'e mut ListEdits, len: usize) -> Self {
        Self { edits, len }
    }

    fn len(&self) -> usize {
        self.edits.len_after(self.len)
    }

    fn push(&mut self, end: End, value: &[u8]) {
        let given = self.edits.give(value);
        self.edits.pushed[end as usize].push(given);
    }

    fn pop(&mut self, end: End, count: usize) {
        let left = self.len - self.edits.popped[0] - self.edits.popped[1];
        self.edits.popped[end as usize] += count.min(left);
    }

    fn set(&mut self, position: usize, value: &[u8]) {
        let given = self.edits.give(value);
        self.edits.set.push((position, given));
    }

    fn insert(&mut self, position: usize, value: &[u8]) {
        if position == 0 {
            self.push(End::Head, value);
        } else if position >= self.len {
            self.push(End::Tail, value);
        } else {
            let given = self.edits.give(value);
            self.edits.insert = Some((position, given));
        }
    }
}
