//! A new collection, which gets its elements before it gets a key.

use crate::collection::{Built, NodeLimits, StreamBuilder, encode_score};
use crate::{KeyspaceError, Millis};

/// A collection without a key. Dropping it removes the elements that it has stored.
#[derive(Debug)]
pub struct NewCollection<'a> {
    pub(super) position: usize,
    pub(super) built: Built<'a>,
}

impl<'a> NewCollection<'a> {
    /// How many elements it has.
    pub fn len(&self) -> usize {
        self.built.len()
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a hash's field, which it must not have yet.
    pub fn field(&mut self, name: &[u8], value: &[u8]) -> Result<(), KeyspaceError> {
        self.built.push(name, value)
    }

    /// As [`field`](Self::field), with the field's deadline.
    pub fn field_until(
        &mut self,
        name: &[u8],
        value: &[u8],
        expires_at: Option<Millis>,
    ) -> Result<(), KeyspaceError> {
        self.built.push_until(name, value, expires_at)
    }

    /// Adds a set's member, which it must not have yet.
    pub fn member(&mut self, name: &[u8]) -> Result<(), KeyspaceError> {
        self.built.push(name, b"")
    }

    /// Adds a sorted set's member, which it must not have yet. The score is not NaN.
    pub fn scored(&mut self, member: &[u8], score: f64) -> Result<(), KeyspaceError> {
        self.built.push(member, &encode_score(score))
    }

    /// The score that Redis keeps in a sorted set with this many members and this longest member.
    pub fn kept_score(&self, score: f64, members: usize, longest_bytes: usize) -> f64 {
        self.built
            .limits()
            .kept_score(score, members, longest_bytes)
    }

    /// Begins a stream.
    pub fn stream(&mut self, limits: NodeLimits) -> StreamBuilder<'_, 'a> {
        StreamBuilder::new(&mut self.built, limits)
    }

    /// Adds an element at the end of a list.
    pub fn element(&mut self, value: &[u8]) -> Result<(), KeyspaceError> {
        self.built.push(b"", value)
    }
}
