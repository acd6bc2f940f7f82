//! The DRAM side of a stream.

use std::collections::{BTreeMap, VecDeque};

use super::StreamId;
use super::groups::Group;
use super::records::{Head, RecordName};
use crate::collection::elements::{ElementKey, ID_BYTES};
use crate::collection::sequence::Sequence;
use store::Location;

/// Where the records of a stream lie.
#[derive(Debug, Default)]
pub(in super::super::super) struct StreamShape {
    pub head: Head,
    /// `None` if the stream has no record of the head.
    pub head_location: Option<Location>,
    /// How many entries there are.
    pub len: u64,
    /// The id of the first entry; 0-0 if there is none.
    pub first_id: StreamId,
    /// The closed nodes that have entries.
    pub(in super::super) nodes: Sequence<Node>,
    /// The open entries.
    pub(in super::super) open: VecDeque<OpenEntry>,
    /// Bytes that the open entries would take in a node of Redis, and a hash of the first one's fields. `None` after
    /// the load.
    pub(in super::super) open_size: Option<OpenSize>,
    pub(in super::super) groups: BTreeMap<u32, Group>,
    pub groups_by_name: BTreeMap<Box<[u8]>, u32>,
}

/// A closed node.
#[derive(Debug)]
pub(in super::super) struct Node {
    pub first: u64,
    pub last: u64,
    pub first_id: StreamId,
    pub last_id: StreamId,
    pub location: Location,
    /// How many entries the record has.
    pub count: u32,
    /// How many of them are neither deleted nor trimmed.
    pub live: u32,
    pub deleted: Option<Box<Deleted>>,
}

/// The record of a node's deleted entries.
#[derive(Clone, Debug)]
pub(in super::super) struct Deleted {
    pub location: Location,
    /// A bit for each entry, the lowest first.
    pub bits: Box<[u8]>,
}

/// An open entry.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct OpenEntry {
    pub ordinal: u64,
    pub id: StreamId,
    pub location: Location,
}

/// See [`StreamShape::open_size`].
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct OpenSize {
    pub bytes: usize,
    pub fields: u64,
    pub first_id: StreamId,
}

impl Node {
    /// Whether the entry at a position is deleted.
    #[inline]
    pub fn is_deleted(&self, index: u32) -> bool {
        self.deleted
            .as_ref()
            .is_some_and(|deleted| bit(&deleted.bits, index))
    }
}

/// The bit of the entry at a position.
pub(super) fn bit(bits: &[u8], index: u32) -> bool {
    bits.get(index as usize / 8)
        .is_some_and(|byte| byte & (1 << (index % 8)) != 0)
}

impl StreamShape {
    /// How many records the stream has; at least 1 once it is stored.
    pub fn record_count(&self) -> usize {
        let groups: usize = self.groups.values().map(Group::record_count).sum();
        usize::from(self.head_location.is_some()) + self.nodes.len() + self.open.len() + groups
    }

    /// About the DRAM that it takes, bytes.
    pub fn memory_bytes(&self) -> usize {
        let groups: usize = self.groups.values().map(Group::memory_bytes).sum();
        size_of::<Self>()
            + self.nodes.memory_bytes()
            + self.open.capacity() * size_of::<OpenEntry>()
            + groups
    }

    /// How many entries the open node has had, the deleted ones too.
    pub fn open_count(&self) -> u64 {
        self.head.next_ordinal - 1 - self.head.closed_through
    }

    /// The position of the closed node that may have the entry with this id.
    pub fn node_of(&self, id: StreamId) -> Option<usize> {
        let position = self
            .nodes
            .partition_point(|node| node.first_id <= id)
            .checked_sub(1)?;
        let node = self.nodes.get(position)?;
        (id <= node.last_id).then_some(position)
    }

    /// The position of the closed node with this ordinal for its first entry.
    pub fn node_named(&self, first: u64) -> Option<usize> {
        let position = self.nodes.partition_point(|node| node.first < first);
        let node = self.nodes.get(position)?;
        (node.first == first).then_some(position)
    }

    /// The position of the open entry with this ordinal.
    pub fn open_named(&self, ordinal: u64) -> Option<usize> {
        self.open
            .binary_search_by_key(&ordinal, |entry| entry.ordinal)
            .ok()
    }

    /// The position of the open entry with this id.
    pub fn open_with_id(&self, id: StreamId) -> Option<usize> {
        self.open.binary_search_by_key(&id, |entry| entry.id).ok()
    }

    /// The place where the location of a record is kept.
    pub fn location_mut(&mut self, name: &[u8]) -> Option<&mut Location> {
        match RecordName::decode(name)? {
            RecordName::Head => self.head_location.as_mut(),
            RecordName::Node(first) => {
                if let Some(position) = self.node_named(first) {
                    return Some(&mut self.nodes.get_mut(position)?.location);
                }
                let position = self.open_named(first)?;
                Some(&mut self.open.get_mut(position)?.location)
            }
            RecordName::Deleted(first) => {
                let position = self.node_named(first)?;
                let deleted = self.nodes.get_mut(position)?.deleted.as_mut()?;
                Some(&mut deleted.location)
            }
            RecordName::Group(group) => Some(&mut self.groups.get_mut(&group)?.location),
            RecordName::Consumer(group, consumer) => {
                let consumers = &mut self.groups.get_mut(&group)?.consumers;
                Some(&mut consumers.get_mut(&consumer)?.location)
            }
            RecordName::Pending(group, id) => {
                let pending = &mut self.groups.get_mut(&group)?.pending;
                Some(&mut pending.get_mut(&id)?.location)
            }
        }
    }

    /// The records, in no order.
    pub fn records(&self) -> impl Iterator<Item = (RecordName, Location)> {
        let head = self
            .head_location
            .map(|location| (RecordName::Head, location));
        let nodes = self.nodes.range(0..self.nodes.len()).flat_map(node_records);
        let open = self
            .open
            .iter()
            .map(|entry| (RecordName::Node(entry.ordinal), entry.location));
        let groups = self
            .groups
            .iter()
            .flat_map(|(&number, group)| group_records(number, group));
        head.into_iter().chain(nodes).chain(open).chain(groups)
    }

    /// Takes up to `count` records, or a few more, out of the stream.
    pub fn take_records(&mut self, id: u64, count: usize) -> Vec<(ElementKey, Location)> {
        let mut taken = Vec::new();
        let mut take = |name, location| taken.push((record_key(id, name), location));
        let mut left = count;
        if let Some(location) = self.head_location.take() {
            take(RecordName::Head, location);
        }
        while left > 0
            && let Some(entry) = self.open.pop_back()
        {
            take(RecordName::Node(entry.ordinal), entry.location);
            left -= 1;
        }
        while left > 0
            && let Some(node) = self.nodes.pop_back()
        {
            node_records(&node).for_each(|(name, location)| take(name, location));
            left -= 1;
        }
        while left > 0
            && let Some(mut entry) = self.groups.first_entry()
        {
            let number = *entry.key();
            let group = entry.get_mut();
            while left > 0
                && let Some((id, pending)) = group.pending.pop_first()
            {
                take(RecordName::Pending(number, id), pending.location);
                left -= 1;
            }
            if left > 0 {
                let group = entry.remove();
                group_records(number, &group).for_each(|(name, location)| take(name, location));
                left = left.saturating_sub(group.record_count());
            }
        }
        taken
    }
}

/// The records of a closed node.
pub(super) fn node_records(node: &Node) -> impl Iterator<Item = (RecordName, Location)> + use<> {
    let deleted = node.deleted.as_ref().map(|deleted| deleted.location);
    let deleted = deleted.map(|location| (RecordName::Deleted(node.first), location));
    [(RecordName::Node(node.first), node.location)]
        .into_iter()
        .chain(deleted)
}

/// The records of a group.
pub(super) fn group_records(
    number: u32,
    group: &Group,
) -> impl Iterator<Item = (RecordName, Location)> {
    let consumers = group.consumers.iter();
    let consumers = consumers
        .map(move |(&consumer, one)| (RecordName::Consumer(number, consumer), one.location));
    let pending = group.pending.iter();
    let pending = pending.map(move |(&id, one)| (RecordName::Pending(number, id), one.location));
    [(RecordName::Group(number), group.location)]
        .into_iter()
        .chain(consumers)
        .chain(pending)
}

/// The key of a record of the stream with this id.
pub(in super::super) fn record_key(id: u64, name: RecordName) -> ElementKey {
    let mut key = ElementKey::with_capacity(ID_BYTES + 24);
    key.extend_from_slice(&id.to_le_bytes());
    name.encode(&mut key);
    key
}
