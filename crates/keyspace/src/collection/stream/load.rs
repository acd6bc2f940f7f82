//! Builds a stream from its records.

use std::collections::HashMap;

use super::StreamId;
use super::groups::{Group, Pending};
use super::node::{DAMAGED, Entries, NodeHead};
use super::records::{ConsumerRecord, GroupRecord, Head, PendingRecord, RecordName};
use super::shape::{Deleted, Node, OpenEntry, StreamShape, bit, node_records};
use super::view::first_live;
use crate::KeyspaceError;
use crate::collection::source::Source;
use store::Location;

/// A consumer that was found: its group, its number, its times, its name, and where its record lies.
type FoundConsumer = (u32, u32, (i64, i64), Box<[u8]>, Location);

/// The records of a stream, in any order.
#[derive(Debug, Default)]
pub(in super::super) struct StreamParts {
    head: Option<(Head, Location)>,
    nodes: Vec<(NodeHead, Location)>,
    deleted: HashMap<u64, Deleted>,
    groups: Vec<(u32, Group)>,
    consumers: Vec<FoundConsumer>,
    pending: Vec<(u32, StreamId, PendingRecord, Location)>,
}

/// Records that count no longer.
type Dead = Vec<(RecordName, Location)>;

impl StreamParts {
    /// How many records there are.
    pub fn len(&self) -> usize {
        usize::from(self.head.is_some())
            + self.nodes.len()
            + self.deleted.len()
            + self.groups.len()
            + self.consumers.len()
            + self.pending.len()
    }

    /// Open nodes up to this ordinal are part of the closed nodes that were added, or deleted.
    pub fn closed_through(&self) -> u64 {
        let closed = self.nodes.iter().filter(|(node, _)| node.closed);
        let closed = closed.map(|(node, _)| node.last_ordinal).max();
        let head = self
            .head
            .as_ref()
            .map_or(0, |(head, _)| head.closed_through);
        head.max(closed.unwrap_or(0))
    }

    /// Adds a record.
    pub fn insert(
        &mut self,
        name: &[u8],
        value: &[u8],
        location: Location,
    ) -> Result<(), KeyspaceError> {
        match RecordName::decode(name).ok_or(DAMAGED)? {
            RecordName::Head => {
                self.head = Some((Head::decode(value).ok_or(DAMAGED)?, location));
            }
            RecordName::Node(first) => {
                self.nodes.push((Entries::of(first, value)?.head, location));
            }
            RecordName::Deleted(first) => {
                let bits = value.into();
                self.deleted.insert(first, Deleted { location, bits });
            }
            RecordName::Group(number) => {
                let record = GroupRecord::decode(value).ok_or(DAMAGED)?;
                let group = Group::new(record.name, record.last_id, record.entries_read, location);
                self.groups.push((number, group));
            }
            RecordName::Consumer(group, number) => {
                let record = ConsumerRecord::decode(value).ok_or(DAMAGED)?;
                let times = (record.seen, record.active);
                self.consumers
                    .push((group, number, times, record.name.into(), location));
            }
            RecordName::Pending(group, id) => {
                let record = PendingRecord::decode(value).ok_or(DAMAGED)?;
                self.pending.push((group, id, record, location));
            }
        }
        Ok(())
    }

    /// The stream, and the records that count no longer.
    pub fn build(
        mut self,
        source: &Source<'_>,
    ) -> Result<(StreamShape, Vec<(RecordName, Location)>), KeyspaceError> {
        let mut stream = StreamShape::default();
        if let Some((head, location)) = self.head {
            stream.head = head;
            stream.head_location = Some(location);
        }
        let mut dead = Vec::new();
        self.take_nodes(&mut stream, source, &mut dead)?;
        self.take_groups(&mut stream, &mut dead)?;
        Ok((stream, dead))
    }

    fn take_nodes(
        &mut self,
        stream: &mut StreamShape,
        source: &Source<'_>,
        dead: &mut Dead,
    ) -> Result<(), KeyspaceError> {
        self.nodes
            .sort_unstable_by_key(|(node, _)| node.first_ordinal);
        let head = &mut stream.head;
        let closed = self.nodes.iter().filter(|(node, _)| node.closed);
        let closed_through = closed.map(|(node, _)| node.last_ordinal).max();
        head.closed_through = head.closed_through.max(closed_through.unwrap_or(0));
        if let Some((newest, _)) = self.nodes.last()
            && newest.last_ordinal >= head.next_ordinal
        {
            head.next_ordinal = newest.last_ordinal.checked_add(1).ok_or(DAMAGED)?;
            head.last_id = newest.last_id;
        }
        // The highest ordinal and id so far.
        let mut last: Option<(u64, StreamId)> = None;
        for (node, location) in std::mem::take(&mut self.nodes) {
            let first = node.first_ordinal;
            let trimmed = node.last_ordinal <= head.trimmed_through;
            if trimmed || (!node.closed && first <= head.closed_through) {
                dead.push((RecordName::Node(first), location));
                continue;
            }
            if last.is_some_and(|last| last.0 >= first || last.1 >= node.first_id) {
                return Err(DAMAGED);
            }
            // Once the last entry is deleted, XSETID may have set a lower id, which the next entries count from.
            let deleted = self.deleted.get(&first);
            let ends_deleted = deleted.is_some_and(|deleted| bit(&deleted.bits, node.count - 1));
            let last_id = if ends_deleted {
                node.first_id
            } else {
                node.last_id
            };
            last = Some((node.last_ordinal, last_id));
            if !node.closed {
                stream.open.push_back(OpenEntry {
                    ordinal: first,
                    id: node.first_id,
                    location,
                });
                continue;
            }
            let deleted = self.deleted.remove(&first);
            let gone = deleted
                .as_ref()
                .map_or(Ok(0), |deleted| count_bits(deleted, node.count))?;
            let mut node = Node {
                first,
                last: node.last_ordinal,
                first_id: node.first_id,
                last_id: node.last_id,
                location,
                count: node.count,
                live: node.count - gone,
                deleted: deleted.map(Box::new),
            };
            if first <= head.trimmed_through {
                node.live = live_after(&node, head.trimmed_through, source)?;
            }
            if node.live == 0 {
                dead.extend(node_records(&node));
            } else {
                stream.nodes.push_back(node);
            }
        }
        if last.is_some_and(|(_, id)| id > head.last_id) {
            return Err(DAMAGED);
        }
        let orphans = self.deleted.drain();
        dead.extend(orphans.map(|(first, deleted)| (RecordName::Deleted(first), deleted.location)));
        let live = stream.nodes.range(0..stream.nodes.len());
        let live: u64 = live.map(|node| u64::from(node.live)).sum();
        stream.len = live + stream.open.len() as u64;
        let first = first_live(source, stream, stream.head.trimmed_through, &|_| false)?;
        stream.first_id = first.unwrap_or_default();
        Ok(())
    }

    fn take_groups(
        &mut self,
        stream: &mut StreamShape,
        dead: &mut Dead,
    ) -> Result<(), KeyspaceError> {
        for (number, group) in self.groups.drain(..) {
            if stream
                .groups_by_name
                .insert(group.name.clone(), number)
                .is_some()
            {
                return Err(DAMAGED);
            }
            stream.groups.insert(number, group);
        }
        if let Some((&last, _)) = stream.groups.last_key_value() {
            let next = last.checked_add(1).ok_or(DAMAGED)?;
            stream.head.next_group = stream.head.next_group.max(next);
        }
        for (group, number, times, name, location) in self.consumers.drain(..) {
            // A destroyed group leaves its other records behind.
            let Some(of) = stream.groups.get_mut(&group) else {
                dead.push((RecordName::Consumer(group, number), location));
                continue;
            };
            if of.consumers_by_name.contains_key(&name) {
                return Err(DAMAGED);
            }
            of.add_consumer(number, &name, times, location);
        }
        self.pending
            .sort_unstable_by_key(|&(group, id, ..)| (group, id));
        for (group, id, record, location) in self.pending.drain(..) {
            let of = stream.groups.get_mut(&group);
            match of.filter(|group| group.consumers.contains_key(&record.consumer)) {
                Some(group) => group.set_pending(
                    id,
                    Pending {
                        consumer: record.consumer,
                        delivered_at: record.delivered_at,
                        deliveries: record.deliveries,
                        location,
                    },
                ),
                None => dead.push((RecordName::Pending(group, id), location)),
            }
        }
        Ok(())
    }
}

/// How many entries of `count` are deleted.
fn count_bits(deleted: &Deleted, count: u32) -> Result<u32, KeyspaceError> {
    let bits = &deleted.bits;
    let fits = bits.len() == (count as usize).div_ceil(8)
        && (count.is_multiple_of(8) || bits.last().is_some_and(|last| last >> (count % 8) == 0));
    if !fits {
        return Err(DAMAGED);
    }
    Ok(bits.iter().map(|byte| byte.count_ones()).sum())
}

/// How many entries of a node are neither deleted nor trimmed.
fn live_after(
    node: &Node,
    trimmed_through: u64,
    source: &Source<'_>,
) -> Result<u32, KeyspaceError> {
    let mut name = Vec::new();
    RecordName::Node(node.first).encode(&mut name);
    source.read(&name, node.location, |bytes| {
        let mut live = 0;
        let mut entries = Entries::of(node.first, bytes)?;
        while let Some(place) = entries.next()? {
            live += u32::from(place.ordinal > trimmed_through && !node.is_deleted(place.index));
        }
        Ok(live)
    })?
}
