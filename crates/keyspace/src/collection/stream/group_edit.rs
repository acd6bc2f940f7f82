//! Changes of the groups of a stream.

use std::collections::BTreeMap;

use super::StreamId;
use super::edit::StreamEdit;
use super::groups::{Consumer, Group};

/// A consumer's times are written again once the stored ones are older than this, ms.
const TIMES_OLD_MS: i64 = 1000;

/// How far a group has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupState {
    /// The highest id that it has delivered.
    pub last_id: StreamId,
    /// How many entries it has delivered; -1 if that is unknown.
    pub entries_read: i64,
}

/// An entry that was delivered and is not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingState {
    /// The number of the consumer that has it.
    pub consumer: u32,
    /// When it was delivered last, ms since the Unix epoch.
    pub delivered_at: i64,
    /// How often it was delivered.
    pub deliveries: u64,
}

/// The changes of a group.
#[derive(Debug)]
pub(super) struct GroupEdit {
    pub name: Vec<u8>,
    pub state: GroupState,
    /// Whether the group's record must be written.
    pub dirty: bool,
    pub destroyed: bool,
    pub consumers: BTreeMap<u32, ConsumerEdit>,
    /// `None` where the entry is pending no longer.
    pub pending: BTreeMap<StreamId, Option<PendingState>>,
}

/// The changes of a consumer.
#[derive(Debug)]
pub(super) struct ConsumerEdit {
    pub name: Vec<u8>,
    pub times: (i64, i64),
    /// Whether its record must be written.
    pub dirty: bool,
    pub removed: bool,
}

impl GroupEdit {
    pub fn is_clean(&self) -> bool {
        !self.dirty
            && !self.destroyed
            && self.pending.is_empty()
            && self
                .consumers
                .values()
                .all(|one| !one.dirty && !one.removed)
    }
}

/// Groups are named by their numbers, which [`group`](Self::group) finds; so are consumers within a group.
impl StreamEdit<'_> {
    fn stored_group(&self, group: u32) -> Option<&Group> {
        self.shape.groups.get(&group)
    }

    fn stored_consumer(&self, group: u32, consumer: u32) -> Option<&Consumer> {
        self.stored_group(group)?.consumers.get(&consumer)
    }

    fn group_edit(&mut self, group: u32) -> &mut GroupEdit {
        let stored = self.shape.groups.get(&group);
        self.edits.groups.entry(group).or_insert_with(|| GroupEdit {
            name: stored.map_or_else(Vec::new, |group| group.name.to_vec()),
            state: GroupState {
                last_id: stored.map_or(StreamId::MIN, |group| group.last_id),
                entries_read: stored.map_or(-1, |group| group.entries_read),
            },
            dirty: false,
            destroyed: false,
            consumers: BTreeMap::new(),
            pending: BTreeMap::new(),
        })
    }

    /// The group of this name, after the changes so far.
    pub fn group(&self, name: &[u8]) -> Option<u32> {
        let edited = self.edits.groups.iter();
        let edited = edited.filter(|(_, group)| !group.destroyed && group.name == name);
        if let Some((&number, _)) = edited.into_iter().next() {
            return Some(number);
        }
        let number = *self.shape.groups_by_name.get(name)?;
        let destroyed = self
            .edits
            .groups
            .get(&number)
            .is_some_and(|group| group.destroyed);
        (!destroyed).then_some(number)
    }

    /// The numbers of all groups, after the changes so far.
    pub fn group_numbers(&self) -> Vec<u32> {
        let mut numbers: Vec<u32> = self.shape.groups.keys().copied().collect();
        numbers.extend(self.edits.groups.keys());
        numbers.sort_unstable();
        numbers.dedup();
        numbers.retain(|number| {
            self.edits
                .groups
                .get(number)
                .is_none_or(|group| !group.destroyed)
        });
        numbers
    }

    /// How far a group has read.
    pub fn group_state(&self, group: u32) -> GroupState {
        if let Some(edit) = self.edits.groups.get(&group) {
            return edit.state;
        }
        let stored = self.stored_group(group);
        GroupState {
            last_id: stored.map_or(StreamId::MIN, |group| group.last_id),
            entries_read: stored.map_or(-1, |group| group.entries_read),
        }
    }

    /// Sets how far a group has read.
    pub fn set_group_state(&mut self, group: u32, state: GroupState) {
        let edit = self.group_edit(group);
        edit.dirty |= edit.state != state;
        edit.state = state;
    }

    /// Makes a group, whose name no other group has.
    pub fn create_group(&mut self, name: &[u8], state: GroupState) {
        let number = self.edits.head.next_group;
        self.edits.head.next_group += 1;
        let edit = self.group_edit(number);
        edit.name = name.to_vec();
        edit.state = state;
        edit.dirty = true;
    }

    /// Removes a group, with its consumers and pending entries.
    pub fn destroy_group(&mut self, group: u32) {
        self.group_edit(group).destroyed = true;
        self.edits.wakes = true;
        // The group's number must not come back: it is all that tells the group's other records from a new group's.
        self.edits.head_dirty = true;
    }

    /// The consumer of this name, after the changes so far.
    pub fn consumer(&self, group: u32, name: &[u8]) -> Option<u32> {
        let edit = self.edits.groups.get(&group);
        let mut edited = edit.into_iter().flat_map(|edit| &edit.consumers);
        if let Some((&number, _)) = edited.find(|(_, one)| !one.removed && one.name == name) {
            return Some(number);
        }
        let number = *self.stored_group(group)?.consumers_by_name.get(name)?;
        let removed = edit
            .and_then(|edit| edit.consumers.get(&number))
            .is_some_and(|one| one.removed);
        (!removed).then_some(number)
    }

    /// Makes a consumer, whose name no other consumer of the group has. Returns its number.
    pub fn create_consumer(&mut self, group: u32, name: &[u8], now: i64) -> u32 {
        let stored = self
            .stored_group(group)
            .and_then(|group| group.consumers.last_key_value());
        let stored = stored.map_or(0, |(&last, _)| last + 1);
        let edit = self.group_edit(group);
        let edited = edit
            .consumers
            .last_key_value()
            .map_or(0, |(&last, _)| last + 1);
        let number = stored.max(edited);
        let consumer = ConsumerEdit {
            name: name.to_vec(),
            times: (now, -1),
            dirty: true,
            removed: false,
        };
        edit.consumers.insert(number, consumer);
        number
    }

    /// Notes that a consumer has called, and whether it got an entry.
    ///
    /// The times of a consumer that calls often are written once a second.
    pub fn touch_consumer(&mut self, group: u32, consumer: u32, now: i64, active: bool) {
        if let Some(edit) = self
            .edits
            .groups
            .get_mut(&group)
            .and_then(|edit| edit.consumers.get_mut(&consumer))
        {
            edit.times.0 = now;
            if active {
                edit.times.1 = now;
            }
            return;
        }
        let Some(stored) = self.stored_consumer(group, consumer) else {
            return;
        };
        let mut times = stored.times.get();
        times.0 = now;
        if active {
            times.1 = now;
        }
        let is_old = |now: i64, stored: i64| now.saturating_sub(stored) >= TIMES_OLD_MS;
        if is_old(times.0, stored.stored.0) || is_old(times.1, stored.stored.1) {
            let name = stored.name.to_vec();
            let edit = ConsumerEdit {
                name,
                times,
                dirty: true,
                removed: false,
            };
            self.group_edit(group).consumers.insert(consumer, edit);
        } else {
            // No record is written, so nothing would set them later.
            stored.times.set(times);
        }
    }

    /// Removes a consumer with its pending entries; returns how many these were.
    pub fn remove_consumer(&mut self, group: u32, consumer: u32) -> usize {
        let pending = self.pending_ids(group, Some(consumer), StreamId::MIN, usize::MAX);
        for &id in &pending {
            self.remove_pending(group, id);
        }
        let edit = ConsumerEdit {
            name: Vec::new(),
            times: (0, 0),
            dirty: false,
            removed: true,
        };
        self.group_edit(group).consumers.insert(consumer, edit);
        pending.len()
    }

    /// A pending entry, after the changes so far.
    pub fn pending(&self, group: u32, id: StreamId) -> Option<PendingState> {
        if let Some(edit) = self
            .edits
            .groups
            .get(&group)
            .and_then(|edit| edit.pending.get(&id))
        {
            return *edit;
        }
        let pending = self.stored_group(group)?.pending.get(&id)?;
        Some(PendingState {
            consumer: pending.consumer,
            delivered_at: pending.delivered_at,
            deliveries: pending.deliveries,
        })
    }

    /// Sets a pending entry.
    pub fn set_pending(&mut self, group: u32, id: StreamId, pending: PendingState) {
        self.group_edit(group).pending.insert(id, Some(pending));
    }

    /// Removes a pending entry; returns whether it was there.
    pub fn remove_pending(&mut self, group: u32, id: StreamId) -> bool {
        let there = self.pending(group, id).is_some();
        if there {
            self.group_edit(group).pending.insert(id, None);
        }
        there
    }

    /// Whether there is any group, after the changes so far.
    pub(super) fn has_groups(&self) -> bool {
        !self.group_numbers().is_empty()
    }

    /// Whether a group refers to an entry: it is pending, or the group has not read so far.
    pub fn is_referenced(&self, id: StreamId) -> bool {
        let mut groups = self.group_numbers().into_iter();
        groups
            .any(|group| self.group_state(group).last_id < id || self.pending(group, id).is_some())
    }

    /// Removes an entry from the pending ones of all groups; returns whether it was pending.
    pub fn drop_references(&mut self, id: StreamId) -> bool {
        let mut dropped = false;
        for group in self.group_numbers() {
            dropped |= self.remove_pending(group, id);
        }
        dropped
    }

    /// The ids of up to `count` pending entries, of one consumer or of all, from `from` on, after the changes so far.
    pub fn pending_ids(
        &self,
        group: u32,
        consumer: Option<u32>,
        from: StreamId,
        count: usize,
    ) -> Vec<StreamId> {
        let edited = self.edits.groups.get(&group).map(|edit| &edit.pending);
        let changed = |id: &StreamId| edited.is_some_and(|edited| edited.contains_key(id));
        let stored = self.stored_group(group);
        let mut ids: Vec<StreamId> = match (stored, consumer) {
            (Some(group), Some(consumer)) => {
                let pending = group
                    .consumers
                    .get(&consumer)
                    .map(|one| one.pending.range(from..));
                let pending = pending.into_iter().flatten().copied();
                pending.filter(|id| !changed(id)).take(count).collect()
            }
            (Some(group), None) => {
                let pending = group.pending.range(from..).map(|(&id, _)| id);
                pending.filter(|id| !changed(id)).take(count).collect()
            }
            (None, _) => Vec::new(),
        };
        if let Some(edited) = edited.filter(|edited| !edited.is_empty()) {
            let of_it =
                |one: &PendingState| consumer.is_none_or(|consumer| one.consumer == consumer);
            let new = edited
                .range(from..)
                .filter(|(_, one)| one.as_ref().is_some_and(of_it));
            ids.extend(new.map(|(&id, _)| id));
            ids.sort_unstable();
            ids.truncate(count);
        }
        ids
    }
}
