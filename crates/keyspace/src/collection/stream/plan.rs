//! Determines which records the changes of a call write.

use std::ops::Range;

use smallvec::SmallVec;

use super::StreamId;
use super::close::close;
use super::edit::StreamEdits;
use super::records::{ConsumerRecord, GroupRecord, PendingRecord, RecordName};
use super::shape::{OpenEntry, StreamShape};
use super::view::first_live;
use crate::collection::element_record_key;
use crate::collection::source::Source;
use crate::{KeyspaceError, Kind};
use store::{Location, Write};

/// A record that the changes write.
#[derive(Debug)]
pub(super) struct Planned {
    pub name: RecordName,
    /// The key in the buffer of bytes.
    key: Range<usize>,
    /// The value in the buffer of bytes; `None` removes the record.
    pub value: Option<Range<usize>>,
    previous: Option<Location>,
}

/// The records to write, and what follows for the stream in DRAM.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub writes: SmallVec<[Planned; 2]>,
    pub first_id: StreamId,
    /// The closed node that the open entries become.
    pub closed: Option<Closed>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Closed {
    pub first: (u64, StreamId),
    pub last: (u64, StreamId),
    pub count: u32,
}

impl StreamEdits {
    /// Determines the records to write for a change of the stream `id`.
    pub(in super::super) fn plan(
        &mut self,
        shape: &StreamShape,
        source: &Source<'_>,
    ) -> Result<(), KeyspaceError> {
        self.plan_first_id(shape, source)?;
        let appended = self
            .appended
            .as_ref()
            .map(|one| (one.ordinal, one.id, one.value.clone()));
        let stays = appended.filter(|&(ordinal, ..)| !self.is_gone(ordinal));
        let left: SmallVec<[&OpenEntry; 4]> = if self.closes || self.head_dirty {
            shape
                .open
                .iter()
                .filter(|entry| !self.is_gone(entry.ordinal))
                .collect()
        } else {
            SmallVec::new()
        };
        if self.closes {
            self.plan_closed(&left, source)?;
        } else if self.head_dirty {
            if left.is_empty() && stays.is_none() {
                // The next entry begins a new node.
                self.head.closed_through = self.head.next_ordinal - 1;
            }
            let gone = shape
                .open
                .iter()
                .filter(|entry| self.gone.contains(&entry.ordinal));
            let gone: SmallVec<[OpenEntry; 4]> = gone
                .filter(|entry| entry.ordinal > self.head.trimmed_through)
                .copied()
                .collect();
            for entry in gone {
                self.remove(source, RecordName::Node(entry.ordinal), entry.location);
            }
        }
        if let Some((ordinal, _, value)) = stays {
            self.put(source, RecordName::Node(ordinal), value, None);
        }
        self.plan_deleted(shape, source);
        if self.head_dirty {
            let start = self.bytes.len();
            self.head.encode(&mut self.bytes);
            self.put(
                source,
                RecordName::Head,
                start..self.bytes.len(),
                shape.head_location,
            );
        }
        self.plan_groups(shape, source);
        Ok(())
    }

    fn plan_first_id(
        &mut self,
        shape: &StreamShape,
        source: &Source<'_>,
    ) -> Result<(), KeyspaceError> {
        let base_trimmed = self.base.map_or(0, |base| base.trimmed_through);
        self.plan.first_id = if self.len == 0 {
            StreamId::MIN
        } else if shape.len > 0 && self.gone.is_empty() && self.head.trimmed_through == base_trimmed
        {
            shape.first_id
        } else {
            let trimmed = self.head.trimmed_through;
            let first = first_live(source, shape, trimmed, &|ordinal| {
                self.gone.contains(&ordinal)
            })?;
            let appended = self.appended.as_ref().map(|one| one.id);
            first.or(appended).unwrap_or_default()
        };
        Ok(())
    }

    /// Plans the closed node that takes the place of the open entries.
    fn plan_closed(
        &mut self,
        left: &[&OpenEntry],
        source: &Source<'_>,
    ) -> Result<(), KeyspaceError> {
        let (Some(first), Some(closed)) = (left.first(), Closed::of(left)) else {
            return Ok(());
        };
        let start = self.bytes.len();
        close(source, left, &mut self.bytes)?;
        let value = start..self.bytes.len();
        self.put(
            source,
            RecordName::Node(first.ordinal),
            value,
            Some(first.location),
        );
        self.plan.closed = Some(closed);
        Ok(())
    }

    /// Plans the records of deleted entries in closed nodes.
    fn plan_deleted(&mut self, shape: &StreamShape, source: &Source<'_>) {
        for (first, indexes) in std::mem::take(&mut self.deleted) {
            let node = shape
                .node_named(first)
                .and_then(|position| shape.nodes.get(position));
            let Some(node) = node.filter(|node| node.last > self.head.trimmed_through) else {
                continue;
            };
            let previous = node.deleted.as_ref().map(|deleted| deleted.location);
            if indexes.len() >= node.live as usize {
                self.remove(source, RecordName::Node(first), node.location);
                if let Some(location) = previous {
                    self.remove(source, RecordName::Deleted(first), location);
                }
                continue;
            }
            let mut bits = match &node.deleted {
                Some(deleted) => deleted.bits.to_vec(),
                None => vec![0; (node.count as usize).div_ceil(8)],
            };
            for index in indexes {
                bits[index as usize / 8] |= 1 << (index % 8);
            }
            let start = self.bytes.len();
            self.bytes.extend_from_slice(&bits);
            self.put(
                source,
                RecordName::Deleted(first),
                start..self.bytes.len(),
                previous,
            );
        }
    }

    fn plan_groups(&mut self, shape: &StreamShape, source: &Source<'_>) {
        let groups = std::mem::take(&mut self.groups);
        for (&number, group) in &groups {
            let stored = shape.groups.get(&number);
            if group.destroyed {
                if let Some(stored) = stored {
                    self.remove(source, RecordName::Group(number), stored.location);
                }
                continue;
            }
            if group.dirty {
                let start = self.bytes.len();
                GroupRecord {
                    last_id: group.state.last_id,
                    entries_read: group.state.entries_read,
                    name: &group.name,
                }
                .encode(&mut self.bytes);
                let previous = stored.map(|group| group.location);
                self.put(
                    source,
                    RecordName::Group(number),
                    start..self.bytes.len(),
                    previous,
                );
            }
            let stored_consumer =
                |consumer| stored.and_then(|group| group.consumers.get(&consumer));
            for (&consumer, edit) in group
                .consumers
                .iter()
                .filter(|(_, edit)| edit.dirty && !edit.removed)
            {
                let start = self.bytes.len();
                ConsumerRecord {
                    seen: edit.times.0,
                    active: edit.times.1,
                    name: &edit.name,
                }
                .encode(&mut self.bytes);
                let previous = stored_consumer(consumer).map(|one| one.location);
                let name = RecordName::Consumer(number, consumer);
                self.put(source, name, start..self.bytes.len(), previous);
            }
            for (&id, pending) in &group.pending {
                let previous = stored
                    .and_then(|group| group.pending.get(&id))
                    .map(|one| one.location);
                let name = RecordName::Pending(number, id);
                match (pending, previous) {
                    (Some(pending), previous) => {
                        let start = self.bytes.len();
                        PendingRecord {
                            consumer: pending.consumer,
                            delivered_at: pending.delivered_at,
                            deliveries: pending.deliveries,
                        }
                        .encode(&mut self.bytes);
                        self.put(source, name, start..self.bytes.len(), previous);
                    }
                    (None, Some(location)) => self.remove(source, name, location),
                    (None, None) => {}
                }
            }
            for (&consumer, _) in group.consumers.iter().filter(|(_, edit)| edit.removed) {
                if let Some(one) = stored_consumer(consumer) {
                    self.remove(source, RecordName::Consumer(number, consumer), one.location);
                }
            }
        }
        self.groups = groups;
    }

    fn put(
        &mut self,
        source: &Source<'_>,
        name: RecordName,
        value: Range<usize>,
        previous: Option<Location>,
    ) {
        let key = self.give_key(source, name);
        self.plan.writes.push(Planned {
            name,
            key,
            value: Some(value),
            previous,
        });
    }

    fn remove(&mut self, source: &Source<'_>, name: RecordName, location: Location) {
        let key = self.give_key(source, name);
        self.plan.writes.push(Planned {
            name,
            key,
            value: None,
            previous: Some(location),
        });
    }

    fn give_key(&mut self, source: &Source<'_>, name: RecordName) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&source.id.to_le_bytes());
        name.encode(&mut *self.bytes);
        start..self.bytes.len()
    }

    /// The records to write.
    pub fn writes(&self, partition: usize) -> impl Iterator<Item = Write<'_>> {
        self.plan.writes.iter().map(move |planned| {
            let record = element_record_key(partition, &self.bytes[planned.key.clone()]);
            match &planned.value {
                Some(value) => Write::Put {
                    record,
                    previous: planned.previous,
                    kind: Kind::Stream.into(),
                    expires_at: None,
                    value: &self.bytes[value.clone()],
                },
                None => Write::Remove {
                    record,
                    location: planned.previous.unwrap_or_default(),
                },
            }
        })
    }
}
