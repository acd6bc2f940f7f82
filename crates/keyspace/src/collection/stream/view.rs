//! Looking at a stream.

use std::ops::ControlFlow;

use smallvec::SmallVec;

use super::StreamId;
use super::group_view::GroupView;
use super::node::{Entries, Pair};
use super::radix::{RADIX_IDS_MAX, radix_tree_nodes};
use super::records::{ConsumerRecord, Head, RecordName};
use super::shape::{Node, OpenEntry, StreamShape};
use crate::KeyspaceError;
use crate::collection::source::Source;
use store::Location;

/// About the name and the value of a pending entry, a consumer or a group.
const SMALL_RECORD_BYTES: u64 = 40;

/// The name of a node's record.
const NODE_NAME_BYTES: u64 = 9;

/// A stream.
#[derive(Clone, Copy, Debug)]
pub struct Stream<'a> {
    pub(super) source: Source<'a>,
    pub(super) shape: &'a StreamShape,
}

/// Called with an entry's id and its fields; `Break` ends the walk.
type OnEntry<'f> = &'f mut dyn FnMut(StreamId, &[Pair<'_>]) -> ControlFlow<()>;

impl<'a> Stream<'a> {
    pub(in super::super) fn new(source: Source<'a>, shape: &'a StreamShape) -> Self {
        Self { source, shape }
    }

    /// How many entries there are.
    pub fn len(&self) -> u64 {
        self.shape.len
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn head(&self) -> &'a Head {
        &self.shape.head
    }

    /// The highest id that an entry had, unless XSETID has set another.
    pub fn last_id(&self) -> StreamId {
        self.head().last_id
    }

    /// The id of the first entry; 0-0 if there is none.
    pub fn first_id(&self) -> StreamId {
        self.shape.first_id
    }

    /// The highest id of an entry that was deleted.
    pub fn max_deleted_id(&self) -> StreamId {
        self.head().max_deleted_id
    }

    /// How many entries were ever added.
    pub fn entries_added(&self) -> u64 {
        self.head().entries_added()
    }

    /// How many nodes there are.
    pub fn node_count(&self) -> usize {
        self.shape.nodes.len() + usize::from(!self.shape.open.is_empty())
    }

    /// About how many nodes the radix tree would have in which Redis keeps the nodes by their first ids.
    pub fn radix_tree_nodes(&self) -> u64 {
        let closed = self.shape.nodes.range(0..self.shape.nodes.len());
        let open = self.shape.open.front().map(|entry| entry.id);
        let ids = closed.map(|node| node.first_id).chain(open);
        let count = self.node_count() as u64;
        let counted = count.min(RADIX_IDS_MAX as u64);
        let nodes = radix_tree_nodes(ids.take(RADIX_IDS_MAX));
        // The others are taken to be alike.
        nodes * count.max(1) / counted.max(1)
    }

    /// How many records the stream has in the store.
    pub fn record_count(&self) -> usize {
        self.shape.record_count()
    }

    /// About the DRAM that the stream takes, bytes.
    pub fn memory_bytes(&self) -> usize {
        self.shape.memory_bytes()
    }

    /// Passes the entries from `start` to `end`, both included, to `f`, in order or in reverse, until `f` breaks. `f`
    /// must not read another value.
    pub fn for_range(
        &self,
        start: StreamId,
        end: StreamId,
        reversed: bool,
        mut f: impl FnMut(StreamId, &[Pair<'_>]) -> ControlFlow<()>,
    ) -> Result<(), KeyspaceError> {
        if start > end {
            return Ok(());
        }
        let nodes = &self.shape.nodes;
        let from = nodes.partition_point(|node| node.last_id < start);
        let past = nodes.partition_point(|node| node.first_id <= end);
        let open = &self.shape.open;
        let open_from = open.partition_point(|entry| entry.id < start);
        let open_past = open.partition_point(|entry| entry.id <= end);
        if reversed {
            let entries = open.range(open_from..open_past.max(open_from)).rev();
            if self.walk_open(entries, &mut f)?.is_break() {
                return Ok(());
            }
            for node in nodes.range(from..past.max(from)).rev() {
                if self.walk_node_back(node, (start, end), &mut f)?.is_break() {
                    return Ok(());
                }
            }
        } else {
            for node in nodes.range(from..past.max(from)) {
                if self.walk_node(node, (start, end), &mut f)?.is_break() {
                    return Ok(());
                }
            }
            let entries = open.range(open_from..open_past.max(open_from));
            let _ = self.walk_open(entries, &mut f)?;
        }
        Ok(())
    }

    fn walk_open<'s>(
        &self,
        entries: impl Iterator<Item = &'s OpenEntry>,
        f: OnEntry<'_>,
    ) -> Result<ControlFlow<()>, KeyspaceError> {
        let mut result = Ok(ControlFlow::Continue(()));
        self.source.read_run(
            entries,
            |entry| entry.location,
            |entry| node_name(entry.ordinal),
            |entry, bytes| {
                result = Entries::of(entry.ordinal, bytes).and_then(|mut entries| {
                    Ok(match entries.next()? {
                        Some(place) => f(place.id, entries.pairs()),
                        None => ControlFlow::Continue(()),
                    })
                });
                match result {
                    Ok(flow) => flow,
                    Err(_) => ControlFlow::Break(()),
                }
            },
        )?;
        result
    }

    fn walk_node(
        &self,
        node: &Node,
        (start, end): (StreamId, StreamId),
        f: OnEntry<'_>,
    ) -> Result<ControlFlow<()>, KeyspaceError> {
        let trimmed_through = self.head().trimmed_through;
        self.read_node(node, |mut entries| {
            while let Some(place) = entries.next()? {
                if place.id > end {
                    break;
                }
                let gone = place.ordinal <= trimmed_through || node.is_deleted(place.index);
                if place.id >= start && !gone && f(place.id, entries.pairs()).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    fn walk_node_back(
        &self,
        node: &Node,
        (start, end): (StreamId, StreamId),
        f: OnEntry<'_>,
    ) -> Result<ControlFlow<()>, KeyspaceError> {
        let trimmed_through = self.head().trimmed_through;
        self.read_node(node, |mut entries| {
            let mut found: SmallVec<[(StreamId, usize); 64]> = SmallVec::new();
            let mut pairs: Vec<Pair<'_>> = Vec::new();
            while let Some(place) = entries.next()? {
                if place.id > end {
                    break;
                }
                let gone = place.ordinal <= trimmed_through || node.is_deleted(place.index);
                if place.id >= start && !gone {
                    found.push((place.id, pairs.len()));
                    pairs.extend_from_slice(entries.pairs());
                }
            }
            for (id, from) in found.into_iter().rev() {
                if f(id, &pairs[from..]).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                pairs.truncate(from);
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    pub(super) fn read_node<R>(
        &self,
        node: &Node,
        f: impl FnOnce(Entries<'_>) -> Result<R, KeyspaceError>,
    ) -> Result<R, KeyspaceError> {
        read_node(&self.source, node.first, node.location, f)
    }

    /// Whether there is an entry with this id.
    pub fn contains(&self, id: StreamId) -> Result<bool, KeyspaceError> {
        let mut found = false;
        if self.shape.open_with_id(id).is_some() {
            return Ok(true);
        }
        if let Some(node) = self.shape.node_of(id)
            && let Some(node) = self.shape.nodes.get(node)
        {
            let flow = self.walk_node(node, (id, id), &mut |_, _| {
                found = true;
                ControlFlow::Break(())
            });
            let _ = flow?;
        }
        Ok(found)
    }

    /// The id of the last entry; `None` if there is none.
    pub fn last_entry_id(&self) -> Result<Option<StreamId>, KeyspaceError> {
        if let Some(entry) = self.shape.open.back() {
            return Ok(Some(entry.id));
        }
        if let Some(node) = self.shape.nodes.last()
            && !node.is_deleted(node.count - 1)
        {
            return Ok(Some(node.last_id));
        }
        let mut last = None;
        self.for_range(StreamId::MIN, StreamId::MAX, true, |id, _| {
            last = Some(id);
            ControlFlow::Break(())
        })?;
        Ok(last)
    }

    /// The groups, in the order of their names.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = GroupView<'a>> + use<'a> {
        let shape = self.shape;
        let groups = shape.groups_by_name.values();
        groups.map(move |number| GroupView {
            group: &shape.groups[number],
        })
    }

    /// The group of this name.
    pub fn group(&self, name: &[u8]) -> Option<GroupView<'a>> {
        let number = self.shape.groups_by_name.get(name)?;
        let group = self.shape.groups.get(number)?;
        Some(GroupView { group })
    }

    /// How many entries were added up to the one with this id, that one included; `None` if that is unknown.
    pub fn entries_up_to(&self, id: StreamId) -> Option<u64> {
        let (added, last_id, first_id) = (self.entries_added(), self.last_id(), self.first_id());
        let max_deleted = self.max_deleted_id();
        if added == 0 {
            return Some(0);
        }
        if self.is_empty() && id <= last_id {
            return Some(added);
        }
        if !id.is_zero() && id < max_deleted {
            return None;
        }
        if id >= last_id {
            return (id == last_id).then_some(added);
        }
        if max_deleted.is_zero() || max_deleted < first_id {
            let before = added.wrapping_sub(self.len());
            if id < first_id {
                return Some(before);
            }
            if id == first_id {
                return Some(before.wrapping_add(1));
            }
        }
        None
    }

    /// Whether an entry with this or a higher id may have been deleted.
    pub fn has_deleted_from(&self, id: StreamId) -> bool {
        !self.is_empty() && !self.max_deleted_id().is_zero() && id <= self.max_deleted_id()
    }

    /// How many entries a group has still to read; `None` if that is unknown.
    pub fn lag(&self, last_id: StreamId, entries_read: i64) -> Option<i64> {
        let added = self.entries_added();
        let read = if added == 0 {
            return Some(0);
        } else if entries_read >= 0 && !self.has_deleted_from(last_id) {
            entries_read
        } else {
            self.entries_up_to(last_id)?.cast_signed()
        };
        Some(added.cast_signed().wrapping_sub(read))
    }

    /// About the bytes that the stream takes in the store without the records' heads, from up to `samples_max` of its
    /// nodes.
    pub fn stored_bytes(&self, samples_max: usize) -> Result<u64, KeyspaceError> {
        let (mut bytes, mut sampled, mut nodes) = (0, 0, 0);
        for (record, location) in self.shape.records() {
            let RecordName::Node(first) = record else {
                bytes += SMALL_RECORD_BYTES;
                continue;
            };
            nodes += 1;
            if nodes <= samples_max as u64 {
                let len = self.source.read(&node_name(first), location, <[u8]>::len)?;
                sampled += len as u64;
            }
        }
        let mean = sampled / nodes.min(samples_max as u64).max(1);
        Ok(bytes + nodes * (mean + NODE_NAME_BYTES))
    }

    fn consumer_record(&self, group: u32, consumer: u32) -> Vec<u8> {
        let mut value = Vec::new();
        let group = self.shape.groups.get(&group);
        if let Some(consumer) = group.and_then(|group| group.consumers.get(&consumer)) {
            let (seen, active) = consumer.times.get();
            let name = &consumer.name;
            ConsumerRecord { seen, active, name }.encode(&mut value);
        }
        value
    }

    /// The records of the stream, with their names.
    pub(in super::super) fn for_records(
        &self,
        mut f: impl FnMut(&[u8], &[u8]) -> Result<(), KeyspaceError>,
    ) -> Result<(), KeyspaceError> {
        let mut name = Vec::new();
        for (record, location) in self.shape.records() {
            name.clear();
            record.encode(&mut name);
            let value = match record {
                // Its record may hold older times.
                RecordName::Consumer(group, consumer) => self.consumer_record(group, consumer),
                // `f` may write, so it gets a copy.
                _ => self.source.read(&name, location, <[u8]>::to_vec)?,
            };
            f(&name, &value)?;
        }
        Ok(())
    }
}

/// The name of a node's record.
pub(super) fn node_name(first: u64) -> SmallVec<[u8; 16]> {
    let mut name = SmallVec::new();
    RecordName::Node(first).encode(&mut name);
    name
}

/// Runs `f` on the entries of a node.
pub(super) fn read_node<R>(
    source: &Source<'_>,
    first: u64,
    location: Location,
    f: impl FnOnce(Entries<'_>) -> Result<R, KeyspaceError>,
) -> Result<R, KeyspaceError> {
    source.read(&node_name(first), location, |bytes| {
        Entries::of(first, bytes).and_then(f)
    })?
}

/// The id of the first entry that is neither trimmed nor deleted, nor `gone` by its ordinal.
pub(super) fn first_live(
    source: &Source<'_>,
    shape: &StreamShape,
    trimmed_through: u64,
    gone: &dyn Fn(u64) -> bool,
) -> Result<Option<StreamId>, KeyspaceError> {
    for node in shape.nodes.range(0..shape.nodes.len()) {
        if node.last <= trimmed_through {
            continue;
        }
        let first = read_node(source, node.first, node.location, |mut entries| {
            while let Some(place) = entries.next()? {
                let out = place.ordinal <= trimmed_through || node.is_deleted(place.index);
                if !out && !gone(place.ordinal) {
                    return Ok(Some(place.id));
                }
            }
            Ok(None)
        })?;
        if first.is_some() {
            return Ok(first);
        }
    }
    let mut open = shape.open.iter();
    let first = open.find(|entry| entry.ordinal > trimmed_through && !gone(entry.ordinal));
    Ok(first.map(|entry| entry.id))
}
