//! The groups of a stream in DRAM.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, Ordering};

use super::StreamId;
use store::Location;

/// About what DRAM a group, a consumer and a pending entry take besides names, bytes.
const GROUP_BYTES: usize = 320;
const CONSUMER_BYTES: usize = 240;
const PENDING_BYTES: usize = 112;

/// A group of consumers.
#[derive(Debug)]
pub(in super::super) struct Group {
    pub name: Box<[u8]>,
    pub location: Location,
    /// The highest id that was delivered.
    pub last_id: StreamId,
    /// How many entries were delivered; -1 if that is unknown.
    pub entries_read: i64,
    pub consumers: BTreeMap<u32, Consumer>,
    pub consumers_by_name: BTreeMap<Box<[u8]>, u32>,
    pub pending: BTreeMap<StreamId, Pending>,
}

/// A consumer of a group.
#[derive(Debug)]
pub(in super::super) struct Consumer {
    pub name: Box<[u8]>,
    pub location: Location,
    pub times: Times,
    /// The times that the record holds.
    pub stored: (i64, i64),
    /// The ids of its pending entries.
    pub pending: BTreeSet<StreamId>,
}

/// When a consumer was seen last and when it was active last (-1: never), ms since the Unix epoch. Atomic, since a
/// call that changes nothing else writes them too.
#[derive(Debug)]
pub(in super::super) struct Times {
    seen: AtomicI64,
    active: AtomicI64,
}

impl Times {
    pub fn new(seen: i64, active: i64) -> Self {
        Self {
            seen: AtomicI64::new(seen),
            active: AtomicI64::new(active),
        }
    }

    pub fn get(&self) -> (i64, i64) {
        (
            self.seen.load(Ordering::Relaxed),
            self.active.load(Ordering::Relaxed),
        )
    }

    pub fn set(&self, (seen, active): (i64, i64)) {
        self.seen.store(seen, Ordering::Relaxed);
        self.active.store(active, Ordering::Relaxed);
    }
}

/// An entry that was delivered to a consumer and not acknowledged.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Pending {
    pub consumer: u32,
    pub delivered_at: i64,
    pub deliveries: u64,
    pub location: Location,
}

impl Group {
    /// A group without consumers.
    pub fn new(name: &[u8], last_id: StreamId, entries_read: i64, location: Location) -> Self {
        Self {
            name: name.into(),
            location,
            last_id,
            entries_read,
            consumers: BTreeMap::new(),
            consumers_by_name: BTreeMap::new(),
            pending: BTreeMap::new(),
        }
    }

    /// Adds a consumer.
    pub fn add_consumer(
        &mut self,
        number: u32,
        name: &[u8],
        times: (i64, i64),
        location: Location,
    ) {
        self.consumers_by_name.insert(name.into(), number);
        let consumer = Consumer {
            name: name.into(),
            location,
            times: Times::new(times.0, times.1),
            stored: times,
            pending: BTreeSet::new(),
        };
        self.consumers.insert(number, consumer);
    }

    /// Sets a pending entry, whose consumer exists.
    pub fn set_pending(&mut self, id: StreamId, pending: Pending) {
        let before = self.pending.insert(id, pending);
        if let Some(before) = before
            && before.consumer != pending.consumer
            && let Some(consumer) = self.consumers.get_mut(&before.consumer)
        {
            consumer.pending.remove(&id);
        }
        if before.is_none_or(|before| before.consumer != pending.consumer)
            && let Some(consumer) = self.consumers.get_mut(&pending.consumer)
        {
            consumer.pending.insert(id);
        }
    }

    /// Removes a pending entry.
    pub fn remove_pending(&mut self, id: StreamId) {
        if let Some(pending) = self.pending.remove(&id)
            && let Some(consumer) = self.consumers.get_mut(&pending.consumer)
        {
            consumer.pending.remove(&id);
        }
    }

    /// Removes a consumer that has no pending entries.
    pub fn remove_consumer(&mut self, number: u32) {
        if let Some(consumer) = self.consumers.remove(&number) {
            self.consumers_by_name.remove(&consumer.name);
        }
    }

    /// The records of the group, its consumers and its pending entries.
    pub fn record_count(&self) -> usize {
        1 + self.consumers.len() + self.pending.len()
    }

    /// About the DRAM that it takes, bytes, without the names of the consumers.
    pub fn memory_bytes(&self) -> usize {
        GROUP_BYTES
            + self.name.len()
            + self.consumers.len() * CONSUMER_BYTES
            + self.pending.len() * PENDING_BYTES
    }
}
