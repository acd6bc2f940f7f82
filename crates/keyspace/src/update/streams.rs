//! The stream of a call's locked key.

use super::several::Update;
use crate::collection::{Held, NodeLimits, Pair, Shape, Source, StreamEdit, What};
use crate::{KeyspaceError, Kind};

impl Update<'_> {
    /// The stream of key `i`, ready to be changed; a new one if the key is absent. A stream stays without entries.
    pub fn stream(&mut self, i: usize) -> Result<StreamEdit<'_>, KeyspaceError> {
        let (opened, edit) = self.edit(i, Kind::Stream)?;
        match (&self.opened[opened].locked, &mut self.edits[edit].1.what) {
            (Some(locked), What::Stream(edits)) => {
                let id = self.opened[opened].id;
                StreamEdit::new(self.keys.keyspace, locked, id, edits)
                    .ok_or(KeyspaceError::WrongKind)
            }
            _ => Err(KeyspaceError::WrongKind),
        }
    }

    /// Closes the last node of key `i`'s stream, if an entry with these fields begins another one and the store can keep the
    /// closed node apart. It is no change of the stream, so it stays whatever becomes of the call. Call it before
    /// [`stream`](Self::stream).
    pub fn close_full_node(
        &mut self,
        i: usize,
        pairs: &[Pair<'_>],
        limits: NodeLimits,
    ) -> Result<(), KeyspaceError> {
        let i = self.first_position(i);
        if self.edits.iter().any(|&(position, _)| position == i) {
            return Ok(());
        }
        let keyspace = self.keys.keyspace;
        let mut opened = self.opened.iter_mut();
        let opened = opened.find(|one| one.position == i && !one.expired);
        let Some((id, Held::Shared(collection))) =
            opened.and_then(|opened| Some((opened.id, opened.locked.as_mut()?)))
        else {
            return Ok(());
        };
        let source = Source::new(keyspace, id);
        let Shape::Stream(stream) = &mut collection.shape else {
            return Ok(());
        };
        if !stream.is_full_for(&source, pairs, limits)? {
            return Ok(());
        }
        let before = stream.memory_bytes();
        if stream.close_aside(&source)? {
            keyspace.registry.note_memory(before, stream.memory_bytes());
        }
        Ok(())
    }
}
