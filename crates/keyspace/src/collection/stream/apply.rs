//! Applies the changes of a call in DRAM, once their records are written.

use smallvec::SmallVec;

use super::StreamId;
use super::edit::StreamEdits;
use super::groups::{Group, Pending};
use super::plan::Closed;
use super::records::RecordName;
use super::shape::{
    Deleted, Node, OpenEntry, StreamShape, bit, group_records, node_records, record_key,
};
use crate::collection::elements::ElementKey;
use store::Location;

/// Records that count no longer, without a record that says so.
pub(in super::super) type Forgotten = Vec<(ElementKey, Location)>;

impl StreamEdits {
    /// Applies the written changes to the stream in DRAM. `locations` begin with those of the [`writes`](Self::writes).
    /// Returns how many belonged to this stream, and the records that count no longer.
    pub fn apply(
        &self,
        id: u64,
        shape: &mut StreamShape,
        locations: &[Location],
    ) -> (usize, Forgotten) {
        let mut forgotten = Forgotten::new();
        let mut nodes = SmallVec::<[(u64, Location); 2]>::new();
        for (planned, &location) in self.plan.writes.iter().zip(locations) {
            let value = planned.value.clone().map(|value| &self.bytes[value]);
            match (planned.name, value) {
                (RecordName::Head, _) => shape.head_location = Some(location),
                (RecordName::Node(first), Some(_)) => nodes.push((first, location)),
                (RecordName::Node(first), None) => {
                    if let Some(position) = shape.node_named(first) {
                        shape.nodes.remove(position);
                    }
                }
                (RecordName::Deleted(first), Some(bits)) => {
                    mark_deleted(shape, first, bits, location);
                }
                (RecordName::Deleted(_), None) => {}
                (name, value) => self.apply_to_group(
                    id,
                    shape,
                    (name, value.is_some()),
                    location,
                    &mut forgotten,
                ),
            }
        }
        if self.modifies || self.head_dirty {
            self.apply_to_entries(id, shape, &nodes, &mut forgotten);
            shape.len = self.len;
            shape.first_id = self.plan.first_id;
        }
        shape.head = self.head;
        (self.plan.writes.len(), forgotten)
    }

    fn apply_to_entries(
        &self,
        id: u64,
        shape: &mut StreamShape,
        written: &[(u64, Location)],
        forgotten: &mut Forgotten,
    ) {
        let location_of = |ordinal| {
            written
                .iter()
                .find(|&&(first, _)| first == ordinal)
                .map(|&(_, at)| at)
        };
        let trimmed_through = self.head.trimmed_through;
        while shape
            .nodes
            .first()
            .is_some_and(|node| node.last <= trimmed_through)
            && let Some(node) = shape.nodes.pop_front()
        {
            forgotten.extend(node_records(&node).map(|(name, at)| (record_key(id, name), at)));
        }
        if let Some((first, live)) = self.cut
            && let Some(position) = shape.node_named(first)
            && let Some(node) = shape.nodes.get_mut(position)
        {
            node.live = live;
        }
        let forget = |entry: &OpenEntry| {
            (
                record_key(id, RecordName::Node(entry.ordinal)),
                entry.location,
            )
        };
        if self.closes {
            let kept = self.plan.closed.map(|closed| closed.first.0);
            forgotten.extend(
                shape
                    .open
                    .iter()
                    .filter(|entry| Some(entry.ordinal) != kept)
                    .map(forget),
            );
            shape.open.clear();
            if let Some(closed) = self.plan.closed
                && let Some(location) = location_of(closed.first.0)
            {
                shape.nodes.push_back(new_node(closed, location));
            }
        } else if self.head_dirty {
            let trimmed = shape
                .open
                .iter()
                .filter(|entry| entry.ordinal <= trimmed_through);
            forgotten.extend(trimmed.map(forget));
            shape.open.retain(|entry| !self.is_gone(entry.ordinal));
        }
        if shape.open.is_empty() {
            shape.open_size = None;
        }
        if let Some(appended) = &self.appended
            && let Some(location) = location_of(appended.ordinal)
        {
            let place = (appended.ordinal, appended.id);
            if appended.closed {
                let closed = Closed {
                    first: place,
                    last: place,
                    count: 1,
                };
                shape.nodes.push_back(new_node(closed, location));
            } else {
                shape.open_size = Some(appended.size);
                shape.open.push_back(OpenEntry {
                    ordinal: place.0,
                    id: place.1,
                    location,
                });
            }
        }
    }

    fn apply_to_group(
        &self,
        id: u64,
        shape: &mut StreamShape,
        (name, put): (RecordName, bool),
        location: Location,
        forgotten: &mut Forgotten,
    ) {
        let (RecordName::Group(number)
        | RecordName::Consumer(number, _)
        | RecordName::Pending(number, _)) = name
        else {
            return;
        };
        let Some(edit) = self.groups.get(&number) else {
            return;
        };
        if let RecordName::Group(number) = name {
            if !put {
                if let Some(group) = shape.groups.remove(&number) {
                    shape.groups_by_name.remove(&group.name);
                    let others = group_records(number, &group).skip(1);
                    forgotten.extend(others.map(|(name, at)| (record_key(id, name), at)));
                }
                return;
            }
            let group = shape.groups.entry(number).or_insert_with(|| {
                shape
                    .groups_by_name
                    .insert(edit.name.as_slice().into(), number);
                Group::new(&edit.name, StreamId::MIN, 0, location)
            });
            group.location = location;
            group.last_id = edit.state.last_id;
            group.entries_read = edit.state.entries_read;
            return;
        }
        let Some(group) = shape.groups.get_mut(&number) else {
            return;
        };
        match (name, put) {
            (RecordName::Consumer(_, number), true) => {
                let Some(edit) = edit.consumers.get(&number) else {
                    return;
                };
                if let Some(consumer) = group.consumers.get_mut(&number) {
                    consumer.location = location;
                    consumer.stored = edit.times;
                    consumer.times.set(edit.times);
                } else {
                    group.add_consumer(number, &edit.name, edit.times, location);
                }
            }
            (RecordName::Consumer(_, number), false) => group.remove_consumer(number),
            (RecordName::Pending(_, id), true) => {
                if let Some(Some(pending)) = edit.pending.get(&id) {
                    let pending = Pending {
                        consumer: pending.consumer,
                        delivered_at: pending.delivered_at,
                        deliveries: pending.deliveries,
                        location,
                    };
                    group.set_pending(id, pending);
                }
            }
            (RecordName::Pending(_, id), false) => group.remove_pending(id),
            _ => {}
        }
    }
}

pub(super) fn new_node(closed: Closed, location: Location) -> Node {
    Node {
        first: closed.first.0,
        last: closed.last.0,
        first_id: closed.first.1,
        last_id: closed.last.1,
        location,
        count: closed.count,
        live: closed.count,
        deleted: None,
    }
}

fn mark_deleted(shape: &mut StreamShape, first: u64, bits: &[u8], location: Location) {
    let position = shape.node_named(first);
    if let Some(node) = position.and_then(|position| shape.nodes.get_mut(position)) {
        let more = (0..node.count)
            .filter(|&index| bit(bits, index) && !node.is_deleted(index))
            .count();
        node.live -= u32::try_from(more).unwrap_or(node.live).min(node.live);
        node.deleted = Some(Box::new(Deleted {
            location,
            bits: bits.into(),
        }));
    }
}
