//! The stream of a call's locked key.

use super::elements::ElementsUpdate;
use super::in_place::OneUpdate;
use super::several::Update;
use crate::collection::{
    Collection, Edit, Held, NodeLimits, Pair, Shape, Source, StreamEdit, What,
};
use crate::{Keyspace, KeyspaceError, Kind};

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
        match opened.and_then(|opened| Some((opened.id, opened.locked.as_mut()?))) {
            Some((id, Held::Shared(collection))) => {
                close_full(keyspace, (id, collection), pairs, limits)
            }
            _ => Ok(()),
        }
    }
}

/// Closes the last node of a stream; see [`Update::close_full_node`].
fn close_full(
    keyspace: &Keyspace,
    (id, collection): (u64, &mut Collection),
    pairs: &[Pair<'_>],
    limits: NodeLimits,
) -> Result<(), KeyspaceError> {
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

impl ElementsUpdate<'_> {
    /// As [`Update::stream`].
    fn stream(&mut self) -> Result<StreamEdit<'_>, KeyspaceError> {
        let (keyspace, id) = (self.key.keyspace, self.id);
        let kind = self.locked.kind;
        let edit = self.edit.get_or_insert_with(|| Edit::new(id, kind));
        match &mut edit.what {
            What::Stream(edits) => {
                StreamEdit::new(keyspace, &self.locked, id, edits).ok_or(KeyspaceError::WrongKind)
            }
            What::Elements(_) | What::List(_) => Err(KeyspaceError::WrongKind),
        }
    }
}

impl OneUpdate<'_, '_> {
    /// The stream, ready to be changed; a new one if the key is missing. A stream stays without entries.
    pub fn stream(&mut self) -> Result<StreamEdit<'_>, KeyspaceError> {
        match self {
            Self::Staged(update, _) => update.stream(0),
            Self::Elements(update) => update.stream(),
            // No stream is compact.
            Self::InPlace(_) => Err(KeyspaceError::WrongKind),
        }
    }

    /// As [`Update::close_full_node`].
    pub fn close_full_node(
        &mut self,
        pairs: &[Pair<'_>],
        limits: NodeLimits,
    ) -> Result<(), KeyspaceError> {
        match self {
            Self::Staged(update, _) => update.close_full_node(0, pairs, limits),
            Self::Elements(update) if update.edit.is_none() => {
                let ElementsUpdate {
                    key, id, locked, ..
                } = &mut **update;
                close_full(key.keyspace, (*id, locked), pairs, limits)
            }
            Self::Elements(_) | Self::InPlace(_) => Ok(()),
        }
    }
}
