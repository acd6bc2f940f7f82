//! The changes of one call to a stream, kept until all records are written in one step.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::StreamId;
use super::close::{distance, fields_hash, given_bytes, measure_open};
use super::group_edit::GroupEdit;
use super::limits::{NodeLimits, entry_bytes, first_bytes};
use super::node::{NodeWriter, Pair, encode_open};
use super::plan::Plan;
use super::records::Head;
use super::shape::{OpenSize, StreamShape};
use super::view::{Stream, read_node};
use crate::collection::scratch::Scratch;
use crate::collection::source::Source;
use crate::collection::{Collection, Shape};
use crate::{Keyspace, KeyspaceError};

/// The planned changes of a stream.
#[derive(Debug, Default)]
#[allow(clippy::struct_excessive_bools)] // They are independent of each other.
pub(in super::super::super) struct StreamEdits {
    /// Names and values of records.
    pub(super) bytes: Scratch,
    /// What the call found; `None` until it looks at the stream.
    pub(super) base: Option<Base>,
    /// The head after the changes.
    pub(super) head: Head,
    /// How many entries there are after the changes.
    pub(super) len: u64,
    /// Whether the head must be written.
    pub(super) head_dirty: bool,
    /// Whether the call changes entries: only then does the key count as modified, as in Redis.
    pub(super) modifies: bool,
    /// Whether clients that wait for the key must be tried, although no entry is new.
    pub(super) wakes: bool,
    pub(super) appended: Option<Appended>,
    /// Whether the open entries become a closed node.
    pub(super) closes: bool,
    /// The ordinals of entries that the call deletes.
    pub(super) gone: BTreeSet<u64>,
    /// The positions of those among them that are in closed nodes, by the node's first ordinal.
    pub(super) deleted: BTreeMap<u64, Vec<u32>>,
    /// The closed node that was trimmed in part, and how many live entries it has now.
    pub(super) cut: Option<(u64, u32)>,
    pub(super) groups: BTreeMap<u32, GroupEdit>,
    pub(super) plan: Plan,
}

/// What a call found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Base {
    pub trimmed_through: u64,
}

/// A new entry.
#[derive(Clone, Debug)]
pub(super) struct Appended {
    pub ordinal: u64,
    pub id: StreamId,
    /// Its node, in `bytes`.
    pub value: Range<usize>,
    /// Whether its node is a closed one, since no other entry will join it.
    pub closed: bool,
    /// The open entries' size with it.
    pub size: OpenSize,
}

impl StreamEdits {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        !self.head_dirty
            && self.appended.is_none()
            && self.gone.is_empty()
            && self.groups.values().all(GroupEdit::is_clean)
    }

    /// Whether the key counts as modified.
    pub fn modifies(&self) -> bool {
        self.modifies
    }

    /// Whether clients that wait for the key must be tried, although the key does not count as modified.
    pub fn wakes(&self) -> bool {
        self.wakes
    }

    pub(super) fn begin(&mut self, shape: &StreamShape) {
        if self.base.is_none() {
            self.base = Some(Base {
                trimmed_through: shape.head.trimmed_through,
            });
            self.head = shape.head;
            self.len = shape.len;
        }
    }

    /// Whether the entry with this ordinal is gone after the changes.
    pub(super) fn is_gone(&self, ordinal: u64) -> bool {
        ordinal <= self.head.trimmed_through || self.gone.contains(&ordinal)
    }
}

/// A locked stream, ready to be changed.
#[derive(Debug)]
pub struct StreamEdit<'e> {
    pub(super) source: Source<'e>,
    pub(super) shape: &'e StreamShape,
    pub(super) edits: &'e mut StreamEdits,
}

impl<'e> StreamEdit<'e> {
    /// `None` if the collection is no stream.
    pub(in super::super::super) fn new(
        keyspace: &'e Keyspace,
        locked: &'e Collection,
        id: u64,
        edits: &'e mut StreamEdits,
    ) -> Option<Self> {
        let Shape::Stream(shape) = &locked.shape else {
            return None;
        };
        edits.begin(shape);
        Some(Self {
            source: Source::new(keyspace, id),
            shape,
            edits,
        })
    }

    /// The stream as it was before the call.
    pub fn view(&self) -> Stream<'e> {
        Stream::new(self.source, self.shape)
    }

    /// How many entries there are after the changes so far.
    pub fn len(&self) -> u64 {
        self.edits.len
    }

    /// Whether no entries are left after the changes so far.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The highest id that an entry had, after the changes so far.
    pub fn last_id(&self) -> StreamId {
        self.edits.head.last_id
    }

    /// Makes sure that the stream is stored, even if the call changes nothing else.
    pub fn store(&mut self) {
        self.edits.head_dirty = true;
    }

    /// Counts the key as modified.
    pub fn modified(&mut self) {
        self.edits.modifies = true;
    }

    /// Adds an entry, whose id is higher than [`last_id`](Self::last_id). Once in a call, before it deletes anything.
    pub fn append(
        &mut self,
        id: StreamId,
        pairs: &[Pair<'_>],
        limits: NodeLimits,
    ) -> Result<(), KeyspaceError> {
        let fields = fields_hash(pairs);
        let mut size = None;
        if let Some(last) = self.shape.open.back() {
            let mut open = match self.shape.open_size {
                Some(open) => open,
                None => measure_open(&self.source, self.shape)?,
            };
            if limits.is_full(self.shape.open_count(), open.bytes, given_bytes(pairs)) {
                self.edits.closes = true;
                self.edits.head.closed_through = last.ordinal.max(self.edits.head.next_ordinal - 1);
            } else {
                let distance = distance(open.first_id, id);
                open.bytes += entry_bytes(pairs, open.fields == fields, distance);
                size = Some(open);
            }
        }
        let is_first = size.is_none();
        let size = size.unwrap_or_else(|| OpenSize {
            bytes: first_bytes(pairs),
            fields,
            first_id: id,
        });
        let closed = is_first && limits.is_full_at_once(size.bytes);
        let edits = &mut *self.edits;
        let ordinal = edits.head.next_ordinal;
        let start = edits.bytes.len();
        if closed {
            let mut node = NodeWriter::default();
            node.push(ordinal, id, pairs);
            node.finish(&mut edits.bytes);
            edits.head.closed_through = ordinal;
        } else {
            encode_open(&mut edits.bytes, id, pairs);
        }
        edits.head.next_ordinal += 1;
        edits.head.last_id = id;
        edits.len += 1;
        edits.modifies = true;
        edits.appended = Some(Appended {
            ordinal,
            id,
            value: start..edits.bytes.len(),
            closed,
            size,
        });
        Ok(())
    }

    /// Deletes the entry with this id; returns whether there was one.
    pub fn delete(&mut self, id: StreamId) -> Result<bool, KeyspaceError> {
        let ordinal = if let Some(position) = self.shape.open_with_id(id) {
            let ordinal = self.shape.open[position].ordinal;
            (!self.edits.is_gone(ordinal)).then_some(ordinal)
        } else {
            self.delete_closed(id)?
        };
        let Some(ordinal) = ordinal else {
            return Ok(false);
        };
        let edits = &mut *self.edits;
        edits.gone.insert(ordinal);
        edits.len -= 1;
        edits.head.max_deleted_id = edits.head.max_deleted_id.max(id);
        edits.head_dirty = true;
        edits.modifies = true;
        Ok(true)
    }

    /// Notes the deletion of an entry in a closed node; returns its ordinal.
    fn delete_closed(&mut self, id: StreamId) -> Result<Option<u64>, KeyspaceError> {
        let node = self
            .shape
            .node_of(id)
            .and_then(|position| self.shape.nodes.get(position));
        let Some(node) = node else {
            return Ok(None);
        };
        let found = read_node(&self.source, node.first, node.location, |mut entries| {
            while let Some(place) = entries.next()? {
                if place.id >= id {
                    return Ok((place.id == id).then_some(place));
                }
            }
            Ok(None)
        })?;
        let found = found
            .filter(|place| !node.is_deleted(place.index) && !self.edits.is_gone(place.ordinal));
        Ok(found.map(|place| {
            self.edits
                .deleted
                .entry(node.first)
                .or_default()
                .push(place.index);
            place.ordinal
        }))
    }

    /// Whether there is an entry with this id after the changes so far.
    pub fn contains(&self, id: StreamId) -> Result<bool, KeyspaceError> {
        if let Some(position) = self.shape.open_with_id(id) {
            return Ok(!self.edits.is_gone(self.shape.open[position].ordinal));
        }
        if self
            .edits
            .appended
            .as_ref()
            .is_some_and(|appended| appended.id == id)
        {
            return Ok(self
                .edits
                .appended
                .as_ref()
                .is_some_and(|one| !self.edits.is_gone(one.ordinal)));
        }
        if self.edits.gone.is_empty() {
            return self.view().contains(id);
        }
        let node = self
            .shape
            .node_of(id)
            .and_then(|position| self.shape.nodes.get(position));
        let Some(node) = node else {
            return Ok(false);
        };
        read_node(&self.source, node.first, node.location, |mut entries| {
            while let Some(place) = entries.next()? {
                if place.id == id {
                    return Ok(!node.is_deleted(place.index) && !self.edits.is_gone(place.ordinal));
                }
            }
            Ok(false)
        })
    }

    /// Sets what XSETID sets.
    pub fn set_ids(
        &mut self,
        last_id: StreamId,
        entries_added: Option<u64>,
        max_deleted_id: Option<StreamId>,
    ) {
        let head = &mut self.edits.head;
        head.last_id = last_id;
        if let Some(added) = entries_added {
            head.set_entries_added(added);
        }
        if let Some(id) = max_deleted_id {
            head.max_deleted_id = id;
        }
        self.edits.head_dirty = true;
    }
}
